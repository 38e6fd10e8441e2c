//! What the application changes while the hub runs: bounds, the admins' token, and who is shut out or
//! silenced, which it may also want to keep for longer than the hub lives.
//!
//! Nothing of this makes an [`Event::Moderated`](super::Event::Moderated): the application knows what
//! it did. Of what users do, those events say all that is needed to do the same here another time.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::time::Duration;

use crate::limits::Limits;
use crate::name::{NameError, UserName};

use super::answer::clipped;
use super::moderation::{REASON, Secret, because, for_so_long};
use super::sanctions::{self, Maker, Target, Until};
use super::{ConnId, Departure, Hub, Now, Output};

/// Longest name that a limit can allow, in bytes.
const LONGEST_NAME: usize = 1024;

/// Whom a ban is for: an address, a network such as `192.0.2.0/24`, or else a name. A name stands for
/// all that look like it.
///
/// Targets are equal if a ban of the one is a ban of the other, however they are written.
///
/// ```
/// use chatproto::BanTarget;
///
/// let target: BanTarget = "bob".parse()?;
/// assert_eq!(target, "B0B".parse()?);
/// assert_eq!(target.to_string(), "bob");
/// assert_eq!("192.0.2.7/24".parse::<BanTarget>()?, "192.0.2.0/24".parse()?);
/// assert!("/list".parse::<BanTarget>().is_err());
/// # Ok::<(), chatproto::NameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BanTarget {
    text: Box<str>,
    pub(super) key: Target,
}

/// A ban as an application makes it, or keeps it to make it again after a restart: see [`Hub::ban`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ban {
    /// Whom it is for.
    pub target: BanTarget,
    /// Who made it, in the words that the banned are told; may be empty. By default it is.
    pub by: String,
    /// Why; may be empty, and is cut after 256 bytes. By default it is empty.
    pub reason: String,
    /// How long it holds from now on; `None`, which is the default, as long as the hub lives.
    pub remaining: Option<Duration>,
}

impl Ban {
    /// A ban without an end, for which no reason is given.
    pub fn new(target: BanTarget) -> Self {
        Ban { target, by: String::new(), reason: String::new(), remaining: None }
    }
}

impl FromStr for BanTarget {
    type Err = NameError;

    /// # Errors
    /// What is no address and no network has to be a name of at most 1024 bytes.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        let key = Target::new(text);
        if let Target::Name(_) = key {
            UserName::from_bytes(text.as_bytes(), LONGEST_NAME)?;
        }
        Ok(BanTarget { text: text.into(), key })
    }
}

impl fmt::Display for BanTarget {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
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

    /// Shuts somebody out, in place of a ban of the same target that there may be. Users whom it
    /// concerns, whatever their role, are told and closed, as by `/ban`. Returns how many these were.
    pub fn ban(&mut self, ban: Ban, now: Now, out: &mut Output) -> usize {
        let Ban { target, by, reason, remaining } = ban;
        let concerned = self.concerned(&target.key);
        let what = format!("banned{}", for_so_long(remaining));
        let ban = sanctions::Ban {
            shown: target.text.into(),
            by: clipped(&by, REASON).into_owned(),
            reason: clipped(&reason, REASON).into_owned(),
            until: Until::after(remaining, now.monotonic),
        };
        for &victim in &concerned {
            self.expel(victim, &what, &ban.by, &ban.reason, now, out);
        }
        // the operator is not bounded
        let added = self.sanctions.add_ban(target.key, ban, Maker::Operator, now.monotonic);
        debug_assert_eq!(added, Ok(()));
        concerned.len()
    }

    /// Lifts a ban. Returns it, if there was one.
    pub fn unban(&mut self, target: &BanTarget, now: Now) -> Option<Ban> {
        let ban = self.sanctions.remove_ban(&target.key, now.monotonic)?;
        Some(shown(&target.key, &ban, now))
    }

    /// The bans that hold now, whoever made them, in no particular order.
    pub fn bans(&self, now: Now) -> impl Iterator<Item = Ban> {
        let bans = self.sanctions.targets(now.monotonic);
        bans.map(move |(target, ban)| shown(target, ban, now))
    }

    /// Takes the word from whoever has this name, now or later, for a time or for as long as the hub
    /// lives. A user whom it concerns is told, as by `/mute`.
    pub fn mute(
        &mut self,
        name: &UserName,
        remaining: Option<Duration>,
        now: Now,
        out: &mut Output,
    ) {
        let until = Until::after(remaining, now.monotonic);
        // the operator is not bounded
        let added = self.sanctions.mute(name, until, Maker::Operator, now.monotonic);
        debug_assert_eq!(added, Ok(()));
        let Some((conn, _)) = self.users.find(name.as_str()) else { return };
        if let Some(session) = self.users.get_mut(conn) {
            session.extras_mut().mute = Some(until);
        }
        self.tell(conn, &format!("❌ You are muted{}.", for_so_long(remaining)), now, out);
    }

    /// Lets a muted user speak again, who is told. Whether the user was muted.
    pub fn unmute(&mut self, name: &UserName, now: Now, out: &mut Output) -> bool {
        let conn = self.users.find(name.as_str()).map(|(conn, _)| conn);
        let is_unmuted = self.lift_mute(name, now);
        if let Some(conn) = conn.filter(|_| is_unmuted) {
            self.tell(conn, "You may speak again.", now, out);
        }
        is_unmuted
    }

    /// Who is muted by name now, and for how long yet; `None` is without an end. In the order of the
    /// names. A user who was muted and has another name since is here under the old one.
    pub fn mutes(&self, now: Now) -> impl Iterator<Item = (UserName, Option<Duration>)> {
        let mutes = self.sanctions.mutes(now.monotonic);
        mutes.map(move |(name, until)| (name.clone(), until.remaining(now.monotonic)))
    }

    /// The users that a ban of this target shuts out.
    pub(super) fn concerned(&self, target: &Target) -> Vec<ConnId> {
        let sessions = self.users.sessions(self.users.roster());
        let concerned = sessions.filter(|(_, session)| {
            session.name().is_some_and(|name| target.is_for(name, session.address))
        });
        concerned.map(|(conn, _)| conn).collect()
    }

    /// Ends a user's connection, and tells the user what was done, by whom and why.
    pub(super) fn expel(
        &mut self,
        victim: ConnId,
        what: &str,
        by: &str,
        reason: &str,
        now: Now,
        out: &mut Output,
    ) {
        let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
        self.tell(victim, &format!("⛔ You were {what}{by}{}.", because(reason)), now, out);
        self.handle_eviction(victim, Departure::Kicked, now, out);
    }

    /// Whether this name, or the user who has it, was muted, and is not any more.
    pub(super) fn lift_mute(&mut self, name: &UserName, now: Now) -> bool {
        let conn = self.users.find(name.as_str()).map(|(conn, _)| conn);
        let session = conn.and_then(|conn| self.users.get_mut(conn));
        let mute = session.and_then(|session| session.extras_mut().mute.take());
        let was_muted = mute.is_some_and(|until| !until.is_over(now.monotonic));
        self.sanctions.unmute(name, now.monotonic) || was_muted
    }
}

/// A ban as it is shown outside.
fn shown(target: &Target, ban: &sanctions::Ban, now: Now) -> Ban {
    Ban {
        target: BanTarget { text: ban.shown.as_str().into(), key: target.clone() },
        by: ban.by.clone(),
        reason: ban.reason.clone(),
        remaining: ban.until.remaining(now.monotonic),
    }
}
