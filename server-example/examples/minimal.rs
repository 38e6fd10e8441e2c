//! The smallest server: a chat with one endpoint of its own. `tour.rs` shows all that the full
//! program adds.
//!
//! ```console
//! $ cargo run -p server-example --example minimal
//! listening on 127.0.0.1:65432
//! ```
//!
//! Then `/count` from any client answers with the number of calls so far. An argument is the address
//! to listen on.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use chatproto::endpoint::Request;
use chatproto::{PORT, Server, ServerError};

static CALLS: AtomicU64 = AtomicU64::new(0);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = match std::env::args().nth(1) {
        Some(address) => address.parse()?,
        None => ([127, 0, 0, 1], PORT).into(),
    };
    let server = server(address)?;
    println!("listening on {}", server.local_addr());
    Ok(server.run()?)
}

/// The server, which does not run yet.
pub(crate) fn server(address: SocketAddr) -> Result<Server, ServerError> {
    Server::builder().endpoint("/count", "Counts its calls.", count)?.bind(address)
}

fn count(request: &Request) -> Result<String, String> {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    Ok(format!("Call {calls}, by {}.", request.user))
}
