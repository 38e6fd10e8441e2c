//! The connections of the listener, and the bounds on them: in total and by address. At a bound, the
//! connection that has done nothing for the longest time is closed, so that half-open requests cannot
//! keep others out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::activity::Activity;

/// The most connections at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// In total.
    pub connections: usize,
    /// From one address, or from one IPv6 network of 64 bits. Loopback has no such bound.
    pub per_address: usize,
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Table {
    bounds: Bounds,
    inner: Mutex<Inner>,
    /// Told at each end of a connection.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    entries: HashMap<u64, Entry>,
    by_address: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Entry {
    /// None for loopback.
    network: Option<IpAddr>,
    activity: Arc<Activity>,
    task: Option<AbortHandle>,
}

/// The place of a connection in the table, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    table: Arc<Table>,
    id: u64,
}

/// A place, and whether another connection was closed for it.
pub(crate) struct Admitted {
    pub(crate) place: Place,
    pub(crate) has_evicted: bool,
}

impl Table {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Table { bounds, inner: Mutex::default(), freed: Notify::new() })
    }

    /// Admits a connection, with an address that has a bound or without one. None if a bound is reached and each connection there has a handler that runs.
    pub(crate) fn admit(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        activity: &Arc<Activity>,
    ) -> Option<Admitted> {
        let network = address.and_then(network_of);
        let mut inner = self.inner();
        let mut has_evicted = false;
        if let Some(network) = network
            && inner.by_address.get(&network).is_some_and(|&count| count >= self.bounds.per_address)
        {
            inner.evict(Some(network)).then_some(())?;
            has_evicted = true;
        }
        if inner.entries.len() >= self.bounds.connections {
            inner.evict(None).then_some(())?;
            has_evicted = true;
        }
        let id = inner.next;
        inner.next += 1;
        inner.entries.insert(id, Entry { network, activity: Arc::clone(activity), task: None });
        if let Some(network) = network {
            *inner.by_address.entry(network).or_default() += 1;
        }
        Some(Admitted { place: Place { table: Arc::clone(self), id }, has_evicted })
    }

    /// Sets the task that is ended when the connection with this id is closed for another one.
    pub(crate) fn set_task(&self, id: u64, task: AbortHandle) {
        if let Some(entry) = self.inner().entries.get_mut(&id) {
            entry.task = Some(task);
        }
    }

    /// Closes the connection that has done nothing for the longest time. False if there is none.
    pub(crate) fn evict(&self) -> bool {
        self.inner().evict(None)
    }

    /// Waits until there are no connections.
    pub(crate) async fn drained(&self) {
        loop {
            // made first: an end between the look and the wait counts
            let freed = self.freed.notified();
            if self.inner().entries.is_empty() {
                return;
            }
            freed.await;
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Ends the task of the longest idle connection, of this network only if one is given.
    fn evict(&mut self, network: Option<IpAddr>) -> bool {
        let is_eligible = |entry: &Entry| network.is_none() || entry.network == network;
        let idle = self.entries.iter().filter(|(_, entry)| is_eligible(entry));
        let idle = idle.filter_map(|(&id, entry)| Some((entry.activity.idle_since()?, id)));
        let Some((_, id)) = idle.min() else { return false };
        if let Some(task) = self.remove(id) {
            task.abort();
        }
        true
    }

    fn remove(&mut self, id: u64) -> Option<AbortHandle> {
        let entry = self.entries.remove(&id)?;
        if let Some(network) = entry.network
            && let Some(count) = self.by_address.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&network);
            }
        }
        entry.task
    }
}

impl Place {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.inner().remove(self.id);
        self.table.freed.notify_waiters();
    }
}

/// The key of the bound by address.
fn network_of(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            Some(Ipv6Addr::from_bits(network).into())
        }
        address => Some(address),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::activity::{Exchange, Times};

    fn table(connections: usize, per_address: usize) -> Arc<Table> {
        Table::new(Bounds { connections, per_address })
    }

    fn idle(seconds: u64) -> Arc<Activity> {
        Arc::new(Activity::new(Times::default(), Instant::now() + Duration::from_secs(seconds)))
    }

    fn busy() -> Arc<Activity> {
        let activity = idle(0);
        // a handler that never ends
        std::mem::forget(Exchange::begin(&activity));
        activity
    }

    fn has(table: &Table, place: &Place) -> bool {
        table.inner().entries.contains_key(&place.id())
    }

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn at_the_bound_the_longest_idle_connection_makes_room() {
        let table = table(3, 1);
        let admit = |activity: Arc<Activity>| table.admit(Some(HOME), &activity).unwrap();
        let (working, old, recent) = (admit(busy()), admit(idle(1)), admit(idle(2)));
        let next = admit(idle(3));
        assert!(next.has_evicted && !recent.has_evicted);
        assert!(!has(&table, &old.place));
        assert!([&working, &recent, &next].iter().all(|one| has(&table, &one.place)));
    }

    #[test]
    fn a_connection_is_refused_if_all_others_have_work() {
        let table = table(2, 1);
        let places = [busy(), busy()].map(|activity| table.admit(Some(HOME), &activity).unwrap());
        assert!(table.admit(Some(HOME), &idle(1)).is_none());
        drop(places);
        assert!(table.admit(Some(HOME), &idle(1)).is_some());
        assert!(table.inner().entries.is_empty());
    }

    #[test]
    fn an_address_takes_room_from_itself_only() {
        let table = table(10, 2);
        let (alice, bob): (IpAddr, IpAddr) =
            ("2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let neighbour: IpAddr = "2001:db8::2:1".parse().unwrap();
        let oldest = table.admit(Some(bob), &idle(0)).unwrap();
        let first = table.admit(Some(alice), &idle(1)).unwrap();
        let second = table.admit(Some(neighbour), &idle(2)).unwrap();
        let third = table.admit(Some(alice), &idle(3)).unwrap();
        assert!(third.has_evicted && !has(&table, &first.place));
        assert!(has(&table, &oldest.place) && has(&table, &second.place));
        // an evicted connection gives its place back once
        drop((first, second, third));
        assert_eq!(table.inner().by_address.len(), 1);
        drop(oldest);
        assert!(table.inner().by_address.is_empty());
    }

    #[test]
    fn mapped_addresses_are_those_of_ipv4() {
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        assert_eq!(network_of(mapped), None);
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(network_of(mapped), Some("192.0.2.1".parse().unwrap()));
    }
}
