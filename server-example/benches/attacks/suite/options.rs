//! The command line.

use std::env;
use std::path::PathBuf;

pub(crate) const HELP: &str = "\
Attacks the server over real sockets, with honest clients measured beside it.

cargo bench -p server-example --bench attacks -- [OPTIONS]

  --only NAME      only the attacks whose names contain NAME (also without --only)
  --quick          small attacks, one round
  --rounds N       rounds, of which the medians are shown (default 3)
  --markdown FILE  write the table there too, and not to standard output only
  --list           the attacks
  --help           this text

It ends with 1 if the server did something wrong; latencies are reported, and not judged so.
";

/// What this run of the executable is for.
#[derive(Debug)]
pub(crate) enum Mode {
    Help,
    List,
    Run(Options),
}

#[derive(Debug)]
pub(crate) struct Options {
    only: Option<String>,
    /// Small sizes.
    pub(crate) is_quick: bool,
    /// Whether latencies are measured, or only what is right and what is wrong.
    pub(crate) is_measured: bool,
    pub(crate) rounds: usize,
    pub(crate) markdown: Option<PathBuf>,
    /// What was typed, for the report.
    pub(crate) typed: String,
}

impl Mode {
    pub(crate) fn from_args() -> Result<Mode, String> {
        Self::parse(env::args().skip(1).collect())
    }

    /// `cargo bench` says `--bench`. `cargo test` does not, and hands on what is for the usual
    /// test harness: of that, a name is understood, and the rest is let pass.
    fn parse(args: Vec<String>) -> Result<Mode, String> {
        let is_bench = args.iter().any(|arg| arg == "--bench");
        // where the table goes is nobody's business but that of who typed it
        let is_file = |at: usize| at > 0 && args[at - 1] == "--markdown";
        let is_typed =
            |at: usize, arg: &str| !matches!(arg, "--bench" | "--markdown") && !is_file(at);
        let typed = args.iter().enumerate().filter(|(at, arg)| is_typed(*at, arg));
        let typed = typed.map(|(_, arg)| format!(" {arg}"));
        let mut options = Options {
            only: None,
            is_quick: !is_bench,
            is_measured: is_bench,
            rounds: if is_bench { 3 } else { 1 },
            markdown: None,
            typed: typed.collect(),
        };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--help" | "-h" => return Ok(Mode::Help),
                "--list" => return Ok(Mode::List),
                "--only" | "--exact" if !is_bench => {}
                "--skip" | "--test-threads" | "--format" | "--color" if !is_bench => {
                    let _ = args.next();
                }
                "--only" => options.only = Some(value(&arg, args.next())?),
                "--quick" => (options.is_quick, options.rounds) = (true, 1),
                "--rounds" => {
                    let rounds = value(&arg, args.next())?.parse().ok();
                    let rounds = rounds.filter(|rounds| (1..=100).contains(rounds));
                    options.rounds = rounds.ok_or("--rounds needs a number from 1 to 100.")?;
                }
                "--markdown" => options.markdown = Some(value(&arg, args.next())?.into()),
                name if !name.starts_with('-') => options.only = Some(arg),
                "--bench" => {}
                _ if !is_bench => {}
                _ => return Err(format!("{arg} is no option of this benchmark; see --help.")),
            }
        }
        Ok(Mode::Run(options))
    }
}

impl Options {
    pub(crate) fn selects(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }
}

fn value(option: &str, value: Option<String>) -> Result<String, String> {
    value.ok_or_else(|| format!("{option} needs a value; see --help."))
}
