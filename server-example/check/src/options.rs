//! The command line of `check`: its options, their help and their defaults.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use chatproto::Limits;
use chatproto::websocket::Url;
use clap::builder::RangedU64ValueParser;
use clap::{ArgGroup, Args, ValueEnum};
use shared::options::Color;
use shared::units::{Address, Size, Span};

use super::raw::LONGEST;

/// Judge whether a program speaks the protocol: a server, a client, or bytes.
///
/// With --server it connects to a server and tries every rule of PROTOCOL.md that can be seen from
/// outside, A1 to B16 and B20. Each trial has a line: the verdict, what was sent, what is expected,
/// what came. It can be run against a server with people on it: the names that it takes begin with
/// "check-" and six letters drawn for this run, it sends one /shout, which says what it is, it never
/// has more than 40 connections, and it disconnects all of them. One trial (B9) sends 12 MB from one
/// of its users to another; --only leaves out what is not named.
///
/// Part A of the protocol and what follows from TCP (B1, B12) is judged for every server. The rest of
/// part B is judged if the server ends its first object with a line feed, which is how a server says
/// that it knows part B (B2); --part says otherwise.
///
/// With --url it does the same over WebSocket, and tries the rules of frames (B20) too. Rules about the
/// bytes of a plain stream are not applicable then.
///
/// With --client it plays the server, and judges each program that connects: how it registers, what
/// it writes, what it can read, and what it does when it is refused. The program must be an echo: to
/// every message that a user wrote to it, it answers that user with the same text. Messages of SERVER
/// have no answer. It is to connect three times in a row, and to end when the server closes. That is
/// easy in a shell: for i in 1 2 3; do ./my-echo; done. With --only, it connects only for the chosen
/// rules: once, twice or three times.
///
/// With --bytes it says whether a file holds nothing but messages, and if not, where and why.
#[derive(Args, Debug)]
#[command(
    group = ArgGroup::new("what").required(true).args(["server", "url", "client", "bytes", "list"]),
    after_help = "Verdicts: pass; FAIL (a MUST is broken); note (a SHOULD is not followed); n/a (not \
        applicable: the reason stands there); ???? (could not be tried, as something before it \
        failed).\n\
        Exit codes: 0 nothing failed; 1 something failed or could not be tried, or the bytes are not \
        all messages; 2 there is nothing to judge: a mistake in the options, no server, no client, no \
        file.\n\
        TIME is a number with its unit: 10ms, 1.5s, 2min. SIZE is a number of bytes, or one with a \
        unit: 64KiB.\n\n\
        Examples:\n  server-example check --server 127.0.0.1:65432\n  \
        server-example check --server 127.0.0.1:65432 --only A8,B2.ascii --verbose\n  \
        server-example check --url ws://127.0.0.1:8080/ws\n  \
        server-example check --client --listen 127.0.0.1:65432\n  \
        printf '{\"to\":5}' | server-example check --bytes -"
)]
pub struct CheckOptions {
    /// The server to judge
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) server: Option<Address>,

    /// The server to judge over WebSocket, such as ws://127.0.0.1:8080/ws
    #[arg(long, value_name = "URL", value_parser = shared::options::websocket)]
    pub(crate) url: Option<Url>,

    /// Play the server, and judge the client that connects
    #[arg(long)]
    pub(crate) client: bool,

    /// Address to wait for the client on; port 0 takes any free one, which is printed
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:65432", requires = "client")]
    pub(crate) listen: Address,

    /// File whose bytes to judge, or - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) bytes: Option<PathBuf>,

    /// List the rules and what is tried for each, and end
    #[arg(long, conflicts_with = "json")]
    pub(crate) list: bool,

    /// Only these rules (A8) or parts of them (A8.atomic); several are separated by commas
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    pub(crate) only: Vec<String>,

    /// Print a report in JSON, and nothing else, on standard output
    ///
    /// An object whose "format" is "chatproto-check/1". Of a server or a client it has "version",
    /// "judged", "note", "counts" (a number for each verdict), "failed" (the rules) and "findings", of
    /// which each has "rule", "id", "verdict" ("pass", "fail", "note", "not-applicable" or "untried"),
    /// "sent", "expected", "came" and "wire" (lines). Of bytes it has "outcomes", with messages and
    /// errors as the conformance vectors state them, "messages", "errors" (how many) and "end"
    /// ("complete", "incomplete" or "failed"). check/report.schema.json is its JSON schema.
    #[arg(long)]
    pub(crate) json: bool,

    /// Show for everything that was tried what was on the wire, not only for what failed
    #[arg(long, short)]
    pub(crate) verbose: bool,

    /// Whether to use colours; auto means in a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,

    #[command(flatten)]
    pub(crate) patience: Patience,

    #[command(flatten)]
    pub(crate) judged: Judged,
}

/// How long to wait.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Waiting")]
pub(crate) struct Patience {
    /// How long something that is expected may take
    #[arg(long, value_name = "TIME", default_value_t = Span(Duration::from_secs(2)), value_parser = waiting)]
    pub(crate) timeout: Span,

    /// How long nothing must come where nothing is expected
    #[arg(long, value_name = "TIME", default_value_t = Span(Duration::from_millis(250)))]
    pub(crate) quiet: Span,

    /// How long to wait for the client to connect, and each time to connect again
    #[arg(long, value_name = "TIME", default_value_t = Span(Duration::from_secs(60)), value_parser = waiting)]
    pub(crate) wait: Span,

    /// Leave out what waits for the server's registration deadline (some 10 s)
    #[arg(long)]
    pub(crate) fast: bool,
}

/// What is judged, and by which limits.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "What is judged")]
pub(crate) struct Judged {
    /// Which rules a server is judged by
    #[arg(long, value_name = "PART", value_enum, default_value_t = Part::Auto)]
    pub(crate) part: Part,

    /// How the users that check brings along speak, where the rule leaves it open
    #[arg(long, value_name = "KIND", value_enum, default_value_t = Peer::OneRead)]
    pub(crate) peer: Peer,

    /// The address that the server sees check connect from [default: that of the connection]
    #[arg(long, value_name = "IP")]
    pub(crate) seen_as: Option<IpAddr>,

    /// Longest frame that the server is configured to take, or that the bytes may have; at most
    /// 16 MiB
    #[arg(long, value_name = "SIZE", default_value_t = Size(Limits::default().frame), value_parser = frame)]
    pub(crate) max_frame: Size,

    /// The time that the server is configured to give for a registration
    #[arg(long, value_name = "TIME", default_value_t = Span(Limits::default().registration))]
    pub(crate) registration_deadline: Span,

    /// Errors within a minute that the server is configured to end a connection after
    #[arg(long, value_name = "N", default_value_t = Limits::default().errors,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1000))]
    pub(crate) max_errors: usize,

    /// Bytes: they begin with a name, as those that a client sends do
    #[arg(long)]
    pub(crate) named: bool,

    /// Bytes: keys that the schema does not have are errors
    #[arg(long)]
    pub(crate) strict: bool,
}

/// Which rules apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Part A, and part B if the server says that it knows it
    Auto,
    /// Part A, and what follows from TCP
    A,
    /// Both parts, whatever the server says
    All,
}

/// How a user of ours registers and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// A bare name and what json.dumps prints, without line feeds, as the simplest programs do
    OneRead,
    /// A name and compact objects that end with line feeds
    Stream,
}

/// A time within which something can happen.
fn waiting(text: &str) -> Result<Span, &'static str> {
    match text.parse()? {
        Span(time) if time.is_zero() => Err("a time to wait is longer than zero, such as 2s"),
        time => Ok(time),
    }
}

/// A frame's longest size that can be held and sent as a whole.
fn frame(text: &str) -> Result<Size, &'static str> {
    match text.parse()? {
        Size(bytes) if bytes > LONGEST => Err("frames of more than 16 MiB cannot be judged"),
        size => Ok(size),
    }
}
