//! How both sides notice a peer that is gone without an end of the connection: TCP keep-alive and TCP
//! user time-out.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// How long a peer may be silent by default, although its system is asked for a sign of life, or has
/// bytes to acknowledge. The protocol itself has no message that every program would answer.
pub(crate) const SILENT_PEER: Duration = Duration::from_secs(90);

/// Ends the connection of the socket with an error when the peer's system was silent for `silence`.
pub(crate) fn set(socket: &SockRef<'_>, silence: Duration) -> io::Result<()> {
    // the system counts whole seconds
    let part = |of: u32| (silence / of).max(Duration::from_secs(1));
    let keep_alive = TcpKeepalive::new().with_time(part(2)).with_interval(part(6));
    socket.set_tcp_keepalive(&keep_alive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(silence))?;
    Ok(())
}
