//! [`Opening`]: the client's side of the opening handshake (RFC 6455, section 4.1), which is one request and one
//! response of HTTP/1.1. It holds no more of the response than [`HEAD_MOST`] bytes.

use std::hash::{BuildHasher, RandomState};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use httparse::Status;
use sha1_smol::Sha1;

use super::url::Url;

/// Most bytes of a response, for its headers and for a body that states a reason.
const HEAD_MOST: usize = 8 * 1024;
/// Most headers of a response.
const HEADERS_MOST: usize = 64;
/// Most bytes of the server's own text that an error has.
const TEXT_MOST: usize = 200;

/// A server appends this to the key before it hashes it (RFC 6455, section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a server did not open the WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpeningError {
    /// The answer is not HTTP.
    #[error(
        "this port does not speak WebSocket{}: use the port of the server's HTTP listener, or connect \
         without ws://",
        Answered(.0)
    )]
    NotHttp(String),
    /// The server closed the connection inside its response, or before it.
    #[error(
        "the server closed the connection during the WebSocket handshake: check the port, and that a wss:// \
         URL is used where the server speaks TLS"
    )]
    Closed,
    /// The response is not valid HTTP.
    #[error("the server's answer to the WebSocket handshake is not valid HTTP ({0})")]
    Malformed(String),
    /// The response is too long.
    #[error("the server's answer to the WebSocket handshake has more than {HEAD_MOST} bytes")]
    TooLong,
    /// The server refused the handshake with an HTTP status.
    #[error("the server refused the WebSocket handshake with {}", Refused { .status, .reason, .text, .location })]
    Refused {
        /// The status, such as 404.
        status: u16,
        /// The words that follow it, such as `Not Found`.
        reason: String,
        /// The first line of the body.
        text: String,
        /// The header `Location`, of a redirection.
        location: Option<String>,
    },
    /// The response has status 101, and something else is wrong with it.
    #[error("the server does not follow the WebSocket handshake: {0}")]
    Mismatch(&'static str),
}

/// The answer of a server that does not speak HTTP, if it sent any.
struct Answered<'a>(&'a str);

impl std::fmt::Display for Answered<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " (it answered: {})", self.0) }
    }
}

/// The sentence for an HTTP error, with what to do about it.
struct Refused<'a> {
    status: &'a u16,
    reason: &'a str,
    text: &'a str,
    location: &'a Option<String>,
}

impl std::fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Refused { status, reason, text, location } = self;
        write!(f, "{status}")?;
        if !reason.is_empty() {
            write!(f, " {reason}")?;
        }
        if !text.is_empty() {
            write!(f, ": {text}")?;
        }
        match (status, location) {
            (300..=399, Some(location)) => write!(f, " (use the URL {location})"),
            (200..=299 | 404 | 405, _) => f.write_str(" (check the path of the URL)"),
            (401 | 403, _) if text.is_empty() => {
                f.write_str(" (ask the server's operator who may connect)")
            }
            (421, _) if text.is_empty() => f.write_str(" (check the host name of the URL)"),
            (429 | 502..=504, _) => f.write_str(" (try again later)"),
            _ => Ok(()),
        }
    }
}

/// The handshake of one connection, without a socket.
///
/// ```
/// use chatproto::websocket::{Opening, accept_key};
///
/// let mut opening = Opening::new(&"ws://localhost:8080/ws".parse().unwrap());
/// let request = std::str::from_utf8(opening.request()).unwrap();
/// assert!(request.starts_with("GET /ws HTTP/1.1\r\nHost: localhost:8080\r\n"));
///
/// let key = request.split("Sec-WebSocket-Key: ").nth(1).unwrap().lines().next().unwrap();
/// let response = format!(
///     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///      Sec-WebSocket-Accept: {}\r\n\r\nbytes of frames",
///     accept_key(key)
/// );
/// let mut input = response.as_bytes();
/// assert_eq!(opening.handle_input(&mut input), Ok(true));
/// assert_eq!(input, b"bytes of frames");
/// ```
#[derive(Debug)]
pub struct Opening {
    request: Vec<u8>,
    /// The header `Sec-WebSocket-Accept` that the response must have.
    accept: String,
    /// The part of the response that has come.
    response: Vec<u8>,
}

/// The value of the header `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`.
pub fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID.as_bytes());
    STANDARD.encode(hash.digest().bytes())
}

impl Opening {
    /// The handshake with the server that the URL names. Its key is random.
    pub fn new(url: &Url) -> Self {
        // seeded by the system; when fuzzing, an input has the same meaning in each run
        let random = match cfg!(fuzzing) {
            true => [0; 2],
            false => [RandomState::new().hash_one(1), RandomState::new().hash_one(2)],
        };
        let nonce = u128::from(random[0]) << 64 | u128::from(random[1]);
        Opening::with_nonce(url, nonce.to_be_bytes())
    }

    fn with_nonce(url: &Url, nonce: [u8; 16]) -> Self {
        let key = STANDARD.encode(nonce);
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: chatproto/{}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n",
            url.target(),
            url.host(),
            crate::VERSION,
        );
        Opening { request: request.into_bytes(), accept: accept_key(&key), response: Vec::new() }
    }

    /// The bytes to send.
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Bytes came. True when the handshake is done: the rest of `input` is frames. False when more bytes
    /// are needed.
    ///
    /// # Errors
    /// The server refused the handshake, or does not speak WebSocket.
    pub fn handle_input(&mut self, input: &mut &[u8]) -> Result<bool, OpeningError> {
        let room = HEAD_MOST.saturating_sub(self.response.len());
        let (taken, behind) = input.split_at(input.len().min(room));
        self.response.extend_from_slice(taken);
        match self.judge(false)? {
            Some(length) => {
                // none of these bytes ended the head before
                let rest = self.response.len() - length;
                *input = &input[taken.len() - rest..];
                Ok(true)
            }
            None if self.response.len() == HEAD_MOST => Err(OpeningError::TooLong),
            None => {
                *input = behind;
                Ok(false)
            }
        }
    }

    /// The server closed the connection before the handshake was done: why it did not succeed.
    pub fn handle_end(&mut self) -> OpeningError {
        self.judge(true).err().unwrap_or(OpeningError::Closed)
    }

    /// Bytes of heap that it holds.
    #[cfg(fuzzing)]
    pub(crate) fn held(&self) -> usize {
        self.request.capacity() + self.accept.capacity() + self.response.capacity()
    }

    /// The length of a response that opens the WebSocket, or `None` if the response is not complete.
    fn judge(&self, is_ended: bool) -> Result<Option<usize>, OpeningError> {
        const BEGINNING: &[u8] = b"HTTP/1.";
        let known = self.response.len().min(BEGINNING.len());
        if self.response[..known] != BEGINNING[..known] {
            // the rest of the line is for the reader of the error
            let is_whole = is_ended || self.response.len() >= TEXT_MOST;
            return match self.response.contains(&b'\n') || is_whole {
                true => Err(OpeningError::NotHttp(first_line(&self.response))),
                false => Ok(None),
            };
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MOST];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(&self.response) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(OpeningError::TooLong),
            Err(error) => return Err(OpeningError::Malformed(error.to_string())),
        };
        if response.code == Some(101) {
            return self.check(response.headers).map(|()| Some(length));
        }
        match reason_in(&self.response[length..], response.headers) {
            (_, false) if !is_ended && self.response.len() < HEAD_MOST => Ok(None),
            (text, _) => Err(OpeningError::Refused {
                status: response.code.unwrap_or_default(),
                reason: first_line(response.reason.unwrap_or_default().as_bytes()),
                text,
                location: values(response.headers, "location").next().map(first_line),
            }),
        }
    }

    /// Checks the headers of a response with status 101.
    fn check(&self, headers: &[httparse::Header<'_>]) -> Result<(), OpeningError> {
        let has = |name, token: &str| {
            values(headers, name).any(|value| {
                value
                    .split(|&byte| byte == b',')
                    .any(|one| one.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
            })
        };
        let is_accepted = values(headers, "sec-websocket-accept")
            .map(|value| value.trim_ascii() == self.accept.as_bytes())
            .reduce(|all, one| all && one);
        Err(OpeningError::Mismatch(if !has("upgrade", "websocket") {
            "its answer has no header `Upgrade: websocket`"
        } else if !has("connection", "upgrade") {
            "its answer has no header `Connection: Upgrade`"
        } else if is_accepted != Some(true) {
            "its header Sec-WebSocket-Accept does not answer this handshake"
        } else if values(headers, "sec-websocket-extensions").next().is_some() {
            "it uses an extension that was not asked for"
        } else if values(headers, "sec-websocket-protocol").next().is_some() {
            "it uses a subprotocol that was not asked for"
        } else {
            return Ok(());
        }))
    }
}

/// The values of the headers with this name.
fn values<'a>(
    headers: &'a [httparse::Header<'_>],
    name: &'a str,
) -> impl Iterator<Item = &'a [u8]> {
    let has_name = move |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(name);
    headers.iter().filter(has_name).map(|header| header.value)
}

/// The first line of a body, and whether it is complete.
fn reason_in(body: &[u8], headers: &[httparse::Header<'_>]) -> (String, bool) {
    let is_chunked = values(headers, "transfer-encoding")
        .any(|value| value.to_ascii_lowercase().ends_with(b"chunked"));
    let length = values(headers, "content-length").next().map(<[u8]>::trim_ascii);
    let length = length.and_then(|value| std::str::from_utf8(value).ok()?.parse::<usize>().ok());
    let (text, is_whole) = match length.and_then(|length| body.get(..length)) {
        // a line with the length of the chunk stands before it
        _ if is_chunked => {
            (body.splitn(2, |&byte| byte == b'\n').nth(1).unwrap_or_default(), false)
        }
        Some(whole) => (whole, true),
        None => (body, false),
    };
    (first_line(text), is_whole || text.len() >= TEXT_MOST || text.contains(&b'\n'))
}

/// The first line as an error shows it, without control characters. It depends on the first [`TEXT_MOST`] bytes
/// only, so that it does not depend on how much more was read.
pub(super) fn first_line(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(TEXT_MOST)];
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let is_control = |character: char| character.is_control();
    let text = String::from_utf8_lossy(line);
    text.trim().chars().map(|one| if is_control(one) { '\u{FFFD}' } else { one }).collect()
}

#[cfg(test)]
#[path = "opening_tests.rs"]
mod tests;
