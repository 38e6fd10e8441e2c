//! The hub: who is who and who gets what, as a pure state machine (A6–A11, B5, B6, B8, B10, B11).
//!
//! No socket, no clock, no thread. Inputs are the `handle_*` calls, time is an argument, and what
//! the hub wants done is appended to an [`Output`]. Two hubs with one seed that get the same calls
//! say the same, byte for byte. The same hub runs under the server, in a simulation, under a
//! fuzzer, and in a test:
//!
//! ```
//! use chatproto::{Completion, Decoder, Effect, Hub, Now, Outgoing, Output, PeerKind};
//!
//! let mut hub = Hub::builder().build();
//! let (mut out, now) = (Output::new(), Now::system());
//! let join = |hub: &mut Hub, out: &mut Output, name: &str| {
//!     let conn = hub.handle_connect(0, [127, 0, 0, 1].into(), now, out);
//!     hub.handle_name(conn, name.as_bytes(), PeerKind::Stream, now, out);
//!     while let Some(Effect::Claim { token, .. }) = out.next_effect() {
//!         hub.handle_completion(token, Completion::Claimed, now, out);
//!     }
//!     conn
//! };
//! let alice = join(&mut hub, &mut out, "alice");
//! let bob = join(&mut hub, &mut out, "bob");
//! out.clear();
//!
//! let mut input = &br#"{"from":{"name":"alice","ip":""},"to":"bob","msg":"hi"}"#[..];
//! let frame = Decoder::default().decode(&mut input).unwrap().unwrap();
//! hub.handle_message(alice, &frame.message(), now, &mut out);
//! let expected = b"{\"from\":{\"name\":\"alice\",\"ip\":\"127.0.0.1\"},\"to\":\"bob\",\"msg\":\"hi\"}\n";
//! assert_eq!(out.actions().collect::<Vec<_>>(), [(bob, Outgoing::Object(expected))]);
//! ```

mod answer;
mod builder;
mod commands;
mod output;
mod route;
mod users;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use crate::endpoint::{Action, Endpoints, Request, without_own_name};
use crate::error::{DecodeError, ErrorClass};
use crate::handshake::{PeerKind, Stranger};
use crate::limits::Limits;
use crate::message::MessageRef;
use crate::name::{NameError, UserName};

pub use builder::HubBuilder;
pub(crate) use output::Action as LaneAction;
pub use output::{Completion, Departure, Effect, Event, Outgoing, Output, Token};

use answer::quoted;
use commands::Builtin;
use route::Call;
use users::{Phase, Session, Users};

/// A connection. Slots are used again, ids are not: mail for a connection that is gone reaches
/// nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId {
    pub(crate) lane: u16,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl ConnId {
    /// The lane that the connection was made in: one per event loop, chosen by the caller.
    pub fn lane(self) -> usize {
        self.lane.into()
    }

    /// A small number that no other connection of the lane has at the same time: an index for
    /// what the caller keeps of it.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// The time of a call.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For durations.
    pub monotonic: Instant,
    /// For people: the server's local date and time.
    pub local: jiff::civil::DateTime,
}

impl Now {
    /// The clocks of this machine.
    pub fn system() -> Self {
        Now { monotonic: Instant::now(), local: jiff::Zoned::now().datetime() }
    }
}

/// See the [module's documentation](self).
#[derive(Debug)]
pub struct Hub {
    users: Users,
    endpoints: Endpoints<Builtin>,
    limits: Limits,
    /// Of the last effect; never 0.
    serial: u32,
    /// Claims under way whose claimant has left, by serial: to be given back if they are granted.
    orphans: HashMap<u32, UserName, FixedState>,
}

impl Hub {
    /// A hub with the five endpoints of the protocol and the default bounds.
    pub fn builder() -> HubBuilder {
        HubBuilder::new()
    }

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
        if self.users.connected() > self.limits.connections {
            self.refuse(conn, "", "the server is full. Try again later.", now, out);
        } else if !address.is_loopback() && of_address as usize > self.limits.per_address {
            let reason = "there are too many connections from your address. Close some.";
            self.refuse(conn, "", reason, now, out);
        }
        conn
    }

    /// The peer's name is complete: `bytes`, as they came.
    ///
    /// Emits [`Effect::Claim`]; until its completion the connection's input must wait (see
    /// [`Hub::is_waiting`]).
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
        if !self.users.claim(conn, &name) {
            let reason = format!(
                "the name {} is already in use. Choose another one and connect again.",
                quoted(name.as_str())
            );
            return self.refuse(conn, name.as_str(), &reason, now, out);
        }
        let token = self.wait(conn);
        out.effects.push_back(Effect::Claim { token, name, address });
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

    /// [`Limits::registration`] is over: whoever is no user by now, because no name came or because
    /// nobody decided about it, is refused.
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

    /// The peer ended its name with a line feed after all: it is a stream peer (B2).
    pub fn handle_late_line_feed(&mut self, conn: ConnId) {
        if let Some(session) = self.users.get_mut(conn) {
            session.kind = PeerKind::Stream;
        }
    }

    /// A message came. False if the connection waits for an effect: then nothing was done, and the
    /// message and all that follows it must be handed in again after the completion.
    pub fn handle_message(
        &mut self,
        conn: ConnId,
        message: &MessageRef<'_>,
        now: Now,
        out: &mut Output,
    ) -> bool {
        let session = match self.admit(conn) {
            Ok(session) => session,
            Err(handled) => return handled,
        };
        let to = message.to.to_str();
        let to = to.trim();
        let mut call = Call { hub: self, conn, session, now, out };
        if !to.starts_with('/') {
            call.forward(message, to);
            return true;
        }
        match self.endpoints.get(to).map(|endpoint| (endpoint, endpoint.action.clone())) {
            None => call.answer(&format!(
                "❌ Unknown command {}. Send /help to see the commands.",
                quoted(to)
            )),
            Some((_, Action::Builtin(run))) => run(&mut call, message),
            Some((endpoint, Action::Handler(handler))) => {
                let request = Request {
                    user: UserName::from_normalised(call.user()),
                    endpoint: Arc::clone(&endpoint.name),
                    msg: without_own_name(&message.msg.to_str(), to).to_owned(),
                };
                let token = self.wait(conn);
                out.effects.push_back(Effect::Call { token, handler, request });
            }
        }
        true
    }

    /// The peer sent something that is not a message (B8): it is told, and after a framing error
    /// the connection is closed. False as in [`Hub::handle_message`].
    pub fn handle_decode_error(
        &mut self,
        conn: ConnId,
        error: &DecodeError,
        now: Now,
        out: &mut Output,
    ) -> bool {
        let session = match self.admit(conn) {
            Ok(session) => session,
            Err(handled) => return handled,
        };
        let mut call = Call { hub: self, conn, session, now, out };
        let name = UserName::from_normalised(call.user());
        call.out.events.push(Event::BadInput { conn, name, error: *error });
        match error.class() {
            ErrorClass::Schema => call.answer(&format!("❌ Error: {error}. It was ignored.")),
            ErrorClass::Framing => {
                call.answer(&format!("⛔ Error: {error}. The connection is closed."));
                self.depart(conn, Departure::Broken, out);
                out.close(conn);
            }
        }
        true
    }

    /// The connection is gone, or will send nothing more and everything it sent was handled. Its
    /// id is free; nothing more comes out for it.
    pub fn handle_disconnect(&mut self, conn: ConnId, reason: Departure, out: &mut Output) {
        self.depart(conn, reason, out);
        self.users.disconnect(conn);
    }

    /// The peer will send nothing more: it is a user no longer, but what is on its way to it still
    /// is. [`Hub::handle_disconnect`] must follow. False as in [`Hub::handle_message`].
    #[must_use = "false: nothing was done, and it must be called again"]
    pub fn handle_end(&mut self, conn: ConnId, reason: Departure, out: &mut Output) -> bool {
        let can_end = !self.is_waiting(conn);
        if can_end {
            self.handle_eviction(conn, reason, out);
        }
        can_end
    }

    /// The peer is not to be listened to any more, whether it waits for something or not: else as
    /// [`Hub::handle_end`].
    pub fn handle_eviction(&mut self, conn: ConnId, reason: Departure, out: &mut Output) {
        self.depart(conn, reason, out);
        out.close(conn);
    }

    /// The peer speaks another protocol (B13): it is told so, as far as it can understand.
    pub fn handle_stranger(&mut self, conn: ConnId, stranger: Stranger, out: &mut Output) {
        let Some(session) = self.users.get(conn) else { return };
        let (address, protocol) = (session.address, stranger.protocol());
        out.events.push(Event::Stranger { address, protocol });
        out.deliver_raw(conn, stranger.answer());
        self.depart(conn, Departure::Left, out);
        out.close(conn);
    }

    /// An effect finished. Returns its connection if that still exists: its input may go on.
    pub fn handle_completion(
        &mut self,
        token: Token,
        completion: Completion,
        now: Now,
        out: &mut Output,
    ) -> Option<ConnId> {
        if let Some(name) = self.orphans.remove(&token.serial) {
            if completion == Completion::Claimed {
                out.effects.push_back(Effect::Release { name });
            }
            return None;
        }
        let conn = token.conn;
        let session = self.users.get_mut(conn)?;
        if session.waits_for != token.serial {
            return None;
        }
        session.waits_for = 0;
        match (completion, session.phase) {
            (Completion::Claimed, Phase::Claiming) => self.welcome(conn, now, out),
            (completion, Phase::Claiming) => {
                let name = session.name().unwrap_or_default().to_owned();
                let reason = match completion {
                    Completion::Refused(reason) => reason,
                    _ => "the name cannot be checked now. Try again later.".to_owned(),
                };
                self.refuse(conn, &name, &reason, now, out);
            }
            (Completion::Answered(answer), Phase::Registered) => {
                let text = answer.unwrap_or_else(|refusal| format!("❌ {refusal}"));
                self.call(conn, now, out)?.answer(&text);
            }
            (_, Phase::Registered) => {
                self.call(conn, now, out)?.answer("❌ The command failed. Try again later.");
            }
            _ => {}
        }
        Some(conn)
    }

    /// The server stops: everybody is told and closed.
    pub fn handle_shutdown(&mut self, now: Now, out: &mut Output) {
        let all: Vec<ConnId> = self.users.connections().collect();
        for conn in all {
            if let Some(mut call) = self.call(conn, now, out)
                && call.session.phase != Phase::Closing
            {
                call.answer("The server is shutting down. Goodbye!");
                self.depart(conn, Departure::Shutdown, out);
                out.close(conn);
            }
        }
    }

    /// Whether the connection waits for an effect, so that its input must wait too.
    pub fn is_waiting(&self, conn: ConnId) -> bool {
        self.users.get(conn).is_some_and(|session| session.waits_for != 0)
    }

    /// Appends the object that tells a reader how many messages it missed (B9).
    pub fn write_missed(&self, conn: ConnId, missed: u64, closing: bool, object: &mut Vec<u8>) {
        let Some(session) = self.users.get(conn) else { return };
        let plural = if missed == 1 { "message was" } else { "messages were" };
        let text = if closing {
            format!(
                "⛔ Error: you did not read fast enough; {missed} {plural} not delivered. The connection is closed."
            )
        } else {
            format!("❌ You did not read fast enough; {missed} {plural} dropped here.")
        };
        answer::write(object, session, &text);
        object.push(b'\n');
    }

    /// The names of the registered users, in no particular order.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.users.names()
    }

    /// How many users are registered.
    pub fn online(&self) -> usize {
        self.users.online()
    }

    /// How many connections there are, registered or not.
    pub fn connections(&self) -> usize {
        self.users.connected()
    }

    /// The session of a user whose input is to be handled now; else whether it is handled (by
    /// being ignored: the connection is no user's) or must wait.
    fn admit(&self, conn: ConnId) -> Result<&Session, bool> {
        let session = self.users.get(conn).ok_or(true)?;
        match session.phase {
            _ if session.waits_for != 0 => Err(false),
            Phase::Registered => Ok(session),
            _ => Err(true),
        }
    }

    fn call<'a>(&'a self, conn: ConnId, now: Now, out: &'a mut Output) -> Option<Call<'a>> {
        Some(Call { hub: self, conn, session: self.users.get(conn)?, now, out })
    }

    /// The connection's input waits from now on.
    fn wait(&mut self, conn: ConnId) -> Token {
        self.serial = self.serial.checked_add(1).unwrap_or(1);
        let serial = self.serial;
        if let Some(session) = self.users.get_mut(conn) {
            session.waits_for = serial;
        }
        Token { conn, serial }
    }

    fn welcome(&mut self, conn: ConnId, now: Now, out: &mut Output) {
        self.users.register(conn);
        let online = self.users.online();
        let Some(session) = self.users.get(conn) else { return };
        let Some(name) = session.user_name() else { return };
        let (address, kind) = (session.address, session.kind);
        out.events.push(Event::Registered { conn, address, name, kind, online });
        if let Some(mut call) = self.call(conn, now, out) {
            call.welcome();
        }
    }

    /// Tells a connection that it does not become a user, and closes it.
    fn refuse(&mut self, conn: ConnId, name: &str, reason: &str, now: Now, out: &mut Output) {
        self.depart(conn, Departure::Left, out);
        let Some(mut call) = self.call(conn, now, out) else { return };
        call.answer(&format!("⛔ Error: {reason}"));
        let address = call.session.address;
        let (name, reason) = (answer::shortened(name).into_owned(), reason.to_owned());
        out.events.push(Event::Refused { conn, address, name, reason });
        out.close(conn);
    }

    /// The connection is a user no longer and its name is free; it stays until it is closed.
    fn depart(&mut self, conn: ConnId, reason: Departure, out: &mut Output) {
        if let Some(session) = self.users.get(conn)
            && session.phase == Phase::Claiming
            && session.waits_for != 0
            && let Some(name) = session.user_name()
        {
            self.orphans.insert(session.waits_for, name);
        }
        let was_user = self.users.release_name(conn);
        let online = self.users.online();
        let Some(session) = self.users.get_mut(conn) else { return };
        session.waits_for = 0;
        if was_user && let Some(name) = session.user_name() {
            let address = session.address;
            out.effects.push_back(Effect::Release { name: name.clone() });
            out.events.push(Event::Departed { conn, address, name, reason, online });
        }
        if !was_user {
            // refusals and the like address the guest that it is
            session.forget_name();
        }
    }
}
