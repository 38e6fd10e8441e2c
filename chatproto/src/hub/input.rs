//! The input of connections: messages, errors and ends.

use std::sync::Arc;

use crate::endpoint::{self, Request, without_own_name};
use crate::error::{DecodeError, ErrorClass};
use crate::handshake::Stranger;
use crate::message::MessageRef;
use crate::text::trim;
use crate::websocket::Violation;

use super::excerpt::quoted;
use super::hub::Call;
use super::replies::TOO_MANY;
use super::session::{Phase, Session};
use super::{ConnId, Departure, Effect, Event, Hub, Now, Output, RefusalReason};

impl Hub {
    /// A message came. False if the connection waits (see [`Hub::is_waiting`]): then nothing was done,
    /// and the message and all that follows it must be handed in again when it waits no longer.
    pub fn handle_message(
        &mut self,
        conn: ConnId,
        message: &MessageRef<'_>,
        now: Now,
        out: &mut Output,
    ) -> bool {
        if let Err(handled) = self.admit(conn) {
            return handled;
        }
        let to = message.to.to_str();
        let to = trim(&to);
        if self.accounts.is_some() && !self.may_send(conn, to, now, out) {
            return true;
        }
        match to.as_bytes().first() {
            Some(b'/') => self.handle_command(conn, message, to, now, out),
            Some(b'#') => Call { hub: self, conn, now, out }.forward_to_room(message, to),
            _ => Call { hub: self, conn, now, out }.forward(message, to),
        }
        true
    }

    fn handle_command(
        &mut self,
        conn: ConnId,
        message: &MessageRef<'_>,
        to: &str,
        now: Now,
        out: &mut Output,
    ) {
        let Some(found) = self.endpoints.get(to) else {
            let text =
                format!("❌ Unknown command {}. Send /help to see the commands.", quoted(to));
            return self.tell(conn, &text, now, out);
        };
        match &found.action {
            endpoint::Action::Builtin(command) => {
                let command = *command;
                let mut call = Call { hub: self, conn, now, out };
                if call.session().role() >= command.role {
                    return (command.run)(&mut call, message);
                }
                let reason = format!("{} is for {}", command.name, command.role.plural());
                call.deny(command.name, &reason);
            }
            endpoint::Action::Handler(handler) => {
                let (handler, endpoint) = (Arc::clone(handler), Arc::clone(&found.name));
                let Some(user) = self.users.get(conn).and_then(Session::user_name) else {
                    return;
                };
                let msg = without_own_name(&message.msg.to_str(), to).to_owned();
                let request = Request { user, endpoint, msg };
                match self.wait(conn, request.msg.len() + request.user.as_str().len()) {
                    Ok(token) => out.effects.push_back(Effect::Call { token, handler, request }),
                    Err(busy) => self.tell(conn, &format!("❌ Not done: {busy}"), now, out),
                }
            }
        }
    }

    /// The peer sent something that is not a message (B8): it is told. After a framing error, or
    /// one schema error too many ([`Limits::errors`](crate::Limits::errors)), the connection is closed. False
    /// as in [`Hub::handle_message`].
    pub fn handle_decode_error(
        &mut self,
        conn: ConnId,
        error: &DecodeError,
        now: Now,
        out: &mut Output,
    ) -> bool {
        if let Err(handled) = self.admit(conn) {
            return handled;
        }
        let name = Call { hub: self, conn, now, out }.user_name();
        out.events.push(Event::BadInput { conn, name, error: *error });
        let (what, departure) = match error.class() {
            ErrorClass::Framing => ("", Departure::Broken),
            ErrorClass::Schema if !self.is_one_too_many(conn, now) => {
                self.tell(conn, &format!("❌ Error: {error}. It was ignored."), now, out);
                return true;
            }
            ErrorClass::Schema => (TOO_MANY, Departure::Erring),
        };
        let text = format!("⛔ Error: {error}.{what} The connection is closed.");
        self.tell(conn, &text, now, out);
        self.handle_eviction(conn, departure, now, out);
        true
    }

    /// The peer violated the rules of its framing: it is told, and the connection is closed.
    pub fn handle_violation(
        &mut self,
        conn: ConnId,
        violation: Violation,
        now: Now,
        out: &mut Output,
    ) {
        let Some(session) = self.users.get(conn) else { return };
        let text = format!("{violation}. The connection is closed.");
        if self.admit(conn).is_err() {
            if session.phase == Phase::Guest {
                self.refuse(conn, "", RefusalReason::Framing, &text, now, out);
            }
            return;
        }
        let address = session.address;
        let name = Call { hub: self, conn, now, out }.user_name();
        out.events.push(Event::FramingViolated { conn, address, name, violation });
        self.tell(conn, &format!("⛔ Error: {text}"), now, out);
        self.handle_eviction(conn, Departure::Broken, now, out);
    }

    /// The connection is gone, or will send nothing more and everything it sent was handled. Its
    /// id is free; nothing more comes out for it.
    pub fn handle_disconnect(
        &mut self,
        conn: ConnId,
        reason: Departure,
        now: Now,
        out: &mut Output,
    ) {
        self.depart(conn, reason, now, out);
        self.users.disconnect(conn);
    }

    /// The peer will send nothing more: it is a user no longer, but what is on its way to it still
    /// is. [`Hub::handle_disconnect`] must follow. False as in [`Hub::handle_message`].
    #[must_use = "false: nothing was done, and it must be called again"]
    pub fn handle_end(
        &mut self,
        conn: ConnId,
        reason: Departure,
        now: Now,
        out: &mut Output,
    ) -> bool {
        let can_end = !self.is_waiting(conn);
        if can_end {
            self.handle_eviction(conn, reason, now, out);
        }
        can_end
    }

    /// The peer is not to be listened to any more, whether it waits for something or not: else as
    /// [`Hub::handle_end`].
    pub fn handle_eviction(&mut self, conn: ConnId, reason: Departure, now: Now, out: &mut Output) {
        self.state_closed(conn, reason, out);
        self.depart(conn, reason, now, out);
        out.close(conn);
    }

    /// Connections keep more unfinished input in all than they may, and this one most of it: it is told
    /// and closed.
    pub fn handle_input_overflow(&mut self, conn: ConnId, now: Now, out: &mut Output) {
        let text = "⛔ Error: this server has no memory left for unfinished messages, and most of \
                    it was yours. Connect again later. The connection is closed.";
        self.tell(conn, text, now, out);
        self.handle_eviction(conn, Departure::Unfinished, now, out);
    }

    /// A connection that is being closed has been sent everything and only waits for its peer's
    /// end: it counts against [`Limits::connections`](crate::Limits::connections) and
    /// [`Limits::per_address`](crate::Limits::per_address) no longer.
    pub fn handle_drained(&mut self, conn: ConnId) {
        self.users.release_place(conn);
    }

    /// The peer speaks another protocol (B13): it is told so, as far as it can understand.
    pub fn handle_stranger(
        &mut self,
        conn: ConnId,
        stranger: Stranger,
        now: Now,
        out: &mut Output,
    ) {
        let Some(session) = self.users.get(conn) else { return };
        let (address, protocol) = (session.address, stranger.protocol());
        self.counts.strangers += 1;
        out.events.push(Event::Stranger { address, protocol });
        out.deliver_raw(conn, stranger.answer());
        self.handle_eviction(conn, Departure::Left, now, out);
    }

    /// Whether [`Hub::handle_shutdown`] was called.
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    /// The server stops: everybody is told and closed.
    pub fn handle_shutdown(&mut self, now: Now, out: &mut Output) {
        self.is_stopping = true;
        let all: Vec<ConnId> = self.users.connections().collect();
        for conn in all {
            self.say_goodbye(conn, now, out);
        }
    }

    /// Tells a connection that the server stops, and closes it, unless it is being closed already.
    pub(super) fn say_goodbye(&mut self, conn: ConnId, now: Now, out: &mut Output) {
        if self.users.get(conn).is_some_and(|session| session.phase != Phase::Closing) {
            self.tell(conn, "The server is shutting down. Goodbye!", now, out);
            self.handle_eviction(conn, Departure::Shutdown, now, out);
        }
    }

    /// Whether the input of this connection is to be handled now; else whether it is handled (by
    /// being ignored: the connection is no user's) or must wait.
    fn admit(&self, conn: ConnId) -> Result<(), bool> {
        let session = self.users.get(conn).ok_or(true)?;
        match session.phase {
            _ if session.waits_for != 0 || session.answer().is_some() => Err(false),
            Phase::Registered | Phase::Visitor => Ok(()),
            _ => Err(true),
        }
    }
}
