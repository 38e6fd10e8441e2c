//! The transports: TCP alone, and WebSocket over it.

/// A transport of the protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    WebSocket,
}

/// The request that opens a WebSocket. (Nobody checks the answer's key.)
pub(crate) const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

impl Transport {
    /// The header of a client's frame with this length. Its mask is zero. Such a mask changes no byte, and
    /// costs the server as much as any other.
    pub(crate) fn header(self, length: usize) -> Vec<u8> {
        const TEXT: u8 = 0x81;
        const MASKED: u8 = 0x80;
        let mut header = match (self, length) {
            (Transport::Tcp, _) => return Vec::new(),
            (_, 0..=125) => vec![TEXT, MASKED | length as u8],
            (_, 126..=0xFFFF) => {
                [&[TEXT, MASKED | 126], &(length as u16).to_be_bytes()[..]].concat()
            }
            _ => [&[TEXT, MASKED | 127], &(length as u64).to_be_bytes()[..]].concat(),
        };
        header.extend([0; 4]);
        header
    }
}
