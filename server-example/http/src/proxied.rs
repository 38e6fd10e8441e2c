//! Users behind load balancers. Their address comes from a PROXY header in front of the connection, or from
//! `Forwarded` or `X-Forwarded-For` in a request. Both count from trusted networks only.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::FORWARDED;
use chatproto::network::Network;
use chatproto::proxy::{self, HeaderError};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::reply::Refusal;

/// The first bytes of both versions of the PROXY header.
const MAGIC: [&[u8]; 2] = [b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];
/// While the first bytes could be of a PROXY header or of a request, they are looked at again after this time.
const UNDECIDED: Duration = Duration::from_millis(5);
const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The networks of load balancers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies(Arc<[Network]>);

impl From<Vec<Network>> for Proxies {
    fn from(networks: Vec<Network>) -> Self {
        Proxies(networks.into())
    }
}

impl Proxies {
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// The address of the user of a connection. From a balancer, this takes the PROXY header off the socket, if
    /// there is one.
    pub(crate) async fn user_of(&self, socket: &TcpStream, address: IpAddr) -> io::Result<IpAddr> {
        let address = address.to_canonical();
        if !self.contain(address) || !begins_with_header(socket).await? {
            return Ok(address);
        }
        let source = take_header(socket).await?;
        Ok(source.map_or(address, |source| source.ip().to_canonical()))
    }

    /// The address of the user of a request, as balancers in front of the connection's peer state it.
    ///
    /// # Errors
    /// Two headers state different addresses. A balancer adds one of the headers, and a user can write the other.
    /// Or a quote has no end.
    pub(crate) fn forwarded_for(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
    ) -> Result<IpAddr, Refusal> {
        if !self.contain(peer) {
            return Ok(peer);
        }
        if lines(headers, FORWARDED.as_str()).any(has_open_quote) {
            // an element behind the quote, such as the balancer's own, would not count
            return Err(Refusal::bad_request("A quote in the header Forwarded has no end."));
        }
        let forwarded =
            lines(headers, FORWARDED.as_str()).flat_map(|line| unquoted_split(line, ','));
        let standard = self.first_user(forwarded.map(for_of).collect(), peer);
        let older = lines(headers, X_FORWARDED_FOR).flat_map(|line| line.split(','));
        let older = self.first_user(older.map(|stated| Some(stated.trim())).collect(), peer);
        match (headers.contains_key(FORWARDED), headers.contains_key(X_FORWARDED_FOR)) {
            (true, true) if standard != older => Err(Refusal::bad_request(
                "Forwarded and X-Forwarded-For state different addresses: the load balancer must remove the \
                 one that it does not set.",
            )),
            (true, _) => Ok(standard),
            (false, _) => Ok(older),
        }
    }

    /// The last one of these addresses that is no balancer's. Each balancer has appended the peer that it saw.
    /// Nothing counts in front of an element without an address: a user can have written it.
    fn first_user(&self, stated: Vec<Option<&str>>, peer: IpAddr) -> IpAddr {
        let mut address = peer;
        for stated in stated.into_iter().rev() {
            if !self.contain(address) {
                break;
            }
            let Some(before) = stated.and_then(parse) else { break };
            address = before;
        }
        address
    }
}

/// Whether the first bytes are those of a PROXY header. They stay in the socket.
async fn begins_with_header(socket: &TcpStream) -> io::Result<bool> {
    let mut first = [0; 12];
    loop {
        let count = socket.peek(&mut first).await?;
        let first = &first[..count];
        if count == 0 {
            return Ok(false);
        }
        if MAGIC.iter().any(|magic| first.starts_with(magic)) {
            return Ok(true);
        }
        if !MAGIC.iter().any(|magic| magic.starts_with(first)) {
            return Ok(false);
        }
        sleep(UNDECIDED).await;
    }
}

/// Takes the header, and no byte behind it, off the socket.
async fn take_header(socket: &TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut head = Vec::new();
    loop {
        let before = head.len();
        head.resize(proxy::LONGEST + 1, 0);
        let count = socket.peek(&mut head[before..]).await?;
        head.truncate(before + count);
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let invalid = |error: HeaderError| io::Error::new(ErrorKind::InvalidData, error);
        match proxy::parse(&head).map_err(invalid)? {
            // all of it belongs to the header
            None => discard(socket, count)?,
            Some(header) => {
                discard(socket, header.length - before)?;
                return Ok(header.source);
            }
        }
    }
}

/// Reads bytes that the socket is known to have.
fn discard(socket: &TcpStream, mut count: usize) -> io::Result<()> {
    let mut bytes = [0; 512];
    while count > 0 {
        let most = count.min(bytes.len());
        match socket.try_read(&mut bytes[..most])? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => count -= read,
        }
    }
    Ok(())
}

/// The headers of this name, in order. One that is not ASCII counts as empty.
fn lines<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).into_iter().map(|line| line.to_str().unwrap_or_default())
}

/// The parts of a text between separators that stand outside quotes.
fn unquoted_split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quotes = Quotes::default();
    text.split(move |character| !quotes.contain(character) && character == separator)
}

fn has_open_quote(text: &str) -> bool {
    let mut quotes = Quotes::default();
    for character in text.chars() {
        quotes.contain(character);
    }
    quotes.is_open
}

/// The quoted strings of RFC 7230: a backslash escapes the character behind it.
#[derive(Default)]
struct Quotes {
    is_open: bool,
    is_escaped: bool,
}

impl Quotes {
    /// Whether the next character stands in quotes.
    fn contain(&mut self, character: char) -> bool {
        if std::mem::take(&mut self.is_escaped) {
            return true;
        }
        let was_open = self.is_open;
        match character {
            '\\' => self.is_escaped = was_open,
            '"' => self.is_open = !was_open,
            _ => {}
        }
        was_open
    }
}

/// The parameter `for` of an element of `Forwarded` (RFC 7239).
fn for_of(element: &str) -> Option<&str> {
    let pairs = unquoted_split(element, ';').filter_map(|pair| pair.split_once('='));
    let mut pairs = pairs.map(|(name, value)| (name.trim(), value.trim()));
    pairs.find(|(name, _)| name.eq_ignore_ascii_case("for")).map(|(_, value)| value)
}

/// An address with or without quotes, brackets and a port.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()))
        .or_else(|_| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>());
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    fn proxies() -> Proxies {
        vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()].into()
    }

    fn user(lines: &[(&str, &str)], peer: &str) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        match proxies().forwarded_for(&headers, peer.parse().unwrap()) {
            Ok(address) => address.to_string(),
            Err(_) => "refused".to_owned(),
        }
    }

    #[test]
    fn only_balancers_state_addresses() {
        let line = [("x-forwarded-for", "192.0.2.7")];
        assert_eq!(user(&line, "198.51.100.1"), "198.51.100.1");
        assert_eq!(user(&line, "10.0.0.1"), "192.0.2.7");
        assert_eq!(user(&[], "10.0.0.1"), "10.0.0.1");
    }

    #[test]
    fn an_address_that_a_user_made_up_does_not_count() {
        // the balancer appends the address that it saw
        let line = [("x-forwarded-for", "203.0.113.9, 192.0.2.7")];
        assert_eq!(user(&line, "10.0.0.1"), "192.0.2.7");
        let lines =
            [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "192.0.2.7, 10.0.0.2")];
        assert_eq!(user(&lines, "10.0.0.1"), "192.0.2.7");
        for garbage in ["unknown", "_hidden", "1.2.3", ""] {
            let value = format!("192.0.2.7, {garbage}");
            assert_eq!(user(&[("x-forwarded-for", &value)], "10.0.0.1"), "10.0.0.1", "{garbage}");
        }
    }

    #[test]
    fn forwarded_has_parameters_quotes_and_ports() {
        for (value, expected) in [
            ("for=192.0.2.7", "192.0.2.7"),
            ("proto=https; For=\"192.0.2.7:4711\";by=10.0.0.1", "192.0.2.7"),
            ("for=203.0.113.9, for=\"[2001:db9::7]:4711\"", "2001:db9::7"),
            ("for=192.0.2.7, for=\"[2001:db8::1]\"", "192.0.2.7"),
            // the balancer states no address, and a user's counts for nothing
            ("for=203.0.113.9, proto=https", "10.0.0.1"),
            ("for=203.0.113.9,", "10.0.0.1"),
            ("for=192.0.2.7;host=\"x,for=203.0.113.9\"", "192.0.2.7"),
            ("for=192.0.2.7;host=\"x;for=203.0.113.9\"", "192.0.2.7"),
            ("for=192.0.2.7;host=\"\\\",for=203.0.113.9\"", "192.0.2.7"),
            ("for=\"203.0.113.9, for=192.0.2.7", "refused"),
            ("for=203.0.113.9\", for=192.0.2.7", "refused"),
        ] {
            assert_eq!(user(&[("forwarded", value)], "10.0.0.1"), expected, "{value}");
        }
    }

    #[test]
    fn two_headers_must_agree() {
        // a user can write the header that the balancer does not set
        for (standard, older, expected) in [
            ("for=192.0.2.7", "192.0.2.7", "192.0.2.7"),
            ("for=192.0.2.7", "192.0.2.7, 10.0.0.2", "192.0.2.7"),
            ("for=192.0.2.7", "192.0.2.8", "refused"),
            ("for=10.0.0.2", "192.0.2.8", "refused"),
            ("by=192.0.2.7", "192.0.2.8", "refused"),
        ] {
            let both = [("forwarded", standard), ("x-forwarded-for", older)];
            assert_eq!(user(&both, "10.0.0.1"), expected, "{standard} {older}");
            assert_eq!(user(&both, "198.51.100.1"), "198.51.100.1", "{standard} {older}");
        }
    }
}
