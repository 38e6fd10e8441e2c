//! The command line of `serve`: its options, their help and their defaults. The limits that follow from
//! them are in [`limits`](super::limits).

use std::path::PathBuf;

use chatproto::hub::{BanTarget, BanTargetError};
use chatproto::name::NamePolicyError;
use chatproto::network::Network;
use chatproto::{Limits, SlowReader, UserName};
use clap::builder::{ArgPredicate, RangedU64ValueParser};
use clap::{Args, ValueEnum};
use http_listener::HttpOptions;
use shared::options::default_address;
use shared::units::{Address, PerSecond, Size, SizeOrOff, Span, Threads};
use tracing_subscriber::filter::LevelFilter;

use crate::config::Settings;
use crate::data::{AccountsOptions, DataOptions, KeepingOptions};
use crate::tls::TlsOptions;

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
    pub(crate) http: HttpOptions,

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

    /// Network of load balancers, such as 10.0.0.0/8: each connection from there must begin with a PROXY
    /// header, version 1 or 2. Can be given several times
    ///
    /// The header states the address of the user. Bans, limits of an address, the log and messages have that
    /// address. A connection from there without a valid header is closed, and a PROXY header from elsewhere is
    /// refused. Users must not be able to connect from such a network themselves, as they could state any
    /// address. On the HTTP port, such a connection may begin with a PROXY header, and the headers Forwarded and
    /// X-Forwarded-For of its requests count. If they state different addresses, the request is refused.
    #[arg(long, value_name = "NETWORK")]
    pub(crate) proxy_from: Vec<Network>,

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

fn default_rate() -> PerSecond {
    PerSecond(Limits::default().rate.map(|rate| rate.per_second))
}

fn default_rate_bytes() -> SizeOrOff {
    SizeOrOff(Limits::default().rate_bytes.map(|rate| rate.per_second.into()))
}

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}
