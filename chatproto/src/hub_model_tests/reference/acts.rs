//! What a message brings, by the model: one `match` over all that a user can send, with the texts
//! that the rules lay down.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::handshake::PeerKind;

use super::super::names::{Lasting, NO_ROOM, Name, Peer, ROOMS, Target};
use super::super::steps::{self, AWAY, Act, Question, REASON, TOKEN, Verdict};
use super::super::texts::{Change, Said, Text};
use super::audiences::Group;
use super::{Audience, Model, Phase, Room, is_over};

/// So many errors in a minute end a connection.
const ERRORS: usize = 20;
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
/// Wrong tokens of an address without a wait.
const FREE: u32 = 5;
/// Most rooms that a user may be in.
pub(crate) const MOST_ROOMS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    User,
    Moderator,
    Admin,
}

impl Role {
    fn of(word: &str) -> Self {
        match word {
            "user" => Role::User,
            "moderator" => Role::Moderator,
            _ => Role::Admin,
        }
    }

    pub(crate) fn one(self) -> &'static str {
        match self {
            Role::User => "a user",
            Role::Moderator => "a moderator",
            Role::Admin => "an admin",
        }
    }

    /// Admins are above each other.
    fn is_above(self, other: Role) -> bool {
        self > other || self == Role::Admin
    }
}

/// The command, if it is not for everybody, and who may use it.
fn needed(act: &Act) -> Option<(&'static str, Role)> {
    let command = match act {
        Act::Role(..) => return Some(("/role", Role::Admin)),
        Act::Kick(_) => "/kick",
        Act::Ban(..) => "/ban",
        Act::Unban(_) => "/unban",
        Act::Ask(Question::Bans) => "/bans",
        Act::Mute(..) => "/mute",
        Act::Unmute(_) => "/unmute",
        Act::Close(_) => "/close",
        Act::Notice => "/notice",
        _ => return None,
    };
    Some((command, Role::Moderator))
}

fn users(count: usize) -> String {
    if count == 1 { "1 user".to_owned() } else { format!("{count} users") }
}

/// How long a sanction holds, as far as it does not depend on the time of day.
fn for_so_long(lasts: Option<Lasting>, lift: &str) -> String {
    match lasts {
        Some(lasting) => format!(" for {}, until 2026-", lasting.shown),
        None => format!(" until {lift}."),
    }
}

impl Model {
    /// A user sends something.
    pub(crate) fn perform(&mut self, me: Peer, step: usize, act: &Act) {
        let role = self.conns[&me].role;
        if let Some((command, needed)) = needed(act)
            && role < needed
        {
            let who = if needed == Role::Admin { "admins" } else { "moderators" };
            return self.err(me, &format!("❌ {command} is for {who}."));
        }
        let is_moderation = needed(act).is_some_and(|(command, _)| command != "/bans");
        if is_moderation && self.conns[&me].is_muted(self.now) {
            return self.tell(me, Text::begins("❌ "));
        }
        match *act {
            Act::Write { to, times, long } => {
                (0..times).for_each(|k| self.write(me, to, steps::text(step, k, long)));
            }
            Act::Say { room, times, long } => {
                (0..times).for_each(|k| self.say(me, room, steps::text(step, k, long)));
            }
            Act::WriteToNobody(_) => self.tell(me, Text::begins("❌ ")),
            Act::Shout { long } => self.shout(me, steps::text(step, 0, long)),
            Act::Join(room) => self.join(me, room),
            Act::Leave(room) => self.leave_by_command(me, room),
            Act::Hop(room, times) => (0..times).for_each(|k| match k % 2 {
                0 => self.join(me, room),
                _ => self.leave_by_command(me, room),
            }),
            Act::Roll(room) => self.roll(me, room),
            Act::Nick(name, verdict) => self.nick(me, name, verdict),
            Act::Away(is_away) => self.set_away(me, is_away),
            Act::State(wants) => self.set_wants_state(me, wants),
            Act::Ask(question) => self.answer(me, step, question),
            Act::Admin { token } => self.prove(me, token),
            Act::Role(name, role) => self.give_role(me, name, Role::of(role)),
            Act::Kick(name) => self.kick(me, name),
            Act::Ban(target, lasts) => self.ban(me, target, lasts),
            Act::Unban(target) => self.unban(me, target),
            Act::Mute(name, lasts) => self.mute(me, name, lasts),
            Act::Unmute(name) => self.unmute(me, name),
            Act::Close(room) => self.close(me, room),
            Act::Notice => self.say_notice(me, &steps::text(step, 0, false)),
            Act::SchemaErrors(times) => {
                // after the last one nobody listens
                (0..times).for_each(|_| self.err(me, "❌ Error: "));
            }
            Act::FramingError => {
                self.tell(me, Text::begins("⛔ Error: "));
                self.evict(me, Change::Disconnected, Some("errors"), None);
            }
            Act::EndOfFile => self.evict(me, Change::Disconnected, None, None),
        }
    }

    fn answer(&mut self, me: Peer, step: usize, question: Question) {
        let text = match question {
            Question::Ping => Text::Is(steps::text(step, 0, false)),
            Question::List => {
                let others = self.users.iter().filter(|(_, peer)| **peer != me);
                list("Connected users", others.map(|(&name, _)| name.to_owned()).collect())
            }
            Question::Rooms if self.rooms.is_empty() => {
                Text::is("There are no rooms. Send /join #NAME to make one.")
            }
            Question::Rooms => list("Rooms", self.room_lines()),
            Question::Who(room) => match self.member_names(room) {
                Some(names) => list(&format!("Members of {room}"), names),
                None => Text::begins("❌ There is no room "),
            },
            Question::WhoAmI => {
                let conn = &self.conns[&me];
                let (name, address, role) = (conn.name, conn.address.shown, conn.role.one());
                Text::Begins(format!("You are {name} from {address}, {role}"))
            }
            Question::Bans => {
                let bans = self.bans.values();
                match bans.filter(|(_, until, _)| !is_over(*until, self.now)).count() {
                    0 => Text::is("Nobody is banned."),
                    count => Text::Begins(format!("Bans ({count}): ")),
                }
            }
        };
        self.tell(me, text);
    }

    pub(crate) fn room_lines(&self) -> Vec<String> {
        let line = |(name, room): (_, &Room)| {
            let count = room.members.len();
            format!("{name} ({count})")
        };
        self.rooms.iter().map(line).collect()
    }

    pub(crate) fn member_names(&self, room: &str) -> Option<Vec<String>> {
        let members = &self.rooms.get(room)?.members;
        Some(members.iter().map(|peer| self.conns[peer].name.to_owned()).collect())
    }

    // talk

    fn message(&self, me: Peer, to: &'static str, text: String) -> Rc<Said> {
        let sender = &self.conns[&me];
        let (from, ip) = (sender.name, sender.address.shown);
        Rc::new(Said { from, ip, to, text: Text::Is(text) })
    }

    /// Whether the user may speak; if not, it is told.
    fn may_speak(&mut self, me: Peer) -> bool {
        let is_muted = self.conns[&me].is_muted(self.now);
        if is_muted {
            self.tell(me, Text::begins("❌ You are muted"));
        }
        !is_muted
    }

    /// Whether a text of a user's is too long for a reader.
    fn is_too_long(&self, reader: Peer, text: &str) -> bool {
        text.len() > 1000 && self.conns[&reader].mailbox.kind == PeerKind::OneRead
    }

    fn write(&mut self, me: Peer, to: Name, text: String) {
        let name = to.plain();
        let Some(&reader) = self.users.get(name) else {
            return self.tell(me, Text::begins("❌ User "));
        };
        if !self.may_speak(me) {
            return;
        }
        if self.is_too_long(reader, &text) {
            return self.tell(me, Text::begins("❌ Not delivered: "));
        }
        let said = self.message(me, name, text);
        self.deliver(reader, &said);
        if self.conns[&reader].is_away {
            self.tell(me, Text::Is(format!("{name} is away: {AWAY}")));
        }
    }

    fn say(&mut self, me: Peer, room: &'static str, text: String) {
        if room == NO_ROOM {
            // what does not begin with # is a user's name
            return self.tell(me, Text::begins("❌ User "));
        }
        let Some(members) = self.rooms.get(room).map(|room| &room.members) else {
            return self.tell(me, Text::begins("❌ You are not in "));
        };
        if !members.contains(&me) {
            return self.tell(me, Text::begins("❌ You are not in "));
        }
        let others: Vec<Peer> = members.iter().copied().filter(|peer| *peer != me).collect();
        if !self.may_speak(me) {
            return;
        }
        let too_long = self.spread(me, room, text, others).1;
        if too_long > 0 {
            let text = format!("❌ Not delivered to {}: ", users(too_long));
            self.tell(me, Text::Begins(text));
        }
    }

    fn shout(&mut self, me: Peer, text: String) {
        if !self.may_speak(me) {
            return;
        }
        let others = self.users.values().copied().filter(|peer| *peer != me).collect();
        let (delivered, too_long) = self.spread(me, "Everyone", text, others);
        let told = format!("Delivered to {}.", users(delivered));
        self.tell(me, if too_long > 0 { Text::Begins(told) } else { Text::Is(told) });
    }

    /// Delivers to all who can take it. Returns how many could, and could not.
    fn spread(
        &mut self,
        me: Peer,
        to: &'static str,
        text: String,
        readers: Vec<Peer>,
    ) -> (usize, usize) {
        let all = readers.len();
        let mut readers = readers;
        readers.retain(|reader| !self.is_too_long(*reader, &text));
        let said = self.message(me, to, text);
        readers.iter().for_each(|reader| self.deliver(*reader, &said));
        (readers.len(), all - readers.len())
    }

    fn set_away(&mut self, me: Peer, is_away: bool) {
        if !is_away {
            let was_away = self
                .conns
                .get_mut(&me)
                .is_some_and(|conn| std::mem::replace(&mut conn.is_away, false));
            let text = if was_away { Text::is("You are back.") } else { Text::begins("You are ") };
            return self.tell(me, text);
        }
        if self.may_speak(me) {
            if let Some(conn) = self.conns.get_mut(&me) {
                conn.is_away = true;
            }
            self.tell(me, Text::Is(format!("You are away: {AWAY}")));
        }
    }

    // rooms and names

    fn join(&mut self, me: Peer, room: &'static str) {
        let mine = self.rooms_of(me);
        if mine.contains(&room) {
            self.tell(me, Text::Is(format!("You are in {room} already.")));
            return self.line_of_move(me, Some(room), true, "already");
        }
        if room == NO_ROOM || mine.len() >= MOST_ROOMS {
            self.tell(me, Text::begins("❌ Not joined: "));
            let named = Some(room).filter(|room| *room != NO_ROOM);
            return self.line_of_move(me, named, false, "refused");
        }
        self.line_of_move(me, Some(room), true, "joined");
        let text = match self.member_names(room) {
            None => Text::Is(format!("Joined {room}. You are its only member.")),
            Some(others) => list(&format!("Joined {room}. Other members"), others),
        };
        self.tell(me, text);
        self.rooms.entry(room).or_default().members.insert(me);
        self.changes += 1;
        self.lists(me, &[Some(room)]);
        self.change(Some(room), Change::Joined, self.conns[&me].name, me, None);
    }

    fn leave_by_command(&mut self, me: Peer, room: &'static str) {
        if !self.rooms_of(me).contains(&room) {
            return self.tell(me, Text::begins("❌ You are not in "));
        }
        self.tell(me, Text::Is(format!("Left {room}.")));
        self.line_of_move(me, Some(room), false, "left");
        self.leave(me, room, Change::Left, None);
    }

    fn roll(&mut self, me: Peer, room: &'static str) {
        if room != NO_ROOM && !self.rooms_of(me).contains(&room) {
            return self.tell(me, Text::begins("❌ You are not in "));
        }
        if room == NO_ROOM {
            // that can only be dice, and is none
            return self.tell(me, Text::begins("❌ "));
        }
        if !self.may_speak(me) {
            return;
        }
        let text = Text::Begins(format!("{} rolled ", self.conns[&me].name));
        let said = self.notice(Some(room), text.clone());
        let members = self.rooms[room].members.clone();
        members.iter().filter(|peer| **peer != me).for_each(|peer| self.deliver(*peer, &said));
        self.tell(me, text);
    }

    fn nick(&mut self, me: Peer, name: Name, verdict: Verdict) {
        let conn = &self.conns[&me];
        let stays = format!("❌ Your name stays {}: ", conn.name);
        match name.name {
            Some(name)
                if !conn.is_muted(self.now) && !self.is_name_banned(name) && self.is_free(name) =>
            {
                self.claim(me, name, verdict);
            }
            _ => self.tell(me, Text::Begins(stays)),
        }
    }

    // order

    /// Whether the user had another role.
    fn set_role(&mut self, peer: Peer, role: Role) -> bool {
        let conn = self.conns.get_mut(&peer);
        conn.is_some_and(|conn| std::mem::replace(&mut conn.role, role) != role)
    }

    /// The user of that name; if there is none, the one who asks is told.
    fn find(&mut self, me: Peer, name: Name) -> Option<Peer> {
        let found = self.users.get(name.plain()).copied();
        if found.is_none() {
            self.tell(me, Text::begins("❌ User "));
        }
        found
    }

    /// The same, if the one who asks may act against it.
    fn find_lower(&mut self, me: Peer, name: Name) -> Option<Peer> {
        let found = self.find(me, name)?;
        if found == me || !self.conns[&me].role.is_above(self.conns[&found].role) {
            self.tell(me, Text::begins("❌ "));
            return None;
        }
        Some(found)
    }

    fn give_role(&mut self, me: Peer, name: Name, role: Role) {
        let Some(peer) = self.find(me, name) else { return };
        let has_changed = self.set_role(peer, role);
        if peer != me {
            self.tell(peer, Text::Begins(format!("You are {} now", role.one())));
        }
        if has_changed {
            self.line_of_role(peer);
        }
        self.tell(me, Text::Is(format!("{} is {} now.", name.plain(), role.one())));
    }

    fn kick(&mut self, me: Peer, name: Name) {
        let Some(victim) = self.find_lower(me, name) else { return };
        let by = self.conns[&me].name;
        self.tell(victim, Text::Is(format!("⛔ You were kicked by {by}: {REASON}.")));
        self.evict(victim, Change::Kicked, Some("kicked"), None);
        self.tell(me, Text::Is(format!("Kicked {}.", name.plain())));
    }

    fn ban(&mut self, me: Peer, target: Target, lasts: Option<Lasting>) {
        let is_concerned =
            |name: &'static str, peer: Peer| target.is_for(name, self.conns[&peer].address.shown);
        let concerned = self.users.iter().filter(|&(&name, &peer)| is_concerned(name, peer));
        let victims: BTreeSet<Peer> = concerned.map(|(_, peer)| *peer).collect();
        let role = self.conns[&me].role;
        let is_out_of_reach = |peer: &Peer| *peer == me || !role.is_above(self.conns[peer].role);
        if victims.iter().any(is_out_of_reach) {
            return self.tell(me, Text::begins("❌ Not banned: "));
        }
        let ban = self.bans.get(target.key()).filter(|(_, until, _)| !is_over(*until, self.now));
        if ban.is_some_and(|(.., by)| *by > role) {
            return self.tell(me, Text::begins("❌ Not banned: "));
        }
        let until = lasts.map(|lasting| self.now + lasting.millis);
        self.bans.insert(target.key(), (target, until, role));
        let group = (victims.len() > 1).then(|| self.group(victims.clone()));
        for victim in victims {
            self.tell(victim, Text::begins("⛔ You were banned"));
            self.evict(victim, Change::Kicked, Some("banned"), group.as_ref());
        }
        let text = format!("Banned {}{}", target.described(), for_so_long(lasts, "/unban"));
        self.tell(me, Text::Begins(text));
    }

    fn group(&self, victims: BTreeSet<Peer>) -> Group {
        let mut names = BTreeMap::<Audience, Vec<String>>::new();
        for &victim in &victims {
            let rooms = self.rooms_of(victim).into_iter().map(Some);
            for audience in rooms.chain([None]) {
                names.entry(audience).or_default().push(self.conns[&victim].name.to_owned());
            }
        }
        let notices = |names: Vec<String>| {
            let notices = names.iter().map(|name| Change::Kicked.of(name)).collect();
            (notices, names)
        };
        let notices =
            names.into_iter().map(|(audience, names)| (audience, notices(names))).collect();
        Group { victims, notices }
    }

    fn unban(&mut self, me: Peer, target: Target) {
        let ban = self.bans.get(target.key()).filter(|(_, until, _)| !is_over(*until, self.now));
        if ban.is_none_or(|(.., by)| *by > self.conns[&me].role) {
            return self.tell(me, Text::begins("❌ "));
        }
        self.bans.remove(target.key());
        self.tell(me, Text::Is(format!("{} is banned no longer.", target.shown())));
    }

    fn mute(&mut self, me: Peer, name: Name, lasts: Option<Lasting>) {
        let Some(victim) = self.find_lower(me, name) else { return };
        let role = self.conns[&me].role;
        if self.muted_by(name.plain()).is_some_and(|by| by > role) {
            return self.tell(me, Text::begins("❌ "));
        }
        let until = lasts.map(|lasting| self.now + lasting.millis);
        self.mutes.insert(name.plain(), (until, role));
        if let Some(conn) = self.conns.get_mut(&victim) {
            conn.mute = Some((until, role));
        }
        self.tell(victim, Text::begins("❌ You are muted"));
        let until = for_so_long(lasts, "/unmute");
        self.tell(me, Text::Begins(format!("Muted {}{until}", name.plain())));
    }

    /// The role of the one who muted this name, or the user who has it; the higher one.
    fn muted_by(&self, name: &str) -> Option<Role> {
        let of_name = self.mutes.get(name).copied();
        let of_user = self.users.get(name).and_then(|user| self.conns[user].mute);
        let both = [of_name, of_user].into_iter().flatten();
        both.filter(|(until, _)| !is_over(*until, self.now)).map(|(_, by)| by).max()
    }

    fn unmute(&mut self, me: Peer, name: Name) {
        let name = name.plain();
        if self.muted_by(name).is_none_or(|by| by > self.conns[&me].role) {
            return self.tell(me, Text::begins("❌ "));
        }
        self.mutes.remove(name);
        if let Some(user) = self.users.get(name).copied() {
            if let Some(conn) = self.conns.get_mut(&user) {
                conn.mute = None;
            }
            self.tell(user, Text::begins("You may speak again"));
        }
        self.tell(me, Text::Is(format!("{name} may speak again.")));
    }

    fn close(&mut self, me: Peer, room: &'static str) {
        if !ROOMS.contains(&room) || !self.rooms.contains_key(room) {
            return self.tell(me, Text::begins("❌ There is no room "));
        }
        let text = format!("{} closed the room: {REASON}.", self.conns[&me].name);
        self.tell_all(Some(room), Text::Is(text));
        for member in self.members(Some(room)) {
            self.line_of_move(member, Some(room), false, "closed");
        }
        self.rooms.remove(room);
        self.changes += 1;
        self.tell(me, Text::Is(format!("Closed {room}.")));
    }

    /// The first wrong tokens of an address are free; after each further one, none is compared for
    /// a time. (No sequence has as many as all addresses together may send.)
    fn prove(&mut self, me: Peer, token: &str) {
        let (now, address) = (self.now, self.conns[&me].address.shown);
        let guesses = self.guesses.get(address).copied();
        let (wrong, until) = guesses.filter(|(_, until)| now < until + HOUR).unwrap_or((0, 0));
        if now < until {
            self.err(me, "❌ Too many wrong tokens. Try again in ");
        } else if token == TOKEN {
            self.guesses.remove(address);
            let has_changed = self.set_role(me, Role::Admin);
            self.tell(me, Text::is("You are an admin now."));
            if has_changed {
                self.line_of_role(me);
            }
        } else {
            let wait = if wrong + 1 < FREE { 0 } else { HOUR.min(12_000 << (wrong + 1 - FREE)) };
            self.guesses.insert(address, (wrong + 1, now + wait));
            self.err(me, "❌ That is not the token.");
        }
    }

    fn say_notice(&mut self, me: Peer, text: &str) {
        let said = self.notice(None, Text::Is(format!("Notice: {text}")));
        let others: Vec<Peer> = self.users.values().copied().filter(|peer| *peer != me).collect();
        others.iter().for_each(|peer| self.deliver(*peer, &said));
        self.tell(me, Text::Is(format!("Told {}.", users(others.len()))));
    }

    /// An error of a user's. One too many ends the connection.
    fn err(&mut self, me: Peer, text: &str) {
        let now = self.now;
        let Some(conn) = self.conns.get_mut(&me) else { return };
        if conn.phase == Phase::Closing {
            return;
        }
        conn.errors.retain(|at| at + MINUTE > now);
        conn.errors.push(now);
        if conn.errors.len() < ERRORS {
            return self.tell(me, Text::begins(text));
        }
        self.tell(me, Text::begins("⛔ Error: "));
        self.evict(me, Change::Disconnected, Some("errors"), None);
    }
}

/// `HEAD (3): a, b, c`.
fn list(head: &str, items: Vec<String>) -> Text {
    Text::List(format!("{head} ({}): ", items.len()), items)
}
