//! Clients that are judged: the library's, one in Python with nothing but a socket, and one with
//! planted faults.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use chatproto::{Client, ClientError, Decoder, ErrorClass, Message};

use super::Outcome;
use super::common::Program;

/// As often the runner expects a client to connect.
const TIMES: usize = 3;

/// Judges what the program does, which is given the address to connect to.
fn judge(program: impl FnOnce(SocketAddr) + Send + 'static) -> Outcome {
    judge_with(&[], program)
}

/// The same, with further options.
fn judge_with(options: &[&str], program: impl FnOnce(SocketAddr) + Send + 'static) -> Outcome {
    // the pace is judged by a clock, so what was kept from running is tried again
    let arguments = ["check", "--client", "--listen", "127.0.0.1:0", "--json", "--timeout", "4s"];
    let mut check = Program::start(&[&arguments[..], options].concat());
    let line = check.error_with("listening on ");
    let address = line.strip_prefix("listening on ").unwrap().parse().unwrap();
    let client = thread::spawn(move || program(address));
    let (code, output, errors) = check.end();
    client.join().unwrap();
    let report = super::report(output.join("\n").as_bytes());
    Outcome { code, report, errors: errors.join("\n") }
}

#[track_caller]
fn assert_passes(outcome: &Outcome) {
    assert_eq!(outcome.with("fail"), [""; 0], "{}", outcome.errors);
    assert_eq!(outcome.with("untried"), [""; 0], "{}", outcome.errors);
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
}

#[test]
fn the_librarys_client_follows_every_rule() {
    let outcome = judge(|address| {
        for _ in 0..TIMES {
            match Client::connect(address, "echo") {
                Ok(client) => echo(client),
                Err(error) => assert!(matches!(error, ClientError::Refused(_)), "{error}"),
            }
        }
    });
    assert_passes(&outcome);
    assert_eq!(outcome.with("note"), [""; 0]);
    assert_eq!(outcome.with("not-applicable"), [""; 0]);
}

/// Sends to each user what that user wrote, until the server closes.
fn echo(mut client: Client) {
    loop {
        match client.recv() {
            Ok(message) if message.is_from_server() => {}
            Ok(message) => match client.send(&message.from.name, &message.msg) {
                Ok(()) | Err(ClientError::FrameTooLong { .. }) => {}
                Err(_) => return,
            },
            Err(ClientError::Decode(error)) if error.class() == ErrorClass::Schema => {}
            Err(_) => return,
        }
    }
}

#[test]
fn a_client_in_python_with_nothing_but_a_socket_follows_part_a() {
    let outcome = judge(|address| {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/echo.py");
        let mut command = Command::new("python3");
        command.arg(program).arg(address.port().to_string()).stdin(Stdio::null());
        let status = command.status().expect("Python 3 is there");
        assert!(status.success(), "{status}");
    });
    assert_passes(&outcome);
    let [name] = &outcome.with("note")[..] else { panic!("{:?}", outcome.with("note")) };
    assert!(name.contains("B2.lf"), "{name}");
    let skipped = outcome.with("not-applicable");
    assert!(skipped.iter().any(|case| case.contains("B2.pace")), "{skipped:?}");
}

/// The lines that say that the client is to connect again.
fn waits(outcome: &Outcome) -> usize {
    outcome.errors.matches("for the client to connect again").count()
}

#[test]
fn a_client_that_connects_once_is_judged_by_that_after_one_wait() {
    let outcome = judge_with(&["--wait", "2s"], |address| {
        echo(Client::connect(address, "echo").unwrap());
    });
    assert_eq!(outcome.with("fail"), [""; 0], "{}", outcome.errors);
    let untried = outcome.with("untried");
    let ids: Vec<_> = untried.iter().filter_map(|one| one.split('"').nth(1)).collect();
    assert_eq!(ids, ["A8.refused", "B2.pace", "B2.too-long"], "{untried:?}");
    assert!(untried.iter().all(|one| one.contains("did not connect again")), "{untried:?}");
    assert_eq!((outcome.code, waits(&outcome)), (Some(1), 1), "{}", outcome.errors);
    assert!(outcome.errors.contains("waiting up to 2s"), "{}", outcome.errors);
    let passed = outcome.with("pass").len();
    assert!(passed >= 18, "{passed}");
}

#[test]
fn a_client_need_not_connect_for_rules_that_are_not_chosen() {
    for (only, times) in [("A2", 1), ("A8", 1), ("A3.echo,A8.refused", 2), ("B2.pace", 2)] {
        let outcome = judge_with(&["--only", only], move |address| {
            for _ in 0..times {
                match Client::connect(address, "echo") {
                    Ok(client) => echo(client),
                    Err(error) => assert!(matches!(error, ClientError::Refused(_)), "{error}"),
                }
            }
        });
        assert_passes(&outcome);
        assert_eq!(waits(&outcome), times - 1, "{only}: {}", outcome.errors);
    }
}

#[test]
fn the_end_of_a_client_that_left_early_is_not_judged() {
    let outcome = judge(|address| {
        for _ in 0..TIMES {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"echo\n").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            // without this, the close would be a reset
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    });
    let untried = outcome.with("untried");
    assert!(untried.iter().any(|one| one.contains("B16.end")), "{untried:?}");
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
}

#[test]
fn nobody_who_connects_is_waited_for_only_so_long() {
    let arguments = ["check", "--client", "--listen", "127.0.0.1:0", "--wait", "50ms"];
    let (code, _, errors) = Program::start(&arguments).end();
    assert_eq!(code, Some(2), "there is nothing to judge");
    assert!(errors.iter().any(|line| line.contains("no client connected")), "{errors:?}");
}

/// What is wrong with the client that is written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    NameQuoted,
    NoName,
    NameInvalid,
    OneRead,
    SplitLost,
    WaitsForLineFeed,
    EscapesKept,
    Latin1,
    KeyAdded,
    KeyForgotten,
    UnknownKeyRefused,
    SchemaErrorFatal,
    FramingErrorSkipped,
    LongLost,
    Unpaced,
    TooLongSent,
    GoesOnAfterRefusal,
    Silent,
}

/// Each with the rules that it breaks.
const FAULTS: [(Fault, &[&str]); 19] = [
    (Fault::None, &[]),
    (Fault::NameQuoted, &["A2"]),
    (Fault::NoName, &["A2"]),
    (Fault::NameInvalid, &["B5"]),
    (Fault::OneRead, &["A4", "B1", "B4"]),
    (Fault::SplitLost, &["B1"]),
    (Fault::WaitsForLineFeed, &["A4", "B1"]),
    (Fault::EscapesKept, &["A5", "B7"]),
    (Fault::Latin1, &["A1", "B1"]),
    (Fault::KeyAdded, &["A3"]),
    (Fault::KeyForgotten, &["A3"]),
    (Fault::UnknownKeyRefused, &["B3"]),
    (Fault::SchemaErrorFatal, &["B3"]),
    (Fault::FramingErrorSkipped, &["B3"]),
    (Fault::LongLost, &["B4"]),
    (Fault::Unpaced, &["B2"]),
    (Fault::TooLongSent, &["B2"]),
    (Fault::GoesOnAfterRefusal, &["A8"]),
    (Fault::Silent, &["A3"]),
];

#[test]
fn each_planted_fault_of_a_client_is_found_and_nothing_else() {
    let judged = FAULTS.map(|(fault, broken)| {
        let outcome = thread::spawn(move || judge(move |address| faulty(fault, address)));
        (fault, broken, outcome)
    });
    let mut wrong = Vec::new();
    for (fault, broken, outcome) in judged {
        let outcome = outcome.join().unwrap();
        if outcome.broken() != broken || outcome.code != Some(i32::from(fault != Fault::None)) {
            let found = (outcome.with("fail"), outcome.with("untried"), outcome.errors);
            wrong.push(format!("{fault:?}: {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Connects as often as it is to, and echoes.
fn faulty(fault: Fault, address: SocketAddr) {
    for _ in 0..TIMES {
        let Ok(stream) = TcpStream::connect(address) else { return };
        // that the other side has gone is no fault of this one
        let _ = Faulty { fault, stream, decoder: Decoder::default(), is_stream: false, last: None }
            .run();
    }
}

struct Faulty {
    fault: Fault,
    stream: TcpStream,
    decoder: Decoder,
    /// Whether the server's first object ended with a line feed.
    is_stream: bool,
    last: Option<Instant>,
}

impl Faulty {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn run(&mut self) -> std::io::Result<()> {
        self.stream.set_nodelay(true)?;
        let name = match self.fault {
            Fault::NameQuoted => "\"echo\"\n",
            Fault::NameInvalid => "/echo\n",
            Fault::NoName => r#"{"from":{"name":"echo","ip":""},"to":"/list","msg":""}"#,
            _ => "echo\n",
        };
        self.stream.write_all(name.as_bytes())?;
        let mut welcome = [0; 1024];
        let length = self.stream.read(&mut welcome)?;
        self.is_stream = welcome[..length].windows(2).any(|two| two == b"}\n");
        if String::from_utf8_lossy(&welcome[..length]).contains('⛔') {
            if self.has(Fault::GoesOnAfterRefusal) {
                self.send("/list", "/list")?;
            }
            return self.stream.shutdown(Shutdown::Both);
        }
        self.take(&welcome[..length])?;
        let mut pending = Vec::new();
        loop {
            let mut buffer = [0; 16 * 1024];
            let length = self.stream.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            pending.extend_from_slice(&buffer[..length]);
            if self.has(Fault::WaitsForLineFeed) && !pending.ends_with(b"\n") {
                continue;
            }
            let read = std::mem::take(&mut pending);
            if !self.take(&read)? {
                return self.stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// Echoes what a read brought; whether to go on.
    fn take(&mut self, read: &[u8]) -> std::io::Result<bool> {
        if self.has(Fault::OneRead) {
            return self.take_one(read).map(|()| true);
        }
        let latin: String;
        let mut input = read;
        if self.has(Fault::Latin1) {
            latin = read.iter().copied().map(char::from).collect();
            input = latin.as_bytes();
        }
        loop {
            let before = input;
            match self.decoder.decode(&mut input) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    let mut message = frame.message().to_owned();
                    if self.has(Fault::EscapesKept) {
                        message.msg = frame.message().msg.raw().to_owned();
                    }
                    let is_strange = frame.as_str().contains("\"v\"");
                    if !(is_strange && self.has(Fault::UnknownKeyRefused)) {
                        self.echo(&message)?;
                    }
                }
                Err(error) if error.class() == ErrorClass::Schema => {
                    if self.has(Fault::SchemaErrorFatal) {
                        return Ok(false);
                    }
                }
                Err(_) if self.has(Fault::FramingErrorSkipped) => {
                    self.decoder = Decoder::default();
                    let next = before.iter().skip(1).position(|&byte| byte == b'{');
                    input = next.map_or(&[], |at| &before[at + 1..]);
                }
                Err(_) => return Ok(false),
            }
        }
        if self.has(Fault::SplitLost) && self.decoder.is_inside_frame() {
            self.decoder = Decoder::default();
        }
        Ok(true)
    }

    /// Takes a read for one object, and one that it is not for nothing.
    fn take_one(&mut self, read: &[u8]) -> std::io::Result<()> {
        match Message::decode(read) {
            Ok(message) => self.echo(&message),
            Err(_) => Ok(()),
        }
    }

    fn echo(&mut self, message: &Message) -> std::io::Result<()> {
        if message.is_from_server() || self.has(Fault::Silent) {
            return Ok(());
        }
        if self.has(Fault::LongLost) && message.msg.len() > 2000 {
            return Ok(());
        }
        self.send(&message.from.name, &message.msg)
    }

    fn send(&mut self, to: &str, msg: &str) -> std::io::Result<()> {
        let mut object = Message::new("echo", "", to, msg).to_json();
        if self.has(Fault::KeyAdded) {
            object.insert_str(1, "\"time\":\"now\",");
        } else if self.has(Fault::KeyForgotten) {
            object = object.replace(",\"ip\":\"\"", "");
        }
        if !self.is_stream && object.len() >= 1024 && !self.has(Fault::TooLongSent) {
            return Ok(());
        }
        if let Some(last) = self.last.filter(|_| !self.is_stream && !self.has(Fault::Unpaced)) {
            // well above what is asked for, as a busy machine sees less
            thread::sleep(Duration::from_millis(60).saturating_sub(last.elapsed()));
        }
        self.last = Some(Instant::now());
        self.stream.write_all((object + "\n").as_bytes())
    }
}
