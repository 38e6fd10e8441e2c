//! The listener as its owner sees it: sockets, a thread, changes while it runs, and the stop.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use chatproto::network::Network;
use shared::failure::reason;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::error;

use crate::accept::accept;
use crate::activity::Times;
use crate::connection::{self, Server};
use crate::handover::Adopt;
use crate::host::HostName;
use crate::origin::PageOrigin;
use crate::policy::{CurrentPolicy, Policy, Tls};
use crate::proxied::Proxies;
use crate::site::Site;
use crate::table::{Bounds, Table};

/// Connections that the system may hold ready to be accepted.
const BACKLOG: i32 = 4096;

/// Threads for handlers that block. Others wait for their turn.
const BLOCKING_THREADS: usize = 4;

/// Runs work that blocks on a thread for such work. `None` if it panicked, or if the listener stops.
pub async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// Sockets that listen. Nobody is served before [`Listener::start`].
#[derive(Debug)]
pub struct Listener {
    sockets: Vec<std::net::TcpListener>,
    addresses: Vec<SocketAddr>,
}

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// The reason.
    pub source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.address, reason(&self.source))
    }
}

impl Error for BindError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// The settings of a listener.
#[non_exhaustive]
pub struct Setup {
    /// The most connections.
    pub bounds: Bounds,
    /// The time limits of a connection.
    pub times: Times,
    /// TLS, if the port speaks it.
    pub tls: Option<Tls>,
    /// The names of this server beside those of its certificate.
    pub hosts: Vec<HostName>,
    /// The pages of other origins that may open a WebSocket.
    pub origins: Vec<PageOrigin>,
    /// The networks of load balancers, which state the addresses of users.
    pub proxies: Vec<Network>,
    /// More routes. They have no fallback.
    pub routes: Router,
    /// Takes over WebSockets; without it there is no path for them.
    pub adopt: Option<Adopt>,
}

impl Setup {
    /// Plain HTTP without WebSockets and without more routes.
    pub fn new(bounds: Bounds) -> Self {
        Setup {
            bounds,
            times: Times::default(),
            tls: None,
            hosts: Vec::new(),
            origins: Vec::new(),
            proxies: Vec::new(),
            routes: Router::new(),
            adopt: None,
        }
    }
}

impl Listener {
    /// Listens on each of these addresses. Port 0 takes any free one.
    ///
    /// # Errors
    /// The first address that cannot be listened on.
    pub fn bind(addresses: &[SocketAddr]) -> Result<Self, BindError> {
        let mut listener = Listener { sockets: Vec::new(), addresses: Vec::new() };
        for &address in addresses {
            let (socket, local) =
                listen(address, addresses).map_err(|source| BindError { address, source })?;
            listener.sockets.push(socket);
            listener.addresses.push(local);
        }
        Ok(listener)
    }

    /// The addresses, with their ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves on a thread of its own until [`Control::stop`], or until the result is dropped.
    ///
    /// # Errors
    /// The system has no descriptors or no thread for it.
    pub fn start(self, setup: Setup) -> io::Result<Running> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()?;
        let sockets = {
            let _context = runtime.enter();
            let sockets = self.sockets.into_iter().map(TcpListener::from_std);
            sockets.collect::<io::Result<Vec<_>>>()?
        };
        let policy = Policy { tls: setup.tls, hosts: setup.hosts, origins: setup.origins };
        let policy = Arc::new(CurrentPolicy::new(policy));
        let (stop, stopped) = watch::channel(false);
        let proxies = Proxies::from(setup.proxies);
        let server = Arc::new(Server {
            site: Site::new(
                (setup.routes, setup.adopt),
                stopped.clone(),
                Arc::clone(&policy),
                setup.times,
                proxies.clone(),
            ),
            proxies,
            policy: Arc::clone(&policy),
            table: Table::new(setup.bounds),
            times: setup.times,
            stop: stopped,
            http: connection::http(),
        });
        let thread = thread::Builder::new().name("http".to_owned()).spawn(move || {
            runtime.block_on(serve(sockets, server));
            // the remaining tasks end with the runtime
        })?;
        let control = Control { policy, stop: Arc::new(stop) };
        Ok(Running { control, thread: Some(thread) })
    }
}

async fn serve(sockets: Vec<TcpListener>, server: Arc<Server>) {
    let mut stop = server.stop.clone();
    let start = |socket| tokio::spawn(accept(socket, Arc::clone(&server)));
    let accepting: Vec<_> = sockets.into_iter().map(start).collect();
    // an error means that the sender is gone, which is a stop too
    let _ = stop.wait_for(|is_stopped| *is_stopped).await;
    for task in accepting {
        task.abort();
        // the port is closed when the task is gone
        let _ = task.await;
    }
    // each connection sees the stop and has its own grace; this bounds all of them
    let _ = timeout(server.times.grace + Duration::from_secs(1), server.table.drained()).await;
}

fn listen(
    address: SocketAddr,
    all: &[SocketAddr],
) -> io::Result<(std::net::TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // a restarted server need not wait for old connections; on Windows it means another thing
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    // [::] would take the port of 0.0.0.0 too
    let is_rival = |other: &SocketAddr| {
        other.is_ipv4() && other.ip().is_unspecified() && other.port() == address.port()
    };
    if address.is_ipv6() && address.ip().is_unspecified() && all.iter().any(is_rival) {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = std::net::TcpListener::from(socket);
    let local = listener.local_addr()?;
    Ok((listener, local))
}

/// Changes a listener that runs, from any thread.
#[derive(Clone, Debug)]
pub struct Control {
    policy: Arc<CurrentPolicy>,
    stop: Arc<watch::Sender<bool>>,
}

impl Control {
    /// New connections get this certificate, and its names are known from now on.
    pub fn set_tls(&self, tls: Tls) {
        self.policy.change(|policy| policy.tls = Some(tls));
    }

    /// Sets other names of this server, and other origins.
    pub fn set_names(&self, hosts: Vec<HostName>, origins: Vec<PageOrigin>) {
        self.policy.change(|policy| (policy.hosts, policy.origins) = (hosts, origins));
    }

    /// Stops: no connection is accepted, idle ones are closed, and requests that run have
    /// [`Times::grace`] to end. This returns at once.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

/// A listener that runs. When it is dropped, the listener stops, and its thread has ended.
#[derive(Debug)]
pub struct Running {
    control: Control,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Changes it, and stops it.
    pub fn control(&self) -> Control {
        self.control.clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the HTTP listener panicked: this is a defect");
        }
    }
}
