//! The server that the client connects to, how it connects, and the sentences for connections that fail.

use std::fmt;
use std::io;
use std::net::IpAddr;

use chatproto::tls::{ClientTls, TlsError};
use chatproto::websocket::Url;
use chatproto::{Client, ClientError, DecodeErrorKind};
use shared::failure::{Failure, reason};
use shared::secret::Secret;
use shared::stderr;
use shared::text::visible;
use shared::units::Address;

use super::secrecy::{Secrecy, Unencrypted};

/// Where the server is, and what it speaks there.
#[derive(Debug)]
pub(super) enum Server {
    Tcp(Address),
    WebSocket(Url),
}

impl Server {
    pub(super) fn address(&self) -> &Address {
        match self {
            Server::Tcp(address) => address,
            Server::WebSocket(url) => url.address(),
        }
    }

    /// The option that names it.
    fn option(&self) -> &'static str {
        match self {
            Server::Tcp(_) => "--server",
            Server::WebSocket(_) => "--url",
        }
    }
}

/// As its option has it.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Server::Tcp(address) => address.fmt(f),
            Server::WebSocket(url) => url.fmt(f),
        }
    }
}

/// The server, the user, and the options of the connection.
#[derive(Debug)]
pub(super) struct Target {
    /// The name at first; the user may take another.
    pub(super) name: String,
    pub(super) server: Server,
    /// The trusted certificates, if TLS is to be spoken.
    pub(super) tls: Option<ClientTls>,
    /// Whether a lost connection is made again.
    pub(super) reconnect: bool,
    /// For the account that the name may belong to.
    pub(super) password: Option<Secret>,
    /// Passwords and tokens may be sent without TLS beyond this machine.
    pub(super) insecure_password: bool,
    /// Earlier messages are shown with their times.
    pub(super) shows_times: bool,
    /// The longest message that the server may send, in bytes.
    pub(super) max_frame: usize,
}

impl Target {
    /// Connects for the first time: what goes wrong now ends the program.
    pub(super) fn connect_first(&self) -> Result<Client, Failure> {
        let server = &self.server;
        let addresses = server
            .address()
            .resolve()
            .map_err(|why| Failure::Run(format!("{why}: check {}", server.option())))?;
        // before anything is sent
        match addresses.iter().map(|address| self.secrecy(address.ip())).max() {
            Some(Secrecy::Refused) if self.password.is_some() => {
                return Err(Failure::Usage(format!("not connected to {server}: {Unencrypted}")));
            }
            Some(Secrecy::Permitted) => stderr::say(format_args!(
                "server-example: warning: passwords and tokens go to {server} without TLS; others \
                 can read them on their way"
            )),
            _ => {}
        }
        self.connect(&self.name).map_err(|error| match error {
            ClientError::InvalidName(_) | ClientError::InvalidUrl(_) => {
                Failure::Usage(error.to_string())
            }
            ClientError::Io { source, .. } => Failure::Run(format!(
                "cannot connect to {server} ({}): is it running? start one with: server-example serve",
                reason(&source)
            )),
            ClientError::Refused(_) => Failure::Run(why(&error)),
            ClientError::Timeout { .. } | ClientError::Closed | ClientError::Decode(_) => {
                Failure::Run(format!("{server} does not behave like a chat server: {}", why(&error)))
            }
            ClientError::Tls(_) | ClientError::Opening(_) => {
                Failure::Run(format!("cannot connect to {server}: {}", why(&error)))
            }
            error => Failure::Run(error.to_string()),
        })
    }

    pub(super) fn secrecy(&self, peer: IpAddr) -> Secrecy {
        Secrecy::of(self.tls.is_some(), peer, self.insecure_password)
    }

    pub(super) fn connect(&self, name: &str) -> Result<Client, ClientError> {
        let mut builder = Client::builder(name).max_frame(self.max_frame);
        if let Some(tls) = &self.tls {
            builder = builder.tls(tls.clone());
        }
        match &self.server {
            Server::WebSocket(url) => builder.connect(url.to_string()),
            Server::Tcp(address) => {
                let addresses = address.resolve().map_err(|why| ClientError::Io {
                    doing: "cannot find the server's address".to_owned(),
                    source: io::Error::new(io::ErrorKind::NotFound, why),
                })?;
                builder.connect(&*addresses)
            }
        }
    }
}

/// Whether trying again would be a try with somebody else.
pub(super) fn is_about_trust(error: &ClientError) -> bool {
    use TlsError as T;
    matches!(
        error,
        ClientError::Tls(
            T::WrongFingerprint { .. }
                | T::UnknownIssuer { .. }
                | T::WrongName { .. }
                | T::CertificateRequired
                | T::CertificateRefused(_)
        )
    )
}

/// The cause as a sentence for a person. Nothing in it can control a terminal.
pub(super) fn why(error: &ClientError) -> String {
    match error {
        ClientError::Refused(message) => {
            let text = message.msg.trim_start_matches(['⛔', ' ']);
            let text = text.strip_prefix("Error:").unwrap_or(text).trim();
            format!("the server refused: {}", visible(text))
        }
        ClientError::Closed => "the server closed the connection".to_owned(),
        ClientError::FrameTooLong { length, limit, is_max_frame: true } => format!(
            "a message of {length} bytes is longer than the limit of {limit} bytes (--max-frame): send less \
             text, or raise it here and at the server"
        ),
        ClientError::Decode(error) if let DecodeErrorKind::TooLong(limit) = error.kind() => {
            format!("the server sent a message of more than {limit} bytes: raise --max-frame")
        }
        ClientError::Io { doing, source } => format!("{doing} ({})", reason(source)),
        error => visible(&error.to_string()).into_owned(),
    }
}
