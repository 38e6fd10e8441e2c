//! The blocking server: `Server::builder()…bind(…)?.run()`.

#[cfg(test)]
mod debug_tests;
mod error;

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::accounts::{AccountPolicy, Accounts};
use crate::changes::{ChangeReceiver, Source};
use crate::directory::Directory;
use crate::endpoint::Handler;
use crate::extension::Observer;
use crate::history::{History, Inbox};
use crate::host::panic_text;
use crate::hub::{
    AccountChange, Action, Actor, Ban, BanTarget, Done, Hub, HubBuilder, Mute, Now, Refusal, Role,
    Snapshot, Usage,
};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::name::UserName;
use crate::outbox::SlowReader;
#[cfg(feature = "tls")]
use crate::reactor::Door;
use crate::reactor::{self, Entrance, Reactor, Setup, Shared};
#[cfg(feature = "tls")]
use crate::tls::ServerTls;
use crate::workers::{Call, Pool};

pub use error::ServerError;

/// Connections that the system may hold ready to be accepted.
const BACKLOG: i32 = 4096;

/// Makes a [`Server`]; see [`Server::builder`].
pub struct ServerBuilder {
    hub: HubBuilder,
    limits: Limits,
    threads: usize,
    worker_threads: usize,
    slow_reader: SlowReader,
    observer: Option<Arc<dyn Observer>>,
    has_handlers: bool,
    directory: Option<Arc<dyn Directory>>,
    accounts: Option<Arc<dyn Accounts>>,
    history: Option<Box<dyn History>>,
    #[cfg(feature = "tls")]
    tls: Option<ServerTls>,
    #[cfg(feature = "tls")]
    is_tls_only: bool,
    #[cfg(feature = "tls")]
    tls_listen: Vec<SocketAddr>,
}

impl ServerBuilder {
    /// The bounds. Default: `Limits::default()`.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How many event loops there are, each a thread. Default: one a core, four at most.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.clamp(1, 1024);
        self
    }

    /// How many threads run endpoints of the application's own. Default 4; they are started only if there
    /// are such endpoints.
    #[must_use]
    pub fn worker_threads(mut self, threads: usize) -> Self {
        self.worker_threads = threads.max(1);
        self
    }

    /// What happens to a connection whose queue is full. Default: [`SlowReader::Disconnect`].
    #[must_use]
    pub fn slow_reader(mut self, policy: SlowReader) -> Self {
        self.slow_reader = policy;
        self
    }

    /// Who sees what happens. Default: nobody.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Decides about names beyond this server. Default: nobody does; a free name is given.
    #[must_use]
    pub fn directory(mut self, directory: impl Directory) -> Self {
        self.hub = self.hub.directory();
        self.directory = Some(Arc::new(directory));
        self
    }

    /// Has accounts, which are kept there. Default: there are none.
    #[must_use]
    pub fn accounts(mut self, policy: AccountPolicy, accounts: impl Accounts) -> Self {
        self.hub = self.hub.accounts(policy);
        self.accounts = Some(Arc::new(accounts));
        self
    }

    /// Has a history, which is kept there. Default: nothing is kept.
    #[must_use]
    pub fn history(mut self, history: impl History) -> Self {
        self.hub = self.hub.history(&history.epoch(), history.next_id());
        self.history = Some(Box::new(history));
        self
    }

    /// Speaks TLS too, on the same port: the first byte of a connection tells TLS from text. Default:
    /// text only.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Whether, with [`ServerBuilder::tls`], those who send a name in text are refused. Default: no.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls_only(mut self, is_tls_only: bool) -> Self {
        self.is_tls_only = is_tls_only;
        self
    }

    /// Speaks TLS, with [`ServerBuilder::tls`], on this address and nothing else there; the others
    /// then speak text. Each call adds an address. Default: both on one port.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls_listen(mut self, address: impl Into<SocketAddr>) -> Self {
        self.tls_listen.push(address.into());
        self
    }

    /// The token with which a user becomes an admin, by `/admin`. Default: none, and nobody can.
    #[must_use]
    pub fn admin_token(mut self, token: &str) -> Self {
        self.hub = self.hub.admin_token(token);
        self
    }

    /// Whether everybody is told who comes and goes. Default: no; rooms tell their members.
    #[must_use]
    pub fn announce(mut self, announces: bool) -> Self {
        self.hub = self.hub.announce(announces);
        self
    }

    /// Adds an endpoint. `help` is the sentence that `/help` shows for it.
    ///
    /// ```
    /// # fn main() -> Result<(), chatproto::ServerError> {
    /// let server = chatproto::Server::builder()
    ///     .endpoint("/echo", "Answers what it is sent.", |request: &chatproto::Request| {
    ///         Ok(request.msg.clone())
    ///     })?
    ///     .bind(([127, 0, 0, 1], 0))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A name that is not `/` and 1 to 32 letters, digits, `-` or `_`, or that is taken.
    pub fn endpoint(
        mut self,
        name: &str,
        help: impl Into<String>,
        handler: impl Handler,
    ) -> Result<Self, ServerError> {
        let refused = |error: crate::endpoint::EndpointError| ServerError::Endpoint {
            name: name.to_owned(),
            reason: error.0,
        };
        self.hub = self.hub.endpoint(name, help, handler).map_err(refused)?;
        self.has_handlers = true;
        Ok(self)
    }

    /// Listens on the address; port 0 takes any free one. Nothing is accepted before
    /// [`Server::run`], but the system queues those who connect.
    ///
    /// # Errors
    /// [`ServerError::Limits`] if there is no speaking under the limits, [`ServerError::Listen`] if
    /// the address is in use or not this machine's, and [`ServerError::Io`] if the system cannot give what the event loops need.
    pub fn bind(self, address: impl Into<SocketAddr>) -> Result<Server, ServerError> {
        self.bind_all(&[address.into()])
    }

    /// The same on the first of several addresses that can be listened on, such as those of a host.
    ///
    /// # Errors
    /// As for [`ServerBuilder::bind`]; if none of them can, that of the last one.
    pub fn bind_first(self, addresses: &[SocketAddr]) -> Result<Server, ServerError> {
        let mut listening = Err(no_address());
        for &address in addresses {
            listening = listen_on(address, false);
            if listening.is_ok() {
                break;
            }
        }
        self.serve_on(vec![listening?])
    }

    /// The same on each of several addresses. One that is given twice counts once. If `0.0.0.0` and
    /// `[::]` have the same port, each is for its own family.
    ///
    /// # Errors
    /// As for [`ServerBuilder::bind`], if one of them cannot be listened on or there is none.
    pub fn bind_all(self, addresses: &[SocketAddr]) -> Result<Server, ServerError> {
        let listening = listen_on_all(addresses)?;
        if listening.is_empty() {
            return Err(no_address());
        }
        self.serve_on(listening)
    }

    fn serve_on(self, listening: Vec<Listening>) -> Result<Server, ServerError> {
        let limits = self.limits.clone().checked().map_err(ServerError::Limits)?;
        let local_addrs = listening.iter().map(|(_, address)| *address).collect();
        #[cfg(not(feature = "tls"))]
        let listeners =
            listening.into_iter().map(|(listener, _)| (listener, Entrance::Plain)).collect();
        #[cfg(feature = "tls")]
        let (listeners, tls_addrs) = self.entrances(listening)?;
        let io = |doing| move |source| ServerError::Io { doing, source };
        let start = || Pool::start("chatproto-call", self.worker_threads, Call::run);
        let calls = self.has_handlers.then(start).transpose();
        let calls = calls.map_err(io("cannot start a worker thread"))?;
        let (shared, reactors) = reactor::set_up(Setup {
            hub: self.hub.limits(limits.clone()).seed(random_seed()).build(),
            limits,
            policy: self.slow_reader,
            observer: self.observer,
            calls,
            directory: self.directory,
            accounts: self.accounts,
            has_history: self.history.is_some(),
            threads: self.threads,
            quantum: reactor::QUANTUM,
            listeners,
        })
        .map_err(io("cannot make an event loop"))?;
        Ok(Server {
            local_addrs,
            #[cfg(feature = "tls")]
            tls_addrs,
            _end_of_changes: CloseOnDrop(Arc::clone(&shared)),
            shared,
            reactors,
            history: self.history,
        })
    }

    /// The listeners, and how connections come in there; and where there is TLS only.
    #[cfg(feature = "tls")]
    fn entrances(&self, listening: Vec<Listening>) -> Result<Entrances, ServerError> {
        let door = self.tls.as_ref().map(|tls| Door::new(tls, self.is_tls_only));
        let tls_listeners = match &door {
            Some(_) => listen_on_all(&self.tls_listen)?,
            None => Vec::new(),
        };
        // text alone, where TLS has addresses of its own and is not the only way
        let entrance = || match &door {
            Some(door) if tls_listeners.is_empty() || self.is_tls_only => {
                Entrance::Tls(door.clone())
            }
            _ => Entrance::Plain,
        };
        let mut listeners: Vec<_> =
            listening.into_iter().map(|(listener, _)| (listener, entrance())).collect();
        let mut addresses = Vec::new();
        for ((listener, address), door) in tls_listeners.into_iter().zip(door.iter().cycle()) {
            listeners.push((listener, Entrance::Tls(door.beside(true))));
            addresses.push(address);
        }
        Ok((listeners, addresses))
    }
}

/// A listener, and its address with its port.
type Listening = (TcpListener, SocketAddr);
#[cfg(feature = "tls")]
type Entrances = (Vec<(TcpListener, Entrance)>, Vec<SocketAddr>);

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("hub", &self.hub)
            .field("threads", &self.threads)
            .field("slow_reader", &self.slow_reader)
            .finish_non_exhaustive()
    }
}

/// A server that listens.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use chatproto::{Client, Server};
///
/// let server = Server::builder().bind(([127, 0, 0, 1], 0))?;
/// let (address, handle) = (server.local_addr(), server.handle());
/// let running = std::thread::spawn(move || server.run());
///
/// let client = Client::connect(address, "alice")?;
/// assert_eq!(handle.users(), ["alice"]);
///
/// handle.stop();
/// running.join().unwrap()?;
/// # Ok(())
/// # }
/// ```
pub struct Server {
    /// One at least.
    local_addrs: Vec<SocketAddr>,
    #[cfg(feature = "tls")]
    tls_addrs: Vec<SocketAddr>,
    shared: Arc<Shared>,
    reactors: Vec<Reactor>,
    history: Option<Box<dyn History>>,
    /// Nothing changes after the end of the server.
    _end_of_changes: CloseOnDrop,
}

impl Server {
    /// A server with the defaults of [`Limits`] and the endpoints of the protocol.
    pub fn builder() -> ServerBuilder {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        ServerBuilder {
            hub: Hub::builder(),
            limits: Limits::default(),
            threads: cores.min(4),
            worker_threads: 4,
            slow_reader: SlowReader::default(),
            observer: None,
            has_handlers: false,
            directory: None,
            accounts: None,
            history: None,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "tls")]
            is_tls_only: false,
            #[cfg(feature = "tls")]
            tls_listen: Vec::new(),
        }
    }

    /// The first address it listens on, with the port that the system chose if it was asked to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addrs[0]
    }

    /// The addresses it listens on, in the order of [`ServerBuilder::bind_all`].
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// The first address of [`ServerBuilder::tls_listen`], if there is one, with the port that the
    /// system chose if it was asked to.
    #[cfg(feature = "tls")]
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.tls_addrs.first().copied()
    }

    /// The addresses of [`ServerBuilder::tls_listen`].
    #[cfg(feature = "tls")]
    pub fn tls_addrs(&self) -> &[SocketAddr] {
        &self.tls_addrs
    }

    /// A handle for other threads: to stop the server, and to ask who is there.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { shared: Arc::clone(&self.shared) }
    }

    /// Serves until it is stopped; then says goodbye to everybody and flushes for at most 5 s.
    ///
    /// # Errors
    /// [`ServerError::Panicked`] and [`ServerError::Io`] if an event loop failed: a whole server
    /// or none.
    pub fn run(self) -> Result<(), ServerError> {
        let shared = &self.shared;
        let (mut joined, mut outcome) = (Vec::new(), Ok(()));
        let history = self.history.zip(shared.inbox());
        let history = history.map(|(history, inbox)| keep(history, inbox, shared)).transpose()?;
        for (lane, reactor) in self.reactors.into_iter().enumerate() {
            let guard = StopOnDrop(Arc::clone(shared));
            let run = move || {
                let _guard = guard;
                reactor.run()
            };
            match thread::Builder::new().name(format!("chatproto-{lane}")).spawn(run) {
                Ok(thread) => joined.push(thread),
                Err(source) => {
                    shared.stop();
                    let doing = "cannot start an event loop's thread";
                    outcome = Err(ServerError::Io { doing, source });
                    break;
                }
            }
        }
        for thread in joined {
            let ended = match thread.join() {
                Ok(Ok(())) => Ok(()),
                Ok(Err(source)) => Err(ServerError::Io { doing: "an event loop failed", source }),
                Err(panic) => Err(ServerError::Panicked(panic_text(&*panic))),
            };
            outcome = outcome.and(ended);
        }
        if let (Some(queue), Some(history)) = (&shared.history, history) {
            queue.close();
            let panicked =
                |panic: Box<dyn std::any::Any + Send>| ServerError::Panicked(panic_text(&*panic));
            outcome = outcome.and(history.join().map_err(panicked));
        }
        outcome
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("local_addrs", &self.local_addrs).finish_non_exhaustive()
    }
}

/// Starts the thread on which the history is kept.
fn keep(
    history: Box<dyn History>,
    inbox: Inbox,
    shared: &Arc<Shared>,
) -> Result<thread::JoinHandle<()>, ServerError> {
    let guard = StopOnDrop(Arc::clone(shared));
    let run = move || {
        let _guard = guard;
        history.run(inbox);
    };
    let started = thread::Builder::new().name("chatproto-history".to_owned()).spawn(run);
    started.map_err(|source| {
        let doing = "cannot start the thread of the history";
        ServerError::Io { doing, source }
    })
}

/// Tells those who follow the changes when there will be no more.
struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close_feed();
    }
}

/// One loop that ends, for whatever reason, ends the others.
struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// A server's remote control. Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct ServerHandle {
    shared: Arc<Shared>,
}

impl ServerHandle {
    /// Asks the server to stop and returns at once; [`Server::run`] returns when it has.
    pub fn stop(&self) {
        self.shared.stop();
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

    /// For how long the event loops have held the hub's lock so far, all together: beside the time
    /// that has passed, how near the one lock is to being what limits the server.
    pub fn lock_held(&self) -> Duration {
        self.shared.lock_held()
    }

    /// Other bounds from now on, for every connection, but for this: whoever is a user already may go
    /// on sending frames of the old length; nobody is thrown out because there are too many
    /// connections or rooms, or a name is too long; and a deadline that is running stays what it is.
    /// With another [`Limits::rate`], everybody has a whole burst again.
    ///
    /// # Errors
    /// [`ServerError::Limits`] as at [`ServerBuilder::bind`]; then nothing changes.
    pub fn set_limits(&self, limits: Limits) -> Result<(), ServerError> {
        self.shared.set_limits(limits)
    }

    /// What happens from now on to a connection whose queue is full.
    pub fn set_slow_reader(&self, policy: SlowReader) {
        self.shared.set_policy(policy);
    }

    /// Another token for `/admin`, or none. Who is an admin stays one.
    pub fn set_admin_token(&self, token: Option<&str>) {
        self.shared.hub().set_admin_token(token);
    }

    /// Whether everybody is told from now on who comes and goes.
    pub fn set_announce(&self, announces: bool) {
        self.shared.hub().set_announce(announces);
    }

    /// Says that somebody changed an account other than by the commands of its owner: what that
    /// means for whoever is connected under the name happens. `revision` is the account's since then: see
    /// [`Hub::handle_account_change`].
    pub fn change_account(&self, name: &UserName, change: AccountChange, revision: u64) {
        self.shared.control(|hub, now, out| {
            hub.handle_account_change(name, change, revision, now, out);
        });
    }

    /// Does something to users or rooms, as a moderator would: see [`Action`]. Whom it concerns is told,
    /// and the observer gets the same event as for a command of a user.
    ///
    /// # Errors
    /// Why nothing was done, as a sentence for the actor.
    ///
    /// ```
    /// use chatproto::{Action, Actor};
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

    /// Says which role the account of a name has: see [`Hub::set_stored_role`].
    pub fn set_stored_role(&self, name: &UserName, role: Role, revision: u64) {
        self.shared.hub().set_stored_role(name, role, revision);
    }

    /// Keeps temporary names away from that of an account: see [`Hub::withhold_name`].
    pub fn withhold_name(&self, name: &UserName) {
        self.shared.hub().withhold_name(name);
    }

    /// Puts a ban in force that was kept or configured: see [`Hub::restore_ban`]. Before [`Server::run`]
    /// too, so that it holds from the first connection on. Returns how many users were closed.
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

    /// Puts a mute in force that was kept: see [`Hub::restore_mute`].
    pub fn restore_mute(&self, mute: Mute) {
        self.shared.control(|hub, now, out| hub.restore_mute(mute, now, out));
    }

    /// The mutes of names that hold now: see [`Hub::mutes`].
    pub fn mutes(&self) -> Vec<Mute> {
        self.shared.hub().mutes(Now::system()).collect()
    }

    /// Shows another certificate, with what is asked of clients, to those who connect from now on;
    /// those who are connected notice nothing. False, and nothing is changed, if the server speaks
    /// no TLS.
    #[cfg(feature = "tls")]
    pub fn replace_tls(&self, tls: &ServerTls) -> bool {
        self.shared.replace_tls(tls)
    }

    /// How many connections there are, registered or not.
    pub fn connections(&self) -> usize {
        self.shared.hub().connections()
    }

    /// Follows all changes of users, rooms and sanctions: returns the state as it is now, and receives each
    /// change from now on, in the order in which the hub decided. At most `capacity` changes wait to be
    /// received: see [`ReceiveError::Lagged`].
    ///
    /// ```
    /// use chatproto::{Client, StateChange};
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
    /// [`ReceiveError::Lagged`]: crate::ReceiveError::Lagged
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

fn no_address() -> ServerError {
    ServerError::Listen {
        address: "no address".to_owned(),
        source: std::io::ErrorKind::AddrNotAvailable.into(),
    }
}

/// Listens on each of the addresses once. Port 0 may be meant several times.
fn listen_on_all(addresses: &[SocketAddr]) -> Result<Vec<Listening>, ServerError> {
    let mut listening = Vec::with_capacity(addresses.len());
    for (number, &address) in addresses.iter().enumerate() {
        if address.port() != 0 && addresses[..number].contains(&address) {
            continue;
        }
        // [::] would take the port of the other family too
        let is_of_all = |other: &SocketAddr| other.ip().is_unspecified();
        let has_rival = |other: &SocketAddr| other.is_ipv4() && other.port() == address.port();
        let is_single = address.is_ipv6()
            && is_of_all(&address)
            && addresses.iter().any(|other| is_of_all(other) && has_rival(other));
        listening.push(listen_on(address, is_single)?);
    }
    Ok(listening)
}

/// Listens on the address; returns that with its port. An IPv6 address may be for IPv6 only.
fn listen_on(address: SocketAddr, is_only_v6: bool) -> Result<Listening, ServerError> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // so that a restarted server need not wait for old connections; elsewhere it means another
        // thing
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        if is_only_v6 {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        let local = listener.local_addr()?;
        Ok((listener, local))
    };
    listen().map_err(|source| ServerError::Listen { address: address.to_string(), source })
}

/// The standard library's hasher is seeded by the system.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
