//! The text of the metrics, over a server with real sockets.

#![allow(missing_docs, reason = "a test")]

#[path = "support/open_metrics.rs"]
mod open_metrics;
#[path = "support/program.rs"]
mod program;
#[path = "../../../chatproto/tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use chatproto::Limits;
use open_metrics::{parse, values};
use program::exposition;
use support::{Raw, TestServer, eventually, object};

/// The changes from one exposition to another, without figures that depend on time and on the machine.
fn moved(before: &str, after: &str) -> BTreeMap<String, f64> {
    let timing = [
        "process_",
        "chatproto_turn_seconds",
        "chatproto_lock_held",
        "chatproto_batches",
        "chatproto_work",
        "chatproto_writes",
    ];
    let before = values(before);
    let after = values(after).into_iter();
    after
        .filter(|(series, _)| !timing.iter().any(|name| series.starts_with(name)))
        .map(|(series, value)| {
            let change = value - before[&series];
            (series, change)
        })
        .filter(|(_, change)| *change != 0.0)
        .collect()
}

#[test]
fn counters_move_by_what_a_session_does() {
    let server = TestServer::start();
    let metrics = exposition(&server.handle);
    let start = metrics.text();

    let mut sent = 0;
    let mut read = 0;
    let mut peer = |name: &str| {
        let mut peer = Raw::connect(server.address);
        let line = format!("{name}\n");
        sent += line.len();
        peer.write(line.as_bytes());
        let answer = peer.read();
        read += answer.to_json().len() + 1;
        (peer, answer.msg)
    };
    let (mut alice, _) = peer("alice");
    let (mut bob, _) = peer("bob");
    let (mut taken, refusal) = peer("alice");
    assert!(refusal.contains("already in use"), "{refusal}");
    let (mut misnamed, refusal) = peer("/alice");
    assert!(refusal.contains("Choose another name"), "{refusal}");

    let mut send = |peer: &mut Raw, bytes: &str| {
        sent += bytes.len();
        peer.write(bytes.as_bytes());
    };
    let mut receive = |peer: &mut Raw, beginning: &str| {
        let message = peer.read();
        assert!(message.msg.starts_with(beginning), "{}", message.msg);
        read += message.to_json().len() + 1;
    };
    send(&mut alice, &object("bob", "hi"));
    receive(&mut bob, "hi");
    send(&mut alice, &object("/join", "#tea"));
    receive(&mut alice, "Joined");
    send(&mut alice, &object("/kick", "bob"));
    receive(&mut alice, "❌");
    send(&mut alice, r#"{"from":{"name":"","ip":""},"to":7,"msg":""}"#);
    receive(&mut alice, "❌ Error");
    send(&mut bob, "}");
    receive(&mut bob, "⛔ Error");
    assert_eq!(bob.try_read().map(|message| message.msg), None);
    assert_eq!(taken.try_read().map(|message| message.msg), None);
    assert_eq!(misnamed.try_read().map(|message| message.msg), None);
    drop((bob, taken, misnamed));

    let expected = BTreeMap::from([
        ("chatproto_connections{transport=\"tcp\"}", 1.0),
        ("chatproto_users{transport=\"tcp\"}", 1.0),
        ("chatproto_rooms{}", 1.0),
        ("chatproto_accepted_connections_total{}", 4.0),
        ("chatproto_registrations_total{}", 2.0),
        ("chatproto_refusals_total{reason=\"name_taken\"}", 1.0),
        ("chatproto_refusals_total{reason=\"invalid_name\"}", 1.0),
        ("chatproto_departures_total{reason=\"broken\"}", 1.0),
        ("chatproto_received_messages_total{}", 3.0),
        ("chatproto_received_bytes_total{}", sent as f64),
        ("chatproto_deliveries_total{}", 9.0),
        ("chatproto_sent_bytes_total{}", read as f64),
        ("chatproto_errors_total{class=\"framing\"}", 1.0),
        ("chatproto_errors_total{class=\"schema\"}", 1.0),
        ("chatproto_errors_total{class=\"name\"}", 1.0),
        ("chatproto_denied_commands_total{}", 1.0),
    ]);
    let expected: BTreeMap<_, _> =
        expected.into_iter().map(|(series, change)| (series.to_owned(), change)).collect();
    let mut last = BTreeMap::new();
    eventually_or("the counters are those of the session", || {
        last = moved(&start, &metrics.text());
        if last == expected { None } else { Some(format!("{last:#?}\nand not {expected:#?}")) }
    });
    drop(alice);
    eventually_or("she has left", || {
        let left = moved(&start, &metrics.text());
        let departed = left.get("chatproto_departures_total{reason=\"left\"}");
        let is_over = departed == Some(&1.0) && !left.contains_key("chatproto_rooms{}");
        (!is_over).then(|| format!("{left:#?}"))
    });
}

/// Waits until nothing is wrong any more.
fn eventually_or(what: &str, mut wrong: impl FnMut() -> Option<String>) {
    let begun = std::time::Instant::now();
    while let Some(wrong) = wrong() {
        assert!(begun.elapsed() < support::PATIENCE, "{what}: {wrong}");
        std::thread::yield_now();
    }
}

#[test]
fn strangers_and_refusals_have_their_class_and_reason() {
    let mut limits = support::limits();
    limits.connections = 1;
    let server = TestServer::with(limits, |builder| builder);
    let metrics = exposition(&server.handle);
    let start = metrics.text();
    let mut http = Raw::connect(server.address);
    http.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let moved_to = |series: &str| moved(&start, &metrics.text()).get(series) == Some(&1.0);
    eventually("the stranger is counted", || {
        moved_to("chatproto_errors_total{class=\"stranger\"}")
    });
    drop(http);
    eventually("it has gone", || server.handle.connections() == 0);
    let _alice = Raw::join(server.address, "alice");
    let mut bob = Raw::connect(server.address);
    assert!(bob.read().msg.contains("full"));
    eventually("the refusal is counted", || moved_to("chatproto_refusals_total{reason=\"full\"}"));
}

#[test]
fn names_rooms_and_addresses_are_in_no_label_and_make_no_series() {
    let server = TestServer::with(support::limits(), |builder| builder.announce(true));
    let metrics = exposition(&server.handle);
    let before = metrics.text();
    let names = [
        "marker\" reason=\"banned",
        "marker\\",
        "chatproto_users marker",
        "marker.9.8.7.6",
        "le=\"marker\"",
        "# TYPE marker counter",
    ];
    let mut users = Vec::new();
    for name in names {
        let mut user = Raw::connect(server.address);
        user.write(format!("{name}\n").as_bytes());
        // the last one is refused, for its first character
        user.read();
        if !name.starts_with('#') {
            user.send("/join", "#marker\"room\"");
            user.send("marker nobody", "marker");
            user.send("/marker", "marker");
            user.fence();
        }
        users.push(user);
    }
    let after = metrics.text();
    assert!(!after.contains("marker") && !after.contains("127.0.0"), "{after}");
    let series = |text: &str| values(text).into_keys().collect::<Vec<_>>();
    assert_eq!(series(&before), series(&after));
    assert_eq!(values(&after)["chatproto_users{transport=\"tcp\"}"], 5.0);
}

#[test]
fn the_figures_of_the_program_are_exposed_with_their_units() {
    let server = TestServer::start();
    let text = exposition(&server.handle).text();
    let all = values(&text);
    for (series, value) in [
        ("chatproto_table_used_bytes{table=\"queues of readers\"}", 7.0),
        ("chatproto_table_limit_bytes{table=\"queues of readers\"}", 100.0),
        ("chatproto_table_limit_bytes{table=\"no bound\"}", i64::MAX as f64),
        ("chatproto_table_used_rows{table=\"stored bans\"}", 3.0),
        ("chatproto_history_stored_messages_total{}", 5.0),
        ("chatproto_history_removed_messages_total{reason=\"size\"}", 2.0),
        ("chatproto_history_failing{}", 0.0),
        ("chatproto_account_orders_total{order=\"login\",result=\"wrong_password\"}", 4.0),
        ("chatproto_accounts{}", 9.0),
        ("chatproto_log_hidden_lines_total{kind=\"refused\"}", 6.0),
        ("chatproto_log_hidden_lines_total{kind=\"denied\"}", 0.0),
        ("chatproto_log_dropped_lines_total{}", 8.0),
    ] {
        assert_eq!(all.get(series), Some(&value), "{series}: {all:#?}");
    }
    let version = format!("chatproto_build_info{{version={:?}}}", chatproto::VERSION);
    assert_eq!(all[&version], 1.0);
    for family in parse(&text) {
        let unit = ["bytes", "seconds"].into_iter().find(|unit| family.name.ends_with(unit));
        assert_eq!(family.unit.as_deref(), unit, "{}", family.name);
        let prefix = if family.name.starts_with("process_") { "process_" } else { "chatproto_" };
        assert!(family.name.starts_with(prefix), "{}", family.name);
    }
}

#[test]
fn each_loop_has_the_times_of_its_turns_and_of_the_lock() {
    let server = TestServer::with(Limits::default(), |builder| builder.threads(3));
    let metrics = exposition(&server.handle);
    let mut alice = Raw::join(server.address, "alice");
    alice.fence();
    // this wakes loops without connections
    assert!(server.handle.stalled_loops(support::PATIENCE).is_empty());
    eventually("all loops have made turns", || {
        let all = values(&metrics.text());
        let count = |lane: usize| all[&format!("chatproto_turn_seconds_count{{loop=\"{lane}\"}}")];
        (0..3).map(count).all(|count| count > 0.0)
    });
    let text = metrics.text();
    assert!(!text.contains("loop=\"3\""));
    let of_loops = |name: &str| -> Vec<f64> {
        let all = values(&text).into_iter();
        all.filter(|(series, _)| series.starts_with(name)).map(|(_, seconds)| seconds).collect()
    };
    assert!(of_loops("chatproto_turn_seconds_sum").iter().sum::<f64>() > 0.0);
    let locked = of_loops("chatproto_lock_held_seconds_total");
    assert!(locked.len() == 3 && locked.iter().any(|seconds| *seconds > 0.0), "{locked:?}");
}

#[test]
fn a_scraper_gets_the_format_that_it_accepts() {
    let server = TestServer::start();
    let metrics = exposition(&server.handle);
    let answer =
        metrics.respond(Some("application/openmetrics-text;version=1.0.0;q=0.8,*/*;q=0.1"));
    assert_eq!((answer.status, answer.content_type), (200, metrics::OPEN_METRICS));
    parse(&answer.body);
    let answer = metrics.respond(None);
    assert_eq!((answer.status, answer.content_type), (200, metrics::TEXT));
    assert!(answer.body.contains("# TYPE chatproto_deliveries_total counter\n"));
    assert!(!answer.body.contains("# EOF") && !answer.body.contains("# UNIT"));
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_is_exposed_under_the_names_of_every_client() {
    let server = TestServer::start();
    let all = values(&exposition(&server.handle).text());
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ] {
        assert!(all.contains_key(&format!("{name}{{}}")), "{name}: {all:#?}");
    }
    assert!(all["process_open_fds{}"] <= all["process_max_fds{}"]);
}
