//! State lines, by the model: who is sent which line, beside the notices.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::super::names::{Peer, value};
use super::super::texts::{Change, Said, Text};
use super::audiences::Group;
use super::{Audience, Model};

/// Above so many, members are not listed again.
const LISTED: usize = 100;

fn of_room(audience: Audience) -> String {
    audience.map_or(String::new(), |room| format!(" room={}", value(room)))
}

impl Model {
    pub(super) fn set_wants_state(&mut self, me: Peer, wants: bool) {
        let Some(conn) = self.conns.get_mut(&me) else { return };
        conn.wants_state = wants;
        if !wants {
            return self.tell(me, Text::is("Reporting off"));
        }
        let rights = self.rights(me);
        self.tell(me, Text::Is(format!("Reporting on {rights}")));
        let all = self.setup.announces.then_some(None);
        let rooms = self.rooms_of(me).into_iter().map(Some);
        let audiences: Vec<Audience> = all.into_iter().chain(rooms).collect();
        self.lists(me, &audiences);
    }

    fn wants_state(&self, peer: Peer) -> bool {
        self.conns.get(&peer).is_some_and(|conn| conn.wants_state)
    }

    /// Sends a user a line, if it wants lines.
    pub(crate) fn line(&mut self, peer: Peer, line: String) {
        if self.wants_state(peer) {
            self.tell(peer, Text::Is(line));
        }
    }

    pub(super) fn line_of_move(&mut self, peer: Peer, room: Audience, is_member: bool, why: &str) {
        let room = of_room(room);
        self.line(peer, format!("State moved{room} member={is_member} reason={why}"));
    }

    pub(super) fn line_of_role(&mut self, peer: Peer) {
        let rights = self.rights(peer);
        self.line(peer, format!("State role {rights}"));
    }

    fn rights(&self, peer: Peer) -> String {
        let conn = &self.conns[&peer];
        let role = format!("{:?}", conn.role).to_lowercase();
        format!("name={} role={role} login=false", value(conn.name))
    }

    fn list(&self, audience: Audience) -> (String, Vec<String>) {
        let members = self.members(audience).into_iter();
        let names = members.map(|peer| self.conns[&peer].name.to_owned()).collect();
        (format!("State members{}", of_room(audience)), names)
    }

    /// A user is sent the lists of these audiences, in an order that is nobody's business.
    pub(super) fn lists(&mut self, me: Peer, audiences: &[Audience]) {
        if !self.wants_state(me) {
            return;
        }
        let lists: Rc<[_]> = audiences.iter().map(|audience| self.list(*audience)).collect();
        for _ in audiences {
            self.tell(me, Text::Members(Rc::clone(&lists)));
        }
    }

    /// An audience is told of a change of one of these, or of each of a group.
    pub(super) fn line_of_change(
        &mut self,
        audience: Audience,
        change: Change,
        names: &[String],
        except: Peer,
        group: Option<&Group>,
    ) {
        let room = of_room(audience);
        let lines: Rc<[String]> = names
            .iter()
            .map(|who| match (change, who.split_once(" → ")) {
                (Change::Renamed, Some((old, new))) => {
                    format!("State renamed{room} old={} name={}", value(old), value(new))
                }
                (Change::Joined, _) => format!("State joined{room} name={}", value(who)),
                (change, _) => {
                    let why = format!("{change:?}").to_lowercase();
                    format!("State left{room} name={} reason={why}", value(who))
                }
            })
            .collect();
        let text = match &*lines {
            [line] => Text::Is(line.clone()),
            _ => Text::AnyOf(lines),
        };
        let said = self.notice(audience, text);
        let is_victim = |peer: &Peer| group.is_some_and(|group| group.victims.contains(peer));
        let wants: Vec<Peer> =
            self.members(audience).into_iter().filter(|peer| self.wants_state(*peer)).collect();
        for peer in wants.into_iter().filter(|peer| *peer != except && !is_victim(peer)) {
            self.deliver(peer, &said);
        }
        // (one of them who is gone here may be the last one there)
        for &peer in group.map_or(&BTreeSet::new(), |group| &group.victims) {
            if self.conns.get(&peer).is_some_and(|conn| conn.wants_state) {
                self.expected.may_be_told.push((peer, Rc::clone(&said)));
            }
        }
    }

    /// An audience is told who belongs to it, after changes that were counted.
    pub(super) fn line_of_members(&mut self, audience: Audience) {
        let (head, names) = self.list(audience);
        let text = match names.len() {
            count if count > LISTED => Text::Is(format!("{head} count={count}")),
            _ => Text::Members([(head, names)].into()),
        };
        let said: Rc<Said> = self.notice(audience, text);
        for peer in self.members(audience) {
            if self.wants_state(peer) {
                self.deliver(peer, &said);
            }
        }
    }
}
