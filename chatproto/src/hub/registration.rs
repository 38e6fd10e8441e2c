//! From a connection to a user and back: registration, what waits for an effect, and departure.

use std::net::IpAddr;

use crate::directory::ClaimPurpose;
use crate::handshake::PeerKind;
use crate::name::{NameError, UserName};

use super::claim::Pending;
use super::hub::Call;
use super::presence::{Change, renamed};
use super::replies::{CHANGED, UNCHECKED};
use super::room::Audience;
use super::session::{Phase, Session};
use super::waiting::Busy;
use super::{
    AccountChange, Completion, ConnId, Departure, Effect, Event, Hub, Now, Output, RefusalReason,
    StateChange, Token, Transport,
};

impl Hub {
    /// A connection was accepted, on the event loop `lane`. If there are too many, it is refused
    /// in the output; it has an id all the same, until [`Hub::handle_disconnect`]. After
    /// [`Hub::handle_shutdown`] it is told that the server is shutting down.
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
        if self.is_stopping {
            self.say_goodbye(conn, now, out);
        } else if !self.refuse_if_full(conn, now, out) {
            self.judge_address(conn, address, of_address, now, out);
        }
        conn
    }

    /// Refuses a new connection if there are too many in all. Returns whether it did.
    pub(super) fn refuse_if_full(&mut self, conn: ConnId, now: Now, out: &mut Output) -> bool {
        let is_full = self.users.places() > self.limits.connections;
        if is_full {
            let reason = "the server is full. Try again later.";
            self.refuse(conn, "", RefusalReason::Full, reason, now, out);
        }
        is_full
    }

    /// Refuses a new connection if its address has too many, or is banned.
    pub(super) fn judge_address(
        &mut self,
        conn: ConnId,
        address: IpAddr,
        of_address: u32,
        now: Now,
        out: &mut Output,
    ) {
        if !address.is_loopback() && of_address as usize > self.limits.per_address {
            let reason = "there are too many connections from your address. Close some.";
            self.refuse(conn, "", RefusalReason::PerAddress, reason, now, out);
        } else if let Some(reason) = self.ban_of(conn, None, now) {
            self.refuse(conn, "", RefusalReason::Banned, &reason, now, out);
        }
    }

    /// The peer's name is complete: `bytes`, as they came.
    ///
    /// Emits [`Effect::Claim`], or [`Effect::CheckReserved`], where there are accounts or a directory;
    /// until its completion the connection's input must wait (see [`Hub::is_waiting`]).
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
        let name = match UserName::from_bytes(bytes, self.limits.name) {
            Ok(name) => name,
            Err(error) => return self.handle_bad_name(conn, bytes, error, now, out),
        };
        if let Err(error) = name.check_request() {
            let reason = format!("{error}. Choose another name and connect again.");
            let why = RefusalReason::InvalidName;
            return self.refuse(conn, name.as_str(), why, &reason, now, out);
        }
        if let Some(reason) = self.ban_of(conn, Some(&name), now) {
            return self.refuse(conn, name.as_str(), RefusalReason::Banned, &reason, now, out);
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
                    Err(busy) => self.refuse_busy(conn, &name, busy, now, out),
                };
            }
            return self.refuse_taken(conn, &name, now, out);
        }
        self.claim_first_name(conn, &name, now, out);
    }

    /// Asks for the name of a connection that is to be a user.
    pub(super) fn claim_first_name(
        &mut self,
        conn: ConnId,
        name: &UserName,
        now: Now,
        out: &mut Output,
    ) {
        if !self.asks_for_names() {
            return self.admit_claimant(conn, None, now, out);
        }
        if let Err(busy) = self.claim_name(conn, name, ClaimPurpose::Register, now, out) {
            self.refuse_busy(conn, name, busy, now, out);
        }
    }

    /// A TLS handshake is done, so the connection is encrypted: to be said before its name is handed in.
    pub fn handle_secured(&mut self, conn: ConnId) {
        let Some(transport) = self.users.get(conn).map(|session| session.transport) else { return };
        self.counts.tls_handshakes += 1;
        self.users.set_transport(conn, transport.secured());
    }

    /// How the bytes of the connection travel, if that is not [`Transport::Text`]: to be said before its name
    /// is handed in. A handshake that somebody else has done is not counted as one of the server's.
    pub fn handle_transport(&mut self, conn: ConnId, transport: Transport) {
        self.users.set_transport(conn, transport);
    }

    /// A name came in clear where only TLS is spoken: the connection is refused.
    pub fn handle_insecure_name(&mut self, conn: ConnId, bytes: &[u8], now: Now, out: &mut Output) {
        let name = String::from_utf8_lossy(&bytes[..bytes.len().min(256)]);
        let reason = "this server speaks TLS only. Connect again with TLS.";
        self.refuse(conn, name.trim(), RefusalReason::TlsRequired, reason, now, out);
    }

    /// The connection could not be encrypted; whatever the reason, it does not become a user.
    pub fn handle_failed_handshake(&mut self, conn: ConnId, reason: String, out: &mut Output) {
        self.users.release_place(conn);
        if let Some(session) = self.users.get(conn) {
            let address = session.address;
            self.counts.tls_failures += 1;
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
        self.refuse(conn, name.trim(), RefusalReason::InvalidName, &reason, now, out);
    }

    /// [`Limits::registration`](crate::Limits::registration) is over: whoever is no user by now,
    /// because no name came or because nobody decided about it, is refused.
    pub fn handle_deadline(&mut self, conn: ConnId, now: Now, out: &mut Output) {
        let within = self.limits.registration.as_secs_f32();
        let (why, reason) = match self.users.get(conn).map(|session| session.phase) {
            Some(Phase::Guest) => (
                RefusalReason::NoName,
                format!("no name came within {within} s. Send one and connect again."),
            ),
            Some(Phase::Claiming) => (
                RefusalReason::Unchecked,
                format!("the name could not be checked within {within} s. Try again later."),
            ),
            _ => return,
        };
        self.refuse(conn, "", why, &reason, now, out);
    }

    /// The peer will send nothing more, and the effect that it waits for takes too long: it is waited
    /// for no longer, and the connection closed.
    pub fn handle_overdue(&mut self, conn: ConnId, now: Now, out: &mut Output) {
        let Some(session) = self.users.get(conn).filter(|_| self.is_waiting(conn)) else { return };
        if session.phase == Phase::Claiming {
            self.refuse(conn, "", RefusalReason::Unchecked, UNCHECKED, now, out);
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
        if self.end_release(token.serial, out) {
            return None;
        }
        let order = self.orders.end(token.serial);
        if let Some(claimed) = self.end_abandoned(token.serial) {
            if let Some(name) = claimed {
                self.complete_abandoned_claim(token, &name, &completion, now, out);
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
        if session.phase == Phase::Claiming || session.pending().is_some() {
            self.complete_claim(token, completion, order, now, out);
            return (!self.is_waiting(conn)).then_some(conn);
        }
        match completion {
            Completion::LoggedIn(account, Ok(granted)) => {
                self.begin_login(conn, account, granted, order, now, out);
            }
            Completion::Registered(Ok(granted))
                if order.is_some_and(|order| order.is_newer_than(granted.revision)) =>
            {
                self.tell(conn, &format!("❌ Not logged in: {CHANGED}"), now, out);
                if let Some(name) = self.users.get(conn).and_then(Session::user_name) {
                    // it may be there, with another password
                    let change = AccountChange::Added(super::Role::User);
                    self.apply_account_change(&name, change, granted.revision, now, out);
                }
            }
            completion => self.complete(conn, completion, now, out),
        }
        self.send_owed(conn, now, out);
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
            Completion::Claimed(_)
            | Completion::Reserved
            | Completion::Unreserved
            | Completion::Refused(_)
            | Completion::Moved(_)
            | Completion::Released
            | Completion::Resumed
            | Completion::Failed => call.answer("❌ The command failed. Try again later."),
        }
    }

    /// Asks for another name for a user (`/nick`), which is free: the old one is kept until it is given.
    pub(super) fn claim_other_name(
        &mut self,
        conn: ConnId,
        name: &UserName,
        now: Now,
        out: &mut Output,
    ) -> Result<(), Busy> {
        if self.asks_for_names() {
            self.claim_name(conn, name, ClaimPurpose::Rename, now, out)?;
            self.users.set_pending(conn, Pending::Rename(name.clone()));
        } else {
            self.rename(conn, name, None, now, out);
        }
        Ok(())
    }

    /// A user gets another name.
    pub(super) fn rename(
        &mut self,
        conn: ConnId,
        name: &UserName,
        lease: Option<u64>,
        now: Now,
        out: &mut Output,
    ) {
        // a user that was muted since it asked for the name stays muted
        let mute = self.users.get(conn).and_then(|session| self.mute_of(session, now.monotonic));
        let Some((old, address)) = self.replace_name(conn, name, lease, out) else { return };
        if let Some(session) = self.users.get_mut(conn) {
            if mute.is_some() {
                session.extras_mut().mute = mute;
            }
            if session.wanted().is_some() {
                session.extras_mut().wanted = None;
            }
            if session.role() > super::Role::User {
                session.extras_mut().maker.get_or_insert_with(|| old.as_str().into());
            }
        }
        self.tell(conn, &format!("You are now {name}."), now, out);
        self.state_renamed(conn, &old, out);
        self.notify_rooms(conn, Change::Renamed, &renamed(old.as_str(), name.as_str()), now, out);
        out.events.push(Event::Renamed { conn, address, old, name: name.clone() });
    }

    /// Gives a user another name, and the old one back. Returns the old one, and the user's address.
    pub(super) fn replace_name(
        &mut self,
        conn: ConnId,
        name: &UserName,
        lease: Option<u64>,
        out: &mut Output,
    ) -> Option<(UserName, IpAddr)> {
        let old = self.rename_to(conn, name)?;
        let lease = lease.filter(|_| self.has_directory());
        let session = self.users.get_mut(conn)?;
        let address = session.address;
        let old_lease = std::mem::replace(&mut session.lease, lease);
        self.release(conn, old.clone(), old_lease, out);
        Some((old, address))
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
            return self.refuse(conn, name.as_str(), RefusalReason::Banned, &reason, now, out);
        }
        self.users.register(conn);
        let online = self.users.online();
        let Some(session) = self.users.get(conn) else { return };
        let (address, kind) = (session.address, session.kind);
        self.note_joined(conn);
        Call { hub: self, conn, now, out }.welcome();
        if self.announces {
            self.notify(Audience::Everyone, conn, Change::Joined, name.as_str(), now, out);
        }
        self.counts.registered += 1;
        out.events.push(Event::Registered { conn, address, name, kind, online });
    }

    /// The connection is a user no longer and its name is free; it stays until it is closed.
    pub(super) fn depart(&mut self, conn: ConnId, reason: Departure, now: Now, out: &mut Output) {
        let Some(session) = self.users.get(conn) else { return };
        let was_visitor = session.phase == Phase::Visitor;
        let name = session.user_name();
        self.abandon_effect(conn);
        let change = if matches!(reason, Departure::Kicked | Departure::Banned) {
            Change::Kicked
        } else {
            Change::Disconnected
        };
        self.leave_rooms(conn, change, now, out);
        self.set_watching(conn, false);
        self.set_wants_state(conn, false);
        self.take_answer(conn);
        self.read_pages(out);
        let was_user = self.users.release_name(conn);
        self.compact_visits();
        let online = self.users.online();
        let Some(session) = self.users.get_mut(conn) else { return };
        let (address, lease) = (session.address, session.lease.take());
        if !was_user && !was_visitor {
            // it was told no name: refusals and the like address the guest that it is
            session.forget_name();
        }
        let Some(name) = name else { return };
        self.release(conn, name.clone(), lease, out);
        if !was_user {
            return;
        }
        self.changes.note(|| StateChange::Left { name: name.clone(), reason });
        if self.announces {
            self.notify(Audience::Everyone, conn, change, name.as_str(), now, out);
        }
        self.counts.departed.add(reason);
        out.events.push(Event::Departed { conn, address, name, reason, online });
    }
}
