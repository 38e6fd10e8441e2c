//! A tour of the server: three users send every command, and the transcript of it is printed. Parts
//! that differ from run to run have a fixed form in it.
//!
//! ```console
//! $ cargo run -p server-example --example tour
//! ```
//!
//! `tour.txt` beside this file is that transcript. `tests/tour.rs` compares the two. The server is the
//! full program with a temporary data directory: this program starts itself once more for it.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;
use std::{env, fs, process};

use chatproto::{Client, ClientError, Message};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Longer than any answer takes, on a slow machine too.
const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &str = "the-token-of-the-admins";

#[allow(dead_code, reason = "the test has another one")]
fn main() -> ExitCode {
    // with arguments, this is the server of the tour
    if env::args_os().nth(1).is_some() {
        return server_example::run(env::args_os());
    }
    match env::current_exe().map_err(Into::into).and_then(|program| transcript(program.as_ref())) {
        Ok(transcript) => {
            print!("{transcript}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("tour: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Goes through all commands. `program` is the server, which is called with `serve`.
pub(crate) fn transcript(program: &OsStr) -> Outcome<String> {
    let server = Running::start(program)?;
    let mut tour = Tour { address: server.address.clone(), ..Tour::default() };

    tour.title("Three users connect");
    tour.connect("alice")?;
    tour.connect("bob")?;
    tour.connect("mona")?;

    tour.title("Questions");
    tour.say("alice", "/help", "")?;
    tour.say("alice", "/help", "/join")?;
    tour.say("alice", "/standard", "")?;
    tour.say("alice", "/list", "")?;
    tour.say("alice", "/whoami", "")?;
    tour.say("alice", "/time", "")?;
    tour.say("alice", "/ping", "still there?")?;

    tour.title("Messages");
    tour.say("alice", "bob", "hello, Bob")?;
    tour.say("alice", "carol", "hello, Carol")?;
    tour.say("alice", "/shout", "hello, everybody")?;
    tour.say("bob", "/away", "back at noon")?;
    tour.say("alice", "bob", "lunch?")?;
    tour.say("bob", "/away", "")?;

    tour.title("Rooms");
    tour.say("alice", "/join", "#tea")?;
    tour.say("bob", "/join", "#tea")?;
    tour.say("bob", "#tea", "is the kettle on?")?;
    tour.say("alice", "/roll", "#tea 2d6")?;
    tour.say("alice", "/who", "#tea")?;
    tour.say("alice", "/rooms", "")?;

    tour.title("Names, and lines for programs");
    tour.say("alice", "/state", "on")?;
    tour.say("bob", "/nick", "robert")?;
    tour.say("bob", "/nick", "bob")?;
    tour.say("alice", "/state", "off")?;
    tour.say("bob", "/leave", "#tea")?;

    tour.title("Accounts");
    tour.say("alice", "/register", "correct-horse")?;
    tour.say("bob", "/register", "battery-staple")?;
    tour.say("bob", "/passwd", "battery-staple \"two words\"")?;
    tour.leave("bob")?;
    tour.connect("bob")?;
    tour.say("bob", "/login", "battery-staple")?;
    tour.say("bob", "/login", "\"two words\"")?;

    tour.title("History");
    tour.say("bob", "/join", "#tea 5")?;
    tour.say("alice", "#tea", "it is")?;
    tour.say("alice", "/sync", "")?;
    tour.say("bob", "/times", "on")?;
    tour.say("bob", "/history", "#tea 2")?;
    tour.say("bob", "/history", "#tea since 1 0")?;
    tour.say("bob", "/cursors", "on")?;
    tour.say("alice", "#tea", "milk?")?;
    tour.say("bob", "/cursors", "off")?;
    tour.say("alice", "/forget", "#tea 2")?;
    tour.say("bob", "/history", "#tea")?;

    tour.title("Moderators");
    tour.say("mona", "/kick", "bob")?;
    tour.say("mona", "/admin", TOKEN)?;
    tour.say("mona", "/role", "alice moderator")?;
    tour.say("alice", "/notice", "the server restarts at noon")?;
    tour.say("alice", "/mute", "bob 10min")?;
    tour.say("bob", "#tea", "can you hear me?")?;
    tour.say("alice", "/mutes", "")?;
    tour.say("alice", "/unmute", "bob")?;
    tour.say("alice", "/ban", "mallory 2h advertising")?;
    tour.say("alice", "/ban", "203.0.113.0/24")?;
    tour.say("alice", "/bans", "")?;
    tour.say("alice", "/unban", "mallory")?;
    tour.say("alice", "/close", "#tea it is late")?;
    tour.say_last("alice", "/kick", "bob good night", "bob")?;
    tour.say("alice", "/unregister", "correct-horse")?;

    tour.check_that_all_were_sent()?;
    Ok(tour.text)
}

/// The users, and what they said and heard.
#[derive(Default)]
struct Tour {
    address: String,
    /// By their first names, in the order in which they connected.
    users: Vec<(String, Client)>,
    /// The list that `/help` gave.
    commands: Vec<String>,
    sent: Vec<String>,
    /// Each burst of messages ends with an answer that has this number.
    pings: u32,
    text: String,
}

impl Tour {
    fn title(&mut self, title: &str) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        writeln!(self.text, "{gap}== {title} ==").expect("text");
    }

    fn connect(&mut self, name: &str) -> Outcome {
        writeln!(self.text, "\n{name} connects").expect("text");
        let client = Client::builder(name).timeout(PATIENCE).connect(&*self.address)?;
        let welcome = client.welcome().clone();
        self.users.push((name.to_owned(), client));
        self.heard(name, &welcome);
        self.hear_all(name)
    }

    fn leave(&mut self, name: &str) -> Outcome {
        writeln!(self.text, "\n{name} closes the connection").expect("text");
        let at = self.position(name)?;
        self.users.remove(at).1.close()?;
        let others = self.users.first().map(|(user, _)| user.clone());
        others.map_or(Ok(()), |user| self.hear_all(&user))
    }

    /// Sends a message, and writes down all that it leads to.
    fn say(&mut self, name: &str, to: &str, msg: &str) -> Outcome {
        self.send(name, to, msg)?;
        self.hear_all(name)
    }

    /// The same for a message that closes another user's connection.
    fn say_last(&mut self, name: &str, to: &str, msg: &str, other: &str) -> Outcome {
        self.send(name, to, msg)?;
        self.hear(name)?;
        let at = self.position(other)?;
        let (_, mut client) = self.users.remove(at);
        loop {
            match client.recv_timeout(PATIENCE) {
                Ok(message) => self.heard(other, &message),
                Err(ClientError::Closed) => break,
                Err(error) => return Err(error.into()),
            }
        }
        writeln!(self.text, "  the server closes the connection of {other}").expect("text");
        self.hear_all(name)
    }

    fn send(&mut self, name: &str, to: &str, msg: &str) -> Outcome {
        let message = if msg.is_empty() { to.to_owned() } else { format!("{to}: {msg}") };
        writeln!(self.text, "\n{name} -> {message}").expect("text");
        self.sent.push(to.to_owned());
        Ok(self.users[self.position(name)?].1.send(to, msg)?)
    }

    fn position(&self, name: &str) -> Outcome<usize> {
        let position = self.users.iter().position(|(user, _)| user == name);
        Ok(position.ok_or_else(|| format!("{name} is not connected"))?)
    }

    /// Writes down all that came to each user, the sender first. When the sender's `/ping` is answered,
    /// the message has reached all others, and their own `/ping` marks the end of it.
    fn hear_all(&mut self, sender: &str) -> Outcome {
        let mut names: Vec<_> = self.users.iter().map(|(user, _)| user.clone()).collect();
        names.sort_by_key(|name| name != sender);
        names.iter().try_for_each(|name| self.hear(name))
    }

    fn hear(&mut self, name: &str) -> Outcome {
        self.pings += 1;
        let end = format!("end of burst {}", self.pings);
        let at = self.position(name)?;
        self.users[at].1.send("/ping", &end)?;
        loop {
            let message = self.users[at].1.recv_timeout(PATIENCE)?;
            if message.is_from_server() && message.msg == end {
                return Ok(());
            }
            self.heard(name, &message);
        }
    }

    fn heard(&mut self, name: &str, message: &Message) {
        if let Some(list) = message.msg.strip_prefix("Commands: ") {
            self.commands = list.split(", ").map(str::to_owned).collect();
        }
        let to = if message.to == name { String::new() } else { format!(" to {}", message.to) };
        let text = fixed(&message.msg);
        writeln!(self.text, "  {name} <- {}{to}: {text}", message.from.name).expect("text");
    }

    fn check_that_all_were_sent(&self) -> Outcome {
        let is_missing = |command: &&String| !self.sent.contains(command);
        let missing: Vec<_> = self.commands.iter().filter(is_missing).collect();
        match (self.commands.is_empty(), missing.is_empty()) {
            (true, _) => Err("/help gave no list".into()),
            (false, false) => Err(format!("not part of the tour: {missing:?}").into()),
            (false, true) => Ok(()),
        }
    }
}

/// Gives a fixed form to all that differs from run to run. These are dates, times, ages, epochs, dice
/// and the order of users in lists.
pub(crate) fn fixed(text: &str) -> String {
    if let Some((user, _)) = text.split_once(" rolled ") {
        return format!("{user} rolled 7 (2d6: 3 + 4).");
    }
    for list in ["Online (", "Connected users ("] {
        let Some((before, rest)) = text.split_once(list) else { continue };
        let Some((number, names)) = rest.split_once(": ") else { continue };
        let mut names: Vec<_> = names.split(", ").collect();
        names.sort_unstable();
        return format!("{before}{list}{number}: {}", names.join(", "));
    }
    // the age of a ban or mute, from its first second on
    let mut text = text.to_owned();
    if let Some((before, rest)) = text.split_once("s (").filter(|_| text.contains(" s ago")) {
        text = format!("{before}s ({}", rest.replace("for another ", "for "));
    }
    while let Some(end) = text.find(" s ago") {
        let start = text[..end].rfind(", ").unwrap_or(end);
        text.replace_range(start..end + " s ago".len(), "");
    }
    let words = text.split(' ').map(|word| match word.split_once('=') {
        Some((name @ "epoch", _)) => format!("{name}=0123456789abcdef"),
        // seconds since the first of them
        Some((name @ "times", times)) => {
            format!("{name}={}", vec!["0"; times.split(',').count()].join(","))
        }
        _ => word.to_owned(),
    });
    let text = words.collect::<Vec<_>>().join(" ");
    with_digits(&with_digits(&text, "2026-01-01"), "12:00:00")
}

/// The text with these digits in place of all that have the same form.
fn with_digits(text: &str, digits: &str) -> String {
    let is_alike = |(a, b): (char, char)| a == b || a.is_ascii_digit() && b.is_ascii_digit();
    let (mut fixed, mut rest) = (String::new(), text);
    while let Some(next) = rest.chars().next() {
        let part = rest.get(..digits.len());
        let length = match part {
            Some(part) if part.chars().zip(digits.chars()).all(is_alike) => {
                fixed.push_str(digits);
                digits.len()
            }
            _ => {
                fixed.push(next);
                next.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    fixed
}

/// The server, which ends when this is dropped, and its files with it.
struct Running {
    child: Child,
    address: String,
    directory: PathBuf,
}

impl Running {
    fn start(program: &OsStr) -> Outcome<Self> {
        let directory = env::temp_dir().join(format!("chatproto-tour-{}", process::id()));
        fs::create_dir(&directory)?;
        let token = directory.join("token");
        write_secret(&token, TOKEN)?;
        let mut command = Command::new(program);
        for (name, _) in env::vars_os().filter(|(name, _)| is_option(name)) {
            command.env_remove(name);
        }
        let child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--rate", "off", "--log", "off", "--data"])
            .args([directory.join("data").as_os_str(), "--admin-token".as_ref(), token.as_ref()])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut running = Running { child, address: String::new(), directory };
        let output = running.child.stdout.take().ok_or("no output")?;
        for line in BufReader::new(output).lines() {
            if let Some(address) = line?.strip_prefix("listening on ") {
                running.address = address.to_owned();
                return Ok(running);
            }
        }
        Err("the server did not start".into())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn is_option(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with("CHATPROTO_")
}

/// Writes a file that its owner alone can read.
fn write_secret(path: &Path, text: &str) -> Outcome {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    std::io::Write::write_all(&mut options.open(path)?, text.as_bytes())?;
    Ok(())
}
