//! Connections that wait for the name that they claim, and the outcome for each of them.

use crate::accounts::Granted;
use crate::directory::ClaimPurpose;
use crate::name::UserName;

use super::claim::Pending;
use super::orders::Order;
use super::replies::{CHANGED, RESERVED, name_stays, reason_of};
use super::session::{Phase, Session};
use super::{Completion, ConnId, Hub, Now, Output, Token};

impl Hub {
    /// The answer to a claim, or to what a claim waited for.
    pub(super) fn complete_claim(
        &mut self,
        token: Token,
        completion: Completion,
        order: Option<Order>,
        now: Now,
        out: &mut Output,
    ) {
        let conn = token.conn;
        self.claims.end_wait(token.serial);
        let claimed = self.users.get(conn).and_then(Session::claimed_name);
        if completion == Completion::Resumed
            && let Some(name) = claimed
        {
            // others may wait for this one, which begins anew
            self.go_on_about(&name, token.serial, out);
        }
        let pending = self.users.take_pending(conn);
        let Some(session) = self.users.get(conn) else { return };
        let is_claiming = session.phase == Phase::Claiming;
        let own = session.user_name();
        let lease = match completion {
            Completion::Claimed(revision) => Some(revision),
            _ => None,
        };
        match pending {
            None => {
                let Some(name) = own else { return };
                if completion == Completion::Resumed {
                    return self.claim_first_name(conn, &name, now, out);
                }
                self.end_claim(&name, token, None, out);
                match completion {
                    Completion::Claimed(revision) => {
                        self.admit_claimant(conn, Some(revision), now, out);
                    }
                    Completion::Reserved => self.admit_guest(conn, &name, now, out),
                    refusal => self.refuse_claim(conn, &name, refusal, now, out),
                }
            }
            Some(Pending::Contend(name)) => match completion {
                Completion::Reserved => self.admit_guest(conn, &name, now, out),
                Completion::Unreserved => self.refuse_taken(conn, &name, now, out),
                refusal => self.refuse_claim(conn, &name, refusal, now, out),
            },
            Some(Pending::Rename(name)) => {
                let banned = lease.and_then(|_| self.ban_of(conn, Some(&name), now));
                let reason = match (completion, banned) {
                    (Completion::Resumed, _) => {
                        match self.claim_other_name(conn, &name, now, out) {
                            Ok(()) => return,
                            Err(busy) => busy.to_string(),
                        }
                    }
                    (Completion::Claimed(_), None) => {
                        self.end_claim(&name, token, None, out);
                        return self.rename(conn, &name, lease, now, out);
                    }
                    (_, Some(reason)) => reason,
                    (Completion::Reserved, _) => RESERVED.to_owned(),
                    (refusal, _) => reason_of(refusal),
                };
                self.end_claim(&name, token, lease, out);
                let own = own.as_ref().map_or("", UserName::as_str);
                self.tell(conn, &name_stays(own, &reason), now, out);
            }
            Some(Pending::Guest { name, wanted, attempts }) => match completion {
                Completion::Claimed(_) if !self.is_unfit_for_guests(&name, now) => {
                    self.end_claim(&name, token, None, out);
                    self.become_guest(conn, &name, &wanted, lease, now, out);
                }
                Completion::Claimed(_) | Completion::Reserved | Completion::Refused(_) => {
                    self.end_claim(&name, token, lease, out);
                    self.find_guest_name(conn, wanted, attempts + 1, now, out);
                }
                refusal => {
                    self.end_claim(&name, token, None, out);
                    self.refuse_claim(conn, &wanted, refusal, now, out);
                }
            },
            Some(Pending::Login { account, granted }) => {
                self.end_login(token, account, granted, completion, order, now, out);
            }
            Some(Pending::Withdrawn(name)) => {
                self.end_claim(&name, token, lease, out);
                if is_claiming {
                    return self.admit_guest(conn, &name, now, out);
                }
                let own = own.as_ref().map_or("", UserName::as_str);
                self.tell(conn, &name_stays(own, RESERVED), now, out);
            }
            Some(Pending::Overdue(text)) => self.tell(conn, &text, now, out),
        }
    }

    /// The claim of an account's name is answered, for a user who has proved to own it.
    #[allow(clippy::too_many_arguments, reason = "the parts of one login, and the call's")]
    fn end_login(
        &mut self,
        token: Token,
        account: UserName,
        granted: Granted,
        completion: Completion,
        order: Option<Order>,
        now: Now,
        out: &mut Output,
    ) {
        let conn = token.conn;
        let lease = match completion {
            Completion::Claimed(revision) => Some(revision),
            _ => None,
        };
        let banned = self.ban_of(conn, Some(&account), now);
        let is_stale = order.as_ref().is_some_and(|order| order.is_newer_than(granted.revision));
        let reason = match (completion, banned) {
            _ if is_stale => CHANGED.to_owned(),
            (_, Some(reason)) => reason,
            (Completion::Resumed, _) => {
                return self.begin_login(conn, account, granted, order, now, out);
            }
            (Completion::Claimed(_), _) => {
                self.end_claim(&account, token, None, out);
                return self.log_in(conn, &account, &granted, lease, now, out);
            }
            (refusal, _) => reason_of(refusal),
        };
        self.end_claim(&account, token, lease, out);
        self.tell(conn, &format!("❌ Not logged in: {reason}"), now, out);
    }

    /// The password was right: the connection gets the name of the account. If nobody has it here, it is
    /// claimed first. Else the login takes over the lease of the user who has it.
    pub(super) fn begin_login(
        &mut self,
        conn: ConnId,
        account: UserName,
        granted: Granted,
        order: Option<Order>,
        now: Now,
        out: &mut Output,
    ) {
        let banned = self.ban_of(conn, Some(&account), now);
        if order.as_ref().is_some_and(|order| order.is_newer_than(granted.revision)) {
            return self.tell(conn, &format!("❌ Not logged in: {CHANGED}"), now, out);
        }
        if let Some(reason) = banned {
            return self.tell(conn, &format!("❌ Not logged in: {reason}"), now, out);
        }
        if !self.has_directory() || self.users.find(account.as_str()).is_some() {
            return self.log_in(conn, &account, &granted, None, now, out);
        }
        let purpose = ClaimPurpose::Login { revision: granted.revision };
        match self.claim_name(conn, &account, purpose, now, out) {
            Ok(token) => {
                // the account can change until the name is granted
                if let Some(order) = order {
                    self.orders.continue_as(token.serial, order);
                }
                self.users.set_pending(conn, Pending::Login { account, granted });
            }
            Err(busy) => self.tell(conn, &format!("❌ Not logged in: {busy}"), now, out),
        }
    }
}
