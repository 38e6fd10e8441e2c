//! A small server, written by hand, with a thread for each client, that follows the contract but for
//! one planted fault. It has no rooms.
//!
//! Here is what a connection goes through; `users` holds who is there and what is written to them,
//! `answers` what the server says, `fault` what can be wrong.

mod answers;
mod fault;
mod users;

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use chatproto::handshake::{Handshake, PeerKind, Registration, Stranger};
use chatproto::{DecodeError, DecodeErrorKind, Decoder, ErrorClass, Message, NameError, UserName};

use answers::say;
pub(crate) use fault::Fault;
use users::{Mailbox, Users};

/// The silence that ends a name.
const GRACE: Duration = Duration::from_millis(10);
/// How long a registration may take; the tests say so to the runner.
pub(crate) const DEADLINE: Duration = Duration::from_secs(1);
/// What is said of a name that somebody else has.
const IN_USE: &str = "the name is in use";
/// Errors that end a connection.
const ERRORS: usize = 20;

/// Starts a server with the fault. It ends with the process.
pub(crate) fn start(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let users = Arc::new(Users::new(fault));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let users = Arc::clone(&users);
            thread::spawn(move || Connection::new(stream, users).serve());
        }
    });
    address
}

/// One client, from its first byte to its last.
struct Connection {
    stream: TcpStream,
    users: Arc<Users>,
    mailbox: Arc<Mailbox>,
    name: String,
    errors: usize,
    /// Answers that the next ones overtake.
    held: Vec<String>,
}

/// What became of a registration.
enum Outcome {
    /// The name and what followed it in the same read.
    Named(UserName, PeerKind, Vec<u8>),
    Refused(String),
    Stranger(Stranger),
    Gone,
}

impl Connection {
    fn new(stream: TcpStream, users: Arc<Users>) -> Self {
        stream.set_nodelay(true).unwrap();
        let mailbox = Mailbox::start(stream.try_clone().unwrap(), users.fault);
        Connection { stream, users, mailbox, name: "Guest".to_owned(), errors: 0, held: Vec::new() }
    }

    fn has(&self, fault: Fault) -> bool {
        self.users.fault == fault
    }

    fn serve(mut self) {
        let mut handshake = Handshake::new();
        match self.register(&mut handshake) {
            Outcome::Gone => self.close(),
            Outcome::Stranger(stranger) => {
                self.mailbox.push_bytes(stranger.answer().to_vec());
                self.close();
            }
            Outcome::Refused(why) => self.refuse(&why),
            Outcome::Named(name, kind, rest) => match self.users.enter(&name, &self.mailbox) {
                false => self.refuse(IN_USE),
                true => {
                    self.name = name.as_str().to_owned();
                    self.mailbox.set_kind(kind);
                    self.welcome();
                    self.converse(&mut handshake, rest);
                    self.users.leave(&self.name);
                    self.close();
                }
            },
        }
    }

    fn refuse(&mut self, why: &str) {
        let to = if self.has(Fault::RefusalToName) { "you" } else { "Guest" };
        self.mailbox.push(&say(self.users.fault, to, &format!("⛔ Error: {why}")));
        if self.has(Fault::RefusalStaysOpen) && why == IN_USE {
            thread::sleep(Duration::from_secs(60));
        }
        self.close();
    }

    fn welcome(&self) {
        if !self.has(Fault::NoWelcome) {
            let text = self.users.welcome(&self.name);
            let times = if self.has(Fault::WelcomeTwice) { 2 } else { 1 };
            for _ in 0..times {
                self.mailbox.push(&say(self.users.fault, &self.name, &text));
            }
        }
    }

    /// Reads until `until`; `None` when nothing came.
    fn read(&mut self, until: Option<Instant>) -> Option<Vec<u8>> {
        let left = until.map(|until| {
            until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
        });
        self.stream.set_read_timeout(left).unwrap();
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(length) => Some(buffer[..length].to_vec()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                None
            }
            Err(_) => Some(Vec::new()),
        }
    }

    fn register(&mut self, handshake: &mut Handshake) -> Outcome {
        let mut deadline = Instant::now() + DEADLINE;
        loop {
            let now = Instant::now();
            if now >= deadline {
                return Outcome::Refused("no name came in time".to_owned());
            }
            let until = if handshake.has_begun() { deadline.min(now + GRACE) } else { deadline };
            let bytes = self.read(Some(until));
            let mut input = bytes.as_deref().unwrap_or_default();
            if self.has(Fault::DeadlineExtended) && !input.is_empty() {
                deadline = Instant::now() + DEADLINE;
            }
            let step = match &bytes {
                None => handshake.handle_silence(),
                Some(bytes) if bytes.is_empty() => handshake.handle_end(),
                Some(_) => handshake.handle_input(&mut input, 4096),
            };
            match step {
                Registration::Name(name, kind) => return self.judge(&name, kind, input.to_vec()),
                Registration::Stranger(_) if self.has(Fault::StrangersWelcome) => {
                    return self.judge(b"stranger", PeerKind::Stream, Vec::new());
                }
                Registration::Stranger(stranger) => return Outcome::Stranger(stranger),
                Registration::Refused(why) => return Outcome::Refused(why.to_string()),
                Registration::Gone => return Outcome::Gone,
                _ => {}
            }
        }
    }

    fn judge(&self, bytes: &[u8], kind: PeerKind, rest: Vec<u8>) -> Outcome {
        let rest = if self.has(Fault::FirstLost) { Vec::new() } else { rest };
        match UserName::from_bytes(bytes, 64) {
            Ok(name) => Outcome::Named(name, kind, rest),
            // the library makes no other names, so these are spelt in another way
            Err(why) if self.has(Fault::AnyName) && why != NameError::Empty => {
                Outcome::Named(UserName::new("any name").unwrap(), kind, rest)
            }
            Err(why) => Outcome::Refused(why.to_string()),
        }
    }

    /// Reads messages until there are no more.
    fn converse(&mut self, handshake: &mut Handshake, mut bytes: Vec<u8>) {
        if self.has(Fault::EndLosesAnswers) && !bytes.is_empty() && self.has_ended() {
            return;
        }
        let limit = if self.has(Fault::TooLongTaken) { 1 << 20 } else { 65_536 };
        let mut decoder = Decoder::new(limit);
        loop {
            let mut input = &bytes[..];
            if handshake.handle_input(&mut input, 4096) == Registration::LateLineFeed {
                self.mailbox.set_kind(PeerKind::Stream);
            }
            if self.has(Fault::BomTaken) && input.starts_with("\u{feff}".as_bytes()) {
                input = &input[3..];
            }
            loop {
                match decoder.decode(&mut input) {
                    Ok(None) => break,
                    Ok(Some(frame)) => {
                        let mut message = frame.message().to_owned();
                        if self.has(Fault::EscapesKept) {
                            message.msg = frame.message().msg.raw().to_owned();
                        }
                        self.route(&message, frame.as_str(), input.trim_ascii().is_empty());
                        if self.has(Fault::JoinedLost) {
                            break;
                        }
                    }
                    Err(error) if self.has(Fault::DeepTaken) && is_deep(error) => {
                        self.route_leniently(&bytes);
                        decoder = Decoder::new(limit);
                        break;
                    }
                    Err(error) if error.class() == ErrorClass::Schema => {
                        let frame = &bytes[..bytes.len() - input.len()];
                        if !self.after_schema_error(error, frame) {
                            return;
                        }
                    }
                    Err(error) => {
                        if !self.after_framing_error(error) {
                            return;
                        }
                        decoder = Decoder::new(limit);
                        break;
                    }
                }
            }
            if self.has(Fault::SplitLost) && decoder.is_inside_frame() {
                decoder = Decoder::new(limit);
            }
            bytes = self.read(None).unwrap_or_default();
            if bytes.is_empty() {
                return;
            }
        }
    }

    /// Whether the connection goes on.
    fn after_schema_error(&mut self, error: DecodeError, frame: &[u8]) -> bool {
        let is_double = error.kind() == DecodeErrorKind::DuplicateKey;
        if self.has(Fault::DoubleKeysTaken) && is_double {
            self.route_leniently(frame);
            return true;
        }
        if !self.has(Fault::SchemaErrorSilent) {
            let text = match self.has(Fault::ErrorUnnamed) {
                true => "❌ Error: what is that?".to_owned(),
                false => format!("❌ Error: {error}"),
            };
            self.answer(&text);
        }
        self.errors += 1;
        let is_too_much = self.errors >= ERRORS && !self.has(Fault::ErrorsUnlimited);
        !is_too_much && !self.has(Fault::SchemaErrorCloses)
    }

    /// Whether the connection goes on.
    fn after_framing_error(&self, error: DecodeError) -> bool {
        if !self.has(Fault::FramingErrorSilent) {
            self.answer(&format!("⛔ Error: {error}"));
        }
        self.has(Fault::FramingErrorGoesOn)
    }

    fn answer(&self, text: &str) {
        self.mailbox.push(&say(self.users.fault, &self.name, text));
    }

    /// Whether the client has sent everything, or does so within a moment.
    fn has_ended(&self) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        self.stream.peek(&mut [0]).is_ok_and(|length| length == 0)
    }

    /// Does what the message asks for. `is_last` is whether nothing more came in the same read.
    fn route(&mut self, message: &Message, raw: &str, is_last: bool) {
        let answers = self.users.route(&self.name, message, raw);
        if self.has(Fault::AnswersSwapped) && message.to == "/standard" && !is_last {
            self.held = answers;
            return;
        }
        for answer in answers.into_iter().chain(std::mem::take(&mut self.held)) {
            self.answer(&answer);
        }
    }

    /// Takes what a lenient parser makes of it.
    fn route_leniently(&mut self, bytes: &[u8]) {
        let last = bytes.split(|&byte| byte == b'\n').rfind(|line| !line.is_empty());
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(last.unwrap_or_default())
        else {
            return;
        };
        let text = |key: &str| value[key].as_str().unwrap_or_default();
        self.route(&Message::new(&*self.name, "", text("to"), text("msg")), "", true);
    }

    /// Writes what waits, says that there is no more, and waits a moment for the other to see it.
    fn close(&mut self) {
        self.mailbox.finish();
        let _ = self.stream.shutdown(Shutdown::Write);
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until && self.read(Some(until)).is_some_and(|more| !more.is_empty())
        {
        }
    }
}

fn is_deep(error: DecodeError) -> bool {
    error.kind() == DecodeErrorKind::TooDeep
}
