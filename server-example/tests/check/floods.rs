//! Peers that flood `check`: it judges them within bounded memory, and says what happened.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use super::common::PATIENCE;
use super::flood::{Flood, Pieces, pieces, watch};
use super::report;

/// KiB that a check may take: 64 MiB for each of the few connections of these trials, some of it twice
/// while a list grows.
const MOST: u64 = 320 << 10;

const FLOODS: [(&str, Pieces); 4] = [
    ("messages", pieces::messages),
    ("empty objects", pieces::empty_objects),
    ("endless object", pieces::endless_object),
    ("long names", pieces::long_names),
];

#[test]
fn a_server_that_floods_a_check_fails_it_within_bounded_memory() {
    for (what, pieces) in FLOODS {
        let flood = Flood::start(pieces);
        let server = flood.address.to_string();
        let mut child = Command::new(env!("CARGO_BIN_EXE_server-example"))
            .args(["check", "--json", "--timeout", "500ms", "--fast", "--part", "all"])
            .args(["--only", "A3", "--only", "A9", "--server", &server])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut printed = child.stdout.take().unwrap();
        let reading = thread::spawn(move || {
            let mut report = Vec::new();
            std::io::Read::read_to_end(&mut printed, &mut report).map(|_| report)
        });
        let (status, largest) = watch(&mut child, PATIENCE);
        let printed = reading.join().unwrap().unwrap();
        assert_eq!(status.code(), Some(1), "{what}");
        assert!(largest < MOST, "{what}: {largest} KiB");
        assert!(printed.len() < 1 << 20, "{what}: a report of {} bytes", printed.len());
        let report = report(&printed);
        let failed = report["failed"].as_array().unwrap().len();
        assert!(failed > 0, "{what}: {report}");
        assert!(flood.sent() > 4 << 20, "{what}: it was sent {} bytes", flood.sent());
    }
}

#[test]
fn a_client_that_floods_a_check_fails_it_within_bounded_memory() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_server-example"))
        .args(["check", "--json", "--client", "--listen", "127.0.0.1:0"])
        .args(["--timeout", "500ms", "--wait", "1s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut errors, &mut line).unwrap();
    let address: SocketAddr = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
    let floods: Vec<_> = (0..3)
        .map(|_| {
            thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                // a name that does not end
                let piece = [b'x'; 64 * 1024];
                let sent = std::iter::repeat_with(|| stream.write_all(&piece));
                sent.take_while(Result::is_ok).count() * piece.len()
            })
        })
        .collect();
    thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
    let mut printed = child.stdout.take().unwrap();
    thread::spawn(move || std::io::copy(&mut printed, &mut std::io::sink()));
    let (status, largest) = watch(&mut child, PATIENCE);
    assert_eq!(status.code(), Some(1));
    assert!(largest < MOST, "{largest} KiB");
    let sent: usize = floods.into_iter().map(|flood| flood.join().unwrap()).sum();
    assert!(sent > 4 << 20, "{sent} bytes were sent");
}
