//! What a ramp finds: how many clients there can be, and whose limit it is.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::common::relay::{Fault, Relay};
use super::common::temp_dir::TempDir;
use super::common::{Program, TestServer};
use super::{ended, load, server};

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
