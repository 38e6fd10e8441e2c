//! What the event loops of a server have in common: the hub behind its lock, each other's
//! mailboxes, and whom to tell what happens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::chunk::Budget;
use crate::error::ServerError;
use crate::extension::Observer;
use crate::hub::{Completion, Effect, Event, Hub, Now, Output, Token};
use crate::limits::Limits;
use crate::outbox::SlowReader;
use crate::workers::Workers;

use super::mail::{Lane, Mail};
use super::mailbox::Stop;
use super::write::post;

/// What the loops of a server have in common.
pub(crate) struct Shared {
    pub(super) hub: Mutex<Hub>,
    pub(super) lanes: Vec<Lane>,
    pub(super) budget: Arc<Budget>,
    pub(super) observer: Option<Arc<dyn Observer>>,
    pub(super) workers: Option<Workers>,
    pub(super) has_directory: bool,
    pub(super) stop: Stop,
    /// For how many nanoseconds the loops have held the hub's lock.
    pub(super) lock_held: AtomicU64,
}

/// What is needed to make the loops.
pub(crate) struct Setup {
    pub(crate) hub: Hub,
    pub(crate) limits: Limits,
    pub(crate) policy: SlowReader,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) workers: Option<Workers>,
    pub(crate) has_directory: bool,
    pub(crate) threads: usize,
    pub(crate) listener: std::net::TcpListener,
}

impl Shared {
    pub(crate) fn hub(&self) -> MutexGuard<'_, Hub> {
        // a loop that panics under the lock stops the others: what they still read is of no account
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how long the loops have held the hub's lock, all together.
    pub(crate) fn lock_held(&self) -> Duration {
        Duration::from_nanos(self.lock_held.load(Ordering::Relaxed))
    }

    /// Asks every loop to say goodbye, flush and end.
    pub(crate) fn stop(&self) {
        self.stop.ask(&self.lanes);
    }

    pub(crate) fn complete(&self, token: Token, completion: Completion) {
        // a loop that cannot be woken is gone
        let _ = self.lanes[token.conn().lane()].send(Mail::Completed(token, completion));
    }

    /// Has an effect carried out where it may take its time.
    pub(super) fn carry_out(self: &Arc<Self>, effect: Effect) {
        match &self.workers {
            _ if !self.has_directory && matches!(effect, Effect::Release { .. }) => {}
            Some(workers) => workers.submit(effect, self),
            None => debug_assert!(false, "no workers for {effect:?}"),
        }
    }

    /// Has the application do something to the hub, and hands out what comes of it.
    pub(crate) fn control<T>(
        self: &Arc<Self>,
        act: impl FnOnce(&mut Hub, Now, &mut Output) -> T,
    ) -> T {
        let mut out = Output::new();
        let mut hub = self.hub();
        let done = act(&mut hub, Now::system(), &mut out);
        while let Some(effect) = out.next_effect() {
            self.carry_out(effect);
        }
        post(self, &mut out, |_| true);
        if let Some(due) = hub.poll_timeout() {
            // a loop that cannot be woken is gone
            let _ = self.lanes[0].send(Mail::HubDue(due));
        }
        drop(hub);
        for event in out.take_events() {
            self.observe(&event);
        }
        done
    }

    /// Other bounds for the hub and for every loop.
    pub(crate) fn set_limits(&self, limits: Limits) -> Result<(), ServerError> {
        let limits = limits.checked().map_err(ServerError::Limits)?;
        let mut hub = self.hub();
        // under the lock, so that all agree on which bounds came last
        for lane in &self.lanes {
            let _ = lane.send(Mail::Limits(Box::new(limits.clone())));
        }
        hub.set_limits(limits);
        Ok(())
    }

    pub(crate) fn set_policy(&self, policy: SlowReader) {
        let _hub = self.hub();
        for lane in &self.lanes {
            let _ = lane.send(Mail::Policy(policy));
        }
    }

    pub(crate) fn observe(&self, event: &Event) {
        if let Some(observer) = &self.observer {
            observer.observe(event);
        }
    }

    /// How many connections the loops have, or have in their mail.
    pub(super) fn connections(&self) -> usize {
        self.lanes.iter().map(|lane| lane.load.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_asked()
    }
}
