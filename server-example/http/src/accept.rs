//! Accepting connections. When the system refuses another descriptor, accepting pauses, and one idle
//! connection makes room.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::failure::reason;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::activity::Activity;
use crate::connection::{self, Server};
use crate::table::Admitted;

/// The first pause after the system refused, doubled each time up to the last. The chat port has the same.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// Accepts connections until the task is ended.
pub(crate) async fn accept(listener: TcpListener, server: Arc<Server>) {
    let mut pause = FIRST_PAUSE;
    loop {
        match listener.accept().await {
            Ok((socket, address)) => {
                pause = FIRST_PAUSE;
                if admit(&server, socket, address.ip()) {
                    // an evicted connection ends when its task gets a turn
                    yield_now().await;
                }
            }
            Err(error) if is_of_peer(&error) => {}
            Err(error) => {
                if pause == FIRST_PAUSE {
                    warn!(reason = %reason(&error), "no new HTTP connections for a moment");
                }
                server.table.evict(Instant::now());
                sleep(pause).await;
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
    }
}

/// Starts the task of a connection, or closes it. True if another connection was closed for it.
fn admit(server: &Arc<Server>, socket: TcpStream, address: IpAddr) -> bool {
    let now = Instant::now();
    let activity = Arc::new(Activity::new(server.times, now));
    // all users of a balancer have its address
    let bounded = (!server.proxies.contain(address)).then_some(address);
    let Some(Admitted { place, has_evicted }) = server.table.admit(bounded, &activity, now) else {
        debug!(%address, "a bound of HTTP connections is reached");
        return false;
    };
    // responses are short, and a WebSocket's messages too
    let _ = socket.set_nodelay(true);
    let id = place.id();
    let serving = connection::serve(Arc::clone(server), socket, address, activity, Arc::new(place));
    server.table.set_task(id, tokio::spawn(serving).abort_handle());
    has_evicted
}

/// The peer was gone before it was accepted.
fn is_of_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}
