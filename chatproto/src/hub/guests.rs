//! Guests: temporary names for connections that ask for the name of an account, and for users whose name
//! becomes one. Where there is a directory, it is asked for each of them.

use crate::accounts::AccountPolicy;
use crate::directory::ClaimPurpose;
use crate::name::{UserName, lookalike_keys};

use super::claim::{Displaced, Pending};
use super::claims::{CLAIM, DISPLACED};
use super::presence::{Change, renamed};
use super::replies::{UNCHECKED, reason_of};
use super::session::Session;
use super::{Completion, ConnId, Departure, Event, Hub, Now, Output, RefusalReason, Token};

/// Names that are tried for a guest when the directory refuses them.
const GUEST_NAMES: u8 = 8;

/// How many temporary names are tried in a row, and as many again at random.
const TRIES: usize = 8;

const NO_NAME: &str = "no temporary name is free. Try again later.";

impl Hub {
    /// The name that a connection asked for, and may hold, is an account's: it is a guest under
    /// another one, or a visitor, until it logs in.
    pub(super) fn admit_guest(
        &mut self,
        conn: ConnId,
        wanted: &UserName,
        now: Now,
        out: &mut Output,
    ) {
        self.users.free_claimed(conn);
        self.find_guest_name(conn, wanted.clone(), 0, now, out);
    }

    /// A connection that asked for an account's name gets a temporary one, which was granted.
    pub(super) fn become_guest(
        &mut self,
        conn: ConnId,
        name: &UserName,
        wanted: &UserName,
        lease: Option<u64>,
        now: Now,
        out: &mut Output,
    ) {
        self.users.claim(conn, name);
        self.set_lease(conn, lease);
        let Some(session) = self.users.get_mut(conn) else { return };
        session.extras_mut().wanted = Some(wanted.clone());
        let how = "Send /login with your password";
        if self.accounts == Some(AccountPolicy::Required) {
            self.users.admit_visitor(conn);
            self.visitors.push_back((now.monotonic, conn));
            let Some(guest) = self.users.get(conn).and_then(Session::user_name) else { return };
            let text = format!(
                "Welcome, {guest}! {wanted} belongs to an account. {how} to be {wanted}; until then \
                 nobody sees you, and you see nobody. Send /help to see the commands."
            );
            return self.tell(conn, &text, now, out);
        }
        self.admit_user(conn, now, out);
        let Some(guest) = self.users.get(conn).and_then(Session::user_name) else { return };
        let text = format!(
            "The name {wanted} belongs to an account, or looks like one that does: you are {guest}. \
             {how} to be {wanted}."
        );
        self.tell(conn, &text, now, out);
    }

    /// A temporary name made from the one that a connection wants, which nobody has here.
    pub(super) fn temporary_name(&mut self, wanted: &UserName, now: Now) -> Option<UserName> {
        // the next numbers can all be withheld, or those of guests who have stayed for long
        (0..2 * TRIES).find_map(|attempt| {
            self.guests = self.guests.wrapping_add(1);
            let number = if attempt < TRIES { self.guests } else { self.dice.u32(..) };
            let name = temporary(wanted, number, self.limits.name)?;
            let is_free = self.users.is_free(&name) && !self.is_asked_about(&name);
            (is_free && !self.is_unfit_for_guests(&name, now)).then_some(name)
        })
    }

    /// Whether no guest may have this temporary name, because it is an account's or banned.
    pub(super) fn is_unfit_for_guests(&self, name: &UserName, now: Now) -> bool {
        let is_withheld = !self.withheld.is_empty()
            && lookalike_keys(name.as_str()).iter().any(|key| self.withheld.contains(key));
        is_withheld || self.sanctions.ban_of_name(name.as_str(), now.monotonic).is_some()
    }

    /// Claims a temporary name for a connection that asked for another one, and has none.
    pub(super) fn find_guest_name(
        &mut self,
        conn: ConnId,
        wanted: UserName,
        attempts: u8,
        now: Now,
        out: &mut Output,
    ) {
        let name = self.temporary_name(&wanted, now).filter(|_| attempts < GUEST_NAMES);
        match name {
            None => self.refuse(conn, wanted.as_str(), RefusalReason::Busy, NO_NAME, now, out),
            Some(name) if !self.has_directory() => {
                self.become_guest(conn, &name, &wanted, None, now, out);
            }
            Some(name) => match self.claim_name(conn, &name, ClaimPurpose::Guest, now, out) {
                Ok(_) => self.users.set_pending(conn, Pending::Guest { name, wanted, attempts }),
                Err(busy) => self.refuse_busy(conn, &wanted, busy, now, out),
            },
        }
    }

    /// A user's name belongs to an account now: it is a guest under another one, once the directory has
    /// granted that. Until then it goes on under the old one.
    pub(super) fn displace(&mut self, conn: ConnId, from: &UserName, now: Now, out: &mut Output) {
        // a guest with a name that is withheld from now on wants what it wanted before
        let wanted = self.users.get(conn).and_then(Session::wanted).unwrap_or(from).clone();
        let (since, from) = (now.monotonic, from.clone());
        self.try_to_displace(Displaced { since, conn, from, wanted, attempts: 0 }, now, out);
    }

    fn try_to_displace(&mut self, mut displaced: Displaced, now: Now, out: &mut Output) {
        displaced.since = now.monotonic;
        let name = self.temporary_name(&displaced.wanted, now);
        let Some(name) = name.filter(|_| displaced.attempts < GUEST_NAMES) else {
            return self.expel_displaced(&displaced, NO_NAME, now, out);
        };
        let Displaced { conn, from, wanted, .. } = &displaced;
        if !self.has_directory() {
            return self.make_guest(*conn, from, &name, wanted, None, now, out);
        }
        let extra = CLAIM + DISPLACED + 2 * self.limits.name;
        match self.wait_beside(displaced.conn, &name, extra) {
            Err(busy) => self.expel_displaced(&displaced, &busy.to_string(), now, out),
            Ok(token) => {
                self.users.hold(displaced.conn, &name);
                self.send_claim(token, &name, ClaimPurpose::Guest, out);
                self.claims.displaced.insert(token.serial, (name, displaced));
            }
        }
    }

    fn expel_displaced(&mut self, displaced: &Displaced, reason: &str, now: Now, out: &mut Output) {
        let text = format!(
            "⛔ The name {} belongs to an account now, and you can have no other: {reason} The \
             connection is closed.",
            displaced.from
        );
        self.tell(displaced.conn, &text, now, out);
        self.handle_eviction(displaced.conn, Departure::AccountChanged, now, out);
    }

    /// Whether a user still has the name that it has to give up.
    fn is_displaced(&self, displaced: &Displaced) -> bool {
        self.users.get(displaced.conn).is_some_and(|session| {
            let has_name = session.name() == Some(displaced.from.as_str());
            session.is_user() && has_name && !session.is_logged_in()
        })
    }

    /// A claim is answered whose connection does not wait for it.
    pub(super) fn complete_abandoned_claim(
        &mut self,
        token: Token,
        name: &UserName,
        completion: &Completion,
        now: Now,
        out: &mut Output,
    ) {
        let lease = match completion {
            Completion::Claimed(revision) => Some(*revision),
            _ => None,
        };
        let Some((_, mut displaced)) = self.claims.displaced.remove(&token.serial) else {
            return self.end_claim(name, token, lease, out);
        };
        self.users.end_hold(name);
        let is_wanted = self.is_displaced(&displaced);
        if is_wanted && lease.is_some() && !self.is_unfit_for_guests(name, now) {
            self.end_claim(name, token, None, out);
            let Displaced { conn, from, wanted, .. } = &displaced;
            return self.make_guest(*conn, from, name, wanted, lease, now, out);
        }
        self.end_claim(name, token, lease, out);
        if !is_wanted {
            return;
        }
        match completion {
            Completion::Claimed(_) | Completion::Reserved | Completion::Refused(_) => {
                displaced.attempts += 1;
                self.try_to_displace(displaced, now, out);
            }
            refusal => {
                let reason = reason_of(refusal.clone());
                self.expel_displaced(&displaced, &reason, now, out);
            }
        }
    }

    /// Ends the wait for the oldest claim of a user who has to give a name up.
    pub(super) fn end_overdue_displacement(&mut self, now: Now, out: &mut Output) {
        let Some((serial, (name, displaced))) = self.claims.displaced.pop_first() else { return };
        // if it is granted yet, it is given back
        self.users.end_hold(&name);
        self.claims.leave(&name, serial);
        if self.is_displaced(&displaced) {
            self.expel_displaced(&displaced, UNCHECKED, now, out);
        }
    }

    /// A user whose name belongs to an account now gets a temporary one, which was granted.
    #[allow(clippy::too_many_arguments, reason = "the parts of one change, and the call's")]
    pub(super) fn make_guest(
        &mut self,
        conn: ConnId,
        from: &UserName,
        name: &UserName,
        wanted: &UserName,
        lease: Option<u64>,
        now: Now,
        out: &mut Output,
    ) {
        let Some((old, address)) = self.replace_name(conn, name, lease, out) else { return };
        debug_assert_eq!(old, *from);
        if let Some(session) = self.users.get_mut(conn) {
            session.extras_mut().wanted = Some(wanted.clone());
        }
        let text = format!(
            "The name {from} belongs to an account now: you are {name}. Send /login with the password \
             to be {wanted}."
        );
        self.tell(conn, &text, now, out);
        self.state_renamed(conn, &old, out);
        let text = renamed(from.as_str(), name.as_str());
        self.notify_rooms(conn, Change::Renamed, &text, now, out);
        out.events.push(Event::Renamed { conn, address, old, name: name.clone() });
    }
}

/// A name made from another one and a number, if the bound leaves room for it.
fn temporary(wanted: &UserName, number: u32, most: usize) -> Option<UserName> {
    let mut text = wanted.as_str().to_owned();
    let tail = format!("~{number}");
    while text.len() + tail.len() > most {
        text.pop()?;
    }
    // a name may not end in a space, nor begin with one
    let text = format!("{}{tail}", text.trim_end());
    UserName::from_bytes(text.as_bytes(), most).ok()
}
