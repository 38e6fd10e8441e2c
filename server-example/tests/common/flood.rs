//! Hostile servers: each welcomes whoever comes, answers nothing, and sends for as long as it can. And
//! how much memory a program has taken meanwhile.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this one")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chatproto::Message;

/// How long a client may take for its part of a flood.
const PATIENCE: Duration = Duration::from_secs(180);

/// What is sent again and again, to the user of that name, the nth time.
pub type Pieces = fn(name: &str, number: u64) -> Vec<u8>;

/// A client that takes nothing for so long takes nothing any more.
const STALL: Duration = Duration::from_secs(1);

/// A server that floods every client. It ends with the process of the test.
pub struct Flood {
    pub address: SocketAddr,
    state: Arc<State>,
}

/// What the clients have taken of the flood.
#[derive(Default)]
struct State {
    sent: AtomicU64,
    is_stalled: AtomicBool,
}

impl Flood {
    pub fn start(pieces: Pieces) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let flood = Flood { address, state: Arc::default() };
        let state = Arc::clone(&flood.state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&state);
                thread::spawn(move || serve(stream, pieces, &state));
            }
        });
        flood
    }

    /// Bytes of the flood that the sockets of all clients have taken.
    pub fn sent(&self) -> u64 {
        self.state.sent.load(Ordering::Relaxed)
    }

    /// Whether a client has ceased to read.
    pub fn is_stalled(&self) -> bool {
        self.state.is_stalled.load(Ordering::Relaxed)
    }

    /// Waits until so much was sent, and looks at the clients meanwhile.
    pub fn wait_until_sent(&self, bytes: u64, what: &str, mut look: impl FnMut()) {
        let begun = Instant::now();
        while self.sent() < bytes {
            assert!(begun.elapsed() < PATIENCE, "{what}: only {} bytes were sent", self.sent());
            look();
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Ends when the client has gone.
fn serve(mut stream: TcpStream, pieces: Pieces, state: &State) -> Option<()> {
    let mut name = [0; 1024];
    let length = stream.read(&mut name).ok()?;
    let name = String::from_utf8_lossy(&name[..length]);
    let name = name.split(['\n', '{']).next()?.trim().to_owned();
    let welcome = format!("Welcome, {name}! Nobody else is online.");
    stream.write_all(&object("SERVER", &name, &welcome)).ok()?;
    // it is not the client that waits
    let mut commands = stream.try_clone().ok()?;
    thread::spawn(move || while commands.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {});
    stream.set_write_timeout(Some(STALL)).ok()?;
    for number in 0.. {
        let piece = pieces(&name, number);
        let mut rest = &piece[..];
        while !rest.is_empty() {
            match stream.write(rest) {
                Ok(length) => {
                    state.sent.fetch_add(length as u64, Ordering::Relaxed);
                    rest = &rest[length..];
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    state.is_stalled.store(true, Ordering::Relaxed);
                }
                Err(_) => return None,
            }
        }
    }
    None
}

pub fn object(from: &str, to: &str, msg: &str) -> Vec<u8> {
    (Message::new(from, "0.0.0.0", to, msg).to_json() + "\n").into_bytes()
}

/// The most memory that a process has taken, in KiB; `None` where the system does not say.
pub fn largest_kib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Waits for a process to end, at most so long; how it did, and the most memory that it has taken.
pub fn watch(child: &mut Child, patience: Duration) -> (ExitStatus, u64) {
    let (begun, mut largest) = (Instant::now(), 0);
    loop {
        largest = largest.max(largest_kib(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            return (status, largest);
        }
        if begun.elapsed() > patience {
            let _ = child.kill();
            let _ = child.wait();
            panic!("it has not ended after {patience:?}, with {largest} KiB");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

pub mod pieces {
    //! What servers flood with.

    use super::object;

    /// 16 KiB lines to everybody.
    pub fn messages(_: &str, _: u64) -> Vec<u8> {
        object("bob", "Everyone", &"x".repeat(16_000)).repeat(8)
    }

    /// Objects that are no messages.
    pub fn empty_objects(_: &str, _: u64) -> Vec<u8> {
        b"{}".repeat(16 * 1024)
    }

    /// A part of an object that does not end, after its first byte.
    pub fn endless_object(_: &str, number: u64) -> Vec<u8> {
        if number == 0 { b"{\"msg\":\"".to_vec() } else { vec![b'x'; 64 * 1024] }
    }

    pub fn white_space(_: &str, _: u64) -> Vec<u8> {
        vec![b' '; 64 * 1024]
    }

    /// Rooms that the user is said to have joined, and users and rooms, each with a long name.
    pub fn long_names(name: &str, number: u64) -> Vec<u8> {
        let long = "n".repeat(30_000);
        let mut bytes = object(&format!("{number}{long}"), &format!("#{number}{long}"), "");
        let joined = format!("Joined #j{number}{long}. You are its only member.");
        bytes.extend_from_slice(&object("SERVER", name, &joined));
        bytes
    }

    /// Answers to `/help`, `/list` and `/rooms` with thousands of names.
    pub fn long_lists(name: &str, number: u64) -> Vec<u8> {
        let list = |sign: &str| -> String {
            let item = |at| format!("{sign}{number}x{at}");
            (0..3_000).map(item).collect::<Vec<_>>().join(", ")
        };
        let mut bytes = object("SERVER", name, &format!("Commands: {}", list("/")));
        let users = format!("Connected users (3000): {} (1/9)", list("u"));
        bytes.extend_from_slice(&object("SERVER", name, &users));
        bytes.extend_from_slice(&object("SERVER", name, &format!("Rooms (3000): {}", list("#"))));
        bytes
    }
}
