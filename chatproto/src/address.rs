//! [`Address`]: a host and a port as people write them. The callers decide how they use the addresses
//! of a host.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use crate::limits::PORT;
use crate::reason::reason;

/// A host and a port. Text without a port has the port of the protocol. A port alone is one of this
/// machine's loopback address. Text that looks like an address and is none is refused.
///
/// ```
/// use chatproto::address::Address;
///
/// for (text, meaning) in [
///     ("chat.example:7000", "chat.example:7000"),
///     ("localhost", "localhost:65432"),
///     ("::1", "[::1]:65432"),
///     ("7000", "127.0.0.1:7000"),
///     (":7000", "127.0.0.1:7000"),
/// ] {
///     assert_eq!(text.parse::<Address>()?.to_string(), meaning);
/// }
/// // systems read these as 0.0.0.0 and 1.0.0.2
/// assert!("0:7000".parse::<Address>().is_err());
/// assert!("1.2:7000".parse::<Address>().is_err());
/// # Ok::<(), chatproto::address::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// A name or an address, without the brackets of IPv6.
    host: String,
    port: u16,
}

/// Why text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(&'static str);

/// A host has no address, or none was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown host {host} ({reason})")]
pub struct UnknownHost {
    host: String,
    reason: String,
}

impl Address {
    /// The address of a host, which is a name or an IP address without brackets, and a port.
    ///
    /// # Errors
    /// The host cannot be one, or is an incomplete IP address.
    pub fn new(host: &str, port: u16) -> Result<Self, AddressError> {
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(AddressError(
                "expected a host, such as 127.0.0.1, ::1 or localhost, without spaces",
            ));
        }
        if host.contains('*') {
            return Err(AddressError(
                "expected an address: 0.0.0.0 and [::] stand for all that this machine has",
            ));
        }
        if host.contains([':', '[', ']']) && !is_ipv6(host) {
            return Err(AddressError("expected an IPv6 address, such as ::1"));
        }
        // systems take 1, 0x7f.1 and 010.0.0.1 for addresses that hardly anybody means
        if ends_in_number(host) && host.parse::<Ipv4Addr>().is_err() {
            return Err(AddressError(
                "expected an IPv4 address of four numbers, such as 127.0.0.1 (0.0.0.0 stands for \
                 all that this machine has)",
            ));
        }
        Ok(Address { host: host.to_owned(), port })
    }

    /// The name or the IP address, without the brackets of IPv6.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Asks the system for the addresses of the host. There is at least one.
    ///
    /// # Errors
    /// The system knows none.
    pub fn resolve(&self) -> Result<Vec<SocketAddr>, UnknownHost> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok(vec![(address, self.port).into()]);
        }
        let unknown =
            |reason: &str| UnknownHost { host: self.host.clone(), reason: reason.to_owned() };
        let found = (self.host.as_str(), self.port).to_socket_addrs().map_err(|error| {
            let why = reason(&error);
            // the standard library says first that looking up failed
            unknown(&why.rsplit(": ").next().unwrap_or(&why).to_lowercase())
        })?;
        let found: Vec<_> = found.collect();
        if found.is_empty() { Err(unknown("it has no address")) } else { Ok(found) }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: AddressError = AddressError(
            "expected an address and a port, such as 127.0.0.1:65432, [::1]:65432, localhost or :7000",
        );
        if let Some(port) = text.strip_prefix(':').or(Some(text)).filter(|text| is_number(text)) {
            return Ok(Address { host: Ipv4Addr::LOCALHOST.to_string(), port: parse_port(port)? });
        }
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or(EXPECTED)?;
            if !is_ipv6(host) {
                return Err(AddressError(
                    "expected an IPv6 address in the brackets, such as [::1]:65432",
                ));
            }
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(EXPECTED),
            }
        } else {
            match text.split_once(':') {
                // several colons without brackets: an IPv6 address and no port
                Some((_, rest)) if rest.contains(':') => (text, None),
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(EXPECTED);
        }
        if host.contains(':') && !is_ipv6(host) {
            return Err(AddressError(
                "expected an IPv6 address, in brackets if a port follows: [::1]:65432",
            ));
        }
        let address = Address::new(host, PORT)?;
        Ok(Address { port: port.map_or(Ok(PORT), parse_port)?, ..address })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    let port = if is_number(text) { text.parse().ok() } else { None };
    port.ok_or(AddressError("a port is a number from 0 to 65535"))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether it is an IPv6 address, with or without a zone.
fn is_ipv6(host: &str) -> bool {
    let bare = host.split_once('%').map_or(host, |(bare, _)| bare);
    bare.parse::<Ipv6Addr>().is_ok()
}

/// Whether the last label is a number in one of the forms that systems read as a part of an IPv4
/// address. No top-level domain is one.
fn ends_in_number(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or(host);
    let digits = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    match digits {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => is_number(last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Systems would read each as another IPv4 address.
    const INCOMPLETE: [&str; 8] =
        ["0", "1.2", "127.1", "0x7f.1", "0x7f000001", "010.0.0.1", "1.2.3.4.5", "0."];

    #[test]
    fn addresses() {
        for (text, shown) in [
            ("127.0.0.1:65432", "127.0.0.1:65432"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("localhost", "localhost:65432"),
            ("chat.example.org:7000", "chat.example.org:7000"),
            ("[::1]:0", "[::1]:0"),
            ("[::1]", "[::1]:65432"),
            ("::1", "[::1]:65432"),
            ("7000", "127.0.0.1:7000"),
            (":7000", "127.0.0.1:7000"),
            ("0", "127.0.0.1:0"),
            (":0", "127.0.0.1:0"),
            ("65432", "127.0.0.1:65432"),
            ("1.example:1", "1.example:1"),
            ("[fe80::1%lo]:1", "[fe80::1%lo]:1"),
        ] {
            assert_eq!(text.parse::<Address>().map(|a| a.to_string()).as_deref(), Ok(shown));
        }
        for text in ["", ":", "host:", "host:x", "host:+1", "[::1", "[::1]x", "a b:1", "*:7000"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        for text in ["65536", ":65536", "host:65536", "127.0.0.1:165432", "[::1]:70000", "99999999"]
        {
            let refused = text.parse::<Address>().unwrap_err().to_string();
            assert_eq!(refused, "a port is a number from 0 to 65535", "{text}");
        }
        for text in INCOMPLETE {
            let refused = format!("{text}:1").parse::<Address>().unwrap_err().to_string();
            assert!(refused.starts_with("expected an IPv4 address"), "{text}: {refused}");
        }
        for text in ["[127.0.0.1]:1", "[host]:1", "::1:65432", "1:2:3", "[]:1"] {
            assert!(text.parse::<Address>().unwrap_err().to_string().contains("IPv6"), "{text}");
        }
    }

    #[test]
    fn a_host_alone_is_no_port() {
        for host in ["127.0.0.1", "0.0.0.0", "::", "::1", "fe80::1%lo", "localhost", "1.example"] {
            assert_eq!(Address::new(host, 1).unwrap().host(), host);
        }
        for host in INCOMPLETE {
            let refused = Address::new(host, 1).unwrap_err().to_string();
            assert!(refused.starts_with("expected an IPv4 address"), "{host}: {refused}");
        }
        for host in ["", " ", "a b", "*", "[::1]", "host:1", "127.0.0.1:1", "::1:65432"] {
            assert!(Address::new(host, 1).is_err(), "{host}");
        }
    }

    #[test]
    fn an_unknown_host_is_named() {
        let error = Address::new("no-such-host.invalid", 1).unwrap().resolve().unwrap_err();
        let sentence = error.to_string();
        assert!(sentence.starts_with("unknown host no-such-host.invalid ("), "{sentence}");
        assert_eq!(Address::new("::1", 1).unwrap().resolve().unwrap().len(), 1);
    }
}
