//! A server whose standard error nobody reads: there is no room for a single line.

#![cfg(unix)]

use std::io::{BufRead, BufReader, ErrorKind, PipeReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use crate::common::{Program, Raw, TestServer};

/// What the pipe is full of.
const FILLER: u8 = b'#';

/// Starts the program with a full pipe for its standard error.
fn start(arguments: &[&str]) -> (Program, PipeReader) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    for piece in [&[FILLER; 4096][..], &[FILLER]] {
        let full = loop {
            if let Err(error) = writer.write(piece) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
    }
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_server-example"));
    command.args(arguments);
    (Program::spawn_with(command, writer.into()), reader)
}

/// Users who come and go, and as many refusals.
fn visit(address: SocketAddr, visitors: usize) {
    for visitor in 0..visitors {
        let name = format!("{:?} {visitor}", thread::current().id());
        Raw::connect_at_once(address, &name);
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"SERVER\n").unwrap();
        let mut refusal = String::new();
        stream.read_to_string(&mut refusal).unwrap();
        assert!(refusal.contains("⛔"), "{refusal}");
    }
}

#[test]
fn it_serves_and_ends() {
    let (program, mut reader) = start(&["--listen", "127.0.0.1:0", "--log", "debug"]);
    let mut server = TestServer::of(program);
    let address = server.address;
    thread::scope(|scope| {
        (0..4).for_each(|_| drop(scope.spawn(move || visit(address, 2_500))));
    });
    let mut alice = Raw::connect(address, "alice");
    let mut bob = Raw::connect(address, "bob");
    bob.send("alice", "can you read this?");
    assert_eq!(alice.receive_from_user().msg, "can you read this?");
    drop((alice, bob));
    server.program.terminate();
    assert_eq!(server.program.end().0, Some(0));
    let mut errors = Vec::new();
    reader.read_to_end(&mut errors).unwrap();
    assert!(errors.iter().all(|&byte| byte == FILLER), "nothing had room");
}

#[test]
fn who_reads_at_last_gets_what_waits() {
    let (program, reader) = start(&["--listen", "127.0.0.1:0"]);
    let mut server = TestServer::of(program);
    visit(server.address, 50);
    let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    let first = first.trim_start_matches(char::from(FILLER));
    assert!(first.contains("descriptor limit"), "{first}");
    lines.find(|line| line.contains("WARN refused name=\"SERVER\"")).expect("it waited");
    server.program.terminate();
    let last = lines.last().unwrap();
    assert!(last.contains("stopped") && last.contains("served=50 refused=50"), "{last}");
    assert_eq!(server.program.end().0, Some(0));
}

#[test]
fn a_failure_and_a_second_signal_end_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (mut program, _reader) = start(&["--listen", &address]);
    assert_eq!(program.end().0, Some(2));

    let (program, _reader) = start(&["--listen", "127.0.0.1:0", "--linger", "1min"]);
    let mut server = TestServer::of(program);
    // it does not close its side, so that the server would wait for it
    let mut raw = Raw::connect(server.address, "bob");
    server.program.terminate();
    // the last words say that the first signal has arrived
    while raw.receive().is_some() {}
    server.program.terminate();
    assert_eq!(server.program.end().0, Some(128 + 15));
}
