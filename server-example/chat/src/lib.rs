//! `chat`: the command-line client. It connects for the first time here and chooses its face: `terminal`
//! for a person, `pipe` for a script. Both use one `connection`, which is made again when it is lost, and
//! knows the `place` where the user is. The decisions of the server come from its `state` lines.
//! [`ask`] asks a person in the terminal, for the other commands too.

#![forbid(unsafe_code)]

pub mod ask;
mod backoff;
mod complete;
mod connection;
mod display;
mod line;
mod login;
mod options;
mod pipe;
mod place;
mod prompt;
mod replay;
mod roster;
mod secrecy;
mod state;
mod target;
mod terminal;

use std::env;
use std::io::{self, IsTerminal};

use shared::failure::Failure;
use shared::options::PASSWORD_VARIABLE;
use shared::secret::Secret;

use self::connection::Connection;
pub use self::options::ChatOptions;
use self::target::{Server, Target};

/// Chats until the user or the end of input ends it.
///
/// # Errors
/// An option cannot be used, the server cannot be reached, or a line was not sent.
pub fn run(options: &ChatOptions) -> Result<(), Failure> {
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let name = match &options.name {
        Some(name) => name.clone(),
        None if is_terminal => match terminal::ask_for_name()? {
            Some(name) => name,
            None => return Ok(()),
        },
        None => return Err(Failure::Usage("say who you are with --name NAME".to_owned())),
    };
    let server = match &options.url {
        Some(url) => Server::WebSocket(url.clone()),
        None => Server::Tcp(options.server.clone()),
    };
    let host = server.address().host();
    let tls = match &server {
        Server::WebSocket(url) if url.is_secure() => Some(options.tls.required(host)?),
        _ => options.tls.load(host)?,
    };
    let password = password(options)?;
    let target = Target {
        name,
        server,
        tls,
        reconnect: !options.no_reconnect,
        password,
        insecure_password: options.insecure_password,
        shows_times: is_terminal,
        max_frame: options.max_frame.0,
    };
    let (connection, incoming) = Connection::open(target)?;
    if is_terminal {
        terminal::run(connection, incoming, options.color)
    } else {
        pipe::run(connection, incoming, options.linger.0)
    }
}

/// The password for the account of the name, if it was given beforehand.
fn password(options: &ChatOptions) -> Result<Option<Secret>, Failure> {
    let password = match &options.password_file {
        Some(path) => Secret::of_file(path, "password")?,
        None => match env::var_os(PASSWORD_VARIABLE) {
            Some(value) => Secret::of_variable(value, PASSWORD_VARIABLE)?,
            None => return Ok(None),
        },
    };
    Ok(Some(password))
}
