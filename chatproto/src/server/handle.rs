//! The handle of a running server: other threads stop it, ask it and change it.

use std::fmt;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use crate::changes::{ChangeReceiver, Source};
use crate::hub::{
    AccountChange, Action, Actor, Ban, BanTarget, Done, Mute, Now, Refusal, Role, Snapshot, Usage,
};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::name::UserName;
use crate::outbox::SlowReader;
use crate::reactor::{Origin, Shared};
#[cfg(feature = "tls")]
use crate::tls::ServerTls;

use super::error::ServerError;

/// A server's remote control. Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct ServerHandle {
    pub(super) shared: Arc<Shared>,
}

impl ServerHandle {
    /// Asks the server to stop and returns at once; [`Server::run`](crate::Server::run) returns when it has.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Takes over a connection that another part of the program has accepted, such as a WebSocket that an HTTP
    /// server has upgraded. From then on it has the rights and limits of connections from the server's own
    /// listeners. If the server or the address has too many connections, the peer is told so.
    ///
    /// # Errors
    /// [`ServerError::Stopping`] if the server stops or has stopped, and [`ServerError::Io`] if the system
    /// refuses to configure the socket. The socket is closed then. With WebSocket framing, a server that stops
    /// sends a close frame with code 1001 first.
    pub fn adopt(&self, socket: TcpStream, origin: Origin) -> Result<(), ServerError> {
        self.shared.adopt(socket, origin)
    }

    /// The names of the registered users, in no particular order.
    pub fn users(&self) -> Vec<String> {
        self.shared.hub().users().map(str::to_owned).collect()
    }

    /// How many users are registered.
    pub fn online(&self) -> usize {
        self.shared.hub().online()
    }

    /// The memory of the tables that peers can grow, each with its bound. It reads counters only.
    pub fn usage(&self) -> Usage {
        self.shared.usage()
    }

    /// The counters of the server. This reads counters only, so it can be called often.
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics()
    }

    /// Whether [`ServerHandle::stop`] was called, or an event loop has failed.
    pub fn is_stopping(&self) -> bool {
        self.shared.is_stopping()
    }

    /// Why the history is not stored at the moment, in the words of
    /// [`Inbox::set_failing`](crate::history::Inbox::set_failing). `None` if it is stored, or if there is none.
    pub fn history_failure(&self) -> Option<String> {
        self.shared.history_failure()
    }

    /// Waits until each event loop has completed a turn, and returns the loops that have not within this time:
    /// they hang, or are overloaded. A loop is woken for that, so a healthy server answers within a
    /// millisecond. A server that does not run yet has no loop that answers. A server that stops has no loop
    /// that has to.
    pub fn stalled_loops(&self, within: Duration) -> Vec<usize> {
        self.shared.stalled_loops(within)
    }

    /// The time for which all event loops together have held the hub's lock. Compare it with the time that
    /// has passed: near 1, the lock limits the server.
    pub fn lock_held(&self) -> Duration {
        self.shared.lock_held()
    }

    /// Sets other limits for all connections. Some things stay:
    ///
    /// * A present user may still send frames of the old length.
    /// * Connections, rooms and names above the new limits stay.
    /// * A running deadline stays.
    ///
    /// With another [`Limits::rate`], every user has a whole burst again.
    ///
    /// # Errors
    /// [`ServerError::Limits`] as at [`ServerBuilder::bind`](crate::ServerBuilder::bind). Then nothing changes.
    pub fn set_limits(&self, limits: Limits) -> Result<(), ServerError> {
        self.shared.set_limits(limits)
    }

    /// Sets the policy for connections whose queue is full.
    pub fn set_slow_reader(&self, policy: SlowReader) {
        self.shared.set_policy(policy);
    }

    /// Sets another token for `/admin`, or none. Present admins stay admins.
    pub fn set_admin_token(&self, token: Option<&str>) {
        self.shared.hub().set_admin_token(token);
    }

    /// Sets whether users are told when others come and go.
    pub fn set_announce(&self, announces: bool) {
        self.shared.hub().set_announce(announces);
    }

    /// Reports a change of an account that its owner did not make by commands. The change takes effect for
    /// the user with that name. `revision` is the account's since then: see
    /// [`Hub::handle_account_change`](crate::hub::Hub::handle_account_change).
    pub fn change_account(&self, name: &UserName, change: AccountChange, revision: u64) {
        self.shared.control(|hub, now, out| {
            hub.handle_account_change(name, change, revision, now, out);
        });
    }

    /// Does something to users or rooms, as a moderator would: see [`Action`]. The users concerned are told,
    /// and the observer gets the same event as for a command of a user.
    ///
    /// # Errors
    /// Why nothing was done, as a sentence for the actor.
    ///
    /// ```
    /// use chatproto::hub::{Action, Actor};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = chatproto::Server::builder().bind(([127, 0, 0, 1], 0))?;
    /// let (handle, operator) = (server.handle(), Actor::operator("the operator"));
    /// let (target, reason) = ("192.0.2.0/24".parse()?, "spam".to_owned());
    /// handle.act(&operator, Action::Ban { target, duration: None, reason })?;
    /// let refusal = handle.act(&operator, Action::Unmute { user: "bob".to_owned() }).unwrap_err();
    /// assert_eq!(refusal.to_string(), "bob is not muted.");
    /// # Ok(())
    /// # }
    /// ```
    pub fn act(&self, actor: &Actor, action: Action) -> Result<Done, Refusal> {
        self.shared.control(|hub, now, out| hub.act(actor, action, now, out))
    }

    /// The user of this name as an actor, if there is one.
    pub fn actor(&self, name: &UserName) -> Option<Actor> {
        self.shared.hub().actor_of(name)
    }

    /// Says which role the account of a name has: see [`Hub::set_stored_role`](crate::hub::Hub::set_stored_role).
    pub fn set_stored_role(&self, name: &UserName, role: Role, revision: u64) {
        self.shared.hub().set_stored_role(name, role, revision);
    }

    /// Keeps temporary names away from that of an account: see
    /// [`Hub::withhold_name`](crate::hub::Hub::withhold_name).
    pub fn withhold_name(&self, name: &UserName) {
        self.shared.hub().withhold_name(name);
    }

    /// Puts a stored or configured ban in force: see [`Hub::restore_ban`](crate::hub::Hub::restore_ban). Call
    /// it before [`Server::run`](crate::Server::run) so that it holds from the first connection on. Returns
    /// how many users were disconnected.
    pub fn restore_ban(&self, ban: Ban) -> usize {
        self.shared.control(|hub, now, out| hub.restore_ban(ban, now, out))
    }

    /// Lifts a ban that is not configured any more. Whether there was one.
    pub fn withdraw_ban(&self, target: &BanTarget) -> bool {
        self.shared.control(|hub, now, _| hub.withdraw_ban(target, now))
    }

    /// The bans that hold now, in the order of their targets.
    pub fn bans(&self) -> Vec<Ban> {
        self.shared.hub().bans(Now::system()).collect()
    }

    /// Puts a stored mute in force: see [`Hub::restore_mute`](crate::hub::Hub::restore_mute).
    pub fn restore_mute(&self, mute: Mute) {
        self.shared.control(|hub, now, out| hub.restore_mute(mute, now, out));
    }

    /// The mutes of names that hold now: see [`Hub::mutes`](crate::hub::Hub::mutes).
    pub fn mutes(&self) -> Vec<Mute> {
        self.shared.hub().mutes(Now::system()).collect()
    }

    /// Sets another certificate, and other rules for client certificates, for new connections. Present
    /// connections do not change. False, and nothing is changed, if the server speaks no TLS.
    #[cfg(feature = "tls")]
    pub fn replace_tls(&self, tls: &ServerTls) -> bool {
        self.shared.replace_tls(tls)
    }

    /// How many connections there are, registered or not.
    pub fn connections(&self) -> usize {
        self.shared.hub().connections()
    }

    /// Follows all changes of users, rooms and sanctions. Returns the present state, and a receiver of each
    /// change after that, in the hub's order. At most `capacity` changes wait to be received: see
    /// [`ReceiveError::Lagged`](crate::changes::ReceiveError::Lagged).
    ///
    /// ```
    /// use chatproto::hub::StateChange;
    /// use chatproto::Client;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = chatproto::Server::builder().bind(([127, 0, 0, 1], 0))?;
    /// # let (address, handle) = (server.local_addr(), server.handle());
    /// # let running = std::thread::spawn(move || server.run());
    /// let (mut state, mut changes) = handle.changes(1024);
    /// let alice = Client::connect(address, "alice")?;
    /// let change = changes.recv()?;
    /// state.apply(&change)?;
    /// assert!(state.users.keys().any(|name| name.as_str() == "alice"));
    /// # handle.stop();
    /// # running.join().unwrap()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`ReceiveError::Lagged`]: crate::changes::ReceiveError::Lagged
    pub fn changes(&self, capacity: usize) -> (Snapshot, ChangeReceiver) {
        ChangeReceiver::new(Arc::clone(&self.shared) as Arc<dyn Source>, capacity)
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the hub is behind a lock
        f.debug_struct("ServerHandle").finish_non_exhaustive()
    }
}
