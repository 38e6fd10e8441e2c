//! The outbox against a socket that takes as many bytes as the test says, on virtual time: B2, B4
//! and B9. The same against a model, in random order, is in `outbox_model_tests.rs`.

use std::collections::VecDeque;
use std::time::Duration;

use super::queue::{Rest, Segment};
use super::*;

/// An outbox with the loop that writes it, and everything that the socket took.
struct Wire {
    outbox: Outbox,
    limits: Limits,
    policy: SlowReader,
    budget: Arc<Budget>,
    now: Instant,
    received: Vec<u8>,
}

impl Wire {
    fn new(kind: PeerKind, policy: SlowReader) -> Self {
        let mut outbox = Outbox::new();
        outbox.set_kind(kind);
        let (limits, budget, now) = (Limits::default(), Arc::default(), Instant::now());
        Wire { outbox, limits, policy, budget, now, received: Vec::new() }
    }

    /// A stream peer that may queue so many messages.
    fn small(policy: SlowReader, messages: usize) -> Self {
        let mut wire = Wire::new(Stream, policy);
        wire.limits.queue_messages = messages;
        wire
    }

    /// A chunk of objects, and their ranges.
    fn chunk(&self, objects: &[&str]) -> (Arc<Chunk>, Vec<(u32, u32)>) {
        let (mut bytes, mut ranges) = (Vec::new(), Vec::new());
        for object in objects {
            let start = bytes.len() as u32;
            bytes.extend_from_slice(object.as_bytes());
            bytes.push(b'\n');
            ranges.push((start, bytes.len() as u32));
        }
        bytes.shrink_to_fit();
        (Arc::new(Chunk::new(bytes, &self.budget)), ranges)
    }

    fn push_range(&mut self, chunk: &Arc<Chunk>, range: (u32, u32)) {
        self.outbox.push(chunk, range, &self.limits, self.policy);
    }

    /// Queues objects, each in a chunk of its own.
    fn push(&mut self, objects: &[&str]) {
        for object in objects {
            let (chunk, ranges) = self.chunk(&[object]);
            self.push_range(&chunk, ranges[0]);
        }
    }

    /// The slices that may be written now.
    fn offered(&self) -> Vec<String> {
        let mut slices: [IoSlice<'_>; 64] = std::array::from_fn(|_| IoSlice::new(&[]));
        let offered = match self.outbox.writable(self.now) {
            Writable::Nothing => 0,
            Writable::One(bytes) => {
                slices[0] = IoSlice::new(bytes);
                1
            }
            Writable::Many => self.outbox.fill(&mut slices, usize::MAX),
        };
        let text = |slice: &IoSlice<'_>| String::from_utf8(slice.to_vec()).unwrap();
        slices[..offered].iter().map(text).collect()
    }

    /// One write, of which the socket takes `most` bytes at most.
    fn write(&mut self, most: usize) -> String {
        let mut taken = self.offered().concat();
        taken.truncate(most);
        self.received.extend_from_slice(taken.as_bytes());
        self.outbox.handle_written(taken.len(), self.now, &self.limits);
        taken
    }

    fn refuse(&mut self) {
        self.outbox.handle_refused(&self.limits, self.policy);
    }

    /// What the event loop does when the socket has room for so many bytes and then refuses.
    fn pump(&mut self, mut room: usize) {
        loop {
            if self.outbox.wants_notice() {
                let object = notice(self.outbox.take_missed());
                self.outbox.insert_notice(object, &self.budget);
            }
            if self.offered().is_empty() {
                return;
            }
            if room == 0 {
                return self.refuse();
            }
            room -= self.write(room).len();
        }
    }

    /// Reads everything that is queued, however long the pace makes it take.
    fn drain(&mut self) -> String {
        let before = self.received.len();
        while !self.outbox.is_empty() {
            self.pump(usize::MAX);
            self.advance(5_000);
        }
        String::from_utf8(self.received[before..].to_vec()).unwrap()
    }

    fn advance(&mut self, micros: u64) {
        self.now += Duration::from_micros(micros);
    }
}

fn notice(missed: u64) -> Vec<u8> {
    format!("missed {missed}\n").into_bytes()
}

use PeerKind::{OneRead, Stream};
use SlowReader::{Disconnect, DropOldest};

// what one write offers

#[test]
fn consecutive_ranges_of_a_chunk_are_one_slice() {
    let mut wire = Wire::new(Stream, Disconnect);
    let (chunk, ranges) = wire.chunk(&["a", "b", "c", "d"]);
    wire.push_range(&chunk, ranges[0]);
    wire.push_range(&chunk, ranges[1]);
    wire.push_range(&chunk, ranges[3]);
    wire.push(&["e"]);
    assert_eq!(wire.offered(), ["a\nb\n", "d\n", "e\n"]);
}

#[test]
fn one_write_offers_a_bounded_number_of_slices_and_the_next_one_the_rest() {
    let mut wire = Wire::new(Stream, Disconnect);
    wire.push(&["x"; 100]);
    assert_eq!(wire.offered().len(), 64);
    assert_eq!(wire.drain(), "x\n".repeat(100));
}

#[test]
fn an_empty_outbox_offers_nothing_and_waits_for_nothing() {
    for kind in [Stream, OneRead] {
        let mut wire = Wire::new(kind, Disconnect);
        assert!(wire.offered().is_empty());
        wire.push(&["a"]);
        wire.drain();
        assert!(wire.offered().is_empty());
        assert!(wire.outbox.is_empty());
        assert_eq!((wire.outbox.len(), wire.outbox.next_write()), (0, None));
    }
}

#[test]
fn however_the_socket_cuts_it_everything_arrives_once_and_in_order() {
    let all = "a\nbb\nccc\n";
    for first in 1..all.len() {
        for second in 1..all.len() {
            let mut wire = Wire::new(Stream, Disconnect);
            let (chunk, ranges) = wire.chunk(&["a", "bb"]);
            ranges.iter().for_each(|&range| wire.push_range(&chunk, range));
            wire.push(&["ccc"]);
            wire.write(first);
            wire.refuse();
            wire.write(second);
            let left = all.len().saturating_sub(first + second);
            assert_eq!(wire.outbox.len(), left, "after {first} and {second}");
            wire.drain();
            assert_eq!(wire.received, all.as_bytes(), "cut after {first} and {second}");
            assert_eq!(wire.outbox.objects, 0);
        }
    }
}

// the pace of a one-read peer (B2)

#[test]
fn a_one_read_peer_gets_one_object_a_write() {
    let mut wire = Wire::new(OneRead, Disconnect);
    let (chunk, ranges) = wire.chunk(&["a", "b"]);
    ranges.iter().for_each(|&range| wire.push_range(&chunk, range));
    assert_eq!(wire.write(usize::MAX), "a\n");
    assert_eq!(wire.offered(), [""; 0]);
    wire.advance(5_000);
    assert_eq!(wire.write(usize::MAX), "b\n");
}

#[test]
fn two_objects_to_a_one_read_peer_are_a_gap_apart() {
    let mut wire = Wire::new(OneRead, Disconnect);
    wire.push(&["a", "b"]);
    wire.write(usize::MAX);
    assert_eq!(wire.outbox.next_write(), Some(wire.now + Duration::from_millis(5)));
    wire.advance(4_999);
    assert_eq!(wire.offered(), [""; 0]);
    wire.advance(1);
    assert_eq!(wire.offered(), ["b\n"]);
}

#[test]
fn the_gap_holds_for_what_is_queued_after_the_queue_was_empty() {
    let mut wire = Wire::new(OneRead, Disconnect);
    wire.push(&["a"]);
    wire.write(usize::MAX);
    wire.advance(1_000);
    wire.push(&["b"]);
    assert_eq!(wire.offered(), [""; 0]);
    assert_eq!(wire.outbox.next_write(), Some(wire.now + Duration::from_millis(4)));
}

#[test]
fn the_rest_of_a_partly_written_object_goes_at_once_and_the_gap_runs_from_its_end() {
    let mut wire = Wire::new(OneRead, Disconnect);
    wire.push(&["abc", "d"]);
    wire.advance(10_000);
    assert_eq!(wire.write(2), "ab");
    wire.refuse();
    wire.advance(1_000);
    assert_eq!(wire.offered(), ["c\n"], "the rest, and nothing of the next object");
    wire.write(usize::MAX);
    wire.advance(4_999);
    assert_eq!(wire.offered(), [""; 0]);
    wire.advance(1);
    assert_eq!(wire.offered(), ["d\n"]);
}

#[test]
fn a_late_switch_to_stream_ends_the_pace() {
    let mut wire = Wire::new(OneRead, Disconnect);
    wire.push(&["a", "b", "c"]);
    wire.write(usize::MAX);
    wire.outbox.set_kind(Stream);
    assert_eq!(wire.offered(), ["b\n", "c\n"]);
    assert_eq!(wire.outbox.next_write(), None);
}

#[test]
fn a_switch_in_the_middle_of_an_object_goes_on_with_its_rest() {
    let mut wire = Wire::new(OneRead, Disconnect);
    wire.push(&["abc", "d"]);
    wire.write(1);
    wire.outbox.set_kind(Stream);
    assert_eq!(wire.offered().concat(), "bc\nd\n");
}

#[test]
fn after_a_switch_there_is_something_to_write_or_a_time_for_it() {
    let mut wire = Wire::new(OneRead, DropOldest);
    wire.limits.queue_messages = 2;
    wire.push(&["a"]);
    wire.write(usize::MAX);
    wire.push(&["b", "c", "d"]);
    wire.pump(usize::MAX);
    wire.push(&["e"]);
    wire.outbox.set_kind(Stream);
    assert!(!wire.outbox.is_empty() && !wire.outbox.is_refused());
    assert!(!wire.offered().is_empty() || wire.outbox.next_write().is_some());
}

#[test]
fn a_notice_keeps_the_pace_too() {
    let mut wire = Wire::new(OneRead, DropOldest);
    wire.limits.queue_messages = 1;
    wire.push(&["a"]);
    wire.refuse();
    wire.push(&["b", "c"]);
    wire.pump(usize::MAX);
    assert_eq!(wire.received, b"missed 2\n");
    wire.advance(5_000);
    wire.pump(usize::MAX);
    assert_eq!(wire.received, b"missed 2\nc\n");
}

// bounds (B4)

#[test]
fn the_bounds_are_not_judged_before_the_socket_refuses() {
    let mut wire = Wire::small(Disconnect, 2);
    wire.push(&["a", "b", "c", "d"]);
    assert!(!wire.outbox.is_overflown());
    wire.refuse();
    assert!(wire.outbox.is_overflown());
    assert_eq!(wire.outbox.take_missed(), 2);
    assert_eq!(wire.drain(), "a\nb\n");
}

#[test]
fn what_waits_for_the_pace_of_a_one_read_peer_is_bounded_though_its_socket_takes_it() {
    let mut wire = Wire::new(OneRead, Disconnect);
    wire.limits.queue_messages = 2;
    wire.push(&["a"]);
    wire.write(usize::MAX);
    wire.push(&["b", "c", "d", "e"]);
    // the pace is ours, so it is not too slow whatever the policy is
    assert!(!wire.outbox.is_overflown());
    assert_eq!(wire.drain(), "missed 2\nd\ne\n");
}

#[test]
fn between_two_notices_a_one_read_peer_gets_a_message() {
    let mut wire = Wire::new(OneRead, Disconnect);
    wire.limits.queue_messages = 2;
    let mut received = String::new();
    for round in 0..20 {
        wire.push(&[&format!("{round}a"), &format!("{round}b"), &format!("{round}c")]);
        let before = wire.received.len();
        wire.pump(usize::MAX);
        received.push_str(std::str::from_utf8(&wire.received[before..]).unwrap());
        wire.advance(5_000);
    }
    let notices = received.matches("missed").count();
    assert!(notices >= 9 && received.lines().count() - notices >= 9, "{received}");
}

#[test]
fn the_bounds_are_not_judged_any_more_once_the_socket_takes_bytes() {
    let mut wire = Wire::small(Disconnect, 2);
    wire.push(&["a", "b"]);
    wire.refuse();
    assert!(wire.outbox.is_refused());
    wire.write(1);
    assert!(!wire.outbox.is_refused());
    wire.push(&["c", "d"]);
    assert_eq!(wire.drain(), "\nb\nc\nd\n");
}

#[test]
fn a_full_queue_is_not_yet_an_overflow() {
    let mut wire = Wire::small(Disconnect, 3);
    wire.limits.queue_bytes = 6;
    wire.push(&["a"]);
    wire.refuse();
    wire.push(&["b", "c"]);
    assert!(!wire.outbox.is_overflown(), "exactly 3 messages and 6 bytes");
    wire.push(&["d"]);
    assert!(wire.outbox.is_overflown());
}

#[test]
fn bytes_are_bounded_as_messages_are() {
    for policy in [Disconnect, DropOldest] {
        let mut wire = Wire::new(Stream, policy);
        wire.limits.queue_bytes = 10;
        wire.push(&["aaaa"]);
        wire.refuse();
        wire.push(&["bbbb", "c"]);
        assert_eq!(wire.outbox.take_missed(), 1, "{policy:?}");
        assert_eq!(wire.outbox.len(), if policy == Disconnect { 10 } else { 7 });
    }
}

// B9, disconnect

#[test]
fn after_an_overflow_nothing_is_queued_and_everything_is_counted() {
    let mut wire = Wire::small(Disconnect, 2);
    wire.push(&["a"]);
    wire.refuse();
    wire.push(&["b", "c", "d"]);
    assert_eq!(wire.drain(), "a\nb\n");
    wire.push(&["e"]);
    assert!(wire.outbox.is_empty());
    assert!(!wire.outbox.wants_notice(), "the farewell tells it");
    assert_eq!(wire.outbox.take_missed(), 3);
    assert_eq!(wire.outbox.take_missed(), 0);
}

#[test]
fn an_overflow_leaves_what_is_queued_whole() {
    let mut wire = Wire::small(Disconnect, 2);
    let (chunk, ranges) = wire.chunk(&["aa", "bb", "cc", "dd"]);
    ranges.iter().for_each(|&range| wire.push_range(&chunk, range));
    wire.write(4);
    wire.refuse();
    assert_eq!(wire.outbox.take_missed(), 1, "two are left besides the one that was written");
    assert_eq!(wire.drain(), "b\ncc\n");
}

#[test]
fn an_object_that_was_begun_is_finished_though_it_alone_exceeds_the_bound() {
    for policy in [Disconnect, DropOldest] {
        let mut wire = Wire::new(Stream, policy);
        wire.limits.queue_bytes = 3;
        wire.push(&["abcdefgh", "x", "y"]);
        wire.write(2);
        wire.refuse();
        assert_eq!(wire.outbox.missed, 2, "{policy:?}");
        assert!(wire.drain().starts_with("cdefgh\n"), "{policy:?}");
    }
}

#[test]
fn the_farewell_is_queued_even_after_an_overflow() {
    let mut wire = Wire::small(Disconnect, 1);
    wire.push(&["a", "b"]);
    wire.refuse();
    wire.drain();
    let budget = Arc::clone(&wire.budget);
    wire.outbox.push_last(b"bye\n".to_vec(), &budget);
    assert_eq!(wire.outbox.len(), 4);
    assert_eq!(wire.drain(), "bye\n");
}

#[test]
fn of_a_farewell_512_bytes_are_outside_the_budget() {
    for (length, counted) in [(1, 0), (512, 0), (513, 1), (4096, 3584)] {
        let mut wire = Wire::small(Disconnect, 1);
        let budget = Arc::clone(&wire.budget);
        let before = budget.used();
        wire.outbox.push_last(vec![b'x'; length], &budget);
        assert_eq!(budget.used() - before, counted, "of {length}");
        wire.drain();
        assert_eq!(budget.used(), before);
    }
}

// B9, drop-oldest

#[test]
fn the_oldest_are_dropped_and_told_before_what_follows_them() {
    let mut wire = Wire::small(DropOldest, 2);
    wire.push(&["a"]);
    wire.refuse();
    wire.push(&["b", "c", "d"]);
    assert!(!wire.outbox.is_overflown());
    assert_eq!(wire.drain(), "missed 2\nc\nd\n");
}

#[test]
fn the_notice_comes_right_behind_the_object_that_was_begun() {
    let mut wire = Wire::small(DropOldest, 2);
    let (chunk, ranges) = wire.chunk(&["abc", "d", "e"]);
    ranges.iter().for_each(|&range| wire.push_range(&chunk, range));
    wire.write(1);
    wire.refuse();
    wire.push(&["f"]);
    assert_eq!(wire.outbox.missed, 2);
    assert!(!wire.outbox.wants_notice(), "not into the middle of an object");
    assert_eq!(wire.offered(), ["bc\n"], "nor may anything overtake it");
    assert_eq!(wire.drain(), "bc\nmissed 2\nf\n");
}

#[test]
fn a_notice_is_not_dropped_itself() {
    let mut wire = Wire::small(DropOldest, 2);
    wire.push(&["a", "b", "c"]);
    wire.pump(0);
    wire.pump(0);
    wire.push(&["d", "e"]);
    assert_eq!(wire.drain(), "missed 1\nmissed 3\ne\n");
}

#[test]
fn every_round_of_drops_is_counted_for_itself() {
    let mut wire = Wire::small(DropOldest, 2);
    for round in 0..3 {
        wire.push(&["a", "b"]);
        wire.pump(0);
        wire.push(&["c", "d", "e"]);
        assert_eq!(wire.drain(), "missed 3\nd\ne\n", "round {round}");
        assert_eq!(wire.outbox.missed, 0);
    }
}

#[test]
fn a_message_behind_a_notice_that_was_written_is_the_oldest_again() {
    let mut wire = Wire::small(DropOldest, 2);
    wire.limits.queue_bytes = 20;
    wire.push(&["a long one that was begun", "lost"]);
    wire.pump(3);
    wire.pump("ong one that was begun\n".len());
    assert_eq!(wire.offered(), ["missed 1\n"]);
    let (chunk, ranges) = wire.chunk(&["b", "somebody else's, and long enough"]);
    wire.push_range(&chunk, ranges[0]);
    drop(chunk);
    wire.pump("missed 1\n".len());
    wire.push(&["c", "d"]);
    assert_eq!(wire.drain(), "missed 1\nc\nd\n");
}

// giving up

#[test]
fn what_is_abandoned_is_counted() {
    let mut wire = Wire::new(Stream, DropOldest);
    wire.push(&["a", "b", "c"]);
    wire.refuse();
    wire.outbox.abandon();
    assert!(wire.outbox.is_empty());
    wire.push(&["d"]);
    assert_eq!((wire.outbox.take_missed(), wire.outbox.len()), (4, 0));
}

#[test]
fn what_was_begun_is_not_abandoned() {
    let mut wire = Wire::new(Stream, Disconnect);
    let (chunk, ranges) = wire.chunk(&["abc", "d"]);
    ranges.iter().for_each(|&range| wire.push_range(&chunk, range));
    wire.push(&["e"]);
    wire.write(2);
    wire.refuse();
    wire.outbox.abandon();
    assert_eq!(wire.outbox.take_missed(), 2);
    assert_eq!(wire.drain(), "c\n");
}

#[test]
fn what_is_queued_behind_a_long_answer_makes_it_end_and_no_reader_go() {
    let mut wire = Wire::small(Disconnect, 5);
    let budget = Arc::clone(&wire.budget);
    wire.outbox.begin_answer(&budget);
    wire.push(&["a", "b", "c", "d", "e", "f"]);
    assert!(wire.outbox.take_cancelled() && !wire.outbox.is_overflown());
    assert_eq!(wire.drain(), "missed 1\na\nb\nc\nd\ne\nf\n");
}

// the memory of all connections (B4)

/// Bytes that a queue of two to five ranges takes for itself.
const REST: usize = size_of::<Rest>() + 4 * size_of::<Segment>();

#[test]
fn all_that_a_queue_takes_counts_whether_the_socket_refuses_it_or_not() {
    let mut wire = Wire::new(Stream, Disconnect);
    wire.push(&["a"]);
    assert_eq!(wire.budget.used(), 2);
    wire.push(&["b"]);
    assert_eq!(wire.budget.used(), 4 + REST);
    wire.refuse();
    assert_eq!(wire.budget.used(), 4 + REST);
    wire.push(&["c"; 100]);
    let room = wire.outbox.queue.rest.as_ref().unwrap().segments.capacity();
    assert_eq!(wire.budget.used(), 204 + size_of::<Rest>() + room * size_of::<Segment>());
    wire.drain();
    assert_eq!(wire.budget.used(), 0);
}

#[test]
fn the_final_message_of_a_connection_is_outside_the_budget() {
    let mut wire = Wire::new(Stream, Disconnect);
    let budget = Arc::clone(&wire.budget);
    wire.outbox.push_last(b"goodbye\n".to_vec(), &budget);
    wire.refuse();
    assert_eq!(budget.used(), 0);
}

#[test]
fn shared_bytes_count_once_until_the_last_reader_has_them() {
    let mut wires = [(); 3].map(|()| Wire::new(Stream, Disconnect));
    let budget = Arc::clone(&wires[0].budget);
    let (chunk, ranges) = wires[0].chunk(&["to everybody"]);
    for wire in &mut wires {
        wire.push_range(&chunk, ranges[0]);
        wire.refuse();
    }
    drop(chunk);
    assert_eq!(budget.used(), 13);
    for wire in &mut wires {
        assert_eq!(budget.used(), 13);
        wire.drain();
    }
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_queue_that_is_dropped_or_abandoned_gives_its_memory_back() {
    let mut wire = Wire::new(Stream, Disconnect);
    let budget = Arc::clone(&wire.budget);
    wire.push(&["a", "b"]);
    wire.refuse();
    wire.outbox.abandon();
    assert_eq!(budget.used(), 0);
    let mut wire = Wire { budget: Arc::clone(&budget), ..Wire::new(Stream, Disconnect) };
    wire.push(&["a", "b"]);
    wire.refuse();
    assert_eq!(budget.used(), 4 + REST);
    drop(wire);
    assert_eq!(budget.used(), 0);
    // what was begun stays, and not the chunk that it shared with the rest
    let mut wire = Wire { budget: Arc::clone(&budget), ..Wire::new(Stream, Disconnect) };
    let (chunk, ranges) = wire.chunk(&["abc", &"x".repeat(1_000)]);
    ranges.iter().for_each(|&range| wire.push_range(&chunk, range));
    drop(chunk);
    wire.write(2);
    wire.refuse();
    assert_eq!(budget.used(), 1_005);
    wire.outbox.abandon();
    assert_eq!(budget.used(), 2);
    assert_eq!(wire.drain(), "c\n");
}

#[test]
fn a_small_part_does_not_keep_a_big_chunk() {
    for kind in [Stream, OneRead] {
        let mut wire = Wire::new(kind, Disconnect);
        let (chunk, ranges) = wire.chunk(&["mine", &"x".repeat(100_000), "mine too"]);
        wire.push_range(&chunk, ranges[0]);
        wire.refuse();
        wire.push_range(&chunk, ranges[2]);
        assert_eq!(Arc::strong_count(&chunk), 1, "{kind:?}");
        drop(chunk);
        assert!(wire.budget.used() < 100 + REST, "{kind:?}: {} bytes", wire.budget.used());
        assert_eq!(wire.drain(), "mine\nmine too\n");
    }
}

#[test]
fn a_small_object_does_not_keep_a_roomy_buffer() {
    let mut wire = Wire::new(Stream, Disconnect);
    let mut bytes = Vec::with_capacity(100_000);
    bytes.extend_from_slice(b"a\n");
    let chunk = Arc::new(Chunk::new(bytes, &wire.budget));
    wire.push_range(&chunk, (0, 2));
    drop(chunk);
    wire.refuse();
    assert!(wire.budget.used() < 100, "{} bytes for an object of 2", wire.budget.used());
}

#[test]
fn a_queue_through_which_much_goes_keeps_no_more_than_what_is_queued() {
    for policy in [Disconnect, DropOldest] {
        let mut wire = Wire::small(policy, 8);
        wire.push(&["12345678"; 3]);
        wire.refuse();
        for _ in 0..1000 {
            let (chunk, ranges) = wire.chunk(&["87654321", &"x".repeat(100)]);
            wire.push_range(&chunk, ranges[0]);
            drop(chunk);
            if policy == Disconnect {
                // it reads as fast as it is written to, but is never done
                wire.write(9);
                wire.refuse();
            }
        }
        let (used, queued) = (wire.budget.used(), wire.outbox.len());
        assert!(used <= 8 * queued, "{policy:?}: {used} bytes kept for {queued}");
    }
}

#[path = "outbox_model_tests.rs"]
mod model;
