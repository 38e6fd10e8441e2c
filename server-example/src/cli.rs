//! The command line: its options, their help and their defaults. What the options do is in
//! [`serve`](crate::serve) and [`chat`](crate::chat).

use std::ffi::OsString;
use std::path::PathBuf;

use chatproto::name::NamePolicyError;
use chatproto::{BanTarget, BanTargetError, Limits, SlowReader, UserName};
use clap::builder::{ArgPredicate, RangedU64ValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use tracing_subscriber::filter::LevelFilter;

use crate::accounts::command::AccountOptions;
use crate::backup::{BackupOptions, RestoreOptions};
use crate::config::{self, Environment, LayerError, Layers, Settings};
use crate::data::{AccountsOptions, DataOptions, KeepingOptions};
use crate::failure::Failure;
use crate::history::HistoryCommand;
use crate::load::LoadOptions;
use crate::tls::cert::CertOptions;
use crate::tls::{ClientTlsOptions, TlsOptions};
use crate::units::{Address, PerSecond, Size, SizeOrOff, Span, Threads};

/// What the program was asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Box<ServeOptions>),
    Chat(ChatOptions),
    Check(Box<crate::check::Options>),
    Load(Box<LoadOptions>),
    Cert(CertOptions),
    Account(AccountOptions),
    #[command(subcommand)]
    History(Box<HistoryCommand>),
    Backup(BackupOptions),
    Restore(RestoreOptions),
}

/// Run a chat server (this is what happens without a command).
///
/// Prints "listening on ADDR:PORT" to standard output when it is ready, a line for each address, and
/// nothing else; it logs to standard error. SIGINT and SIGTERM end it: it says goodbye to everybody and exits with 0.
/// SIGHUP has it read its configuration again: what can change does, all or nothing, and the log says
/// what changed and what needs a restart.
#[derive(Args, Debug)]
#[command(after_help = "SIZE is a number of bytes, or one with a unit: 64KiB, 64k, 1MiB, 64kB.\n\
    TIME is a number with its unit: 10ms, 1.5s, 2min, 1h; at most a day.\n\n\
    Every option is also a variable of the environment, as shown, and a key of the file of --config, \
    such as max-frame = \"1MiB\" or announce = true. A flag goes before the environment, that before \
    the file, that before the default. A variable separates several values by commas; in the file they \
    are a list, and relative paths begin at the file's directory. --print-config makes a file to start \
    from.")]
pub(crate) struct ServeOptions {
    /// TOML file to take options from
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Print the configuration as a file, with where each value comes from, and do nothing else
    #[arg(long)]
    pub(crate) print_config: bool,

    /// Check the configuration with the files that it names, and do nothing else
    ///
    /// It reads every file that is named: the token, certificates, the audit log's place, the format of the
    /// database. It binds each address for a moment, since another machine may have it or this user may not
    /// use it. It makes a file in the data directory, or where that will be, and removes it. The
    /// exit code is 0 if a server can start with the configuration, and 2 with the mistake on standard
    /// error if not. An address in use is a warning only, as the server that uses it may have the same
    /// configuration. Accounts and messages in the database are not checked.
    #[arg(long, conflicts_with = "print_config")]
    pub(crate) check_config: bool,

    /// Address and port to listen on; port 0 takes any free one. Can be given several times
    ///
    /// A port alone (7000 or :7000) is one of 127.0.0.1. A name stands for all its addresses that this
    /// machine has. The default is reached from this machine only; 0.0.0.0:65432 opens it to others.
    #[arg(long, value_name = "ADDR:PORT", default_values_t = [default_address()])]
    pub(crate) listen: Vec<Address>,

    /// Threads that serve connections, at most 256; auto is one a core, and at most 4
    #[arg(long, value_name = "N", default_value_t = Threads(None))]
    pub(crate) threads: Threads,

    /// How much to log
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = Level::Info)]
    pub(crate) log: Level,

    #[command(flatten)]
    pub(crate) data: DataOptions,

    #[command(flatten)]
    pub(crate) accounts: AccountsOptions,

    #[command(flatten)]
    pub(crate) keeping: KeepingOptions,

    #[command(flatten)]
    pub(crate) tls: TlsOptions,

    #[command(flatten)]
    pub(crate) moderation: ModerationOptions,

    #[command(flatten)]
    pub(crate) messages: MessageOptions,

    #[command(flatten)]
    pub(crate) connections: ConnectionOptions,

    #[command(flatten)]
    pub(crate) readers: ReaderOptions,

    #[command(flatten)]
    pub(crate) memory: MemoryOptions,

    /// All of these, with where each value comes from.
    #[arg(skip)]
    pub(crate) settings: Settings,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Moderation")]
pub(crate) struct ModerationOptions {
    /// File with the token that makes an admin of whoever sends it to /admin
    ///
    /// To make one: head -c 24 /dev/urandom | base64 > FILE; chmod 600 FILE. In place of the file's
    /// name, the environment can hold the token itself, in CHATPROTO_ADMIN_TOKEN. Without either
    /// nobody can become an admin.
    #[arg(long, value_name = "FILE", env = "CHATPROTO_ADMIN_TOKEN_FILE")]
    pub(crate) admin_token: Option<PathBuf>,

    /// File to add a JSON line to for each act of a moderator's and whatever was denied
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_log: Option<PathBuf>,

    /// Name, address or network that is shut out, such as 192.0.2.0/24; a name with all that look
    /// like it. Can be given several times
    #[arg(long, value_name = "TARGET", value_parser = lasting_target)]
    pub(crate) ban: Vec<BanTarget>,

    /// Tell everybody who comes and goes
    #[arg(long)]
    pub(crate) announce: bool,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Messages")]
pub(crate) struct MessageOptions {
    /// Longest message in bytes, as the JSON object that it is
    #[arg(long, value_name = "SIZE", default_value_t = Size(Limits::default().frame))]
    pub(crate) max_frame: Size,

    /// Messages a second that one connection may send, from 1 to 4294967295, or off. A burst has up to
    /// twice as many. Above the rate, the server reads more slowly; nothing is lost. With off, bytes
    /// have no limit either, unless --rate-bytes is given
    #[arg(long, value_name = "N|off", default_value_t = default_rate())]
    pub(crate) rate: PerSecond,

    /// Bytes of messages a second that one connection may send, less than 4GiB, or off. A burst has up
    /// to 8/3 as many. Above the rate, the server reads more slowly; nothing is lost. One message of up
    /// to --max-frame always passes, and is charged afterwards. The default is off if --rate is off
    #[arg(
        long,
        value_name = "SIZE|off",
        default_value_t = default_rate_bytes(),
        default_value_if("rate", ArgPredicate::Equals("off".into()), "off")
    )]
    pub(crate) rate_bytes: SizeOrOff,

    /// Errors of one connection within a minute, the last of which ends the connection
    #[arg(long, value_name = "N", default_value_t = Limits::default().errors, value_parser = at_least_one())]
    pub(crate) max_errors: usize,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Connections")]
pub(crate) struct ConnectionOptions {
    /// Most connections at a time [default: what the descriptor limit allows]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub(crate) max_connections: Option<usize>,

    /// Most connections of one address, or of one IPv6 network of 64 bits; loopback has no bound
    #[arg(long, value_name = "N", default_value_t = Limits::default().per_address, value_parser = at_least_one())]
    pub(crate) max_per_address: usize,

    /// Longest user name in bytes of UTF-8
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().name,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    pub(crate) max_name: usize,

    /// Most rooms that one user may be in
    #[arg(long, value_name = "N", default_value_t = Limits::default().rooms, value_parser = at_least_one())]
    pub(crate) max_rooms: usize,

    /// Time from connecting to a complete name; bytes do not extend it
    #[arg(long, value_name = "TIME", default_value_t = Span(Limits::default().registration))]
    pub(crate) registration_deadline: Span,

    /// Time to log in where an account is required
    #[arg(long, value_name = "TIME", default_value_t = Span(Limits::default().login))]
    pub(crate) login_deadline: Span,

    /// Silence after which a name without a line feed is complete
    #[arg(long, value_name = "TIME", default_value_t = Span(Limits::default().handshake_grace))]
    pub(crate) handshake_grace: Span,

    /// Time that the peer has to close its side after the server's last words
    #[arg(long, value_name = "TIME", default_value_t = Span(Limits::default().linger))]
    pub(crate) linger: Span,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Slow readers")]
pub(crate) struct ReaderOptions {
    /// What happens to a connection whose queue is full; either way it is told what it missed
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = Policy::Disconnect)]
    pub(crate) slow_reader: Policy,

    /// Most bytes that may wait for one connection
    #[arg(long, value_name = "SIZE", default_value_t = Size(Limits::default().queue_bytes))]
    pub(crate) queue_bytes: Size,

    /// Most messages that may wait for one connection
    #[arg(long, value_name = "N", default_value_t = Limits::default().queue_messages, value_parser = at_least_one())]
    pub(crate) queue_messages: usize,

    /// Time that a connection which is being closed has to read what waits for it
    #[arg(long, value_name = "TIME", default_value_t = Span(Limits::default().drain))]
    pub(crate) drain: Span,

    /// Least time between two messages to a client that takes each read for one message
    #[arg(long, value_name = "TIME", default_value_t = Span(Limits::default().one_read_gap))]
    pub(crate) one_read_gap: Span,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Memory of all connections together")]
pub(crate) struct MemoryOptions {
    /// Heap of the queues of all readers; a shared message counts once. Above it, the longest queue is
    /// cut, and its reader is told
    #[arg(long, value_name = "SIZE", default_value_t = Size(Limits::default().queue_total))]
    pub(crate) queue_total: Size,

    /// Unfinished messages, and input not yet handled. Above it, the connection with most of it is told
    /// and closed
    #[arg(long, value_name = "SIZE", default_value_t = Size(Limits::default().input_total))]
    pub(crate) input_total: Size,

    /// Rooms and their members. Above it, nobody can join a room
    #[arg(long, value_name = "SIZE", default_value_t = Size(Limits::default().rooms_total))]
    pub(crate) rooms_total: Size,

    /// Bans and mutes that moderators make. Above it, they cannot add any
    #[arg(long, value_name = "SIZE", default_value_t = Size(Limits::default().sanctions_total))]
    pub(crate) sanctions_total: Size,

    /// Pending names, logins and commands. Above it, new ones are refused
    #[arg(long, value_name = "SIZE", default_value_t = Size(Limits::default().effects_total))]
    pub(crate) effects_total: Size,
}

/// Chat: in a terminal, or with standard input and output for scripts.
///
/// What you type: "@bob text" is private ("@\"alice smith\" text" if the name has spaces),
/// "/list" and the like are commands to the server ("/help" lists them), "//text" says a text that
/// begins with a slash, "/quit" leaves, everything else goes to everybody. In a terminal, Ctrl-C
/// clears the line, and leaves if the line is empty.
///
/// "/join #tea" makes you a member of a room, and from then on everything else goes to that room;
/// "/leave" leaves it and goes back to everybody. You can be in several: "/to #work" goes to another
/// of them, "/to everyone" back to everybody, and "@#work text" writes to one of them once. In a
/// terminal the prompt says where you are. After a lost connection you are in the same rooms again.
/// A line that was typed under a login is sent only under that login.
///
/// If standard input or output is not a terminal, it reads lines and prints one line for each
/// message, "FROM → TO: TEXT"; TO is your name, a room, or Everyone. Control characters in it are
/// shown as \n, \t and \u{1b}, so that a line is a message. Where a line goes is decided by the lines
/// before it alone: if a room cannot be joined, what is for it goes to nobody. Everything else goes
/// to standard error. Input is UTF-8, with or without a byte order mark. Other input is refused with the
/// number of its line: of a file nothing is sent, and of a pipe nothing from there on. At the end of input
/// it sends what is left, waits for answers, and exits with 0. It exits with 1 if a line could not be
/// sent, or if the server answered with an error.
#[derive(Args, Debug)]
pub(crate) struct ChatOptions {
    /// Your name; in a terminal you are asked for it if it is missing
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// The server to talk to
    #[arg(long, value_name = "ADDR:PORT", default_value_t = default_address())]
    pub(crate) server: Address,

    /// File whose first line is the password of your account; it is sent when the server asks for it,
    /// after a lost connection too
    ///
    /// Without this option the password is that in the environment variable CHATPROTO_PASSWORD. With
    /// neither, /login asks you for it.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    /// Send passwords and tokens without TLS beyond this machine, where others can read them on their
    /// way
    ///
    /// Without this option, chat sends them over TLS, or to a server on this machine. It refuses
    /// other /login, /register, /passwd, /unregister and /admin lines, and does not start with a
    /// password that it would have to send in plain text.
    #[arg(long)]
    pub(crate) insecure_password: bool,

    /// End when the connection is lost, instead of trying again
    #[arg(long)]
    pub(crate) no_reconnect: bool,

    /// Longest message that the server may send, in bytes; needed if the server's own --max-frame is larger
    #[arg(long, value_name = "SIZE", default_value_t = Size(Limits::default().frame))]
    pub(crate) max_frame: Size,

    /// At the end of piped input: how long to wait for answers after the last one that came
    #[arg(long, value_name = "TIME", default_value_t = Span(std::time::Duration::from_millis(500)))]
    pub(crate) linger: Span,

    /// Whether to use colours; auto means in a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,

    #[command(flatten)]
    pub(crate) tls: ClientTlsOptions,
}

/// Reads `--ban`. A temporary name is another user's at another time.
fn lasting_target(text: &str) -> Result<BanTarget, String> {
    let target: BanTarget = text.parse().map_err(|error: BanTargetError| error.to_string())?;
    let shown = target.to_string();
    let name = UserName::new(shown.trim_matches('"')).ok().filter(|_| target.is_name());
    match name.map(|name| name.check_request()) {
        Some(Err(NamePolicyError::Assigned)) => {
            Err("only the server gives this name, for a time: write the address of its user"
                .to_owned())
        }
        _ => Ok(target),
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// What happens to a connection whose queue is full.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Policy {
    /// It may read what is queued, then it is closed
    Disconnect,
    /// What waits longest is dropped
    DropOldest,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Off => LevelFilter::OFF,
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        }
    }
}

impl From<Policy> for SlowReader {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Disconnect => SlowReader::Disconnect,
            Policy::DropOldest => SlowReader::DropOldest,
        }
    }
}

/// Reads the command line, of which the first word is the program's name. Help and version are
/// printed here, and end the program.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Failure> {
    parse_in(arguments, &Environment::of_process())
}

/// The same in an environment.
pub(crate) fn parse_in(
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

pub(crate) fn default_address() -> Address {
    "127.0.0.1".parse().expect("a literal")
}

fn default_rate() -> PerSecond {
    PerSecond(Limits::default().rate.map(|rate| rate.per_second))
}

fn default_rate_bytes() -> SizeOrOff {
    SizeOrOff(Limits::default().rate_bytes.map(|rate| rate.per_second.into()))
}

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

#[cfg(test)]
mod tests {
    use super::*;

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
