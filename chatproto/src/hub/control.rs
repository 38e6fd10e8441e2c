//! Changes by the application while the hub runs: bounds, the admins' token, and bans and mutes that were
//! kept or configured. Acts on users are in [`perform`](super::perform).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use crate::argument::in_quotes;
use crate::endpoint::{Argument, ArgumentError, Arguments};
use crate::limits::Limits;
use crate::name::{NameError, UserName, normalise};

use super::answer::{clipped, quoted, shortened};
use super::moderation::{REASON, Secret, for_so_long, in_ascii_digits, is_like_duration};
use super::rights::Rank;
use super::sanctions::{Sanction, Since, Target, Until};
use super::users::origin;
use super::{ConnId, Departure, Hub, Now, Output};

/// Longest name that a limit can allow, in bytes.
pub(super) const LONGEST_NAME: usize = 1024;

/// Whom a ban is for: an address, a network such as `192.0.2.0/24`, or else a name. A name stands for
/// all that look like it. In double quotes it is always a name; a name that begins like an address has to
/// be.
///
/// Targets are equal if they are the same however they are written: the same addresses, or names that
/// look alike in small letters. A ban of a name is also for names that look like it in another case:
/// see [`lookalike_keys`](crate::name::lookalike_keys).
///
/// ```
/// use chatproto::BanTarget;
///
/// let target: BanTarget = "bob".parse()?;
/// assert_eq!(target, "B0B".parse()?);
/// assert_eq!(target.to_string(), "bob");
/// assert_eq!("192.0.2.7/24".parse::<BanTarget>()?, "192.0.2.0/24".parse()?);
/// assert_ne!("\"192.0.2.7\"".parse::<BanTarget>()?, "192.0.2.7".parse()?);
/// assert!("192.0.2.0/33".parse::<BanTarget>().is_err());
/// assert!("/list".parse::<BanTarget>().is_err());
/// # Ok::<(), chatproto::BanTargetError>(())
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

/// A ban, as it is kept to be put in force again after a restart: see [`Hub::restore_ban`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ban {
    /// Whom it is for.
    pub target: BanTarget,
    /// The name of the actor who imposed it, as the banned are told; may be empty. By default it is.
    pub by: String,
    /// The rank of that actor: who may lift it. By default it is the operator.
    pub rank: Rank,
    /// Why; may be empty, and is cut after 256 bytes. By default it is empty.
    pub reason: String,
    /// How long it has held. By default it begins now.
    pub age: Duration,
    /// How long it holds from now on; `None`, which is the default, as long as the hub lives.
    pub remaining: Option<Duration>,
    /// Whether it is one of the configuration. It covers another ban of the same target, until it ends or
    /// [`Hub::withdraw_ban`] removes it. Then the other one holds. By default it is not.
    pub is_configured: bool,
}

impl Ban {
    /// A ban of the operator without an end, for which no reason is given.
    pub fn new(target: BanTarget) -> Self {
        let (by, reason) = Default::default();
        let (rank, age, remaining) = (Rank::Operator, Duration::ZERO, None);
        Ban { target, by, rank, reason, age, remaining, is_configured: false }
    }

    /// A ban that holds.
    pub(super) fn of(target: &Target, ban: &Sanction, now: Now) -> Self {
        Ban {
            target: BanTarget::shown(&ban.shown, target),
            by: ban.by.clone(),
            rank: ban.rank,
            reason: ban.reason.clone(),
            age: ban.since.age(now.monotonic),
            remaining: ban.until.remaining(now.monotonic),
            is_configured: ban.is_configured,
        }
    }
}

/// A mute of a name, as it is kept to be put in force again after a restart: see [`Hub::restore_mute`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mute {
    /// Whom it is for.
    pub user: UserName,
    /// The name of the actor who imposed it; may be empty. By default it is.
    pub by: String,
    /// The rank of that actor: who may lift it. By default it is the operator.
    pub rank: Rank,
    /// Why; may be empty, and is cut after 256 bytes. By default it is empty.
    pub reason: String,
    /// How long it has held. By default it begins now.
    pub age: Duration,
    /// How long it holds from now on; `None`, which is the default, as long as the hub lives.
    pub remaining: Option<Duration>,
}

impl Mute {
    /// A mute of the operator without an end, for which no reason is given.
    pub fn new(user: UserName) -> Self {
        let (by, reason) = Default::default();
        let (rank, age, remaining) = (Rank::Operator, Duration::ZERO, None);
        Mute { user, by, rank, reason, age, remaining }
    }

    /// A mute that holds.
    pub(super) fn of(user: &UserName, mute: &Sanction, now: Now) -> Self {
        Mute {
            user: user.clone(),
            by: mute.by.clone(),
            rank: mute.rank,
            reason: mute.reason.clone(),
            age: mute.since.age(now.monotonic),
            remaining: mute.until.remaining(now.monotonic),
        }
    }
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

impl Hub {
    /// Other bounds from now on. Nobody is thrown out by them: names, rooms and connections that are
    /// there stay, and so does a deadline that is running.
    pub fn set_limits(&mut self, limits: Limits) {
        self.longest_name = self.longest_name.max(limits.name);
        self.limits = limits;
    }

    /// Another token for `/admin`, or none. Who is an admin stays one.
    pub fn set_admin_token(&mut self, token: Option<&str>) {
        self.admin_token = token.map(Secret::new);
    }

    /// Whether everybody is told from now on who comes and goes.
    pub fn set_announce(&mut self, announces: bool) {
        self.announces = announces;
    }

    /// Puts a stored ban or one of the configuration in force. It replaces a ban of the same target. A ban of the configuration covers one that is not: see
    /// [`Ban::is_configured`]. Nothing is reported: it is no act, for which see [`Hub::act`]. Users
    /// whom it concerns, whatever their role, are told and closed. Returns how many these were.
    pub fn restore_ban(&mut self, ban: Ban, now: Now, out: &mut Output) -> usize {
        let Ban { target, by, rank, reason, age, remaining, is_configured } = ban;
        let concerned = self.concerned(&target.key);
        let how_long = for_so_long(remaining);
        let shown = target.to_string();
        let ban = restored(shown, &by, rank, &reason, age, remaining, now);
        let ban = Sanction { is_configured, ..ban };
        for &victim in &concerned {
            self.expel(victim, Departure::Banned, &how_long, &ban.by, &ban.reason, now, out);
        }
        // it was within the bound when it was imposed
        let added = self.add_ban(target.key, ban, None, now);
        debug_assert_eq!(added, Ok(()));
        concerned.len()
    }

    /// The configuration has a ban no longer: it is lifted, and nothing is reported. A ban of the same
    /// target that is not the configuration's stays, and holds. Whether there was one of the
    /// configuration.
    pub fn withdraw_ban(&mut self, target: &BanTarget, now: Now) -> bool {
        self.remove_configured_ban(&target.key, now)
    }

    /// The bans that hold now, in the order of their targets.
    pub fn bans(&self, now: Now) -> impl Iterator<Item = Ban> {
        self.sanctions.bans(now.monotonic).map(move |(target, ban)| Ban::of(target, ban, now))
    }

    /// Puts a mute in force that was kept, in place of a mute of the same name that there may be. Nothing
    /// is reported, and a user whom it concerns is told.
    pub fn restore_mute(&mut self, mute: Mute, now: Now, out: &mut Output) {
        let Mute { user, by, rank, reason, age, remaining } = mute;
        let mute = restored(user.to_string(), &by, rank, &reason, age, remaining, now);
        // it was within the bound when it was imposed
        let added = self.add_mute(&user, mute, None, now);
        debug_assert_eq!(added, Ok(()));
        let found = self.users.find(user.as_str()).map(|(conn, _)| conn);
        let told = format!("❌ You are muted{}.", for_so_long(remaining));
        for conn in found.into_iter().chain(self.guests_of(&user, out)) {
            self.tell(conn, &told, now, out);
        }
    }

    /// The mutes of names that hold now, in the order of the names. A mute of a temporary name is its
    /// connection's and is not among them.
    pub fn mutes(&self, now: Now) -> impl Iterator<Item = Mute> {
        self.sanctions.mutes(now.monotonic).map(move |(user, mute)| Mute::of(user, mute, now))
    }

    /// The users that a ban of this target shuts out.
    pub(super) fn concerned(&self, target: &Target) -> Vec<ConnId> {
        let sessions = self.users.sessions(self.users.roster());
        let concerned = sessions.filter(|(_, session)| {
            session.name().is_some_and(|name| target.is_for(name, session.address))
        });
        concerned.map(|(conn, _)| conn).collect()
    }
}

/// An address and what counts as the same one, or a network such as `192.0.2.0/24`.
fn network(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(origin(address.to_canonical()));
    }
    let (address, prefix) = text.split_once('/')?;
    // a leading zero, which makes a number octal for some programs, is refused in either part
    let is_plain = prefix == "0" || !prefix.starts_with('0');
    let is_number = is_plain && prefix.bytes().all(|byte| byte.is_ascii_digit());
    let prefix = prefix.parse().ok().filter(|_| is_number)?;
    IpNet::new(address.parse().ok()?, prefix).ok().map(canonical)
}

/// A network without the bits of its host. One of IPv4 in the form of IPv6 is one of IPv4, as the addresses
/// of its hosts are.
fn canonical(net: IpNet) -> IpNet {
    let net = net.trunc();
    let IpNet::V6(of_v6) = net else { return net };
    let of_v4 = of_v6.network().to_ipv4_mapped().zip(of_v6.prefix_len().checked_sub(96));
    of_v4.and_then(|(network, prefix)| IpNet::new(network.into(), prefix).ok()).unwrap_or(net)
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

/// A ban or a mute that was imposed before.
fn restored(
    shown: String,
    by: &str,
    rank: Rank,
    reason: &str,
    age: Duration,
    remaining: Option<Duration>,
    now: Now,
) -> Sanction {
    Sanction {
        shown,
        by: clipped(by, REASON).into_owned(),
        maker: None,
        rank,
        is_configured: false,
        reason: clipped(reason, REASON).into_owned(),
        since: Since::ago(age, now.monotonic),
        until: Until::after(remaining, now.monotonic),
    }
}
