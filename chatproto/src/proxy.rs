//! The PROXY header, versions 1 and 2, by which a load balancer states the address of a user in front of the
//! user's bytes. This file only parses the header: no socket, no list of trusted networks. TLVs of version 2
//! are skipped.
//!
//! The specification is HAProxy's: <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The first bytes of version 2.
pub(crate) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, with its end.
const LONGEST_LINE: usize = 107;
/// The longest header of version 2, in bytes. The specification allows 64 KiB. Balancers send some hundred
/// bytes, and the largest TLVs have the subject of a client certificate.
pub const LONGEST: usize = 4 * 1024;
/// Version 2 without addresses and TLVs.
const FIXED: usize = SIGNATURE.len() + 4;

/// A complete PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Header {
    /// Its length in bytes. The user's bytes follow.
    pub length: usize,
    /// The user's address. `None` if the header states none: `UNKNOWN`, `LOCAL`, or a UNIX socket. The
    /// connection then belongs to the balancer itself, which checks the health of the server, for example.
    pub source: Option<SocketAddr>,
}

/// Why bytes are not a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// They do not begin like one.
    #[error("the first bytes are not a PROXY header")]
    Missing,
    /// The line of version 1 is malformed.
    #[error(
        "malformed PROXY header: expected a line such as PROXY TCP4 192.0.2.7 192.0.2.1 50000 65432, which \
         ends in CR and LF"
    )]
    Line,
    /// Byte 13 of version 2 has another version or command.
    #[error("malformed PROXY header: version and command are {0:#04x}, expected 0x20 or 0x21")]
    Command(u8),
    /// Byte 14 of version 2 is not the family of a TCP connection.
    #[error(
        "malformed PROXY header: the address family is {0:#04x}, expected TCP over IPv4 (0x11) or IPv6 \
         (0x21), a UNIX stream (0x31) or 0x00"
    )]
    Family(u8),
    /// Version 2 has no room for the addresses of its family.
    #[error("malformed PROXY header: {length} bytes of addresses, expected at least {least}")]
    Short {
        /// The length that the header states.
        length: usize,
        /// The least length for its family.
        least: usize,
    },
    /// Version 1 has no end within 107 bytes, or version 2 is longer than [`LONGEST`].
    #[error("the PROXY header is longer than {0} bytes")]
    Long(usize),
}

/// Parses the header at the front of the input. `None` means that more bytes are needed.
///
/// Errors are reported as early as possible. A header is never longer than [`LONGEST`] bytes.
///
/// ```
/// use chatproto::proxy;
///
/// let input = b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 65432\r\nalice\n";
/// let header = proxy::parse(input)?.expect("it is complete");
/// assert_eq!(header.source, Some("192.0.2.7:50000".parse().unwrap()));
/// assert_eq!(&input[header.length..], b"alice\n");
///
/// assert_eq!(proxy::parse(&input[..20])?, None);
/// assert!(proxy::parse(b"alice\n").is_err());
/// # Ok::<(), proxy::HeaderError>(())
/// ```
///
/// # Errors
/// The bytes are not the beginning of a valid header.
pub fn parse(input: &[u8]) -> Result<Option<Header>, HeaderError> {
    let begins = |start: &[u8]| {
        let length = input.len().min(start.len());
        input[..length] == start[..length]
    };
    if begins(SIGNATURE) {
        parse_binary(input)
    } else if begins(b"PROXY ") {
        parse_line(input)
    } else {
        Err(HeaderError::Missing)
    }
}

/// Whether a line that is no user name begins here: a header of version 1 after its family. (A user may be
/// called `PROXY`.)
pub(crate) fn begins_line(bytes: &[u8]) -> bool {
    let starts: [&[u8]; 4] =
        [b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN ", b"PROXY UNKNOWN\r"];
    starts.iter().any(|start| bytes.starts_with(start))
}

fn parse_line(input: &[u8]) -> Result<Option<Header>, HeaderError> {
    let longest = &input[..input.len().min(LONGEST_LINE)];
    let Some(end) = memchr::memchr(b'\n', longest) else {
        return if input.len() < LONGEST_LINE {
            Ok(None)
        } else {
            Err(HeaderError::Long(LONGEST_LINE))
        };
    };
    let line = std::str::from_utf8(&input[..end]).ok().and_then(|line| line.strip_suffix('\r'));
    let source = line.and_then(line_source).ok_or(HeaderError::Line)?;
    Ok(Some(Header { length: end + 1, source }))
}

/// The source that a line without its end states. The outer `None` means that the line is malformed.
fn line_source(line: &str) -> Option<Option<SocketAddr>> {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["PROXY", "UNKNOWN", ..] => Some(None),
        ["PROXY", "TCP4", ref rest @ ..] => endpoints::<Ipv4Addr>(rest).map(Some),
        ["PROXY", "TCP6", ref rest @ ..] => endpoints::<Ipv6Addr>(rest).map(Some),
        _ => None,
    }
}

/// The source of two addresses and two ports, which all must be valid.
fn endpoints<T: FromStr + Into<IpAddr>>(words: &[&str]) -> Option<SocketAddr> {
    let &[source, destination, source_port, destination_port] = words else { return None };
    let address = source.parse::<T>().ok()?;
    destination.parse::<T>().ok()?;
    port(destination_port)?;
    Some(SocketAddr::new(address.into(), port(source_port)?))
}

/// A decimal number without a sign and without leading zeros.
fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    (is_plain && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok())?
}

fn parse_binary(input: &[u8]) -> Result<Option<Header>, HeaderError> {
    let Some(&command) = input.get(12) else { return Ok(None) };
    if !matches!(command, 0x20 | 0x21) {
        return Err(HeaderError::Command(command));
    }
    let is_local = command == 0x20;
    let Some(&family) = input.get(13) else { return Ok(None) };
    let least = match family {
        // the addresses of the balancer's own connection mean nothing
        _ if is_local => 0,
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ => return Err(HeaderError::Family(family)),
    };
    let Some(&[high, low]) = input.get(14..FIXED) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length < least {
        return Err(HeaderError::Short { length, least });
    }
    if FIXED + length > LONGEST {
        return Err(HeaderError::Long(LONGEST));
    }
    let Some(block) = input.get(FIXED..FIXED + length) else { return Ok(None) };
    let source = match family {
        _ if is_local => None,
        0x11 => address::<4>(block).map(|(octets, port)| (octets, port).into()),
        0x21 => address::<16>(block).map(|(octets, port)| (octets, port).into()),
        _ => None,
    };
    Ok(Some(Header { length: FIXED + length, source }))
}

/// The source of a block: source, destination, source port, destination port.
fn address<const N: usize>(block: &[u8]) -> Option<([u8; N], u16)> {
    let (octets, port) = (block.first_chunk::<N>()?, block.get(2 * N..)?.first_chunk::<2>()?);
    Some((*octets, u16::from_be_bytes(*port)))
}
