//! `check`: the conformance runner. It judges whether a server, a client, or bytes speak the protocol. It
//! shares nothing with the server and the client of `server-example` except the decoder, which the
//! conformance vectors pin.
//!
//! ```text
//! server ─► trial ─► raw ─► websocket   what is tried on a server: tables of cases, users, a connection
//! client ─────────► raw         what is tried on a client, which is the server's part
//! bytes                         whether bytes are messages
//! rules, report                 verdicts, and how they are told
//! transcript, show, quote       what was on the wire, for people
//! ```

#![forbid(unsafe_code)]

mod bytes;
mod client;
mod options;
mod quote;
mod raw;
mod report;
mod rules;
mod server;
mod show;
mod transcript;
mod websocket;

pub use options::CheckOptions;

use chatproto::websocket::Url;
use report::Report;
use shared::failure::Failure;

/// Judges a server, a client or bytes, as the options say, and prints a report.
///
/// # Errors
/// Something failed or could not be tried, or there is nothing to judge.
pub fn run(options: &CheckOptions) -> Result<(), Failure> {
    let mut report = Report::new(options);
    if options.list {
        report.print("Of a server (--server, --url):");
        server::list().iter().for_each(|line| report.print(line));
        report.print("Of a client (--client):");
        client::list().iter().for_each(|line| report.print(line));
        return report.printed();
    }
    let url = options.url.as_ref();
    if let Some(address) = url.map(Url::address).or(options.server.as_ref()) {
        let addresses = address.resolve().map_err(|unknown| Failure::Usage(unknown.to_string()))?;
        server::run(&addresses, url, options, &mut report)?;
    } else if options.client {
        client::run(options, &mut report)?;
    } else if let Some(path) = &options.bytes {
        return bytes::run(path, options);
    }
    report.finish()
}
