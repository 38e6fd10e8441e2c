//! The rules of WebSocket that a peer can violate, each with a sentence and a close code.

use std::fmt;

use super::close_code;

/// A violation of the rules of WebSocket, or of the rule that one text message is one object. It is final:
/// the server sends the sentence as a message of SERVER, and then closes with [`Violation::close_code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Violation {
    /// A client's frame without a mask.
    Unmasked,
    /// A server's frame with a mask.
    Masked,
    /// A reserved bit is set. Only an extension may set one, and none is in use.
    ReservedBit,
    /// An operation code that RFC 6455 does not define.
    ReservedOpcode(u8),
    /// A control frame with more than 125 bytes.
    LongControlFrame,
    /// A control frame that is a fragment.
    FragmentedControlFrame,
    /// A continuation without a message to continue.
    UnexpectedContinuation,
    /// A new message inside a fragmented one.
    ExpectedContinuation,
    /// A length of 2^63 or more.
    LengthTooLarge,
    /// A close frame with a code that must not be sent, or with half a code.
    InvalidCloseCode,
    /// A close frame whose reason is not UTF-8.
    InvalidCloseReason,
    /// A binary message.
    Binary,
    /// The message ended inside an object.
    UnfinishedObject,
    /// The message has more than one object.
    SecondObject,
}

impl Violation {
    /// The code of the close frame that answers it.
    pub fn close_code(self) -> u16 {
        match self {
            Violation::Binary => close_code::UNSUPPORTED_DATA,
            Violation::InvalidCloseReason
            | Violation::UnfinishedObject
            | Violation::SecondObject => close_code::INVALID_DATA,
            _ => close_code::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Violation::Unmasked => "a client must mask its WebSocket frames",
            Violation::Masked => "a server must not mask its WebSocket frames",
            Violation::ReservedBit => {
                "a reserved bit of a WebSocket frame is set, but no extension is in use"
            }
            Violation::ReservedOpcode(opcode) => {
                return write!(f, "WebSocket has no frame with the operation code {opcode}");
            }
            Violation::LongControlFrame => "a WebSocket control frame must have at most 125 bytes",
            Violation::FragmentedControlFrame => "a WebSocket control frame must not be a fragment",
            Violation::UnexpectedContinuation => {
                "a WebSocket continuation frame needs a message to continue"
            }
            Violation::ExpectedContinuation => {
                "a WebSocket message began inside another one that was not finished"
            }
            Violation::LengthTooLarge => "the length of a WebSocket frame must be less than 2^63",
            Violation::InvalidCloseCode => "a WebSocket close frame has an invalid code",
            Violation::InvalidCloseReason => "the reason in a WebSocket close frame is not UTF-8",
            Violation::Binary => "a message must be a text frame, not a binary one",
            Violation::UnfinishedObject => "the message ended inside an object",
            Violation::SecondObject => "a message must have one object, not several",
        })
    }
}

impl std::error::Error for Violation {}
