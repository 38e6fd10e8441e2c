//! One ban or mute: as the hub keeps it ([`Sanction`]), and as applications store it.

use std::fmt;
use std::time::{Duration, Instant};

use crate::name::UserName;

use super::excerpt::shortened;
use super::target::Target;
use super::terms::{because, shown};
use super::{BanTarget, Now, Rank};

/// A ban, as it is stored to be put in force again after a restart: see
/// [`Hub::restore_ban`](super::Hub::restore_ban).
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
    /// [`Hub::withdraw_ban`](super::Hub::withdraw_ban) removes it. Then the other one holds. By
    /// default it is not.
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

/// A mute of a name, as it is stored to be put in force again after a restart: see
/// [`Hub::restore_mute`](super::Hub::restore_mute).
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

/// A ban or a mute: who imposed it, why, and how long it holds.
#[derive(Clone, Debug)]
pub(super) struct Sanction {
    /// The target as it was given.
    pub(super) shown: String,
    /// The name of the actor who imposed it; empty if it is not said.
    pub(super) by: String,
    /// The name by which that actor is counted, if it is another one: the first one of a session.
    pub(super) maker: Option<Box<str>>,
    /// The rank of that actor: who may lift it.
    pub(super) rank: Rank,
    /// It is the configuration's, and no act: it covers one of the same target.
    pub(super) is_configured: bool,
    pub(super) reason: String,
    pub(super) since: Since,
    pub(super) until: Until,
}

impl Sanction {
    /// The text for a connection that a ban shuts out.
    pub(super) fn reason_for(&self, what: &str, now: Instant) -> String {
        format!("{what} banned{}{}.", self.until.left(now), because(&self.reason))
    }

    /// The line that moderators see.
    pub(super) fn line(&self, now: Instant) -> String {
        let left = self.until.remaining(now).map(|left| format!("for another {}", shown(left)));
        let by = Some(&self.by).filter(|by| !by.is_empty()).map(|by| format!("by {by}"));
        let age = format!("{} ago", shown(self.since.age(now)));
        let facts: Vec<String> = left.into_iter().chain(by).chain([age]).collect();
        let (target, facts) = (shortened(&self.shown), facts.join(", "));
        format!("{target} ({facts}{})", because(&self.reason))
    }
}

/// When something was done: before this hub, perhaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Since {
    here: Instant,
    before: Duration,
}

impl Since {
    pub(super) fn ago(age: Duration, now: Instant) -> Self {
        Since { here: now, before: age }
    }

    pub(super) fn age(self, now: Instant) -> Duration {
        self.before + now.saturating_duration_since(self.here)
    }
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

/// Why there is no room for another ban or mute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The moderator has all that one may have.
    Maker,
    /// All moderators together have nearly all, so that each may have less.
    Total,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Full::Maker => "your bans and mutes take all the memory that one moderator may use.",
            Full::Total => {
                "the server's bans and mutes take nearly all the memory that they may use."
            }
        })?;
        f.write_str(" Lift some with /unban or /unmute first.")
    }
}
