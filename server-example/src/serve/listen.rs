//! The addresses of a server: a check of them, the sentence for one that cannot be listened on, and the
//! lines on standard output.

use std::collections::HashSet;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::TcpListener;

use chatproto::{Server, ServerError};
use shared::failure::{Failure, reason};
use shared::units::resolve_to_listen;
use tracing::warn;

use crate::tls::TlsMode;

use super::options::ServeOptions;

/// Checks that this machine has the addresses, and that this user may listen on them. Each is bound and
/// closed again. One that is in use may be that of the server that runs with these options.
pub(super) fn check(options: &ServeOptions) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    let of_tls =
        if options.tls.tls == Some(TlsMode::Off) { &[][..] } else { &options.tls.tls_listen };
    for (option, addresses) in [
        ("--listen", &options.listen[..]),
        ("--tls-listen", of_tls),
        ("--http", &options.http.http),
    ] {
        for address in resolve_to_listen(addresses).map_err(Failure::Usage)? {
            if address.port() != 0 && !seen.insert(address) {
                // the options of the chat are one list
                let option = option.strip_prefix("--tls").map_or(option, |_| "--listen");
                return Err(Failure::Usage(format!("{option} has {address} twice: name it once")));
            }
            match TcpListener::bind(address) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => warn!(
                    "{address} is in use: a server can start with this configuration when that has \
                     ended"
                ),
                Err(error) => {
                    return Err(Failure::Usage(cannot_listen_on(&address, &error, option)));
                }
                Ok(_) => {}
            }
        }
    }
    Ok(())
}

/// The sentence for an address that cannot be listened on: the reason and the remedy.
pub(super) fn cannot_listen(error: &ServerError) -> String {
    match error {
        ServerError::Listen { address, source } => cannot_listen_on(address, source, "--listen"),
        other => other.to_string(),
    }
}

/// The same for an address of one option.
pub(super) fn cannot_listen_on(address: &dyn Display, source: &io::Error, option: &str) -> String {
    let why = match source.kind() {
        io::ErrorKind::AddrInUse => format!(
            "address already in use (is another server running? choose another port with {option})"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "permission denied (ports below 1024 are for administrators: choose another with {option})"
        ),
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address (0.0.0.0 and [::] stand for all it has)"
                .to_owned()
        }
        _ => reason(source),
    };
    format!("cannot listen on {address}: {why}")
}

/// The lines on standard output, one for each address: clients may now connect.
pub(super) fn announce(server: &Server) {
    let mut out = io::stdout().lock();
    let mut addresses = server.local_addrs().iter();
    let written = addresses
        .try_for_each(|address| writeln!(out, "listening on {address}"))
        .and_then(|()| out.flush());
    // a server whose standard output is closed serves all the same
    if let Err(error) = written {
        warn!(reason = %reason(&error), "cannot write to standard output");
    }
}
