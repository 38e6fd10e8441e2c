//! How a load ends that does not go to its end, what it says of itself, and what of requests that make
//! no sense.

use super::common::relay::{Fault, Relay};
use super::common::temp_dir::TempDir;
use super::common::{Program, eventually};
use super::{ended, load, server};

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
        if options[0] == "compare" {
            let made = &ended.report["checks"][0];
            let detail = "1 of 3; it was ended by hand";
            assert_eq!((&made["detail"], &made["passed"]), (&detail.into(), &false.into()));
        }
        if options[0] == "ramp" {
            let found = &ended.report["checks"][0];
            let detail = "50 clients were there at once; it was ended by hand";
            assert_eq!((&found["detail"], &found["passed"]), (&detail.into(), &false.into()));
        }
        let page = std::fs::read_to_string(ended.directory.path("out/report.html")).unwrap();
        assert!(page.contains("Ended by hand."));
    }
}

#[test]
fn a_ramp_says_how_many_had_been_served_when_a_server_ends() {
    let server = server();
    let directory = TempDir::new();
    let (out, address) = (directory.path("out"), server.address.to_string());
    let options = ["load", "ramp", "--every", "1h", "--server", &address, "--out", &out];
    let mut program = Program::start(&options);
    program.error_with("50 clients,");
    drop(server);
    let ended = ended(program, directory);
    let point = &ended.report["ramp"]["breaking_point"];
    assert_eq!((&point["clients"], &point["sign"]), (&50.into(), &"lost".into()));
    let text = point["text"].as_str().expect("a text");
    let beginning = "50 clients were served; then 50 of them lost their connection: ";
    assert!(text.starts_with(beginning), "{text}");
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
