//! A connection that sends exact bytes in exact pieces. It stores every read, the objects in it, the other
//! bytes, and its end. Over WebSocket, the bytes are those of the messages. Waits and memory have bounds. A
//! connection with too many bytes is broken off, and the report states that.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use chatproto::websocket::{self, Url};
use chatproto::{DecodeError, Decoder, ErrorClass, Message};
use serde_json::Value;
use shared::failure::reason;

use super::transcript::{Direction, Transcript};
use super::websocket::{Control, WebSocket};

/// No object that a check asks for is longer.
pub(super) const LONGEST: usize = 16 << 20;
/// Bytes of memory that one connection may take, for what came and the objects in it. The largest
/// trial, 250 messages of 48 kB, takes 36 MiB.
const MOST: usize = 64 << 20;
/// Bytes of memory that all connections may take together.
const MOST_OF_ALL: usize = 256 << 20;
/// A longer name is not read to its end: none is longer than 64 bytes.
const LONGEST_NAME: usize = 64 << 10;
/// Bytes that all connections take.
static HELD_BY_ALL: AtomicUsize = AtomicUsize::new(0);
/// The least that a socket can be told to wait.
const LEAST: Duration = Duration::from_millis(1);

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The other side shut its writing side down, or closed.
    Closed,
    /// It was broken off: what the system said.
    Broken(String),
}

/// One object that came.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// The message, or why the object is none.
    pub(super) message: Result<Message, DecodeError>,
    /// The object as it came.
    pub(super) text: String,
    /// The reads that its first and its last byte came in.
    pub(super) reads: (usize, usize),
    /// Where its last byte is in all that came, plus one.
    end: usize,
}

impl Item {
    /// The message's text, or nothing.
    pub(super) fn msg(&self) -> &str {
        self.message.as_ref().map_or("", |message| &message.msg)
    }

    /// The name that it comes from, or nothing.
    pub(super) fn from(&self) -> &str {
        self.message.as_ref().map_or("", |message| &message.from.name)
    }

    /// Whom it is for, or nothing.
    pub(super) fn to(&self) -> &str {
        self.message.as_ref().map_or("", |message| &message.to)
    }

    /// Whether it has keys that the schema does not have.
    pub(super) fn has_extra_keys(&self) -> bool {
        let Ok(Value::Object(object)) = serde_json::from_str(&self.text) else { return false };
        let from = object.get("from").and_then(Value::as_object);
        object.keys().any(|key| !matches!(&**key, "from" | "to" | "msg"))
            || from.is_some_and(|from| from.keys().any(|key| !matches!(&**key, "name" | "ip")))
    }

    /// Whether this is a refusal of A8, or an error that ends the connection.
    pub(super) fn is_refusal(&self) -> bool {
        self.msg().starts_with('⛔')
    }
}

/// The connection.
#[derive(Debug)]
pub(super) struct Raw {
    stream: TcpStream,
    /// The frames, over WebSocket.
    websocket: Option<Box<WebSocket>>,
    /// Locked by the thread that writes, so that frames do not mix.
    writing: Arc<Mutex<()>>,
    label: String,
    log: Transcript,
    /// All that came.
    bytes: Vec<u8>,
    /// `parsed <= bytes.len()`: what is before is in `items` or `garbage`.
    parsed: usize,
    /// Where each read begins in `bytes`.
    reads: Vec<usize>,
    items: Vec<Item>,
    /// `next <= items.len()`: the first object that nobody has waited for.
    next: usize,
    garbage: Vec<u8>,
    end: Option<End>,
    /// When each read came.
    times: Vec<Instant>,
    /// Over WebSocket: where in `bytes` messages end.
    message_ends: Vec<usize>,
    /// Whether what comes is a name yet, and no object.
    is_named: bool,
    /// Bytes of memory that all this takes, which are part of [`HELD_BY_ALL`].
    held: usize,
}

impl Drop for Raw {
    fn drop(&mut self) {
        HELD_BY_ALL.fetch_sub(self.held, Ordering::Relaxed);
    }
}

impl Raw {
    /// Connects, and opens the WebSocket if there is a URL, or says why not.
    pub(super) fn connect(
        address: SocketAddr,
        url: Option<&Url>,
        timeout: Duration,
        label: &str,
        log: &Transcript,
    ) -> Result<Self, String> {
        let stream = TcpStream::connect_timeout(&address, timeout)
            .map_err(|error| format!("cannot connect to {address}: {}", reason(&error)))?;
        let mut raw = Raw::of(stream, timeout, label, log)?;
        if let Some(url) = url {
            let (websocket, behind) = WebSocket::open(&raw.stream, url, timeout)?;
            raw.websocket = Some(Box::new(websocket));
            if !behind.is_empty() {
                raw.came(&behind);
            }
        }
        Ok(raw)
    }

    /// The connection that a stream is.
    pub(super) fn of(
        stream: TcpStream,
        timeout: Duration,
        label: &str,
        log: &Transcript,
    ) -> Result<Self, String> {
        stream
            .set_nodelay(true)
            .and_then(|()| stream.set_write_timeout(Some(timeout)))
            .map_err(|error| format!("cannot use the connection: {}", reason(&error)))?;
        Ok(Raw {
            stream,
            websocket: None,
            writing: Arc::default(),
            label: label.to_owned(),
            log: log.clone(),
            bytes: Vec::new(),
            parsed: 0,
            reads: Vec::new(),
            items: Vec::new(),
            next: 0,
            garbage: Vec::new(),
            end: None,
            times: Vec::new(),
            message_ends: Vec::new(),
            is_named: true,
            held: 0,
        })
    }

    /// What the transcript calls this side.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// The address of this side.
    pub(super) fn local_ip(&self) -> Option<IpAddr> {
        self.stream.local_addr().ok().map(|address| address.ip().to_canonical())
    }

    /// Sends the bytes in one write, over WebSocket as text messages. That the other side does not take them
    /// shows in what comes.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.log.add(&self.label, Direction::Sent, bytes);
        match &mut self.websocket {
            None => self.write(bytes),
            // nothing can follow a close frame
            Some(websocket) if websocket.is_closed() => false,
            Some(websocket) => {
                let frames = websocket.framed(bytes);
                self.write(&frames)
            }
        };
    }

    /// Sends these frames as they are.
    pub(super) fn send_frames(&mut self, frames: &[u8]) {
        self.log.note(&self.label, "frames:");
        self.log.add(&self.label, Direction::Sent, frames);
        self.write(frames);
    }

    /// The same with each byte in a write of its own.
    pub(super) fn send_frames_bytewise(&mut self, frames: &[u8]) {
        self.log.note(&self.label, "frames, each byte in a write of its own:");
        self.log.add(&self.label, Direction::Sent, frames);
        let _ = frames.chunks(1).all(|byte| self.write(byte));
    }

    fn write(&mut self, bytes: &[u8]) -> bool {
        let written = {
            let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            self.stream.write_all(bytes)
        };
        if let Err(error) = &written {
            self.log.note(&self.label, &format!("not all of it was taken: {}", reason(error)));
        }
        written.is_ok()
    }

    /// Sends each piece in a write of its own, with a pause between them.
    pub(super) fn send_pieces<'a>(
        &mut self,
        pieces: impl IntoIterator<Item = &'a [u8]>,
        pause: Duration,
    ) {
        let pieces: Vec<_> = pieces.into_iter().collect();
        let note = format!("in {} pieces, {pause:?} apart:", pieces.len());
        self.log.note(&self.label, &note);
        let all = pieces.concat();
        self.log.add(&self.label, Direction::Sent, &all);
        let frames = self.websocket.as_mut().map(|websocket| websocket.framed(&all));
        let pieces = match &frames {
            None => pieces,
            // the frames have headers too
            Some(frames) if pieces.len() == all.len() => frames.chunks(1).collect(),
            Some(frames) => frames.chunks(frames.len().div_ceil(pieces.len())).collect(),
        };
        for (number, piece) in pieces.into_iter().enumerate() {
            if number > 0 {
                thread::sleep(pause);
            }
            if !self.write(piece) {
                return;
            }
        }
    }

    /// Reads the name that a client begins with: up to a line feed, which is taken with it, a brace,
    /// the end, or so long a silence.
    pub(super) fn hear_name(&mut self, timeout: Duration, silence: Duration) -> Vec<u8> {
        self.is_named = false;
        let ends = |bytes: &[u8]| bytes.iter().position(|byte| matches!(byte, b'\n' | b'{'));
        let until = Instant::now() + timeout;
        while self.end.is_none()
            && ends(&self.bytes).is_none()
            && self.bytes.len() < LONGEST_NAME
            && Instant::now() < until
        {
            let wait = if self.bytes.is_empty() { until } else { Instant::now() + silence };
            if !self.read(wait) && !self.bytes.is_empty() {
                break;
            }
        }
        self.is_named = true;
        let length = match ends(&self.bytes) {
            Some(at) if self.bytes[at] == b'\n' => at + 1,
            Some(at) => at,
            None => self.bytes.len(),
        };
        self.parsed = length;
        self.parse();
        self.bytes[..length].to_vec()
    }

    /// When the object's last byte came.
    pub(super) fn time_of(&self, item: &Item) -> Instant {
        self.times[item.reads.1]
    }

    /// Says that nothing more will be sent.
    pub(super) fn finish(&mut self) {
        if let Some(websocket) = &mut self.websocket {
            let frame = websocket.close();
            self.log.note(&self.label, "we send a close frame");
            self.write(&frame);
            return;
        }
        self.log.note(&self.label, "we shut down our writing side");
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The writing side, for another thread. It may take so long for a message.
    pub(super) fn writer(&self, timeout: Duration) -> Result<Writer, String> {
        let why = |error: std::io::Error| format!("cannot use the connection: {}", reason(&error));
        let stream = self.stream.try_clone().map_err(why)?;
        stream.set_write_timeout(Some(timeout)).map_err(why)?;
        let framing = self.websocket.as_ref().map(|_| websocket::ClientFraming::new());
        Ok(Writer { stream, framing, writing: Arc::clone(&self.writing) })
    }

    /// Reads once. Says whether anything came before `until`.
    pub(super) fn read(&mut self, until: Instant) -> bool {
        if self.end.is_some() {
            return false;
        }
        let left = until.saturating_duration_since(Instant::now()).max(LEAST);
        let mut buffer = [0; 64 * 1024];
        let read = self.stream.set_read_timeout(Some(left)).and_then(|()| {
            loop {
                match self.stream.read(&mut buffer) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    read => break read,
                }
            }
        });
        match read {
            Ok(0) => self.ended(End::Closed, "closed by the other side"),
            Ok(length) => self.came(&buffer[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                false
            }
            Err(error) => {
                let why = reason(&error);
                self.ended(End::Broken(why.clone()), &format!("broken off: {why}"))
            }
        }
    }

    /// Takes what was read. Says whether more may come.
    fn came(&mut self, bytes: &[u8]) -> bool {
        let begin = self.bytes.len();
        match &mut self.websocket {
            None => self.bytes.extend_from_slice(bytes),
            Some(websocket) => {
                let came = websocket.unframe(bytes);
                self.bytes.extend_from_slice(&came.text);
                self.message_ends.extend(came.ends.iter().map(|end| begin + end));
            }
        }
        self.reads.push(begin);
        self.times.push(Instant::now());
        if self.bytes.len() > begin {
            self.log.add(&self.label, Direction::Came, &self.bytes[begin..]);
        }
        self.hold(self.bytes.len() - begin + size_of::<(usize, Instant)>());
        self.parse();
        let limit = if self.held > MOST {
            MOST
        } else if HELD_BY_ALL.load(Ordering::Relaxed) > MOST_OF_ALL {
            MOST_OF_ALL
        } else {
            return self.answer();
        };
        let (objects, came) = (self.items.len(), self.bytes.len());
        let why = format!(
            "by us, as what came takes more than {} MiB: {objects} objects, {came} bytes",
            limit >> 20
        );
        self.ended(End::Broken(why), "too much came: broken off by us")
    }

    /// Sends what the server's frames ask for, and sees whether they are at their end.
    fn answer(&mut self) -> bool {
        let Some(websocket) = &mut self.websocket else { return true };
        if websocket.has_answer()
            && let Ok(_writing) = self.writing.try_lock()
        {
            // a server that has closed the connection does not take it
            let _ = self.stream.write_all(&websocket.answers());
        }
        match websocket.end() {
            None => true,
            Some(websocket::End::Closed(code)) => {
                let code = code.map_or("no code".to_owned(), |code| format!("code {code}"));
                self.ended(End::Closed, &format!("a close frame with {code}"))
            }
            Some(websocket::End::Violated(violation)) => {
                let why = format!("by us, as the rules of WebSocket were violated: {violation}");
                self.ended(End::Broken(why), &format!("broken off by us: {violation}"))
            }
            Some(end) => self.ended(End::Broken(format!("by us: {end:?}")), "broken off by us"),
        }
    }

    /// The code of the server's close frame, which may have none, if one came.
    pub(super) fn close_code(&self) -> Option<Option<u16>> {
        match self.websocket.as_ref()?.end()? {
            websocket::End::Closed(code) => Some(code),
            _ => None,
        }
    }

    /// The control frames that came.
    pub(super) fn controls(&self) -> &[Control] {
        self.websocket.as_ref().map_or(&[], |websocket| websocket.controls())
    }

    /// Reads until such a control frame has come. False if none comes in time.
    pub(super) fn hear_control(
        &mut self,
        timeout: Duration,
        wanted: impl Fn(&Control) -> bool,
    ) -> bool {
        let until = Instant::now() + timeout;
        loop {
            if self.controls().iter().any(&wanted) {
                return true;
            }
            if self.end.is_some() || Instant::now() >= until {
                return false;
            }
            self.read(until);
        }
    }

    /// The messages that have come, each as its bytes. (Over WebSocket only.)
    pub(super) fn messages(&self) -> Vec<&[u8]> {
        let mut begin = 0;
        let message = |&end: &usize| {
            let message = &self.bytes[begin..end];
            begin = end;
            message
        };
        self.message_ends.iter().map(message).collect()
    }

    fn hold(&mut self, bytes: usize) {
        self.held += bytes;
        HELD_BY_ALL.fetch_add(bytes, Ordering::Relaxed);
    }

    fn ended(&mut self, end: End, note: &str) -> bool {
        self.log.note(&self.label, note);
        self.end = Some(end);
        false
    }

    /// The next object that is wanted; those before it count as heard.
    pub(super) fn hear(
        &mut self,
        timeout: Duration,
        wanted: impl Fn(&Item) -> bool,
    ) -> Option<Item> {
        let until = Instant::now() + timeout;
        loop {
            if let Some(at) = self.items[self.next..].iter().position(&wanted) {
                self.next += at + 1;
                return Some(self.items[self.next - 1].clone());
            }
            // a peer that never stops talking is not waited for either
            if self.end.is_some() || Instant::now() >= until {
                return None;
            }
            self.read(until);
        }
    }

    /// Reads until it ends, at most so long.
    pub(super) fn hear_end(&mut self, timeout: Duration) -> Option<&End> {
        let until = Instant::now() + timeout;
        while self.end.is_none() && Instant::now() < until {
            self.read(until);
        }
        self.end.as_ref()
    }

    /// Reads what comes for so long.
    pub(super) fn listen(&mut self, time: Duration) {
        self.hear_end(time);
    }

    /// How it ended, if it did.
    pub(super) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// How many objects have come.
    pub(super) fn count(&self) -> usize {
        self.items.len()
    }

    /// The objects that have come since there were so many.
    pub(super) fn since(&self, count: usize) -> &[Item] {
        &self.items[count..]
    }

    /// What came and is neither object nor white space.
    pub(super) fn garbage(&self) -> &[u8] {
        &self.garbage
    }

    /// All the bytes that came.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether a line feed follows the object, as far as it has come.
    pub(super) fn has_line_feed(&self, item: &Item) -> bool {
        let rest = &self.bytes[item.end..];
        rest.starts_with(b"\n") || rest.starts_with(b"\r\n")
    }

    /// Finds the objects in what came. After something that is none it looks for the next brace.
    fn parse(&mut self) {
        while self.is_named {
            let rest = &self.bytes[self.parsed..];
            self.parsed += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let rest = &self.bytes[self.parsed..];
            let mut input = rest;
            match Decoder::new(LONGEST).decode(&mut input) {
                Ok(None) => return,
                Ok(Some(frame)) => {
                    let (text, message) = (frame.as_str().to_owned(), frame.message().to_owned());
                    self.found(text, Ok(message));
                }
                Err(error) if error.class() == ErrorClass::Schema => {
                    let object = &rest[..rest.len() - input.len()];
                    let text = String::from_utf8_lossy(object).into_owned();
                    self.found(text, Err(error));
                }
                Err(error) => {
                    let least = (error.offset() as usize).max(1);
                    let brace = rest.iter().skip(least).position(|&byte| byte == b'{');
                    let length = brace.map_or(rest.len(), |at| least + at);
                    self.garbage.extend_from_slice(&rest[..length]);
                    self.parsed += length;
                    self.hold(length);
                }
            }
        }
    }

    fn found(&mut self, text: String, message: Result<Message, DecodeError>) {
        let (start, end) = (self.parsed, self.parsed + text.len());
        let read_of = |at: usize| self.reads.partition_point(|&begin| begin <= at) - 1;
        let reads = (read_of(start), read_of(end - 1));
        self.parsed = end;
        // the strings of a message are no longer than its object
        self.hold(size_of::<Item>() + 2 * text.len());
        self.items.push(Item { message, text, reads, end });
    }
}

/// The writing side of a connection, for another thread.
#[derive(Debug)]
pub(super) struct Writer {
    stream: TcpStream,
    framing: Option<websocket::ClientFraming>,
    writing: Arc<Mutex<()>>,
}

impl Writer {
    /// Sends an object in one write. Says whether it was taken.
    pub(super) fn send(&mut self, object: &[u8]) -> bool {
        let mut frame = Vec::new();
        let bytes = match &mut self.framing {
            None => object,
            Some(framing) => {
                framing.text(&mut frame, |out| out.extend_from_slice(object));
                &frame
            }
        };
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.stream.write_all(bytes).is_ok()
    }
}

#[cfg(test)]
#[path = "raw_tests.rs"]
mod tests;
