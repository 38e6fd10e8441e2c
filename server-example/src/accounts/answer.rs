//! What users are told of their orders: exactly one answer each, in a sentence.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chatproto::accounts::{AccountOrder, Granted};
use store::accounts::TableError;

use super::counts::{OrderCounts, OrderKind, OrderResult};
use super::throttle::spoken;

/// What users are told, without the beginning that says what was not done.
pub(super) const BUSY: &str = "the server is busy with other logins. Try again in a few seconds";
pub(super) const WRONG: &str = "wrong password, or no account of that name";
pub(super) const NAME_IT: &str = "send /login with that name before the password";
pub(super) const UNREADABLE: &str =
    "the account is damaged. Ask an admin of this server to reset its password";
pub(super) const NO_ROOM: &str = "this server has no room for more accounts. Ask an admin of this server to \
                       remove unused ones";
pub(super) const FAILED: &str = "something went wrong in the server. Try again";
pub(super) const UNENCRYPTED: &str =
    "This connection is not encrypted: your password could be read on its way.";
pub(super) const ENCRYPT: &str = "this server takes passwords over encrypted connections (TLS) alone, so that \
                       nobody can read yours on its way. Connect with TLS and try again";

/// What comes of an order; an error is the sentence for the user.
pub(crate) type Reply = Result<Granted, String>;

/// Why an order was not carried out: as it is counted, and as the user is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Denial {
    pub(super) result: OrderResult,
    pub(super) why: String,
}

impl Denial {
    pub(super) fn new(result: OrderResult, why: impl Into<String>) -> Self {
        Denial { result, why: why.into() }
    }

    pub(super) fn refused(why: impl Into<String>) -> Self {
        Denial::new(OrderResult::Refused, why)
    }

    pub(super) fn busy() -> Self {
        Denial::new(OrderResult::Busy, BUSY)
    }
}

/// The answer to an order. It is always given and counted: when this is dropped, if not before.
pub(super) struct Answer {
    kind: OrderKind,
    counts: Arc<OrderCounts>,
    done: Option<Box<dyn FnOnce(Reply) + Send>>,
}

impl Answer {
    pub(super) fn new(
        kind: OrderKind,
        counts: Arc<OrderCounts>,
        done: impl FnOnce(Reply) + Send + 'static,
    ) -> Self {
        Answer { kind, counts, done: Some(Box::new(done)) }
    }

    /// Says what came of it; an error is why it was not done.
    pub(super) fn give(mut self, outcome: Result<Granted, Denial>) {
        self.say(outcome);
    }

    fn say(&mut self, outcome: Result<Granted, Denial>) {
        let Some(done) = self.done.take() else { return };
        let result = outcome.as_ref().map_or_else(|denial| denial.result, |_| OrderResult::Done);
        self.counts.add(self.kind, result);
        // of a login, the server says the reason alone; else it begins with what was not done
        done(outcome.map_err(|Denial { why, .. }| match self.kind {
            OrderKind::Login => format!("{}.", capitalised(&why)),
            _ => format!("{why}."),
        }));
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.say(Err(Denial::new(OrderResult::Failed, FAILED)));
    }
}

pub(super) fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Why a name cannot be registered.
pub(super) fn taken(name: &str, other: &str) -> String {
    if name == other {
        format!("there is an account of the name {name} already. If it is yours, send /login")
    } else {
        format!("the name looks like {other}, which is somebody's account")
    }
}

/// Why the throttle refuses an order.
pub(super) fn throttled(order: &AccountOrder, wait: Duration) -> Denial {
    let what = match order {
        AccountOrder::Register(_) => "too many accounts were made from your address",
        _ => "there were too many wrong passwords",
    };
    Denial::new(OrderResult::Throttled, format!("{what}. Try again in {}", spoken(wait)))
}

/// Logs an error that users can cause again and again, within the log's budget for it.
#[derive(Clone)]
pub(crate) struct ErrorLog(Arc<dyn Fn(&str) + Send + Sync>);

impl ErrorLog {
    pub(crate) fn new(write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        ErrorLog(Arc::new(write))
    }

    pub(super) fn write(&self, line: &str) {
        (self.0)(line);
    }
}

impl fmt::Debug for ErrorLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorLog").finish_non_exhaustive()
    }
}

/// Logs why a change was not made; the sentence for the user.
pub(super) fn unwritten(why: TableError, log: &ErrorLog) -> Denial {
    match why {
        TableError::Taken(_) | TableError::Gone => {
            Denial::refused("the account has changed meanwhile. Try again")
        }
        TableError::Store(error) => {
            log.write(&format!("an account cannot be written: {error}"));
            let why = "the server cannot write accounts at the moment. Try again later";
            Denial::new(OrderResult::Failed, why)
        }
    }
}
