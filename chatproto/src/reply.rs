//! How the outcome of an effect comes back to a server from whoever carried it out.

use std::sync::Arc;

use crate::hub::{Completion, Token};
use crate::reactor::Shared;
use crate::workers::guarded;

/// Answers one order. Dropped without an answer, it says that the command failed.
pub struct Reply {
    token: Token,
    shared: Arc<Shared>,
    is_sent: bool,
}

impl Reply {
    pub(crate) fn new(token: Token, shared: &Arc<Shared>) -> Self {
        Reply { token, shared: Arc::clone(shared), is_sent: false }
    }

    /// Runs code of the application that is to give the answer; a panic is reported and gives `None`.
    pub(crate) fn guarded<T>(&self, what: &str, run: impl FnOnce() -> T) -> Option<T> {
        guarded(what, &self.shared, run)
    }

    /// Sends the answer; the order says which kind it must be of.
    pub fn send(mut self, completion: Completion) {
        self.is_sent = true;
        self.shared.complete(self.token, completion);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.is_sent {
            self.shared.complete(self.token, Completion::Failed);
        }
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Reply").field(&self.token).finish()
    }
}
