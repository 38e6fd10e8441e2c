//! The client's side of a WebSocket, told anything by a server: its answer to the opening handshake, and frames.

use std::time::Instant;

use chatproto::fuzzing::{unframe, websocket_memory};
use chatproto::websocket::{End, accept_key};
use chatproto::{ErrorClass, Session, SessionEvent, UserName};

use crate::stream::pieces;

/// Most bytes of heap that do not depend on the length of a read. A response has 8 KiB, in a vector that has grown.
/// The request exists twice. Further bytes are those of answers to control frames.
const MOST: usize = 16 * 1024 + 2048;

/// The meaning of the first byte of an input. The whole byte also decides one of the splits into reads.
#[derive(Clone, Copy, Debug)]
struct Settings {
    /// The server has accepted the handshake. The input begins with its frames.
    is_open: bool,
    /// The client has nothing more to send.
    has_finished: bool,
    /// The server reads nothing until it has written all.
    is_blocked: bool,
}

/// The events of a session, and the end of the frames that it wrote.
#[derive(Debug)]
struct Outcome {
    events: Vec<SessionEvent>,
    end: Option<End>,
}

/// A server sends the bytes behind the byte of settings. The events do not depend on the split into reads. The
/// client writes valid frames, and holds little memory.
pub fn websocket_client(input: &[u8]) {
    let Some((&first, bytes)) = input.split_first() else { return };
    let settings = Settings {
        is_open: first & 1 != 0,
        has_finished: first & 2 != 0,
        is_blocked: first & 4 != 0,
    };
    let mut stream = if settings.is_open { response().into_bytes() } else { Vec::new() };
    stream.extend_from_slice(bytes);
    let single = run(settings, stream.chunks(1));
    for other in [run(settings, [&stream[..]]), run(settings, pieces(&stream, first))] {
        assert_eq!(other.events, single.events);
        // without a close frame after an error of the decoder, which the event tells
        if !single.events.iter().any(is_final) {
            assert_eq!(other.end, single.end);
        }
    }
}

fn is_final(event: &SessionEvent) -> bool {
    matches!(event, SessionEvent::Bad(error) if error.class() == ErrorClass::Framing)
}

/// A session that reads this, and then the end of the stream.
fn run<'a>(settings: Settings, reads: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let (mut session, now) = (session(), Instant::now());
    let request = transmit(&mut session, now);
    assert!(request.starts_with(b"GET /ws HTTP/1.1\r\n") && request.ends_with(b"\r\n\r\n"));
    if settings.has_finished {
        assert!(session.finish());
    }
    let (mut events, mut written) = (Vec::new(), Vec::new());
    for read in reads {
        session.handle_input(read, now);
        events.extend(std::iter::from_fn(|| session.poll_event()));
        let memory = websocket_memory(&session);
        assert!(memory <= MOST + 2 * read.len(), "{memory} bytes for {} of a read", read.len());
        if !settings.is_blocked {
            written.extend(transmit(&mut session, now));
        }
    }
    session.handle_end();
    events.extend(std::iter::from_fn(|| session.poll_event()));
    assert!(session.has_ended());
    written.extend(transmit(&mut session, now));

    let frames = unframe(true, written.chunks(1));
    assert_eq!(frames.reads, written.len(), "a close frame is the last one");
    assert!(frames.messages.iter().all(|text| text == b"alice"), "{:?}", frames.messages);
    assert!(frames.messages.len() <= 1 && frames.rest.is_empty() && frames.pings.is_empty());
    assert!(!matches!(frames.end, Some(End::Violated(_))), "{:?}", frames.end);
    Outcome { events, end: frames.end }
}

fn session() -> Session {
    let name = UserName::new("alice").expect("a name");
    Session::new(name, "192.0.2.7").websocket(&"ws://localhost/ws".parse().expect("a URL"))
}

/// The server takes all that the client writes.
fn transmit(session: &mut Session, now: Instant) -> Vec<u8> {
    let mut written = Vec::new();
    loop {
        let bytes = session.poll_transmit(now);
        let count = bytes.len();
        if count == 0 {
            return written;
        }
        written.extend_from_slice(bytes);
        session.handle_transmitted(count, now);
    }
}

/// The answer that opens the WebSocket. The key of a request is the same one each time.
fn response() -> String {
    let request = transmit(&mut session(), Instant::now());
    let request = String::from_utf8(request).expect("ASCII");
    let key = request.split("Sec-WebSocket-Key: ").nth(1).and_then(|rest| rest.lines().next());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept_key(key.expect("a key"))
    )
}

/// Inputs to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let right = response();
    let mut answers = vec![
        format!("{right}\u{1}\u{1}{{"),
        right
            .replace("Sec-WebSocket-Accept", "Sec-WebSocket-Extensions: x\r\nSec-WebSocket-Accept"),
        right.replace("101", "102"),
        right.replace(": Upgrade", ": keep-alive, upgrade"),
        "HTTP/1.1 301 Moved\r\nLocation: wss://h/ws\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno such page".to_owned(),
        "HTTP/1.1 403 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno\n\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.0 503\n\n".to_owned(),
        "{\"from\":{\"name\":\"SERVER\",\"ip\":\"\"},\"to\":\"\",\"msg\":\"\"}\n".to_owned(),
    ];
    // longer than the text that an error has
    answers.push("\u{e9}".repeat(150));
    answers.push(format!("HTTP/1.1 403 x\r\n\r\n{}", "\u{e9}".repeat(150)));
    let answers = answers.into_iter().map(|answer| [&[0], answer.as_bytes()].concat());
    let streams = crate::websocket::seeds().into_iter().filter(|input| input[0] & 1 != 0);
    answers.chain(streams).collect()
}
