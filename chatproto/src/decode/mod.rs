//! From bytes to messages: the [`Decoder`] finds the frames of a stream, whole or in pieces, and
//! judges each strictly (B1, B3, B14).
//!
//! The `scan` module holds the grammar, `canonical` a short way for frames that look as nearly
//! all do. Here is what is kept between two reads: nothing, unless a frame is cut off.

mod canonical;
mod error;
mod scan;
mod wiped;

use crate::limits::Limits;
use crate::message::{JsonStr, Message, MessageRef};

use canonical::canonical;
pub use error::{DecodeError, DecodeErrorKind, ErrorClass, Field};
use scan::{Fault, Progress, Scanner, Span, Spans};
use wiped::{WipedBytes, WipedText};

/// One frame that is a message: its text, and where the four strings are in it.
#[derive(Clone, Debug)]
pub struct Frame<'a> {
    /// From `{` to `}`.
    text: Text<'a>,
    spans: Spans,
}

/// The text of a frame.
#[derive(Clone, Debug)]
enum Text<'a> {
    Borrowed(&'a str),
    /// The frame came in more than one read.
    Owned(WipedText),
}

impl<'a> Frame<'a> {
    /// Decodes exactly one frame, with white space around it at most, under the default limits.
    ///
    /// # Errors
    /// The first violation of the protocol, with its offset in `bytes` and the field it concerns.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        match canonical(bytes, Limits::default().frame) {
            Some((text, spans)) if bytes[text.len()..].iter().copied().all(is_blank) => {
                Ok(Frame { text: Text::Borrowed(text), spans })
            }
            _ => Frame::decode_any(bytes),
        }
    }

    /// The same for one that does not look as nearly all do.
    fn decode_any(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let begin = bytes.iter().take_while(|&&byte| is_blank(byte)).count();
        let error = |fault: Fault| fault.in_frame(begin as u64);
        let input = &bytes[begin..];
        let scanned = Scanner::new(false).resume(input, Limits::default().frame);
        let Progress::Complete(length, verdict) = scanned.map_err(error)? else {
            return Err(error(Fault::framing(DecodeErrorKind::UnexpectedEnd, input.len())));
        };
        let spans = verdict.map_err(error)?;
        let (frame, rest) = input.split_at(length);
        match rest.iter().position(|&byte| !is_blank(byte)) {
            None => Ok(Frame { text: Text::borrowed(frame), spans }),
            Some(at) => {
                let fault = Fault::framing(DecodeErrorKind::UnexpectedByte(rest[at]), 0);
                Err(fault.in_frame((begin + length + at) as u64))
            }
        }
    }

    /// The message, borrowed from the frame.
    pub fn message(&self) -> MessageRef<'_> {
        let text = self.as_str();
        let token = |span: Span| {
            JsonStr::validated(&text[span.start as usize..span.end as usize], span.escaped)
        };
        MessageRef {
            name: token(self.spans.name),
            ip: token(self.spans.ip),
            to: token(self.spans.to),
            msg: token(self.spans.msg),
        }
    }

    /// The frame as it came, from `{` to `}`.
    pub fn as_str(&self) -> &str {
        match &self.text {
            Text::Borrowed(text) => text,
            Text::Owned(text) => text,
        }
    }
}

impl<'a> Text<'a> {
    // the scanner has validated the strings, and the rest of a frame is ASCII
    const VALID: &'static str = "validated by the scanner";

    fn borrowed(bytes: &'a [u8]) -> Self {
        Text::Borrowed(std::str::from_utf8(bytes).expect(Self::VALID))
    }

    fn owned(bytes: WipedBytes) -> Self {
        Text::Owned(bytes.into_text().expect(Self::VALID))
    }
}

impl AsRef<str> for Frame<'_> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Message {
    /// Decodes exactly one frame, with white space around it at most, under the default limits.
    ///
    /// # Errors
    /// The first violation of the protocol, with its offset in `bytes` and the field it concerns.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Frame::decode(bytes).map(|frame| frame.message().to_owned())
    }
}

/// Finds and judges the frames of one stream.
///
/// It owns a buffer only while a frame is cut off, and looks at each byte a bounded number of
/// times however the reads are split.
///
/// A message can have a password. A buffer of up to 8 KiB is overwritten before it is freed.
///
/// ```
/// use chatproto::Decoder;
///
/// let mut decoder = Decoder::default();
/// let object = br#"{"from":{"name":"alice","ip":""},"to":"bob","msg":"hi"}"#;
///
/// let mut first_read = &object[..20];
/// assert!(decoder.decode(&mut first_read).unwrap().is_none());
///
/// let mut second_read = &object[20..];
/// let frame = decoder.decode(&mut second_read).unwrap().expect("now it is whole");
/// assert_eq!(frame.message().msg.to_str(), "hi");
/// assert!(decoder.decode(&mut second_read).unwrap().is_none(), "nothing is left");
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    max_frame: u32,
    strict: bool,
    /// Stream offset of the first byte that belongs to no frame yet: where the cut-off frame
    /// begins, or the next byte to come.
    position: u64,
    rest: Rest,
}

/// What a decoder keeps beyond its position.
#[derive(Clone, Debug)]
enum Rest {
    Nothing,
    CutOff(Box<CutOff>),
    /// A framing error was met: nothing more is read.
    Failed(Box<DecodeError>),
}

/// A frame that is not all there.
#[derive(Clone, Debug)]
struct CutOff {
    bytes: WipedBytes,
    scanner: Scanner,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new(Limits::default().frame)
    }
}

impl Decoder {
    /// A decoder that takes frames of up to `max_frame` bytes, at most 1 GiB.
    pub fn new(max_frame: usize) -> Self {
        let max_frame = max_frame.min(1 << 30) as u32;
        Decoder { max_frame, strict: false, position: 0, rest: Rest::Nothing }
    }

    /// Refuses keys that the schema does not have, instead of ignoring them.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Takes the next frame from the front of `input`, which is left with what follows it.
    /// `None` means that `input` is used up and more is needed.
    ///
    /// # Errors
    /// After an error of [`ErrorClass::Schema`] the next call goes on behind the frame. One of
    /// [`ErrorClass::Framing`] is final: every later call returns it again and reads nothing.
    pub fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Frame<'a>>, DecodeError> {
        match &self.rest {
            Rest::Nothing => {}
            Rest::CutOff(_) => return self.decode_cut_off(input),
            Rest::Failed(error) => return Err(**error),
        }
        let blank = input.iter().take_while(|&&byte| is_blank(byte)).count();
        *input = &input[blank..];
        self.position += blank as u64;
        if input.is_empty() {
            return Ok(None);
        }
        if let Some((text, spans)) = canonical(input, self.max_frame as usize) {
            *input = &input[text.len()..];
            self.position += text.len() as u64;
            return Ok(Some(Frame { text: Text::Borrowed(text), spans }));
        }
        let mut scanner = Scanner::new(self.strict);
        match scanner.resume(input, self.max_frame as usize) {
            Ok(Progress::Complete(length, verdict)) => {
                let (frame, rest) = input.split_at(length);
                *input = rest;
                let spans = self.conclude(length, verdict)?;
                Ok(Some(Frame { text: Text::borrowed(frame), spans }))
            }
            Ok(Progress::Incomplete) => {
                let bytes = WipedBytes::new(input);
                self.rest = Rest::CutOff(Box::new(CutOff { bytes, scanner }));
                *input = &[];
                Ok(None)
            }
            Err(fault) => Err(self.fail(fault)),
        }
    }

    fn decode_cut_off<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<Frame<'a>>, DecodeError> {
        let Rest::CutOff(cut_off) = &mut self.rest else { return Ok(None) };
        let before = cut_off.bytes.len();
        let room = self.max_frame as usize - before;
        cut_off.bytes.append(&input[..input.len().min(room)]);
        match cut_off.scanner.resume(&cut_off.bytes, self.max_frame as usize) {
            Ok(Progress::Complete(length, verdict)) => {
                *input = &input[length - before..];
                let rest = std::mem::replace(&mut self.rest, Rest::Nothing);
                let spans = self.conclude(length, verdict)?;
                let Rest::CutOff(cut_off) = rest else { return Ok(None) };
                let CutOff { mut bytes, .. } = *cut_off;
                bytes.truncate(length);
                Ok(Some(Frame { text: Text::owned(bytes), spans }))
            }
            Ok(Progress::Incomplete) => {
                *input = &[];
                Ok(None)
            }
            Err(fault) => Err(self.fail(fault)),
        }
    }

    /// Goes on behind a frame of this length.
    fn conclude(
        &mut self,
        length: usize,
        verdict: Result<Spans, Fault>,
    ) -> Result<Spans, DecodeError> {
        let frame = self.position;
        self.position += length as u64;
        verdict.map_err(|fault| fault.in_frame(frame))
    }

    fn fail(&mut self, fault: Fault) -> DecodeError {
        let error = fault.in_frame(self.position);
        self.rest = Rest::Failed(Box::new(error));
        error
    }

    /// Says that the stream has ended.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnexpectedEnd`] if it ended inside an object, or the framing error that
    /// was met before.
    pub fn finish(&mut self) -> Result<(), DecodeError> {
        match &self.rest {
            Rest::Nothing => Ok(()),
            Rest::Failed(error) => Err(**error),
            Rest::CutOff(cut_off) => {
                let at = cut_off.bytes.len();
                Err(self.fail(Fault::framing(DecodeErrorKind::UnexpectedEnd, at)))
            }
        }
    }

    /// Whether a frame has begun and not ended.
    pub fn is_inside_frame(&self) -> bool {
        matches!(self.rest, Rest::CutOff(_))
    }

    /// Bytes of heap that it holds of a frame that is cut off.
    pub(crate) fn held(&self) -> usize {
        match &self.rest {
            Rest::CutOff(cut_off) => size_of::<CutOff>() + cut_off.bytes.capacity(),
            Rest::Nothing | Rest::Failed(_) => 0,
        }
    }

    /// Stream offset up to which everything was decided: where the next frame begins, or the one
    /// that is cut off.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Forgets what was read from `position` on, which must be between two frames.
    pub(crate) fn rewind(&mut self, position: u64) {
        (self.position, self.rest) = (position, Rest::Nothing);
    }
}

/// White space of RFC 8259.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}
