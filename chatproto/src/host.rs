//! The server, as the parts see it that carry its effects out: replies, threads of workers, the queue of the
//! history. They hand outcomes back, and report events.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::hub::{Completion, Event, Token};

/// A server, for the parts that carry its effects out.
pub(crate) trait Host: fmt::Debug + Send + Sync {
    /// Hands the outcome of an effect back to the hub.
    fn complete(&self, token: Token, completion: Completion);

    /// Tells the observer of an event.
    fn observe(&self, event: &Event);

    /// Tells the hub why no messages can be stored now, or (`None`) that they are stored again. It takes the
    /// hub's lock.
    fn set_history_state(&self, failing: Option<&str>);
}

/// Runs the application's code; a panic is reported and gives `None`.
pub(crate) fn guarded<T>(what: &str, host: &dyn Host, run: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => Some(value),
        Err(panic) => {
            let reason = panic_text(&*panic);
            host.observe(&Event::HandlerPanicked { endpoint: what.into(), reason });
            None
        }
    }
}

/// The text of a panic.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or(panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}
