//! A server that keeps accounts and history in a directory of its own, over its ends and beginnings;
//! and pages of the history as a client reads them.

use std::ops::{Deref, DerefMut};
use std::process::Command;

use super::temp_dir::TempDir;
use super::{Program, Raw, TestServer};

/// A password for everybody.
pub const PASSWORD: &str = "correct-horse-9";

/// A server and its data, which go when this is dropped.
pub struct KeptServer {
    server: TestServer,
    options: Vec<String>,
    pub data: String,
    pub dir: TempDir,
}

impl KeptServer {
    pub fn start(options: &[&str]) -> Self {
        let dir = TempDir::new();
        let data = dir.path("data");
        KeptServer::start_in(dir, data, options)
    }

    /// Its data is in a directory that has been made ready.
    pub fn start_in(dir: TempDir, data: String, options: &[&str]) -> Self {
        let options = options.iter().map(|&option| option.to_owned()).collect::<Vec<_>>();
        let server = TestServer::of(serve("127.0.0.1:0", &data, &options));
        KeptServer { server, options, data, dir }
    }

    /// Ends it as a service manager does, and starts it again on the same data.
    pub fn restart(&mut self) {
        self.server.program.terminate();
        let (code, _, errors) = self.server.program.end();
        assert_eq!(code, Some(0), "{errors:?}");
        self.begin();
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.server.program.kill();
    }

    /// Starts it again on the same data, after it has ended.
    pub fn begin(&mut self) {
        self.begin_on("127.0.0.1:0");
    }

    /// The same, where its clients find it again.
    pub fn begin_again(&mut self) {
        self.begin_on(&self.server.address.to_string());
    }

    fn begin_on(&mut self, listen: &str) {
        self.server = TestServer::of(serve(listen, &self.data, &self.options));
    }

    /// Connects under a name that may be an account's.
    pub fn join(&self, name: &str) -> Raw {
        Raw::connect_at_once(self.server.address, name)
    }

    /// A user who has just made an account.
    pub fn register(&self, name: &str) -> Raw {
        let mut user = self.join(name);
        let answer = user.command("/register", PASSWORD);
        assert!(answer.starts_with(&format!("The name {name} is yours")), "{answer}");
        user
    }

    /// The owner of an account, logged in.
    pub fn login(&self, name: &str) -> Raw {
        self.login_with(name, PASSWORD)
    }

    pub fn login_with(&self, name: &str, password: &str) -> Raw {
        let mut user = self.join(name);
        let said = user.hear();
        assert!(said.contains("belongs to an account"), "{said}");
        let answer = user.command("/login", password);
        assert!(answer.starts_with(&format!("You are logged in as {name}")), "{answer}");
        user
    }

    /// Runs `account` beside it, with a line of input.
    pub fn account(&self, arguments: &[&str], input: &str) {
        let data = ["--data", &self.data];
        let mut program = Program::start(&[&["account"], arguments, &data].concat());
        program.type_line(input);
        program.close_input();
        let (code, output, errors) = program.end();
        assert_eq!(code, Some(0), "{output:?} {errors:?}");
    }

    /// What `history export` writes, line by line.
    pub fn export(&self) -> Vec<serde_json::Value> {
        let data = ["history", "export", "--data", &self.data];
        let (code, lines, errors) = Program::start(&data).end();
        assert_eq!(code, Some(0), "{errors:?}");
        lines.iter().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

impl Deref for KeptServer {
    type Target = TestServer;

    fn deref(&self) -> &TestServer {
        &self.server
    }
}

impl DerefMut for KeptServer {
    fn deref_mut(&mut self) -> &mut TestServer {
        &mut self.server
    }
}

fn serve(listen: &str, data: &str, options: &[String]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_server-example"));
    command.args(["serve", "--listen", listen, "--data", data]).args(options);
    Program::spawn(command)
}

/// An answer of `/history`: what its head says, and the messages.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub ids: Vec<u64>,
    /// From whom, and the text.
    pub messages: Vec<(String, String)>,
    pub epoch: String,
    pub has_more: bool,
    pub is_recovered: Option<bool>,
}

impl Page {
    /// The texts alone.
    pub fn texts(&self) -> Vec<&str> {
        self.messages.iter().map(|(_, text)| &**text).collect()
    }
}

/// Asks for a page, which must come in one piece.
pub fn page(user: &mut Raw, arguments: &str) -> Page {
    user.send("/history", arguments);
    next_page(user)
}

/// Reads the page that comes next; what others say before it is passed over.
pub fn next_page(user: &mut Raw) -> Page {
    let mut said = user.hear();
    while !said.starts_with("history ") {
        assert!(!said.starts_with('❌'), "{said}");
        said = user.hear();
    }
    let field = |name: &str| {
        said.split(' ')
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            .map(str::to_owned)
    };
    let ids = field("ids").map_or(Vec::new(), |text| text.split(',').flat_map(range).collect());
    let count: usize = field("count").unwrap().parse().unwrap();
    assert_eq!(ids.len(), count, "{said}");
    let mut messages = Vec::new();
    loop {
        let message = user.receive().expect("the connection is open");
        if message.is_from_server() {
            assert!(message.msg.starts_with("end of history "), "{}", message.msg);
            break;
        }
        messages.push((message.from.name, message.msg));
    }
    assert_eq!(messages.len(), count, "{said}");
    Page {
        ids,
        messages,
        epoch: field("epoch").unwrap(),
        has_more: field("more").unwrap() == "true",
        is_recovered: field("recovered").map(|word| word == "true"),
    }
}

/// `3-5` or `8`.
fn range(text: &str) -> std::ops::RangeInclusive<u64> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    first.parse().unwrap()..=last.parse().unwrap()
}

/// Asks for what was sent to be safe: the id of the last message, and the epoch.
pub fn sync(user: &mut Raw) -> (u64, String) {
    let answer = user.command("/sync", "");
    parse_synced(&answer).unwrap_or_else(|| panic!("{answer}"))
}

/// The id and the epoch of an answer of `/sync`, if it is one that says yes.
pub fn parse_synced(answer: &str) -> Option<(u64, String)> {
    let (id, epoch) = answer.strip_prefix("synced id=")?.split_once(" epoch=")?;
    Some((id.parse().ok()?, epoch.to_owned()))
}
