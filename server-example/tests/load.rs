//! `load` counts exactly: what a relay with a planted fault did is what the report says. And what
//! the reports, the options and the exit codes are.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::relay::{Fault, Relay, Seen};
use common::schema::validate;
use common::temp_dir::TempDir;
use common::{Program, TestServer, eventually};
use serde_json::Value;

/// A load that has ended.
struct Ended {
    code: Option<i32>,
    output: Vec<String>,
    errors: Vec<String>,
    report: Value,
    directory: TempDir,
}

impl Ended {
    /// The number at that path of the report, such as `/runs/0/counts/lost`.
    fn number(&self, path: &str) -> u64 {
        let value = self.report.pointer(path);
        value.and_then(Value::as_u64).unwrap_or_else(|| panic!("{path}: {value:?}"))
    }

    fn counts(&self, names: &[&str]) -> Vec<u64> {
        names.iter().map(|name| self.number(&format!("/runs/0/counts/{name}"))).collect()
    }
}

fn server() -> TestServer {
    TestServer::start(&["--rate", "off"])
}

/// Runs a load to its end, with a report that must be as its schema says.
fn load(command: &str, address: SocketAddr, options: &[&str]) -> Ended {
    let directory = TempDir::new();
    let (out, address) = (directory.path("out"), address.to_string());
    let common = ["load", command, "--server", &address, "--out", &out];
    let program = Program::start(&[&common[..], options].concat());
    ended(program, directory)
}

fn ended(mut program: Program, directory: TempDir) -> Ended {
    let (code, output, errors) = program.end();
    let path = directory.path("out/report.json");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let report = serde_json::from_str(&text).unwrap_or(Value::Null);
    if !report.is_null() {
        validate(&report, "load/report.schema.json");
        let page = std::fs::read_to_string(directory.path("out/report.html")).unwrap();
        check_page(&page);
        check_plots(&page, &directory.path("out/plots"));
    }
    Ended { code, output, errors, report, directory }
}

/// The page needs nothing else, and runs nothing.
fn check_page(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    for foreign in ["<script", "http://", "https://", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert_eq!(page.matches("<figure>").count(), page.matches("role=\"img\"").count());
}

/// Each plot of the page is a file too, and as self-contained.
fn check_plots(page: &str, directory: &str) {
    let files: Vec<_> = std::fs::read_dir(directory).unwrap().flatten().collect();
    assert_eq!(page.matches("<figure>").count(), files.len(), "{files:?}");
    for file in files {
        let plot = std::fs::read_to_string(file.path()).unwrap();
        assert!(plot.starts_with("<svg xmlns=") && plot.ends_with("</svg>\n"), "{file:?}");
        for open in ["<script", "@import", "url(", "var(", "NaN", "inf"] {
            assert!(!plot.contains(open), "{file:?}: {open}");
        }
    }
}

/// Ten clients in pairs, a thousand messages a second.
const SCENARIO: &str = "duration = \"1s\"\nwarmup = \"100ms\"\nrepeat = 1\n\
    [[scenario]]\nname = \"pairs\"\nclients = 10\nrate = 1000\n";

/// Runs pairs through a relay with that fault, and looks at what both say was sent.
fn through(fault: Fault, options: &[&str]) -> (Ended, Seen) {
    let server = server();
    let relay = Relay::start(server.address, fault);
    let files = TempDir::new();
    let file = files.file("pairs.toml", SCENARIO);
    // what is lost is waited for: long enough that nothing else is
    let options = [&["--patience", "5s", &file][..], options].concat();
    let ended = load("compare", relay.address, &options);
    let seen = relay.seen();
    assert_eq!(ended.number("/runs/0/counts/sent"), 1100);
    assert_eq!(seen.all_sent(), 1100);
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
fn a_generator_that_is_the_bottleneck_says_so() {
    let server = server();
    let files = TempDir::new();
    // more than any machine sends
    let file = files.file(
        "much.toml",
        "repeat = 1\nduration = \"300ms\"\nwarmup = \"0s\"\n\
         [[scenario]]\nname = \"much\"\nclients = 2\nrate = 1e8\n",
    );
    let ended = load("compare", server.address, &["--patience", "20s", &file]);
    let warnings = ended.report["warnings"].to_string();
    assert!(warnings.contains("the generator itself was the bottleneck"), "{warnings}");
    assert!(ended.number("/runs/0/unsent") > 0);
    assert!(warnings.contains("messages were due and never sent"), "{warnings}");
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

#[test]
fn a_ramp_finds_the_limit_of_a_server() {
    let server = TestServer::start(&["--max-connections", "300"]);
    for batch in ["50", "70"] {
        let ended = load("ramp", server.address, &["--fast", "--batch", batch]);
        assert_eq!(ended.code, Some(0), "{:?}", ended.errors);
        let point = &ended.report["ramp"]["breaking_point"];
        assert_eq!(point["clients"], 300, "{point}");
        assert_eq!((&point["sign"], &point["whose"]), (&"refused".into(), &"server".into()));
        assert!(point["text"].as_str().unwrap().contains("the server is full"), "{point}");
        assert_eq!(ended.number("/ramp/most"), 300);
        assert_eq!(ended.number("/ramp/left"), 0);
        assert_eq!(ended.number("/ramp/processes"), 1);
    }
}

#[test]
#[cfg(unix)]
fn a_ramp_starts_further_processes_where_one_has_too_few_descriptors() {
    let server = TestServer::start(&["--max-connections", "300"]);
    let directory = TempDir::new();
    let ended = ended(cramped_ramp(server.address, &directory, &["--fast"]), directory);
    assert_eq!(ended.code, Some(0), "{:?}", ended.errors);
    assert_eq!(ended.report["ramp"]["breaking_point"]["clients"], 300);
    // each has room for a hundred
    assert_eq!(ended.number("/ramp/processes"), 4);
}

#[test]
fn a_ramp_ends_where_it_was_told_to() {
    let server = server();
    let options = ["--batch", "40", "--every", "50ms", "--heartbeat", "100ms", "--until", "100"];
    let ended = load("ramp", server.address, &options);
    assert_eq!(ended.code, Some(0), "{:?}", ended.errors);
    assert_eq!(ended.number("/ramp/most"), 100);
    assert_eq!(ended.report["ramp"]["breaking_point"], Value::Null);
    let steps = ended.report["ramp"]["steps"].as_array().unwrap();
    let clients: Vec<_> = steps.iter().map(|step| step["clients"].as_u64().unwrap()).collect();
    assert_eq!(clients, [40, 80, 100]);
}

#[test]
fn a_ramp_says_how_it_broke() {
    let server = server();
    for (fault, sign) in [(Fault::Refuse(30), "refused"), (Fault::Ignore(30), "timed-out")] {
        let relay = Relay::start(server.address, fault);
        let options = ["--fast", "--batch", "20", "--until", "100", "--timeout", "10s"];
        let ended = load("ramp", relay.address, &options);
        let point = &ended.report["ramp"]["breaking_point"];
        assert_eq!((&point["clients"], &point["sign"]), (&30.into(), &sign.into()), "{point}");
        // it was to reach 100
        assert_eq!(ended.code, Some(1));
    }
}

#[test]
fn a_ramp_finds_the_number_of_clients_from_which_on_answers_are_slow() {
    let server = server();
    // far slower than any machine makes a quick server look
    let relay = Relay::start(server.address, Fault::Tire(80, Duration::from_secs(4)));
    let options = ["--batch", "20", "--every", "1500ms", "--heartbeat", "100ms", "--knee", "1s"];
    let ended = load("ramp", relay.address, &[&options[..], &["--timeout", "60s"]].concat());
    assert_eq!(ended.code, Some(0), "{:?}", ended.errors);
    let point = &ended.report["ramp"]["breaking_point"];
    assert_eq!((&point["clients"], &point["sign"]), (&100.into(), &"latency".into()), "{point}");
    assert_eq!(point["whose"], "server", "{point}");
    let text = point["text"].as_str().unwrap();
    assert!(text.starts_with("with 100 clients the p99 of answers to heartbeats is "), "{text}");
    assert_eq!(ended.number("/ramp/left"), 0);
}

/// A ramp in a process that may have room for a hundred clients and no more.
#[cfg(unix)]
fn cramped_ramp(server: SocketAddr, directory: &TempDir, options: &[&str]) -> Program {
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -n 164 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_server-example")]);
    shell.args(["load", "ramp", "--out", &directory.path("out"), "--server"]);
    shell.arg(server.to_string()).args(options);
    Program::spawn(shell)
}

#[test]
#[cfg(target_os = "linux")]
fn a_process_of_the_generator_that_ends_is_not_the_servers_doing() {
    let server = server();
    let directory = TempDir::new();
    let options = ["--batch", "150", "--every", "1h", "--until", "1000"];
    let mut program = cramped_ramp(server.address, &directory, &options);
    program.error_with(" 150 clients");
    let tasks = format!("/proc/{0}/task/{0}/children", program.id());
    let worker = std::fs::read_to_string(tasks).unwrap();
    let kill = std::process::Command::new("kill").args(["-KILL", worker.trim()]).status();
    assert!(kill.unwrap().success());
    let ended = ended(program, directory);
    assert_eq!(ended.code, Some(1), "{:?}", ended.errors);
    let point = &ended.report["ramp"]["breaking_point"];
    let said = "150 clients were served; then a process of this program that had 50 of them ended \
        before its time (signal: 9 (SIGKILL)), which is not the server's doing";
    assert_eq!(point["text"], said);
    assert_eq!((&point["sign"], &point["whose"]), (&"own-end".into(), &"generator".into()));
    assert_eq!((ended.number("/ramp/most"), ended.number("/ramp/left")), (150, 0));
    assert_eq!(ended.report["runs"][0]["failures"]["first"], Value::Null);
}

#[test]
#[cfg(unix)]
fn ctrl_c_while_rooms_are_joined_says_nothing_of_rooms() {
    let server = server();
    let relay = Relay::start(server.address, Fault::Mute);
    let directory = TempDir::new();
    let (out, address) = (directory.path("out"), relay.address.to_string());
    let program = Program::start(&[
        "load",
        "stress",
        "--bots",
        "10",
        "--timeout",
        "1h",
        "--server",
        &address,
        "--out",
        &out,
    ]);
    eventually(|| (relay.seen().commands > 0).then_some(()));
    interrupt(&program);
    let ended = ended(program, directory);
    assert_eq!(ended.code, Some(130), "{:?}", ended.errors);
    assert_eq!(ended.errors.last().map(String::as_str), Some("server-example: interrupted"));
    assert!(!ended.errors.iter().any(|line| line.contains("rooms")), "{:?}", ended.errors);
    assert_eq!(ended.report["interrupted"], true);
}

/// Presses Ctrl-C.
#[cfg(unix)]
fn interrupt(program: &Program) {
    let id = program.id().to_string();
    let kill = std::process::Command::new("kill").args(["-INT", &id]).status();
    assert!(kill.unwrap().success());
}

#[test]
#[cfg(unix)]
fn ctrl_c_leaves_a_report_of_what_was_done() {
    let server = server();
    for options in [
        &["compare", "--scenario", "few", "--duration", "1h"][..],
        &["stress", "--duration", "1h"],
        &["ramp", "--every", "1h"],
    ] {
        let directory = TempDir::new();
        let (out, address) = (directory.path("out"), server.address.to_string());
        let common = ["--server", &address, "--out", &out];
        let mut program = Program::start(&[&["load"], options, &common].concat());
        program.error_with("clients,");
        interrupt(&program);
        let ended = ended(program, directory);
        assert_eq!(ended.code, Some(130), "{:?}", ended.errors);
        assert_eq!(ended.report["interrupted"], true);
        assert!(ended.number("/runs/0/clients") > 0);
    }
}

#[test]
fn a_server_that_ends_leaves_a_report_of_the_runs_before() {
    let server = server();
    let directory = TempDir::new();
    let (out, address) = (directory.path("out"), server.address.to_string());
    let mut program = Program::start(&[
        "load",
        "compare",
        "--scenario",
        "few",
        "--repeat",
        "3",
        "--duration",
        "500ms",
        "--timeout",
        "1s",
        "--server",
        &address,
        "--out",
        &out,
    ]);
    program.error_with("few 1/3: ");
    drop(server);
    let ended = ended(program, directory);
    assert_eq!(ended.code, Some(1), "{:?}", ended.errors);
    assert_eq!(ended.report["passed"], false);
    assert!(ended.number("/runs/0/clients") > 0);
    let made = &ended.report["checks"][0];
    assert_eq!((&made["name"], &made["passed"]), (&"every run is made".into(), &false.into()));
}

#[test]
fn what_cannot_be_done_is_said_in_a_sentence() {
    let files = TempDir::new();
    let broken = files.file("broken.toml", "[[scenario]]\nname = \"x\"\nrate = 1\nspeed = 2\n");
    let fast = files.file("fast.toml", "[[scenario]]\nname = \"x\"\nrate = \"fast\"\n");
    let plain = files.file("plain", "");
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let cases: [(&[&str], i32, &str); 12] = [
        (&["stress", "--pause", "0s"], 2, "expected a time above zero"),
        (&["ramp", "--heartbeat", "0s"], 2, "expected a time above zero"),
        (
            &["compare", "--scenario", "tiny"],
            2,
            "there is no ready-made scenario \"tiny\": there are small, big, few",
        ),
        (&["compare"], 2, "the following required arguments were not provided"),
        (&["compare", &broken], 2, "line 4: unknown field `speed`"),
        (&["compare", &fast], 2, "line 3: invalid type: string \"fast\", expected a number"),
        (&["compare", "/nowhere.toml"], 2, "no such file or directory"),
        (&["compare", "few,many"], 2, "for the ready-made ones: --scenario few,many"),
        (&["stress", "--out", &plain], 2, "of --out: "),
        (&["stress", "--pid", "4000000000"], 2, "--pid"),
        (&["stress", "--server", &closed], 1, "connection refused (is a server running there?"),
        (&["ramp", "--fast", "--server", &closed], 1, "no client could talk to"),
    ];
    for (options, code, said) in cases {
        let mut program = Program::start(&[&["load"], options].concat());
        let (ended, _, errors) = program.end();
        assert_eq!(ended, Some(code), "{options:?}: {errors:?}");
        let last = errors.last().map(String::as_str).unwrap_or_default();
        assert!(last.starts_with("server-example: ") && last.contains(said), "{options:?}: {last}");
    }
}

#[test]
fn the_ready_made_scenarios_are_a_file_that_can_be_run() {
    let mut program = Program::start(&["load", "compare", "--list"]);
    let (code, output, _) = program.end();
    assert_eq!(code, Some(0));
    let files = TempDir::new();
    let file = files.file("all.toml", output.join("\n"));
    let server = server();
    let options =
        ["--duration", "100ms", "--warmup", "0s", "--repeat", "1", "--peer", "stream", &file];
    let ended = load("compare", server.address, &[&options[..], &["--patience", "20s"]].concat());
    assert_eq!(ended.report["runs"].as_array().unwrap().len(), 11);
    assert_eq!(ended.code, Some(0), "{:?}", ended.errors);
}
