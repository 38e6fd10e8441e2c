//! HTTP and WebSockets of a server, as bytes of sockets that the tests make themselves.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::{PATIENCE, Program};

/// Where the log says that HTTP is served.
pub fn http_address(program: &mut Program) -> SocketAddr {
    let line = program.error_with("HTTP on ");
    let (_, url) = line.rsplit_once("http://").expect("a URL");
    url.parse().expect("an address")
}

/// The answer to a request that closes the connection: its head and its body.
pub fn page(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_owned(), body.to_owned())
}

/// A client's side of a WebSocket.
pub struct WebSocket<S = TcpStream>(BufReader<S>);

/// A frame of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Text(String),
    Ping,
    /// The end, with its code.
    Close(u16),
}

impl WebSocket {
    /// Opens one over this connection.
    ///
    /// # Errors
    /// The head of another answer than 101, or that the connection ended before there was an answer.
    pub fn open(socket: TcpStream, path: &str) -> Result<Self, String> {
        WebSocket::open_with(socket, path, "")
    }

    /// The same with more lines of the request, each with its end.
    pub fn open_with(socket: TcpStream, path: &str, lines: &str) -> Result<Self, String> {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        WebSocket::over(socket, path, lines)
    }
}

impl<S: Read + Write> WebSocket<S> {
    /// The same over any stream.
    pub fn over(mut stream: S, path: &str, lines: &str) -> Result<Self, String> {
        let head = "Host: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        let request = format!("GET {path} HTTP/1.1\r\n{head}\r\n{lines}\r\n");
        let mut answer = String::new();
        let outcome = stream.write_all(request.as_bytes()).and_then(|()| {
            let mut reader = BufReader::new(stream);
            while !answer.ends_with("\r\n\r\n") {
                if reader.read_line(&mut answer)? == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
            Ok(reader)
        });
        match outcome {
            Ok(reader) if answer.starts_with("HTTP/1.1 101 ") => Ok(WebSocket(reader)),
            Ok(_) => Err(answer),
            Err(error) => Err(format!("{answer}({error})")),
        }
    }

    /// Sends a text frame of less than 126 bytes, with a mask of zeros.
    pub fn send(&mut self, text: &str) {
        let length = u8::try_from(text.len()).unwrap();
        let frame = [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat();
        self.0.get_mut().write_all(&frame).unwrap();
    }

    /// Reads the next frame.
    ///
    /// # Errors
    /// The connection ended without a close frame, or nothing came.
    pub fn read(&mut self) -> io::Result<Frame> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head)?;
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.0.read_exact(&mut length)?;
                u16::from_be_bytes(length).into()
            }
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload)?;
        Ok(match (head[0], &payload[..]) {
            (0x81, _) => Frame::Text(String::from_utf8(payload).expect("UTF-8")),
            (0x89, []) => Frame::Ping,
            (0x88, &[high, low]) => Frame::Close(u16::from_be_bytes([high, low])),
            other => panic!("a frame that a server does not send: {other:?}"),
        })
    }

    /// Reads until a text frame contains this.
    pub fn read_with(&mut self, text: &str) -> String {
        loop {
            match self.read().expect("a frame") {
                Frame::Text(payload) if payload.contains(text) => return payload,
                Frame::Text(_) | Frame::Ping => {}
                Frame::Close(code) => panic!("closed with {code} before {text:?}"),
            }
        }
    }
}
