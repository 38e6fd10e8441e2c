//! Our reading of WebSocket frames against that of `tungstenite`: the same messages, the same pings, the same
//! end.
//!
//! | difference | ours | `tungstenite` |
//! |---|---|---|
//! | a binary message | a violation at its first byte | a message |
//! | text that is not UTF-8 | goes on to the decoder, which refuses it | an error |
//! | the length of a frame | less than 2^63 | here: at most [`MOST`] |
//! | a violation in a header | at the first byte that shows it | when the frame is complete |
//! | a control frame whose length has two or eight bytes | a violation | accepted if the length is at most 125 |
//! | the close code 1014 | allowed, as IANA has registered it | replaced by 1002 |
//! | a forbidden close code | a violation | replaced by 1002 |
//! | pings | the last one of each read has an answer | each one |

use std::io::{self, Cursor, Read, Write};

use chatproto::fuzzing::{Unframed, unframe};
use chatproto::websocket::{End, Violation};
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

/// Longer frames are not fuzzed.
const MOST: usize = 1 << 20;
/// Bytes behind a violation, so that the frame that has it is complete if it is short.
const BEHIND: usize = 70_000;

/// The oracle's view of a stream.
#[derive(Debug, Default)]
struct Expected {
    messages: Vec<Vec<u8>>,
    pings: Vec<Vec<u8>>,
    end: Oracle,
}

/// Why the oracle stopped.
#[derive(Debug, Default, PartialEq, Eq)]
enum Oracle {
    /// The bytes were at their end.
    #[default]
    Open,
    Closed(Option<u16>),
    /// A close frame with a code that it does not allow.
    BadCode,
    Binary,
    NotUtf8,
    TooLong,
    Violated,
}

/// The first byte says whose frames they are (bit 0), and how long the pieces of the third reading are.
pub fn websocket_frames(input: &[u8]) {
    let Some((&settings, bytes)) = input.split_first() else { return };
    let is_from_client = settings & 1 == 0;
    let whole = unframe(is_from_client, [bytes]);
    let single = unframe(is_from_client, bytes.chunks(1));
    let pieces = unframe(is_from_client, bytes.chunks(2 + usize::from(settings >> 1)));
    for cut in [&single, &pieces] {
        assert_eq!((&cut.messages, &cut.rest), (&whole.messages, &whole.rest));
        assert_eq!(cut.end, whole.end);
    }
    // each ping is the last one of its byte
    assert_eq!(whole.pings.last(), single.pings.last());
    assert!(is_subsequence(&pieces.pings, &single.pings));

    let mut stream = bytes.to_vec();
    if let Some(End::Violated(_)) = whole.end {
        stream.resize(bytes.len() + BEHIND, 0);
    }
    compare(&single, &expected(is_from_client, stream));
}

fn compare(ours: &Unframed, expected: &Expected) {
    if ours.end == Some(End::Violated(Violation::LongControlFrame)) {
        // the oracle may go on
        assert!(expected.messages.starts_with(&ours.messages));
        assert!(expected.pings.starts_with(&ours.pings));
        return;
    }
    let count = expected.messages.len();
    match (&expected.end, ours.end) {
        (Oracle::Open, None) => {}
        (Oracle::Closed(code), Some(End::Closed(ours))) => assert_eq!(*code, ours),
        // 1002 with the reason that the oracle itself gives
        (Oracle::BadCode, Some(End::Closed(code))) => {
            assert!(matches!(code, Some(1002 | 1014)), "{code:?}");
        }
        (Oracle::BadCode, Some(End::Violated(violation))) => {
            assert_eq!(violation, Violation::InvalidCloseCode);
        }
        // a header that is wrong, of a frame that is not complete
        (Oracle::Open | Oracle::TooLong, Some(End::Violated(_))) => {}
        // a binary frame may violate another rule too, such as that about masks
        (Oracle::Violated, Some(End::Violated(_))) => {}
        (Oracle::NotUtf8, Some(End::Violated(Violation::InvalidCloseReason))) => {}
        (Oracle::Binary, Some(End::Violated(Violation::Binary))) => {}
        (Oracle::TooLong, None) => {}
        // ours leaves UTF-8 to the decoder, and may go on or end elsewhere: only the messages before count
        (Oracle::NotUtf8, _) => {
            let common = count.min(ours.messages.len());
            assert_eq!(ours.messages[..common], expected.messages[..common]);
            return;
        }
        (oracle, ours) => panic!("{ours:?}, and the oracle says {oracle:?}"),
    }
    assert_eq!(ours.messages, expected.messages);
    match (&expected.end, ours.end) {
        // it goes on behind the first byte of a violation
        (Oracle::Binary | Oracle::Open, Some(_)) => {
            assert!(expected.pings.starts_with(&ours.pings));
        }
        _ => assert_eq!(ours.pings, expected.pings),
    }
}

fn is_subsequence(few: &[Vec<u8>], many: &[Vec<u8>]) -> bool {
    let mut many = many.iter();
    few.iter().all(|one| many.any(|other| other == one))
}

/// Bytes that can be read and then end, and take all that is written.
struct Socket(Cursor<Vec<u8>>);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn expected(is_from_client: bool, bytes: Vec<u8>) -> Expected {
    let role = if is_from_client { Role::Server } else { Role::Client };
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_frame_size(Some(MOST))
        .max_message_size(Some(MOST));
    let mut socket = WebSocket::from_raw_socket(Socket(Cursor::new(bytes)), role, Some(config));
    let mut expected = Expected::default();
    expected.end = loop {
        match socket.read() {
            Ok(Message::Text(text)) => expected.messages.push(text.as_bytes().to_vec()),
            Ok(Message::Ping(payload)) => expected.pings.push(payload.to_vec()),
            Ok(Message::Pong(_)) => {}
            Ok(Message::Binary(_)) => break Oracle::Binary,
            Ok(Message::Close(None)) => break Oracle::Closed(None),
            Ok(Message::Close(Some(frame))) => match u16::from(frame.code) {
                1002 if frame.reason.as_str() == "Protocol violation" => break Oracle::BadCode,
                code => break Oracle::Closed(Some(code)),
            },
            Ok(Message::Frame(frame)) => panic!("{frame:?} is not a message"),
            Err(Error::Utf8(_)) => break Oracle::NotUtf8,
            Err(Error::Capacity(_)) => break Oracle::TooLong,
            Err(Error::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => break Oracle::Open,
            Err(Error::Protocol(_)) => break Oracle::Violated,
            Err(error) => panic!("{error:?} is not known here"),
        }
    };
    expected
}

/// A frame with this first byte, masked or not, and the shortest length or another one.
fn frame(first: u8, is_masked: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    let masked = if is_masked { 0x80 } else { 0 };
    match payload.len() {
        length @ 0..=125 => frame.push(masked | length as u8),
        length => {
            frame.push(masked | 126);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    let mask = if is_masked { [0x37, 0xFA, 0x21, 0x3D] } else { [0; 4] };
    if is_masked {
        frame.extend(mask);
    }
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Inputs to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    const OBJECT: &[u8] = br#"{"from":{"name":"","ip":""},"to":"b","msg":"\u00e9"}"#;
    let close = |code: u16, reason: &[u8]| [&code.to_be_bytes(), reason].concat();
    let codes = [999, 1000, 1003, 1004, 1005, 1006, 1007, 1014, 1015, 1016, 2999, 3000, 4999, 5000];
    let mut lists: Vec<Vec<(u8, Vec<u8>)>> = vec![
        vec![(0x81, b"alice".to_vec()), (0x81, OBJECT.to_vec()), (0x88, close(1000, b"bye"))],
        vec![
            (0x01, b"{\"a".to_vec()),
            (0x89, b"?".to_vec()),
            (0x00, vec![]),
            (0x80, b"\":1}".to_vec()),
        ],
        vec![(0x89, b"1".to_vec()), (0x89, b"2".to_vec()), (0x8A, b"3".to_vec()), (0x81, vec![])],
        vec![(0x01, vec![0xC3]), (0x80, vec![0xA9])],
        vec![(0x01, vec![0xC3]), (0x80, vec![0x41])],
        vec![(0x81, vec![0xFF, 0xFE]), (0x81, OBJECT.to_vec())],
        vec![(0x81, OBJECT.repeat(4)), (0x81, OBJECT.repeat(20))],
        vec![(0x89, vec![b'x'; 125]), (0x89, vec![b'x'; 126])],
        vec![(0x82, b"\0\x01".to_vec()), (0x81, b"x".to_vec())],
        vec![(0x01, b"x".to_vec()), (0x81, b"y".to_vec())],
        vec![(0x01, b"x".to_vec()), (0x02, b"y".to_vec())],
        vec![(0x88, vec![]), (0x81, b"x".to_vec())],
        vec![(0x88, vec![3])],
        vec![(0x88, close(1000, &[0xFF]))],
    ];
    for first in [0x00, 0x80, 0x83, 0x8B, 0xC1, 0xA1, 0x91, 0x08, 0x09, 0x0A, 0x0F] {
        lists.push(vec![(0x81, b"x".to_vec()), (first, b"y".to_vec()), (0x81, b"z".to_vec())]);
    }
    lists.extend(codes.map(|code| vec![(0x88, close(code, b""))]));
    let mut seeds = Vec::new();
    for list in lists {
        for (settings, is_masked) in [(0, true), (1, false), (6, false), (7, true)] {
            let frames = list.iter().map(|(first, payload)| frame(*first, is_masked, payload));
            seeds.push([vec![settings], frames.collect::<Vec<_>>().concat()].concat());
        }
    }
    // lengths that are not the shortest, and those that are too large
    for header in [
        &[0x81, 0xFE, 0, 1, 0, 0, 0, 0, b'x'][..],
        &[0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, b'x'],
        &[0x81, 0xFF, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, b'x'],
        &[0x81, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, b'x'],
        &[0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'x'],
        &[0x89, 0xFE, 0, 1, 0, 0, 0, 0, b'x'],
    ] {
        seeds.push([&[0], header].concat());
    }
    seeds
}
