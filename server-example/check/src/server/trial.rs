//! What a trial on a server works with: names that nobody else has, users that are registered, and
//! waits that end.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chatproto::Message;
use chatproto::websocket::Url;

use super::super::options::{Judged, Patience, Peer};
use super::super::raw::{Item, Raw};
use super::super::rules::{Stop, failed};
use super::super::show;
use super::super::transcript::Transcript;

/// The server that is judged, and what is known of it; shared by all trials of a run.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) address: SocketAddr,
    /// The WebSocket there, if it is judged over one.
    pub(super) url: Option<Url>,
    pub(super) judged: Judged,
    pub(super) timeout: Duration,
    pub(super) quiet: Duration,
    /// What the names of this run begin with.
    prefix: String,
    /// How many names were made.
    names: AtomicUsize,
    /// Whether a registered user hears nothing, so that waiting for a welcome is in vain.
    is_mute: AtomicBool,
    /// How many objects a user hears at first; more than one is a fault of its own (A7).
    greetings: AtomicUsize,
}

impl Bench {
    pub(super) fn new(
        address: SocketAddr,
        url: Option<&Url>,
        patience: &Patience,
        judged: &Judged,
    ) -> Self {
        // letters only, so that digits in an answer are numbers
        let prefix: String = (0..6).map(|_| fastrand::lowercase()).collect();
        Bench {
            address,
            url: url.cloned(),
            judged: judged.clone(),
            timeout: patience.timeout.0,
            quiet: patience.quiet.0,
            prefix: format!("check-{prefix}-"),
            names: AtomicUsize::new(0),
            is_mute: AtomicBool::new(false),
            greetings: AtomicUsize::new(1),
        }
    }

    /// Says how many objects a user hears at first.
    pub(super) fn set_greetings(&self, count: usize) {
        self.greetings.store(count.max(1), Ordering::Relaxed);
        self.is_mute.store(count == 0, Ordering::Relaxed);
    }

    /// Whether registered users hear nothing.
    pub(super) fn is_mute(&self) -> bool {
        self.is_mute.load(Ordering::Relaxed)
    }

    /// Whether the name is one of this run's.
    pub(super) fn is_ours(&self, name: &str) -> bool {
        name.to_lowercase().contains(&self.prefix)
    }
}

/// One trial.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    bench: Arc<Bench>,
    pub(super) log: Transcript,
    /// The names that were registered, and what the report calls them.
    labels: Arc<Mutex<Vec<(String, String)>>>,
}

impl std::ops::Deref for Trial {
    type Target = Bench;

    fn deref(&self) -> &Bench {
        &self.bench
    }
}

impl Trial {
    pub(super) fn new(bench: &Arc<Bench>) -> Self {
        let labels = Arc::default();
        Trial { bench: Arc::clone(bench), log: Transcript::default(), labels }
    }

    /// The text, in which users are called what they are in this trial.
    pub(super) fn relabel(&self, text: &str) -> String {
        let mut labels = self.labels.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // no name is to be taken for the beginning of another
        labels.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        labels.iter().fold(text.to_owned(), |text, (name, label)| text.replace(name, label))
    }

    /// A name that this run has not used.
    pub(super) fn name(&self) -> String {
        let mut number = self.bench.names.fetch_add(1, Ordering::Relaxed);
        let mut name = self.bench.prefix.clone();
        loop {
            name.push(char::from(b'a' + (number % 26) as u8));
            number /= 26;
            if number == 0 {
                return name;
            }
        }
    }

    /// A connection that has said nothing yet.
    pub(super) fn connect(&self, label: &str) -> Result<Raw, Stop> {
        Raw::connect(self.address, self.url.as_ref(), self.timeout, label, &self.log)
            .map_err(Stop::Untried)
    }

    /// A connection whose URL has the name.
    pub(super) fn connect_as(&self, label: &str, name: &str) -> Result<Raw, Stop> {
        let url = self.url.clone().map(|url| url.with_name(name));
        Raw::connect(self.address, url.as_ref(), self.timeout, label, &self.log)
            .map_err(Stop::Untried)
    }

    /// A registered user of the kind that was asked for.
    pub(super) fn user(&self, label: &str) -> Result<User, Stop> {
        self.register(label, &self.name(), self.judged.peer)
    }

    /// A registered user that reads streams.
    pub(super) fn stream_user(&self, label: &str) -> Result<User, Stop> {
        self.register(label, &self.name(), Peer::Stream)
    }

    /// A registered user that takes each read for one object.
    pub(super) fn bare_user(&self, label: &str) -> Result<User, Stop> {
        self.register(label, &self.name(), Peer::OneRead)
    }

    /// Registers a user, so far as that can be seen. A server that says nothing is believed to have
    /// taken the name: what it lacks then is a rule of its own (A7).
    pub(super) fn register(&self, label: &str, name: &str, peer: Peer) -> Result<User, Stop> {
        let mut raw = self.connect(label)?;
        self.call(name, label);
        let end = if peer == Peer::Stream { "\n" } else { "" };
        raw.send(format!("{name}{end}").as_bytes());
        let welcome = self.welcome(&mut raw)?;
        Ok(User { bench: Arc::clone(&self.bench), name: name.to_owned(), raw, peer, welcome })
    }

    /// Has the report call the name so.
    pub(super) fn call(&self, name: &str, label: &str) {
        let mut labels = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        labels.push((name.to_owned(), label.to_owned()));
    }

    /// Waits for the welcome, which a mute server does not send.
    pub(super) fn welcome(&self, raw: &mut Raw) -> Result<Option<Item>, Stop> {
        if self.is_mute() {
            // the answer to something shows that the name was taken
            raw.listen(self.quiet);
            raw.send(Message::new("", "", "/time", "/time").to_python_json().as_bytes());
        }
        let first = raw.hear(self.timeout, |_| true);
        let in_vain = match &first {
            Some(item) => item.is_refusal(),
            None => raw.end().is_some(),
        };
        if in_vain {
            let came = show::came(raw, 0);
            return Err(Stop::Untried(format!("a user could not be registered; came: {came}")));
        }
        for _ in 1..self.greetings.load(Ordering::Relaxed) {
            raw.hear(self.timeout, |_| true);
        }
        Ok(first.filter(|_| !self.is_mute()))
    }

    /// Waits until `user` hears the text from a user, whatever else comes.
    pub(super) fn expect_text(&self, user: &mut User, text: &str) -> Result<Item, Stop> {
        let since = user.raw.count();
        match user.raw.hear(self.timeout, |item| item.msg() == text) {
            Some(item) => Ok(item),
            None => failed(format!("{}: {}", user.label(), show::came(&user.raw, since))),
        }
    }

    /// Waits until one of the two has something that is wanted, looking at both in turn.
    pub(super) fn either(
        &self,
        (one, is_one): (&mut Raw, impl Fn(&Raw) -> bool),
        (other, is_other): (&mut Raw, impl Fn(&Raw) -> bool),
    ) {
        const TURN: Duration = Duration::from_millis(5);
        let until = Instant::now() + self.timeout;
        while !is_one(one) && !is_other(other) && Instant::now() < until {
            one.read(Instant::now() + TURN);
            other.read(Instant::now() + TURN);
        }
    }

    /// The address that the server sees a user connect from.
    pub(super) fn address_of(&self, user: &User) -> Option<IpAddr> {
        self.judged.seen_as.or_else(|| user.raw.local_ip())
    }
}

/// A user that is registered.
#[derive(Debug)]
pub(super) struct User {
    bench: Arc<Bench>,
    pub(super) name: String,
    pub(super) raw: Raw,
    peer: Peer,
    /// The first object that came.
    pub(super) welcome: Option<Item>,
}

impl User {
    /// A message of this user's, in the form that its kind writes.
    pub(super) fn object(&self, to: &str, msg: &str) -> Vec<u8> {
        let message = Message::new(&self.name, "192.0.2.7", to, msg);
        match self.peer {
            Peer::OneRead => message.to_python_json(),
            Peer::Stream => message.to_json() + "\n",
        }
        .into_bytes()
    }

    /// Sends a message.
    pub(super) fn say(&mut self, to: &str, msg: &str) {
        let object = self.object(to, msg);
        self.raw.send(&object);
    }

    /// Sends a message that the server answers itself.
    pub(super) fn ask(&mut self, to: &str, msg: &str) -> Result<Item, Stop> {
        let since = self.raw.count();
        self.say(to, msg);
        match self.answer() {
            Some(item) => Ok(item),
            None => failed(show::came(&self.raw, since)),
        }
    }

    /// The next answer: what is not from a user of this run, and not for a room or everybody. (Who
    /// the server says it is is a rule of its own.)
    pub(super) fn answer(&mut self) -> Option<Item> {
        self.answer_with(self.bench.timeout, |_| true)
    }

    /// The next answer that is wanted.
    pub(super) fn answer_with(
        &mut self,
        timeout: Duration,
        wanted: impl Fn(&Item) -> bool,
    ) -> Option<Item> {
        let bench = Arc::clone(&self.bench);
        self.raw.hear(timeout, |item| is_answer(&bench, item) && wanted(item))
    }

    /// The answers that have come since there were so many objects.
    pub(super) fn answers_since(&self, since: usize) -> Vec<&Item> {
        self.raw.since(since).iter().filter(|item| is_answer(&self.bench, item)).collect()
    }

    /// What has come since there were so many objects that concerns this run: not what other
    /// people tell everybody, but all that is malformed.
    pub(super) fn concerning_since(&self, since: usize) -> Vec<&Item> {
        let concerns = |item: &&Item| {
            item.message.is_err() || self.bench.is_ours(item.from()) || item.to() == self.name
        };
        self.raw.since(since).iter().filter(concerns).collect()
    }

    /// What the transcript calls it.
    pub(super) fn label(&self) -> &str {
        self.raw.label()
    }
}

fn is_answer(bench: &Bench, item: &Item) -> bool {
    item.message.is_ok()
        && !bench.is_ours(item.from())
        && item.to() != chatproto::name::EVERYONE
        && !item.to().starts_with('#')
}
