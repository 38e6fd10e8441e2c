//! The names that a request may call this server by. A page of another site can have its name resolve to
//! this server's address (DNS rebinding). Its requests then have that name in `Host`, and are refused.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use axum::http::header::HOST;
use axum::http::{Request, StatusCode, Version};
use shared::text::visible;

use crate::reply::Refusal;

/// The name of a host, or `*.` and a name for all names with one label more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(String);

/// The host and the port that a request names: in lower case, without a dot at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    /// IPv6 addresses are in brackets.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

impl FromStr for HostName {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str =
            "expected the name of a host without a port, such as chat.example.org or *.example.org";
        let base = name.strip_prefix("*.").unwrap_or(name);
        let authority = Authority::parse(base).ok_or(EXPECTED)?;
        if authority.port.is_some() || authority.is_address() {
            return Err(EXPECTED);
        }
        let wildcard = if base.len() < name.len() { "*." } else { "" };
        Ok(HostName(format!("{wildcard}{}", authority.host)))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HostName {
    fn matches(&self, host: &str) -> bool {
        match self.0.strip_prefix('*') {
            // the first label, and the dot behind it in the pattern
            Some(rest) => {
                let label = host.strip_suffix(rest);
                label.is_some_and(|label| !label.is_empty() && !label.contains('.'))
            }
            None => self.0 == host,
        }
    }
}

impl Authority {
    /// Reads `host` or `host:port`. None for anything else, such as user information.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']')?;
                let address: Ipv6Addr = address.parse().ok()?;
                let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
                (format!("[{address}]"), port)
            }
            None => {
                let (host, port) = match text.split_once(':') {
                    Some((host, port)) => (host, Some(port)),
                    None => (text, None),
                };
                let host = host.strip_suffix('.').unwrap_or(host);
                let is_label = |label: &str| {
                    let is_of = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
                    (1..=63).contains(&label.len()) && label.bytes().all(is_of)
                };
                if host.len() > 253 || !host.split('.').all(is_label) {
                    return None;
                }
                (host.to_ascii_lowercase(), port)
            }
        };
        let port = match port {
            // `Host: name:` has the scheme's port
            None | Some("") => None,
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(port.parse().ok()?)
            }
            Some(_) => return None,
        };
        Some(Authority { host, port })
    }

    fn is_address(&self) -> bool {
        self.host.starts_with('[') || self.host.parse::<Ipv4Addr>().is_ok()
    }

    /// Whether a request may use this host: an address, `localhost` or one of these names.
    pub(crate) fn is_known<'a>(&self, mut names: impl Iterator<Item = &'a HostName>) -> bool {
        self.is_address() || self.host == "localhost" || names.any(|name| name.matches(&self.host))
    }
}

/// The authority of a request. None for a request of HTTP/1.0 without any.
///
/// # Errors
/// The request names none, several, or something else.
pub(crate) fn authority<B>(request: &Request<B>) -> Result<Option<Authority>, Refusal> {
    let refuse = |sentence: &'static str| Refusal::bad_request(sentence);
    let read = |text: &str, wrong: &'static str| {
        Authority::parse(text).map(Some).ok_or_else(|| refuse(wrong))
    };
    let mut fields = request.headers().get_all(HOST).iter();
    let field = match fields.next() {
        Some(field) => {
            let wrong = "The Host header is not a host with an optional port.";
            read(field.to_str().unwrap_or_default(), wrong)?
        }
        None => None,
    };
    if fields.next().is_some() {
        return Err(refuse("The request has several Host headers: send one."));
    }
    // HTTP/2 has it there, and a request for a whole URL in HTTP/1.1
    let target = match request.uri().authority() {
        Some(target) => {
            read(target.as_str(), "The authority is not a host with an optional port.")?
        }
        None => None,
    };
    match (target, field) {
        (Some(target), Some(field)) if target != field => {
            Err(refuse("The Host header and the request's authority differ."))
        }
        (None, None) if request.version() != Version::HTTP_10 => {
            Err(refuse("The request has no Host header."))
        }
        (target, field) => Ok(target.or(field)),
    }
}

/// The refusal of a request for a host that is not this server.
pub(crate) fn misdirected(authority: &Authority) -> Refusal {
    let sentence = format!(
        "This server does not have the name {}: use its address, or start it with --http-host NAME \
         for each of its names.",
        visible(&authority.host)
    );
    Refusal::new(StatusCode::MISDIRECTED_REQUEST, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Option<(String, Option<u16>)> {
        Authority::parse(text).map(|authority| (authority.host, authority.port))
    }

    #[test]
    fn authorities_are_hosts_with_optional_ports() {
        for (text, name, port) in [
            ("chat.example", "chat.example", None),
            ("Chat.Example.:80", "chat.example", Some(80)),
            ("localhost:", "localhost", None),
            ("127.0.0.1:8080", "127.0.0.1", Some(8080)),
            ("[::1]", "[::1]", None),
            ("[0:0::1]:8080", "[::1]", Some(8080)),
        ] {
            assert_eq!(host(text), Some((name.to_owned(), port)), "{text}");
        }
        for text in [
            "",
            ":80",
            ".",
            "a..b",
            "a:b",
            "a:80:80",
            "a:+80",
            "a:65536",
            "user@a",
            "a/b",
            "[::1",
            "[::1]x",
            "[a]",
            "::1",
            "a b",
            "ä.example",
            "a,b",
        ] {
            assert_eq!(host(text), None, "{text}");
        }
    }

    #[test]
    fn only_names_of_this_server_are_known() {
        let names: Vec<HostName> =
            ["Chat.example", "*.example.org"].map(|name| name.parse().unwrap()).into();
        for (text, is_known) in [
            ("chat.example:80", true),
            ("CHAT.example.", true),
            ("a.example.org", true),
            ("localhost", true),
            ("192.0.2.1", true),
            ("[2001:db8::1]:80", true),
            ("example.org", false),
            ("a.b.example.org", false),
            ("evil-example.org", false),
            ("xchat.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("127.1", false),
        ] {
            let authority = Authority::parse(text).unwrap();
            assert_eq!(authority.is_known(names.iter()), is_known, "{text}");
        }
    }

    #[test]
    fn host_names_have_no_port_and_are_no_addresses() {
        for text in ["a:80", "127.0.0.1", "[::1]", "http://a", "*", "*.", "*.*.a", "a/"] {
            assert!(text.parse::<HostName>().is_err(), "{text}");
        }
    }
}
