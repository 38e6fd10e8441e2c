//! The blocking server: `Server::builder()…bind(…)?.run()`.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::accounts::{AccountPolicy, Accounts};
use crate::endpoint::Handler;
use crate::error::ServerError;
use crate::extension::{Directory, Observer};
use crate::history::{History, Inbox};
use crate::hub::{Hub, HubBuilder};
use crate::limits::Limits;
use crate::outbox::SlowReader;
use crate::reactor::{self, Reactor, Setup, Shared};
use crate::workers::{Applied, Workers, panic_text};

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
    applied: Applied,
    history: Option<Box<dyn History>>,
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

    /// How many threads run endpoints of the application's own, as many more its directory, and as
    /// many its accounts.
    /// Default 4; they are started only if there is something to run.
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

    /// Who decides about names beyond this server. Default: nobody; a free name is given.
    #[must_use]
    pub fn directory(mut self, directory: impl Directory) -> Self {
        self.applied.directory = Some(Arc::new(directory));
        self
    }

    /// Has accounts, which are kept there. Default: there are none.
    #[must_use]
    pub fn accounts(mut self, policy: AccountPolicy, accounts: impl Accounts) -> Self {
        self.hub = self.hub.accounts(policy);
        self.applied.accounts = Some(Arc::new(accounts));
        self
    }

    /// Has a history, which is kept there. Default: nothing is kept.
    #[must_use]
    pub fn history(mut self, history: impl History) -> Self {
        self.hub = self.hub.history(&history.epoch(), history.next_id());
        self.history = Some(Box::new(history));
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
        self.applied.has_handlers = true;
        Ok(self)
    }

    /// Listens on the address; port 0 takes any free one. Nothing is accepted before
    /// [`Server::run`], but the system queues those who connect.
    ///
    /// # Errors
    /// [`ServerError::Limits`] if there is no speaking under the limits, [`ServerError::Listen`] if
    /// the address is in use or not this machine's, and [`ServerError::Io`] if the system cannot give what the event loops need.
    pub fn bind(self, address: impl Into<SocketAddr>) -> Result<Server, ServerError> {
        let limits = self.limits.checked().map_err(ServerError::Limits)?;
        let address = address.into();
        let listen = |source| ServerError::Listen { address: address.to_string(), source };
        let listener = listen_on(address).map_err(listen)?;
        let local_addr = listener.local_addr().map_err(listen)?;
        let io = |doing| move |source| ServerError::Io { doing, source };
        let workers = if self.applied.needs_threads() {
            let workers = Workers::start(self.worker_threads, &self.applied);
            Some(workers.map_err(io("cannot start a worker thread"))?)
        } else {
            None
        };
        let (shared, reactors) = reactor::set_up(Setup {
            hub: self.hub.limits(limits.clone()).seed(random_seed()).build(),
            limits,
            policy: self.slow_reader,
            observer: self.observer,
            workers,
            has_directory: self.applied.directory.is_some(),
            accounts: self.applied.accounts,
            has_history: self.history.is_some(),
            threads: self.threads,
            listener,
        })
        .map_err(io("cannot make an event loop"))?;
        Ok(Server { local_addr, shared, reactors, history: self.history })
    }
}

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
    local_addr: SocketAddr,
    shared: Arc<Shared>,
    reactors: Vec<Reactor>,
    history: Option<Box<dyn History>>,
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
            applied: Applied::default(),
            history: None,
        }
    }

    /// The address it listens on, with the port that the system chose if it was asked to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
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
        let history = self.history.map(|history| keep(history, shared)).transpose()?;
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
        f.debug_struct("Server").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}

/// Starts the thread on which the history is kept.
fn keep(
    history: Box<dyn History>,
    shared: &Arc<Shared>,
) -> Result<thread::JoinHandle<()>, ServerError> {
    let (inbox, guard) = (Inbox::new(Arc::clone(shared)), StopOnDrop(Arc::clone(shared)));
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

    /// For how long the event loops have held the hub's lock so far, all together: beside the time
    /// that has passed, how near the one lock is to being what limits the server.
    pub fn lock_held(&self) -> Duration {
        self.shared.lock_held()
    }

    /// How many connections there are, registered or not.
    pub fn connections(&self) -> usize {
        self.shared.hub().connections()
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("online", &self.online()).finish_non_exhaustive()
    }
}

fn listen_on(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // so that a restarted server need not wait for old connections; elsewhere it means another thing
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The standard library's hasher is seeded by the system.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
