//! Registration, the server's side (A2, B2, B13): where the bare name at the start of a connection
//! ends, what kind of reader sent it, and who is no chat client at all.
//!
//! | while reading the name | then |
//! |---|---|
//! | LF (CR before it is dropped) | the name is complete, a stream peer |
//! | `{` | the name is complete, a one-read peer; the `{` begins its first message |
//! | silence, after a byte that is not white space, not inside a character | complete, one-read; LF as the very next byte makes it a stream peer |
//! | end of file | complete, one-read |
//! | the first bytes of HTTP, TLS, SSH or a PROXY header | a stranger |
//! | more bytes than the limit | refused |
//!
//! What the name may be is the business of [`name`](crate::name).

use std::borrow::Cow;

use crate::name::NameError;
use crate::proxy;

/// How a peer reads what it is sent (B2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerKind {
    /// It finds the frames of a stream: objects may share a segment.
    Stream,
    /// It takes what one read gives for one object (A4): each is a write of its own, spaced and
    /// of at most [`Limits::one_read`](crate::Limits::one_read) bytes.
    OneRead,
}

impl std::fmt::Display for PeerKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            PeerKind::Stream => "stream",
            PeerKind::OneRead => "one-read",
        })
    }
}

/// Something that speaks another protocol (B13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stranger {
    /// An HTTP request line.
    Http,
    /// The first record of a TLS handshake.
    Tls,
    /// An SSH banner.
    Ssh,
    /// A PROXY header, from a source whose headers the server does not trust.
    Proxy,
}

impl Stranger {
    /// What it is told, in its own protocol as far as that is possible.
    pub fn answer(self) -> &'static [u8] {
        match self {
            Stranger::Http => concat!(
                "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n",
                "Content-Length: 109\r\nConnection: close\r\n\r\n",
                "This port speaks chatproto, not HTTP: send a user name and a line feed, ",
                "then JSON objects. See PROTOCOL.md.\n\n",
            )
            .as_bytes(),
            // a fatal alert: handshake_failure (RFC 8446, section 6)
            Stranger::Tls => &[0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x28],
            Stranger::Ssh => b"This port speaks chatproto, not SSH.\r\n",
            Stranger::Proxy => {
                b"A PROXY header is not accepted from this source, which is not in --proxy-from.\r\n"
            }
        }
    }

    /// The name of its protocol.
    pub fn protocol(self) -> &'static str {
        match self {
            Stranger::Http => "HTTP",
            Stranger::Tls => "TLS",
            Stranger::Ssh => "SSH",
            Stranger::Proxy => "PROXY",
        }
    }
}

/// What a step of the handshake led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registration<'a> {
    /// More is needed: bytes, silence or the end of file.
    Waiting,
    /// The bytes of the name are complete. What they are worth is for
    /// [`UserName::from_bytes`](crate::UserName::from_bytes) to say.
    Name(Cow<'a, [u8]>, PeerKind),
    /// After a name that was completed by silence: the peer is a stream peer after all.
    LateLineFeed,
    /// After a name: the rest of the input belongs to the stream of objects.
    Done,
    /// No chat client.
    Stranger(Stranger),
    /// The name cannot be one, whatever else comes.
    Refused(NameError),
    /// The connection ended before there was a name.
    Gone,
}

/// The state of one registration. It owns a buffer only while a name is cut off.
#[derive(Clone, Debug, Default)]
pub struct Handshake {
    state: State,
    /// The name is a message of its own: nothing in it ends it.
    is_message: bool,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Fresh,
    /// What came so far.
    Name(Box<Partial>),
    /// The name was completed by silence: is the next byte a line feed, or CR and line feed?
    LateLineFeed {
        /// The CR came.
        after_cr: bool,
    },
    Done,
}

/// A name that is not complete: without the white space in front of it, and how many bytes came in
/// all.
#[derive(Clone, Debug)]
struct Partial {
    bytes: Vec<u8>,
    received: usize,
}

impl Handshake {
    /// A registration of which nothing has come yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A registration whose name is a message: it ends where the message does.
    #[cfg(feature = "server")]
    pub(crate) fn of_message() -> Self {
        Handshake { is_message: true, ..Handshake::new() }
    }

    /// The message ends: so does the name.
    #[cfg(feature = "server")]
    pub(crate) fn handle_message_end(&mut self) -> Registration<'static> {
        let name = match std::mem::replace(&mut self.state, State::Done) {
            State::Name(partial) => partial.bytes,
            State::Fresh => Vec::new(),
            State::LateLineFeed { .. } | State::Done => return Registration::Done,
        };
        Registration::Name(Cow::Owned(name), PeerKind::Stream)
    }

    /// Takes what belongs to the registration from the front of `input`, of which at most `limit`
    /// bytes may come before the name is complete. To be called until it says
    /// [`Registration::Done`]; then the rest is for the decoder.
    pub fn handle_input<'a>(&mut self, input: &mut &'a [u8], limit: usize) -> Registration<'a> {
        match std::mem::take(&mut self.state) {
            State::Fresh => self.read_name(Vec::new(), 0, input, limit),
            State::Name(partial) => self.read_name(partial.bytes, partial.received, input, limit),
            State::LateLineFeed { after_cr } => self.late_line_feed(input, after_cr),
            State::Done => {
                self.state = State::Done;
                Registration::Done
            }
        }
    }

    fn read_name<'a>(
        &mut self,
        mut before: Vec<u8>,
        received: usize,
        input: &mut &'a [u8],
        limit: usize,
    ) -> Registration<'a> {
        let mut fresh = *input;
        if before.is_empty() {
            let blank = fresh.iter().take_while(|&&b| matches!(b, b' ' | b'\t' | b'\r')).count();
            fresh = &fresh[blank..];
        }
        let end = if self.is_message { None } else { memchr::memchr2(b'\n', b'{', fresh) };
        let used = input.len() - fresh.len() + end.unwrap_or(fresh.len());
        let received = received + used;
        let part = &fresh[..end.unwrap_or(fresh.len())];
        let name: Cow<'a, [u8]> = if before.is_empty() {
            Cow::Borrowed(part)
        } else {
            before.extend_from_slice(part);
            Cow::Owned(before)
        };
        // bytes beyond the limit are not looked at, whether they came at once or not
        let excess = received.saturating_sub(limit);
        if !self.is_message
            && let Some(stranger) = stranger(&name[..name.len().saturating_sub(excess)])
        {
            self.state = State::Done;
            return Registration::Stranger(stranger);
        }
        if excess > 0 {
            self.state = State::Done;
            return Registration::Refused(NameError::TooLong { limit });
        }
        if end.is_some_and(|at| is_http(&name, fresh[at])) {
            self.state = State::Done;
            return Registration::Stranger(Stranger::Http);
        }
        *input = &input[used..];
        let Some(end) = end else {
            let bytes = name.into_owned();
            self.state = State::Name(Box::new(Partial { bytes, received }));
            return Registration::Waiting;
        };
        self.state = State::Done;
        if fresh[end] == b'{' {
            return Registration::Name(name, PeerKind::OneRead);
        }
        *input = &input[1..];
        Registration::Name(name, PeerKind::Stream)
    }

    fn late_line_feed<'a>(&mut self, input: &mut &'a [u8], after_cr: bool) -> Registration<'a> {
        self.state = State::Done;
        match (*input, after_cr) {
            ([b'\n', rest @ ..], _) | ([b'\r', b'\n', rest @ ..], false) => {
                *input = rest;
                Registration::LateLineFeed
            }
            ([], _) => {
                self.state = State::LateLineFeed { after_cr };
                Registration::Waiting
            }
            // white space to the stream of objects: safe to drop while its line feed is awaited
            ([b'\r'], false) => {
                *input = &[];
                self.state = State::LateLineFeed { after_cr: true };
                Registration::Waiting
            }
            _ => Registration::Done,
        }
    }

    /// Nothing has come for [`Limits::handshake_grace`](crate::Limits::handshake_grace).
    pub fn handle_silence(&mut self) -> Registration<'static> {
        let State::Name(partial) = &mut self.state else { return Registration::Waiting };
        if partial.bytes.trim_ascii().is_empty() || is_cut_off(&partial.bytes) {
            return Registration::Waiting;
        }
        let bytes = std::mem::take(&mut partial.bytes);
        if is_http_method(&bytes) {
            self.state = State::Done;
            return Registration::Stranger(Stranger::Http);
        }
        self.state = State::LateLineFeed { after_cr: false };
        Registration::Name(Cow::Owned(bytes), PeerKind::OneRead)
    }

    /// The peer will send nothing more.
    pub fn handle_end(&mut self) -> Registration<'static> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Name(partial) if is_http_method(&partial.bytes) => {
                Registration::Stranger(Stranger::Http)
            }
            State::Name(partial) if !partial.bytes.trim_ascii().is_empty() => {
                Registration::Name(Cow::Owned(partial.bytes), PeerKind::OneRead)
            }
            State::Fresh | State::Name(_) => Registration::Gone,
            State::LateLineFeed { .. } | State::Done => Registration::Done,
        }
    }

    /// Bytes of heap that it holds of a name that is not complete.
    pub(crate) fn held(&self) -> usize {
        match &self.state {
            State::Name(partial) => size_of::<Partial>() + partial.bytes.capacity(),
            _ => 0,
        }
    }

    /// Whether nothing has come yet.
    pub(crate) fn is_fresh(&self) -> bool {
        matches!(self.state, State::Fresh)
    }

    /// Whether bytes of a name have come, so that silence would mean something.
    pub fn has_begun(&self) -> bool {
        matches!(&self.state, State::Name(partial) if !partial.bytes.is_empty())
    }
}

fn is_cut_off(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// Recognises other protocols by their first bytes.
fn stranger(bytes: &[u8]) -> Option<Stranger> {
    if bytes.starts_with(&[0x16, 0x03]) {
        return Some(Stranger::Tls);
    }
    if proxy::begins_line(bytes) {
        return Some(Stranger::Proxy);
    }
    let is_ssh = bytes.starts_with(b"SSH-1.") || bytes.starts_with(b"SSH-2.");
    is_ssh.then_some(Stranger::Ssh)
}

/// Recognises HTTP by the bytes before the name's end, and the byte that ended it.
fn is_http(bytes: &[u8], end: u8) -> bool {
    if end != b'\n' {
        return is_http_method(bytes);
    }
    let mut words = bytes.split(|&b| b == b' ');
    let method = words.next().unwrap_or_default();
    !method.is_empty()
        && method.iter().all(u8::is_ascii_uppercase)
        && words.next().is_some_and(|target| !target.is_empty())
        && words.next().is_some_and(|version| version.starts_with(b"HTTP/"))
}

/// Whether an unfinished line can only be the beginning of an HTTP request.
fn is_http_method(bytes: &[u8]) -> bool {
    const METHODS: [&[u8]; 9] =
        [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT"];
    METHODS
        .iter()
        .any(|method| bytes.strip_prefix(*method).is_some_and(|rest| rest.starts_with(b" /")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_http_states_its_length() {
        let answer = std::str::from_utf8(Stranger::Http.answer()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }

    #[test]
    fn a_name_in_one_read_is_borrowed() {
        let mut input: &[u8] = b"alice\n{";
        let mut handshake = Handshake::new();
        let registration = handshake.handle_input(&mut input, 4096);
        assert!(matches!(
            registration,
            Registration::Name(Cow::Borrowed(b"alice"), PeerKind::Stream)
        ));
        assert_eq!(input, b"{");
        assert_eq!(handshake.handle_input(&mut input, 4096), Registration::Done);
    }
}
