//! The command line.

use std::env;
use std::time::Duration;

use crate::transport::Transport;

pub(crate) const HELP: &str = "\
Compares the chatproto server with nats-server, mosquitto and redis-server.

cargo bench -p chatproto --bench peers -- [OPTIONS]

  --only TEXT     only the works whose names contain TEXT (also without --only)
  --rounds N      rounds, of which the median is shown (default 5)
  --seconds S     measured seconds of each run, after one of warm-up (default 3)
  --quick         one round, one second, half a second of warm-up
  --no-install    do not install peers that are missing (Debian packages, needs root or sudo)
  --list          the works
  --help          this text
";

/// What this run of the executable is for.
#[derive(Debug)]
pub(crate) enum Mode {
    /// `cargo test` starts benchmarks too, and wants nothing of them.
    Nothing,
    Help,
    List,
    /// Be the server that is measured, with so many threads.
    Serve(usize, Transport),
    Compare(Options),
}

/// How long a run takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

#[derive(Debug)]
pub(crate) struct Options {
    only: Option<String>,
    pub(crate) rounds: usize,
    pub(crate) timing: Timing,
    pub(crate) may_install: bool,
    /// This process was started anew with more descriptors.
    pub(crate) is_raised: bool,
    /// What was typed, for the report.
    pub(crate) typed: String,
}

impl Mode {
    pub(crate) fn from_args() -> Result<Mode, String> {
        Self::parse(env::args().skip(1).collect())
    }

    fn parse(args: Vec<String>) -> Result<Mode, String> {
        let second = Duration::from_secs(1);
        let mut options = Options {
            only: None,
            rounds: 5,
            timing: Timing { warm_up: second, measured: 3 * second },
            may_install: true,
            is_raised: false,
            typed: String::new(),
        };
        let is_bench = args.iter().any(|arg| arg == "--bench");
        let is_hidden = |arg: &str| arg == "--bench" || arg == RAISED;
        let typed = args.iter().filter(|arg| !is_hidden(arg)).map(|arg| format!(" {arg}"));
        options.typed = typed.collect();
        let (mut args, mut transport) = (args.into_iter(), Transport::Tcp);
        while let Some(arg) = args.next() {
            let mut number = |least: f64| number_after(&arg, args.next(), least);
            match arg.as_str() {
                "--websocket" => transport = Transport::WebSocket,
                "--serve" => return Ok(Mode::Serve(number(1.0)? as usize, transport)),
                "--help" | "-h" => return Ok(Mode::Help),
                "--list" => return Ok(Mode::List),
                "--test" => return Ok(Mode::Nothing),
                _ if !is_bench => {}
                "--bench" => {}
                RAISED => options.is_raised = true,
                "--no-install" => options.may_install = false,
                "--rounds" => options.rounds = number(1.0)? as usize,
                "--seconds" => options.timing.measured = Duration::from_secs_f64(number(0.1)?),
                "--quick" => {
                    options.rounds = 1;
                    options.timing = Timing { warm_up: second / 2, measured: second };
                }
                "--only" => match args.next() {
                    Some(text) => options.only = Some(text),
                    None => return Err("--only needs a text.".to_owned()),
                },
                text if !text.starts_with('-') => options.only = Some(arg),
                _ => return Err(format!("{arg} is no option of this benchmark; see --help.")),
            }
        }
        Ok(if is_bench { Mode::Compare(options) } else { Mode::Nothing })
    }
}

/// Says that the limit of descriptors was raised already.
pub(crate) const RAISED: &str = "--raised";

impl Options {
    /// Whether the work of this name is to be measured.
    pub(crate) fn selects(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }
}

fn number_after(option: &str, value: Option<String>, least: f64) -> Result<f64, String> {
    let number = value.and_then(|value| value.parse().ok()).filter(|number| *number >= least);
    number
        .filter(|number| *number <= 3600.0)
        .ok_or_else(|| format!("{option} needs a number from {least} to 3600."))
}
