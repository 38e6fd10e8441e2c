//! The [`Unframer`] as a fuzz target uses it: reads in, and what they carry out.

use super::unframer::{End, MARK, Unframer};

/// The content of a stream of frames.
#[derive(Debug, PartialEq, Eq)]
pub struct Unframed {
    /// The text of each message.
    pub messages: Vec<Vec<u8>>,
    /// The part of a message that has no end yet.
    pub rest: Vec<u8>,
    /// The payload of the last ping of each read, if it had one.
    pub pings: Vec<Vec<u8>>,
    /// Control frames, with the close frame.
    pub controls: u32,
    /// Reads until the end, or all of them.
    pub reads: usize,
    /// Why nothing more was read.
    pub end: Option<End>,
}

/// Takes frames out of reads, of a client or of a server.
pub fn unframe<'a>(is_from_client: bool, reads: impl IntoIterator<Item = &'a [u8]>) -> Unframed {
    let mut unframer = if is_from_client { Unframer::of_client() } else { Unframer::of_server() };
    let (mut text, mut pings) = (Vec::new(), Vec::new());
    let (mut controls, mut count) = (0, 0);
    for read in reads {
        count += usize::from(unframer.end().is_none());
        let mut bytes = [&[0], read].concat();
        let length = unframer.unframe(&mut bytes);
        assert!(length <= bytes.len());
        text.extend_from_slice(&bytes[..length]);
        unframer.take_ping(|payload| pings.push(payload.to_vec()));
        assert!(!unframer.has_ping());
        controls += unframer.take_controls();
        let most = 2 * 126;
        assert!(unframer.held() <= most, "{} bytes are stored", unframer.held());
    }
    let mut messages: Vec<_> = text.split(|&byte| byte == MARK).map(<[u8]>::to_vec).collect();
    let rest = messages.pop().unwrap_or_default();
    Unframed { messages, rest, pings, controls, reads: count, end: unframer.end() }
}
