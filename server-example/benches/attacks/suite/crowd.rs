//! Many connections of an attacker's, served by one thread that looks at each of them in turn.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::PATIENCE;
use super::stage::Stage;

/// What a connection was told last is kept up to this length.
const KEPT: usize = 1024;

/// One connection.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) stream: TcpStream,
    pub(crate) number: usize,
    /// The beginning of what it read.
    pub(crate) told: Vec<u8>,
    /// Bytes that it read.
    pub(crate) read: u64,
}

/// Connections that are open.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    pub(crate) members: Vec<Member>,
    /// Those that the server has closed.
    pub(crate) closed: Vec<Member>,
}

impl Crowd {
    /// Opens so many connections, each of which begins with what `first` says.
    pub(crate) fn open(
        stage: &Stage,
        count: usize,
        first: impl Fn(usize) -> Vec<u8>,
    ) -> Result<Self, String> {
        let mut crowd = Crowd::default();
        for number in 0..count {
            crowd.add(connect(stage.address)?, number, &first(number))?;
        }
        Ok(crowd)
    }

    /// The same with small receive buffers.
    pub(crate) fn open_small(
        stage: &Stage,
        count: usize,
        first: impl Fn(usize) -> Vec<u8>,
    ) -> Result<Self, String> {
        let mut crowd = Crowd::default();
        for number in 0..count {
            crowd.add(connect_small(stage.address)?, number, &first(number))?;
        }
        Ok(crowd)
    }

    pub(crate) fn add(
        &mut self,
        mut stream: TcpStream,
        number: usize,
        first: &[u8],
    ) -> Result<(), String> {
        let greeted = stream.set_nonblocking(true).and_then(|()| match first {
            [] => Ok(()),
            first => stream.write_all(first),
        });
        greeted.map_err(|error| format!("attacker {number} cannot begin: {error}."))?;
        self.members.push(Member { stream, number, told: Vec::new(), read: 0 });
        Ok(())
    }

    /// Reads what there is to read, and notes who was closed.
    pub(crate) fn read(&mut self) {
        let mut buffer = [0; 64 * 1024];
        let mut at = 0;
        while at < self.members.len() {
            if self.members[at].read(&mut buffer) {
                at += 1;
            } else {
                self.closed.push(self.members.swap_remove(at));
            }
        }
    }

    /// Reads until all of them have been told something.
    pub(crate) fn read_welcomes(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            self.read();
            if self.members.iter().all(|member| member.told.windows(7).any(|w| w == b"Welcome")) {
                return match self.closed.len() {
                    0 => Ok(()),
                    closed => Err(format!("{closed} connections were closed without a welcome.")),
                };
            }
            if begun.elapsed() > PATIENCE {
                return Err("the attackers were not welcomed.".to_owned());
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Member {
    /// False if the server has closed the connection.
    fn read(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    self.read += length as u64;
                    let room = KEPT.saturating_sub(self.told.len()).min(length);
                    self.told.extend_from_slice(&buffer[..room]);
                    if length < buffer.len() {
                        return true;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }
}

/// Connects, and waits no longer for anything than a defect takes.
pub(crate) fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    connect_with(address, |_| Ok(()))
}

/// The same with a receive buffer that is soon full if nobody reads.
pub(crate) fn connect_small(address: SocketAddr) -> Result<TcpStream, String> {
    connect_with(address, |socket| socket.set_recv_buffer_size(4096))
}

fn connect_with(
    address: SocketAddr,
    set: impl Fn(&Socket) -> io::Result<()>,
) -> Result<TcpStream, String> {
    let connect = || -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        set(&socket)?;
        socket.connect_timeout(&address.into(), PATIENCE)?;
        Ok(TcpStream::from(socket))
    };
    let connected = connect().and_then(|stream| {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    });
    connected.map_err(|error| format!("an attacker cannot connect: {error}."))
}

/// Closes a connection with a reset, so that nothing of it stays in the attacker's system.
pub(crate) fn abort(stream: TcpStream) {
    // without it the close is an ordinary one
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    drop(stream);
}

/// Writes as much as the socket takes within a time; returns how much.
pub(crate) fn write_for(
    stream: &mut TcpStream,
    bytes: &[u8],
    patience: Duration,
) -> io::Result<usize> {
    stream.set_write_timeout(Some(patience))?;
    match stream.write(bytes) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(0)
        }
        written => written,
    }
}
