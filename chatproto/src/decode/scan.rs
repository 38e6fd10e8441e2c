//! The scanner: one strict pass over one frame that can stop and go on at any byte.
//!
//! It checks the grammar of RFC 8259 and the schema of A3 together and remembers where the four
//! string tokens are. Everything that depends on how reads were split stays out of the verdict:
//! what the scanner says of a prefix is a function of that prefix alone (B14).
//!
//! Notes for whoever changes this file:
//! * A framing error is returned where it is met, so the first one wins. A schema error is only
//!   *noted* (the smallest offset is kept), because a framing error further on outranks it.
//! * UTF-8 is validated at the end of each run of plain string bytes, before anything at the run's
//!   end is judged, so that the smaller offset wins there too.
//! * A byte is examined again only inside an unfinished escape (at most 11 bytes) or an unfinished
//!   UTF-8 sequence (at most 3).

use crate::limits::MAX_DEPTH;
use crate::message::token_is;
use crate::text::{hex4, plain_run, valid_prefix};

use super::error::{DecodeError, DecodeErrorKind as Kind, Field};

/// A violation and its offset in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) at: usize,
    pub(crate) field: Option<Field>,
}

impl Fault {
    pub(crate) fn framing(kind: Kind, at: usize) -> Self {
        Fault { kind, at, field: None }
    }

    /// The error that it is, in a frame that begins at `frame` in its stream.
    pub(crate) fn in_frame(self, frame: u64) -> DecodeError {
        DecodeError { kind: self.kind, field: self.field, frame, within: self.at as u64 }
    }
}

/// Where a string token lies in its frame, between the quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) escaped: bool,
}

/// The four tokens of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spans {
    pub(crate) name: Span,
    pub(crate) ip: Span,
    pub(crate) to: Span,
    pub(crate) msg: Span,
}

/// What may come at the scanner's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The `{` of the frame.
    Start,
    /// After `{`: a key or `}`.
    KeyOrEnd,
    /// After `,` in an object: a key.
    Key,
    /// After a key: `:`.
    Colon,
    /// After `:`, or after `,` in an array: a value.
    Value,
    /// After `[`: a value or `]`.
    ValueOrEnd,
    /// After a value: `,` or the closing bracket.
    AfterValue,
    /// Inside a string that is a key, or a value.
    Text { key: bool },
    /// Inside a number.
    Number(Number),
    /// Inside `true`, `false` or `null`: what is left of it.
    Literal(&'static [u8]),
    /// After the frame's `}`.
    Done,
}

/// The part of a number (RFC 8259, section 6) that was read last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    E,
    ExponentSign,
    Exponent,
}

/// The state of one frame. `0 <= checked <= position <= len` of the bytes seen.
#[derive(Clone, Debug)]
pub(crate) struct Scanner {
    state: State,
    /// Every byte before it was judged.
    position: usize,
    /// Open brackets, and for each whether it is an object (bit 0 is the innermost).
    depth: u32,
    objects: u32,
    /// Whether the object at depth 2 is `from`.
    in_from: bool,
    /// The keys of the schema seen so far, by [`bit`].
    seen: u8,
    /// The field whose value comes next or is being read.
    target: Option<Field>,
    /// Of the string being read: its first byte, how far its UTF-8 was validated, whether it has
    /// an escape.
    start: usize,
    checked: usize,
    escaped: bool,
    spans: Spans,
    noted: Option<Fault>,
    strict: bool,
}

/// What came of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The frame ends before this offset; a schema violation, if it has any.
    Complete(usize, Result<Spans, Fault>),
    /// The bytes end inside the frame.
    Incomplete,
}

impl Scanner {
    pub(crate) fn new(strict: bool) -> Self {
        Scanner {
            state: State::Start,
            position: 0,
            depth: 0,
            objects: 0,
            in_from: false,
            seen: 0,
            target: None,
            start: 0,
            checked: 0,
            escaped: false,
            spans: Spans::default(),
            noted: None,
            strict,
        }
    }

    /// Goes on in `frame`, which begins with the frame's first byte and holds at least all that it
    /// held at the call before. Looks at no byte from `max` on.
    ///
    /// # Errors
    /// A framing error; the scanner must not be used again.
    pub(crate) fn resume(&mut self, frame: &[u8], max: usize) -> Result<Progress, Fault> {
        let seen = &frame[..frame.len().min(max)];
        if self.run(seen)? {
            let verdict = self.noted.map_or(Ok(self.spans), Err);
            return Ok(Progress::Complete(self.position, verdict));
        }
        if seen.len() == max {
            return Err(Fault::framing(Kind::TooLong(max), max));
        }
        Ok(Progress::Incomplete)
    }

    /// Runs to the end of the frame (true) or of the bytes (false).
    fn run(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        loop {
            match self.state {
                State::Text { key } => {
                    if !self.string(bytes)? {
                        return Ok(false);
                    }
                    if key {
                        self.end_key(bytes);
                    } else {
                        self.end_string();
                    }
                    continue;
                }
                State::Number(part) => {
                    match number(part, &bytes[self.position..]) {
                        (read, Some(part)) if self.position + read == bytes.len() => {
                            self.position += read;
                            self.state = State::Number(part);
                            return Ok(false);
                        }
                        (
                            read,
                            Some(
                                Number::Zero
                                | Number::Integer
                                | Number::Fraction
                                | Number::Exponent,
                            ),
                        ) => {
                            self.position += read;
                            self.state = State::AfterValue;
                        }
                        (read, _) => return Err(self.unexpected(bytes, self.position + read)),
                    }
                    continue;
                }
                State::Literal(rest) => {
                    let Some(&byte) = bytes.get(self.position) else { return Ok(false) };
                    if byte != rest[0] {
                        return Err(self.unexpected(bytes, self.position));
                    }
                    self.position += 1;
                    self.state = if rest.len() == 1 {
                        State::AfterValue
                    } else {
                        State::Literal(&rest[1..])
                    };
                    continue;
                }
                State::Done => return Ok(true),
                _ => {}
            }
            let Some(&byte) = bytes.get(self.position) else { return Ok(false) };
            if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') && self.state != State::Start {
                self.position += 1;
                continue;
            }
            match (self.state, byte) {
                (State::Start, b'{') => self.open(true)?,
                (State::KeyOrEnd | State::Key, b'"') => self.open_text(true),
                (State::KeyOrEnd, b'}') => self.close(true),
                (State::Colon, b':') => self.state = State::Value,
                (State::ValueOrEnd, b']') => self.close(false),
                (State::Value | State::ValueOrEnd, _) => {
                    self.expect_type(byte);
                    match byte {
                        b'"' => self.open_text(false),
                        b'{' | b'[' => self.open(byte == b'{')?,
                        b'-' => self.state = State::Number(Number::Minus),
                        b'0' => self.state = State::Number(Number::Zero),
                        b'1'..=b'9' => self.state = State::Number(Number::Integer),
                        b't' => self.state = State::Literal(b"rue"),
                        b'f' => self.state = State::Literal(b"alse"),
                        b'n' => self.state = State::Literal(b"ull"),
                        _ => return Err(self.unexpected(bytes, self.position)),
                    }
                }
                (State::AfterValue, b',') => {
                    self.state = if self.objects & 1 == 1 { State::Key } else { State::Value };
                    self.target = None;
                }
                (State::AfterValue, b'}') if self.objects & 1 == 1 => self.close(true),
                (State::AfterValue, b']') if self.objects & 1 == 0 => self.close(false),
                _ => return Err(self.unexpected(bytes, self.position)),
            }
            self.position += 1;
        }
    }

    fn unexpected(&self, bytes: &[u8], at: usize) -> Fault {
        Fault::framing(Kind::UnexpectedByte(bytes[at]), at)
    }

    fn note(&mut self, kind: Kind, at: usize, field: Option<Field>) {
        if self.noted.is_none_or(|noted| at < noted.at) {
            self.noted = Some(Fault { kind, at, field });
        }
    }

    /// Notes a value of the wrong type, judged by its first byte. What cannot begin a value is
    /// left to the caller, whose framing error outranks any note.
    fn expect_type(&mut self, first: u8) {
        let expected = if self.target == Some(Field::From) { b'{' } else { b'"' };
        if self.target.is_some() && first != expected {
            self.note(Kind::WrongType, self.position, self.target);
            self.target = None;
        }
    }

    fn open(&mut self, object: bool) -> Result<(), Fault> {
        if self.depth == MAX_DEPTH {
            return Err(Fault::framing(Kind::TooDeep, self.position));
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u32::from(object);
        if object {
            self.in_from |= self.target == Some(Field::From);
            self.state = State::KeyOrEnd;
        } else {
            self.state = State::ValueOrEnd;
        }
        self.target = None;
        Ok(())
    }

    /// Closes a bracket; an object of the schema must have all its keys by now.
    fn close(&mut self, object: bool) {
        if object && self.depth == 2 && self.in_from {
            self.in_from = false;
            self.require(&[Field::Name, Field::Ip]);
        } else if self.depth == 1 {
            self.require(&[Field::From, Field::To, Field::Msg]);
        }
        self.depth -= 1;
        self.objects >>= 1;
        self.state = if self.depth == 0 { State::Done } else { State::AfterValue };
    }

    fn require(&mut self, fields: &[Field]) {
        if let Some(&missing) = fields.iter().find(|&&field| self.seen & bit(field) == 0) {
            self.note(Kind::MissingKey, self.position, Some(missing));
        }
    }

    /// The opening quote is at the position.
    fn open_text(&mut self, key: bool) {
        self.start = self.position + 1;
        self.checked = self.start;
        self.escaped = false;
        self.state = State::Text { key };
        if key {
            self.target = None;
        }
    }

    /// The key just read decides what its value is for.
    fn end_key(&mut self, bytes: &[u8]) {
        self.state = State::Colon;
        let candidates: &[(&[u8], Field)] = match (self.depth, self.in_from) {
            (1, _) => &[(b"from", Field::From), (b"to", Field::To), (b"msg", Field::Msg)],
            (2, true) => &[(b"name", Field::Name), (b"ip", Field::Ip)],
            _ => return,
        };
        let token = &bytes[self.start..self.position - 1];
        let quote = self.start - 1;
        match candidates.iter().find(|(key, _)| token_is(token, self.escaped, key)) {
            Some(&(_, field)) if self.seen & bit(field) != 0 => {
                self.note(Kind::DuplicateKey, quote, Some(field));
            }
            Some(&(_, field)) => {
                self.seen |= bit(field);
                self.target = Some(field);
            }
            None if self.strict => self.note(Kind::UnknownKey, quote, None),
            None => {}
        }
    }

    fn end_string(&mut self) {
        self.state = State::AfterValue;
        let at = |offset: usize| u32::try_from(offset).expect("frames are shorter than 4 GiB");
        let span =
            Span { start: at(self.start), end: at(self.position - 1), escaped: self.escaped };
        match self.target.take() {
            Some(Field::Name) => self.spans.name = span,
            Some(Field::Ip) => self.spans.ip = span,
            Some(Field::To) => self.spans.to = span,
            Some(Field::Msg) => self.spans.msg = span,
            Some(Field::From) | None => {}
        }
    }

    /// Runs to behind the closing quote (true) or to the end of the bytes (false).
    fn string(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        loop {
            let run = plain_run(&bytes[self.position..]);
            self.position += run;
            let Some(&byte) = bytes.get(self.position) else {
                self.check_utf8(bytes, false)?;
                return Ok(false);
            };
            self.check_utf8(bytes, true)?;
            match byte {
                b'"' => {
                    self.position += 1;
                    return Ok(true);
                }
                b'\\' => {
                    self.escaped = true;
                    if !self.escape(&bytes[self.position..])? {
                        return Ok(false);
                    }
                    self.checked = self.position;
                }
                control => {
                    return Err(Fault::framing(Kind::ControlCharacter(control), self.position));
                }
            }
        }
    }

    /// Validates the UTF-8 up to the position; a sequence that is cut off there is an error only
    /// if what follows is known not to continue it.
    fn check_utf8(&mut self, bytes: &[u8], ended: bool) -> Result<(), Fault> {
        let run = &bytes[self.checked..self.position];
        match valid_prefix(run) {
            Ok(()) => self.checked = self.position,
            Err((valid, cut_off)) if cut_off && !ended => self.checked += valid,
            Err((valid, _)) => return Err(Fault::framing(Kind::InvalidUtf8, self.checked + valid)),
        }
        Ok(())
    }

    /// Steps over the escape at the position, whose bytes begin `rest` (true), or stays if it is
    /// not all there (false).
    fn escape(&mut self, rest: &[u8]) -> Result<bool, Fault> {
        let Some(unit) = self.code_unit(rest, 0)? else { return Ok(false) };
        let Some(unit) = unit else {
            self.position += 2;
            return Ok(true);
        };
        let mut lone = (0xDC00..0xE000).contains(&unit);
        let mut length = 6;
        if (0xD800..0xDC00).contains(&unit) {
            match rest.get(6..) {
                None | Some([] | [b'\\']) => return Ok(false),
                // a malformed second escape is an error of its own, met when it is stepped over
                Some([b'\\', b'u', ..]) => match self.code_unit(rest, 6) {
                    Ok(None) => return Ok(false),
                    Ok(Some(Some(0xDC00..0xE000))) => length = 12,
                    _ => lone = true,
                },
                Some(_) => lone = true,
            }
        }
        if lone {
            self.note(Kind::LoneSurrogate, self.position, self.target);
        } else if unit == 0 && self.target == Some(Field::Name) {
            self.note(Kind::NulInName, self.position, self.target);
        }
        self.position += length;
        Ok(true)
    }

    /// The escape at `rest[from..]`: its UTF-16 code unit if it is a `\u` one. Outer `None` if it
    /// is not all there.
    #[allow(clippy::option_option)]
    fn code_unit(&self, rest: &[u8], from: usize) -> Result<Option<Option<u16>>, Fault> {
        let unexpected = |at: usize| {
            let kind = match rest[at] {
                control @ 0..0x20 => Kind::ControlCharacter(control),
                byte => Kind::UnexpectedByte(byte),
            };
            Fault::framing(kind, self.position + at)
        };
        match rest.get(from + 1) {
            None => Ok(None),
            Some(b'u') => {
                let digits = &rest[from + 2..rest.len().min(from + 6)];
                match digits.iter().position(|d| !d.is_ascii_hexdigit()) {
                    Some(bad) => Err(unexpected(from + 2 + bad)),
                    None if digits.len() < 4 => Ok(None),
                    None => Ok(Some(Some(hex4(digits)))),
                }
            }
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(Some(None)),
            Some(_) => Err(unexpected(from + 1)),
        }
    }
}

fn bit(field: Field) -> u8 {
    1 << field as u8
}

/// Reads on in a number: how many bytes belong to it, and the part it then is in; `None` if the
/// byte behind them cannot follow. A byte that ends a number is left for the caller to judge.
fn number(mut part: Number, bytes: &[u8]) -> (usize, Option<Number>) {
    use Number as N;
    for (read, byte) in bytes.iter().enumerate() {
        part = match (part, byte) {
            (N::Minus, b'0') => N::Zero,
            (N::Minus | N::Integer, b'0'..=b'9') => N::Integer,
            (N::Zero | N::Integer, b'.') => N::Point,
            (N::Point | N::Fraction, b'0'..=b'9') => N::Fraction,
            (N::Zero | N::Integer | N::Fraction, b'e' | b'E') => N::E,
            (N::E, b'+' | b'-') => N::ExponentSign,
            (N::E | N::ExponentSign | N::Exponent, b'0'..=b'9') => N::Exponent,
            (N::Zero | N::Integer | N::Fraction | N::Exponent, _) => return (read, Some(part)),
            _ => return (read, None),
        };
    }
    (bytes.len(), Some(part))
}
