//! The frames of clients in tests, and what comes back.

use super::{MARK, Unframer};

/// A text message. Some come in fragments, and some fragments have a ping between them. Which ones follows from
/// their lengths, so that two runs of a simulation agree.
pub(crate) fn message(text: &[u8]) -> Vec<u8> {
    let mut frames = Vec::new();
    match text.len() % 4 {
        0 => {
            let (first, second) = text.split_at(text.len() / 3);
            push(&mut frames, 0x01, first);
            push(&mut frames, 0x89, b"still there?");
            push(&mut frames, 0x80, second);
        }
        1 => {
            let (first, second) = text.split_at(text.len() / 2);
            push(&mut frames, 0x01, first);
            push(&mut frames, 0x00, b"");
            push(&mut frames, 0x80, second);
        }
        _ => push(&mut frames, 0x81, text),
    }
    frames
}

/// A close frame.
pub(crate) fn close() -> Vec<u8> {
    frame(0x88, &1000_u16.to_be_bytes())
}

/// A frame with this first byte.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    push(&mut frame, first, payload);
    frame
}

/// The messages in a server's frames, in one piece. Each object ends where its message does.
pub(crate) fn unframed(unframer: &mut Unframer, bytes: &[u8]) -> Vec<u8> {
    let mut frames = [&[0], bytes].concat();
    let length = unframer.unframe(&mut frames);
    frames.truncate(length);
    frames.retain(|&byte| byte != MARK);
    frames
}

fn push(frames: &mut Vec<u8>, first: u8, payload: &[u8]) {
    let mask = [0x37, 0xFA, payload.len() as u8, 0x3D];
    frames.push(first);
    match payload.len() {
        length @ 0..=125 => frames.push(0x80 | length as u8),
        length => {
            frames.push(0x80 | 126);
            frames.extend((length as u16).to_be_bytes());
        }
    }
    frames.extend(mask);
    frames.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}
