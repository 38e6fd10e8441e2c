//! How a server's changes reach those who follow them: a bounded queue for each follower, filled under the
//! hub's lock in the order in which the hub decided. See [`ServerHandle::changes`].
//!
//! What changes, and the state that changes are applied to, are in [`hub`](crate::hub).
//!
//! [`ServerHandle::changes`]: crate::ServerHandle::changes

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::hub::{Change, Hub, Now, Snapshot};

/// Receives the changes of a server. Dropped, it follows them no longer.
pub struct ChangeReceiver {
    source: Arc<dyn Source>,
    queue: Arc<Queue>,
}

/// Why no change was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// More changes waited than the queue takes, so that some were dropped. Nothing is received until
    /// [`ChangeReceiver::resync`] is called.
    #[error("the receiver fell behind, and changes were dropped: take a new snapshot")]
    Lagged,
    /// The server has ended, and all changes were received.
    #[error("the server has ended")]
    Closed,
}

impl ChangeReceiver {
    pub(crate) fn new(source: Arc<dyn Source>, capacity: usize) -> (Snapshot, Self) {
        let queue = Arc::new(Queue {
            capacity: capacity.max(1),
            waiting: Mutex::new(Waiting::default()),
            changed: Condvar::new(),
        });
        let snapshot = source.follow(&queue);
        (snapshot, ChangeReceiver { source, queue })
    }

    /// Waits for the next change.
    ///
    /// # Errors
    /// [`ReceiveError`] if there will be none.
    pub fn recv(&mut self) -> Result<Change, ReceiveError> {
        let mut waiting = self.queue.lock();
        loop {
            if let Some(next) = waiting.next() {
                return next;
            }
            waiting = self.queue.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The same for at most so long; `None` if there was no change.
    ///
    /// # Errors
    /// [`ReceiveError`] if there will be none.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Change>, ReceiveError> {
        let deadline = Instant::now().checked_add(timeout);
        let mut waiting = self.queue.lock();
        loop {
            if let Some(next) = waiting.next() {
                return next.map(Some);
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let left = left.unwrap_or(timeout);
            if left.is_zero() {
                return Ok(None);
            }
            let waited = self.queue.changed.wait_timeout(waiting, left);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The next change, if there is one now.
    ///
    /// # Errors
    /// [`ReceiveError`] if there will be none.
    pub fn try_recv(&mut self) -> Result<Option<Change>, ReceiveError> {
        self.queue.lock().next().transpose()
    }

    /// Takes a new snapshot. The changes from there on are received next, and those that waited are
    /// dropped.
    pub fn resync(&mut self) -> Snapshot {
        self.source.follow(&self.queue)
    }
}

impl Drop for ChangeReceiver {
    fn drop(&mut self) {
        self.source.unfollow(&self.queue);
    }
}

impl fmt::Debug for ChangeReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeReceiver").field("queue", &self.queue).finish_non_exhaustive()
    }
}

/// Where changes come from.
pub(crate) trait Source: Send + Sync {
    /// Gives the queue all changes behind the snapshot that it returns, and none before it.
    fn follow(&self, queue: &Arc<Queue>) -> Snapshot;
    /// Gives the queue nothing more.
    fn unfollow(&self, queue: &Arc<Queue>);
}

/// The changes that one receiver has yet to take.
pub(crate) struct Queue {
    capacity: usize,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    changes: VecDeque<Change>,
    has_lagged: bool,
    is_closed: bool,
}

impl Waiting {
    /// What is received next, if that is decided.
    fn next(&mut self) -> Option<Result<Change, ReceiveError>> {
        if self.has_lagged {
            return Some(Err(ReceiveError::Lagged));
        }
        match self.changes.pop_front() {
            Some(change) => Some(Ok(change)),
            None => self.is_closed.then_some(Err(ReceiveError::Closed)),
        }
    }
}

/// The changes are behind a lock, which the hub waits for.
impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, change: Change) {
        let mut waiting = self.lock();
        if waiting.has_lagged {
            return;
        }
        if waiting.changes.len() == self.capacity {
            // what waits is of no use without the rest
            (waiting.changes, waiting.has_lagged) = (VecDeque::new(), true);
        } else {
            waiting.changes.push_back(change);
        }
        drop(waiting);
        self.changed.notify_one();
    }
}

/// Those who follow the changes of a hub. To be used under the hub's lock, so that no change comes between
/// a snapshot and the changes behind it.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    followers: Mutex<Followers>,
}

#[derive(Debug, Default)]
struct Followers {
    queues: Vec<Arc<Queue>>,
    is_closed: bool,
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, Followers> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands out the changes that the hub has recorded. It takes next to no time if there are none.
    #[inline]
    pub(crate) fn publish(&self, hub: &mut Hub) {
        if hub.has_changes() {
            self.push_all(hub);
        }
    }

    fn push_all(&self, hub: &mut Hub) {
        let followers = self.lock();
        while let Some(change) = hub.next_change() {
            if let Some((last, others)) = followers.queues.split_last() {
                others.iter().for_each(|queue| queue.push(change.clone()));
                last.push(change);
            }
        }
    }

    pub(crate) fn follow(&self, hub: &mut Hub, queue: &Arc<Queue>) -> Snapshot {
        if !hub.is_watched() {
            hub.set_watched(true);
        }
        let snapshot = hub.snapshot(Now::system());
        self.publish(hub);
        let mut followers = self.lock();
        if !followers.queues.iter().any(|other| Arc::ptr_eq(other, queue)) {
            followers.queues.push(Arc::clone(queue));
        }
        *queue.lock() = Waiting { is_closed: followers.is_closed, ..Waiting::default() };
        snapshot
    }

    pub(crate) fn unfollow(&self, hub: &mut Hub, queue: &Arc<Queue>) {
        let mut followers = self.lock();
        followers.queues.retain(|other| !Arc::ptr_eq(other, queue));
        if followers.queues.is_empty() {
            hub.set_watched(false);
        }
    }

    /// Nothing changes any more.
    pub(crate) fn close(&self, hub: &mut Hub) {
        self.publish(hub);
        let mut followers = self.lock();
        followers.is_closed = true;
        for queue in &followers.queues {
            queue.lock().is_closed = true;
            queue.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::PeerKind;
    use crate::hub::{Completion, ConnId, Departure, Effect, Output, StateChange};
    use crate::time_limit::within_limit;

    /// A hub with its feed, as a server has them.
    struct House {
        hub: Mutex<(Hub, Output)>,
        feed: Feed,
    }

    impl House {
        fn new() -> Arc<Self> {
            let hub = Mutex::new((Hub::builder().build(), Output::new()));
            Arc::new(House { hub, feed: Feed::default() })
        }

        fn act<T>(&self, act: impl FnOnce(&mut Hub, &mut Output) -> T) -> T {
            let (hub, out) = &mut *self.hub.lock().unwrap();
            let done = act(hub, out);
            self.feed.publish(hub);
            done
        }

        fn join(&self, name: &str) -> ConnId {
            self.act(|hub, out| {
                let now = Now::system();
                let conn = hub.handle_connect(0, [127, 0, 0, 1].into(), now, out);
                hub.handle_name(conn, name.as_bytes(), PeerKind::Stream, now, out);
                while let Some(effect) = out.next_effect() {
                    if let Effect::Claim { token, .. } = effect {
                        hub.handle_completion(token, Completion::Claimed(0), now, out);
                    }
                }
                conn
            })
        }

        fn leave(&self, conn: ConnId) {
            self.act(|hub, out| hub.handle_disconnect(conn, Departure::Left, Now::system(), out));
        }
    }

    impl Source for House {
        fn follow(&self, queue: &Arc<Queue>) -> Snapshot {
            self.feed.follow(&mut self.hub.lock().unwrap().0, queue)
        }

        fn unfollow(&self, queue: &Arc<Queue>) {
            self.feed.unfollow(&mut self.hub.lock().unwrap().0, queue);
        }
    }

    fn follow(house: &Arc<House>, capacity: usize) -> (Snapshot, ChangeReceiver) {
        ChangeReceiver::new(Arc::clone(house) as Arc<dyn Source>, capacity)
    }

    #[test]
    fn a_receiver_is_shown_while_its_queue_is_locked() {
        let (_, changes) = follow(&House::new(), 8);
        let queue = Arc::clone(&changes.queue);
        let waiting = queue.lock();
        let (shown, changes) = within_limit(move || (format!("{changes:?}"), changes));
        drop(waiting);
        assert_eq!(shown, "ChangeReceiver { queue: Queue { capacity: 8, .. }, .. }");
        drop(changes);
    }

    #[test]
    fn a_receiver_that_falls_behind_is_told_and_begins_again() {
        let house = House::new();
        house.join("alice");
        let (_, mut changes) = follow(&house, 2);
        house.join("bob");
        house.join("carol");
        let bob = changes.recv().unwrap();
        assert!(matches!(&bob.change, StateChange::Joined(user) if user.name.as_str() == "bob"));
        house.join("dave");
        house.join("eve");
        assert_eq!(changes.try_recv(), Err(ReceiveError::Lagged));
        assert_eq!(changes.recv(), Err(ReceiveError::Lagged), "until there is a new snapshot");
        let mut state = changes.resync();
        assert_eq!(state.users.len(), 5);
        assert_eq!(changes.try_recv(), Ok(None), "they are in the snapshot");
        house.join("frank");
        state.apply(&changes.recv().unwrap()).unwrap();
        assert_eq!(state, changes.resync());
    }

    #[test]
    fn nothing_is_recorded_when_nobody_follows() {
        let house = House::new();
        let (_, first) = follow(&house, 8);
        let (_, mut second) = follow(&house, 8);
        drop(first);
        let alice = house.join("alice");
        assert_eq!(second.try_recv().unwrap().unwrap().number, 1);
        drop(second);
        house.leave(alice);
        house.act(|hub, _| assert!(!hub.is_watched() && !hub.has_changes()));
        let (state, mut third) = follow(&house, 8);
        assert_eq!((state.number, state.users.len()), (1, 0));
        house.join("bob");
        assert_eq!(third.try_recv().unwrap().unwrap().number, 2);
    }

    #[test]
    fn the_end_comes_behind_the_last_change() {
        let house = House::new();
        let (_, mut changes) = follow(&house, 8);
        let alice = house.join("alice");
        house.leave(alice);
        house.act(|hub, _| house.feed.close(hub));
        assert_eq!(changes.recv_timeout(Duration::ZERO).unwrap().unwrap().number, 1);
        assert_eq!(changes.recv().unwrap().number, 2);
        assert_eq!(changes.recv(), Err(ReceiveError::Closed));
        changes.resync();
        assert_eq!(changes.try_recv(), Err(ReceiveError::Closed));
    }

    #[test]
    fn waiting_for_a_change_ends_in_time() {
        let house = House::new();
        let (_, mut changes) = follow(&house, 8);
        assert_eq!(changes.recv_timeout(Duration::from_millis(1)), Ok(None));
        let joins = Arc::clone(&house);
        let joining = std::thread::spawn(move || joins.join("alice"));
        assert!(changes.recv_timeout(Duration::MAX).unwrap().is_some());
        joining.join().unwrap();
    }
}
