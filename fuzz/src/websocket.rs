//! Our reading of WebSocket frames against that of `tungstenite`: the same messages, the same pings, and the same
//! violation.
//!
//! The rules are those of RFC 6455. Where the two readings differ, the oracle is told otherwise:
//!
//! | section | ours | `tungstenite` | for the oracle |
//! |---|---|---|---|
//! | 5.2, 5.4, 5.5 | a violation in a header ends the stream at the byte that shows it | when the frame is complete | the frame is [completed](complete), without a second violation |
//! | 5.2 | a frame may have less than 2^63 bytes | here: at most [`MOST`], which is more than an input | a longer frame is incomplete |
//! | 5.2, 5.5 | a control frame whose length has two or eight bytes is too long | only if the length is above 125 | the completed frame is too long |
//! | 5.6 | a binary message is a violation | is a message | [text and binary are swapped](swap_data), and a text message is that violation |
//! | 8.1 | text that is not UTF-8 goes on to the decoder, which refuses it | is an error | the same: binary messages have all bytes |
//! | 7.4 | the close code 1014 is valid, as IANA has registered it | is not | [one of the equal ends](as_ours_names_it) |
//! | none | which one of two violations at the same place is named | otherwise | [one of the equal ends](as_ours_names_it) |

use std::io::{self, Cursor, Read, Write};

use chatproto::fuzzing::{Unframed, unframe};
use chatproto::websocket::{End, Violation};
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

use crate::stream::pieces;

/// Most bytes of a frame for the oracle. Inputs are shorter.
const MOST: usize = 1 << 20;
/// The bit of the second byte of a frame that says that the payload is masked.
const MASKED: u8 = 0x80;

/// The oracle's reading of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Expected {
    messages: Vec<Vec<u8>>,
    pings: Vec<Vec<u8>>,
    controls: u32,
    end: Option<End>,
}

/// The first byte says whose frames they are (bit 0), and decides one of the splits into reads.
pub fn websocket_frames(input: &[u8]) {
    let Some((&settings, bytes)) = input.split_first() else { return };
    if bytes.len() > MOST {
        return;
    }
    let is_from_client = settings & 1 == 0;
    let whole = unframe(is_from_client, [bytes]);
    let single = unframe(is_from_client, bytes.chunks(1));
    let cut = unframe(is_from_client, pieces(bytes, settings));
    for other in [&whole, &cut] {
        assert_eq!((&other.messages, &other.rest), (&single.messages, &single.rest));
        assert_eq!((other.controls, other.end), (single.controls, single.end));
        // only the last ping of each read has an answer
        assert_eq!(other.pings.last(), single.pings.last());
        assert!(is_subsequence(&other.pings, &single.pings));
    }
    let expected = expected(is_from_client, for_oracle(is_from_client, bytes, &single));
    let ours = Expected {
        end: single.end,
        messages: single.messages,
        pings: single.pings,
        controls: single.controls,
    };
    let end = as_ours_names_it(expected.end, ours.end);
    assert_eq!(ours, Expected { end, ..expected });
}

/// The oracle's end, or ours if both are right.
fn as_ours_names_it(expected: Option<End>, ours: Option<End>) -> Option<End> {
    use Violation::*;
    match (expected, ours) {
        // registered for gateways after the RFC (section 7.4.2)
        (Some(End::Violated(InvalidCloseCode)), Some(End::Closed(Some(1014))))
        // two violations in one byte (section 5.2)
        | (Some(End::Violated(ReservedOpcode(_))), Some(End::Violated(ReservedBit)))
        // two violations in one payload (section 5.5.1)
        | (Some(End::Violated(InvalidCloseReason)), Some(End::Violated(InvalidCloseCode))) => ours,
        _ => expected,
    }
}

fn is_subsequence(few: &[Vec<u8>], many: &[Vec<u8>]) -> bool {
    let mut many = many.iter();
    few.iter().all(|one| many.any(|other| other == one))
}

/// The stream up to our violation, in which the last frame is complete, and text is binary.
fn for_oracle(is_from_client: bool, bytes: &[u8], ours: &Unframed) -> Vec<u8> {
    let Some(End::Violated(violation)) = ours.end else {
        let mut stream = bytes.to_vec();
        swap_data(&mut stream);
        return stream;
    };
    let mut stream = bytes[..ours.reads].to_vec();
    let last = swap_data(&mut stream);
    let last = stream.split_off(last);
    check_place(violation, &last);
    stream.extend(complete(is_from_client, &last));
    // ends the message, if the last frame is a fragment
    stream.extend(frame(0x80, is_from_client, b""));
    stream
}

/// Swaps the operation codes of text and binary frames. Returns where the last frame begins.
fn swap_data(stream: &mut [u8]) -> usize {
    let mut start = 0;
    loop {
        let mut bytes = Cursor::new(&stream[start..]);
        let header = FrameHeader::parse(&mut bytes);
        let position = bytes.position();
        if let Some(first) = stream.get_mut(start)
            && matches!(*first & 0x0F, 1 | 2)
        {
            *first ^= 1 ^ 2;
        }
        let Ok(Some((_, length))) = header else { return start };
        match position.checked_add(length) {
            Some(length) if length < (stream.len() - start) as u64 => start += length as usize,
            _ => return start,
        }
    }
}

/// A violation is found at the first byte that shows it.
fn check_place(violation: Violation, frame: &[u8]) {
    match violation {
        Violation::Unmasked | Violation::Masked | Violation::LongControlFrame => {
            assert_eq!(frame.len(), 2, "{violation:?}");
        }
        Violation::LengthTooLarge => {
            assert_eq!(frame.len(), if frame[1] & MASKED == 0 { 10 } else { 14 });
        }
        Violation::InvalidCloseCode | Violation::InvalidCloseReason => {
            assert_eq!(frame[0], 0x88, "{violation:?}");
        }
        _ => assert_eq!(frame.len(), 1, "{violation:?}"),
    }
}

/// A frame that begins with the one or two bytes of a header that is wrong, and is right in all that follows.
/// Another frame has all the bytes that it needs.
fn complete(is_from_client: bool, begun: &[u8]) -> Vec<u8> {
    match *begun {
        [first] => frame(first, is_from_client, b""),
        [first, second] => {
            let length = match second & !MASKED {
                126 => 126,
                127 => 0x1_0000,
                length => usize::from(length),
            };
            frame(first, second & MASKED != 0, &vec![0; length])
        }
        _ => begun.to_vec(),
    }
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
    loop {
        match socket.read() {
            Ok(Message::Binary(text)) => {
                let mut text = text.to_vec();
                // the byte that ends messages is replaced by another one that is not UTF-8
                text.iter_mut().filter(|byte| **byte == 0xFF).for_each(|byte| *byte = 0xFE);
                expected.messages.push(text);
            }
            Ok(Message::Ping(payload)) => {
                expected.pings.push(payload.to_vec());
                expected.controls += 1;
            }
            Ok(Message::Pong(_)) => expected.controls += 1,
            other => {
                expected.end = end(other);
                let is_close = matches!(
                    expected.end,
                    Some(
                        End::Closed(_)
                            | End::Violated(
                                Violation::InvalidCloseCode | Violation::InvalidCloseReason
                            )
                    )
                );
                expected.controls += u32::from(is_close);
                return expected;
            }
        }
    }
}

/// The oracle's words for the end, in ours.
fn end(last: Result<Message, Error>) -> Option<End> {
    Some(End::Violated(match last {
        Ok(Message::Text(_)) => Violation::Binary,
        Ok(Message::Close(None)) => return Some(End::Closed(None)),
        Ok(Message::Close(Some(frame))) => match u16::from(frame.code) {
            // the oracle replaces a code that is not valid
            1002 if frame.reason.as_str() == "Protocol violation" => Violation::InvalidCloseCode,
            code => return Some(End::Closed(Some(code))),
        },
        Err(Error::Utf8(_)) => Violation::InvalidCloseReason,
        Err(Error::Capacity(CapacityError::MessageTooLong { size, .. })) => {
            if size >> 63 == 0 {
                return None;
            }
            Violation::LengthTooLarge
        }
        Err(Error::Protocol(error)) => match error {
            ProtocolError::ResetWithoutClosingHandshake => return None,
            ProtocolError::UnmaskedFrameFromClient => Violation::Unmasked,
            ProtocolError::MaskedFrameFromServer => Violation::Masked,
            ProtocolError::NonZeroReservedBits => Violation::ReservedBit,
            ProtocolError::InvalidOpcode(opcode) => Violation::ReservedOpcode(opcode),
            ProtocolError::ControlFrameTooBig => Violation::LongControlFrame,
            ProtocolError::FragmentedControlFrame => Violation::FragmentedControlFrame,
            ProtocolError::UnexpectedContinueFrame => Violation::UnexpectedContinuation,
            ProtocolError::ExpectedFragment(_) => Violation::ExpectedContinuation,
            ProtocolError::InvalidCloseSequence => Violation::InvalidCloseCode,
            other => panic!("{other:?} is not known here"),
        },
        other => panic!("{other:?} is not known here"),
    }))
}

/// A frame with this first byte, masked or not, and the shortest length.
fn frame(first: u8, is_masked: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    let masked = if is_masked { 0x80 } else { 0 };
    match payload.len() {
        length @ 0..=125 => frame.push(masked | length as u8),
        length @ 126..=0xFFFF => {
            frame.push(masked | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(masked | 127);
            frame.extend((length as u64).to_be_bytes());
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
