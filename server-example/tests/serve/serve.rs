//! The server process: what it prints, and how it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use chatproto::Message;

use crate::common::{Raw, TestServer, eventually};

#[test]
fn a_signal_says_goodbye_to_everybody_and_ends_with_success() {
    let mut server = TestServer::start(&[]);
    let mut chat = server.chat("alice", &["--no-reconnect"]);
    let mut raw = Raw::connect(server.address, "bob");
    server.program.terminate();
    let goodbye = raw.receive().expect("last words");
    assert!(goodbye.is_from_server(), "{goodbye:?}");
    assert_eq!(goodbye.to, "bob");
    assert_eq!(raw.receive(), None);
    assert_eq!(chat.line(), format!("SERVER → alice: {}", goodbye.msg));
    assert_eq!(chat.end().0, Some(1), "a lost server is no success");
    drop(raw);
    let (code, output, errors) = server.program.end();
    assert_eq!(code, Some(0));
    assert_eq!(output, [""; 0], "nothing but the first line");
    let last = errors.last().unwrap();
    assert!(last.contains("stopped") && last.contains("served=2"), "{last}");
}

#[test]
fn the_log_tells_what_happens_and_no_texts() {
    let mut server = TestServer::start(&["--log", "debug"]);
    let mut raw = Raw::connect(server.address, "bob");
    server.program.error_with("connected");
    server.program.error_with("registered name=\"bob\"");
    raw.send("/shout", "a secret");
    raw.receive();

    let mut evil = TcpStream::connect(server.address).unwrap();
    evil.write_all(b"\x1b[2Jevil\"\n").unwrap();
    let refused = server.program.error_with("refused");
    assert!(refused.contains("evil\\\"") && !refused.contains('\u{1b}'), "{refused}");

    let mut browser = TcpStream::connect(server.address).unwrap();
    browser.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    browser.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    server.program.error_with("no chat client");

    drop(raw);
    server.program.error_with("departed name=\"bob\"");
    server.program.terminate();
    let (code, output, errors) = server.program.end();
    assert_eq!((code, output), (Some(0), vec![]));
    let counts = "served=1 refused=1 strangers=1 bad_input=0";
    assert!(errors.iter().any(|line| line.contains(counts)), "{errors:?}");
    assert!(!errors.iter().any(|line| line.contains("secret")), "{errors:?}");
}

#[test]
fn a_flood_of_refusals_does_not_flood_the_log() {
    let mut server = TestServer::start(&[]);
    (0..500).for_each(|_| refuse(server.address));
    server.program.terminate();
    let (code, _, errors) = server.program.end();
    assert_eq!(code, Some(0));
    assert!(errors.iter().any(|line| line.contains("WARN refused: ")), "{errors:?}");
    assert!(errors.last().unwrap().contains("refused=500"), "{errors:?}");
    assert_few(&errors, "refused", 500);
}

#[test]
fn a_flood_of_users_does_not_flood_the_log() {
    let mut server = TestServer::start(&[]);
    for user in 0..500 {
        Raw::connect_at_once(server.address, &format!("user {user}"));
    }
    server.program.terminate();
    let (code, _, errors) = server.program.end();
    assert_eq!(code, Some(0));
    for kind in ["registered", "departed"] {
        let summary = format!("INFO {kind}: ");
        let summary = errors.iter().find(|line| line.contains(&summary)).expect(kind);
        assert!(summary.contains(" more in the last second online="), "{summary}");
        assert_few(&errors, kind, 500);
    }
    assert!(errors.last().unwrap().contains("served=500"), "{errors:?}");
}

#[test]
fn strangers_that_the_log_does_not_show_hide_nothing() {
    let mut server = TestServer::start(&[]);
    for _ in 0..50 {
        let mut browser = TcpStream::connect(server.address).unwrap();
        browser.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        browser.read_to_string(&mut String::new()).unwrap();
    }
    refuse(server.address);
    server.program.error_with("WARN refused name=\"SERVER\"");
    server.program.terminate();
    let (code, _, errors) = server.program.end();
    assert_eq!(code, Some(0));
    assert!(!errors.iter().any(|line| line.contains(" more ")), "{errors:?}");
    assert!(errors.last().unwrap().contains("strangers=50"), "{errors:?}");
}

/// Asks for a name that nobody gets.
#[track_caller]
fn refuse(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"SERVER\n").unwrap();
    let mut refusal = String::new();
    stream.read_to_string(&mut refusal).unwrap();
    assert!(refusal.contains("⛔"), "{refusal}");
}

/// Fewer lines of a kind than happened, and every one of them accounted for.
#[track_caller]
fn assert_few(errors: &[String], kind: &str, happened: u64) {
    let (line, summary) = (format!(" {kind} name="), format!(" {kind}: "));
    let lines = errors.iter().filter(|error| error.contains(&line)).count() as u64;
    let hidden = errors.iter().filter_map(|error| error.split_once(&summary)).map(|(_, count)| {
        count.split(' ').next().unwrap().parse::<u64>().expect("a number of lines")
    });
    let hidden: u64 = hidden.sum();
    assert_eq!(lines + hidden, happened, "{errors:?}");
    assert!(hidden > 0, "{errors:?}");
}

#[test]
fn limits_are_obeyed() {
    let server = TestServer::start(&["--max-name", "3", "--max-connections", "2", "--rate", "off"]);
    let refusal = |name: &str| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(format!("{name}\n").as_bytes()).unwrap();
        let mut refusal = String::new();
        stream.read_to_string(&mut refusal).unwrap();
        refusal
    };
    assert!(refusal("four").contains("at most 3 bytes"));
    // the connection that was refused may count for a moment yet
    let _one = Raw::connect(server.address, "one");
    let _two = eventually(|| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(b"two\n").unwrap();
        let mut first = [0; 1024];
        let length = stream.read(&mut first).unwrap_or(0);
        String::from_utf8_lossy(&first[..length]).contains("Welcome").then_some(stream)
    });
    assert!(!refusal("six").contains("Welcome"));
}

/// Messages with a long text to nobody. Each has a short answer.
fn burst(count: usize, length: usize) -> Vec<u8> {
    let message = Message::new("alice", "", "Everyone", "x".repeat(length)).to_json();
    format!("{message}\n").repeat(count).into_bytes()
}

fn read_answers(reader: &mut BufReader<TcpStream>, count: usize) {
    for _ in 0..count {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.contains("not found"), "{line}");
    }
}

#[test]
fn without_a_rate_a_burst_passes_without_pauses() {
    // either default limit would let this through in more than 95 s
    const COUNT: usize = 10_000;
    let server = TestServer::start(&["--rate", "off"]);
    let (_, mut stream, mut reader) = Raw::connect_at_once(server.address, "alice").into_parts();
    let begun = Instant::now();
    let writer = thread::spawn(move || stream.write_all(&burst(COUNT, 2_000)));
    read_answers(&mut reader, COUNT);
    assert!(begun.elapsed() < Duration::from_secs(45), "{:?}", begun.elapsed());
    writer.join().unwrap().unwrap();
}

#[test]
fn a_rate_of_bytes_pauses_a_sender_without_a_rate_of_messages() {
    let server = TestServer::start(&["--rate", "off", "--rate-bytes", "2KiB"]);
    let mut bob = Raw::connect_at_once(server.address, "bob");
    let (_, mut stream, mut reader) = Raw::connect_at_once(server.address, "alice").into_parts();
    let burst = burst(120, 20);
    let begun = Instant::now();
    stream.write_all(&burst).unwrap();
    read_answers(&mut reader, 1);
    for number in 0..20 {
        let text = number.to_string();
        assert_eq!(bob.ask("/ping", &text), text, "the pause delays nobody else");
    }
    // nothing is lost, and the answers take the time of the bytes that exceed a burst
    read_answers(&mut reader, 119);
    let least = (burst.len() - 2_048 * 8 / 3) as f64 / 2_048.0 - 0.5;
    assert!(least > 0.5 && begun.elapsed().as_secs_f64() > least, "{:?}", begun.elapsed());
}

#[test]
#[cfg(unix)]
fn ipv6_works_where_there_is_any() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let server = TestServer::start_on("[::1]:0", &[]);
    let mut alice = server.chat("alice", &[]);
    let mut raw = Raw::connect(server.address, "bob");
    alice.type_line("@bob hi");
    assert_eq!(raw.receive_from_user().from.ip, "::1");
}

#[test]
fn a_second_signal_does_not_wait() {
    let mut server = TestServer::start(&["--linger", "1min"]);
    // it does not close its side, so that the server would wait for it
    let _raw = Raw::connect(server.address, "bob");
    server.program.terminate();
    server.program.error_with("saying goodbye");
    server.program.terminate();
    assert_eq!(server.program.end().0, Some(128 + 15));
}
