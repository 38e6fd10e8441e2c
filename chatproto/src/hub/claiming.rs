//! Names that are claimed from the directory and given back. The outcome of an answer is in
//! [`claimants`](super::claimants) and [`guests`](super::guests).
//!
//! The directory is told one thing at a time about a name. What comes meanwhile waits, in the order in
//! which it came: a claim for the answer to a claim whose connection has ended, or for a release. A name
//! that a user has is not claimed a second time. A login takes over its lease.

use std::time::Instant;

use crate::directory::{Claim, ClaimPurpose, Lease};
use crate::name::UserName;

use super::claim::Pending;
use super::claims::{Asked, CLAIM, bytes_of_release};
use super::replies::{UNCHECKED, name_stays};
use super::session::{Phase, Session};
use super::waiting::Busy;
use super::{ConnId, Departure, Effect, Hub, Now, Output, Token};

impl Hub {
    /// Whether somebody decides about the names that clients ask for.
    pub(super) fn asks_for_names(&self) -> bool {
        self.claims.has_directory || self.accounts.is_some()
    }

    /// Whether something is under way about a name that nobody holds here, so that a claim has to wait.
    pub(super) fn is_asked_about(&self, name: &UserName) -> bool {
        self.claims.asked.contains_key(name)
    }

    pub(super) fn has_directory(&self) -> bool {
        self.claims.has_directory
    }

    /// Claims a name for a connection, whose input waits from now on.
    ///
    /// # Errors
    /// [`Busy`], if a bound is reached: nothing was changed.
    pub(super) fn claim_name(
        &mut self,
        conn: ConnId,
        name: &UserName,
        purpose: ClaimPurpose,
        now: Now,
        out: &mut Output,
    ) -> Result<Token, Busy> {
        let extra = if self.claims.has_directory { CLAIM } else { 0 };
        let token = self.wait(conn, extra + 4 * name.as_str().len())?;
        let is_waiting = |session: &Session| session.phase != Phase::Claiming;
        if self.claims.has_directory && self.users.get(conn).is_some_and(is_waiting) {
            self.claims.since.insert(token.serial, (now.monotonic, conn));
        }
        let is_login = matches!(purpose, ClaimPurpose::Login { .. });
        let before = if is_login { self.claimant(name) } else { None };
        match self.claims.asked.get_mut(name) {
            Some(asked) => asked.waiters.push(token),
            None if is_login => {
                let (serial, waiters) = match before {
                    Some(serial) => (serial, vec![token]),
                    None => (token.serial, Vec::new()),
                };
                self.claims.asked.insert(name.clone(), Asked { serial, waiters });
                if before.is_none() {
                    self.send_claim(token, name, purpose, out);
                }
            }
            None => self.send_claim(token, name, purpose, out),
        }
        Ok(token)
    }

    pub(super) fn send_claim(
        &mut self,
        token: Token,
        name: &UserName,
        purpose: ClaimPurpose,
        out: &mut Output,
    ) {
        let Some(address) = self.users.get(token.conn).map(|session| session.address) else {
            return;
        };
        let claim = Claim::new(name.clone(), address, purpose);
        out.effects.push_back(Effect::Claim { token, claim });
    }

    /// The serial of the claim of a connection that holds the name.
    fn claimant(&self, name: &UserName) -> Option<u32> {
        let is_claiming =
            |conn: &ConnId| self.users.get(*conn).is_some_and(|s| s.phase == Phase::Claiming);
        let claimant = self.users.holder(name.as_str()).filter(is_claiming);
        let conn = claimant.or_else(|| self.users.held_for(name))?;
        Some(self.users.get(conn)?.waits_for).filter(|&serial| serial != 0)
    }

    /// A claim is answered: others that wait for this can go on. A lease that nobody wants is given back
    /// first.
    pub(super) fn end_claim(
        &mut self,
        name: &UserName,
        token: Token,
        unwanted: Option<u64>,
        out: &mut Output,
    ) {
        match unwanted {
            Some(revision) => self.release(token.conn, name.clone(), Some(revision), out),
            None => self.go_on_about(name, token.serial, out),
        }
    }

    pub(super) fn go_on_about(&mut self, name: &UserName, serial: u32, out: &mut Output) {
        if self.claims.asked.get(name).is_some_and(|asked| asked.serial == serial)
            && let Some(asked) = self.claims.asked.remove(name)
        {
            out.effects.extend(asked.waiters.into_iter().map(|token| Effect::Resume { token }));
        }
    }

    /// Gives a name back that a connection had, if the directory has granted it.
    pub(super) fn release(
        &mut self,
        conn: ConnId,
        name: UserName,
        lease: Option<u64>,
        out: &mut Output,
    ) {
        let Some(revision) = lease.filter(|_| self.claims.has_directory) else { return };
        let token = self.token_of(conn);
        self.claims.begin_release(&name, token.serial);
        self.waiting.begin_release(bytes_of_release(&name));
        out.effects.push_back(Effect::Release { token, lease: Lease::new(name, revision) });
    }

    /// Ends a release, if it is one.
    pub(super) fn end_release(&mut self, serial: u32, out: &mut Output) -> bool {
        let Some(name) = self.claims.releases.remove(&serial) else { return false };
        self.waiting.end_release(bytes_of_release(&name));
        self.go_on_about(&name, serial, out);
        true
    }

    /// The connection ends, or does not wait any more. Ends its wait for a claim or another effect.
    pub(super) fn abandon_effect(&mut self, conn: ConnId) {
        let Some(session) = self.users.get(conn) else { return };
        let serial = session.waits_for;
        if serial == 0 {
            return;
        }
        self.claims.end_wait(serial);
        let claimed = session.claimed_name().filter(|name| self.claims.leave(name, serial));
        self.abandon(conn, claimed);
    }

    /// The name becomes that of an account's owner. Those who wait to get it will be told.
    pub(super) fn withdraw_claims(&mut self, name: &UserName) {
        let is_rename = |session: &Session| matches!(session.pending(), Some(Pending::Rename(_)));
        let renaming = self.users.held_for(name);
        let renaming = renaming.filter(|&conn| self.users.get(conn).is_some_and(is_rename));
        let is_claiming =
            |conn: &ConnId| self.users.get(*conn).is_some_and(|s| s.phase == Phase::Claiming);
        let registering = self.users.holder(name.as_str()).filter(is_claiming);
        for conn in renaming.into_iter().chain(registering) {
            self.users.take_pending(conn);
            if Some(conn) == registering {
                self.users.free_claimed(conn);
            }
            self.users.set_pending(conn, Pending::Withdrawn(name.clone()));
            let serial = self.users.get(conn).map_or(0, |session| session.waits_for);
            if serial != 0 {
                self.claims.leave(name, serial);
            }
        }
    }

    /// When the directory must have answered the next claim of a user.
    pub(super) fn claim_due(&self) -> Option<Instant> {
        let waiting = self.claims.since.first_key_value().map(|(_, &(since, _))| since);
        let displaced = self.claims.displaced.first_key_value().map(|(_, (_, each))| each.since);
        waiting.into_iter().chain(displaced).min().map(|since| since + self.limits.registration)
    }

    /// Ends the wait for claims of users that the directory does not answer, at most so many.
    pub(super) fn end_overdue_claims(&mut self, most: usize, now: Now, out: &mut Output) {
        for _ in 0..most {
            if self.claim_due().is_none_or(|due| due > now.monotonic) {
                return;
            }
            let is_over = |since: Instant| since + self.limits.registration <= now.monotonic;
            if let Some(first) = self.claims.since.first_entry()
                && is_over(first.get().0)
            {
                let (_, conn) = first.remove();
                self.end_overdue_claim(conn, now, out);
            } else {
                self.end_overdue_displacement(now, out);
            }
        }
    }

    fn end_overdue_claim(&mut self, conn: ConnId, now: Now, out: &mut Output) {
        self.abandon_effect(conn);
        let pending = self.users.take_pending(conn);
        let Some(own) = self.users.get(conn).and_then(Session::user_name) else { return };
        let text = match pending {
            Some(Pending::Login { .. }) => format!("❌ Not logged in: {UNCHECKED}"),
            _ => name_stays(own.as_str(), UNCHECKED),
        };
        // the event loop of the connection has to learn that its input can go on
        match self.wait(conn, text.len()) {
            Ok(token) => {
                self.users.set_pending(conn, Pending::Overdue(text));
                out.effects.push_back(Effect::Resume { token });
            }
            Err(_) => {
                self.tell(conn, &text, now, out);
                self.handle_eviction(conn, Departure::Left, now, out);
            }
        }
    }
}

#[cfg(any(test, fuzzing))]
impl Hub {
    /// Checks what is known of names against the sessions.
    pub(super) fn check_claims(&self) {
        for conn in self.users.connections() {
            let Some(session) = self.users.get(conn) else { continue };
            let has_lease = matches!(session.phase, Phase::Registered | Phase::Visitor)
                && self.claims.has_directory;
            assert_eq!(session.lease.is_some(), has_lease, "{session:?}");
            if let Some(pending) = session.pending() {
                assert_ne!(session.waits_for, 0, "{pending:?} waits");
            }
            if has_lease && let Some(name) = session.user_name() {
                let asked = self.claims.asked.get(&name);
                assert!(asked.is_none(), "{name} is had, and {asked:?} is under way");
            }
        }
        let releases: usize = self.claims.releases.values().map(bytes_of_release).sum();
        assert_eq!(self.waiting.releases(), releases);
        for (serial, name) in &self.claims.releases {
            assert_eq!(self.claims.asked.get(name).map(|asked| asked.serial), Some(*serial));
        }
        assert!(self.claims.has_directory || self.claims.asked.is_empty());
    }
}
