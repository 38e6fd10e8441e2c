//! The parent process: attackers, honest clients, and what is made of it.

mod attacks;
mod awake;
mod cores;
mod crowd;
mod honest;
mod options;
mod report;
mod run;
mod server;
mod stage;
#[allow(dead_code, unreachable_pub, reason = "of use here: what other programs use of the cores")]
#[path = "../../../../chatproto/benches/peers/usage.rs"]
mod usage;

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use awake::Awake;
use options::{Mode, Options};
use report::Outcome;

/// Longer than anything takes here, on a slow machine too.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn main() -> ExitCode {
    let done = match Mode::from_args() {
        Ok(Mode::Help) => {
            print!("{}", options::HELP);
            Ok(true)
        }
        Ok(Mode::List) => {
            for attack in attacks::ALL {
                println!("{}: {}", attack.name, attack.title(attack.size(false)));
            }
            Ok(true)
        }
        Ok(Mode::Run(options)) => attack(&options),
        Err(sentence) => Err(sentence),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(sentence) => {
            eprintln!("attacks: {sentence}");
            ExitCode::FAILURE
        }
    }
}

/// Every attack that was asked for, so many rounds. Whether the server did all that is right.
fn attack(options: &Options) -> Result<bool, String> {
    raise_descriptors()?;
    let _awake = options.is_measured.then(|| {
        cores::leave_the_first();
        Awake::keep()
    });
    let mut outcomes = Vec::new();
    for attack in attacks::ALL.iter().filter(|attack| options.selects(attack.name)) {
        let mut outcome = Outcome::new(attack);
        for round in 1..=options.rounds {
            let place = format!("{} {round}/{}", attack.name, options.rounds);
            match run::run(attack, options) {
                Ok(run::Result::Done(sample)) => {
                    eprintln!("attacks: {place}: {sample}");
                    outcome.samples.push(*sample);
                }
                Ok(run::Result::Skipped(why)) => {
                    eprintln!("attacks: {place}: skipped, because {why}");
                    outcome.skipped = Some(why);
                    break;
                }
                Err(sentence) => {
                    eprintln!("attacks: {place}: FAILED: {sentence}");
                    outcome.failures.push(sentence);
                }
            }
        }
        outcomes.push(outcome);
    }
    if options.is_measured {
        let table = report::table(&outcomes, options);
        print!("{table}");
        if let Some(path) = &options.markdown {
            let failed = |error| format!("cannot write {}: {error}.", path.display());
            fs::write(path, &table).map_err(failed)?;
        }
    }
    Ok(outcomes.iter().all(|outcome| outcome.failures.is_empty()))
}

/// The attackers need descriptors of their own.
fn raise_descriptors() -> Result<(), String> {
    const ENOUGH: u64 = 16_384;
    rlimit::increase_nofile_limit(ENOUGH)
        .map(drop)
        .map_err(|error| format!("the limit of descriptors cannot be raised: {error}."))
}
