//! The servers and their handles are shown while another thread has the hub's lock.

use super::*;
use crate::time_limit::within_limit;

#[test]
fn a_server_is_shown_while_the_hub_is_locked() {
    let builder = Server::builder();
    assert!(format!("{builder:?}").starts_with("ServerBuilder"));
    let server = builder.bind(([127, 0, 0, 1], 0)).unwrap();
    let handle = server.handle();
    let (_, changes) = handle.changes(8);
    let shared = Arc::clone(&server.shared);
    let hub = shared.hub();
    let (shown, parts) = within_limit(move || {
        (format!("{server:?} {handle:?} {changes:?}"), (server, handle, changes))
    });
    drop(hub);
    assert!(shown.contains("127.0.0.1") && shown.contains("ServerHandle"), "{shown}");
    drop(parts);
}
