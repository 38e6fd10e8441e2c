//! The connection of a client that is judged, on which the server's part is played.

use std::time::Duration;

use chatproto::Message;

use super::super::raw::{Item, Raw};
use super::super::rules::{Stop, Tried, failed};
use super::super::show;
use super::super::transcript::Transcript;

/// The user that the client talks to.
pub(super) const PEER: &str = "check-peer";

/// A client that is connected, and what the transcript has of it.
pub(super) struct Client {
    pub(super) raw: Raw,
    pub(super) log: Transcript,
    pub(super) name: String,
    /// Whether it ended its name with LF, and so knows part B.
    pub(super) knows_part_b: bool,
    /// What ends each object to it.
    pub(super) end: &'static str,
    pub(super) timeout: Duration,
}

impl Client {
    pub(super) fn welcome(&mut self) {
        let text =
            format!("Welcome, {}! Send /help to see the commands. Online (1): {PEER}", self.name);
        self.say("SERVER", "0.0.0.0", &self.name.clone(), &text);
    }

    /// Sends a message in one write.
    pub(super) fn say(&mut self, from: &str, ip: &str, to: &str, msg: &str) {
        let object = Message::new(from, ip, to, msg).to_json() + self.end;
        self.raw.send(object.as_bytes());
    }

    /// The client's name as JSON.
    pub(super) fn quoted_name(&self) -> String {
        serde_json::Value::from(&*self.name).to_string()
    }

    /// A message of a user's to the client, without what ends it.
    pub(super) fn object(&self, msg: &str) -> String {
        Message::new(PEER, "192.0.2.7", &*self.name, msg).to_json()
    }

    /// Waits until the last of the texts has come back, and looks whether all did, in order.
    pub(super) fn expect_echoes(&mut self, texts: &[&str]) -> Result<Vec<Item>, Stop> {
        let since = self.raw.count();
        let last = texts.last().copied().unwrap_or_default();
        self.raw.hear(self.timeout, |item| item.to() == PEER && item.msg() == last);
        let is_echo = |item: &&Item| item.to() == PEER && texts.contains(&item.msg());
        let echoes: Vec<_> = self.raw.since(since).iter().filter(is_echo).cloned().collect();
        match echoes.iter().map(Item::msg).eq(texts.iter().copied()) {
            true => Ok(echoes),
            false => failed(show::came(&self.raw, since)),
        }
    }

    /// Says that nothing more will come, and waits for the client to close.
    pub(super) fn finish(&mut self) -> Tried {
        self.raw.finish();
        let since = self.raw.count();
        self.raw.hear_end(self.timeout);
        let came = show::came(&self.raw, since);
        if self.raw.end().is_some() { Ok(came) } else { Err(Stop::Noted(came)) }
    }
}
