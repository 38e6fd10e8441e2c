//! The trials that do not apply to a transport, with the reason. Over WebSocket, both sides are stream peers, and
//! a message is an object or the name (B20). So trials about the bytes of a plain stream do not apply.

/// A WebSocket client reads and writes a stream.
const STREAM_PEERS: &str = "over WebSocket, clients are stream peers (B20)";
/// Bytes between objects.
const MESSAGES: &str = "over WebSocket, an object is a message of its own (B20)";
/// The end of a name.
const NAMES: &str = "over WebSocket, the name is a message of its own (B20)";
/// The first bytes of a connection.
const HANDSHAKE: &str = "over WebSocket, a connection begins with HTTP (B20)";

/// The trials that are about a plain stream.
const PLAIN: [(&str, &str); 19] = [
    ("A4.joined", MESSAGES),
    ("B1.lines", MESSAGES),
    ("B2.lf", NAMES),
    ("B2.crlf", NAMES),
    ("B2.blank-first", NAMES),
    ("B2.late-lf", STREAM_PEERS),
    ("B2.eof", NAMES),
    ("B2.endless", NAMES),
    ("B2.ascii", STREAM_PEERS),
    ("B2.apart", STREAM_PEERS),
    ("B2.too-big", STREAM_PEERS),
    ("B4.registration", "over WebSocket, it is tried with pings (B20)"),
    ("B11.welcome", STREAM_PEERS),
    ("B11.list", STREAM_PEERS),
    ("B12.joined", MESSAGES),
    ("B13.http", HANDSHAKE),
    ("B13.tls", HANDSHAKE),
    ("B13.ssh", HANDSHAKE),
    ("B13.proxy", HANDSHAKE),
];

/// Why a trial does not apply.
pub(super) fn why_not(rule: &str, id: &str, is_websocket: bool) -> Option<&'static str> {
    match is_websocket {
        true => PLAIN.iter().find(|(plain, _)| *plain == id).map(|(_, why)| *why),
        false => (rule == "B20").then_some("the server is judged over TCP: see --url"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trial_of_the_table_is_there() {
        let cases = super::super::cases();
        for (id, _) in PLAIN {
            assert!(cases.iter().any(|case| case.id() == id), "{id}");
        }
    }
}
