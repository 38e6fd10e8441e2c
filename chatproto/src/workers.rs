//! The threads on which effects are carried out that may take their time: the application's
//! endpoints, and its directory of names.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use crate::hub::{Completion, Effect, Event};
use crate::reactor::Shared;
use crate::server::Directory;

/// An effect, and where its outcome goes.
type Job = (Effect, Arc<Shared>);

pub(crate) struct Workers(mpsc::Sender<Job>);

impl Workers {
    /// Starts `count` threads, which end when this is dropped.
    pub(crate) fn start(
        count: usize,
        directory: Option<&Arc<dyn Directory>>,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..count {
            let receiver = Arc::clone(&receiver);
            let directory = directory.cloned();
            let next = move || receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
            thread::Builder::new().name(format!("chatproto-worker-{number}")).spawn(move || {
                while let Ok((effect, shared)) = next() {
                    carry_out(effect, directory.as_deref(), &shared);
                }
            })?;
        }
        Ok(Workers(sender))
    }

    /// Hands an effect to the next thread that is free. There is at most one a connection, so the
    /// queue is bounded by the connections.
    pub(crate) fn submit(&self, effect: Effect, shared: &Arc<Shared>) {
        // without threads nobody could have built the effect
        let _ = self.0.send((effect, Arc::clone(shared)));
    }
}

fn carry_out(effect: Effect, directory: Option<&dyn Directory>, shared: &Shared) {
    match effect {
        Effect::Claim { token, name, address } => {
            let claim = || directory.map_or(Ok(()), |directory| directory.claim(&name, address));
            let completion = match guarded("the directory", shared, claim) {
                Some(Ok(())) => Completion::Claimed,
                Some(Err(reason)) => Completion::Refused(reason),
                None => Completion::Refused("the name cannot be checked now. Try again.".into()),
            };
            shared.complete(token, completion);
        }
        Effect::Release { name } => {
            if let Some(directory) = directory {
                guarded("the directory", shared, || directory.release(&name));
            }
        }
        Effect::Call { token, handler, request } => {
            let answer = guarded(&request.endpoint, shared, || handler.handle(&request));
            shared.complete(token, answer.map_or(Completion::Failed, Completion::Answered));
        }
    }
}

/// Runs the application's code; a panic is reported and gives `None`.
fn guarded<T>(what: &str, shared: &Shared, run: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => Some(value),
        Err(panic) => {
            let reason = panic_text(&*panic);
            shared.observe(&Event::HandlerPanicked { endpoint: what.into(), reason });
            None
        }
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or(panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}
