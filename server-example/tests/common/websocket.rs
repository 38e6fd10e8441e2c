//! A server of the library behind a listener that opens WebSockets: the address of TCP, and the URL of WebSocket.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use chatproto::{Limits, Server, ServerError, ServerHandle};

#[path = "../../../chatproto/tests/support/gateway.rs"]
mod gateway;

/// It is stopped when it is dropped.
pub(crate) struct WebServer {
    pub address: SocketAddr,
    pub url: String,
    pub handle: ServerHandle,
    running: Option<JoinHandle<Result<(), ServerError>>>,
}

impl WebServer {
    /// One whose limits are those of a server-example, but for these changes.
    pub(crate) fn start(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let server = Server::builder().limits(limits).bind(([127, 0, 0, 1], 0)).expect("a port");
        let (address, handle) = (server.local_addr(), server.handle());
        let url = gateway::url(gateway::start(&handle));
        let running = Some(thread::spawn(move || server.run()));
        WebServer { address, url, handle, running }
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(running) = self.running.take() {
            let ended = running.join();
            if !thread::panicking() {
                ended.expect("no panic").expect("the server ends");
            }
        }
    }
}
