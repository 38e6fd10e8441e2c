//! Targets of bans: names with their look-alikes, addresses and networks, and how people write them.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use crate::argument::in_quotes;
use crate::endpoint::{Argument, ArgumentError, Arguments};
use crate::name::{LookalikeKeys, NameError, UserName, lookalike_keys, normalise};
use crate::network::Network;

use super::excerpt::{quoted, shortened};
use super::origin::origin;
use super::terms::{in_ascii_digits, is_like_duration};

/// Longest name that a limit can allow, in bytes.
pub(super) const LONGEST_NAME: usize = 1024;

/// Whom a ban is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Target {
    /// A name and those that look like it. It is known by all of its keys.
    Name(LookalikeKeys),
    /// Addresses in this network; one address is a network too.
    Net(IpNet),
}

impl Target {
    /// A name and its look-alikes: of any spelling from which [`UserName`] makes the same name.
    pub(super) fn name(name: &str) -> Self {
        Target::Name(lookalike_keys(&normalise(name.trim())))
    }

    /// Whether it is for a user of that name and address.
    pub(super) fn is_for(&self, name: &str, address: IpAddr) -> bool {
        match self {
            Target::Name(keys) => keys.is_like(&lookalike_keys(name)),
            Target::Net(net) => net.contains(&address),
        }
    }
}

/// Whom a ban is for: an address, a network such as `192.0.2.0/24`, or else a name. A name stands for
/// all that look like it. In double quotes it is always a name; a name that begins like an address has to
/// be.
///
/// Targets are equal if they are the same however they are written: the same addresses, or names that
/// look alike in small letters. A ban of a name is also for names that look like it in another case:
/// see [`lookalike_keys`](crate::name::lookalike_keys).
///
/// ```
/// use chatproto::hub::BanTarget;
///
/// let target: BanTarget = "bob".parse()?;
/// assert_eq!(target, "B0B".parse()?);
/// assert_eq!(target.to_string(), "bob");
/// assert_eq!("192.0.2.7/24".parse::<BanTarget>()?, "192.0.2.0/24".parse()?);
/// assert_ne!("\"192.0.2.7\"".parse::<BanTarget>()?, "192.0.2.7".parse()?);
/// assert!("192.0.2.0/33".parse::<BanTarget>().is_err());
/// assert!("/list".parse::<BanTarget>().is_err());
/// # Ok::<(), chatproto::hub::BanTargetError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BanTarget {
    /// The name in the spelling of [`UserName`], or the address or network as it was written. White space
    /// at its ends would be lost where it is read again.
    text: Box<str>,
    pub(super) key: Target,
}

/// Why a text is not the target of a ban.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BanTargetError {
    /// It begins like an address or a network, and is neither.
    #[error(
        "{0} is not an address or a network; write one like 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32, \
         or put a name in double quotes"
    )]
    Address(String),
    /// It is more than one word, and not all of them are of a name.
    #[error(
        "{0} is not one target; write one address, network or name, such as 192.0.2.0/24, without a \
         duration or a reason, or put a name in double quotes"
    )]
    Several(String),
    /// No user can have this name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It begins with a double quote, and is not one argument.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
}

impl BanTarget {
    /// A name and its look-alikes, whatever the name looks like. No user need be able to have it.
    pub(super) fn name(name: &str) -> Self {
        let name = normalise(name.trim());
        BanTarget { key: Target::name(&name), text: name.into() }
    }

    /// The target that an argument names. No user need be able to have it.
    ///
    /// # Errors
    /// [`BanTargetError::Address`].
    pub(super) fn of(argument: &Argument<'_>) -> Result<Self, BanTargetError> {
        if argument.is_quoted() {
            return Ok(BanTarget::name(argument));
        }
        if let Some(net) = network(argument) {
            return Ok(BanTarget { key: Target::Net(net), text: (**argument).into() });
        }
        if begins_like_address(argument) {
            return Err(BanTargetError::Address(quoted(argument)));
        }
        Ok(BanTarget::name(argument))
    }

    /// The text of a target that was shown, which is one.
    pub(super) fn shown(text: &str, key: &Target) -> Self {
        let quoted = Arguments::new(text).next().and_then(Result::ok).filter(Argument::is_quoted);
        let name = quoted.as_deref().filter(|_| matches!(key, Target::Name(_)));
        BanTarget { text: name.unwrap_or(text).into(), key: key.clone() }
    }

    /// It and what it covers, in words.
    pub(super) fn described(&self) -> String {
        match &self.key {
            Target::Name(_) => {
                let shown = self.to_string();
                format!("{} and its look-alikes", shortened(&shown))
            }
            Target::Net(net) if net.prefix_len() == net.max_prefix_len() => {
                format!("the address {}", net.addr())
            }
            Target::Net(net) => format!("the network {net}"),
        }
    }

    /// Whether it is a name; else it is an address or a network.
    pub fn is_name(&self) -> bool {
        matches!(self.key, Target::Name(_))
    }

    /// The name, or the address or network as it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Checks that a name can be a user's.
    pub(super) fn check(self) -> Result<Self, BanTargetError> {
        if self.is_name() {
            UserName::from_bytes(self.text.as_bytes(), LONGEST_NAME)?;
        }
        Ok(self)
    }

    /// The target in one spelling: targets have equal keys if they are equal. The key is `name ` and the
    /// look-alike keys of a name with a tab between them, or `net ` and a network. A name in ASCII has one
    /// look-alike key. No look-alike key has a tab.
    pub fn key(&self) -> String {
        match &self.key {
            Target::Name(keys) => format!("name {}", keys.iter().collect::<Vec<_>>().join("\t")),
            Target::Net(net) => format!("net {net}"),
        }
    }
}

impl From<IpAddr> for BanTarget {
    /// An address, and what counts as the same one.
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        BanTarget { key: Target::Net(origin(address)), text: address.to_string().into() }
    }
}

impl From<&UserName> for BanTarget {
    /// A name and its look-alikes, whatever the name looks like.
    fn from(name: &UserName) -> Self {
        BanTarget::name(name.as_str())
    }
}

impl FromStr for BanTarget {
    type Err = BanTargetError;

    /// Reads an address, a network, or a name of at most 1024 bytes. A name needs double quotes if one of
    /// its words is like an address, a network, a duration or a comment.
    fn from_str(text: &str) -> Result<Self, BanTargetError> {
        let text = text.trim();
        let mut arguments = Arguments::new(text);
        let target = match arguments.next().transpose()? {
            Some(argument) if arguments.rest().is_empty() => BanTarget::of(&argument)?,
            Some(argument) if argument.is_quoted() => {
                return Err(ArgumentError::TextAfterQuote.into());
            }
            _ if is_like_several(text) => return Err(BanTargetError::Several(quoted(text))),
            _ => BanTarget::name(text),
        };
        target.check()
    }
}

impl fmt::Display for BanTarget {
    /// As one can write it: a name that would be read as something else is in double quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &*self.text;
        let is_ambiguous = self.is_name()
            && (text.starts_with('"') || begins_like_address(text) || is_like_several(text));
        match is_ambiguous {
            true => f.write_str(&in_quotes(&self.text)),
            false => f.write_str(&self.text),
        }
    }
}

impl PartialEq for BanTarget {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for BanTarget {}

impl PartialOrd for BanTarget {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for BanTarget {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl Hash for BanTarget {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// An address and what counts as the same one, or a network such as `192.0.2.0/24`.
fn network(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(origin(address.to_canonical()));
    }
    text.parse::<Network>().ok().map(Network::net)
}

/// Whether a text may be meant as an address or a network: `10/8`, `192.0.2.*`, `[::1]`, `fe80::1%eth0`,
/// and `2001:db8`, which is incomplete. Digits of every script and width are meant as those of ASCII.
fn begins_like_address(text: &str) -> bool {
    /// No address is as long as that.
    const LONGEST: usize = 64;
    let is_around = |c: &char| !c.is_alphanumeric() && *c != ':';
    let text: String = in_ascii_digits(text).skip_while(is_around).take(LONGEST).collect();
    let begins = |is_of: fn(&char) -> bool| text.split_at(text.chars().take_while(is_of).count());
    // both sets of characters are ASCII, so that a count of characters is one of bytes
    let (digits, behind) = begins(char::is_ascii_digit);
    let mut behind = behind.chars();
    let is_of_v4 = !digits.is_empty()
        && match behind.next() {
            Some('/') => behind.next().is_none_or(|c| c.is_ascii_digit()),
            Some('.') => behind.next().is_none_or(|c| c.is_ascii_digit() || "*x".contains(c)),
            _ => false,
        };
    let (groups, behind) = begins(|c| c.is_ascii_hexdigit() || *c == ':');
    let is_of_v6 = match groups.matches(':').count() {
        0 => false,
        1 => groups.contains(|c: char| c.is_ascii_digit()),
        _ => true,
    };
    is_of_v4 || is_of_v6 && behind.chars().next().is_none_or(|c| "/%.*]".contains(c))
}

/// Whether several words may be meant as more than one target, or as a target with a duration or a comment.
/// `user 12` is a name.
fn is_like_several(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let is_first_address = words.next().is_some_and(begins_like_address);
    let mut words = words.peekable();
    if words.peek().is_some() && is_first_address {
        return true;
    }
    while let Some(word) = words.next() {
        let is_other = word.starts_with('#') || begins_like_address(word);
        if is_other || is_like_duration(word, words.peek().copied()) {
            return true;
        }
    }
    false
}
