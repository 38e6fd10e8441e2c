//! What the event loops of a server have in common: the hub behind its lock, each other's
//! mailboxes, and whom to tell what happens.

use std::net::{IpAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::accounts::{AccountReply, Accounts};
use crate::changes::{self, Feed, Source};
use crate::chunk::Budget;
use crate::directory::{ClaimPurpose, ClaimReply, Directory, ReleaseReply};
use crate::error::ServerError;
use crate::extension::Observer;
use crate::history::{Inbox, Queue};
use crate::host::{Host, guarded};
use crate::hub::{Completion, Effect, Event, Hub, Now, Output, Snapshot, Token, Usage};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::name::UserName;
use crate::network::Network;
use crate::outbox::SlowReader;
use crate::reply::Reply;
use crate::workers::{Call, Pool};

use super::arrival::{Arrival, Origin};
use super::clock;
use super::conn::Conn;
use super::counters::{self, Counters};
use super::mail::{Lane, Mail};
use super::mailbox::{Stop, Undelivered};
#[cfg(feature = "tls")]
use super::secure::Door;
use super::stream::Entrance;

/// How long after something happened the memory is given back that was needed for it.
pub(super) const SHRINK: Duration = Duration::from_secs(1);

/// What the loops of a server have in common.
pub(crate) struct Shared {
    pub(super) hub: Mutex<Hub>,
    pub(super) lanes: Vec<Lane>,
    /// Connections from these networks must begin with a PROXY header.
    pub(super) proxies: Box<[Network]>,
    /// The counters of each loop.
    pub(super) counters: Box<[Counters]>,
    /// The memory of all queues.
    pub(super) queues: Arc<Budget>,
    /// Pages of history wait until long answers hold less.
    pub(super) needs_room_for_pages: AtomicBool,
    pub(super) observer: Option<Arc<dyn Observer>>,
    /// Who follows the changes of the hub. Used under the hub's lock only.
    pub(super) feed: Feed,
    pub(super) calls: Option<Pool<Call>>,
    pub(super) directory: Option<Arc<dyn Directory>>,
    pub(super) accounts: Option<Arc<dyn Accounts>>,
    /// What waits to be kept, if there is a history.
    pub(crate) history: Option<Arc<Queue>>,
    pub(super) stop: Stop,
    /// How connections come in that may or must speak TLS; none if there is no such listener.
    #[cfg(feature = "tls")]
    pub(super) door: Option<Door>,
    /// When memory was last given back of that which they have in common.
    pub(super) shrunk_at: Mutex<Option<Instant>>,
}

/// What is needed to make the loops.
pub(crate) struct Setup {
    pub(crate) hub: Hub,
    pub(crate) limits: Limits,
    pub(crate) policy: SlowReader,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) calls: Option<Pool<Call>>,
    pub(crate) directory: Option<Arc<dyn Directory>>,
    pub(crate) accounts: Option<Arc<dyn Accounts>>,
    pub(crate) has_history: bool,
    pub(crate) threads: usize,
    /// Units of work that a user may cause in a round (see `ready`).
    pub(crate) quantum: u64,
    pub(crate) listeners: Vec<(std::net::TcpListener, Entrance)>,
    pub(crate) proxies: Box<[Network]>,
}

impl Shared {
    pub(crate) fn hub(&self) -> MutexGuard<'_, Hub> {
        // a loop that panics under the lock stops the others: what they still read is of no account
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how long the loops have held the hub's lock, all together.
    pub(crate) fn lock_held(&self) -> Duration {
        self.counters.iter().map(Counters::lock_held).sum()
    }

    /// This loop, which is the caller, has held the hub's lock since then.
    pub(super) fn count_held(&self, lane: usize, since: Instant, until: Instant) {
        self.counters[lane].count_held(until.saturating_duration_since(since));
    }

    /// Releases memory that the loops share and do not need, unless one of them did so less than [`SHRINK`] ago.
    /// Returns when to ask again, if there is reason to. `lane` is the caller.
    pub(super) fn shrink(&self, lane: usize, now: Instant) -> Option<Instant> {
        let mut shrunk_at = self.shrunk_at.lock().unwrap_or_else(PoisonError::into_inner);
        let next = shrunk_at.map(|at| at + SHRINK).filter(|&at| at > now);
        if next.is_some() {
            return next;
        }
        *shrunk_at = Some(now);
        let mut hub = self.hub();
        let since = clock::instant();
        hub.shrink();
        drop(hub);
        self.count_held(lane, since, clock::instant());
        // a buffer is not needed if nobody took it from one time to the next
        self.queues.shrink().then_some(now + SHRINK)
    }

    /// Asks every loop to say goodbye, flush and end.
    pub(crate) fn stop(&self) {
        self.stop.ask(&self.lanes);
    }

    /// The server, for the parts that carry its effects out.
    fn host(self: &Arc<Self>) -> Arc<dyn Host> {
        Arc::clone(self) as Arc<dyn Host>
    }

    /// The inbox of the history, if there is one.
    pub(crate) fn inbox(self: &Arc<Self>) -> Option<Inbox> {
        let queue = Arc::clone(self.history.as_ref()?);
        Some(Inbox::new(queue, self.host()))
    }

    /// Has an effect carried out where it may take its time. A panic of the application's code drops the
    /// reply, which says that it failed.
    pub(super) fn carry_out(self: &Arc<Self>, effect: Effect) {
        let reply = |token| Reply::new(token, self.host());
        match effect {
            Effect::Claim { token, claim } => {
                let Some(directory) = &self.directory else { return };
                let reply = ClaimReply::new(reply(token));
                guarded("the directory", &**self, || directory.claim(claim, reply));
            }
            Effect::Release { token, lease } => {
                let Some(directory) = &self.directory else { return };
                let reply = ReleaseReply::new(reply(token));
                guarded("the directory", &**self, || directory.release(lease, reply));
            }
            Effect::Account { token, order } => {
                let Some(accounts) = &self.accounts else { return };
                let reply = AccountReply::new(&order, reply(token));
                guarded("the accounts", &**self, || accounts.handle(order, reply));
            }
            Effect::History { token, order } => {
                let Some(history) = &self.history else { return };
                history.order(order, reply(token));
            }
            Effect::Call { token, handler, request } => {
                let Some(calls) = &self.calls else { return };
                calls.submit(Call { handler, request, reply: reply(token) });
            }
            effect => debug_assert!(false, "it is decided: {effect:?}"),
        }
    }

    /// What can be said of an effect without waiting: that a name which a client asks for is reserved or
    /// not, and where there is no directory to ask, that it is granted.
    pub(super) fn decide(&self, effect: &Effect) -> Option<(Token, Completion)> {
        let is_reserved =
            |name: &UserName| self.accounts.as_ref().is_some_and(|book| book.is_reserved(name));
        match effect {
            Effect::Claim { token, claim } => {
                let is_asked_for =
                    matches!(claim.purpose, ClaimPurpose::Register | ClaimPurpose::Rename);
                let completion = match &self.directory {
                    _ if is_asked_for && is_reserved(&claim.name) => Completion::Reserved,
                    None => Completion::Claimed(0),
                    Some(_) => return None,
                };
                Some((*token, completion))
            }
            Effect::CheckReserved { token, name } if is_reserved(name) => {
                Some((*token, Completion::Reserved))
            }
            Effect::CheckReserved { token, .. } => Some((*token, Completion::Unreserved)),
            Effect::Resume { token } => Some((*token, Completion::Resumed)),
            _ => None,
        }
    }

    /// One of the loops is to know when the hub has something to do.
    pub(super) fn note_due(&self, hub: &Hub) {
        if let Some(due) = hub.poll_timeout() {
            // a loop that cannot be woken is gone
            let _ = self.lanes[0].send(Mail::HubDue(due));
        }
    }

    /// The end of a batch of input: to be called before its output is handed out.
    pub(super) fn end_batch(&self, hub: &mut Hub, now: Now, out: &mut Output) {
        hub.handle_timeout(now, out);
        hub.handle_batch_end(now, out);
        let needs_room = hub.needs_room_for_pages();
        self.needs_room_for_pages.store(needs_room, Ordering::Relaxed);
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

    /// Nothing changes any more.
    pub(crate) fn close_feed(&self) {
        self.feed.close(&mut self.hub());
    }

    /// The memory of the tables that peers can grow, queues and input included.
    pub(crate) fn usage(&self) -> Usage {
        let mut usage = self.hub().usage();
        usage.queues.bytes = self.queues.used();
        usage.input.bytes = self.input();
        usage
    }

    /// The counters of all loops.
    pub(crate) fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::default();
        counters::sum(&self.counters, &mut metrics);
        let hub = self.hub();
        metrics.connections = hub.connections();
        metrics.users = hub.online();
        metrics.rooms = hub.rooms();
        metrics.counts = hub.counts();
        drop(hub);
        metrics.usage = self.usage();
        metrics
    }

    /// Pages wait: the other loops with readers that take nothing are to make room.
    pub(super) fn wake_for_stalled(&self, own: usize) {
        for (number, lane) in self.lanes.iter().enumerate() {
            if number != own && lane.has_stalled.load(Ordering::Relaxed) {
                // a loop that cannot be woken is gone
                let _ = lane.send(Mail::Relieve);
            }
        }
    }

    /// Counts what a connection keeps of its input.
    pub(super) fn recount_input(&self, conn: &mut Conn) {
        let (before, now) = conn.protocol.recount_input();
        if now != before {
            let input = &self.lanes[conn.protocol.id.lane()].input;
            input.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// Bytes of input that all connections keep: see `Limits::input_total`.
    pub(super) fn input(&self) -> usize {
        self.lanes.iter().map(|lane| lane.input.load(Ordering::Relaxed)).sum()
    }

    /// The loop with the fewest connections.
    pub(super) fn least_loaded(&self) -> usize {
        let load = |lane: usize| self.lanes[lane].load.load(Ordering::Relaxed);
        (0..self.lanes.len()).min_by_key(|&lane| load(lane)).unwrap_or(0)
    }

    /// Gives a connection that another part of the program has accepted to a loop.
    pub(crate) fn adopt(&self, socket: TcpStream, origin: Origin) -> Result<(), ServerError> {
        let adopted = Arrival::adopt(socket, origin);
        let arrival = adopted.map_err(|source| {
            let doing = "cannot configure a connection that is to be adopted";
            ServerError::Io { doing, source }
        })?;
        if self.is_stopping() {
            arrival.turn_away();
            return Err(ServerError::Stopping);
        }
        let lane = &self.lanes[self.least_loaded()];
        lane.load.fetch_add(1, Ordering::Relaxed);
        lane.send(Mail::Accepted(arrival)).map_err(|Undelivered(mail)| {
            mail.into_iter().for_each(turn_away);
            ServerError::Stopping
        })
    }

    /// The loops have ended: mail to them is dropped, and connections in it are told so.
    pub(crate) fn close_mailboxes(&self) {
        self.lanes.iter().flat_map(Lane::close).for_each(turn_away);
    }

    /// How many connections the loops have, or have in their mail.
    pub(super) fn connections(&self) -> usize {
        self.lanes.iter().map(|lane| lane.load.load(Ordering::Relaxed)).sum()
    }

    /// Those who come from now on are shown another certificate. False if there is no TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn replace_tls(&self, tls: &crate::tls::ServerTls) -> bool {
        self.door.as_ref().map(|door| door.replace(tls)).is_some()
    }

    /// Whether a connection from this source must begin with a PROXY header.
    pub(super) fn is_proxy(&self, source: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(source))
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_asked()
    }

    /// Why the history is not stored at the moment.
    pub(crate) fn history_failure(&self) -> Option<String> {
        self.hub().history_failure().map(str::to_owned)
    }
}

/// Nobody reads this mail: a connection in it is told so.
fn turn_away(mail: Mail) {
    if let Mail::Accepted(arrival) = mail {
        arrival.turn_away();
    }
}

impl Host for Shared {
    fn complete(&self, token: Token, completion: Completion) {
        // a loop that cannot be woken is gone
        let _ = self.lanes[token.conn().lane()].send(Mail::Completed(token, completion));
    }

    fn observe(&self, event: &Event) {
        if let Some(observer) = &self.observer {
            observer.observe(event);
        }
    }

    fn set_history_state(&self, failing: Option<&str>) {
        self.hub().handle_history_state(failing);
    }
}

impl Source for Shared {
    fn follow(&self, queue: &Arc<changes::Queue>) -> Snapshot {
        let mut hub = self.hub();
        let snapshot = self.feed.follow(&mut hub, queue);
        // those who follow are told when a ban or mute ends
        self.note_due(&hub);
        snapshot
    }

    fn unfollow(&self, queue: &Arc<changes::Queue>) {
        self.feed.unfollow(&mut self.hub(), queue);
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
