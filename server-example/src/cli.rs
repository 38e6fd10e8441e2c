//! The command line: it reads what the program is asked to do, and runs the program of that name.
//! The options of each program, with their help and defaults, are with the program.

use std::ffi::OsString;

use chat::ChatOptions;
use check::CheckOptions;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use load::LoadOptions;
use shared::failure::Failure;

use crate::accounts::command::{self as account, AccountOptions};
use crate::backup::{self, BackupOptions, RestoreOptions};
use crate::config::{self, Environment, LayerError, Layers};
use crate::history::{self, HistoryCommand};
use crate::serve::{self, ServeOptions};
use crate::tls::cert::{self, CertOptions};

/// What the program was asked to do.
#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<ServeOptions>),
    Chat(Box<ChatOptions>),
    Check(Box<CheckOptions>),
    Load(Box<LoadOptions>),
    Cert(CertOptions),
    Account(AccountOptions),
    #[command(subcommand)]
    History(Box<HistoryCommand>),
    Backup(BackupOptions),
    Restore(RestoreOptions),
}

/// Does what the command line asks for, of which the first word is the program's name. Help and version
/// are printed here, and end the program.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    match parse(arguments)? {
        Command::Serve(options) => serve::run(&options, serve_options),
        Command::Chat(options) => chat::run(&options),
        Command::Check(options) => check::run(&options),
        Command::Load(options) => load::run(&options),
        Command::Cert(options) => cert::run(&options),
        Command::Account(options) => account::run(&options),
        Command::History(command) => history::run(&command),
        Command::Backup(options) => backup::backup(&options),
        Command::Restore(options) => backup::restore(&options),
    }
}

/// Reads the command line of a server.
fn serve_options(arguments: &[OsString]) -> Result<Box<ServeOptions>, Failure> {
    match parse(arguments.iter().cloned())? {
        Command::Serve(options) => Ok(options),
        _ => Err(Failure::Usage("the command is not serve".to_owned())),
    }
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Failure> {
    parse_in(arguments, &Environment::of_process())
}

/// Reads the command line in an environment.
fn parse_in(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Environment,
) -> Result<Command, Failure> {
    let arguments = with_command(arguments.into_iter().collect());
    let definition = config::define(CommandLine::command());
    let layers = match Layers::new(&definition, &arguments, environment) {
        Ok(layers) => layers,
        Err(LayerError::Shown(text)) => text.exit(),
        Err(LayerError::Failure(failure)) => return Err(failure),
    };
    let all = layers.as_ref().map_or(&arguments, |layers| &layers.arguments);
    let read =
        config::without_environment(definition).try_get_matches_from(all).and_then(|found| {
            let command = CommandLine::from_arg_matches(&found)?.command;
            Ok((command, found))
        });
    match read {
        Ok((Command::Serve(mut options), found)) => {
            options.settings = layers.map(|layers| layers.settings(&found)).unwrap_or_default();
            Ok(Command::Serve(options))
        }
        Ok((command, _)) => Ok(command),
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => {
            let sentence = sentence(&error, &arguments);
            Err(Failure::Usage(
                layers.map_or_else(|| sentence.clone(), |all| all.locate(&sentence)),
            ))
        }
    }
}

/// A chat server and a command-line chat client.
#[derive(Debug, Parser)]
#[command(
    name = "server-example",
    version,
    override_usage = "server-example [serve] [OPTIONS]\n       server-example chat --name NAME [OPTIONS]\n       server-example load stress|ramp|compare [OPTIONS]\n       server-example check --server ADDR:PORT [OPTIONS]\n       server-example cert new|show [OPTIONS]\n       server-example account add|list|role|reset|remove [OPTIONS]\n       server-example history export|search|purge|stats|check [OPTIONS]\n       server-example backup|restore FILE [OPTIONS]",
    max_term_width = 100
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// `serve` is what is meant where no command is given.
fn with_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let is_command = arguments.get(1).is_some_and(|first| {
        let first = first.to_string_lossy();
        !first.starts_with('-') || matches!(&*first, "-h" | "--help" | "-V" | "--version")
    });
    if !is_command {
        arguments.insert(arguments.len().min(1), "serve".into());
    }
    arguments
}

/// What clap says in several paragraphs, as one sentence.
fn sentence(error: &clap::Error, arguments: &[OsString]) -> String {
    let (typed, command) = typed_command(arguments);
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let names = command.get_subcommands().filter(|command| !command.is_hide_set());
        let names: Vec<_> = names.map(clap::Command::get_name).collect();
        let names = names.join(", ");
        return format!("say what{typed} is to do: {names} (see server-example{typed} --help)");
    }
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let what: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    let what = what.join(" ");
    let what = what.strip_prefix("error: ").unwrap_or(&what);
    let similar =
        lines.find_map(|line| line.strip_prefix("tip: ").filter(|tip| tip.contains("similar")));
    match similar {
        Some(tip) => format!("{what} ({tip})"),
        None => format!("{what} (see server-example{typed} --help)"),
    }
}

/// The command that was typed, and the one below it if there is, as words and as what it is.
fn typed_command(arguments: &[OsString]) -> (String, clap::Command) {
    let (mut typed, mut command) = (String::new(), CommandLine::command());
    for argument in arguments.iter().skip(1) {
        let name = argument.to_string_lossy();
        let Some(next) = command.find_subcommand(&*name).cloned() else { break };
        typed.push(' ');
        typed.push_str(next.get_name());
        command = next;
    }
    (typed, command)
}

#[cfg(test)]
mod tests {
    use chatproto::Limits;

    use super::*;
    use shared::units::PerSecond;

    fn parse_line(line: &str) -> Result<Command, Failure> {
        parse_in(line.split_whitespace().map(OsString::from), &Environment::default())
    }

    #[test]
    fn the_definition_is_consistent() {
        config::define(CommandLine::command()).debug_assert();
    }

    #[test]
    fn serve_is_meant_where_no_command_is_given() {
        for line in ["server-example", "server-example serve"] {
            let Ok(Command::Serve(options)) = parse_line(line) else { panic!("{line}") };
            assert_eq!(options.listen, ["127.0.0.1:65432".parse().unwrap()]);
        }
        let line = "server-example --listen [::1]:0 --rate off --listen 7000";
        let Ok(Command::Serve(options)) = parse_line(line) else { panic!() };
        let addresses = ["[::1]:0", "127.0.0.1:7000"].map(|address| address.parse().unwrap());
        assert_eq!(options.listen, addresses);
        assert_eq!(options.messages.rate, PerSecond(None));
    }

    #[test]
    fn without_a_rate_bytes_are_limited_only_on_request() {
        for (line, messages, bytes) in [
            ("server-example", Some(100), Some(192 << 10)),
            ("server-example --rate 7", Some(7), Some(192 << 10)),
            ("server-example --rate off", None, None),
            ("server-example --rate off --rate-bytes 1KiB", None, Some(1 << 10)),
            ("server-example --rate-bytes off", Some(100), None),
        ] {
            let Ok(Command::Serve(options)) = parse_line(line) else { panic!("{line}") };
            let limits = options.limits(100).unwrap();
            assert_eq!(limits.rate.map(|rate| rate.per_second), messages, "{line}");
            assert_eq!(limits.rate_bytes.map(|rate| rate.per_second), bytes, "{line}");
        }
    }

    #[test]
    fn the_defaults_are_the_librarys() {
        let Ok(Command::Serve(options)) = parse_line("server-example") else { panic!() };
        assert_eq!(options.limits(100).unwrap(), {
            let mut limits = Limits::default();
            limits.connections = 100;
            limits
        });
    }

    #[test]
    fn a_mistake_is_one_sentence() {
        for (line, said) in [
            (
                "server-example --lisen x",
                "unexpected argument '--lisen' found (a similar argument exists: '--listen')",
            ),
            (
                "server-example serve --frobnicate",
                "unexpected argument '--frobnicate' found (see server-example serve --help)",
            ),
            ("server-example sing", "unrecognized subcommand 'sing' (see server-example --help)"),
            (
                "server-example --max-frame 1x",
                "invalid value '1x' for '--max-frame <SIZE>': expected a size such as 65536, 64k, 64KiB or 1MiB (see server-example serve --help)",
            ),
            (
                "server-example --log loud",
                "invalid value 'loud' for '--log <LEVEL>' [possible values: off, error, warn, info, debug, trace] (see server-example serve --help)",
            ),
            (
                "server-example chat --name",
                "a value is required for '--name <NAME>' but none was supplied (see server-example chat --help)",
            ),
        ] {
            assert_eq!(parse_line(line).unwrap_err(), Failure::Usage(said.to_owned()));
        }
    }
}
