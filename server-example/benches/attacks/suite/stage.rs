//! What an attack is given, and what it says of itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// An attack: what it does, what the server may need for it, and what it must not.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// What it is, with `{}` for its size.
    pub(crate) what: &'static str,
    /// Of connections, messages or bytes: in full, and in the small form.
    pub(crate) sizes: (usize, usize),
    /// How long it goes on at least, in full.
    pub(crate) lasts: Duration,
    /// Options of the server, in full and besides in the small form.
    pub(crate) options: &'static [&'static str],
    pub(crate) small_options: &'static [&'static str],
    /// Whether the server has a data directory, for history.
    pub(crate) keeps: bool,
    /// The limit of descriptors that the server gets when it runs; 0 for the system's.
    pub(crate) descriptors: u64,
    /// Bytes that the server may allocate for it beside what it had: a bound for each of its size,
    /// and one for all.
    pub(crate) heap: (u64, u64),
    /// What is no attack, but goes on beside it, in quiet times too.
    pub(crate) backdrop: Option<Backdrop>,
    pub(crate) run: fn(&Stage) -> Result<Told, String>,
}

/// What goes on in quiet times too.
pub(crate) type Backdrop = fn(&Stage) -> Result<(), String>;

/// What an attack found.
pub(crate) enum Told {
    /// What came of it.
    Done(String),
    /// The same, when its time was over before it had done so much as it was to do.
    Cut(usize, String),
    /// It cannot be tried here, for this reason.
    Skipped(String),
}

/// Where an attack takes place.
pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    /// The address that speaks HTTP.
    pub(crate) http: Option<SocketAddr>,
    /// Connections, messages or bytes.
    pub(crate) size: usize,
    pub(crate) is_small: bool,
    /// Not to end before.
    pub(crate) until: Instant,
    /// Runs of this stage before.
    pub(crate) turn: usize,
}

/// The rest of an attack that has no more to say of itself.
pub(crate) const ATTACK: Attack = Attack {
    name: "",
    what: "",
    sizes: (1, 1),
    lasts: Duration::from_secs(10),
    options: &[],
    small_options: &[],
    keeps: false,
    descriptors: 0,
    heap: (0, 0),
    backdrop: None,
    run: |_| Ok(Told::Done(String::new())),
};

impl Attack {
    pub(crate) const fn of(
        name: &'static str,
        what: &'static str,
        sizes: (usize, usize),
        heap: (u64, u64),
        run: fn(&Stage) -> Result<Told, String>,
    ) -> Self {
        Attack { name, what, sizes, heap, run, ..ATTACK }
    }

    /// What it is, when it has done so much.
    pub(crate) fn title(&self, done: usize) -> String {
        self.what.replace("{}", &grouped(done))
    }

    pub(crate) fn size(&self, is_small: bool) -> usize {
        if is_small { self.sizes.1 } else { self.sizes.0 }
    }

    /// The most that the server may allocate for it.
    pub(crate) fn most_heap(&self, is_small: bool) -> u64 {
        self.heap.0 * self.size(is_small) as u64 + self.heap.1
    }

    pub(crate) fn stage(&self, address: SocketAddr, is_small: bool, turn: usize) -> Stage {
        let lasts = if is_small { self.lasts / 20 } else { self.lasts };
        let until = Instant::now() + lasts;
        Stage { address, http: None, size: self.size(is_small), is_small, until, turn }
    }
}

impl Stage {
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}

/// A number in groups of three.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
