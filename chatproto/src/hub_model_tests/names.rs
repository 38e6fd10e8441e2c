//! The words that the steps are made of: peers, names, addresses, rooms and durations. Each says what
//! the rules make of it, so that the model does not have to ask the hub's own code.

use std::fmt;
use std::sync::LazyLock;

/// Whoever is, or was, behind one of the test's connections. Where it connects again it is the same
/// peer on another connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Peer(pub(super) u8);

impl Peer {
    /// It is there all the time, reads everything, does nothing of its own, and is asked who is who.
    pub(super) const OBSERVER: Peer = Peer(u8::MAX);
    /// So many do something; the others stand in the crowd.
    const ACTING: u8 = 6;

    pub(super) fn acting() -> impl Iterator<Item = Peer> {
        (0..Self::ACTING).map(Peer)
    }

    pub(super) fn is_acting(self) -> bool {
        self.0 < Self::ACTING
    }

    pub(super) fn bystander(index: usize) -> Self {
        Peer(Self::ACTING + index as u8)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::OBSERVER { f.write_str("Observer") } else { write!(f, "P{}", self.0) }
    }
}

/// What somebody types as a name.
#[derive(Clone, Copy)]
pub(super) struct Name {
    pub(super) typed: &'static str,
    /// The name that it is, if it can be one.
    pub(super) name: Option<&'static str>,
    /// Names with the same word here look alike.
    looks: &'static str,
}

impl Name {
    const fn new(typed: &'static str, name: &'static str, looks: &'static str) -> Self {
        Name { typed, name: Some(name), looks }
    }

    const fn bad(typed: &'static str) -> Self {
        Name { typed, name: None, looks: "" }
    }

    /// The name without what else may be typed around it.
    pub(super) fn plain(self) -> &'static str {
        self.name.unwrap_or(self.typed)
    }

    /// The name as an argument.
    pub(super) fn quoted(self) -> String {
        quoted(self.plain())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.typed)
    }
}

pub(super) const OBSERVER: &str = "Olga";
pub(super) const OBSERVER_NAME: Name = Name::new(OBSERVER, OBSERVER, OBSERVER);
/// The first of them is an admin, the second and the fourth are moderators.
pub(super) const PRESENT: [Name; 4] =
    [NAMES[0], Name::new("anna", "anna", "anna"), NAMES[1], NAMES[4]];
pub(super) const NAMES: [Name; 13] = [
    Name::new("mod", "mod", "mod"),
    Name::new("bob", "bob", "bob"),
    Name::new("Bob", "Bob", "bob"),
    Name::new("B0B", "B0B", "bob"),
    Name::new("ann \"al\" lee", "ann \"al\" lee", "ann lee"),
    Name::new(" anna\r", "anna", "anna"),
    Name::new("zo\u{eb}", "zo\u{eb}", "zo\u{eb}"),
    Name::new("zoe\u{308}", "zo\u{eb}", "zo\u{eb}"),
    Name::new("192.0.2.7", "192.0.2.7", "a name of digits"),
    Name::bad("Guest"),
    Name::bad("/x"),
    Name::bad("bob~7"),
    Name::bad("Server:"),
];
/// Those of them that somebody can have.
pub(super) fn good_names() -> Vec<Name> {
    NAMES.into_iter().filter(|name| name.name.is_some()).collect()
}

/// The names that look like this one have the same word.
pub(super) fn looks(name: &'static str) -> &'static str {
    NAMES.iter().find(|known| known.name == Some(name)).map_or(name, |known| known.looks)
}

/// The name of a bystander.
pub(super) fn bystander(index: usize) -> &'static str {
    static ALL: LazyLock<Vec<String>> =
        LazyLock::new(|| (0..120).map(|index| format!("c{index}")).collect());
    &ALL[index]
}

/// An address from which somebody connects.
#[derive(Clone, Copy)]
pub(super) struct Address {
    pub(super) is: &'static str,
    /// As the server shows it.
    pub(super) shown: &'static str,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.is)
    }
}

pub(super) const HOME: &str = "127.0.0.1";
/// Nobody bans the observer.
pub(super) const APART: Address = Address { is: "203.0.113.1", shown: "203.0.113.1" };
pub(super) const ADDRESSES: [Address; 5] = [
    Address { is: HOME, shown: HOME },
    Address { is: "192.0.2.7", shown: "192.0.2.7" },
    Address { is: "192.0.2.8", shown: "192.0.2.8" },
    Address { is: "2001:db8:0::7", shown: "2001:db8::7" },
    Address { is: "::ffff:192.0.2.7", shown: "192.0.2.7" },
];

/// Whom a ban is for.
#[derive(Clone, Copy)]
pub(super) enum Target {
    Name(Name),
    /// An address or a network, and which of the addresses above are in it.
    Net(&'static str, &'static [&'static str]),
}

impl Target {
    pub(super) const NETS: [Target; 4] = [
        Target::Net("192.0.2.7", &["192.0.2.7"]),
        Target::Net("192.0.2.0/24", &["192.0.2.7", "192.0.2.8"]),
        Target::Net("2001:db8::/32", &["2001:db8::7"]),
        Target::Net(HOME, &[HOME]),
    ];

    /// As it is written without spaces: a name that begins like an address is in quotes.
    pub(super) fn shown(self) -> String {
        match self {
            Target::Name(name) if begins_like_number(name.plain()) => in_quotes(name.plain()),
            Target::Name(name) => name.plain().to_owned(),
            Target::Net(text, _) => text.to_owned(),
        }
    }

    /// As the argument of a command.
    pub(super) fn quoted(self) -> String {
        match self {
            Target::Name(name) => in_quotes(name.plain()),
            Target::Net(text, _) => text.to_owned(),
        }
    }

    /// What the answer to a ban says that it covers.
    pub(super) fn described(self) -> String {
        match self {
            Target::Name(_) => format!("{} and its look-alikes", self.shown()),
            Target::Net(text, _) if text.contains('/') => format!("the network {text}"),
            Target::Net(text, _) => format!("the address {text}"),
        }
    }

    /// Bans with the same key are for the same.
    pub(super) fn key(self) -> &'static str {
        match self {
            Target::Name(name) => name.looks,
            Target::Net(text, _) => text,
        }
    }

    pub(super) fn is_for(self, name: &'static str, address: &str) -> bool {
        match self {
            Target::Name(banned) => banned.looks == looks(name),
            Target::Net(_, addresses) => addresses.contains(&address),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shown())
    }
}

/// How long something lasts.
#[derive(Clone, Copy)]
pub(super) struct Lasting {
    pub(super) typed: &'static str,
    pub(super) millis: u64,
    pub(super) shown: &'static str,
}

impl fmt::Debug for Lasting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.typed)
    }
}

pub(super) const LASTING: [Option<Lasting>; 3] = [
    None,
    Some(Lasting { typed: "30s", millis: 30_000, shown: "30 s" }),
    Some(Lasting { typed: "10min", millis: 600_000, shown: "10 min" }),
];

pub(super) const TEA: &str = "#tea";
pub(super) const ROOMS: [&str; 3] = [TEA, "#Tea", "#green tea"];
/// No name of a room.
pub(super) const NO_ROOM: &str = "tea";

/// As the value of a pair in a state line.
pub(super) fn value(text: &str) -> String {
    quoted(text)
}

/// In the quotes that an argument with a space needs.
pub(super) fn quoted(text: &str) -> String {
    if text.contains([' ', '"']) { in_quotes(text) } else { text.to_owned() }
}

fn in_quotes(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn begins_like_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}
