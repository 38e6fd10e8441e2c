//! Servers that flood a load, or let nobody go: it takes bounded memory, and ends at the first Ctrl-C
//! whatever it is doing.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::common::relay::{Fault, Relay};
use super::common::temp_dir::TempDir;
use super::common::{PATIENCE, Program, eventually};
use super::flood::{Flood, Pieces, largest_kib, pieces, watch};
use super::{ended, server};

/// KiB that a load of twenty clients may take, 20 MiB of them the program's own. Objects that do not
/// end may take 256 MiB, and twice that while a buffer grows.
const MOST: u64 = 640 << 10;
const MOST_OF_OTHERS: u64 = 64 << 10;
/// Ending takes a quarter of a second for what is on its way, and the report. What it must not take is
/// the --timeout or the --patience, which are an hour here.
const AT_ONCE: Duration = Duration::from_secs(20);

/// Bytes that the clients of a load are sent.
const SENT: u64 = 128 << 20;

/// Has it take much of the flood, and then ended by hand; the most memory that it took.
fn interrupted(mut child: Child, flood: &Flood, what: &str) -> u64 {
    flood.wait_until_sent(SENT, what, || {
        assert!(largest_kib(child.id()).unwrap_or(0) < MOST);
    });
    let id = child.id().to_string();
    let _ = Command::new("kill").args(["-INT", &id]).stderr(Stdio::null()).status();
    watch(&mut child, AT_ONCE).1
}

#[test]
fn a_server_that_floods_a_load_takes_no_more_memory_than_the_limit() {
    let floods: [(&str, Pieces, u64); 4] = [
        ("messages", pieces::messages, MOST_OF_OTHERS),
        ("empty objects", pieces::empty_objects, MOST_OF_OTHERS),
        ("white space", pieces::white_space, MOST_OF_OTHERS),
        ("endless object", pieces::endless_object, MOST),
    ];
    for (what, pieces, most) in floods {
        let flood = Flood::start(pieces);
        let server = flood.address.to_string();
        let child = Command::new(env!("CARGO_BIN_EXE_server-example"))
            .args(["load", "stress", "--bots", "20", "--duration", "1h", "--server", &server])
            .args(["--timeout", "1h", "--patience", "1h"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let largest = interrupted(child, &flood, what);
        assert!(largest < most, "{what}: {largest} KiB");
    }
}

/// Ends a load by hand when that is so; it must end at once, and leave a report.
fn ends_at_once(address: &str, options: &[&str], is_so: impl FnOnce(&mut Program)) {
    let directory = TempDir::new();
    let out = directory.path("out");
    let common = ["--timeout", "1h", "--server", address, "--out", &out];
    let mut program = Program::start(&[&["load"], options, &common].concat());
    is_so(&mut program);
    let begun = Instant::now();
    program.signal("INT");
    let ended = ended(program, directory);
    assert!(begun.elapsed() < AT_ONCE, "{options:?}: {:?}", begun.elapsed());
    assert_eq!(ended.code, Some(130), "{options:?}: {:?}", ended.errors);
    assert_eq!(ended.report["interrupted"], true);
}

#[test]
fn ctrl_c_ends_a_load_that_connects() {
    for options in [
        &["stress", "--bots", "5"][..],
        &["compare", "--scenario", "few"],
        &["ramp", "--batch", "5"],
    ] {
        // it takes connections and welcomes nobody
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap().to_string();
        ends_at_once(&address, options, |_| {
            // the program handles signals before its first client connects
            silent.accept().unwrap();
        });
    }
}

#[test]
fn ctrl_c_ends_a_load_that_waits_for_what_is_on_its_way() {
    let server = server();
    let relay = Relay::start(server.address, Fault::Mute);
    let options =
        ["stress", "--bots", "5", "--duration", "100ms", "--pause", "10ms", "--patience", "1h"];
    // commands are swallowed from the first: rooms are waited for
    ends_at_once(&relay.address.to_string(), &options, |_| {
        eventually(|| (relay.seen().commands > 0).then_some(()));
    });
}

#[test]
fn ctrl_c_ends_a_load_whose_server_lets_nobody_go() {
    // it welcomes, answers nothing, and never closes
    let flood = Flood::start(|_, number| {
        if number > 0 {
            thread::sleep(PATIENCE);
        }
        b" ".to_vec()
    });
    let address = flood.address.to_string();
    ends_at_once(&address, &["ramp", "--batch", "5", "--until", "5", "--fast"], |program| {
        program.error_with("5 clients,");
    });
    ends_at_once(&address, &["stress", "--bots", "5", "--duration", "1h"], |program| {
        program.error_with("5 clients,");
    });
}
