//! A listener that answers the opening handshake of WebSocket, and hands the connection to a server: `/ws`, with
//! or without `?name=`. Other paths are not found. It ends with the program.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use chatproto::ServerHandle;
use chatproto::connection::Framing;
use chatproto::server::Origin;
use chatproto::websocket::accept_key;

/// Listens on a port of its own, for this server.
pub fn start(handle: &ServerHandle) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let handle = handle.clone();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let handle = handle.clone();
            // a client that says nothing keeps nobody waiting
            thread::spawn(move || upgrade(stream, &handle));
        }
    });
    address
}

/// The URL of a WebSocket there.
pub fn url(address: SocketAddr) -> String {
    format!("ws://{address}/ws")
}

/// Answers one request. It gives up if the client does not send one.
fn upgrade(mut stream: TcpStream, handle: &ServerHandle) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let (head, behind) = read_head(&mut stream)?;
    let target = head.split(' ').nth(1)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (Some(answer), "/ws") = (opening(&head), path) else {
        let body = "there is no such page\n";
        let length = body.len();
        let answer = format!("HTTP/1.1 404 Not Found\r\nContent-Length: {length}\r\n\r\n{body}");
        return stream.write_all(answer.as_bytes()).ok();
    };
    stream.set_read_timeout(None).ok()?;
    let address = stream.peer_addr().ok()?.ip();
    let origin = Origin::new(address).framing(Framing::WebSocket).received(behind);
    let origin = match query.split('&').find_map(|pair| pair.strip_prefix("name=")) {
        Some(name) => origin.name(&decoded(name)),
        None => origin,
    };
    handle.adopt(stream, origin.unsent(answer.into_bytes())).ok()
}

/// The answer that opens the WebSocket of the request with this head.
pub fn opening(head: &str) -> Option<String> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let (_, key) = lines.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))?;
    Some(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept_key(key)
    ))
}

/// The head of a request, and the bytes behind it.
pub fn read_head(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let behind = bytes.split_off(at + 4);
            return Some((String::from_utf8(bytes).ok()?, behind));
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).ok()? {
            0 => return None,
            length => bytes.extend_from_slice(&buffer[..length]),
        }
    }
}

/// The text without percent-encoding.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((before, behind)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(&behind[..2], 16).expect("two digits"));
        rest = &behind[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).expect("UTF-8")
}
