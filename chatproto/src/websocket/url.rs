//! [`Url`]: the address of a server that speaks WebSocket.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use crate::address::Address;

/// The path of a URL without one.
const PATH: &str = "/ws";

/// A URL such as `ws://chat.example:8080/ws`, or `wss://chat.example` with TLS.
///
/// A URL without a port has the port of HTTP (80), or of HTTPS (443). A URL without a path has the path `/ws`.
/// Characters that a request cannot have are percent-encoded.
///
/// ```
/// use chatproto::websocket::Url;
///
/// for (text, meaning) in [
///     ("ws://localhost:8080", "ws://localhost:8080/ws"),
///     ("WSS://chat.example/rooms?lang=en", "wss://chat.example:443/rooms?lang=en"),
///     ("ws://[::1]/", "ws://[::1]:80/"),
/// ] {
///     assert_eq!(text.parse::<Url>()?.to_string(), meaning);
/// }
/// assert!("http://localhost:8080/ws".parse::<Url>().is_err());
/// # Ok::<(), chatproto::websocket::UrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    is_secure: bool,
    address: Address,
    /// The path and the query, in visible ASCII.
    target: String,
}

/// Why text is not the URL of a WebSocket server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(String);

impl UrlError {
    pub(crate) fn new(text: &str) -> Self {
        UrlError(text.to_owned())
    }
}

impl Url {
    /// Whether text begins as such a URL does, so that it is not an address of another kind.
    pub fn is_url(text: &str) -> bool {
        split_scheme(text).is_some()
    }

    /// Whether the connection has TLS: `wss://`.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// The host and the port.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The path and the query, as the first line of the request has them.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Whether the query has a parameter `name`: the server takes the user name from it, and not from the
    /// first message.
    pub fn has_name(&self) -> bool {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        query.split('&').any(|pair| pair.split('=').next() == Some("name"))
    }

    /// Checks that the query has no parameter `name`, for a client that sends its name itself.
    ///
    /// # Errors
    /// It has one.
    pub fn check_without_name(&self) -> Result<(), UrlError> {
        match self.has_name() {
            true => {
                Err(UrlError::new("the client sends its name itself: remove the parameter name"))
            }
            false => Ok(()),
        }
    }

    /// The same URL with the user name as the parameter `name`.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        self.target.push(if self.target.contains('?') { '&' } else { '?' });
        self.target.push_str("name=");
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        encode(&mut self.target, name, is_plain);
        self
    }

    /// The value of the header `Host`.
    pub(super) fn host(&self) -> String {
        let default = default_port(self.is_secure);
        // a zone is for this machine only
        let host = self.address.host().split('%').next().unwrap_or_default();
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        match self.address.port() {
            port if port == default => host,
            port => format!("{host}:{port}"),
        }
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |text| Err(UrlError::new(text));
        let Some((is_secure, rest)) = split_scheme(text) else {
            return error("expected a URL such as ws://127.0.0.1:8080/ws or wss://chat.example");
        };
        if rest.contains('#') {
            return error("a WebSocket URL has no fragment: remove the # and what follows it");
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, behind) = rest.split_at(end);
        if authority.contains('@') {
            return error("a WebSocket URL has no user: remove the part up to the @");
        }
        if !authority.bytes().all(|byte| byte.is_ascii_graphic()) {
            return error(
                "expected a host of ASCII letters, digits, dots and hyphens; write other names as \
                 xn--…",
            );
        }
        let mut target = String::new();
        if !behind.starts_with('/') {
            target.push_str(PATH);
        }
        encode(&mut target, behind, |byte| byte.is_ascii_graphic());
        Ok(Url { is_secure, address: parse_authority(authority, default_port(is_secure))?, target })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.address, self.target)
    }
}

/// Whether the text is a URL with TLS, and what follows the scheme; `None` if it has another scheme.
fn split_scheme(text: &str) -> Option<(bool, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let is_secure = scheme.eq_ignore_ascii_case("wss");
    (is_secure || scheme.eq_ignore_ascii_case("ws")).then_some((is_secure, rest))
}

fn default_port(is_secure: bool) -> u16 {
    if is_secure { 443 } else { 80 }
}

fn parse_authority(authority: &str, default: u16) -> Result<Address, UrlError> {
    let is_bracketed = authority.starts_with('[');
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !is_bracketed || host.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) if host.contains(':') => host,
        None if !host.contains([':', '[', ']']) => host,
        _ => {
            let text = "expected an IPv6 address in brackets, such as ws://[::1]:8080";
            return Err(UrlError::new(text));
        }
    };
    let port = match port {
        None => default,
        Some(port) => port
            .parse()
            .ok()
            .filter(|&port| port > 0 && !host.is_empty())
            .ok_or_else(|| UrlError::new("a port is a number from 1 to 65535"))?,
    };
    Address::new(host, port).map_err(|error| UrlError::new(&error.to_string()))
}

/// Appends the text, with percent signs and digits for the bytes that are not plain.
fn encode(target: &mut String, text: &str, is_plain: impl Fn(u8) -> bool) {
    for byte in text.bytes() {
        if is_plain(byte) {
            target.push(char::from(byte));
        } else {
            // writing to a string cannot fail
            let _ = write!(target, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        text.parse::<Url>().map(|url| url.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn urls() {
        for (text, expected) in [
            ("ws://localhost", "ws://localhost:80/ws"),
            ("wss://localhost", "wss://localhost:443/ws"),
            ("Ws://localhost:8080", "ws://localhost:8080/ws"),
            ("ws://127.0.0.1:8080/chat/x", "ws://127.0.0.1:8080/chat/x"),
            ("ws://[::1]:8080", "ws://[::1]:8080/ws"),
            ("ws://[::1]", "ws://[::1]:80/ws"),
            ("ws://localhost/", "ws://localhost:80/"),
            ("ws://localhost?a=b", "ws://localhost:80/ws?a=b"),
            ("ws://localhost/a b/ü?x=\r\n", "ws://localhost:80/a%20b/%C3%BC?x=%0D%0A"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
        }
        for (text, why) in [
            ("", "expected a URL"),
            ("localhost:8080", "expected a URL"),
            ("http://localhost", "expected a URL"),
            ("ws:/localhost", "expected a URL"),
            ("ws://", "expected a host"),
            ("ws:///ws", "expected a host"),
            ("ws://:80", "a port is"),
            ("ws://localhost:", "a port is"),
            ("ws://localhost:0", "a port is"),
            ("ws://localhost:65536", "a port is"),
            ("ws://localhost:x", "a port is"),
            ("ws://::1", "expected an IPv6 address in brackets"),
            ("ws://[::1", "expected an IPv6 address in brackets"),
            ("ws://[localhost]", "expected an IPv6 address in brackets"),
            ("ws://[::1]x", "expected an IPv6 address in brackets"),
            ("ws://1.2/ws", "expected an IPv4 address"),
            ("ws://a b/ws", "expected a host of ASCII"),
            ("ws://bücher.example/ws", "expected a host of ASCII"),
            ("ws://alice@localhost", "a WebSocket URL has no user"),
            ("ws://localhost/ws#x", "a WebSocket URL has no fragment"),
        ] {
            let refused = shown(text).unwrap_err();
            assert!(refused.starts_with(why), "{text}: {refused}");
        }
    }

    #[test]
    fn a_name_is_a_parameter() {
        for (url, name, target) in [
            ("ws://h", "alice", "/ws?name=alice"),
            ("ws://h/x?a=b", "alice", "/x?a=b&name=alice"),
            ("ws://h", "böb & co", "/ws?name=b%C3%B6b%20%26%20co"),
        ] {
            let url: Url = url.parse().unwrap();
            assert!(!url.has_name());
            let url = url.with_name(name);
            assert_eq!(url.target(), target);
            assert!(url.has_name());
        }
        assert!(!"ws://h?names=x".parse::<Url>().unwrap().has_name());
        assert!("ws://h?a&name".parse::<Url>().unwrap().has_name());
    }

    #[test]
    fn the_host_of_a_request_has_a_port_only_if_it_is_another() {
        for (url, host) in [
            ("ws://h", "h"),
            ("ws://h:80", "h"),
            ("ws://h:443", "h:443"),
            ("wss://h:443", "h"),
            ("wss://h:80", "h:80"),
            ("ws://[::1]:8080", "[::1]:8080"),
            ("ws://[fe80::1%lo]", "[fe80::1]"),
        ] {
            assert_eq!(url.parse::<Url>().unwrap().host(), host);
        }
    }
}
