//! Accounts in the hub: guests under temporary names, visitors, and how a user becomes the owner of
//! a name.

use std::time::Instant;

use crate::accounts::{AccountOrder, AccountPolicy, Credentials, Granted, Password};
use crate::name::{NamePolicyError, UserName, lookalike_keys};
use crate::spare::GiveBack;

use super::hub::Call;
use super::presence::{Change, renamed};
use super::room::Audience;
use super::session::{Phase, Session};
use super::{
    AccountChange, Act, Actor, Completion, ConnId, Departure, Effect, Event, Hub, Now, Output,
    Rank, RefusalReason, rights,
};

/// This many deadlines of visitors who are gone are not worth removing.
const FEW_VISITS: usize = 64;

/// What a visitor may ask.
const FOR_VISITORS: [&str; 7] =
    ["/help", "/login", "/ping", "/standard", "/state", "/time", "/times"];

impl Hub {
    /// Whether a user may send something to `to` now. Where accounts are required, a user who has not
    /// logged in has to do that first, and is told so.
    pub(super) fn may_send(&mut self, conn: ConnId, to: &str, now: Now, out: &mut Output) -> bool {
        let is_required = self.accounts == Some(AccountPolicy::Required);
        let must_log_in = is_required && self.users.get(conn).is_some_and(|s| !s.is_logged_in());
        let may = !must_log_in || FOR_VISITORS.contains(&to);
        if !may {
            self.tell(conn, "❌ Log in first: send /login with your password.", now, out);
        }
        may
    }

    /// A claimant's name was granted. Where accounts are required that is not enough.
    pub(super) fn admit_claimant(
        &mut self,
        conn: ConnId,
        lease: Option<u64>,
        now: Now,
        out: &mut Output,
    ) {
        self.set_lease(conn, lease);
        if self.accounts != Some(AccountPolicy::Required) {
            return self.admit_user(conn, now, out);
        }
        let Some(name) = self.users.get(conn).and_then(Session::user_name) else { return };
        let reason = "this server is for those who have an account: ask whoever runs it for one.";
        self.refuse(conn, name.as_str(), RefusalReason::NoAccount, reason, now, out);
    }

    /// Sets the lease of the name that a connection has.
    pub(super) fn set_lease(&mut self, conn: ConnId, lease: Option<u64>) {
        let lease = lease.filter(|_| self.has_directory());
        if let Some(session) = self.users.get_mut(conn) {
            session.lease = lease;
        }
    }

    /// When the next visitor must have logged in.
    pub(super) fn login_due(&self) -> Option<Instant> {
        self.visitors.front().map(|&(since, _)| since + self.limits.login)
    }

    /// How many deadlines of visitors there are at most.
    pub(super) fn most_visits(&self) -> usize {
        2 * self.users.visitors() + FEW_VISITS
    }

    /// Removes the deadlines of visitors who have logged in or left once they are more than half.
    /// So the cost is constant for each visitor. To be called when a visitor logs in or leaves.
    pub(super) fn compact_visits(&mut self) {
        if self.visitors.len() > self.most_visits() {
            let users = &self.users;
            let is_there = |conn| users.get(conn).is_some_and(|s| s.phase == Phase::Visitor);
            self.visitors.retain(|&(_, conn)| is_there(conn));
            self.visitors.give_back();
        }
    }

    /// Refuses visitors who had to log in and did not, at most so many.
    pub(super) fn refuse_overdue_visitors(&mut self, most: usize, now: Now, out: &mut Output) {
        for _ in 0..most {
            if self.login_due().is_none_or(|due| due > now.monotonic) {
                return;
            }
            let Some((_, conn)) = self.visitors.pop_front() else { return };
            let Some(session) = self.users.get(conn) else { continue };
            if session.phase == Phase::Visitor {
                let name = session.name().unwrap_or_default().to_owned();
                let within = self.limits.login.as_secs_f32();
                let reason = format!("you did not log in within {within} s. Connect again.");
                self.refuse(conn, &name, RefusalReason::NoLogin, &reason, now, out);
            }
        }
    }

    /// The connection gets the name of its account, and the user who has it leaves.
    pub(super) fn log_in(
        &mut self,
        conn: ConnId,
        name: &UserName,
        granted: &Granted,
        lease: Option<u64>,
        now: Now,
        out: &mut Output,
    ) {
        let taken_over = self.free_name(conn, name, now, out);
        let Some(session) = self.users.get(conn) else { return };
        let (address, phase) = (session.address, session.phase);
        let Some(old) = session.user_name() else { return };
        if old != *name {
            self.replace_name(conn, name, lease.or(taken_over), out);
        }
        let Some(session) = self.users.get_mut(conn) else { return };
        let kind = session.kind;
        let extras = session.extras_mut();
        (extras.wanted, extras.revision, extras.maker) = (None, granted.revision, None);
        // the mute of a guest stays beside that of the name, unless it was imposed by somebody who could
        // not mute the owner
        let of_guest = extras.mute.take();
        extras.mute = of_guest.filter(|mute| rights::may_mute(mute.rank, granted.role.into()));
        let has_other_rights = self.set_rights(conn, granted.role, true);
        let role = match granted.role {
            super::Role::User => String::new(),
            role => format!(", {}", role.one()),
        };
        let mut text = format!("You are logged in as {name}{role}.");
        if let Some(notice) = &granted.notice {
            text.push_str(&format!(" {notice}"));
        }
        if phase == Phase::Visitor {
            self.users.register(conn);
            self.note_joined(conn);
            self.compact_visits();
            let online = self.users.online();
            self.tell(conn, &text, now, out);
            Call { hub: self, conn, now, out }.welcome();
            self.owe_everyone(conn);
            self.state_login(conn, &old, has_other_rights, out);
            if self.announces {
                let change = Change::Joined;
                self.notify(Audience::Everyone, conn, change, name.as_str(), now, out);
            }
            let name = name.clone();
            self.counts.registered += 1;
            out.events.push(Event::Registered { conn, address, name, kind, online });
        } else {
            self.tell(conn, &text, now, out);
            self.state_login(conn, &old, has_other_rights, out);
            if old != *name {
                let text = renamed(old.as_str(), name.as_str());
                self.notify_rooms(conn, Change::Renamed, &text, now, out);
                let name = name.clone();
                out.events.push(Event::Renamed { conn, address, old, name });
            }
        }
        out.events.push(Event::LoggedIn { conn, address, name: name.clone() });
        if self.archive.is_some() {
            Call { hub: self, conn, now, out }.hand_over_mail(name.clone());
        }
    }

    /// A login gave a user another name or other rights.
    fn state_login(
        &mut self,
        conn: ConnId,
        old: &UserName,
        has_other_rights: bool,
        out: &mut Output,
    ) {
        if self.users.get(conn).and_then(Session::name) != Some(old.as_str()) {
            self.state_renamed(conn, old, out);
        }
        if has_other_rights {
            self.state_rights(conn, out);
        }
    }

    /// Takes a name from the user who has it, or waits for it, but is not its owner any more. Returns the
    /// lease of the name.
    fn free_name(
        &mut self,
        owner: ConnId,
        name: &UserName,
        now: Now,
        out: &mut Output,
    ) -> Option<u64> {
        self.withdraw_claims(name);
        let holder = self.users.holder(name.as_str()).filter(|&holder| holder != owner)?;
        let lease = self.users.get_mut(holder)?.lease.take();
        let text = format!("⛔ {name} has logged in elsewhere. This connection is closed.");
        self.tell(holder, &text, now, out);
        self.handle_eviction(holder, Departure::Replaced, now, out);
        lease
    }

    /// An account of this name exists, which an older version made and nobody can use now, because such
    /// names are the server's: no temporary name is made that looks like it.
    pub fn withhold_name(&mut self, name: &UserName) {
        let is_assigned = matches!(
            name.check_account(),
            Err(NamePolicyError::Assigned | NamePolicyError::LooksAssigned)
        );
        if is_assigned {
            self.withheld.extend(lookalike_keys(name.as_str()).iter().map(Into::into));
        }
    }

    /// Somebody changed an account other than by the commands of its owner: an act of the operator, which
    /// is reported as others are. `revision` is that of the account since the change: what was granted at
    /// a lower one is void, and a user whose rights are from this one or a higher one is not concerned.
    pub fn handle_account_change(
        &mut self,
        name: &UserName,
        change: AccountChange,
        revision: u64,
        now: Now,
        out: &mut Output,
    ) {
        let act = match change {
            AccountChange::Added(role) => {
                self.set_stored_role(name, role, revision);
                Act::AddAccount
            }
            AccountChange::Role(role) => {
                self.set_stored_role(name, role, revision);
                Act::Role(role)
            }
            AccountChange::Password => Act::ResetAccount,
            AccountChange::Removed => {
                self.set_stored_role(name, super::Role::User, revision);
                Act::RemoveAccount
            }
        };
        out.events.push(Event::Moderated {
            actor: Actor::operator("the operator"),
            rank: Rank::Operator,
            act,
            target: name.to_string(),
            duration: None,
            reason: String::new(),
            lasting: None,
        });
        self.apply_account_change(name, change, revision, now, out);
    }

    /// What a change of an account means for logins to it that are under way, and for the holder of its
    /// name.
    pub(super) fn apply_account_change(
        &mut self,
        name: &UserName,
        change: AccountChange,
        revision: u64,
        now: Now,
        out: &mut Output,
    ) {
        self.orders.note_revision(name, revision);
        if let AccountChange::Added(_) = change {
            self.withhold_name(name);
            self.withdraw_claims(name);
        }
        let Some((conn, session)) = self.users.find(name.as_str()) else { return };
        if session.revision().is_some_and(|own| own >= revision) {
            return;
        }
        match (change, session.is_logged_in()) {
            (AccountChange::Added(_), false) => self.displace(conn, name, now, out),
            (AccountChange::Role(role), true) => {
                if let Some(session) = self.users.get_mut(conn) {
                    session.extras_mut().revision = revision;
                }
                let has_other_rights = self.set_rights(conn, role, true);
                self.tell(conn, &format!("You are {} now.", role.one()), now, out);
                if has_other_rights {
                    self.state_rights(conn, out);
                }
            }
            (AccountChange::Password | AccountChange::Removed, true) => {
                let text = "⛔ Your account was changed. Connect again and log in.";
                self.tell(conn, text, now, out);
                self.handle_eviction(conn, Departure::AccountChanged, now, out);
            }
            _ => {}
        }
    }

    /// Something that a user asked of the accounts is decided.
    pub(super) fn complete_account(
        &mut self,
        conn: ConnId,
        completion: Completion,
        now: Now,
        out: &mut Output,
    ) {
        match completion {
            Completion::LoggedIn(_, Err(reason)) => {
                let reason = reason.trim_end_matches('.').to_owned();
                Call { hub: self, conn, now, out }.deny("/login", &reason);
            }
            Completion::Registered(Ok(granted)) => self.become_owner(conn, granted, now, out),
            Completion::Registered(Err(reason)) => {
                self.tell(conn, &format!("❌ Not registered: {reason}"), now, out);
            }
            Completion::PasswordChanged(Ok(granted)) => {
                self.note_own_revision(conn, granted.revision);
                let notice = granted.notice.map_or(String::new(), |notice| format!(" {notice}"));
                self.tell(conn, &format!("Your password is changed.{notice}"), now, out);
            }
            Completion::PasswordChanged(Err(reason)) => {
                self.tell(conn, &format!("❌ Your password is not changed: {reason}"), now, out);
            }
            Completion::Unregistered(Ok(revision)) => self.disown(conn, revision, now, out),
            Completion::Unregistered(Err(reason)) => {
                self.tell(conn, &format!("❌ The account stays: {reason}"), now, out);
            }
            _ => debug_assert!(false, "not about accounts: {completion:?}"),
        }
    }

    /// An order about this account is decided, and the connection that gave it has ended. Others may
    /// have got the name since, or have logged in under it.
    pub(super) fn complete_abandoned(
        &mut self,
        account: &UserName,
        completion: &Completion,
        now: Now,
        out: &mut Output,
    ) {
        let (change, revision) = match completion {
            Completion::Registered(Ok(granted)) => {
                (AccountChange::Added(granted.role), granted.revision)
            }
            Completion::Unregistered(Ok(revision)) => {
                self.set_stored_role(account, super::Role::User, *revision);
                (AccountChange::Removed, *revision)
            }
            // a user who logged in with the old one has rights from a lower revision
            Completion::PasswordChanged(Ok(granted)) => (AccountChange::Password, granted.revision),
            _ => return,
        };
        self.apply_account_change(account, change, revision, now, out);
    }

    /// The user's name is an account now, and it is its owner.
    fn become_owner(&mut self, conn: ConnId, granted: Granted, now: Now, out: &mut Output) {
        let Some(session) = self.users.get_mut(conn) else { return };
        let address = session.address;
        let Some(name) = session.user_name() else { return };
        session.extras_mut().revision = granted.revision;
        // who is an admin by the token, or was made a moderator, stays that
        let role = session.role().max(granted.role);
        self.set_rights(conn, role, true);
        let notice = granted.notice.map_or(String::new(), |notice| format!(" {notice}"));
        let text = format!(
            "The name {name} is yours: from the next time on it needs /login with the password.{notice}"
        );
        self.tell(conn, &text, now, out);
        self.state_rights(conn, out);
        out.events.push(Event::LoggedIn { conn, address, name });
    }

    /// A user has changed its account: logins to it that were granted before take no effect.
    fn note_own_revision(&mut self, conn: ConnId, revision: u64) {
        let Some(session) = self.users.get_mut(conn) else { return };
        let own = &mut session.extras_mut().revision;
        *own = revision.max(*own);
        if let Some(name) = session.user_name() {
            self.orders.note_revision(&name, revision);
        }
    }

    /// The account is gone. Its owner is a user like any other, or none where accounts are required.
    fn disown(&mut self, conn: ConnId, revision: u64, now: Now, out: &mut Output) {
        self.note_own_revision(conn, revision);
        if let Some(name) = self.users.get(conn).and_then(Session::user_name) {
            self.set_stored_role(&name, super::Role::User, revision);
        }
        if self.accounts == Some(AccountPolicy::Required) {
            let text = "The account is gone. This server is for those who have an account: the \
                        connection is closed.";
            self.tell(conn, text, now, out);
            return self.handle_eviction(conn, Departure::Unregistered, now, out);
        }
        self.set_rights(conn, super::Role::User, false);
        self.tell(conn, "The account is gone. The name is free when you leave.", now, out);
        self.state_rights(conn, out);
    }
}

impl Call<'_> {
    /// Credentials of the one who asks, for the account of that name.
    pub(super) fn credentials(&mut self, name: UserName, password: &str) -> Credentials {
        let session = self.session();
        Credentials::new(
            name,
            Password::new(password),
            session.address,
            session.transport.is_secure(),
        )
    }

    /// Asks the accounts something; the connection waits for the answer.
    pub(super) fn ask_accounts(&mut self, order: AccountOrder) {
        match self.hub.wait(self.conn, order.text_len()) {
            Ok(token) => {
                self.hub.orders.begin(token.serial, order.credentials().name.clone());
                self.out.effects.push_back(Effect::Account { token, order });
            }
            Err(busy) => self.answer(&format!("❌ Not done: {busy}")),
        }
    }
}
