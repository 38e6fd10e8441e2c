//! What the threads of a server share, in every interleaving: the hand-over of mail, the waking of a
//! loop that falls asleep, the end of all loops, the memory that is counted.
//!
//! The files are the library's own, over the types of [loom](https://docs.rs/loom), which runs each
//! model with all the orders in which its threads and their memory accesses can happen.

#![allow(dead_code, reason = "a part of the files is used")]

#[path = "../src/chunk.rs"]
mod chunk;
#[path = "../src/reactor/mailbox.rs"]
mod mailbox;

/// In place of the library's module.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
}

use loom::sync::Condvar;
use loom::thread;

use chunk::{Budget, Chunk};
use mailbox::{Mailbox, Stop, Undelivered, Wake};
use sync::{Arc, Mutex};

/// Runs a model with every schedule in which a thread is interrupted three times at most: more finds
/// little more, and takes for ever.
fn model(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

/// Wakes as a system's waker does: whoever waits, or is going to.
#[derive(Default)]
struct Bell {
    has_rung: Mutex<bool>,
    rings: Condvar,
}

impl Bell {
    fn wait(&self) {
        let mut has_rung = self.has_rung.lock().unwrap();
        while !*has_rung {
            has_rung = self.rings.wait(has_rung).unwrap();
        }
        *has_rung = false;
    }
}

impl Wake for Arc<Bell> {
    fn wake(&self) -> std::io::Result<()> {
        *self.has_rung.lock().unwrap() = true;
        self.rings.notify_one();
        Ok(())
    }
}

type Lane = Mailbox<usize, Arc<Bell>>;

fn lane() -> (Lane, Arc<Bell>) {
    let bell = Arc::new(Bell::default());
    (Mailbox::new(Arc::clone(&bell)), bell)
}

/// Waits as an event loop does. A wake-up that is lost leaves it waiting for ever, which loom
/// reports.
fn wait(lane: &Lane, bell: &Bell, may_sleep: impl Fn() -> bool) {
    if lane.fall_asleep() && may_sleep() {
        bell.wait();
    }
    lane.awake();
}

#[test]
fn whatever_is_sent_is_taken_once_and_no_wake_up_is_lost() {
    model(|| {
        let (lane, bell) = lane();
        let lane = Arc::new(lane);
        let senders = [1, 2].map(|mail| {
            let lane = Arc::clone(&lane);
            thread::spawn(move || lane.send(mail).unwrap())
        });
        let mut taken = lane.take();
        while taken.len() < 2 {
            wait(&lane, &bell, || true);
            taken.extend(lane.take());
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
        assert!(lane.take().is_empty());
    });
}

#[test]
fn mail_to_a_loop_that_ends_is_found_or_comes_back() {
    model(|| {
        let lane = Arc::new(lane().0);
        let other = Arc::clone(&lane);
        let sender = thread::spawn(move || other.send(1));
        let found = lane.close();
        let back = sender.join().unwrap().err().and_then(|Undelivered(mail)| mail);
        assert_eq!(found.into_iter().chain(back).collect::<Vec<_>>(), [1]);
    });
}

#[test]
fn every_loop_ends_and_one_of_them_says_goodbye() {
    model(|| {
        let (lanes, bells): (Vec<_>, Vec<_>) = [lane(), lane()].into_iter().unzip();
        let shared = Arc::new((lanes, Stop::new()));
        let loops: Vec<_> = bells
            .into_iter()
            .enumerate()
            .map(|(own, bell)| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let (lanes, stop) = &*shared;
                    while !stop.is_asked() {
                        wait(&lanes[own], &bell, || !stop.is_asked());
                    }
                    stop.takes_goodbye()
                })
            })
            .collect();
        shared.1.ask(&shared.0);
        let goodbyes = loops.into_iter().filter_map(|each| each.join().unwrap().then_some(()));
        assert_eq!(goodbyes.count(), 1);
    });
}

/// Each loop puts batches through the hub, posts what comes of them under its lock, takes its own
/// mail there too, and appends to its outboxes outside. (So does `Reactor::hand_out`.)
#[test]
fn every_outbox_gets_everything_in_the_order_of_the_hub() {
    /// How many batches each of them puts through.
    const BATCHES: [usize; 2] = [2, 1];
    model(|| {
        // nobody sleeps here
        let lanes: [Lane; 2] = [lane().0, lane().0];
        let shared = Arc::new((Mutex::new(0), lanes));
        let run = |own: usize, shared: &(Mutex<usize>, [Lane; 2])| {
            let (hub, lanes) = shared;
            let mut outbox = Vec::new();
            for _ in 0..BATCHES[own] {
                let mut hub = hub.lock().unwrap();
                let batch = *hub;
                *hub += 1;
                lanes[1 - own].send(batch).unwrap();
                let before = lanes[own].take();
                drop(hub);
                outbox.extend(before);
                outbox.push(batch);
            }
            outbox
        };
        let other = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || run(1, &shared))
        };
        let outboxes = [run(0, &shared), other.join().unwrap()];
        for (mut outbox, lane) in outboxes.into_iter().zip(&shared.1) {
            outbox.extend(lane.take());
            assert_eq!(outbox, [0, 1, 2]);
        }
    });
}

#[test]
fn memory_that_outboxes_of_two_loops_share_is_counted_once_and_given_back() {
    model(|| {
        let budget = Arc::new(Budget::default());
        let chunk = Arc::new(Chunk::new(vec![b'x'; 5000], &budget));
        let share = |chunk: Arc<Chunk>| move || assert_eq!(chunk.budget.used(), 5000);
        let other = thread::spawn(share(Arc::clone(&chunk)));
        share(chunk)();
        other.join().unwrap();
        assert_eq!(budget.used(), 0);
        // the buffer is used again, once
        assert!(budget.buffer().capacity() >= 5000);
        assert_eq!(budget.buffer().capacity(), 0);
    });
}
