//! Counts are exact: what a relay with a planted fault did is what the report says.

use std::time::Duration;

use super::common::relay::{Fault, Relay, Seen};
use super::common::temp_dir::TempDir;
use super::{Ended, load, server};

/// Ten clients in pairs, a thousand messages a second.
const SCENARIO: &str = "duration = \"1s\"\nwarmup = \"100ms\"\nrepeat = 1\n\
    [[scenario]]\nname = \"pairs\"\nclients = 10\nrate = 1000\n";

/// Runs pairs through a relay with that fault, and looks at what both say was sent.
fn through(fault: Fault, options: &[&str]) -> (Ended, Seen) {
    run_through(fault, SCENARIO, 1100, options)
}

/// The same with another scenario, which sends so many messages.
fn run_through(fault: Fault, scenario: &str, sent: u64, options: &[&str]) -> (Ended, Seen) {
    let server = server();
    let relay = Relay::start(server.address, fault);
    let files = TempDir::new();
    let file = files.file("scenario.toml", scenario);
    // what is lost is waited for: long enough that nothing else is
    let options = [&["--patience", "5s", &file][..], options].concat();
    let ended = load("compare", relay.address, &options);
    let seen = relay.seen();
    assert_eq!(ended.number("/runs/0/counts/sent"), sent);
    assert_eq!(seen.all_sent(), sent);
    for sender in ended.report["runs"][0]["senders"].as_array().unwrap() {
        let name = sender["name"].as_str().unwrap();
        assert_eq!(sender["sent"].as_u64(), seen.sent.get(name).copied(), "{name}");
    }
    (ended, seen)
}

/// What the report says of each sender is what the relay did to each.
fn assert_each(ended: &Ended, seen: &Seen, what: &str) {
    for sender in ended.report["runs"][0]["senders"].as_array().unwrap() {
        let name = sender["name"].as_str().unwrap();
        let done = seen.faults.get(name).copied().unwrap_or_default();
        assert_eq!(sender[what].as_u64(), Some(done), "{name}: {sender}");
    }
    assert_eq!(ended.number(&format!("/runs/0/counts/{what}")), seen.all_faults());
}

const ALL: [&str; 7] =
    ["expected", "delivered", "lost", "duplicated", "reordered", "corrupted", "extra"];

#[test]
fn without_a_fault_nothing_is_wrong() {
    let (ended, seen) = through(Fault::None, &[]);
    assert_eq!(ended.counts(&ALL), [1100, 1100, 0, 0, 0, 0, 0]);
    assert_eq!((seen.passed, seen.all_faults()), (1100, 0));
    assert_eq!(ended.code, Some(0), "{:?}", ended.errors);
    assert_eq!(ended.report["passed"], true);
    // what was due in the warm-up is counted, and not measured
    assert_eq!(ended.number("/runs/0/latency/count"), 1000);
}

#[test]
fn every_hundredth_dropped_is_lost() {
    let (ended, seen) = through(Fault::Drop(100), &[]);
    assert_eq!(ended.counts(&ALL), [1100, 1089, 11, 0, 0, 0, 0]);
    assert_each(&ended, &seen, "lost");
    assert_eq!(ended.code, Some(1));
    let said = "server-example: it does not hold that nothing is lost: 11 of 1,100 (in pairs 1)";
    assert_eq!(ended.errors.last().map(String::as_str), Some(said));
}

#[test]
fn every_hundredth_doubled_is_duplicated() {
    let (ended, seen) = through(Fault::Double(100), &[]);
    assert_eq!(ended.counts(&ALL), [1100, 1100, 0, 11, 0, 0, 0]);
    assert_each(&ended, &seen, "duplicated");
    assert_eq!(ended.code, Some(1));
}

#[test]
fn three_swapped_of_each_sender_are_reordered() {
    let (ended, seen) = through(Fault::Swap, &[]);
    assert_eq!(ended.counts(&ALL), [1100, 1100, 0, 0, 30, 0, 0]);
    assert_each(&ended, &seen, "reordered");
    assert_eq!(ended.code, Some(1));
}

#[test]
fn every_hundredth_changed_is_corrupted_and_not_lost_too() {
    for fault in [Fault::Change(100), Fault::Garble(100), Fault::Forge(100), Fault::Divert(100)] {
        let (ended, seen) = through(fault, &[]);
        assert_eq!(ended.counts(&ALL), [1100, 1089, 0, 0, 0, 11, 0], "{fault:?}");
        assert_each(&ended, &seen, "corrupted");
        assert_eq!(ended.code, Some(1));
    }
}

#[test]
fn counts_are_as_exact_of_rooms_and_shouts_and_to_one_read_peers() {
    let lost = (Fault::Drop(50), "lost", [-1, 1, 0, 0, 0, 0]);
    let doubled = (Fault::Double(50), "duplicated", [0, 0, 1, 0, 0, 0]);
    let changed = (Fault::Change(50), "corrupted", [-1, 0, 0, 0, 1, 0]);
    for (receivers, each, faults) in [
        ("to = \"room\"\nrooms = 2\n", 4, &[lost, doubled, changed][..]),
        ("to = \"shout\"\n", 9, &[lost, doubled, changed]),
        // a peer loses the second of two objects that meet in one read: each receiver gets only one
        ("peer = \"one-read\"\n", 1, &[lost, changed]),
    ] {
        let mut scenario = SCENARIO.replace("1000", "200") + receivers;
        let is_one_read = receivers.contains("one-read");
        if is_one_read {
            scenario = scenario.replace("clients = 10", "clients = 220");
        }
        for &(fault, what, changes) in faults {
            let (ended, seen) = run_through(fault, &scenario, 220, &[]);
            let (expected, faults) = (220 * each, seen.all_faults());
            assert_eq!(faults, expected / 50, "{receivers}");
            assert!(!is_one_read || seen.sent.values().all(|&count| count == 1));
            let all = [expected as i64, 0, 0, 0, 0, 0];
            let all: Vec<_> =
                all.iter().zip(changes).map(|(n, by)| n + by * faults as i64).collect();
            let counts = ended.counts(&ALL);
            assert_eq!(counts[0], expected, "{receivers}");
            let counts: Vec<_> = counts[1..].iter().map(|&count| count as i64).collect();
            assert_eq!(counts, all, "{receivers}{fault:?}");
            assert_each(&ended, &seen, what);
        }
    }
}

#[test]
fn what_comes_to_whom_it_is_not_for_makes_up_for_no_loss() {
    let (ended, seen) = through(Fault::Leak(100), &[]);
    assert_eq!(ended.counts(&ALL), [1100, 1100, 0, 0, 0, 0, 11]);
    assert_each(&ended, &seen, "extra");
    assert_eq!(ended.code, Some(1));
    let said = "server-example: it does not hold that nothing is extra: 11 of 1,100 (in pairs 1)";
    assert_eq!(ended.errors.last().map(String::as_str), Some(said));

    let (ended, seen) = through(Fault::Misroute(100), &[]);
    assert_eq!(ended.counts(&ALL), [1100, 1089, 11, 0, 0, 0, 11]);
    assert_each(&ended, &seen, "lost");
    assert_each(&ended, &seen, "extra");
}

#[test]
fn what_nobody_sent_is_extra_and_not_corrupted() {
    for fault in [Fault::Invent(100), Fault::Echo(100)] {
        let (ended, seen) = through(fault, &[]);
        assert_eq!(ended.counts(&ALL), [1100, 1100, 0, 0, 0, 0, 11], "{fault:?}");
        assert_each(&ended, &seen, "extra");
        assert_eq!(ended.code, Some(1));
    }
}

#[test]
fn what_is_delayed_is_not_lost_and_the_latency_says_so() {
    let delay = Duration::from_millis(20);
    let (ended, _) = through(Fault::Delay(delay), &[]);
    assert_eq!(ended.counts(&ALL), [1100, 1100, 0, 0, 0, 0, 0]);
    // a receiver gets 100 a second, and the relay lets 50 pass: open loop, so they queue up
    let p50 = ended.report["runs"][0]["latency"]["p50_us"].as_f64().unwrap();
    assert!(p50 >= 20_000.0, "{p50}");
    assert_eq!(ended.code, Some(0));
}

#[test]
fn joined_objects_are_lost_to_one_read_peers_alone() {
    let (ended, _) = through(Fault::Join, &[]);
    assert_eq!(ended.counts(&ALL)[2..], [0; 5]);

    let (ended, _) = through(Fault::Join, &["--peer", "one-read"]);
    assert_eq!(ended.counts(&["delivered", "lost"]), [0, 1100]);
    assert!(ended.number("/runs/0/unreadable") > 0);
    assert_eq!(ended.code, Some(1));
}

#[test]
fn scenarios_alternate_and_each_kind_of_receiver_is_counted() {
    let server = server();
    let files = TempDir::new();
    let file = files.file(
        "all.toml",
        "repeat = 2\nduration = \"300ms\"\nwarmup = \"0s\"\n\
         [[scenario]]\nname = \"room\"\nclients = 12\nto = \"room\"\nrooms = 3\nrate = 200\n\
         [[scenario]]\nname = \"shout\"\nclients = 6\nto = \"shout\"\nrate = 100\npayload = \"2KiB\"\n\
         [[scenario]]\nname = \"turns\"\nclients = 4\nin_flight = 2\n",
    );
    let pid = server.program.id().to_string();
    let options = ["--patience", "20s", "--pid", &pid, &file];
    let ended = load("compare", server.address, &options);
    assert_eq!(ended.code, Some(0), "{:?}", ended.errors);
    let runs = ended.report["runs"].as_array().unwrap();
    let order: Vec<_> = runs.iter().map(|run| run["scenario"].as_str().unwrap()).collect();
    assert_eq!(order, ["room", "shout", "turns", "room", "shout", "turns"]);
    for (run, sent, each) in [(0, 60, 3), (1, 30, 5), (3, 60, 3), (4, 30, 5)] {
        let counts = &runs[run]["counts"];
        assert_eq!(counts["sent"], sent);
        assert_eq!(counts["expected"], sent * each);
        assert_eq!(counts["delivered"], sent * each);
    }
    let turns = &runs[2]["counts"];
    assert!(turns["sent"].as_u64() > Some(8), "{turns}");
    assert_eq!(turns["delivered"], turns["sent"]);
    if cfg!(target_os = "linux") {
        assert!(runs[0]["server_use"]["memory_peak"].as_u64() > Some(100_000));
    }
    let page = std::fs::read_to_string(ended.directory.path("out/report.html")).unwrap();
    for title in
        ["Latency by percentile", "Latency over time", "Throughput", "Connections and errors"]
    {
        assert!(page.contains(&format!("<h3>{title}</h3>")), "{title}");
    }
    let samples = std::fs::read_to_string(ended.directory.path("out/samples.csv")).unwrap();
    let columns: Vec<_> = samples.lines().map(|line| line.split(',').count()).collect();
    assert!(columns.len() > 6 && columns.iter().all(|&columns| columns == 16), "{samples}");
}

#[test]
fn bots_find_nothing_wrong_with_a_good_server() {
    let server = server();
    for peer in ["stream", "one-read"] {
        let options = [
            "--bots",
            "20",
            "--duration",
            "2s",
            "--pause",
            "100ms",
            "--peer",
            peer,
            "--patience",
            "20s",
        ];
        let ended = load("stress", server.address, &options);
        let checks = ended.report["checks"].as_array().unwrap();
        let passed = |name: &str| {
            let check = checks.iter().find(|check| check["name"] == name);
            check.unwrap_or_else(|| panic!("{name}"))["passed"].as_bool().unwrap()
        };
        for name in [
            "everybody is welcomed",
            "a name in use is refused",
            "of simultaneous attempts at a name one wins",
            "connections stay",
            "nothing is duplicated",
            "nothing is reordered",
            "nothing is corrupted",
            "nothing is extra",
        ] {
            assert!(passed(name), "{peer}: {name}: {checks:?}");
        }
        assert!(ended.number("/runs/0/counts/sent") > 20);
        assert!(ended.number("/runs/0/asked") > 20);
        // a reader that is kept from the processor reads two objects at once, and loses them
        if peer == "stream" || ended.number("/runs/0/unreadable") == 0 {
            assert_eq!(ended.code, Some(0), "{:?}", ended.errors);
        }
        assert!(
            ended.output.iter().any(|line| line.contains("of 8 clients")),
            "{:?}",
            ended.output
        );
    }
}

#[test]
fn two_loads_on_one_server_leave_each_other_alone() {
    let server = server();
    let address = server.address;
    let files = TempDir::new();
    let file = files.file(
        "shout.toml",
        "repeat = 1\nduration = \"1s\"\nwarmup = \"0s\"\n\
         [[scenario]]\nname = \"shout\"\nclients = 5\nto = \"shout\"\nrate = 50\n",
    );
    let run = || load("compare", address, &["--patience", "20s", &file]);
    let both = std::thread::scope(|scope| {
        let other = scope.spawn(run);
        [run(), other.join().unwrap()]
    });
    for ended in both {
        assert_eq!(ended.counts(&ALL), [200, 200, 0, 0, 0, 0, 0]);
        assert_eq!(ended.code, Some(0), "{:?}", ended.errors);
    }
}

#[test]
fn bots_see_what_a_bad_server_does() {
    let server = server();
    let relay = Relay::start(server.address, Fault::Drop(10));
    let options =
        ["--bots", "10", "--duration", "1s", "--pause", "20ms", "--patience", "5s", "--seed", "3"];
    let ended = load("stress", relay.address, &options);
    let seen = relay.seen();
    assert!(seen.all_faults() > 0);
    assert_each(&ended, &seen, "lost");
    assert_eq!(ended.code, Some(1));
}
