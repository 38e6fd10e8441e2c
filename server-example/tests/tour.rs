//! The examples: the smallest server answers, and the tour's transcript is the one in the repository.

#[path = "../examples/minimal.rs"]
#[allow(dead_code, reason = "an example has a main function")]
mod minimal;
#[path = "../examples/tour.rs"]
mod tour;

use std::path::Path;
use std::thread;
use std::time::Duration;

use chatproto::Client;

/// A file of this crate.
fn text_of(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_tour_sends_every_command_and_its_transcript_is_there() {
    // it fails if a command in the answer to /help was not sent
    let transcript = tour::transcript(env!("CARGO_BIN_EXE_server-example").as_ref()).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/tour.txt");
    if std::env::var_os("CHATPROTO_WRITE").is_some() {
        return std::fs::write(path, transcript).unwrap();
    }
    let there = text_of("examples/tour.txt");
    let is_other = |(number, (a, b)): (usize, (&str, &str))| {
        (a != b).then(|| format!("line {}: {a:?}, not {b:?}", number + 1))
    };
    let first = transcript.lines().zip(there.lines()).enumerate().find_map(is_other);
    assert!(
        transcript == there,
        "{}; to write it: CHATPROTO_WRITE=1 cargo test -p server-example --test tour",
        first.unwrap_or_else(|| "the lengths differ".to_owned())
    );
}

#[test]
fn an_age_is_no_part_of_the_transcript() {
    for (text, fixed) in [
        (
            "Mutes (1): bob (for another 10 min, by alice, 1 s ago)",
            "Mutes (1): bob (for 10 min, by alice)",
        ),
        (
            "Bans (2): m (for another 2 h, by alice, 12 s ago: ads), 203.0.113.0/24 (by alice, 11 s ago)",
            "Bans (2): m (for 2 h, by alice: ads), 203.0.113.0/24 (by alice)",
        ),
        ("Mutes (1): bob (for 10 min, by alice)", "Mutes (1): bob (for 10 min, by alice)"),
    ] {
        assert_eq!(tour::fixed(text), fixed);
    }
}

#[test]
fn the_part_of_the_tour_in_the_readme_is_the_tours() {
    let (readme, tour) = (text_of("../README.md"), text_of("examples/tour.txt"));
    let (_, rest) = readme.split_once("(server-example/examples/tour.txt)").expect("a link");
    let part = rest.split("```text\n").nth(1).and_then(|rest| rest.split("```").next());
    let part = part.expect("a part of the tour");
    assert!(part.lines().count() > 5 && tour.contains(part), "{part}");
}

#[test]
fn the_smallest_server_has_at_most_forty_lines_and_answers() {
    let lines = text_of("examples/minimal.rs").lines().count();
    assert!(lines <= 40, "{lines} lines");
    let server = minimal::server(([127, 0, 0, 1], 0).into()).unwrap();
    let (address, handle) = (server.local_addr(), server.handle());
    let running = thread::spawn(move || server.run());
    let mut client = Client::connect(address, "alice").unwrap();
    for answer in ["Call 1, by alice.", "Call 2, by alice."] {
        client.send("/count", "").unwrap();
        assert_eq!(client.recv_timeout(Duration::from_secs(60)).unwrap().msg, answer);
    }
    handle.stop();
    running.join().unwrap().unwrap();
}
