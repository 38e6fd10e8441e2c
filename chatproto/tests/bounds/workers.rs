//! A server whose directory is slow: what waits for it is bounded, and no name stays taken.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use chatproto::directory::{BlockingDirectory, Claim, ClaimAnswer, Lease};
use chatproto::hub::Event;

use super::support::{Raw, TestServer, eventually, limits};

const COUNT: usize = 200;

/// Grants every name once it is opened.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
    granted: AtomicUsize,
    released: AtomicUsize,
}

impl Gate {
    fn wait(&self) {
        let is_open = self.is_open.lock().unwrap();
        drop(self.opened.wait_while(is_open, |is_open| !*is_open).unwrap());
    }
}

#[test]
fn what_waits_for_a_slow_directory_is_bounded_and_every_granted_name_is_given_back() {
    let (gate, refused) = (Arc::<Gate>::default(), Arc::new(AtomicUsize::new(0)));
    let mut limits = limits();
    limits.effects_total = 64 * 1024;
    limits.drain = Duration::from_millis(50);
    let counted = Arc::clone(&refused);
    let observer = move |event: &Event| {
        if let Event::Refused { reason, .. } = event
            && reason.contains("the server is busy")
        {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    };
    let [claims, releases] = [Arc::clone(&gate), Arc::clone(&gate)];
    let claim = move |_: &Claim| {
        claims.wait();
        ClaimAnswer::Granted(claims.granted.fetch_add(1, Ordering::SeqCst) as u64)
    };
    let release = move |_: &Lease| {
        releases.released.fetch_add(1, Ordering::SeqCst);
    };
    let directory = BlockingDirectory::start(4, claim, release).unwrap();
    let server =
        TestServer::with(limits, |builder| builder.directory(directory).observer(observer));
    let mut peers = Vec::new();
    for number in 0..COUNT {
        let mut peer = Raw::connect(server.address);
        peer.write(format!("user {number}\n").as_bytes());
        peers.push(peer);
    }
    eventually("some are refused", || refused.load(Ordering::SeqCst) > 0);
    drop(peers);
    eventually("all have gone", || server.handle.connections() == 0);
    let refused = refused.load(Ordering::SeqCst);
    assert!(refused < COUNT, "{refused}");
    *gate.is_open.lock().unwrap() = true;
    gate.opened.notify_all();
    eventually("what waited is decided", || gate.granted.load(Ordering::SeqCst) == COUNT - refused);
    eventually("every name is given back", || {
        gate.released.load(Ordering::SeqCst) == COUNT - refused
    });
    Raw::join(server.address, "user 0");
}
