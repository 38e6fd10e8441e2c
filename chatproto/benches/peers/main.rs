//! The server and its peers (nats-server, mosquitto, redis-server), side by side on the same work.
//!
//! `cargo bench -p chatproto --bench peers`, or `… -- --help`. It runs every work of [`work`] on
//! each server in turn, a fresh process each time, several rounds; progress goes to standard error,
//! the table of medians to standard output.
//!
//! | module | what it holds |
//! |---|---|
//! | [`options`] | the command line |
//! | [`work`] | what is measured, and the goals |
//! | [`servers`] | the four servers: where they are, how they are installed and started |
//! | [`process`] | programs, a running server; cores and descriptors |
//! | [`usage`] | processor time and memory, from `/proc` |
//! | [`transport`] | TCP, and WebSocket over it |
//! | [`protocol`] | what each server wants to be told |
//! | [`payload`] | the mark and the time in every payload |
//! | [`connection`] | one connection of the generator |
//! | [`crew`] | all connections of a run, and what each says |
//! | [`generator`] | one thread that keeps all connections busy, and counts |
//! | [`run`] | one run: a load on a server, and what is measured of it |
//! | [`sample`] | what one run gives: metrics and latencies |
//! | [`report`] | the tables |

mod connection;
mod crew;
mod generator;
mod options;
mod payload;
mod process;
mod protocol;
mod report;
mod run;
mod sample;
mod servers;
mod transport;
mod usage;
mod work;

use std::process::ExitCode;
use std::time::Instant;

use options::{Mode, Options};
use process::{Cores, descriptors};
use report::Outcome;
use sample::Sample;
use servers::Peers;
use work::{Contender, Work};

fn main() -> ExitCode {
    let done = match Mode::from_args() {
        Ok(Mode::Nothing) => Ok(()),
        Ok(Mode::Help) => {
            print!("{}", options::HELP);
            Ok(())
        }
        Ok(Mode::List) => {
            work::all().iter().for_each(|work| println!("{:<14}{}", work.name, work.title));
            Ok(())
        }
        Ok(Mode::Serve(threads, transport)) => servers::serve(threads, transport),
        Ok(Mode::Compare(options)) => compare(&options),
        Err(sentence) => Err(sentence),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("peers: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Err("the comparison reads /proc, so it runs on Linux only.".to_owned());
    }
    let works: Vec<Work> =
        work::all().into_iter().filter(|work| options.selects(work.name)).collect();
    if works.is_empty() {
        eprintln!("peers: no work has such a name; --list shows them.");
        return Ok(());
    }
    process::raise_descriptors(options.is_raised)?;
    let cores = Cores::new();
    let peers = Peers::find(options.may_install);
    let mut outcomes = Vec::new();
    for (number, work) in works.iter().enumerate() {
        let mut outcome = Outcome::new(work, &peers);
        let needed = work.connections() + descriptors::RESERVE;
        if descriptors::soft() < needed {
            let have = descriptors::soft();
            outcome.notes.push(format!("skipped: needs {needed} descriptors, {have} are allowed."));
        } else {
            let place = format!("[{}/{}] {}", number + 1, works.len(), work.name);
            let threads = outcome.series.iter().map(|one| one.contender.threads).max();
            outcome.notes.extend(threads.and_then(|threads| cores.shortage(threads)));
            measure(&mut outcome, &place, options, &peers, &cores);
        }
        outcomes.push(outcome);
    }
    print!("{}", report::tables(&outcomes, options, &peers, &cores));
    Ok(())
}

/// All rounds of one work, the contenders in turn in each of them.
fn measure(
    outcome: &mut Outcome<'_>,
    place: &str,
    options: &Options,
    peers: &Peers,
    cores: &Cores,
) {
    for round in 1..=options.rounds {
        for series in &mut outcome.series {
            let contender = &series.contender;
            let begun = Instant::now();
            let run = run(contender, options, peers, cores);
            let took = begun.elapsed().as_secs_f64();
            let (rounds, label) = (options.rounds, &contender.label);
            match run {
                Ok(sample) => {
                    eprintln!("{place} {round}/{rounds} {label}: {sample} ({took:.1} s)");
                    series.samples.push(sample);
                }
                Err(sentence) => {
                    eprintln!("{place} {round}/{rounds} {label}: FAILED: {sentence}");
                    outcome.notes.push(format!("{label}, round {round}: {sentence}"));
                }
            }
        }
    }
}

fn run(
    contender: &Contender,
    options: &Options,
    peers: &Peers,
    cores: &Cores,
) -> Result<Sample, String> {
    cores.place_generator(contender.is_pinned);
    let speaks = (contender.server, contender.load.transport);
    let server = peers.start(speaks, contender.threads, cores, contender.is_pinned)?;
    run::run(&contender.load, contender.server, &server, options.timing)
}
