//! The hub without our sockets: two users in one process, over a transport of one's own (here:
//! plain vectors). This is how another event loop, a simulation or a test embeds it.

use std::collections::HashMap;

use chatproto::{ConnId, DecodeError, Decoder, Hub, Now, Outgoing, Output, PeerKind};

fn main() -> Result<(), DecodeError> {
    let mut hub = Hub::builder().build();
    let mut out = Output::new();
    let mut decoders = HashMap::new();

    let alice = join(&mut hub, &mut out, "alice");
    let bob = join(&mut hub, &mut out, "bob");
    decoders.insert(alice, Decoder::default());
    decoders.insert(bob, Decoder::default());

    // bytes as they come, in pieces
    let wire = br#"{"from":{"name":"","ip":""},"to":"bob","msg":"hello"}{"from":{"name":"","ip":""},"to":"/list","msg":""}"#;
    for piece in wire.chunks(10) {
        let decoder = decoders.get_mut(&alice).expect("inserted above");
        let mut input = piece;
        while let Some(frame) = decoder.decode(&mut input)? {
            hub.handle_message(alice, &frame.message(), Now::system(), &mut out);
        }
    }
    for (conn, outgoing) in out.actions() {
        let who = if conn == alice { "alice" } else { "bob" };
        match outgoing {
            Outgoing::Object(bytes) => print!("to {who}: {}", String::from_utf8_lossy(bytes)),
            Outgoing::Close => println!("close {who}"),
            // long answers, which are produced by `Hub::handle_writable`: here are too few users
            _ => {}
        }
    }
    Ok(())
}

/// Connects and registers. (With accounts or a directory, a claim of the name would come out first.)
fn join(hub: &mut Hub, out: &mut Output, name: &str) -> ConnId {
    let now = Now::system();
    let conn = hub.handle_connect(0, [127, 0, 0, 1].into(), now, out);
    hub.handle_name(conn, name.as_bytes(), PeerKind::Stream, now, out);
    conn
}
