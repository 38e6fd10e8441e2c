//! The header of a frame: encoded, and the lengths that follow from its first two bytes.

/// Operation codes (RFC 6455, section 5.2).
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// The bit of the first byte that says that the frame ends its message.
pub(super) const FINAL: u8 = 0x80;
/// The bits of the first byte that only extensions may set.
pub(super) const RESERVED: u8 = 0x70;
/// The bits of the operation code.
pub(super) const OPCODE: u8 = 0x0F;
/// The bit of the second byte that says that the payload is masked.
pub(super) const MASKED: u8 = 0x80;

/// The longest header: two bytes, a length of eight, and a mask.
pub(super) const HEADER_MOST: usize = 14;

/// The close frame of a server, with this code.
#[cfg(feature = "server")]
pub(crate) fn close_frame(code: u16) -> [u8; 4] {
    let [high, low] = code.to_be_bytes();
    [FINAL | CLOSE, 2, high, low]
}

/// Bytes of the header of an unmasked frame with a payload of this length.
pub(crate) fn header_length(payload: usize) -> usize {
    match payload {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => 10,
    }
}

/// Bytes of a header with this second byte.
pub(super) fn length_of(second: u8) -> usize {
    let extended = match second & !MASKED {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if second & MASKED == 0 { 0 } else { 4 };
    2 + extended + mask
}

/// The header of an unmasked frame that is a whole message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    bytes: [u8; 10],
    length: u8,
}

impl Header {
    pub(crate) fn new(opcode: u8, payload: usize) -> Self {
        let mut bytes = [0; 10];
        bytes[0] = FINAL | opcode;
        let length = header_length(payload);
        match length {
            2 => bytes[1] = payload as u8,
            4 => {
                bytes[1] = 126;
                bytes[2..4].copy_from_slice(&(payload as u16).to_be_bytes());
            }
            _ => {
                bytes[1] = 127;
                bytes[2..].copy_from_slice(&(payload as u64).to_be_bytes());
            }
        }
        Header { bytes, length: length as u8 }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_the_shortest_form() {
        for (payload, expected) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (0xFFFF, &[0x81, 126, 0xFF, 0xFF]),
            (0x1_0000, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let header = Header::new(TEXT, payload);
            assert_eq!(header.as_bytes(), expected);
            assert_eq!(header_length(payload), expected.len());
            assert_eq!(length_of(expected[1]), expected.len());
            assert_eq!(length_of(expected[1] | MASKED), expected.len() + 4);
        }
    }
}
