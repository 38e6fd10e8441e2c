//! The hub's type, with the two types that name it: a call of a user's, and a command, which runs on a
//! call. Queries that need only the tables are here too. The operations have files of their own: see
//! [`hub`](super).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use crate::accounts::AccountPolicy;
use crate::directory::Lease;
use crate::endpoint::Endpoints;
use crate::limits::Limits;
use crate::message::MessageRef;
use crate::name::{UserName, normalise};
use crate::text::trim;

use super::archive::Archive;
use super::changes::Changes;
use super::claims::Claims;
use super::guesses::Guesses;
use super::orders::Orders;
use super::pages::Pages;
use super::presence::Presence;
use super::room::{Audience, RoomId};
use super::rooms::Rooms;
use super::sanctions::Sanctions;
use super::secret::Secret;
use super::session::{Session, SessionMute};
use super::users::Users;
use super::waiting::Waiting;
use super::{ConnId, Counts, Now, Output, Role};

/// See the [module's documentation](super).
#[derive(Debug)]
pub struct Hub {
    pub(super) users: Users,
    pub(super) rooms: Rooms,
    pub(super) endpoints: Endpoints<&'static Command>,
    pub(super) limits: Limits,
    /// Nobody has a longer name: the largest bound that there was.
    pub(super) longest_name: usize,
    pub(super) sanctions: Sanctions,
    /// Accounts that have a role, by their look-alike keys: the role, and the revision that it is from.
    pub(super) staff: BTreeMap<Box<str>, BTreeMap<UserName, (Role, u64)>>,
    pub(super) admin_token: Option<Secret>,
    /// Wrong tokens.
    pub(super) guesses: Guesses,
    /// Whether everybody is told who comes and goes.
    pub(super) announces: bool,
    /// What everybody was told of that.
    pub(super) presence: Presence,
    /// Who is to be told what was counted, and when.
    pub(super) counts_due: BTreeSet<(Instant, Audience)>,
    pub(super) dice: fastrand::Rng,
    pub(super) is_stopping: bool,
    /// Whether there are accounts, and what they are for.
    pub(super) accounts: Option<AccountPolicy>,
    /// What is kept, if anything is.
    pub(super) archive: Option<Archive>,
    /// Users who may only log in, and when they were admitted. Entries of those who logged in or left
    /// are removed by [`Hub::compact_visits`].
    pub(super) visitors: VecDeque<(Instant, ConnId)>,
    /// How many temporary names were made.
    pub(super) guests: u32,
    /// Look-alike keys of temporary names that are never made, because accounts have such names.
    pub(super) withheld: BTreeSet<Box<str>>,
    /// Of the last effect; never 0.
    pub(super) serial: u32,
    /// Pages of history that were asked for.
    pub(super) pages: Pages,
    /// Bytes that long answers hold.
    pub(super) held: usize,
    /// Effects under way.
    pub(super) waiting: Waiting,
    /// Those of them that are orders to the accounts.
    pub(super) orders: Orders,
    /// Names that are claimed from the directory or given back.
    pub(super) claims: Claims,
    /// The stream of changes.
    pub(super) changes: Changes,
    /// How many connections want state lines.
    pub(super) state_readers: usize,
    /// Its counts, without the gauges by transport.
    pub(super) counts: Counts,
}

/// One call: who asks, when, and where the answers go.
pub(super) struct Call<'a> {
    pub(super) hub: &'a mut Hub,
    pub(super) conn: ConnId,
    pub(super) now: Now,
    pub(super) out: &'a mut Output,
}

/// A built-in endpoint.
pub(super) struct Command {
    /// With its slash.
    pub(super) name: &'static str,
    /// What `msg` is: words in capitals are to be replaced, those in brackets may be left out.
    pub(super) arguments: &'static str,
    /// One sentence: what it does, and what it answers.
    pub(super) help: &'static str,
    /// Who may use it.
    pub(super) role: Role,
    pub(super) run: fn(&mut Call<'_>, &MessageRef<'_>),
}

impl Hub {
    /// Whether the input of the connection must wait: for an effect, or until a long answer is
    /// complete (see [`Hub::handle_writable`]).
    pub fn is_waiting(&self, conn: ConnId) -> bool {
        let is_waiting = |session: &Session| session.waits_for != 0 || session.answer().is_some();
        self.users.get(conn).is_some_and(is_waiting)
    }

    pub(crate) fn is_waiting_for_effect(&self, conn: ConnId) -> bool {
        self.users.get(conn).is_some_and(|session| session.waits_for != 0)
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

    /// The counts since the hub was made. This reads numbers only.
    pub fn counts(&self) -> Counts {
        let (connections, users) = self.users.by_transport();
        Counts { connections, users, ..self.counts }
    }

    /// Why the history is not stored at the moment: see [`Hub::handle_history_state`].
    pub fn history_failure(&self) -> Option<&str> {
        self.archive.as_ref()?.outage().map(|(_, reason)| reason)
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
    /// logged in: see [`Accounts`](crate::accounts::Accounts#revisions).
    pub fn account_revision(&self, conn: ConnId) -> Option<u64> {
        self.users.get(conn)?.revision()
    }

    /// The name of a connection's user as the directory granted it. `None` without a directory.
    pub fn lease(&self, conn: ConnId) -> Option<Lease> {
        let session = self.users.get(conn)?;
        Some(Lease::new(session.user_name()?, session.lease?))
    }

    /// The registered user of that name. White space around it counts no more than in a user's name.
    pub(super) fn find_user(&self, name: &str) -> Option<(ConnId, &Session)> {
        let name = trim(name);
        // what is longer than any name could be is not worth normalising
        let can_be_name = name.len() <= self.longest_name.saturating_mul(3);
        can_be_name.then(|| self.users.find(&normalise(name))).flatten()
    }

    /// The room of that name: as for users.
    pub(super) fn find_room(&self, name: &str) -> Option<RoomId> {
        let name = trim(name);
        let can_be_name = name.len() <= self.longest_name.saturating_mul(3) + 1;
        can_be_name.then(|| self.rooms.find(&normalise(name))).flatten()
    }

    /// The mutes that hold for a user, as one: its own, that of its name, and that of the name which it
    /// asked for. The latter two are looked up each time, so that they are lifted and end as those of the
    /// names do.
    #[inline]
    pub(super) fn mute_of(&self, session: &Session, now: Instant) -> Option<SessionMute> {
        match self.sanctions.has_mutes() {
            true => self.mutes_of(session, now),
            // every message asks, and names are rarely muted
            false => session.own_mute(now),
        }
    }

    fn mutes_of(&self, session: &Session, now: Instant) -> Option<SessionMute> {
        let wanted = session.wanted().map(UserName::as_str);
        let names = session.name().into_iter().chain(wanted);
        let of_names = names.filter_map(|name| self.sanctions.mute_of(name, now));
        let of_names = of_names.map(|mute| SessionMute { until: mute.until, rank: mute.rank });
        session.own_mute(now).into_iter().chain(of_names).reduce(SessionMute::and)
    }
}

impl Call<'_> {
    pub(super) fn session(&self) -> &Session {
        self.hub.users.get(self.conn).expect("a call is made for a connection that is there")
    }

    /// The name of the registered user that this call is of.
    pub(super) fn user(&self) -> &str {
        self.session().name().expect("a registered user has a name")
    }

    pub(super) fn user_name(&self) -> UserName {
        UserName::from_normalised(self.user())
    }
}

impl Command {
    /// The command as one would type it, with its arguments.
    pub(super) fn usage(&self) -> String {
        format!("{} {}", self.name, self.arguments).trim_end().to_owned()
    }

    /// What `/help` says of it.
    pub(super) fn description(&self) -> String {
        match self.role {
            Role::User => self.help.to_owned(),
            role => format!("{} (For {}.)", self.help, role.plural()),
        }
    }
}
