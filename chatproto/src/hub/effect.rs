//! Effects, which finish later or elsewhere, and their completions.

use std::sync::Arc;

use crate::accounts::{AccountOrder, Granted};
use crate::directory::{Claim, Lease};
use crate::endpoint::{Handler, Request};
use crate::name::UserName;

use super::{Conversation, Forgotten, HistoryOrder, Left, Page, Token};

/// Something that finishes later or elsewhere. Its outcome comes back through
/// [`Hub::handle_completion`](crate::hub::Hub::handle_completion) with the token; until then the
/// connection's input waits.
#[non_exhaustive]
pub enum Effect {
    /// Find out whether a connection may have a name. If a client asks for it (at registration or by
    /// `/nick`) and it is that of an account, the answer is [`Completion::Reserved`]. Else the
    /// [`Directory`](crate::directory::Directory) answers, with [`Completion::Claimed`], [`Completion::Reserved`],
    /// [`Completion::Refused`], [`Completion::Moved`] or [`Completion::Failed`]. Without a directory, the
    /// answer is `Claimed(0)`. A hub that has neither accounts nor a directory asks nobody.
    Claim {
        /// To be given back.
        token: Token,
        /// The name, and what it is for.
        claim: Claim,
    },
    /// Find out whether a name is an account's, which somebody else claims meanwhile: then whoever
    /// asks for it becomes a guest, and is refused else. Only where there are accounts. Answered by
    /// [`Completion::Reserved`] or [`Completion::Unreserved`].
    CheckReserved {
        /// To be given back.
        token: Token,
        /// The name.
        name: UserName,
    },
    /// Give a name back to the directory. Answered by [`Completion::Released`]. Only with a directory.
    Release {
        /// To be given back. No connection waits for it.
        token: Token,
        /// The name, as it was granted.
        lease: Lease,
    },
    /// Answer with [`Completion::Resumed`] at once: what the connection waits for can go on. Only with a
    /// directory. (The connection may be another event loop's.)
    Resume {
        /// To be given back.
        token: Token,
    },
    /// Run an endpoint of the application's own. Answered by [`Completion::Answered`] or
    /// [`Completion::Failed`].
    Call {
        /// To be given back.
        token: Token,
        /// What to run.
        handler: Arc<dyn Handler>,
        /// What to run it on.
        request: Request,
    },
    /// Ask the [`Accounts`](crate::accounts::Accounts) something. The order says how it is answered.
    Account {
        /// To be given back.
        token: Token,
        /// What is asked.
        order: AccountOrder,
    },
    /// Ask the [`History`](crate::history::History) something, after all that it was given to keep before.
    /// The order says how it is answered.
    History {
        /// To be given back.
        token: Token,
        /// What is asked.
        order: HistoryOrder,
    },
}

impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Effect::Claim { claim, .. } => write!(f, "{claim:?}"),
            Effect::CheckReserved { name, .. } => write!(f, "CheckReserved({name})"),
            Effect::Release { lease, .. } => write!(f, "Release({lease:?})"),
            Effect::Resume { token } => write!(f, "Resume({token:?})"),
            Effect::Call { request, .. } => write!(f, "Call({request:?})"),
            Effect::Account { order, .. } => write!(f, "Account({order:?})"),
            Effect::History { order, .. } => write!(f, "History({order:?})"),
        }
    }
}

/// What became of an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Completion {
    /// The name is the claimant's, as a lease with this number: see
    /// [`ClaimAnswer::Granted`](crate::directory::ClaimAnswer::Granted).
    Claimed(u64),
    /// The name is that of an account, or looks like one: the claimant has to log in.
    Reserved,
    /// The name is no account's, and does not look like one.
    Unreserved,
    /// The name is not, for the reason that the text gives to the user.
    Refused(String),
    /// The claimant is to connect to another server: this one.
    Moved(String),
    /// The lease was given back.
    Released,
    /// What answers [`Effect::Resume`].
    Resumed,
    /// The endpoint answered, or refused with a sentence.
    Answered(Result<String, String>),
    /// The user's name is an account now, or a sentence says why not.
    Registered(Result<Granted, String>),
    /// The password was right, and the account is this one; or a sentence says why not.
    LoggedIn(UserName, Result<Granted, String>),
    /// The password was changed, and the account has another revision; or a sentence says why not.
    PasswordChanged(Result<Granted, String>),
    /// The account is gone, since this revision; or a sentence says why not.
    Unregistered(Result<u64, String>),
    /// All that the connection sent before is safe, or a sentence says why that is not so.
    Synced(Result<(), String>),
    /// These are the messages, or a sentence says why they cannot be read.
    Replayed(Conversation, Result<Page, String>),
    /// What became of the message of that number, or why it could not be forgotten.
    Forgotten(Conversation, u64, Result<Forgotten, String>),
    /// What became of a message to that user, or why it could not be kept.
    Left(UserName, Result<Left, String>),
    /// What was kept for the user, or why it cannot be read.
    Collected(Result<Page, String>),
    /// The endpoint failed, by no fault of the user's.
    Failed,
}
