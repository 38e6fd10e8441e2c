//! The event loops of a server: sockets and clocks around the hub.
//!
//! Each loop owns some connections and runs the same turn over and over:
//!
//! 1. wait for sockets, timers and mail;
//! 2. read the sockets that have something, and decode it, into a batch of operations: those of
//!    light users first, then those of heavy users, by deficit round robin (see `ready`);
//! 3. put the batch through the hub, under its lock, and post what comes out to the loops that own
//!    the receivers, in the hub's order;
//! 4. append what is in the own mailbox to the outboxes, and write each of them once; of a broadcast
//!    to many a part at a time, between which the others have their turn.
//!
//! Nothing that blocks runs on a loop: effects that may go to the [`workers`](crate::workers). The
//! one piece of the application's code that does is its observer.

// Below: the data of the loops, each with its own methods.
mod accept;
mod ahead;
mod arrival;
mod clock;
mod conn;
mod counters;
mod event_loop;
mod holders;
mod mail;
mod mailbox;
mod preface;
mod ready;
#[cfg(feature = "tls")]
mod secure;
mod shared;
mod socket;
mod stream;
mod timer;

// On top of them: the methods of a loop, by subject.
mod batch;
mod checks;
mod control;
mod due;
mod opening;
mod pings;
mod proxied;
mod pulse;
mod read;
mod relief;
mod write;

#[cfg(test)]
mod simulation;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token as PollToken, Waker};

use crate::changes::Feed;
use crate::connection::{ConnectionConfig, ServerConnection};
use crate::host::Host;
use crate::hub::{ConnId, Departure, Now, Output};
use crate::limits::Limits;

use accept::{Acceptor, LISTENER};
use arrival::Arrival;
pub use arrival::Origin;
use conn::Conn;
use counters::{Counter, Counters, Tally};
pub(crate) use event_loop::Reactor;
use event_loop::{ACCEPTING, OTHERS_MOST, USERS_PER_OTHER, find};
use mail::Mail;
use mailbox::{Mailbox, Stop};
pub(crate) use ready::QUANTUM;
use ready::{Class, Ready};
use stream::Readiness;
use timer::{Due, Timers};

#[cfg(feature = "tls")]
pub(crate) use secure::Door;
use shared::SHRINK;
pub(crate) use shared::{Setup, Shared};
pub(crate) use stream::Entrance;

const WAKER: PollToken = PollToken(usize::MAX - 1);
/// How many events one poll returns at most.
const EVENTS: usize = 1024;
/// What is read at most before it goes through the hub.
const ARENA: usize = 256 * 1024;
/// How long a stopping server flushes what it has to say.
const FLUSH: Duration = Duration::from_secs(5);

/// Makes the event loops of a server.
pub(crate) fn set_up(setup: Setup) -> io::Result<(Arc<Shared>, Vec<Reactor>)> {
    let polls = (0..setup.threads).map(|_| Poll::new()).collect::<io::Result<Vec<_>>>()?;
    let lanes = polls
        .iter()
        .map(|poll| Ok(Mailbox::new(Waker::new(poll.registry(), WAKER)?)))
        .collect::<io::Result<_>>()?;
    #[cfg(feature = "tls")]
    let door = setup.listeners.iter().find_map(|(_, entrance)| match entrance {
        Entrance::Plain => None,
        Entrance::Tls(door) => Some(door.clone()),
    });
    let config =
        ConnectionConfig { limits: setup.limits, slow_reader: setup.policy, ..Default::default() };
    let mut acceptor = Some(Acceptor::new(setup.listeners, polls[ACCEPTING].registry())?);
    let shared = Arc::new(Shared {
        hub: Mutex::new(setup.hub),
        counters: (0..setup.threads).map(|_| Counters::default()).collect(),
        lanes,
        proxies: setup.proxies,
        queues: Arc::clone(&config.queues),
        needs_room_for_pages: AtomicBool::new(false),
        observer: setup.observer,
        feed: Feed::default(),
        calls: setup.calls,
        directory: setup.directory,
        accounts: setup.accounts,
        history: setup.has_history.then(Arc::default),
        stop: Stop::new(),
        #[cfg(feature = "tls")]
        door,
        shrunk_at: Mutex::new(None),
    });
    let make = |(lane, poll)| Reactor {
        lane,
        poll,
        shared: Arc::clone(&shared),
        acceptor: if lane == ACCEPTING { acceptor.take() } else { None },
        config: config.clone(),
        conns: Vec::new(),
        open: 0,
        timers: Timers::new(),
        fresh: Vec::new(),
        failed: Vec::new(),
        unlocated: Vec::new(),
        gone: Vec::new(),
        drained: Vec::new(),
        overdue: Vec::new(),
        completed: VecDeque::new(),
        cancelled: Vec::new(),
        deaf: Vec::new(),
        again: Vec::new(),
        deadlines: Vec::new(),
        asking: Vec::new(),
        checked: Vec::new(),
        checks: Vec::new(),
        has_polled_all: true,
        ready: Ready::new(setup.quantum),
        dirty: Vec::new(),
        overdue_writes: VecDeque::new(),
        late: VecDeque::new(),
        pressing: Vec::new(),
        lingering: VecDeque::new(),
        out: Output::new(),
        frames: Vec::new(),
        tally: Tally::default(),
        hub_due: None,
        shrink_at: None,
        framed: 0,
        ping_at: None,
        ping_part: 0,
        stop_at: None,
        turn_began: None,
    };
    let reactors = polls.into_iter().enumerate().map(make).collect();
    Ok((shared, reactors))
}

impl Reactor {
    /// Runs until the server is stopped.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut arena = vec![0; ARENA].into_boxed_slice();
        loop {
            self.wait(&mut events)?;
            let now = clock::now();
            self.begin_turn(now.monotonic);
            self.take_events(&events);
            if self.turn(now, &mut arena) {
                return Ok(());
            }
        }
    }

    /// What there is to do after the wait. Whether it was the last turn.
    fn turn(&mut self, now: Now, arena: &mut [u8]) -> bool {
        for mail in self.shared.lanes[self.lane].take() {
            self.take_mail(mail);
        }
        if self.must_begin_stop() {
            self.begin_stop(now);
        }
        self.fire_timers(now.monotonic);
        self.ping(now.monotonic);
        self.put_through(now, arena);
        self.ready.end_round_if_idle();
        self.write_dirty(now.monotonic);
        self.write_some(now.monotonic);
        self.relieve(now.monotonic);
        self.relieve_of_input(now);
        self.shrink(now.monotonic);
        self.answer_checks(now.monotonic);
        let is_last = self.stop_at.is_some_and(|at| self.open == 0 || at <= now.monotonic);
        if is_last {
            self.handle(now, Class::Other, &[]);
            self.write_all(now.monotonic);
        }
        self.tally.add(Counter::Turns, 1);
        self.shared.counters[self.lane].publish(&self.tally);
        is_last
    }

    /// A turn begins. The one before it ends here, unless the loop has slept since.
    fn begin_turn(&mut self, now: Instant) {
        self.end_turn(now);
        self.turn_began = Some(now);
    }

    fn end_turn(&mut self, now: Instant) {
        if let Some(began) = self.turn_began.take() {
            self.shared.counters[self.lane].count_turn(now.saturating_duration_since(began));
        }
    }

    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let timeout = self.fall_asleep();
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        self.shared.lanes[self.lane].awake();
        Ok(())
    }

    /// How long to wait if nothing happens; `None` is for ever. From now on others wake it.
    fn fall_asleep(&mut self) -> Option<Duration> {
        let busy = !self.ready.is_empty()
            || !self.dirty.is_empty()
            || !self.overdue_writes.is_empty()
            || !self.late.is_empty()
            || self.has_fresh_check()
            || self.has_hub_work()
            || self.acceptor.as_ref().is_some_and(Acceptor::has_more);
        let mailbox = &self.shared.lanes[self.lane];
        if busy || !mailbox.fall_asleep() || self.must_begin_stop() {
            return Some(Duration::ZERO);
        }
        let now = clock::instant();
        self.end_turn(now);
        let paused = self.acceptor.as_ref().and_then(Acceptor::paused_until);
        let checks = self.next_check();
        let own = [self.hub_due, self.shrink_at, self.ping_at, self.stop_at];
        let next = own.into_iter().chain([self.timers.next(), paused, checks]).flatten().min();
        next.map(|at| at.saturating_duration_since(now))
    }

    /// Whether something waits for the hub that is no input of a connection.
    fn has_hub_work(&self) -> bool {
        !(self.fresh.is_empty()
            && self.failed.is_empty()
            && self.unlocated.is_empty()
            && self.gone.is_empty()
            && self.drained.is_empty()
            && self.overdue.is_empty()
            && self.completed.is_empty()
            && self.cancelled.is_empty()
            && self.deaf.is_empty()
            && self.deadlines.is_empty()
            && self.checked.is_empty()
            && self.out.events.is_empty())
    }

    /// The server stops, and this loop does not know it yet. (Asked after it said that it sleeps,
    /// so that whoever stops the server either is seen here or wakes it.)
    fn must_begin_stop(&self) -> bool {
        self.stop_at.is_none() && self.shared.is_stopping()
    }

    fn take_events(&mut self, events: &Events) {
        self.has_polled_all = events.iter().count() < EVENTS;
        for event in events {
            match event.token() {
                WAKER => {}
                LISTENER => {
                    if let Some(acceptor) = &mut self.acceptor {
                        acceptor.handle_ready();
                    }
                }
                PollToken(slot) => self.take_readiness(slot as u32, event.into()),
            }
        }
    }

    fn take_readiness(&mut self, slot: u32, readiness: Readiness) {
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        if readiness.read_closed && !conn.protocol.expect_end() {
            self.lose_patience(slot);
        }
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        if readiness.error && conn.protocol.is_waiting() {
            // it is not read now, so that nothing else would tell
            conn.protocol.outbox.die();
            self.deaf.push(conn.protocol.id);
        } else if readiness.error && !conn.protocol.is_closing() {
            // messages from before the reset count, but no page is read for it
            conn.protocol.outbox.die();
        }
        if readiness.writable && (conn.protocol.outbox.is_refused() || conn.stream.has_unsent()) {
            conn.protocol.outbox.handle_writable();
            self.make_dirty(slot);
        }
        if readiness.readable || readiness.read_closed || readiness.error {
            self.make_ready(slot);
        }
    }

    /// It is its turn soon, unless it is paused or waits: it is then when that is over.
    fn make_ready(&mut self, slot: u32) {
        if let Some(Some(conn)) = self.conns.get_mut(slot as usize)
            && !conn.is_ready
            && (conn.protocol.wants_input()
                || conn.protocol.has_backlog()
                || conn.protocol.can_take_part())
        {
            conn.is_ready = true;
            let class = conn.class(self.ready.round());
            self.ready.push(class, conn.protocol.id, conn.share.from());
        }
    }

    fn take_mail(&mut self, mail: Mail) {
        match mail {
            Mail::Batch(chunk, aside_at, actions) => self.apply(&chunk, aside_at, &actions),
            Mail::Accepted(arrival) => self.fresh.push(arrival),
            Mail::Completed(token, completion) => self.completed.push_back((token, completion)),
            Mail::GiveWay => {
                self.close_oldest_lingering();
                self.keep_to_limit();
            }
            // what there is to do then, every turn looks for
            Mail::Relieve => {}
            Mail::Check(check) => self.checks.push(check),
            Mail::Checked(conn) => self.checked.push(conn),
            Mail::GaveWay => {
                if let Some(acceptor) = &mut self.acceptor {
                    acceptor.handle_room();
                }
            }
            Mail::Limits(limits) => self.set_limits(*limits),
            Mail::Policy(policy) => self.config.slow_reader = policy,
            Mail::HubDue(due) => {
                self.hub_due = Some(self.hub_due.map_or(due, |before| before.min(due)));
            }
        }
    }

    /// Other bounds from now on.
    fn set_limits(&mut self, limits: Limits) {
        let rates = |limits: &Limits| (limits.rate, limits.rate_bytes);
        let is_other_rate = rates(&limits) != rates(&self.config.limits);
        self.config.limits = limits;
        if !is_other_rate {
            return;
        }
        // what was used up of the old rate says nothing about the new one
        for slot in 0..self.conns.len() {
            if let Some(conn) = &mut self.conns[slot]
                && conn.forgive()
            {
                self.make_ready(slot as u32);
            }
        }
    }

    /// Asks the accounts what is for them, and whether claimed names are reserved. (A claim is in
    /// nobody's way meanwhile: the name is held.)
    fn carry_out_effects(&mut self) {
        while let Some(effect) = self.out.next_effect() {
            match self.shared.decide(&effect) {
                Some((token, completion)) if token.conn().lane() == self.lane => {
                    self.completed.push_back((token, completion));
                }
                Some((token, completion)) => self.shared.complete(token, completion),
                None => self.shared.carry_out(effect),
            }
        }
    }

    fn add_conn(&mut self, arrival: Arrival, id: ConnId, now: Instant) {
        let Arrival { mut stream, framing, name, is_adopted, .. } = arrival;
        let token = PollToken(id.slot());
        if stream.register(self.poll.registry(), token).is_err() {
            self.gone.push((id, Departure::Lost));
            self.shared.lanes[self.lane].load.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        if id.slot() >= self.conns.len() {
            self.conns.resize_with(id.slot() + 1, || None);
        }
        let mut protocol = ServerConnection::new(id, now, &self.config).with_framing(framing);
        if let Some(name) = name {
            protocol.handle_requested_name(&name);
        }
        self.timers.add(now + self.config.limits.registration, Due::Registration, id);
        if protocol.is_framed() {
            self.begin_pings(now);
        }
        self.conns[id.slot()] = Some(Conn::new(stream, protocol));
        self.open += 1;
        if is_adopted {
            // the poll does not tell of bytes that were read before
            self.make_ready(id.slot() as u32);
            self.make_dirty(id.slot() as u32);
        }
    }

    fn drop_conn(&mut self, slot: u32, reason: Departure) {
        let Some(place) = self.conns.get_mut(slot as usize) else { return };
        let Some(mut conn) = place.take() else { return };
        // closing the socket takes it off the list in any case
        let _ = conn.stream.deregister(self.poll.registry());
        self.framed -= usize::from(conn.protocol.is_framed());
        conn.drop_input();
        self.tally.add(Counter::Missed, conn.protocol.outbox.missed());
        self.shared.recount_input(&mut conn);
        self.gone.push((conn.protocol.id, reason));
        self.open -= 1;
        let lane = &self.shared.lanes[self.lane];
        lane.load.fetch_sub(1, Ordering::Relaxed);
        if conn.protocol.is_lingering() {
            lane.lingering.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Accepts nothing more; the first loop to come here says goodbye to everybody.
    fn begin_stop(&mut self, now: Now) {
        self.stop_at = Some(now.monotonic + FLUSH);
        self.acceptor = None;
        if self.shared.stop.takes_goodbye() {
            let shared = Arc::clone(&self.shared);
            let mut hub = shared.hub();
            let since = clock::instant();
            hub.handle_shutdown(now, &mut self.out);
            self.hand_out(hub, since);
        }
    }

    /// Accepts so many at most. If the system has no room for more, a connection gives way that only
    /// waits for its end; if there is none, accepting pauses.
    pub(super) fn accept(&mut self, most: usize, now: Instant) {
        let Some(acceptor) = &mut self.acceptor else { return };
        let refused = acceptor.accept(most, &self.shared, self.lane, &mut self.fresh, now);
        let Some(error) = refused else { return };
        let is_asked = acceptor.wants_room() && self.give_way();
        let Some(acceptor) = &mut self.acceptor else { return };
        if is_asked {
            acceptor.await_room(now);
        } else {
            acceptor.pause(&self.shared, &error, now);
            self.tally.add(Counter::AcceptPauses, 1);
        }
    }
}
