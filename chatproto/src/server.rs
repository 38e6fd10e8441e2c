//! The blocking server: `Server::builder()…bind(…)?.run()`.

#[cfg(test)]
mod debug_tests;
mod error;
mod handle;
mod listen;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use crate::accounts::{AccountPolicy, Accounts};
use crate::directory::Directory;
use crate::endpoint::Handler;
use crate::history::{History, Inbox};
use crate::host::panic_text;
use crate::hub::{Hub, HubBuilder};
use crate::limits::Limits;
use crate::network::Network;
use crate::outbox::SlowReader;
#[cfg(feature = "tls")]
use crate::reactor::Door;
use crate::reactor::{self, Entrance, Reactor, Setup, Shared};
#[cfg(feature = "tls")]
use crate::tls::ServerTls;
use crate::workers::{Call, Pool};

pub use crate::extension::Observer;
pub use crate::reactor::Origin;
pub use error::ServerError;
pub use handle::ServerHandle;
use listen::{Listening, listen_on, listen_on_all, no_address};

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
    proxies: Vec<Network>,
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

    /// Trusts the proxies in these networks. A connection from there must begin with a PROXY header, version 1
    /// or 2, which states the address of the user. Without a valid header, the connection is closed. Each call
    /// adds networks. Default: none, and a PROXY header is refused from everywhere.
    ///
    /// Bans, limits of an address and `from.ip` apply to the address of the user. A connection has the address
    /// of the proxy if the header states none. The limit of connections of an address does not apply to it.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = chatproto::Server::builder()
    ///     .proxy_from(["10.0.0.0/8".parse()?])
    ///     .bind(([127, 0, 0, 1], 0))?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn proxy_from(mut self, networks: impl IntoIterator<Item = Network>) -> Self {
        self.proxies.extend(networks);
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
    ///     .endpoint("/echo", "Answers what it is sent.", |request: &chatproto::endpoint::Request| {
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
            proxies: self.proxies.into(),
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

#[cfg(feature = "tls")]
type Entrances = (Vec<(std::net::TcpListener, Entrance)>, Vec<SocketAddr>);

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
            proxies: Vec::new(),
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
        self.0.close_mailboxes();
    }
}

/// One loop that ends, for whatever reason, ends the others.
struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// The standard library's hasher is seeded by the system.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
