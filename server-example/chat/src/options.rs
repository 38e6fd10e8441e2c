//! The command line of `chat`: its options, their help and their defaults.

use std::path::PathBuf;
use std::time::Duration;

use chatproto::Limits;
use chatproto::websocket::Url;
use clap::Args;
use shared::options::{Color, default_address};
use shared::tls::ClientTlsOptions;
use shared::units::{Address, Size, Span};

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
pub struct ChatOptions {
    /// Your name; in a terminal you are asked for it if it is missing
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// The server to talk to
    #[arg(long, value_name = "ADDR:PORT", default_value_t = default_address())]
    pub(crate) server: Address,

    /// The server to talk to over WebSocket instead, such as ws://127.0.0.1:8080/ws, or wss:// with TLS
    #[arg(long, value_name = "URL", conflicts_with = "server")]
    pub(crate) url: Option<Url>,

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
    #[arg(long, value_name = "TIME", default_value_t = Span(Duration::from_millis(500)))]
    pub(crate) linger: Span,

    /// Whether to use colours; auto means in a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,

    #[command(flatten)]
    pub(crate) tls: ClientTlsOptions,
}
