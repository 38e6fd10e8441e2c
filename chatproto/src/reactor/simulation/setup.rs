//! What a seed makes of a run: how large it is, what the server's limits are, how it ends.

use std::time::Duration;

use fastrand::Rng;

use crate::limits::{Limits, Rate};
use crate::outbox::SlowReader;
use crate::reactor::QUANTUM;

/// One in so many runs has hundreds of clients.
const LARGE: u64 = 50;

/// How long the server waits for a client's end.
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// The longest that an event loop has no time for a connection because it writes to a crowd.
pub(super) const CROWD: Duration = Duration::from_millis(50);
pub(super) const TOKEN: &str = "sesame";
pub(super) const ROOMS: [&str; 3] = ["#tea", "#green tea", "#zo\u{eb}"];

#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) seed: u64,
    pub(super) lanes: usize,
    /// Besides the witness.
    pub(super) clients: usize,
    /// Users who ask for what is expensive to answer.
    pub(super) askers: usize,
    /// Each does at most so much.
    pub(super) acts: usize,
    /// Within so many microseconds they come.
    pub(super) arrivals: u64,
    pub(super) policy: SlowReader,
    pub(super) limits: Limits,
    /// Units of work that a user may cause in a round.
    pub(super) quantum: u64,
    pub(super) announces: bool,
    /// Names are claimed from a directory.
    pub(super) has_directory: bool,
    pub(super) has_history: bool,
    /// In the end the server is stopped; else all leave first.
    pub(super) is_stopped: bool,
    /// The system has room for so many connections: no more are accepted.
    pub(super) descriptors: usize,
}

impl Setup {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let is_large = seed.is_multiple_of(LARGE);
        let clients = if is_large { rng.usize(100..300) } else { rng.usize(3..16) };
        let policy = if rng.bool() { SlowReader::Disconnect } else { SlowReader::DropOldest };
        Setup {
            seed,
            lanes: rng.usize(1..4),
            clients,
            askers: if seed.is_multiple_of(3) { rng.usize(1..8) } else { 0 },
            acts: if is_large { 4 } else { rng.usize(4..14) },
            arrivals: rng.u64(1..3_000_000),
            policy,
            limits: limits(&mut rng, clients),
            quantum: [2 * 1024, 16 * 1024, QUANTUM][rng.usize(..3)],
            announces: rng.u8(..4) == 0,
            has_directory: rng.bool(),
            has_history: rng.bool(),
            is_stopped: rng.u8(..3) == 0,
            descriptors: bound(&mut rng, clients),
        }
    }
}

/// Mostly none; else so low that not everybody can be there at a time, besides the witness.
fn bound(rng: &mut Rng, clients: usize) -> usize {
    if rng.u8(..6) == 0 { 1 + rng.usize(clients / 2..clients) } else { usize::MAX }
}

fn limits(rng: &mut Rng, clients: usize) -> Limits {
    Limits {
        registration: Duration::from_secs(rng.u64(2..5)),
        handshake_grace: Duration::from_millis(rng.u64(10..50)),
        one_read_gap: Duration::from_millis(5),
        queue_bytes: [6 * 1024, 64 * 1024, 1024 * 1024][rng.usize(..3)],
        queue_messages: [24, 100, 1024][rng.usize(..3)],
        queue_total: [64 * 1024, 256 * 1024 * 1024, 256 * 1024 * 1024][rng.usize(..3)],
        answer: [256, 2048][rng.usize(..2)],
        answer_parts: 4,
        drain: Duration::from_secs(rng.u64(1..5)),
        linger: LINGER,
        rate: rate(rng),
        per_address: usize::MAX,
        connections: bound(rng, clients),
        ..Limits::default()
    }
}

/// How fast clients may send, in the beginning and when that changes.
pub(super) fn rate(rng: &mut Rng) -> Option<Rate> {
    let rates = [
        None,
        Some(Rate { per_second: 1000, burst: 1000 }),
        Some(Rate { per_second: 100, burst: 200 }),
        Some(Rate { per_second: 30, burst: 5 }),
    ];
    rates[rng.usize(..rates.len())]
}
