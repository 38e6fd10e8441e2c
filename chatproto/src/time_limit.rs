//! A time limit for tests of code that must not wait.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// Runs code on another thread. Panics if it takes longer than 30 s.
pub(crate) fn within_limit<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, outcome) = mpsc::channel();
    thread::spawn(move || done.send(run()));
    outcome.recv_timeout(LIMIT).expect("it takes less than 30 s")
}
