//! Who may do what to whom: roles, the admins' token, bans and mutes.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Bound;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use subtle::ConstantTimeEq;

use crate::endpoint::Arguments;
use crate::name::{UserName, lookalike_key, normalise};

use super::answer::{clipped, shortened};
use super::route::no_user;
use super::users::origin;
use super::{Act, Call, ConnId, Departure, Event, TOO_MANY};

/// What a user may do beyond speaking. Each role may do what the one before it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Speak.
    #[default]
    User,
    /// Keep order: kick, ban, mute, close rooms, speak to all.
    Moderator,
    /// Give roles, and keep order among moderators.
    Admin,
}

impl Role {
    pub(super) const ALL: [Role; 3] = [Role::User, Role::Moderator, Role::Admin];

    /// Those who have it.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Role::User => "users",
            Role::Moderator => "moderators",
            Role::Admin => "admins",
        }
    }

    /// One who has it, with its article.
    pub(super) fn one(self) -> &'static str {
        match self {
            Role::User => "a user",
            Role::Moderator => "a moderator",
            Role::Admin => "an admin",
        }
    }

    /// Whether it may act against another one's. Admins are above each other.
    pub(super) fn is_above(self, other: Role) -> bool {
        self > other || self == Role::Admin
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::User => "user",
            Role::Moderator => "moderator",
            Role::Admin => "admin",
        })
    }
}

/// The admins' token. It is compared in constant time and shown nowhere.
pub(super) struct Secret(Box<[u8]>);

impl Secret {
    pub(super) fn new(token: &str) -> Self {
        Secret(token.trim().as_bytes().into())
    }

    /// Whether it is this one. Takes a time that depends on the lengths only.
    pub(super) fn is(&self, token: &str) -> bool {
        !self.0.is_empty() && self.0.ct_eq(token.trim().as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Who is banned or muted.
#[derive(Debug, Default)]
pub(super) struct Sanctions {
    bans: BTreeMap<Target, Ban>,
    /// Until when, by name.
    mutes: BTreeMap<UserName, Until>,
}

/// Whom a ban is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Target {
    /// Whoever's name has this key (see [`lookalike_key`]), or looks like it.
    Name(Box<str>),
    /// Whoever's address is in this network; one address is a network too.
    Net(IpNet),
}

#[derive(Clone, Debug)]
pub(super) struct Ban {
    /// The target as it was given.
    pub(super) shown: String,
    /// In words; empty if it is not said.
    pub(super) by: String,
    pub(super) reason: String,
    pub(super) until: Until,
}

/// When something ends, if it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Until(pub(super) Option<Instant>);

impl Until {
    pub(super) fn after(duration: Option<Duration>, now: Instant) -> Self {
        Until(duration.and_then(|duration| now.checked_add(duration)))
    }

    pub(super) fn is_over(self, now: Instant) -> bool {
        self.0.is_some_and(|until| until <= now)
    }

    /// How long it is until then; `None` is without an end.
    pub(super) fn remaining(self, now: Instant) -> Option<Duration> {
        self.0.map(|until| until.saturating_duration_since(now))
    }

    /// ` for another 5 min`, or nothing if it does not end.
    pub(super) fn left(self, now: Instant) -> String {
        self.remaining(now).map_or(String::new(), |left| format!(" for another {}", shown(left)))
    }
}

impl Target {
    /// An address and what counts as the same one, a network such as `192.0.2.0/24`, or else a
    /// name.
    pub(super) fn new(text: &str) -> Self {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Target::Net(origin(address.to_canonical()));
        }
        match text.parse::<IpNet>() {
            Ok(net) => Target::Net(net.trunc()),
            Err(_) => Target::Name(lookalike_key(&normalise(text)).into()),
        }
    }

    /// Whether it is for a user of that name and address.
    pub(super) fn is_for(&self, name: &str, address: IpAddr) -> bool {
        match self {
            Target::Name(key) => **key == *lookalike_key(name),
            Target::Net(net) => net.contains(&address),
        }
    }
}

impl Sanctions {
    /// The ban that shuts out this name.
    pub(super) fn ban_of_name(&self, name: &str, now: Instant) -> Option<&Ban> {
        if self.bans.is_empty() {
            return None;
        }
        self.ban(&Target::Name(lookalike_key(name).into()), now)
    }

    /// The ban that shuts out this address: the one of the smallest network.
    pub(super) fn ban_of_address(&self, address: IpAddr, now: Instant) -> Option<&Ban> {
        if self.bans.is_empty() {
            return None;
        }
        let longest = if address.is_ipv4() { 32 } else { 128 };
        (0..=longest).rev().find_map(|prefix| {
            let net = IpNet::new(address, prefix).ok()?.trunc();
            self.ban(&Target::Net(net), now)
        })
    }

    fn ban(&self, target: &Target, now: Instant) -> Option<&Ban> {
        self.bans.get(target).filter(|ban| !ban.until.is_over(now))
    }

    pub(super) fn add_ban(&mut self, target: Target, ban: Ban, now: Instant) {
        self.bans.retain(|_, ban| !ban.until.is_over(now));
        self.bans.insert(target, ban);
    }

    /// Returns the one that there was.
    pub(super) fn remove_ban(&mut self, target: &Target, now: Instant) -> Option<Ban> {
        self.bans.remove(target).filter(|ban| !ban.until.is_over(now))
    }

    /// The bans behind a target, in order.
    pub(super) fn bans_from(
        &self,
        from: Bound<&Target>,
        now: Instant,
    ) -> impl Iterator<Item = (&Target, &Ban)> {
        let bans = self.bans.range((from, Bound::Unbounded));
        bans.filter(move |(_, ban)| !ban.until.is_over(now))
    }

    /// Each ban, with whom it is for.
    pub(super) fn targets(&self, now: Instant) -> impl Iterator<Item = (&Target, &Ban)> {
        self.bans.iter().filter(move |(_, ban)| !ban.until.is_over(now))
    }

    /// Until when this user is muted, if it is.
    pub(super) fn mute_of(&self, name: &UserName, now: Instant) -> Option<Until> {
        self.mutes.get(name).copied().filter(|until| !until.is_over(now))
    }

    pub(super) fn mute(&mut self, name: &UserName, until: Until, now: Instant) {
        self.mutes.retain(|_, until| !until.is_over(now));
        self.mutes.insert(name.clone(), until);
    }

    pub(super) fn mutes(&self, now: Instant) -> impl Iterator<Item = (&UserName, Until)> {
        let mutes = self.mutes.iter().map(|(name, &until)| (name, until));
        mutes.filter(move |(_, until)| !until.is_over(now))
    }

    /// Whether it was muted.
    pub(super) fn unmute(&mut self, name: &UserName, now: Instant) -> bool {
        self.mutes.remove(name).is_some_and(|until| !until.is_over(now))
    }
}

impl Ban {
    /// What somebody whom it shuts out is told.
    pub(super) fn reason_for(&self, what: &str, now: Instant) -> String {
        format!("{what} banned{}{}.", self.until.left(now), because(&self.reason))
    }

    /// The line that moderators see.
    pub(super) fn line(&self, now: Instant) -> String {
        let left = self.until.remaining(now).map(|left| format!("for {}", shown(left)));
        let by = Some(&self.by).filter(|by| !by.is_empty()).map(|by| format!("by {by}"));
        let facts: Vec<String> = left.into_iter().chain(by).collect();
        let facts = format!("{}{}", facts.join(", "), because(&self.reason));
        let shown = shortened(&self.shown);
        match facts.trim_start_matches(": ") {
            "" => shown.into_owned(),
            facts => format!("{shown} ({facts})"),
        }
    }
}

impl Call<'_> {
    /// The user of that name; if there is none, the one who asks is told.
    pub(super) fn find_target(&mut self, name: &str) -> Option<(ConnId, UserName)> {
        let found = self.hub.find_user(name);
        let target = found.and_then(|(conn, session)| Some((conn, session.user_name()?)));
        if target.is_none() {
            self.answer(&no_user(name));
        }
        target
    }

    /// The same, if the one who asks may act against that user.
    pub(super) fn find_subordinate(&mut self, name: &str) -> Option<(ConnId, UserName)> {
        let (conn, name) = self.find_target(name)?;
        let role = self.hub.users.get(conn)?.role();
        if conn == self.conn {
            self.answer("❌ That is yourself.");
        } else if !self.session().role().is_above(role) {
            self.answer(&format!("❌ {name} is {}: ask an admin.", role.one()));
        } else {
            return Some((conn, name));
        }
        None
    }

    /// Ends a user's connection, and tells the user why.
    pub(super) fn expel(&mut self, victim: ConnId, what: &str, reason: &str) {
        let by = self.user_name();
        self.hub.expel(victim, what, by.as_str(), reason, self.now, self.out);
    }

    /// Has an act written down.
    pub(super) fn report(
        &mut self,
        act: Act,
        target: String,
        duration: Option<Duration>,
        reason: &str,
    ) {
        let (conn, by, address) = (self.conn, self.user_name(), self.session().address);
        let reason = clipped(reason, REASON).into_owned();
        self.out.events.push(Event::Moderated { conn, by, address, act, target, duration, reason });
    }

    /// Refuses what the user may not do, and has it written down. It counts as an error (see
    /// [`Limits::errors`](crate::Limits::errors)): who goes on trying is closed.
    pub(super) fn deny(&mut self, endpoint: &str, reason: &str) {
        let (conn, name, address) = (self.conn, self.user_name(), self.session().address);
        self.out.events.push(Event::Denied { conn, address, name, endpoint: endpoint.into() });
        if self.hub.is_one_too_many(conn, self.now) {
            self.answer(&format!("⛔ Error: {reason}.{TOO_MANY} The connection is closed."));
            self.hub.handle_eviction(conn, Departure::Erring, self.now, self.out);
        } else {
            self.answer(&format!("❌ {reason}."));
        }
    }
}

/// What stands behind the target: a duration, if the first word is one, and a reason.
pub(super) fn duration_and_reason(mut arguments: Arguments<'_>) -> (Option<Duration>, &str) {
    let rest = arguments.rest();
    match arguments.next().and_then(duration) {
        Some(duration) => (Some(duration), arguments.rest()),
        None => (None, rest),
    }
}

/// ` for 5 min`, or nothing if there is no end to it.
pub(super) fn for_so_long(duration: Option<Duration>) -> String {
    duration.map_or(String::new(), |duration| format!(" for {}", shown(duration)))
}

/// Longest reason that is kept and repeated, in bytes.
pub(super) const REASON: usize = 256;

/// `: ` and the reason, shortened; nothing if there is none.
pub(super) fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {}", clipped(reason, REASON)) }
}

const UNITS: [(&str, u64); 5] =
    [("w", 604_800), ("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];

/// A duration as people write it: `30s`, `10min` (or `10m`), `2h`, `7d`, `1w`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok().filter(|&number| number > 0)?;
    let unit = if unit == "m" { "min" } else { unit };
    let (_, seconds) = UNITS.into_iter().find(|&(name, _)| name == unit)?;
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

/// A duration as people read it: whole units, rounded up, of the largest kind of which there are
/// at least two.
pub(super) fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    let (unit, length) = UNITS
        .into_iter()
        .find(|&(_, length)| seconds >= 2 * length || seconds == length)
        .unwrap_or(("s", 1));
    format!("{} {unit}", seconds.div_ceil(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in
            [("30s", 30), ("10min", 600), ("10m", 600), ("2h", 7_200), ("1d", 86_400)]
        {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "h", "0s", "-1s", "1.5h", "5 s", "99999999999999999999s", "1y"] {
            assert_eq!(duration(text), None, "{text}");
        }
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (90, "90 s"),
            (3_599, "60 min"),
            (604_800, "1 w"),
        ] {
            assert_eq!(shown(Duration::from_secs(seconds)), text);
        }
        assert_eq!(shown(Duration::from_millis(29_001)), "30 s");
    }

    #[test]
    fn a_token_is_itself_and_never_shown() {
        let secret = Secret::new("correct horse\n");
        assert!(secret.is("correct horse") && !secret.is("correct hors") && !secret.is(""));
        assert!(!Secret::new("").is(""));
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[test]
    fn an_address_is_banned_with_its_network() {
        let (mut sanctions, now) = (Sanctions::default(), Instant::now());
        let ban = |shown: &str| Ban {
            shown: shown.to_owned(),
            by: "mod".to_owned(),
            reason: String::new(),
            until: Until(None),
        };
        for net in ["192.0.2.9/24", "198.51.100.7", "2001:db8::1/64"] {
            sanctions.add_ban(Target::new(net), ban(net), now);
        }
        let is_banned = |text: &str| sanctions.ban_of_address(text.parse().unwrap(), now).is_some();
        assert!(is_banned("192.0.2.200") && is_banned("198.51.100.7") && is_banned("2001:db8::ff"));
        assert!(!is_banned("192.0.3.1") && !is_banned("198.51.100.8") && !is_banned("2001:db9::1"));
    }

    #[test]
    fn a_ban_of_an_address_holds_for_what_counts_as_the_same_one() {
        let is_for = |target: &str, address: &str| {
            Target::new(target).is_for("alice", address.parse().unwrap())
        };
        // a host of IPv6 has another address whenever it likes
        assert!(
            is_for("2001:db8::1", "2001:db8::ff:1") && !is_for("2001:db8::1", "2001:db8:0:1::1")
        );
        assert!(
            is_for("2001:db8::1/128", "2001:db8::1") && !is_for("2001:db8::1/128", "2001:db8::2")
        );
        assert!(is_for("fe80::1", "fe80::1") && !is_for("fe80::1", "fe80::2"));
        assert!(is_for("192.0.2.1", "192.0.2.1") && !is_for("192.0.2.1", "192.0.2.2"));
        assert!(is_for("::ffff:192.0.2.1", "192.0.2.1"));
        // and is lifted by any of its addresses
        assert_eq!(Target::new("2001:db8::1"), Target::new("2001:db8::2"));
    }
}
