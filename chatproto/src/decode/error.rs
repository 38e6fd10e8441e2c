//! Errors of the decoder: the peer's bytes are not JSON, or not a message.

use std::fmt;

use crate::limits::MAX_DEPTH;

/// A field of the schema (A3), as errors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The object `from`.
    From,
    /// `from.name`.
    Name,
    /// `from.ip`.
    Ip,
    /// `to`.
    To,
    /// `msg`.
    Msg,
}

impl Field {
    /// The path of the field, such as `from.name`.
    pub fn path(self) -> &'static str {
        match self {
            Field::From => "from",
            Field::Name => "from.name",
            Field::Ip => "from.ip",
            Field::To => "to",
            Field::Msg => "msg",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

/// Which of the two classes of B14 an error belongs to, and so whether the stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Not JSON, nested too deep, or without an end: where the next frame begins is unknown, so
    /// nothing after it is read.
    Framing,
    /// A well-formed object that is not a message: decoding goes on behind it.
    Schema,
}

/// What was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// Framing: a byte that cannot stand here by RFC 8259, or one between frames.
    UnexpectedByte(u8),
    /// Framing: a byte below 0x20 inside a string; it must be escaped.
    ControlCharacter(u8),
    /// Framing: a string that is not UTF-8.
    InvalidUtf8,
    /// Framing: a bracket that opens a 33rd level.
    TooDeep,
    /// Framing: no end within so many bytes.
    TooLong(usize),
    /// Framing: the stream ended inside an object.
    UnexpectedEnd,
    /// Schema: a key of the schema is not there.
    MissingKey,
    /// Schema: a key of the schema stands twice.
    DuplicateKey,
    /// Schema: `from` is not an object, or one of the others not a string.
    WrongType,
    /// Schema: half of a surrogate pair.
    LoneSurrogate,
    /// Schema, in strict mode only: a key that the schema does not have.
    UnknownKey,
    /// Schema: U+0000 in `from.name`.
    NulInName,
}

impl DecodeErrorKind {
    /// The class of B14.
    pub fn class(self) -> ErrorClass {
        use DecodeErrorKind as K;
        match self {
            K::UnexpectedByte(_)
            | K::ControlCharacter(_)
            | K::InvalidUtf8
            | K::TooDeep
            | K::TooLong(_)
            | K::UnexpectedEnd => ErrorClass::Framing,
            K::MissingKey
            | K::DuplicateKey
            | K::WrongType
            | K::LoneSurrogate
            | K::UnknownKey
            | K::NulInName => ErrorClass::Schema,
        }
    }

    /// The name of the kind as the conformance vectors spell it, such as `missing-key`.
    pub fn as_str(self) -> &'static str {
        use DecodeErrorKind as K;
        match self {
            K::UnexpectedByte(_) => "unexpected-byte",
            K::ControlCharacter(_) => "control-character",
            K::InvalidUtf8 => "invalid-utf8",
            K::TooDeep => "too-deep",
            K::TooLong(_) => "too-long",
            K::UnexpectedEnd => "unexpected-end",
            K::MissingKey => "missing-key",
            K::DuplicateKey => "duplicate-key",
            K::WrongType => "wrong-type",
            K::LoneSurrogate => "lone-surrogate",
            K::UnknownKey => "unknown-key",
            K::NulInName => "nul-in-name",
        }
    }
}

/// Bytes that are not a message, and where they stop being one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DecodeError {
    pub(super) kind: DecodeErrorKind,
    pub(super) field: Option<Field>,
    /// Stream offset of the frame's first byte.
    pub(super) frame: u64,
    /// Offset from there.
    pub(super) within: u64,
}

impl DecodeError {
    /// What was wrong.
    pub fn kind(&self) -> DecodeErrorKind {
        self.kind
    }

    /// Whether the stream goes on behind it (B14).
    pub fn class(&self) -> ErrorClass {
        self.kind.class()
    }

    /// The field concerned, where there is one.
    pub fn field(&self) -> Option<Field> {
        self.field
    }

    /// The offset, in bytes from the first one that the decoder was ever given.
    pub fn offset(&self) -> u64 {
        self.frame + self.within
    }

    /// The offset in bytes from the first one of the object that it concerns.
    pub fn offset_in_frame(&self) -> u64 {
        self.within
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use DecodeErrorKind as K;
        let field = self.field.map_or("", Field::path);
        match self.kind {
            K::UnexpectedByte(0xEF) if self.within == 0 => {
                write!(f, "an object must begin with '{{', without a byte order mark")?;
            }
            // only where one object is expected: in a stream, an object follows the other
            K::UnexpectedByte(b'{') if self.within == 0 => {
                let offset = self.offset();
                return write!(
                    f,
                    "a second object begins at byte {offset}, but exactly one is expected (a \
                     `Decoder` takes the objects of a stream)"
                );
            }
            K::UnexpectedByte(byte) if self.within == 0 => {
                write!(f, "an object must begin with '{{', found {}", Byte(byte))?;
            }
            K::UnexpectedByte(byte) => write!(f, "not JSON: {} cannot stand here", Byte(byte))?,
            K::ControlCharacter(byte) => {
                write!(f, "not JSON: {} must be escaped inside a string", Byte(byte))?;
            }
            K::InvalidUtf8 => f.write_str("not UTF-8")?,
            K::TooDeep => write!(f, "nested deeper than {MAX_DEPTH} levels")?,
            K::TooLong(limit) => write!(f, "no end of the object within {limit} bytes")?,
            K::UnexpectedEnd => f.write_str("the stream ended inside an object")?,
            K::MissingKey => write!(f, "the key `{field}` is missing")?,
            K::DuplicateKey => write!(f, "the key `{field}` stands twice")?,
            K::WrongType if self.field == Some(Field::From) => {
                f.write_str("`from` must be an object")?;
            }
            K::WrongType => write!(f, "`{field}` must be a string")?,
            K::LoneSurrogate if field.is_empty() => f.write_str("half of a surrogate pair")?,
            K::LoneSurrogate => write!(f, "half of a surrogate pair in `{field}`")?,
            K::UnknownKey => f.write_str("a key that the schema does not have")?,
            K::NulInName => write!(f, "U+0000 in `{field}`")?,
        }
        write!(f, " (byte {} of the object)", self.within)
    }
}

impl std::error::Error for DecodeError {}

/// A byte as a person reads it.
struct Byte(u8);

impl fmt::Display for Byte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            byte @ 0x21..=0x7e => write!(f, "'{}'", char::from(byte)),
            byte => write!(f, "byte 0x{byte:02X}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Decoder, Frame};

    #[test]
    fn two_objects_are_not_one() {
        let object = br#"{"from":{"name":"a","ip":""},"to":"b","msg":"c"}"#;
        for between in ["", "\n", " \r\n\t"] {
            let two = [object, between.as_bytes(), object].concat();
            let error = Frame::decode(&two).unwrap_err();
            let at = (object.len() + between.len()) as u64;
            assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::UnexpectedByte(b'{'), at));
            let sentence = error.to_string();
            let expected = format!("a second object begins at byte {at}, but exactly one");
            assert!(sentence.starts_with(&expected), "{sentence}");
            let (mut decoder, mut input) = (Decoder::default(), &two[..]);
            assert!(decoder.decode(&mut input).unwrap().is_some(), "a stream has both");
            assert!(decoder.decode(&mut input).unwrap().is_some(), "a stream has both");
        }
    }
}
