//! Health checks of a server that works, hangs, stops, or cannot store what it should.

#![allow(missing_docs, reason = "a test")]

#[path = "support/program.rs"]
mod program;
#[path = "../../../chatproto/tests/support/mod.rs"]
mod support;

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use chatproto::history::{History, Inbox};
use chatproto::hub::Event;
use chatproto::{Server, ServerHandle};
use metrics::Health;
use program::TestProgram;
use support::{Raw, TestServer, eventually};

fn health(handle: &ServerHandle) -> Health {
    Health::new(handle.clone(), Arc::new(TestProgram::default()))
}

fn failed(report: &metrics::Report) -> Vec<&'static str> {
    let failed = report.checks().iter().filter(|check| check.failure.is_some());
    failed.map(|check| check.name).collect()
}

#[test]
fn a_server_is_ready_from_the_moment_it_runs_until_it_stops() {
    let server = Server::builder().threads(2).bind(([127, 0, 0, 1], 0)).unwrap();
    let handle = server.handle();
    let health = health(&handle);
    let early = health.readyz();
    assert_eq!(failed(&early), ["event loops"]);
    assert!(early.to_string().contains("failed: no turn within 1 s of event loops 0, 1\n"));
    assert_eq!(early.respond(false).status, 503);

    let running = std::thread::spawn(move || server.run());
    eventually("it is ready", || health.readyz().is_healthy());
    assert_eq!(health.readyz().respond(false).body, "ok\n");
    assert_eq!(
        health.readyz().respond(true).body,
        "[+]running: ok\n[+]event loops: ok\n[+]data: ok\n[+]history: ok\nreadyz passed\n"
    );

    handle.stop();
    let stopping = health.readyz();
    assert_eq!(failed(&stopping), ["running"]);
    let answer = stopping.respond(false);
    assert_eq!(answer.status, 503);
    assert!(answer.body.starts_with("[-]running: failed: the server is stopping\n"));
    // a server that stops is not to be killed for that
    assert!(health.livez().is_healthy());
    running.join().unwrap().unwrap();
    assert!(health.livez().is_healthy());
}

#[test]
fn a_loop_that_hangs_is_not_alive_and_is_again_when_it_goes_on() {
    let (entered, is_entered) = mpsc::channel();
    let (release, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let observe = move |event: &Event| {
        if let Event::Registered { .. } = event {
            entered.send(()).unwrap();
            // ends with the other end; a test that fails does not wait for ever
            let _ = wait.lock().unwrap().recv_timeout(2 * support::PATIENCE);
        }
    };
    let server =
        TestServer::with(support::limits(), |builder| builder.threads(2).observer(observe));
    let health = health(&server.handle);
    assert!(health.livez().is_healthy());
    let mut alice = Raw::connect(server.address);
    alice.write(b"alice\n");
    is_entered.recv_timeout(support::PATIENCE).unwrap();
    let hanging = health.livez();
    assert_eq!(failed(&hanging), ["event loops"]);
    // the first connection is that of the first loop
    assert!(hanging.to_string().contains("event loops 0\n"), "{hanging}");
    assert_eq!(failed(&health.readyz()), ["event loops"]);
    drop(release);
    eventually("it goes on", || health.livez().is_healthy());
}

#[test]
fn an_idle_server_is_alive() {
    let server = TestServer::with(support::limits(), |builder| builder.threads(4));
    let health = health(&server.handle);
    eventually("it runs", || health.livez().is_healthy());
    for _ in 0..200 {
        let report = health.livez();
        assert!(report.is_healthy(), "{report}");
    }
}

/// A history that can be stored or not, as the test says.
struct Disk(mpsc::Receiver<Option<&'static str>>);

impl History for Disk {
    fn epoch(&self) -> String {
        "1".to_owned()
    }

    fn next_id(&self) -> u64 {
        1
    }

    fn run(self: Box<Self>, inbox: Inbox) {
        while inbox.take(Duration::from_millis(1), Duration::ZERO).is_some() {
            if let Ok(failing) = self.0.try_recv() {
                inbox.set_failing(failing);
            }
        }
    }
}

#[test]
fn a_server_that_stores_nothing_is_alive_and_not_ready() {
    let (disk, states) = mpsc::channel();
    let server = TestServer::with(support::limits(), |builder| builder.history(Disk(states)));
    let program = Arc::new(TestProgram::default());
    let health = Health::new(server.handle.clone(), Arc::clone(&program) as Arc<_>);
    assert!(health.readyz().is_healthy());
    disk.send(Some("the server's disk is full.")).unwrap();
    eventually("it is not ready", || failed(&health.readyz()) == ["history"]);
    let body = health.readyz().respond(false).body;
    assert!(body.contains("[-]history: failed: the server's disk is full.\n"), "{body}");
    let text = program::exposition(&server.handle).text();
    assert!(text.contains("\nchatproto_history_failing 1\n"));
    assert!(health.livez().is_healthy());
    disk.send(None).unwrap();
    eventually("it is ready again", || health.readyz().is_healthy());

    *program.data_failure.lock().unwrap() = Some("no data file".to_owned());
    assert_eq!(failed(&health.readyz()), ["data"]);
}
