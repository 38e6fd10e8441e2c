//! [`CloseFrame`]: how a server ended a WebSocket, in words.

use std::fmt;

use super::opening::first_line;

/// The close frame of a server. Its text is a part of an error message, such as
/// `close code 1013, try again later`, or `close code 1008: spam` with the server's reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    code: u16,
    reason: String,
}

impl CloseFrame {
    pub(super) fn new(code: u16, reason: &[u8]) -> Self {
        CloseFrame { code, reason: first_line(reason) }
    }

    /// The code (RFC 6455, section 7.4), from 1000 to 4999.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The first line of the server's reason, without control characters. It may be empty.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CloseFrame { code, reason } = self;
        write!(f, "close code {code}")?;
        if !reason.is_empty() {
            return write!(f, ": {reason}");
        }
        f.write_str(match code {
            1000 => ", normal",
            1001 => ", the server stops",
            1002 => ", protocol error",
            1007 => ", invalid data",
            1008 => ", policy violation",
            1009 => ", message too long",
            1011 => ", server error",
            1012 => ", the server restarts",
            1013 => ", try again later",
            _ => "",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_frame_is_told_in_one_line() {
        for (code, reason, text) in [
            (1013, "", "close code 1013, try again later"),
            (4000, "", "close code 4000"),
            (1008, "spam", "close code 1008: spam"),
            (1008, "\x1b[31mred\nmore", "close code 1008: \u{FFFD}[31mred"),
        ] {
            assert_eq!(CloseFrame::new(code, reason.as_bytes()).to_string(), text);
        }
    }
}
