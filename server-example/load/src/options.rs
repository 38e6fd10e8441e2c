//! The options of `load` and their help.

use std::path::PathBuf;
use std::time::Duration;

use chatproto::handshake::PeerKind;
use chatproto::websocket::Url;
use clap::builder::RangedU64ValueParser;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use shared::units::{Address, Size, Span};

/// Put a server under load: find where it breaks, and count what it loses.
///
/// Works on any server that speaks the protocol. Every message carries a sequence number, the time
/// and a checksum, so that what was sent, delivered, lost, duplicated, reordered and corrupted, and
/// what came though nobody was owed it (extra), are exact counts, of each sender and in all.
#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct LoadOptions {
    #[command(subcommand)]
    pub(crate) command: LoadCommand,
}

const EXIT_CODES: &str = "Exit codes: 0, everything that was checked holds; 1, something does not, \
or the server could not be reached; 2, the request makes no sense here (options, files, descriptors); \
130, ended by Ctrl-C, after the report of what was done so far.";

const STRESS_HELP: &str = "Exit codes: 0, every check passed; 1, one did not, or the server could \
not be reached; 2, the request makes no sense here; 130, ended by Ctrl-C, after the report of what \
was done so far.";

#[derive(Debug, Subcommand)]
pub(crate) enum LoadCommand {
    Stress(StressOptions),
    Ramp(RampOptions),
    Compare(CompareOptions),
    /// Clients of a ramp in a process of their own; speaks JSON lines with the one that started it.
    #[command(hide = true)]
    Worker,
}

/// Bots that behave like people: does anything go wrong?
///
/// Each bot writes to random users, rooms and everybody, asks the server's commands, and pauses in
/// between. Before that, a name that is in use is tried again, and eight clients race for one name.
/// The verdict is that of all checks; without one that failed the exit code is 0.
#[derive(Args, Debug)]
#[command(after_help = STRESS_HELP)]
pub(crate) struct StressOptions {
    /// How many bots
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = RangedU64ValueParser::<usize>::new().range(2..=1_000_000))]
    pub(crate) bots: usize,

    /// For how long they talk
    #[arg(long, value_name = "TIME", default_value_t = Span(Duration::from_secs(10)), value_parser = above_zero)]
    pub(crate) duration: Span,

    /// The mean pause of a bot between two messages
    #[arg(long, value_name = "TIME", default_value_t = Span(Duration::from_millis(200)), value_parser = above_zero)]
    pub(crate) pause: Span,

    /// How clients read and write
    #[arg(long, value_name = "KIND", value_enum, default_value_t = Peer::Stream)]
    pub(crate) peer: Peer,

    /// The seed of all that is random, to have the same load again
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

/// Add clients until something breaks, and say what and where.
///
/// Clients register, stay, and send a heartbeat to Everyone, which costs a server a short answer
/// ("not found") and nobody else anything. It ends when clients are refused, get no welcome in time,
/// lose their connection, when the answers to heartbeats become slow (the knee), or when N is
/// reached; then everybody leaves. If one process may not have enough file descriptors, others are
/// started; what this machine itself could not do is told from what the server could not.
#[derive(Args, Debug)]
#[command(after_help = "Exit codes: 0, N was reached, or without --until the breaking point was \
    found; 1, it broke before N, this machine's own limit came first, clients were not let go at the \
    end, or the server could not be reached; 2, the request makes no \
    sense here; 130, ended by Ctrl-C, after the report of what was done so far.")]
pub(crate) struct RampOptions {
    /// How many clients to add at a time
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = RangedU64ValueParser::<u64>::new().range(1..=10_000))]
    pub(crate) batch: u64,

    /// How often to add them
    #[arg(long, value_name = "TIME", default_value_t = Span(Duration::from_secs(2)))]
    pub(crate) every: Span,

    /// Add the next ones as soon as the last ones are welcomed
    #[arg(long, conflicts_with = "every")]
    pub(crate) fast: bool,

    /// Stop at so many clients
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub(crate) until: Option<u64>,

    /// How often each client sends a heartbeat
    #[arg(long, value_name = "TIME", default_value_t = Span(Duration::from_secs(5)), value_parser = above_zero)]
    pub(crate) heartbeat: Span,

    /// The p99 of answers to heartbeats from which on latency counts as broken; it must also be
    /// ten times that of the first batches. Nobody is added while answers take so long, so
    /// that with --every of at least that time the knee is found at the very number of clients
    #[arg(long, value_name = "TIME", default_value_t = Span(Duration::from_secs(1)))]
    pub(crate) knee: Span,

    /// How clients read and write
    #[arg(long, value_name = "KIND", value_enum, default_value_t = Peer::Stream)]
    pub(crate) peer: Peer,

    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

/// Run scenarios side by side, each repeated, in alternation.
///
/// Messages are sent when they are due, whatever the server does (open loop), and latency counts
/// from then, so that a slow server cannot hide it. A scenario with in_flight instead of a rate is
/// a closed loop: each delivery leads to the next message, which shows the highest throughput.
#[derive(Args, Debug)]
#[command(after_help = COMPARE_HELP, group = ArgGroup::new("what").required(true).multiple(true))]
pub(crate) struct CompareOptions {
    /// Scenarios in TOML
    #[arg(value_name = "FILE.toml", conflicts_with = "scenario", group = "what")]
    pub(crate) file: Option<PathBuf>,

    /// Ready-made scenarios, such as small,big
    #[arg(long, value_name = "NAME", value_delimiter = ',', group = "what")]
    pub(crate) scenario: Vec<String>,

    /// Print the ready-made scenarios as a file to start from, and end
    #[arg(long, group = "what")]
    pub(crate) list: bool,

    /// How often each is run [default: 3, or what the file says]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u32>::new().range(1..=100))]
    pub(crate) repeat: Option<u32>,

    /// How long each run is measured [default: 5s, or what the file says]
    #[arg(long, value_name = "TIME")]
    pub(crate) duration: Option<Span>,

    /// How long each run warms up before [default: 1s, or what the file says]
    #[arg(long, value_name = "TIME")]
    pub(crate) warmup: Option<Span>,

    /// Have all scenarios use clients of this kind
    #[arg(long, value_name = "KIND", value_enum)]
    pub(crate) peer: Option<Peer>,

    /// Have all scenarios use messages of this size
    #[arg(long, value_name = "SIZE")]
    pub(crate) payload: Option<Size>,

    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

const COMPARE_HELP: &str = "Ready-made: small, big (payloads); few, many (messages); private, room, \
shout (receivers); stream, one-read (clients); turns, flood (closed loop).\n\n\
A file has repeat, duration and warmup, all optional, and one or more of this:\n  \
[[scenario]]\n  name = \"small\"\n  clients = 100\n  to = \"private\"        # or room, shout, self\n  \
rate = 10000          # messages a second in all; or in_flight = 32 of each client\n  \
payload = \"64\"        # bytes of msg, at least 41\n  peer = \"stream\"       # or one-read\n  \
rooms = 4             # that the clients are spread over, for to = \"room\"\n\n\
Exit codes: 0, nothing was lost, duplicated, reordered, corrupted or extra; 1, something was, or the \
server could not be reached; 2, the request makes no sense here; 130, ended by Ctrl-C, after the report of \
what was done so far.\n\n\
A server-example under load wants --rate off: by default it reads at most 100 messages a second from \
each connection, and the load measures that.";

#[derive(Args, Debug)]
#[command(next_help_heading = "Server and results")]
pub(crate) struct CommonOptions {
    /// The server to put under load
    #[arg(long, value_name = "ADDR:PORT", default_value_t = shared::options::default_address())]
    pub(crate) server: Address,

    /// The WebSocket to put under load instead, such as ws://127.0.0.1:8080/ws; its clients are stream
    /// peers
    #[arg(long, value_name = "URL", conflicts_with = "server", value_parser = shared::options::websocket)]
    pub(crate) url: Option<Url>,

    /// The server's process, to measure its CPU time and memory (Linux)
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,

    /// Directory for report.html, report.json, samples.csv and the plots as plots/*.svg; it is made if
    /// it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Replace the report that is in the directory
    #[arg(long, requires = "out")]
    pub(crate) force: bool,

    /// How long to wait for a welcome, and at the end for everybody to leave
    #[arg(long, value_name = "TIME", default_value_t = Span(Duration::from_secs(10)))]
    pub(crate) timeout: Span,

    /// After the last message: the silence after which what has not come is lost
    #[arg(long, value_name = "TIME", default_value_t = Span(Duration::from_secs(2)))]
    pub(crate) patience: Span,
}

/// How clients read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    /// Each object ends with a line feed, and all objects of a read are found
    Stream,
    /// As programs with bare sockets do: no line feeds, JSON as Python writes it, each object a
    /// write, and each read of 1024 bytes taken for one object
    OneRead,
}

impl From<Peer> for PeerKind {
    fn from(peer: Peer) -> Self {
        match peer {
            Peer::Stream => PeerKind::Stream,
            Peer::OneRead => PeerKind::OneRead,
        }
    }
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Peer::Stream => "stream",
            Peer::OneRead => "one-read",
        }
    }
}

/// A time in which something can happen, or after which it can happen again.
fn above_zero(text: &str) -> Result<Span, &'static str> {
    match text.parse()? {
        Span(Duration::ZERO) => Err("expected a time above zero"),
        span => Ok(span),
    }
}
