//! One connection of the generator: opened and registered with blocking calls, then used without.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use crate::payload::{Message, Scanner};
use crate::protocol::Role;
use crate::servers::Kind;
use crate::transport::{Transport, UPGRADE};

/// The longest wait for a server's welcome.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What it says, if it says something.
    pub(crate) message: Option<Message>,
    /// What is to be written, of which `written` bytes are.
    out: Vec<u8>,
    written: usize,
    scanner: Scanner,
    /// It is in the generator's list of those that have something to write.
    pub(crate) is_dirty: bool,
}

impl Connection {
    /// Connects and registers, and returns when the server has said that it is done.
    pub(crate) fn open(
        (kind, transport): (Kind, Transport),
        address: SocketAddr,
        (user, role, everybody): (usize, Role, bool),
    ) -> Result<Self, String> {
        let failed = |what: &str, error| format!("connection {user} cannot {what}: {error}.");
        let mut stream = std::net::TcpStream::connect_timeout(&address, PATIENCE)
            .map_err(|error| failed("connect", error))?;
        let mut greet = || {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            // closes with a reset, so that no run leaves the next one its sockets
            SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
            let mut answer = Vec::new();
            if transport == Transport::WebSocket {
                stream.write_all(UPGRADE)?;
                while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
                    read_more(&mut stream, &mut answer)?;
                }
                if !answer.starts_with(b"HTTP/1.1 101 ") {
                    return Err(io::Error::other("the server refuses to speak WebSocket"));
                }
                answer.clear();
            }
            let hello = kind.hello(user, role, everybody);
            stream.write_all(&[transport.header(hello.len()), hello].concat())?;
            while !kind.is_welcome(role, &answer) {
                read_more(&mut stream, &mut answer)?;
            }
            stream.set_nonblocking(true)
        };
        greet().map_err(|error| failed("register", error))?;
        Ok(Connection {
            stream: TcpStream::from_std(stream),
            message: None,
            out: Vec::new(),
            written: 0,
            scanner: Scanner::new(transport == Transport::WebSocket),
            is_dirty: false,
        })
    }

    /// Makes the system keep little of what is sent to it.
    pub(crate) fn shrink(&self) -> Result<(), String> {
        let shrunk = SockRef::from(&self.stream).set_recv_buffer_size(4096);
        shrunk.map_err(|error| format!("cannot make a receive buffer smaller: {error}."))
    }

    pub(crate) fn register(&mut self, registry: &Registry, at: usize) -> Result<(), String> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = registry.register(&mut self.stream, Token(at), interest);
        registered.map_err(|error| format!("cannot wait for a connection: {error}."))
    }

    /// Has one message to write, stamped so.
    pub(crate) fn say(&mut self, stamp: u64) {
        if let Some(message) = &self.message {
            message.append(stamp, &mut self.out);
        }
    }

    /// Writes what the socket takes; the rest is written when it is writable again.
    pub(crate) fn write(&mut self) -> Result<(), String> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(length) => self.written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("the generator cannot write: {error}.")),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads once, and calls `found` with the stamp of every delivery. False if nothing is left.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        found: impl FnMut(u64),
    ) -> Result<bool, String> {
        match self.stream.read(buffer) {
            Ok(0) => Err("the server closed a connection.".to_owned()),
            Ok(length) => {
                self.scanner.scan(&buffer[..length], found)?;
                // on Linux a short read has emptied the socket
                Ok(length == buffer.len())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(format!("the generator cannot read: {error}.")),
        }
    }
}

/// Appends what one read gives.
fn read_more(stream: &mut std::net::TcpStream, answer: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        length => {
            answer.extend_from_slice(&buffer[..length]);
            Ok(())
        }
    }
}
