//! How the outcome of an effect comes back to a server from whoever carried it out.

use std::sync::Arc;

use crate::host::{Host, guarded};
use crate::hub::{Completion, Token};

/// Answers one order. Dropped without an answer, it says that the command failed.
pub struct Reply {
    token: Token,
    host: Arc<dyn Host>,
    is_sent: bool,
}

impl Reply {
    pub(crate) fn new(token: Token, host: Arc<dyn Host>) -> Self {
        Reply { token, host, is_sent: false }
    }

    /// Runs code of the application that is to give the answer; a panic is reported and gives `None`.
    pub(crate) fn guarded<T>(&self, what: &str, run: impl FnOnce() -> T) -> Option<T> {
        guarded(what, &*self.host, run)
    }

    /// Sends the answer; the order says which kind it must be of.
    pub fn send(mut self, completion: Completion) {
        self.is_sent = true;
        self.host.complete(self.token, completion);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.is_sent {
            self.host.complete(self.token, Completion::Failed);
        }
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Reply").field(&self.token).finish()
    }
}
