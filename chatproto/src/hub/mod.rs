//! The hub: who is who and who gets what, as a pure state machine (A6–A11, B5, B6, B8, B10, B11,
//! B15).
//!
//! No socket, no clock, no thread. Inputs are the `handle_*` calls, time is an argument, and what
//! the hub wants done is appended to an [`Output`]. Two hubs with one seed that get the same calls
//! say the same, byte for byte. The same hub runs under the server, in a simulation, under a
//! fuzzer, and in a test:
//!
//! ```
//! use chatproto::{Decoder, Hub, Now, Outgoing, Output, PeerKind};
//!
//! let mut hub = Hub::builder().build();
//! let (mut out, now) = (Output::new(), Now::system());
//! let join = |hub: &mut Hub, out: &mut Output, name: &str| {
//!     let conn = hub.handle_connect(0, [127, 0, 0, 1].into(), now, out);
//!     hub.handle_name(conn, name.as_bytes(), PeerKind::Stream, now, out);
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

mod act;
mod alike;
mod answer;
mod archive;
mod audience;
mod builder;
mod changes;
mod claimants;
mod claims;
mod commands;
mod control;
mod event;
mod guesses;
mod guests;
mod history;
mod login;
mod long;
mod moderation;
mod orders;
mod output;
mod pages;
mod perform;
mod presence;
mod registration;
mod rights;
mod rooms;
mod route;
mod sanctions;
mod snapshot;
mod state;
mod usage;
mod users;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::accounts::AccountPolicy;
use crate::directory::Lease;
use crate::endpoint::{self, Endpoints, Request, without_own_name};
use crate::error::{DecodeError, ErrorClass};
use crate::handshake::Stranger;
use crate::limits::Limits;
use crate::message::MessageRef;
use crate::name::UserName;
use crate::spare::GiveBack;

pub use act::{Action, Actor, Done, Refusal};
pub(crate) use archive::Record;
pub use archive::{
    Conversation, Forgotten, HistoryOrder, Left, MailboxBound, Page, Place, Selection,
};
pub use builder::HubBuilder;
pub use changes::{Change, StateChange, UserState};
pub use control::{Ban, BanTarget, BanTargetError, Mute};
pub use event::{Act, Departure, Event};
pub use login::AccountChange;
pub use moderation::Role;
pub(crate) use output::Action as LaneAction;
pub use output::{Completion, Effect, Outgoing, Output, Token};
pub use rights::{Rank, UnknownRank};
pub use snapshot::{Gap, Snapshot};
pub use usage::{Usage, Used};

use answer::quoted;
use archive::Archive;
use audience::Audience;
use changes::Changes;
use claims::Claims;
use commands::Command;
use guesses::Guesses;
use moderation::Secret;
use orders::Orders;
use pages::Pages;
use presence::Presence;
use rooms::Rooms;
use route::Call;
use sanctions::Sanctions;
use users::{Phase, Users};
use waiting::Waiting;

/// What is added to the error that ends a connection.
const TOO_MANY: &str = " That was one error too many within a minute.";

/// One call of [`Hub::handle_timeout`] makes at most this many deliveries and those to one more
/// audience, because it blocks all other input.
const DUE_AT_ONCE: usize = 1_000;

/// A connection. Slots are used again, ids are not: mail for a connection that is gone reaches
/// nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
        // a clock beyond the year 9999 stands still at its end
        let now = std::time::SystemTime::now();
        let now = jiff::Timestamp::try_from(now).unwrap_or(jiff::Timestamp::MAX);
        let local = now.to_zoned(jiff::tz::TimeZone::system()).datetime();
        Now { monotonic: Instant::now(), local }
    }
}

/// See the [module's documentation](self).
#[derive(Debug)]
pub struct Hub {
    users: Users,
    rooms: Rooms,
    endpoints: Endpoints<&'static Command>,
    limits: Limits,
    /// Nobody has a longer name: the largest bound that there was.
    longest_name: usize,
    sanctions: Sanctions,
    /// Accounts that have a role, by their look-alike keys: the role, and the revision that it is from.
    staff: BTreeMap<Box<str>, BTreeMap<UserName, (Role, u64)>>,
    admin_token: Option<Secret>,
    /// Wrong tokens.
    guesses: Guesses,
    /// Whether everybody is told who comes and goes.
    announces: bool,
    /// What everybody was told of that.
    presence: Presence,
    /// Who is to be told what was counted, and when.
    counts_due: BTreeSet<(Instant, Audience)>,
    dice: fastrand::Rng,
    is_stopping: bool,
    /// Whether there are accounts, and what they are for.
    accounts: Option<AccountPolicy>,
    /// What is kept, if anything is.
    archive: Option<Archive>,
    /// Users who may only log in, and when they were admitted. Entries of those who logged in or left
    /// are removed by [`Hub::compact_visits`].
    visitors: VecDeque<(Instant, ConnId)>,
    /// How many temporary names were made.
    guests: u32,
    /// Look-alike keys of temporary names that are never made, because accounts have such names.
    withheld: BTreeSet<Box<str>>,
    /// Of the last effect; never 0.
    serial: u32,
    /// Pages of history that were asked for.
    pages: Pages,
    /// Bytes that long answers hold.
    held: usize,
    /// Effects under way.
    waiting: Waiting,
    /// Those of them that are orders to the accounts.
    orders: Orders,
    /// Names that are claimed from the directory or given back.
    claims: Claims,
    /// The stream of changes.
    changes: Changes,
    /// How many connections want state lines.
    state_readers: usize,
}

impl Hub {
    /// A hub with the five endpoints of the protocol and the default bounds.
    pub fn builder() -> HubBuilder {
        HubBuilder::new()
    }

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
        let to = to.trim();
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
                let Some(user) = self.users.get(conn).and_then(users::Session::user_name) else {
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
    /// one schema error too many ([`Limits::errors`]), the connection is closed. False as in
    /// [`Hub::handle_message`].
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
    /// end: it counts against [`Limits::connections`] and [`Limits::per_address`] no longer.
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
        out.events.push(Event::Stranger { address, protocol });
        out.deliver_raw(conn, stranger.answer());
        self.handle_eviction(conn, Departure::Left, now, out);
    }

    /// The server stops: everybody is told and closed.
    pub fn handle_shutdown(&mut self, now: Now, out: &mut Output) {
        self.is_stopping = true;
        let all: Vec<ConnId> = self.users.connections().collect();
        for conn in all {
            if self.users.get(conn).is_some_and(|session| session.phase != Phase::Closing) {
                self.tell(conn, "The server is shutting down. Goodbye!", now, out);
                self.handle_eviction(conn, Departure::Shutdown, now, out);
            }
        }
    }

    /// When [`Hub::handle_timeout`] is to be called, if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let count = self.counts_due.first().map(|&(due, _)| due);
        let due = [count, self.login_due(), self.lift_due(), self.claim_due()];
        due.into_iter().flatten().min()
    }

    /// The time has come that [`Hub::poll_timeout`] gave: tells what was counted, refuses those who had
    /// to log in and did not, and ends the wait for claims that the directory does not answer. One call
    /// does a bounded amount of this; for the rest, [`Hub::poll_timeout`] gives a time that has passed.
    pub fn handle_timeout(&mut self, now: Now, out: &mut Output) {
        let mut done = 0;
        while done < DUE_AT_ONCE
            && let Some(&(due, audience)) = self.counts_due.first()
            && due <= now.monotonic
        {
            self.counts_due.pop_first();
            done += 1 + self.tell_count(audience, now, out);
        }
        self.refuse_overdue_visitors(DUE_AT_ONCE, now, out);
        self.end_overdue_claims(DUE_AT_ONCE, now, out);
        self.expire_sanctions(now);
        self.guesses.expire(now.monotonic);
    }

    /// Gives back the memory that a crowd needed and those who are left do not (of large tables, once
    /// no more than a quarter is in use): to be called from time to time. It takes next to no time
    /// unless a crowd has gone since the last call.
    pub fn shrink(&mut self) {
        self.users.shrink();
        self.rooms.shrink();
        self.waiting.shrink();
        self.orders.shrink();
        self.claims.shrink();
        self.visitors.give_back();
    }

    /// Whether the input of the connection must wait: for an effect, or until a long answer is
    /// complete (see [`Hub::handle_writable`]).
    pub fn is_waiting(&self, conn: ConnId) -> bool {
        let is_waiting =
            |session: &users::Session| session.waits_for != 0 || session.answer().is_some();
        self.users.get(conn).is_some_and(is_waiting)
    }

    pub(crate) fn is_waiting_for_effect(&self, conn: ConnId) -> bool {
        self.users.get(conn).is_some_and(|session| session.waits_for != 0)
    }

    /// Appends the object that tells a reader how many messages it missed (B9). If its connection is being
    /// closed for that, it may be two objects: the second one is a state line.
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
        if closing && session.wants_state() {
            answer::write(object, session, state::CLOSED_SLOW);
            object.push(b'\n');
        }
    }

    /// The names of the registered users, in no particular order.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.users.names()
    }

    /// How many users are registered.
    pub fn online(&self) -> usize {
        self.users.online()
    }

    /// How many rooms have members.
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// The connection of the user with the name that these bytes spell, if there is one.
    pub(crate) fn holder_of(&self, name: &[u8]) -> Option<ConnId> {
        let name = UserName::from_bytes(name, self.limits.name).ok()?;
        self.users.find(name.as_str()).map(|(conn, _)| conn)
    }

    /// How many connections there are, registered or not.
    pub fn connections(&self) -> usize {
        self.users.connected()
    }

    /// The revision of the account that the rights of a connection's user are from, if the user is
    /// logged in: see [`Accounts`](crate::Accounts#revisions).
    pub fn account_revision(&self, conn: ConnId) -> Option<u64> {
        self.users.get(conn)?.revision()
    }

    /// The name of a connection's user as the directory granted it. `None` without a directory.
    pub fn lease(&self, conn: ConnId) -> Option<Lease> {
        let session = self.users.get(conn)?;
        Some(Lease::new(session.user_name()?, session.lease?))
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

    /// Says something to a connection that is there.
    fn tell(&mut self, conn: ConnId, text: &str, now: Now, out: &mut Output) {
        if self.users.get(conn).is_some() {
            Call { hub: self, conn, now, out }.answer(text);
        }
    }

    /// Counts an error of a user's that it is told of. Whether it was one too many.
    fn is_one_too_many(&mut self, conn: ConnId, now: Now) -> bool {
        const MINUTE: Duration = Duration::from_secs(60);
        let most = self.limits.errors;
        let Some(session) = self.users.get_mut(conn) else { return false };
        let errors = &mut session.extras_mut().errors;
        while errors.front().is_some_and(|&at| at + MINUTE <= now.monotonic) {
            errors.pop_front();
        }
        errors.push_back(now.monotonic);
        errors.len() >= most
    }
}
