//! [`ClientBuilder`]: what a client can be told before it connects, and [`ServerAddress`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::keep_alive;
use crate::limits::Limits;
use crate::name::UserName;
use crate::session::{ClientError, Session};
#[cfg(feature = "tls")]
use crate::tls::{Channel, ClientStream, ClientTls};
use crate::websocket::{Url, UrlError};

#[cfg(feature = "tls")]
use super::wire::shake_hands;
use super::wire::{Deadline, Wire, connect};
use super::{Client, ClientReceiver, ClientSender, Connection, set_keep_alive};

/// Where a server is: an address, or a host and a port, in each of the forms that the standard
/// library has for them. Text can also be the URL of a WebSocket: `ws://HOST:PORT/PATH`, or with TLS
/// `wss://HOST:PORT/PATH`.
pub trait ServerAddress: ToSocketAddrs {
    /// The host as it was named: what a certificate of the server must be for, unless
    /// another name is said. `None` stands for the address that is connected to.
    fn host(&self) -> Option<&str> {
        None
    }

    /// The text, if it is the URL of a WebSocket (see [`Url`]) and not a host and a port.
    fn url(&self) -> Option<&str> {
        None
    }
}

impl ServerAddress for str {
    fn host(&self) -> Option<&str> {
        self.rsplit_once(':').map(|(host, _)| host)
    }

    fn url(&self) -> Option<&str> {
        Url::is_url(self).then_some(self)
    }
}

impl ServerAddress for String {
    fn host(&self) -> Option<&str> {
        self.as_str().host()
    }

    fn url(&self) -> Option<&str> {
        self.as_str().url()
    }
}

impl ServerAddress for (&str, u16) {
    fn host(&self) -> Option<&str> {
        Some(self.0)
    }
}

impl ServerAddress for (String, u16) {
    fn host(&self) -> Option<&str> {
        Some(&self.0)
    }
}

impl ServerAddress for SocketAddr {}
impl ServerAddress for SocketAddrV4 {}
impl ServerAddress for SocketAddrV6 {}
impl ServerAddress for (IpAddr, u16) {}
impl ServerAddress for (Ipv4Addr, u16) {}
impl ServerAddress for (Ipv6Addr, u16) {}
impl ServerAddress for &[SocketAddr] {}

impl<T: ServerAddress + ?Sized> ServerAddress for &T {
    fn host(&self) -> Option<&str> {
        (**self).host()
    }

    fn url(&self) -> Option<&str> {
        (**self).url()
    }
}

/// Makes a [`Client`]; see [`Client::builder`].
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    name: String,
    timeout: Duration,
    limits: Limits,
    keep_alive: Option<Duration>,
    ping_interval: Option<Duration>,
    #[cfg(feature = "tls")]
    tls: Option<ClientTls>,
}

impl Client {
    /// Connects and registers with the defaults: see [`ClientBuilder::connect`].
    ///
    /// # Errors
    /// As there.
    pub fn connect(
        address: impl ServerAddress,
        name: impl Into<String>,
    ) -> Result<Self, ClientError> {
        Client::builder(name).connect(address)
    }

    /// A client that is to register `name`.
    pub fn builder(name: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(name.into())
    }
}

impl ClientBuilder {
    fn new(name: String) -> Self {
        ClientBuilder {
            name,
            timeout: Duration::from_secs(10),
            limits: Limits::default(),
            keep_alive: Some(keep_alive::SILENT_PEER),
            ping_interval: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// How long connecting and registering may take together. Default 10 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The bounds: see [`Session::with_limits`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The longest message in bytes, in either direction: [`Limits::frame`]. Default 64 KiB.
    #[must_use]
    pub fn max_frame(mut self, bytes: usize) -> Self {
        self.limits.frame = bytes;
        self
    }

    /// TCP keep-alive, and on Linux the TCP user time-out: the connection is lost
    /// ([`ClientError::Io`]) when the server's system was silent for so long. Default 90 s. `None`
    /// leaves both as the system has them.
    ///
    /// It notices a link or a machine that is down. [`ClientBuilder::ping_interval`] also notices a
    /// server that hangs.
    #[must_use]
    pub fn keep_alive(mut self, silence: Option<Duration>) -> Self {
        self.keep_alive = silence;
        self
    }

    /// Asks the server with `/ping` when nothing came for `interval`, while a method waits for a
    /// message. If nothing comes for `interval` after that, the connection is lost
    /// ([`ClientError::Io`]). Default `None`: no `/ping`s. See [`Session::ping_interval`].
    #[must_use]
    pub fn ping_interval(mut self, interval: Option<Duration>) -> Self {
        self.ping_interval = interval;
        self
    }

    /// Speaks TLS with the server. Default: no.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Connects and registers. If the address is a URL, the connection is a WebSocket. `wss://` speaks TLS. It
    /// trusts the authorities of the system, unless `ClientBuilder::tls` names others.
    ///
    /// # Errors
    /// * [`ClientError::InvalidName`]: no server would take the name; nothing was sent.
    /// * [`ClientError::Refused`]: the server did not, and says why.
    /// * [`ClientError::Timeout`], [`ClientError::Closed`], [`ClientError::Io`]: there is no such
    ///   server, or it did not answer.
    /// * [`ClientError::InvalidUrl`], [`ClientError::Opening`]: the URL is not one of a WebSocket, or the
    ///   server did not open it; the name was not sent.
    /// * `ClientError::Tls`: TLS was asked for and cannot be had, or the server is not the one that
    ///   is trusted; the name was not sent.
    pub fn connect(self, address: impl ServerAddress) -> Result<Client, ClientError> {
        let deadline = Deadline::new("connecting and registering", self.timeout);
        let name = UserName::from_bytes(self.name.as_bytes(), self.limits.name)?;
        let url = address.url().map(|text| self.parse_url(text)).transpose()?;
        let stream = match &url {
            Some(url) => connect(&(url.address().host(), url.address().port()), deadline)?,
            None => connect(&address, deadline)?,
        };
        let io = |doing: &str| {
            let doing = doing.to_owned();
            move |source| ClientError::Io { doing, source }
        };
        stream.set_nodelay(true).map_err(io("cannot configure the connection"))?;
        if let Some(silence) = self.keep_alive {
            let set = set_keep_alive(&stream, silence);
            set.map_err(io("cannot configure the connection"))?;
        }
        let peer = stream.peer_addr().map_err(io("the connection was lost"))?;
        let local = stream.local_addr().map_err(io("the connection was lost"))?;
        let ip = local.ip().to_canonical().to_string();
        let session = Session::with_limits(name, ip, self.limits.clone());
        let session = match &url {
            Some(url) => session.websocket(url),
            None => session,
        };
        let session = Mutex::new(match self.ping_interval {
            Some(interval) => session.ping_interval(interval),
            None => session,
        });
        #[cfg(feature = "tls")]
        let tls = match self.tls_for(url.as_ref())? {
            Some(tls) => {
                let host = url.as_ref().map_or(address.host(), |url| Some(url.address().host()));
                let channel = Channel::new(ClientStream::new(&tls, host, peer.ip())?);
                shake_hands(&channel, &stream, deadline)?;
                Some(channel)
            }
            None => None,
        };
        let wire = Wire {
            stream,
            #[cfg(feature = "tls")]
            tls,
            is_closed: AtomicBool::new(false),
        };
        let buffer = vec![0; wire.read_size()].into();
        let shared = Arc::new(Connection { wire, session, writing: Mutex::new(()) });
        let sender = ClientSender { shared: Arc::clone(&shared) };
        let mut receiver = ClientReceiver { shared, buffer, timeout: None };
        // a server that refuses at once has said why, and takes no name any more
        let written = sender.flush();
        let welcome = match receiver.registration(deadline) {
            Err(ClientError::Closed) => return Err(written.err().unwrap_or(ClientError::Closed)),
            verdict => verdict?,
        };
        Ok(Client { sender, receiver, welcome, peer, local })
    }
    /// The URL, if this client can use it.
    fn parse_url(&self, text: &str) -> Result<Url, ClientError> {
        let url: Url = text.parse()?;
        url.check_without_name()?;
        #[cfg(not(feature = "tls"))]
        if url.is_secure() {
            let text = "this build has no TLS: use ws://, or enable the feature tls of chatproto";
            return Err(UrlError::new(text).into());
        }
        #[cfg(feature = "tls")]
        if self.tls.is_some() && !url.is_secure() {
            let text = "TLS was asked for, and ws:// is without TLS: write wss://";
            return Err(UrlError::new(text).into());
        }
        Ok(url)
    }

    /// The settings of TLS, if the connection has TLS.
    #[cfg(feature = "tls")]
    fn tls_for(&self, url: Option<&Url>) -> Result<Option<ClientTls>, ClientError> {
        let is_by_default = self.tls.is_none() && url.is_some_and(Url::is_secure);
        Ok(if is_by_default { Some(ClientTls::system()?) } else { self.tls.clone() })
    }
}
