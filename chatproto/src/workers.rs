//! The threads on which effects are carried out that may take their time: the application's
//! endpoints, and its directory of names.

use std::hash::BuildHasher;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use foldhash::quality::FixedState;

use crate::extension::Directory;
use crate::hub::{Completion, Effect, Event};
use crate::reactor::Shared;

/// An effect, and where its outcome goes.
pub(crate) type Job = (Effect, Arc<Shared>);

pub(crate) struct Workers {
    /// Endpoints: whoever is free takes the next.
    calls: mpsc::Sender<Job>,
    /// The directory, a queue for each thread: what concerns one name is done in order.
    names: Vec<mpsc::Sender<Job>>,
}

/// Whose code runs on the threads.
#[derive(Clone, Default)]
pub(crate) struct Applied {
    pub(crate) has_handlers: bool,
    pub(crate) directory: Option<Arc<dyn Directory>>,
}

impl Applied {
    /// Whether there is something to run.
    pub(crate) fn needs_threads(&self) -> bool {
        self.has_handlers || self.directory.is_some()
    }
}

impl Workers {
    /// Starts `count` threads for endpoints, and as many for a directory, each where there is such a
    /// thing. They end when this is dropped.
    pub(crate) fn start(count: usize, applied: &Applied) -> io::Result<Self> {
        let calls = pool("call", if applied.has_handlers { count } else { 0 }, applied)?;
        let names = applied.directory.as_ref().map_or(0..0, |_| 0..count).map(|number| {
            let (sender, receiver) = mpsc::channel();
            let next = move || receiver.recv().ok();
            spawn(format!("chatproto-name-{number}"), next, applied.clone())?;
            Ok(sender)
        });
        Ok(Workers { calls, names: names.collect::<io::Result<_>>()? })
    }

    /// No threads: whoever has the receiver carries out what is queued.
    #[cfg(test)]
    pub(crate) fn by_hand() -> (Self, mpsc::Receiver<Job>) {
        let (calls, receiver) = mpsc::channel();
        (Workers { names: vec![calls.clone()], calls }, receiver)
    }

    /// Queues an effect. A connection has one at a time, so the queues are bounded.
    pub(crate) fn submit(&self, effect: Effect, shared: &Arc<Shared>) {
        let queue = match &effect {
            Effect::Call { .. } => &self.calls,
            Effect::Account { .. } | Effect::History { .. } => {
                unreachable!("those have threads of their own")
            }
            Effect::Claim { name, .. } | Effect::Release { name } => {
                let hash = FixedState::with_seed(0).hash_one(name.as_str());
                &self.names[hash as usize % self.names.len()]
            }
        };
        // the threads live as long as the queues
        let _ = queue.send((effect, Arc::clone(shared)));
    }
}

/// Starts threads that share a queue.
fn pool(what: &str, count: usize, applied: &Applied) -> io::Result<mpsc::Sender<Job>> {
    let (sender, receiver) = mpsc::channel();
    let receiver = Arc::new(Mutex::new(receiver));
    for number in 0..count {
        let receiver = Arc::clone(&receiver);
        let next = move || receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
        spawn(format!("chatproto-{what}-{number}"), next, applied.clone())?;
    }
    Ok(sender)
}

fn spawn(
    name: String,
    mut next: impl FnMut() -> Option<Job> + Send + 'static,
    applied: Applied,
) -> io::Result<()> {
    let run = move || {
        while let Some((effect, shared)) = next() {
            carry_out(effect, &applied, &shared);
        }
    };
    thread::Builder::new().name(name).spawn(run).map(drop)
}

fn carry_out(effect: Effect, applied: &Applied, shared: &Shared) {
    let directory = applied.directory.as_deref();
    match effect {
        Effect::Claim { token, name, address } => {
            let claim = || directory.map_or(Ok(()), |directory| directory.claim(&name, address));
            let completion = match guarded("the directory", shared, claim) {
                Some(Ok(())) => Completion::Claimed,
                Some(Err(reason)) => Completion::Refused(reason),
                None => Completion::Failed,
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
        Effect::Account { token, .. } | Effect::History { token, .. } => {
            shared.complete(token, Completion::Failed);
        }
    }
}

/// Runs the application's code; a panic is reported and gives `None`.
pub(crate) fn guarded<T>(what: &str, shared: &Shared, run: impl FnOnce() -> T) -> Option<T> {
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
