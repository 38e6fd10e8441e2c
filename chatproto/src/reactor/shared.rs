//! What the event loops of a server have in common: the hub behind its lock, each other's
//! mailboxes, and whom to tell what happens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::chunk::Budget;
use crate::extension::Observer;
use crate::hub::{Completion, Effect, Event, Hub, Token};
use crate::limits::Limits;
use crate::outbox::SlowReader;
use crate::workers::Workers;

use super::mail::{Lane, Mail};
use super::mailbox::Stop;
#[cfg(feature = "tls")]
use super::secure::Door;
use super::stream::{Socket, Stream};

/// What the loops of a server have in common.
pub(crate) struct Shared {
    pub(super) hub: Mutex<Hub>,
    pub(super) lanes: Vec<Lane>,
    pub(super) limits: Limits,
    pub(super) policy: SlowReader,
    pub(super) budget: Arc<Budget>,
    pub(super) observer: Option<Arc<dyn Observer>>,
    pub(super) workers: Option<Workers>,
    pub(super) has_directory: bool,
    pub(super) stop: Stop,
    /// How connections come in that may or must speak TLS; none if they must not.
    #[cfg(feature = "tls")]
    pub(super) door: Option<Door>,
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
    #[cfg(feature = "tls")]
    pub(crate) door: Option<Door>,
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

    pub(crate) fn observe(&self, event: &Event) {
        if let Some(observer) = &self.observer {
            observer.observe(event);
        }
    }

    /// How many connections the loops have, or have in their mail.
    pub(super) fn connections(&self) -> usize {
        self.lanes.iter().map(|lane| lane.load.load(Ordering::Relaxed)).sum()
    }

    /// The stream of a connection that came in.
    pub(super) fn stream(&self, socket: Socket) -> Stream {
        #[cfg(feature = "tls")]
        if let Some(door) = &self.door {
            return Stream::at(door, socket);
        }
        Stream::plain(socket)
    }

    /// Those who come from now on are shown another certificate. False if there is no TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn replace_tls(&self, tls: &crate::tls::ServerTls) -> bool {
        self.door.as_ref().map(|door| door.replace(tls)).is_some()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_asked()
    }
}
