//! Changes by the application while the hub runs: bounds, the admins' token, and bans and mutes that were
//! kept or configured. Acts on users are in [`perform`](super::perform).

use std::time::Duration;

use crate::limits::Limits;

use super::excerpt::clipped;
use super::sanction::{Sanction, Since, Until};
use super::secret::Secret;
use super::target::Target;
use super::terms::{REASON, for_so_long};
use super::{Ban, BanTarget, ConnId, Departure, Hub, Mute, Now, Output, Rank};

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
