//! From a connection to a user and back: registration, what waits for an effect, and departure.

use std::net::IpAddr;

use crate::accounts::Granted;
use crate::handshake::PeerKind;
use crate::name::{NameError, UserName};

use super::answer::{self, quoted};
use super::presence::{Change, renamed};
use super::users::{Phase, Session};
use super::waiting::Busy;
use super::{
    AccountChange, Audience, Call, Completion, ConnId, Departure, Effect, Event, Hub, Now, Output,
    Token,
};

impl Hub {
    /// A connection was accepted, on the event loop `lane`. If there are too many, it is refused
    /// in the output; it has an id all the same, until [`Hub::handle_disconnect`].
    pub fn handle_connect(
        &mut self,
        lane: u16,
        address: IpAddr,
        now: Now,
        out: &mut Output,
    ) -> ConnId {
        let address = address.to_canonical();
        let (conn, of_address) = self.users.connect(lane, address);
        out.events.push(Event::Connected { conn, address });
        if self.users.places() > self.limits.connections {
            self.refuse(conn, "", "the server is full. Try again later.", now, out);
        } else if !address.is_loopback() && of_address as usize > self.limits.per_address {
            let reason = "there are too many connections from your address. Close some.";
            self.refuse(conn, "", reason, now, out);
        } else if let Some(reason) = self.ban_of(conn, None, now) {
            self.refuse(conn, "", &reason, now, out);
        }
        conn
    }

    /// The peer's name is complete: `bytes`, as they came.
    ///
    /// Emits [`Effect::Claim`], or [`Effect::CheckReserved`]; until its completion the connection's
    /// input must wait (see [`Hub::is_waiting`]).
    pub fn handle_name(
        &mut self,
        conn: ConnId,
        bytes: &[u8],
        kind: PeerKind,
        now: Now,
        out: &mut Output,
    ) {
        let Some(session) = self.users.get_mut(conn) else { return };
        if session.phase != Phase::Guest {
            return;
        }
        session.kind = kind;
        let address = session.address;
        let name = match UserName::from_bytes(bytes, self.limits.name) {
            Ok(name) => name,
            Err(error) => return self.handle_bad_name(conn, bytes, error, now, out),
        };
        if let Err(error) = name.check_request() {
            let reason = format!("{error}. Choose another name and connect again.");
            return self.refuse(conn, name.as_str(), &reason, now, out);
        }
        if let Some(reason) = self.ban_of(conn, Some(&name), now) {
            return self.refuse(conn, name.as_str(), &reason, now, out);
        }
        if !self.users.claim(conn, &name) {
            let holder = self.users.find(name.as_str());
            if holder.is_some_and(|(_, holder)| holder.is_logged_in()) {
                return self.admit_guest(conn, &name, now, out);
            }
            if self.accounts.is_some() && self.users.is_undecided(&name) {
                // it may be an account's, and this its owner
                return match self.wait(conn, 2 * name.as_str().len()) {
                    Ok(token) => {
                        self.users.contend(conn, &name);
                        out.effects.push_back(Effect::CheckReserved { token, name });
                    }
                    Err(busy) => self.refuse(conn, name.as_str(), &busy.to_string(), now, out),
                };
            }
            return self.refuse_taken(conn, &name, now, out);
        }
        match self.wait(conn, 2 * name.as_str().len()) {
            Ok(token) => out.effects.push_back(Effect::Claim { token, name, address }),
            Err(busy) => self.refuse(conn, name.as_str(), &busy.to_string(), now, out),
        }
    }

    fn refuse_taken(&mut self, conn: ConnId, name: &UserName, now: Now, out: &mut Output) {
        let reason = format!("{} Choose another one and connect again.", in_use(name));
        self.refuse(conn, name.as_str(), &reason, now, out);
    }

    /// The connection is encrypted: to be said before its name is handed in.
    pub fn handle_secured(&mut self, conn: ConnId) {
        if let Some(session) = self.users.get_mut(conn) {
            session.is_secure = true;
        }
    }

    /// A name came in clear where only TLS is spoken: the connection is refused.
    pub fn handle_insecure_name(&mut self, conn: ConnId, bytes: &[u8], now: Now, out: &mut Output) {
        let name = String::from_utf8_lossy(&bytes[..bytes.len().min(256)]);
        let reason = "this server speaks TLS only. Connect again with TLS.";
        self.refuse(conn, name.trim(), reason, now, out);
    }

    /// The connection could not be encrypted; whatever the reason, it does not become a user.
    pub fn handle_failed_handshake(&mut self, conn: ConnId, reason: String, out: &mut Output) {
        self.users.release_place(conn);
        if let Some(session) = self.users.get(conn) {
            let address = session.address;
            out.events.push(Event::HandshakeFailed { conn, address, reason });
        }
    }

    /// What the peer sent cannot be a name.
    pub fn handle_bad_name(
        &mut self,
        conn: ConnId,
        bytes: &[u8],
        error: NameError,
        now: Now,
        out: &mut Output,
    ) {
        let name = String::from_utf8_lossy(&bytes[..bytes.len().min(256)]);
        let reason = format!("{error}. Choose another name and connect again.");
        self.refuse(conn, name.trim(), &reason, now, out);
    }

    /// [`Limits::registration`](crate::Limits::registration) is over: whoever is no user by now,
    /// because no name came or because nobody decided about it, is refused.
    pub fn handle_deadline(&mut self, conn: ConnId, now: Now, out: &mut Output) {
        let within = self.limits.registration.as_secs_f32();
        let reason = match self.users.get(conn).map(|session| session.phase) {
            Some(Phase::Guest) => {
                format!("no name came within {within} s. Send one and connect again.")
            }
            Some(Phase::Claiming) => {
                format!("the name could not be checked within {within} s. Try again later.")
            }
            _ => return,
        };
        self.refuse(conn, "", &reason, now, out);
    }

    /// The peer will send nothing more, and the effect that it waits for takes too long: it is waited
    /// for no longer, and the connection closed.
    pub fn handle_overdue(&mut self, conn: ConnId, now: Now, out: &mut Output) {
        let Some(session) = self.users.get(conn).filter(|_| self.is_waiting(conn)) else { return };
        if session.phase == Phase::Claiming {
            self.refuse(conn, "", UNCHECKED, now, out);
        } else {
            self.handle_eviction(conn, Departure::Left, now, out);
        }
    }

    /// The peer ended its name with a line feed after all: it is a stream peer (B2).
    pub fn handle_late_line_feed(&mut self, conn: ConnId) {
        if let Some(session) = self.users.get_mut(conn) {
            session.kind = PeerKind::Stream;
        }
    }

    /// An effect finished. Returns its connection if that still exists and waits for no other effect:
    /// its input may go on.
    pub fn handle_completion(
        &mut self,
        token: Token,
        completion: Completion,
        now: Now,
        out: &mut Output,
    ) -> Option<ConnId> {
        self.note_completion(token, out);
        let order = self.orders.end(token.serial);
        if let Some(claimed) = self.end_abandoned(token.serial) {
            if let Some(name) = claimed.filter(|_| completion == Completion::Claimed) {
                out.effects.push_back(Effect::Release { name });
            }
            if let Some(order) = order {
                self.complete_abandoned(&order.account, &completion, now, out);
            }
            return None;
        }
        if !self.end_wait(token) {
            return None;
        }
        let conn = token.conn;
        let session = self.users.get(conn)?;
        let phase = session.phase;
        let is_renaming = session.renaming().is_some();
        let has_name = session.name().is_some();
        let is_stale = |granted: &Granted| {
            order.as_ref().is_some_and(|order| order.is_newer_than(granted.revision))
        };
        match completion {
            Completion::Claimed if phase == Phase::Claiming && has_name => {
                self.admit_claimant(conn, now, out);
            }
            Completion::Reserved if phase == Phase::Claiming => {
                // it has a temporary one already if the owner logged in meanwhile
                let wanted = session.wanted().cloned().or_else(|| session.user_name());
                let Some(wanted) = wanted else { return Some(conn) };
                self.admit_guest(conn, &wanted, now, out);
            }
            Completion::Unreserved if phase == Phase::Claiming && !has_name => {
                let Some(wanted) = session.wanted().cloned() else { return Some(conn) };
                self.refuse_taken(conn, &wanted, now, out);
            }
            completion if phase == Phase::Claiming => {
                let wanted = session.wanted().map(UserName::as_str);
                let name = session.name().or(wanted).unwrap_or_default().to_owned();
                let reason = match completion {
                    Completion::Refused(reason) => reason,
                    _ => UNCHECKED.to_owned(),
                };
                self.refuse(conn, &name, &reason, now, out);
            }
            completion if is_renaming => self.rename(conn, completion, now, out),
            Completion::LoggedIn(_, Ok(granted)) if is_stale(&granted) => {
                self.tell(conn, CHANGED, now, out);
            }
            Completion::Registered(Ok(granted)) if is_stale(&granted) => {
                self.tell(conn, CHANGED, now, out);
                if let Some(name) = self.users.get(conn).and_then(Session::user_name) {
                    // it may be there, with another password
                    let change = AccountChange::Added(super::Role::User);
                    self.apply_account_change(&name, change, granted.revision, now, out);
                }
            }
            completion => self.complete(conn, completion, now, out),
        }
        (!self.is_waiting(conn)).then_some(conn)
    }

    /// Tells a user what became of what it asked.
    fn complete(&mut self, conn: ConnId, completion: Completion, now: Now, out: &mut Output) {
        let mut call = Call { hub: self, conn, now, out };
        match completion {
            Completion::Answered(answer) => {
                call.answer_at_length(&answer.unwrap_or_else(|refusal| format!("❌ {refusal}")));
            }
            Completion::Registered(_)
            | Completion::LoggedIn(..)
            | Completion::PasswordChanged(_)
            | Completion::Unregistered(_) => self.complete_account(conn, completion, now, out),
            Completion::Synced(result) => call.complete_sync(result),
            Completion::Replayed(at, page) => call.complete_replay(&at, page),
            Completion::Forgotten(at, id, result) => call.complete_forget(&at, id, result),
            Completion::Left(account, result) => call.complete_leave(&account, result),
            Completion::Collected(page) => call.complete_collect(page),
            Completion::Claimed
            | Completion::Reserved
            | Completion::Unreserved
            | Completion::Refused(_)
            | Completion::Failed => call.answer("❌ The command failed. Try again later."),
        }
    }

    /// Asks for another name for a user (`/nick`): the old one is kept until it is given.
    pub(super) fn request_name(
        &mut self,
        call_of: ConnId,
        name: UserName,
        out: &mut Output,
    ) -> Result<(), Busy> {
        let Some(address) = self.users.get(call_of).map(|session| session.address) else {
            return Ok(());
        };
        match self.wait(call_of, 2 * name.as_str().len()) {
            Ok(token) => out.effects.push_back(Effect::Claim { token, name, address }),
            Err(busy) => {
                self.users.end_renaming(call_of, false);
                return Err(busy);
            }
        }
        Ok(())
    }

    /// It is decided about another name for a user.
    fn rename(&mut self, conn: ConnId, decision: Completion, now: Now, out: &mut Output) {
        let name = self.users.get(conn).and_then(Session::renaming).cloned();
        let banned = name.as_ref().and_then(|name| self.ban_of(conn, Some(name), now));
        let decision = match (decision, banned, name) {
            (Completion::Claimed, Some(reason), Some(name)) => {
                out.effects.push_back(Effect::Release { name });
                Completion::Refused(reason)
            }
            (decision, ..) => decision,
        };
        let is_given = decision == Completion::Claimed;
        let renamed_from = self.users.end_renaming(conn, is_given);
        let Some(session) = self.users.get(conn) else { return };
        let (Some(name), address) = (session.user_name(), session.address) else { return };
        let Some(old) = renamed_from else {
            let reason = match decision {
                Completion::Refused(reason) => reason,
                Completion::Reserved => RESERVED.to_owned(),
                _ => UNCHECKED.to_owned(),
            };
            return self.tell(conn, &name_stays(name.as_str(), &reason), now, out);
        };
        if let Some(session) = self.users.get_mut(conn)
            && session.wanted().is_some()
        {
            session.extras_mut().wanted = None;
        }
        self.tell(conn, &format!("You are now {name}."), now, out);
        self.notify_rooms(conn, Change::Renamed, &renamed(old.as_str(), name.as_str()), now, out);
        out.effects.push_back(Effect::Release { name: old.clone() });
        out.events.push(Event::Renamed { conn, address, old, name });
    }

    /// Why a connection is banned, by its address or by the name that it is to have.
    pub(super) fn ban_of(&self, conn: ConnId, name: Option<&UserName>, now: Now) -> Option<String> {
        let (address, now) = (self.users.get(conn)?.address, now.monotonic);
        let of_address = self.sanctions.ban_of_address(address, now);
        let of_name = || self.sanctions.ban_of_name(name?.as_str(), now);
        of_address
            .map(|ban| ban.reason_for("your address is", now))
            .or_else(|| of_name().map(|ban| ban.reason_for("you are", now)))
    }

    /// Makes a claimant whose name was granted a user, unless it was banned meanwhile.
    pub(super) fn admit_user(&mut self, conn: ConnId, now: Now, out: &mut Output) {
        let Some(name) = self.users.get(conn).and_then(Session::user_name) else { return };
        if let Some(reason) = self.ban_of(conn, Some(&name), now) {
            self.refuse(conn, name.as_str(), &reason, now, out);
            return out.effects.push_back(Effect::Release { name });
        }
        self.users.register(conn);
        let online = self.users.online();
        let Some(session) = self.users.get_mut(conn) else { return };
        let (address, kind) = (session.address, session.kind);
        if let Some(mute) = self.sanctions.mute_of(&name, now.monotonic) {
            session.extras_mut().mute = Some(mute.of_session());
        }
        Call { hub: self, conn, now, out }.welcome();
        if self.announces {
            self.notify(Audience::Everyone, conn, Change::Joined, name.as_str(), now, out);
        }
        out.events.push(Event::Registered { conn, address, name, kind, online });
    }

    /// Tells a connection that it does not become a user, and closes it.
    pub(super) fn refuse(
        &mut self,
        conn: ConnId,
        name: &str,
        reason: &str,
        now: Now,
        out: &mut Output,
    ) {
        self.depart(conn, Departure::Left, now, out);
        // who is refused and slow to go, or comes again and again, keeps nobody else out
        self.users.release_place(conn);
        let Some(session) = self.users.get(conn) else { return };
        let address = session.address;
        self.tell(conn, &format!("⛔ Error: {reason}"), now, out);
        let (name, reason) = (answer::shortened(name).into_owned(), reason.to_owned());
        out.events.push(Event::Refused { conn, address, name, reason });
        out.close(conn);
    }

    /// The connection is a user no longer and its name is free; it stays until it is closed.
    pub(super) fn depart(&mut self, conn: ConnId, reason: Departure, now: Now, out: &mut Output) {
        let Some(session) = self.users.get(conn) else { return };
        let claimed = match session.phase {
            Phase::Claiming => session.user_name(),
            _ => session.renaming().cloned(),
        };
        self.abandon(conn, claimed);
        let change =
            if reason == Departure::Kicked { Change::Kicked } else { Change::Disconnected };
        self.leave_rooms(conn, change, now, out);
        self.set_watching(conn, false);
        self.take_answer(conn);
        self.read_pages(out);
        let was_user = self.users.release_name(conn);
        self.compact_visits();
        let online = self.users.online();
        let Some(session) = self.users.get_mut(conn) else { return };
        if !was_user {
            // refusals and the like address the guest that it is
            return session.forget_name();
        }
        let (address, Some(name)) = (session.address, session.user_name()) else { return };
        if self.announces {
            self.notify(Audience::Everyone, conn, change, name.as_str(), now, out);
        }
        out.effects.push_back(Effect::Release { name: name.clone() });
        out.events.push(Event::Departed { conn, address, name, reason, online });
    }
}

/// What is said of a name that somebody has.
pub(super) fn in_use(name: &UserName) -> String {
    format!("the name {} is already in use.", quoted(name.as_str()))
}

/// What a user is told whose name stays what it is.
pub(super) fn name_stays(name: &str, reason: &str) -> String {
    format!("❌ Your name stays {name}: {reason}")
}

const RESERVED: &str =
    "that name belongs to an account, or looks like one that does. If it is yours, send /login.";
const UNCHECKED: &str = "the name cannot be checked now. Try again later.";
const CHANGED: &str = "❌ Not logged in: the account was changed meanwhile. Log in again.";
