//! The connections of the listener, and the bounds on them: in total and by address. At a bound, the
//! connection that has done nothing for the longest time is closed, so that half-open requests cannot
//! keep others out.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

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
    /// All connections.
    order: Order,
    /// Those of each network that has a bound.
    by_network: HashMap<IpAddr, Order>,
}

/// Connections by [`Entry::since`]: the first one may be the longest idle one.
type Order = BTreeSet<(Instant, u64)>;

#[derive(Debug)]
struct Entry {
    /// The place in the orders: never later than the last progress. Progress does not move it, so that a request
    /// costs nothing here. [`Inner::evict`] moves it when it finds that there was progress.
    since: Instant,
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

    /// Admits a connection that was accepted now, with an address that has a bound or without one. None if a
    /// bound is reached and each connection there has a handler that runs.
    pub(crate) fn admit(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        activity: &Arc<Activity>,
        now: Instant,
    ) -> Option<Admitted> {
        let network = address.and_then(network_of);
        let mut inner = self.inner();
        let mut has_evicted = false;
        if let Some(network) = network
            && inner.by_network.get(&network).is_some_and(|of| of.len() >= self.bounds.per_address)
        {
            inner.evict(Some(network), now).then_some(())?;
            has_evicted = true;
        }
        if inner.entries.len() >= self.bounds.connections {
            inner.evict(None, now).then_some(())?;
            has_evicted = true;
        }
        let id = inner.next;
        inner.next += 1;
        let since = activity.idle_since().unwrap_or(now);
        let entry = Entry { since, network, activity: Arc::clone(activity), task: None };
        inner.entries.insert(id, entry);
        inner.order.insert((since, id));
        if let Some(network) = network {
            inner.by_network.entry(network).or_default().insert((since, id));
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
    pub(crate) fn evict(&self, now: Instant) -> bool {
        self.inner().evict(None, now)
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
    /// Ends the task of the longest idle connection, of this network only if one is given. Each look at a
    /// connection follows progress of it, or finds it idle. So its cost is logarithmic, unless handlers run.
    fn evict(&mut self, network: Option<IpAddr>, now: Instant) -> bool {
        loop {
            let order = match network {
                None => Some(&self.order),
                Some(network) => self.by_network.get(&network),
            };
            let first = order.and_then(|order| order.first()).copied();
            // a connection at the present time was looked at, and has a handler
            let Some((since, id)) = first.filter(|&(since, _)| since < now) else { return false };
            match self.entries.get(&id).and_then(|entry| entry.activity.idle_since()) {
                Some(progress) if progress <= since => {
                    if let Some(task) = self.remove(id) {
                        task.abort();
                    }
                    return true;
                }
                progress => self.postpone(id, progress.unwrap_or(now)),
            }
        }
    }

    /// The connection has made progress at this time, or a handler of it still runs.
    fn postpone(&mut self, id: u64, since: Instant) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let before = std::mem::replace(&mut entry.since, since);
        let of_network = entry.network.and_then(|network| self.by_network.get_mut(&network));
        for order in [Some(&mut self.order), of_network].into_iter().flatten() {
            order.remove(&(before, id));
            order.insert((since, id));
        }
    }

    fn remove(&mut self, id: u64) -> Option<AbortHandle> {
        let entry = self.entries.remove(&id)?;
        let key = (entry.since, id);
        self.order.remove(&key);
        if let Some(network) = entry.network
            && let Some(order) = self.by_network.get_mut(&network)
        {
            order.remove(&key);
            if order.is_empty() {
                self.by_network.remove(&network);
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

    /// Later than all that happens to the connections of these tests.
    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    fn has(table: &Table, place: &Place) -> bool {
        table.inner().entries.contains_key(&place.id())
    }

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn at_the_bound_the_longest_idle_connection_makes_room() {
        let table = table(3, 1);
        let admit = |activity: Arc<Activity>| table.admit(Some(HOME), &activity, later()).unwrap();
        let (working, old, recent) = (admit(busy()), admit(idle(1)), admit(idle(2)));
        let next = admit(idle(3));
        assert!(next.has_evicted && !recent.has_evicted);
        assert!(!has(&table, &old.place));
        assert!([&working, &recent, &next].iter().all(|one| has(&table, &one.place)));
    }

    #[test]
    fn a_connection_is_refused_if_all_others_have_work() {
        let table = table(2, 1);
        let admit = |activity: Arc<Activity>| table.admit(Some(HOME), &activity, later());
        let places = [busy(), busy()].map(|activity| admit(activity).unwrap());
        assert!(admit(idle(1)).is_none());
        drop(places);
        assert!(admit(idle(1)).is_some());
        assert!(table.inner().entries.is_empty());
    }

    #[test]
    fn an_address_takes_room_from_itself_only() {
        let table = table(10, 2);
        let (alice, bob): (IpAddr, IpAddr) =
            ("2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let neighbour: IpAddr = "2001:db8::2:1".parse().unwrap();
        let admit = |address, seconds| table.admit(Some(address), &idle(seconds), later()).unwrap();
        let (oldest, first) = (admit(bob, 0), admit(alice, 1));
        let (second, third) = (admit(neighbour, 2), admit(alice, 3));
        assert!(third.has_evicted && !has(&table, &first.place));
        assert!(has(&table, &oldest.place) && has(&table, &second.place));
        // an evicted connection gives its place back once
        drop((first, second, third));
        assert_eq!(table.inner().by_network.len(), 1);
        drop(oldest);
        let inner = table.inner();
        assert!(inner.by_network.is_empty() && inner.order.is_empty());
    }

    #[test]
    fn progress_since_the_last_look_counts() {
        let table = table(4, 2);
        let addresses: [IpAddr; 3] = [1, 2, 3].map(|last| [192, 0, 2, last].into());
        let activities: Vec<_> = (0..4).map(idle).collect();
        let places: Vec<_> = (0..4)
            .map(|index| table.admit(Some(addresses[index / 2]), &activities[index], later()))
            .map(|admitted| admitted.unwrap().place)
            .collect();
        // the first one of each address is now the last one
        for index in [0, 2] {
            activities[index].progress(Instant::now() + Duration::from_secs(10));
        }
        let next = table.admit(Some(addresses[0]), &idle(20), later()).unwrap();
        let present = |places: &[Place]| -> Vec<bool> {
            places.iter().map(|place| has(&table, place)).collect()
        };
        assert_eq!(present(&places), [true, false, true, true]);
        let other = table.admit(Some(addresses[2]), &idle(21), later()).unwrap();
        assert_eq!(present(&places), [true, false, true, false]);
        assert!(next.has_evicted && other.has_evicted);
        // those with a handler are passed over
        let _handlers = [0, 2].map(|index| Exchange::begin(&activities[index]));
        let last = table.admit(Some(addresses[2]), &idle(22), later()).unwrap();
        assert_eq!(present(&places), [true, false, true, false]);
        assert!(!has(&table, &next.place));
        assert!([&other, &last].iter().all(|one| has(&table, &one.place)));
    }

    #[test]
    fn mapped_addresses_are_those_of_ipv4() {
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        assert_eq!(network_of(mapped), None);
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(network_of(mapped), Some("192.0.2.1".parse().unwrap()));
    }
}
