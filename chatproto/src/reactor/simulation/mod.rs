//! The server in a simulation: the very event loops that serve sockets, with a network, clocks and
//! clients that a seed makes up. Virtual time passes at once, and two runs of one seed agree byte
//! for byte.
//!
//! Clients of every kind come and go, talk, join, rename, keep order, send rubbish, split what they
//! send anywhere, stall, and vanish. The loops run in any order, now and then late. `setup` says
//! how large a run is and what its limits are; `client` and `script` what clients are like and do;
//! `askers` ask for much;
//! `people` and `world` let it happen; `network` is what the bytes go through; `check` says what
//! must have been true. `trace` remembers everything, as a hash. (`turns` looks at single turns of a
//! loop, without a seed.)
//!
//! A failure says its seed. To run that one alone and see all that happened:
//!
//! ```text
//! CHATPROTO_SEED=123 cargo test -p chatproto --lib simulation -- --nocapture
//! ```
//!
//! `CHATPROTO_SEEDS=100000` looks for longer.

mod askers;
mod check;
mod client;
mod network;
mod people;
mod script;
mod setup;
mod trace;
mod turns;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::test_depth::is_deep;
use setup::Setup;
use world::{Event, MILLIS, SECOND, World};

pub(super) use network::Socket;
pub(super) use world::time;

/// What a run comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Outcome {
    trace: u64,
    /// How much happened in it.
    tally: check::Tally,
}

fn run(seed: u64, prints: bool) -> Outcome {
    let setup = Setup::new(seed);
    if prints {
        println!("{setup:#?}");
    }
    let mut world = World::new(setup, prints);
    world.place_witness();
    for id in 1..world.clients.len() {
        let at = world.now + world.rng.u64(..world.setup.arrivals);
        world.schedule(at, Event::Connect(id));
    }
    for number in 0..world.askers.len() {
        let at = world.now + world.rng.u64(..world.setup.arrivals);
        world.schedule(at, Event::Ask(number));
    }
    let acts = world.setup.acts as u64 * 100 * MILLIS;
    let end = world.now + world.setup.arrivals + acts + world.rng.u64(..3 * SECOND);
    for _ in 0..world.rng.u8(..4) {
        let at = world.rng.u64(world.now..=end);
        world.schedule(at, Event::Rate);
    }
    world.run_to(end);
    if world.setup.is_stopped {
        world.stop();
    } else {
        world.dismiss_askers();
        world.all_leave();
        world.run_until(World::all_are_gone);
        world.leave_nothing();
        world.stop();
    }
    let tally = world.check();
    let trace = world.network().trace.hash();
    Outcome { trace, tally }
}

/// A number from the environment.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {text:?}")))
}

#[test]
fn whatever_happens_on_the_network_the_server_keeps_its_promises() {
    if let Some(seed) = number("CHATPROTO_SEED") {
        let outcome = run(seed, true);
        return println!("{outcome:?}");
    }
    let mut sum = check::Tally::default();
    let seeds = if is_deep() { 2000 } else { 400 };
    for seed in 0..number("CHATPROTO_SEEDS").unwrap_or(seeds) {
        match catch_unwind(AssertUnwindSafe(|| run(seed, false))) {
            Ok(outcome) => sum.add(&outcome.tally),
            Err(panic) => {
                println!("seed {seed} fails; to see all of it:");
                println!("CHATPROTO_SEED={seed} cargo test -p chatproto --lib simulation");
                resume_unwind(panic);
            }
        }
    }
    println!("{sum:#?}");
    // a simulation in which nothing happens shows nothing
    sum.check_that_much_happened();
}

#[test]
fn two_runs_of_one_seed_agree_byte_for_byte() {
    for seed in 0..if is_deep() { 60 } else { 20 } {
        assert_eq!(run(seed, false), run(seed, false), "seed {seed}");
    }
    assert_ne!(run(1, false).trace, run(2, false).trace);
}
