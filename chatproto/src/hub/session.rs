//! The hub's knowledge of one connection.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

use crate::encode;
use crate::handshake::PeerKind;
use crate::name::UserName;

use super::claim::Pending;
use super::long_answer::LongAnswer;
use super::room::{Audience, Membership};
use super::sanction::Until;
use super::{Rank, Role, Transport};

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No name yet.
    Guest,
    /// Its name is held for it while an effect decides.
    Claiming,
    /// It has a name, under which nobody sees it, and may do nothing but log in.
    Visitor,
    /// A user.
    Registered,
    /// It is told to close; nothing of it counts any more.
    Closing,
}

/// The bounds against which a connection counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    /// It was refused, or only waits for the end of its peer.
    Nowhere,
    /// Only the bound of all connections: it is a proxy's, which has not stated the address of a user.
    InAll,
    /// That, and the bound of its address.
    ByAddress,
}

/// What the hub knows of one connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) phase: Phase,
    pub(super) kind: PeerKind,
    pub(super) address: IpAddr,
    /// How its bytes travel.
    pub(super) transport: Transport,
    /// The number of the lease of its name; `None` without a directory, and while the name is claimed.
    pub(super) lease: Option<u64>,
    /// The serial of the effect that it waits for; 0 if none.
    pub(super) waits_for: u32,
    /// Bytes that the effect takes, as they were counted.
    pub(super) effect_bytes: u32,
    pub(super) counts: Counts,
    /// Its place in the roster, while registered.
    pub(super) place: u32,
    /// The name, from `Claiming` on, and behind it the stamp with which everything begins that is
    /// forwarded from it (see [`crate::encode::stamp`]). In one piece, as there are many of these.
    pub(super) text: Box<str>,
    pub(super) name_length: u32,
    /// Only of those who have any of it, so that the others are small.
    pub(super) extras: Option<Box<Extras>>,
}

/// A mute of a user, and the rank of the actor who imposed it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionMute {
    pub(super) until: Until,
    pub(super) rank: Rank,
}

impl SessionMute {
    /// Two mutes that both hold: until each has ended, and by the higher rank.
    pub(super) fn and(self, other: Self) -> Self {
        let until = self.until.0.zip(other.until.0).map(|(one, other)| one.max(other));
        SessionMute { until: Until(until), rank: self.rank.max(other.rank) }
    }
}

/// What most users do not have.
#[derive(Debug, Default)]
pub(super) struct Extras {
    pub(super) role: Role,
    pub(super) rooms: Vec<Membership>,
    /// What those who write privately are told.
    pub(super) away: Option<Box<str>>,
    /// The mute of this connection. Those of its names are not here: see
    /// [`Hub::mute_of`](super::Hub::mute_of).
    pub(super) mute: Option<SessionMute>,
    /// The first name under which it had a role: its bans and mutes count by this one.
    pub(super) maker: Option<Box<str>>,
    /// When the last schema errors came, the oldest first.
    pub(super) errors: VecDeque<Instant>,
    /// What the claim is for that it waits for, unless it is that of its first name.
    pub(super) pending: Option<Box<Pending>>,
    /// The name it asked for, which is an account's; it has a temporary one.
    pub(super) wanted: Option<UserName>,
    /// It has proved that its name is its own.
    pub(super) is_logged_in: bool,
    /// The revision of its account that its rights are from, if it is logged in.
    pub(super) revision: u64,
    /// The number of the last message of its own that was kept; 0 if none was.
    pub(super) last_id: u64,
    /// The last outage of the history that it was told of.
    pub(super) told_outage: u32,
    /// It wants to be told the numbers of what is kept in its rooms.
    pub(super) wants_cursors: bool,
    /// It wants to be told when earlier messages were kept.
    pub(super) wants_times: bool,
    /// It wants state lines.
    pub(super) wants_state: bool,
    /// It is to be told who is connected. (Of rooms, its memberships say so.)
    pub(super) is_owed_everyone: bool,
    /// The last effect by which it asked for a page of history.
    pub(super) page_serial: u32,
    /// The rest of a long answer.
    pub(super) answer: Option<Box<LongAnswer>>,
}

impl Session {
    pub(super) fn extras(&self) -> Option<&Extras> {
        self.extras.as_deref()
    }

    pub(super) fn extras_mut(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// Whether it waits for a page of history.
    pub(super) fn awaits_page(&self) -> bool {
        self.waits_for != 0
            && self.extras().is_some_and(|extras| extras.page_serial == self.waits_for)
    }

    pub(super) fn role(&self) -> Role {
        self.extras().map_or(Role::User, |extras| extras.role)
    }

    pub(super) fn is_logged_in(&self) -> bool {
        self.extras().is_some_and(|extras| extras.is_logged_in)
    }

    /// The revision of its account that its rights are from, if it is logged in.
    pub(super) fn revision(&self) -> Option<u64> {
        self.extras().filter(|extras| extras.is_logged_in).map(|extras| extras.revision)
    }

    /// The account's name that it asked for, if it is a guest for that reason.
    pub(super) fn wanted(&self) -> Option<&UserName> {
        self.extras()?.wanted.as_ref()
    }

    /// The rooms that it is in.
    pub(super) fn rooms(&self) -> &[Membership] {
        self.extras().map_or(&[], |extras| &extras.rooms)
    }

    /// What the claim is for that it waits for, unless it is that of its first name.
    pub(super) fn pending(&self) -> Option<&Pending> {
        self.extras()?.pending.as_deref()
    }

    /// The name that is claimed for it.
    pub(super) fn claimed_name(&self) -> Option<UserName> {
        match self.pending() {
            Some(pending) => pending.claimed_name().cloned(),
            None => self.user_name().filter(|_| self.phase == Phase::Claiming),
        }
    }

    /// The long answer that is being produced for it.
    pub(super) fn answer(&self) -> Option<&LongAnswer> {
        self.extras()?.answer.as_deref()
    }

    pub(super) fn take_answer(&mut self) -> Option<Box<LongAnswer>> {
        self.extras.as_mut()?.answer.take()
    }

    pub(super) fn put_answer(&mut self, answer: Box<LongAnswer>) {
        self.extras_mut().answer = Some(answer);
    }

    /// The mute of this connection, without those of its names: see
    /// [`Hub::mute_of`](super::Hub::mute_of).
    pub(super) fn own_mute(&self, now: Instant) -> Option<SessionMute> {
        self.extras()?.mute.filter(|mute| !mute.until.is_over(now))
    }

    /// Whether it is a user: registered, and not leaving.
    pub(super) fn is_user(&self) -> bool {
        self.phase == Phase::Registered
    }

    /// Whether its name was made by the server, and is another user's when it leaves.
    pub(super) fn has_temporary_name(&self) -> bool {
        self.wanted().is_some()
    }

    pub(super) fn name(&self) -> Option<&str> {
        Some(&self.text[..self.name_length as usize]).filter(|name| !name.is_empty())
    }

    pub(super) fn user_name(&self) -> Option<UserName> {
        self.name().map(UserName::from_normalised)
    }

    pub(super) fn stamp(&self) -> &[u8] {
        &self.text.as_bytes()[self.name_length as usize..]
    }

    pub(super) fn set_name(&mut self, name: &UserName) {
        let mut text = name.as_str().as_bytes().to_vec();
        self.name_length = text.len() as u32;
        encode::stamp(&mut text, name.as_str(), &self.address.to_string());
        self.text = String::from_utf8(text).expect("a stamp is text").into();
    }

    pub(super) fn forget_name(&mut self) {
        (self.text, self.name_length) = (Box::default(), 0);
    }

    /// Whether its user asked for state lines.
    pub(super) fn wants_state(&self) -> bool {
        self.extras().is_some_and(|extras| extras.wants_state)
    }

    /// Whether it is to be told who belongs to an audience: then no line about that is sent before.
    pub(super) fn is_owed(&self, audience: Audience) -> bool {
        match audience {
            Audience::Everyone => self.extras().is_some_and(|extras| extras.is_owed_everyone),
            Audience::Room(id) => {
                self.rooms().iter().any(|membership| membership.room == id && membership.is_owed)
            }
        }
    }
}
