//! The tools over WebSocket: `check`, `load` and `chat`, each with a server behind a listener of the test.

mod common;
#[path = "common/websocket.rs"]
mod websocket;

use std::collections::BTreeMap;
use std::time::Duration;

use common::schema::validate;
use common::temp_dir::TempDir;
use common::{Program, Raw};
use serde_json::Value;
use websocket::WebServer;

/// The report of `check`, which is as its schema says, its exit code, and what it said on standard error.
fn check(options: &[&str]) -> (Value, Option<i32>, Vec<String>) {
    let mut program = Program::start(&[&["check", "--json"], options].concat());
    let (code, output, errors) = program.end();
    let report = serde_json::from_str(&output.join("\n")).unwrap_or(Value::Null);
    if !report.is_null() {
        validate(&report, "check/report.schema.json");
    }
    (report, code, errors)
}

/// The ids of what was tried, by verdict.
fn verdicts(report: &Value) -> BTreeMap<String, Vec<String>> {
    let mut verdicts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for finding in report["findings"].as_array().expect("findings") {
        let text = |key: &str| finding[key].as_str().expect("text").to_owned();
        let is_clear = text("verdict") == "pass" || text("verdict") == "not-applicable";
        let what = if is_clear { text("id") } else { format!("{}: {}", text("id"), text("came")) };
        verdicts.entry(text("verdict")).or_default().push(what);
    }
    verdicts
}

#[test]
fn our_own_server_follows_every_rule_over_websocket() {
    let server = WebServer::start(|limits| limits.registration = Duration::from_secs(1));
    for peer in ["one-read", "stream"] {
        let options = ["--url", &server.url, "--peer", peer, "--registration-deadline", "1s"];
        let patience = ["--timeout", "4s", "--quiet", "100ms"];
        let (report, code, errors) = check(&[&options[..], &patience].concat());
        let mut verdicts = verdicts(&report);
        let passed = verdicts.remove("pass").unwrap_or_default();
        let skipped = verdicts.remove("not-applicable").unwrap_or_default();
        assert_eq!(verdicts, BTreeMap::new(), "{errors:?}");
        assert_eq!(code, Some(0), "{errors:?}");
        assert_eq!(passed.iter().filter(|id| id.starts_with("B20.")).count(), 35, "{passed:?}");
        assert!(passed.len() > 140, "{}", passed.len());
        assert!(skipped.contains(&"B13".to_owned()), "{skipped:?}");
        assert!(skipped.contains(&"B2.ascii".to_owned()), "{skipped:?}");
        assert_eq!(report["judged"], server.url);
    }
}

#[test]
fn a_url_that_cannot_be_judged_is_explained() {
    let server = WebServer::start(|_| {});
    let elsewhere = server.url.replace("/ws", "/chat");
    let tcp = format!("ws://{}", server.address);
    for (url, expected) in [
        (&*elsewhere, "refused the WebSocket handshake with 404 Not Found"),
        (&tcp, "refused the WebSocket handshake with 400 Bad Request"),
        ("wss://127.0.0.1:1", "TLS is not spoken here"),
        ("ws://127.0.0.1:1/ws?name=x", "each client has a name of its own"),
        ("127.0.0.1:1", "expected a URL"),
    ] {
        let (report, code, errors) = check(&["--url", url]);
        assert_eq!((report, code), (Value::Null, Some(2)), "{url}");
        assert!(errors.iter().any(|line| line.contains(expected)), "{url}: {errors:?}");
    }
}

/// Runs a load to its end: its exit code, its report, and what it said on standard error.
fn load(options: &[&str]) -> (Option<i32>, Value, Vec<String>) {
    let directory = TempDir::new();
    let out = directory.path("out");
    let mut program = Program::start(&[&["load"], options, &["--out", &out]].concat());
    let (code, _, errors) = program.end();
    let text = std::fs::read_to_string(directory.path("out/report.json")).unwrap_or_default();
    let report: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    if !report.is_null() {
        validate(&report, "load/report.schema.json");
        let page = std::fs::read_to_string(directory.path("out/report.html")).unwrap();
        assert!(page.contains(" over WebSocket, "), "the page names the transport");
    }
    (code, report, errors)
}

fn unlimited() -> WebServer {
    WebServer::start(|limits| (limits.rate, limits.rate_bytes) = (None, None))
}

#[test]
fn bots_over_websocket_find_nothing_wrong() {
    let server = unlimited();
    let options = ["stress", "--url", &server.url, "--bots", "20", "--duration", "2s"];
    let (code, report, errors) = load(&options);
    assert_eq!(code, Some(0), "{errors:?}");
    assert_eq!(report["transport"], "websocket");
    assert_eq!(report["server"], server.url);
    let counts = &report["runs"][0]["counts"];
    assert!(counts["delivered"].as_u64().unwrap() > 0, "{counts}");
    assert_eq!(counts["lost"], 0);
}

#[test]
fn messages_of_every_length_are_counted_over_websocket() {
    let server = unlimited();
    let files = TempDir::new();
    // the three forms of a frame's length
    let scenario = |name: &str, payload: &str| {
        format!(
            "[[scenario]]\nname = \"{name}\"\nclients = 10\nrate = 200\npayload = \"{payload}\"\n"
        )
    };
    let text = "duration = \"1s\"\nwarmup = \"100ms\"\nrepeat = 1\n".to_owned()
        + &scenario("short", "41")
        + &scenario("middle", "300")
        + &scenario("long", "60k");
    let file = files.file("scenario.toml", &text);
    let (code, report, errors) = load(&["compare", &file, "--url", &server.url]);
    assert_eq!(code, Some(0), "{errors:?}");
    let runs = report["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 3);
    for run in runs {
        let counts = &run["counts"];
        assert_eq!((&counts["sent"], &counts["delivered"]), (&220.into(), &220.into()), "{counts}");
    }
}

#[test]
fn a_ramp_over_websocket_reaches_its_number() {
    let server = unlimited();
    let options =
        ["ramp", "--url", &server.url, "--fast", "--until", "100", "--heartbeat", "200ms"];
    let (code, report, errors) = load(&options);
    assert_eq!(code, Some(0), "{errors:?}");
    assert_eq!(report["ramp"]["most"], 100);
    assert_eq!(report["ramp"]["left"], 0, "the server closes after each close frame");
}

#[test]
fn a_load_that_cannot_run_over_websocket_is_refused() {
    let server = unlimited();
    let elsewhere = server.url.replace("/ws", "/chat");
    for (options, code, expected) in [
        (&["ramp", "--url", &server.url, "--peer", "one-read"][..], 2, "are stream peers"),
        (&["compare", "--scenario", "one-read", "--url", &server.url], 2, "are stream peers"),
        (&["ramp", "--url", "wss://127.0.0.1:1"], 2, "TLS is not spoken here"),
        (&["ramp", "--until", "1", "--url", &elsewhere], 1, "404 Not Found: there is no such page"),
    ] {
        let (ended, _, errors) = load(options);
        assert_eq!(ended, Some(code), "{options:?}: {errors:?}");
        assert!(errors.iter().any(|line| line.contains(expected)), "{options:?}: {errors:?}");
    }
}

#[test]
fn a_chat_over_websocket_talks_to_every_transport() {
    let server = WebServer::start(|_| {});
    let mut alice = Program::start(&["chat", "--name", "alice", "--url", &server.url]);
    alice.line_with("Welcome, alice");
    let mut raw = Raw::connect(server.address, "zoë");
    alice.type_line("@zoë hi");
    assert_eq!(raw.receive_from_user().msg, "hi");
    raw.send("alice", "hallo 👋");
    assert_eq!(alice.line_with("hallo"), "zoë → alice: hallo 👋");
    alice.type_line("/quit");
    assert_eq!(alice.end().0, Some(0));

    let elsewhere = server.url.replace("/ws", "/chat");
    for (options, code, expected) in [
        (&["--url", &*elsewhere][..], 1, "404 Not Found"),
        (&["--url", &server.url, "--tls-fingerprint", &"00".repeat(32)], 2, "write wss://"),
        (&["--url", &server.url, "--server", "127.0.0.1:1"], 2, "cannot be used with"),
    ] {
        let mut bob = Program::start(&[&["chat", "--name", "bob"], options].concat());
        let (ended, _, errors) = bob.end();
        assert_eq!(ended, Some(code), "{options:?}: {errors:?}");
        assert!(errors.iter().any(|line| line.contains(expected)), "{options:?}: {errors:?}");
    }
}
