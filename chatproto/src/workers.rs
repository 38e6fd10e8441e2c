//! The threads on which effects are carried out that may take their time: the application's
//! endpoints, and its directory of names.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use foldhash::quality::FixedState;

use crate::extension::Directory;
use crate::hub::{Completion, Effect, Event};
use crate::reactor::Shared;

/// An effect, and where its outcome goes.
pub(crate) type Job = (Effect, Arc<Shared>);

pub(crate) struct Workers {
    /// Endpoints: whoever is free takes the next.
    calls: Arc<Jobs>,
    /// The directory, a queue for each thread: what concerns one name is done in order.
    names: Vec<Arc<Jobs>>,
}

/// What waits to be carried out, for one thread or several.
#[derive(Default)]
pub(crate) struct Jobs {
    queue: Mutex<Queue>,
    came: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    is_closed: bool,
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
        let mut workers = Workers { calls: Arc::default(), names: Vec::new() };
        for number in 0..if applied.has_handlers { count } else { 0 } {
            spawn(format!("chatproto-call-{number}"), Arc::clone(&workers.calls), applied)?;
        }
        for number in 0..if applied.directory.is_some() { count } else { 0 } {
            let jobs = Arc::<Jobs>::default();
            workers.names.push(Arc::clone(&jobs));
            spawn(format!("chatproto-name-{number}"), jobs, applied)?;
        }
        Ok(workers)
    }

    /// No threads: whoever has the queue carries out what is in it.
    #[cfg(test)]
    pub(crate) fn by_hand() -> (Self, Arc<Jobs>) {
        let jobs = Arc::<Jobs>::default();
        (Workers { names: vec![Arc::clone(&jobs)], calls: Arc::clone(&jobs) }, jobs)
    }

    /// Queues an effect, and never refuses one. The hub bounds what is under way
    /// ([`Limits::effects_total`](crate::Limits::effects_total)). A release follows a claim that was
    /// granted, in the queue that the claim was in: so there are at most as many as names were held
    /// when the first of them was queued, and claims stood before it.
    pub(crate) fn submit(&self, effect: Effect, shared: &Arc<Shared>) {
        let queue = match &effect {
            Effect::Call { .. } => &self.calls,
            Effect::Account { .. } | Effect::CheckReserved { .. } | Effect::History { .. } => {
                unreachable!("those are not for these threads")
            }
            Effect::Claim { name, .. } | Effect::Release { name } => {
                let hash = FixedState::with_seed(0).hash_one(name.as_str());
                &self.names[hash as usize % self.names.len()]
            }
        };
        queue.add((effect, Arc::clone(shared)));
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.calls.close();
        self.names.iter().for_each(|jobs| jobs.close());
    }
}

impl Jobs {
    fn add(&self, job: Job) {
        self.queue().jobs.push_back(job);
        self.came.notify_one();
    }

    /// Nothing more will come.
    fn close(&self) {
        self.queue().is_closed = true;
        self.came.notify_all();
    }

    /// Waits for the next job; `None` if no more will come.
    fn take(&self) -> Option<Job> {
        let is_idle = |queue: &mut Queue| queue.jobs.is_empty() && !queue.is_closed;
        let queue = self.came.wait_while(self.queue(), is_idle);
        queue.unwrap_or_else(PoisonError::into_inner).jobs.pop_front()
    }

    /// The next job, if there is one.
    #[cfg(test)]
    pub(crate) fn try_take(&self) -> Option<Job> {
        self.queue().jobs.pop_front()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spawn(name: String, jobs: Arc<Jobs>, applied: &Applied) -> io::Result<()> {
    let applied = applied.clone();
    let run = move || {
        while let Some((effect, shared)) = jobs.take() {
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
        Effect::Account { token, .. }
        | Effect::CheckReserved { token, .. }
        | Effect::History { token, .. } => {
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
