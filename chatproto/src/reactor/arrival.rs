//! A connection that comes to an event loop: from a listener, or adopted from another part of the program.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};

use bytes::Bytes;
use socket2::SockRef;

use crate::connection::Framing;
use crate::hub::Transport;
use crate::websocket::{close_code, close_frame};

use super::socket::{Socket, configure};
use super::stream::Stream;

/// The origin of a connection that [`ServerHandle::adopt`](crate::ServerHandle::adopt) takes over: the address
/// of the peer, the framing, and the state of the transport.
///
/// The bytes have this order. First come those that were [received](Origin::received), then those that the TLS
/// session has decrypted, then those of the socket. To the peer, the [unsent](Origin::unsent) bytes come first.
#[derive(Debug)]
pub struct Origin {
    address: IpAddr,
    framing: Framing,
    name: Option<String>,
    received: Bytes,
    unsent: Bytes,
    #[cfg(feature = "tls")]
    tls: Option<Box<rustls::ServerConnection>>,
}

impl Origin {
    /// A plain connection from this address, from which nothing was read. Bans, the limit for each address and
    /// `from.ip` use this address.
    pub fn new(address: IpAddr) -> Self {
        Origin {
            address,
            framing: Framing::Plain,
            name: None,
            received: Bytes::new(),
            unsent: Bytes::new(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// The framing of the connection. Default: plain.
    #[must_use]
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// The user name, if the peer has said it before the framing began, such as in a URL. Default: the
    /// connection begins with the name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Bytes that were read from the peer, and that belong to this protocol. (With TLS, they are decrypted.)
    #[must_use]
    pub fn received(mut self, bytes: impl Into<Bytes>) -> Self {
        self.received = bytes.into();
        self
    }

    /// Bytes that belong to the peer, and that the socket has not yet taken. (With TLS, they are encrypted. The
    /// bytes that the session itself has not written must not be among them.)
    #[must_use]
    pub fn unsent(mut self, bytes: impl Into<Bytes>) -> Self {
        self.unsent = bytes.into();
        self
    }

    /// The TLS session of the socket, with its handshake done.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, session: rustls::ServerConnection) -> Self {
        self.tls = Some(Box::new(session));
        self
    }
}

/// A connection that a loop is to take over.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) stream: Stream,
    pub(super) address: IpAddr,
    pub(super) framing: Framing,
    pub(super) name: Option<String>,
    pub(super) is_adopted: bool,
}

impl Arrival {
    /// One that was accepted.
    pub(super) fn new(stream: Stream, address: IpAddr) -> Self {
        let framing = Framing::Plain;
        Arrival { stream, address, framing, name: None, is_adopted: false }
    }

    /// One that another part of the program has accepted.
    pub(super) fn adopt(socket: TcpStream, origin: Origin) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        configure(&SockRef::from(&socket))?;
        let socket = Socket::Tcp(mio::net::TcpStream::from_std(socket));
        Ok(Arrival::of(socket, origin))
    }

    /// The same with a socket that is configured.
    pub(super) fn of(socket: Socket, origin: Origin) -> Self {
        #[cfg(feature = "tls")]
        let stream = match origin.tls {
            Some(session) => Stream::secure(socket, *session),
            None => Stream::plain(socket),
        };
        #[cfg(not(feature = "tls"))]
        let stream = Stream::plain(socket);
        Arrival {
            stream: stream.with_bytes(origin.received, origin.unsent),
            address: origin.address,
            framing: origin.framing,
            name: origin.name,
            is_adopted: true,
        }
    }

    /// No loop takes it over, because the server stops. The peer is told so in its framing.
    pub(super) fn turn_away(mut self) {
        if self.framing == Framing::WebSocket {
            // best effort: a new socket takes these few bytes at once
            let frame = close_frame(close_code::GOING_AWAY);
            let _ = self.stream.write_all(&frame).and_then(|()| self.stream.flush());
        }
        let _ = self.stream.shut_down_writing();
        // a socket with unread bytes would reset the connection, and a reset may destroy the frame (B16)
        let _ = self.stream.read(&mut [0; 4096]);
    }

    /// How its bytes travel, as far as that is known before the peer sends any.
    pub(super) fn transport(&self) -> Transport {
        let transport = match self.framing {
            Framing::Plain => Transport::Text,
            Framing::WebSocket => Transport::WebSocket,
        };
        if self.stream.is_secure() { transport.secured() } else { transport }
    }
}
