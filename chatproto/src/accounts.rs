//! Accounts: names that belong to somebody, who proves it with a password. The hub knows who is
//! logged in; what an account is made of, and where it is kept, is the business of an [`Accounts`]
//! that the application brings.
//!
//! A connection that asks for the name of an account becomes a guest under a temporary name made
//! from it, such as `alice~7`, until it logs in (see `/login` in `PROTOCOL.md`).

mod order;

use std::sync::Arc;

use crate::hub::Completion;
use crate::name::UserName;
use crate::reply::Reply;

pub use order::{AccountOrder, AccountPolicy, Credentials, Granted, Password};

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

impl AccountOrder {
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
