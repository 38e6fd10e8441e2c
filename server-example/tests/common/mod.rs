//! What the tests share: the real program with its three streams, and a chat client of the simplest
//! kind. Nothing sleeps; everything waits for a line, and gives up after a time that only a defect
//! can reach.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this one")]

pub mod kept;
pub mod payloads;
pub mod relay;
pub mod schema;
pub mod temp_dir;
pub mod web;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use chatproto::{Decoder, Message};

/// Longer than anything takes here, on a slow machine too.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The whole answer of a server that refuses to register this name.
#[track_caller]
pub fn refusal(address: SocketAddr, name: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("{name}\n").as_bytes()).unwrap();
    let mut refusal = String::new();
    stream.read_to_string(&mut refusal).unwrap();
    refusal
}

/// A running program, killed when it is dropped.
pub struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines,
    errors: Lines,
}

impl Program {
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_server-example"));
        command.args(arguments);
        Program::spawn(command)
    }

    pub fn spawn(command: Command) -> Self {
        Program::spawn_with(command, Stdio::piped())
    }

    /// Its standard error is the caller's own, unless it is `Stdio::piped()`.
    pub fn spawn_with(mut command: Command, errors: Stdio) -> Self {
        // the options of whoever runs the tests
        let set: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CHATPROTO_") && !set.contains(&name) {
                command.env_remove(name);
            }
        }
        // a test that wants something kept says where
        if !set.iter().any(|name| name == "CHATPROTO_DATA") {
            command.env("CHATPROTO_DATA", "none");
        }
        Program::spawn_as_is_with(command, errors)
    }

    /// With the environment that the command has.
    pub fn spawn_as_is(command: Command) -> Self {
        Program::spawn_as_is_with(command, Stdio::piped())
    }

    fn spawn_as_is_with(mut command: Command, errors: Stdio) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .expect("the program starts");
        let input = child.stdin.take();
        let output = Lines::of(child.stdout.take().unwrap());
        let errors = child.stderr.take().map_or_else(|| Lines::of(std::io::empty()), Lines::of);
        Program { child, input, output, errors }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its standard input. A program that has ended by then does not read it; its exit
    /// code and its output tell.
    pub fn type_line(&mut self, line: &str) {
        let input = self.input.as_mut().expect("its input is open");
        match input.write_all(format!("{line}\n").as_bytes()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => panic!("cannot type: {error}"),
            _ => {}
        }
    }

    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// The next line of standard output.
    pub fn line(&mut self) -> String {
        self.output.next().unwrap_or_else(|| {
            panic!("no more output; on standard error: {:?}", self.errors.rest())
        })
    }

    /// The next line of standard output that contains the text.
    pub fn line_with(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "no line with {text:?}");
            let line = self.line();
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The next line of standard error that contains the text.
    pub fn error_with(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "no error with {text:?}");
            let line = self.errors.next().unwrap_or_else(|| panic!("no error with {text:?}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Waits for its end: the exit code, and what it printed that nobody has read.
    pub fn end(&mut self) -> (Option<i32>, Vec<String>, Vec<String>) {
        let (output, errors) = (self.output.rest(), self.errors.rest());
        (self.child.wait().expect("it ends").code(), output, errors)
    }

    /// Kills it (`kill -9`), and waits until it is no more.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Asks it to end, as a service manager does.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal, such as `HUP`.
    pub fn signal(&self, name: &str) {
        let (signal, id) = (format!("-{name}"), self.id().to_string());
        let status = Command::new("kill").args([&signal, &id]).status().expect("there is a kill");
        assert!(status.success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a stream, read on a thread so that waiting for one can end.
struct Lines(Receiver<String>);

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let (lines, received) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines() {
                if line.is_err() || line.is_ok_and(|line| lines.send(line).is_err()) {
                    break;
                }
            }
        });
        Lines(received)
    }

    fn next(&mut self) -> Option<String> {
        match self.0.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("no line within {PATIENCE:?}"),
        }
    }

    fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

/// A server that listens.
pub struct TestServer {
    pub program: Program,
    pub address: SocketAddr,
}

impl TestServer {
    pub fn start(options: &[&str]) -> Self {
        TestServer::start_on("127.0.0.1:0", options)
    }

    pub fn start_on(listen: &str, options: &[&str]) -> Self {
        TestServer::of(Program::start(&[&["serve", "--listen", listen], options].concat()))
    }

    /// The server that a program is.
    pub fn of(mut program: Program) -> Self {
        let line = program.line();
        let address = line.strip_prefix("listening on ").expect("the one line").parse().unwrap();
        TestServer { program, address }
    }

    /// A client process that has been welcomed.
    pub fn chat(&self, name: &str, options: &[&str]) -> Program {
        let address = self.address.to_string();
        let common = ["chat", "--name", name, "--server", &address];
        let mut chat = Program::start(&[&common, options].concat());
        chat.line_with("Welcome");
        chat
    }
}

/// A program with nothing but a socket, as they were before there was a library: no line feeds,
/// and JSON as Python writes it.
pub struct Raw {
    name: String,
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Raw {
    pub fn connect(address: SocketAddr, name: &str) -> Self {
        Raw::introduce(address, name, name)
    }

    /// Ends its name with a line feed, so that the server need not wait whether more of it comes.
    pub fn connect_at_once(address: SocketAddr, name: &str) -> Self {
        Raw::introduce(address, name, &format!("{name}\n"))
    }

    fn introduce(address: SocketAddr, name: &str, first: &str) -> Self {
        let (raw, welcome) = Raw::over(TcpStream::connect(address).unwrap(), name, first);
        assert!(welcome.contains("Welcome"), "{welcome}");
        raw
    }

    /// Says its name over a connection that is there; what it was told first.
    pub fn over(mut stream: TcpStream, name: &str, first: &str) -> (Self, String) {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(first.as_bytes()).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        let mut raw = Raw { name: name.to_owned(), stream, reader };
        let welcome = raw.hear();
        (raw, welcome)
    }

    /// What the server says next to this user, whatever name it has.
    pub fn hear(&mut self) -> String {
        loop {
            let message = self.receive().expect("the connection is open");
            let is_notice = message.to.starts_with('#') || message.to == "Everyone";
            if message.is_from_server() && !is_notice {
                return message.msg;
            }
        }
    }

    /// Sends a command, and hears what is said next, whatever name this user has.
    pub fn command(&mut self, command: &str, msg: &str) -> String {
        self.send(command, msg);
        self.hear()
    }

    /// Sends a command; what is said until there is a line with the text, that line included.
    pub fn command_until(&mut self, command: &str, msg: &str, text: &str) -> Vec<String> {
        self.send(command, msg);
        let mut said = vec![self.hear()];
        while !said.last().expect("one at least").contains(text) {
            said.push(self.hear());
        }
        said
    }

    /// Its name, the connection, and what reads it.
    pub fn into_parts(self) -> (String, TcpStream, BufReader<TcpStream>) {
        (self.name, self.stream, self.reader)
    }

    pub fn send(&mut self, to: &str, msg: &str) {
        let message = Message::new(&self.name, "192.0.2.7", to, msg);
        self.stream.write_all(message.to_python_json().as_bytes()).unwrap();
    }

    /// The next message; `None` when the server has closed.
    pub fn receive(&mut self) -> Option<Message> {
        let mut object = String::new();
        self.reader.read_line(&mut object).unwrap();
        (!object.is_empty()).then(|| Message::decode(object.as_bytes()).unwrap())
    }

    /// Sends a command; what the server answers.
    pub fn ask(&mut self, command: &str, msg: &str) -> String {
        self.send(command, msg);
        self.receive_for(&self.name.clone())
    }

    /// What the server says next to this user, to a room or to everybody.
    pub fn receive_for(&mut self, to: &str) -> String {
        loop {
            let message = self.receive().expect("the connection is open");
            if message.is_from_server() && message.to == to {
                return message.msg;
            }
        }
    }

    /// The next message that a user wrote.
    pub fn receive_from_user(&mut self) -> Message {
        loop {
            let message = self.receive().expect("the connection is open");
            if !message.is_from_server() {
                return message;
            }
        }
    }

    /// Joins a room, and waits until that is so.
    pub fn join(&mut self, room: &str) {
        self.send("/join", &format!("\"{room}\""));
        while !self.receive().expect("the connection is open").msg.starts_with("Joined ") {}
    }
}

/// A server that says what the test tells it to, and when.
pub struct Script {
    listener: TcpListener,
    pub address: SocketAddr,
}

impl Script {
    pub fn start() -> Self {
        Script::start_on(IpAddr::from([127, 0, 0, 1]))
    }

    pub fn start_on(address: IpAddr) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        Script { listener, address }
    }

    /// The connection that has been made, if there is one.
    pub fn try_accept(&self) -> std::io::Result<TcpStream> {
        self.listener.set_nonblocking(true)?;
        Ok(self.listener.accept()?.0)
    }

    /// Welcomes the next client, which must have that name. The server does not know `/state`, so that
    /// nothing is asked that the user did not.
    pub fn welcome(&self, name: &str) -> Scripted {
        self.welcome_as(name, name)
    }

    /// Welcomes the next client, which must have that name, and promises state lines. What the client
    /// asks by itself is not answered.
    pub fn welcome_with_lines(&self, name: &str) -> Scripted {
        let mut client = self.greet(name, name);
        client.say(name, &format!("Reporting on name={name} role=user login=false"));
        client.has_lines = true;
        client
    }

    /// Welcomes the next client, which must ask for that name, under another one.
    pub fn welcome_as(&self, name: &str, given: &str) -> Scripted {
        let mut client = self.greet(name, given);
        client.say(given, "❌ Unknown command \"/state\". Send /help to see the commands.");
        client
    }

    /// Welcomes the next client under that name, and hears that it asks for state lines.
    pub fn greet(&self, name: &str, given: &str) -> Scripted {
        let (mut stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut line = vec![0; name.len() + 1];
        stream.read_exact(&mut line).unwrap();
        assert_eq!(line, format!("{name}\n").as_bytes());
        let (input, decoder, has_lines) = (Vec::new(), Decoder::new(65_536), false);
        let mut client = Scripted { stream, input, decoder, has_lines };
        client.say(given, "Welcome");
        client.expect("/state", "on");
        client
    }
}

/// The server's side of a connection to a [`Script`].
pub struct Scripted {
    stream: TcpStream,
    /// What was read and not decoded.
    input: Vec<u8>,
    decoder: Decoder,
    /// Whether the client was promised state lines, so that it asks questions by itself.
    has_lines: bool,
}

impl Scripted {
    pub fn say(&mut self, to: &str, text: &str) {
        let object = Message::new("SERVER", "0.0.0.0", to, text).to_json();
        self.stream.write_all(format!("{object}\n").as_bytes()).unwrap();
    }

    /// To whom the next message goes, and its text.
    pub fn hear(&mut self) -> (String, String) {
        let mut buffer = [0; 4096];
        loop {
            let mut bytes = &self.input[..];
            if let Some(frame) = self.decoder.decode(&mut bytes).unwrap() {
                let message = frame.message().to_owned();
                let used = self.input.len() - bytes.len();
                self.input.drain(..used);
                if self.has_lines && ["/help", "/list", "/ping", "/rooms"].contains(&&*message.to) {
                    continue;
                }
                return (message.to, message.msg);
            }
            self.input.clear();
            let length = self.stream.read(&mut buffer).unwrap();
            assert!(length > 0, "the client has closed");
            self.input.extend_from_slice(&buffer[..length]);
        }
    }

    /// Says nothing more, and waits until the client has closed. A connection that is closed with unread
    /// input is reset, and what it was sent last can be lost.
    pub fn finish(mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
        // an error means that the client has closed too
        let _ = std::io::copy(&mut self.stream, &mut std::io::sink());
    }

    /// Waits for a `/login` or `/register`. The client asks behind it for state lines, to see its outcome.
    pub fn expect_login(&mut self, command: &str, argument: &str) {
        self.expect(command, argument);
        self.expect("/state", "on");
    }

    /// Waits for a message to `to` with that text.
    pub fn expect(&mut self, to: &str, text: &str) {
        assert_eq!(self.hear(), (to.to_owned(), text.to_owned()));
    }
}

/// Prints that a test is skipped, for this reason. Where all tests must run, it fails instead.
pub fn skip(reason: &str) {
    assert!(std::env::var_os("NO_TEST_MAY_BE_SKIPPED").is_none(), "{reason}");
    eprintln!("skipped: {reason}");
}

/// An address of this machine in a network, which is not loopback. Without a network, this prints
/// that the test is skipped.
pub fn network_address() -> Option<IpAddr> {
    // the system chooses the address; nothing is sent
    let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
    let address =
        socket.connect(("192.0.2.1", 9)).and_then(|()| socket.local_addr()).map(|own| own.ip());
    let address = address.ok().filter(|own| !own.is_loopback() && !own.is_unspecified());
    if address.is_none() {
        eprintln!("skipped: this machine has no address but loopback");
    }
    address
}

/// Tries again until it gives something.
pub fn eventually<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(outcome) = attempt() {
            return outcome;
        }
        assert!(begun.elapsed() < PATIENCE, "it never happened");
        thread::yield_now();
    }
}
