//! Faults inside, in a process of its own: an endpoint that panics costs its caller an answer, and
//! an event loop that panics ends the whole server, and not half of it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Raw, limits};
use chatproto::Server;
use chatproto::endpoint::Request;
use chatproto::hub::Event;

/// The exit code of the server that failed.
const FAILED: i32 = 3;
/// Who makes the event loop panic that it is served by.
const POISON: &str = "poison";

/// The server of the other tests: this executable, started by them to run this and nothing else.
#[test]
#[ignore = "it is a server, and no test"]
fn server() {
    let panics = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&panics);
    let observe = move |event: &Event| match event {
        Event::HandlerPanicked { .. } => {
            count.fetch_add(1, Ordering::SeqCst);
        }
        Event::Registered { name, .. } if name.as_str() == POISON => panic!("a planted fault"),
        _ => {}
    };
    let fail = |_: &Request| -> Result<String, String> { panic!("a defect of the application") };
    let server = Server::builder()
        .limits(limits())
        .threads(2)
        .observer(observe)
        .endpoint("/fail", "Fails.", fail)
        .and_then(|builder| {
            let panics = move |_: &Request| Ok(panics.load(Ordering::SeqCst).to_string());
            builder.endpoint("/panics", "Counts.", panics)
        })
        .and_then(|builder| builder.bind(([127, 0, 0, 1], 0)))
        .unwrap();
    println!("\nlistening on {}", server.local_addr());
    if let Err(error) = server.run() {
        eprintln!("the server ends: {error}");
        std::process::exit(FAILED);
    }
}

/// A server in a process, killed when it is dropped.
struct Process {
    child: Child,
    address: SocketAddr,
    _output: BufReader<ChildStdout>,
}

impl Process {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "faults::server", "--ignored", "--nocapture"])
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert!(output.read_line(&mut line).unwrap() > 0, "the server does not listen");
            if let Some(address) = line.trim().strip_prefix("listening on ") {
                break address.parse().unwrap();
            }
        };
        Process { child, address, _output: output }
    }

    /// Waits for its end: the exit code, and what it said on standard error.
    fn end(&mut self) -> (Option<i32>, String) {
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (self.child.wait().unwrap().code(), errors)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // an error means that it has ended
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_endpoint_that_panics_costs_its_caller_an_answer_and_is_counted() {
    let server = Process::start();
    let mut alice = Raw::join(server.address, "alice");
    let mut bob = Raw::join(server.address, "bob");
    // more often than there are threads to lose
    for _ in 0..50 {
        alice.send("/fail", "");
        assert!(alice.read().msg.contains("The command failed"));
    }
    bob.send("alice", "still there?");
    assert_eq!(alice.read().msg, "still there?");
    bob.send("/panics", "");
    assert_eq!(bob.read().msg, "50");
}

#[test]
fn an_event_loop_that_panics_ends_the_server_with_a_sentence() {
    let mut server = Process::start();
    // some on each of the two loops
    let mut users: Vec<Raw> =
        (0..6).map(|number| Raw::join(server.address, &format!("u{number}"))).collect();
    let mut poison = Raw::connect(server.address);
    poison.write(format!("{POISON}\n").as_bytes());
    let (code, errors) = server.end();
    assert_eq!(code, Some(FAILED), "{errors}");
    let last = errors.lines().last().unwrap();
    assert!(last.starts_with("the server ends: "), "{errors}");
    assert!(last.contains("panicked") && last.contains("a planted fault"), "{errors}");
    // nobody is left with half a server: those of the other loop were told
    let is_told = |user: &mut Raw| {
        let mut buffer = Vec::new();
        // a reset is an end, too
        let _ = user.stream.read_to_end(&mut buffer);
        String::from_utf8_lossy(&buffer).contains("shutting down")
    };
    assert!(users.iter_mut().any(is_told));
}
