//! The outcomes of a decoder for a stream, in the form in which two of them are compared. The first byte
//! of an input, which chooses the decoder. A split into reads.

use chatproto::{DecodeError, Decoder, ErrorClass, Message};

/// What is said of one frame.
pub(crate) type Outcome = Result<Message, Refusal>;

/// Why there is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) class: ErrorClass,
    pub(crate) kind: &'static str,
    pub(crate) offset: usize,
    pub(crate) field: Option<&'static str>,
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Refusal {
            class: error.class(),
            kind: error.kind().as_str(),
            offset: error.offset() as usize,
            field: error.field().map(|field| field.path()),
        }
    }
}

/// How the decoder is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) strict: bool,
    pub(crate) max_frame: usize,
}

impl Settings {
    /// Bit 0 makes it strict, bit 1 the other bits the limit.
    pub(crate) fn from_byte(byte: u8) -> Self {
        let max_frame = if byte & 2 == 0 { 65536 } else { usize::from(byte >> 2) * 4 };
        Settings { strict: byte & 1 != 0, max_frame }
    }

    pub(crate) fn decoder(self) -> Decoder {
        let decoder = Decoder::new(self.max_frame);
        if self.strict { decoder.strict() } else { decoder }
    }
}

/// All that the decoder says of a stream that comes in these reads and then ends.
pub(crate) fn outcomes<'a>(
    mut decoder: Decoder,
    reads: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for mut read in reads {
        loop {
            let before = read.len();
            match decoder.decode(&mut read) {
                Ok(Some(frame)) => {
                    assert!(frame.as_str().starts_with('{') && frame.as_str().ends_with('}'));
                    outcomes.push(Ok(frame.message().to_owned()));
                }
                Ok(None) => {
                    assert!(read.is_empty(), "more is needed, and there is more");
                    break;
                }
                Err(error) => {
                    outcomes.push(Err(error.into()));
                    if error.class() == ErrorClass::Framing {
                        assert_eq!(decoder.decode(&mut read).unwrap_err(), error, "it is final");
                        assert_eq!(decoder.finish(), Err(error), "it is final");
                        return outcomes;
                    }
                }
            }
            assert!(read.len() < before, "a frame has at least one byte");
        }
    }
    let was_inside = decoder.is_inside_frame();
    let end = decoder.finish();
    assert_eq!(end.is_err(), was_inside);
    outcomes.extend(end.err().map(|error| Err(error.into())));
    outcomes
}

/// Numbers below 2^31 that depend on the seed alone.
pub(crate) fn random(seed: u8) -> impl Iterator<Item = u32> {
    // Lehmer's generator
    let next = |&state: &u32| Some((u64::from(state) * 48_271 % 0x7fff_ffff) as u32);
    std::iter::successors(Some(u32::from(seed) + 1), next).skip(4)
}

/// Pieces of 0 to 7 bytes, in an order that depends on the seed.
pub(crate) fn pieces(mut stream: &[u8], seed: u8) -> Vec<&[u8]> {
    let (mut lengths, mut pieces) = (random(seed), Vec::new());
    while !stream.is_empty() {
        let length = lengths.next().map_or(1, |number| number as usize >> 8 & 7);
        let (piece, rest) = stream.split_at(stream.len().min(length));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}
