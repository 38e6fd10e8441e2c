//! The decoder: against the oracle, against itself under other splits, and against the encoders.

use std::io;

use chatproto::{ErrorClass, Frame, Message};
use serde::Serialize as _;
use serde::de::IgnoredAny;
use serde_json::ser::Formatter;

use crate::oracle;
use crate::stream::{Outcome, Refusal, Settings, outcomes, pieces};

/// The first byte of the input sets the decoder, the rest is a stream. Verdicts, the strings of the
/// messages, and kind, offset and field of the errors are the oracle's.
pub fn decode_differential(input: &[u8]) {
    let Some((&first, stream)) = input.split_first() else { return };
    let settings = Settings::from_byte(first);
    let expected = oracle::outcomes(stream, settings);
    assert_eq!(outcomes(settings.decoder(), [stream]), expected, "{settings:?}");

    let decoded = Frame::decode(stream).map(|frame| frame.message().to_owned());
    assert_eq!(decoded.map_err(Refusal::from), only_frame(stream), "as the only frame");
}

/// What is to be said of bytes that are one frame and white space.
fn only_frame(bytes: &[u8]) -> Outcome {
    let settings = Settings::from_byte(0);
    let blank = |byte: &u8| b" \t\r\n".contains(byte);
    let begin = bytes.iter().take_while(|byte| blank(byte)).count();
    let mut expected = oracle::outcomes(bytes, settings).into_iter();
    let refusal = |kind, offset| {
        let class = ErrorClass::Framing;
        Err(Refusal { class, kind, offset, field: None })
    };
    let Some(first) = expected.next() else { return refusal("unexpected-end", bytes.len()) };
    // what follows a message decides as soon as it is a byte that is not blank
    let message = first?;
    let mut values = serde_json::Deserializer::from_slice(&bytes[begin..]).into_iter();
    let _: Option<Result<IgnoredAny, _>> = values.next();
    let end = begin + values.byte_offset();
    match bytes[end..].iter().position(|byte| !blank(byte)) {
        Some(at) => refusal("unexpected-byte", end + at),
        None => Ok(message),
    }
}

/// The first byte sets the decoder, the second chooses the splits, the rest is a stream. However it
/// is split into reads, the same is said of it.
pub fn decode_splits(input: &[u8]) {
    let [first, seed, stream @ ..] = input else { return };
    let settings = Settings::from_byte(*first);
    let whole = outcomes(settings.decoder(), [stream]);
    let step = usize::from(*seed) + 1;
    let (left, right) = stream.split_at(stream.len().min(step));
    assert_eq!(outcomes(settings.decoder(), stream.chunks(1)), whole, "byte by byte");
    assert_eq!(outcomes(settings.decoder(), stream.chunks(step)), whole, "every {step} bytes");
    assert_eq!(outcomes(settings.decoder(), [left, &[], right]), whole, "after {step} bytes");
    assert_eq!(outcomes(settings.decoder(), pieces(stream, *seed)), whole, "seed {seed}");
}

/// The input is a frame; or else it is four strings, separated by bytes that are no UTF-8. Encoded
/// and decoded they are the same, and the encoders write what `serde_json` writes.
pub fn round_trip(input: &[u8]) {
    let message = match Frame::decode(input) {
        Ok(frame) => {
            tokens_are_what_they_spell(&frame);
            frame.message().to_owned()
        }
        Err(_) => {
            let mut strings = input.splitn(4, |&byte| byte == 0xff).map(String::from_utf8_lossy);
            let mut next = || strings.next().unwrap_or_default();
            Message::new(next(), next(), next(), next())
        }
    };
    let (compact, python) = (message.to_json(), message.to_python_json());
    assert_eq!(compact, serde_json::to_string(&message).expect("four strings"));
    assert_eq!(python, as_python_does(&message));
    assert!(python.is_ascii());
    for form in [compact, python] {
        match Message::decode(form.as_bytes()) {
            Ok(decoded) => assert_eq!(decoded, message, "{form}"),
            Err(error) => {
                let expected = match form.len() {
                    65537.. => "too-long",
                    _ if message.from.name.contains('\0') => "nul-in-name",
                    _ => panic!("{error}: {form}"),
                };
                assert_eq!(error.kind().as_str(), expected);
            }
        }
    }
}

fn tokens_are_what_they_spell(frame: &Frame<'_>) {
    let message = frame.message();
    let tokens = [message.name, message.ip, message.to, message.msg];
    let texts = tokens.map(|token| token.to_str());
    for (token, text) in tokens.iter().zip(&texts) {
        assert_eq!(token.is_escaped(), token.raw().contains('\\'));
        let mut appended = "before".to_owned();
        token.unescape_into(&mut appended);
        assert_eq!(appended.strip_prefix("before"), Some(&**text));
        for other in &texts {
            assert_eq!(token.is(other), text == other, "{text:?} and {other:?}");
        }
    }
}

/// What `json.dumps` prints.
fn as_python_does(message: &Message) -> String {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Python);
    message.serialize(&mut serializer).expect("four strings");
    String::from_utf8(out).expect("ASCII")
}

/// Spaces behind the separators, and nothing beyond printable ASCII.
struct Python;

impl Formatter for Python {
    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for c in fragment.chars() {
            match c {
                ' '..='~' => write!(out, "{c}")?,
                _ => c
                    .encode_utf16(&mut [0; 2])
                    .iter()
                    .try_for_each(|u| write!(out, "\\u{u:04x}"))?,
            }
        }
        Ok(())
    }
}
