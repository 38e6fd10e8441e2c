//! Accounts: names that belong to somebody, who proves it with a password. The hub knows who is
//! logged in; what an account is made of, and where it is kept, is the business of an [`Accounts`]
//! that the application brings.
//!
//! A connection that asks for the name of an account becomes a guest under a temporary name made
//! from it, such as `alice~7`, until it logs in (see `/login` in `PROTOCOL.md`).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::hub::{Completion, Role};
use crate::name::UserName;
use crate::reply::Reply;

/// Whether there are accounts, and who may speak without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AccountPolicy {
    /// Names of accounts are for their owners, all others for whoever comes first.
    Optional,
    /// Nobody speaks, reads or is seen without logging in.
    Required,
}

/// A password. It is shown nowhere, and wiped from memory when it is dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Keeps a copy of the text.
    pub fn new(text: &str) -> Self {
        Password(Zeroizing::new(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Who wants to be whom, and how it is proved.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Credentials {
    /// The name of the account.
    pub name: UserName,
    /// The password, as it was typed.
    pub password: Password,
    /// The address that the server sees.
    pub address: IpAddr,
    /// Nobody on the way can have read the password (TLS).
    pub is_secure: bool,
}

impl Credentials {
    /// Credentials that came from `address`.
    pub fn new(name: UserName, password: Password, address: IpAddr, is_secure: bool) -> Self {
        Credentials { name, password, address, is_secure }
    }
}

/// What an account gives to the user who proved to own it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Granted {
    /// What the user may do beyond speaking.
    pub role: Role,
    /// The account's revision at which this is so: see [`Accounts`]. Of an account that the order
    /// removed, the revision of the removal.
    pub revision: u64,
    /// A sentence that the user is told besides, such as a warning. None by default.
    pub notice: Option<String>,
}

impl Granted {
    /// The role and the revision of an account.
    pub fn new(role: Role, revision: u64) -> Self {
        Granted { role, revision, notice: None }
    }
}

/// Keeps accounts. The methods are called on the event loops, outside every lock, and must not
/// block: the first two answer from memory, and the last one hands on what takes time, such as checking
/// a password, to threads of its own. The connection waits until the [`AccountReply`] is sent.
///
/// # Revisions
/// Each account has a revision. It rises with every change of its password or role. An account that is
/// made anew under the name of a removed one begins above all revisions of the removed one. What was
/// granted at a revision is void once the account has a higher one. The hub compares revisions when a
/// login takes effect and when it learns of a change. So a login that was checked before a change takes
/// no effect after it, and a change that a session already reflects does not concern the session.
pub trait Accounts: Send + Sync + 'static {
    /// Whether the name is that of an account, or looks like one, so that nobody has it who has not
    /// logged in.
    fn is_reserved(&self, name: &UserName) -> bool;

    /// The revision of the account of exactly this name, if there is one.
    fn revision(&self, name: &UserName) -> Option<u64>;

    /// Does something that a user asks for.
    fn handle(&self, order: AccountOrder, reply: AccountReply);
}

impl<A: Accounts> Accounts for Arc<A> {
    fn is_reserved(&self, name: &UserName) -> bool {
        A::is_reserved(self, name)
    }

    fn revision(&self, name: &UserName) -> Option<u64> {
        A::revision(self, name)
    }

    fn handle(&self, order: AccountOrder, reply: AccountReply) {
        A::handle(self, order, reply);
    }
}

/// Something that a user asks of the [`Accounts`]. The hub asks nothing about a name that no client
/// gets on request (see [`UserName::check_request`]), and makes no account that
/// [`UserName::check_account`] refuses.
#[derive(Debug)]
#[non_exhaustive]
pub enum AccountOrder {
    /// `/register`: make an account of the name that the user has. Answered by
    /// [`Completion::Registered`].
    Register(Credentials),
    /// `/login`: check a password. The answer must not tell whether there is such an account.
    /// Answered by [`Completion::LoggedIn`].
    Login(Credentials),
    /// `/passwd`: change the password, if the old one is right. Answered by
    /// [`Completion::PasswordChanged`].
    ChangePassword(Credentials, Password),
    /// `/unregister`: remove the account, if the password is right. Answered by
    /// [`Completion::Unregistered`].
    Unregister(Credentials),
}

impl AccountOrder {
    /// Who asks.
    pub fn credentials(&self) -> &Credentials {
        match self {
            AccountOrder::Register(credentials)
            | AccountOrder::Login(credentials)
            | AccountOrder::ChangePassword(credentials, _)
            | AccountOrder::Unregister(credentials) => credentials,
        }
    }

    /// How many bytes its texts have. (The hub has the name of an order that is under way, and the answer
    /// has it too.)
    pub(crate) fn text_len(&self) -> usize {
        let Credentials { name, password, .. } = self.credentials();
        let new = match self {
            AccountOrder::ChangePassword(_, new) => new.as_str().len(),
            _ => 0,
        };
        3 * name.as_str().len() + password.as_str().len() + new
    }

    /// The completion of an order for which this is the outcome: what the account gives, or the
    /// sentence that tells the user why not.
    pub fn completion(&self) -> fn(UserName, Result<Granted, String>) -> Completion {
        match self {
            AccountOrder::Register(_) => |_, outcome| Completion::Registered(outcome),
            AccountOrder::Login(_) => Completion::LoggedIn,
            AccountOrder::ChangePassword(..) => |_, outcome| Completion::PasswordChanged(outcome),
            AccountOrder::Unregister(_) => {
                |_, outcome| Completion::Unregistered(outcome.map(|granted| granted.revision))
            }
        }
    }
}

/// Answers one order, from any thread. Dropped without an answer, it says that the command failed.
#[derive(Debug)]
pub struct AccountReply {
    reply: Reply,
    name: UserName,
    completion: fn(UserName, Result<Granted, String>) -> Completion,
}

impl AccountReply {
    pub(crate) fn new(order: &AccountOrder, reply: Reply) -> Self {
        let (name, completion) = (order.credentials().name.clone(), order.completion());
        AccountReply { reply, name, completion }
    }

    /// Sends the outcome: what the account gives, or the sentence that tells the user why not.
    pub fn send(self, outcome: Result<Granted, String>) {
        self.reply.send((self.completion)(self.name, outcome));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_nowhere() {
        let password = Password::new("correct horse");
        let address = IpAddr::from([127, 0, 0, 1]);
        let name = UserName::new("alice").unwrap();
        let order = AccountOrder::ChangePassword(
            Credentials::new(name, password.clone(), address, false),
            password,
        );
        let shown = format!("{order:?}");
        assert!(shown.contains("alice") && !shown.contains("horse"), "{shown}");
    }
}
