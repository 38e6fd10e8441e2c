//! Tests of the bounded queue of lines, with outputs that stall, refuse, or cut lines short.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

/// Does what its script says.
trait Script: Send {
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize>;
}

struct Scripted<S>(S);

impl<S: Script> Output for Scripted<S> {
    type Line = Vec<u8>;

    fn begin_line(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.take(bytes)
    }

    fn report(missing: &Missing) -> Vec<u8> {
        format!("{} missing\n", missing.count).into_bytes()
    }
}

/// Room for so many lines of two bytes.
fn room(lines: usize) -> usize {
    lines * (OVERHEAD + 2)
}

fn line(number: usize) -> Vec<u8> {
    format!("{number}\n").into_bytes()
}

/// Takes a line when it is told to, and not before.
struct Held {
    begun: Sender<()>,
    released: Receiver<()>,
    text: Vec<u8>,
}

impl Script for Held {
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.send(()).unwrap();
        self.released.recv().unwrap();
        self.text.write(bytes)
    }
}

/// Refuses so many writes with an error of this kind.
struct Refusing(usize, io::ErrorKind, Arc<Mutex<Vec<u8>>>);

impl Script for Refusing {
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 > 0 {
            self.0 -= 1;
            return Err(self.1.into());
        }
        self.2.lock().unwrap().write(bytes)
    }
}

fn refusing(times: usize, kind: io::ErrorKind) -> (Scripted<Refusing>, Arc<Mutex<Vec<u8>>>) {
    let text = Arc::new(Mutex::new(Vec::new()));
    (Scripted(Refusing(times, kind, Arc::clone(&text))), text)
}

/// Writes as often as the range has numbers.
fn write<O: Output>(queue: &LineQueue<O>, out: &mut O, times: std::ops::Range<usize>) {
    for _ in times {
        queue.write_next(out, |_, _| {});
    }
}

fn text(written: &Mutex<Vec<u8>>) -> String {
    String::from_utf8(written.lock().unwrap().clone()).unwrap()
}

#[test]
fn the_oldest_lines_are_dropped_while_a_write_stalls_and_their_number_is_written() {
    let queue = Arc::new(LineQueue::<Scripted<Held>>::new(room(4)));
    let ((begun, has_begun), (release, released)) = (mpsc::channel(), mpsc::channel());
    let writer = thread::spawn({
        let queue = Arc::clone(&queue);
        move || {
            let mut out = Scripted(Held { begun, released, text: Vec::new() });
            write(&queue, &mut out, 0..4);
            String::from_utf8(out.0.text).unwrap()
        }
    });
    queue.push(line(0));
    has_begun.recv().unwrap();
    // the write of line 0 stalls, and no producer does
    (1..1_001).for_each(|number| queue.push(line(number % 10)));
    assert!(queue.usage().bytes <= queue.usage().most, "{:?}", queue.usage());
    assert!(!queue.wait_until_written(Duration::ZERO));
    (0..5).for_each(|_| release.send(()).unwrap());
    assert!(queue.wait_until_written(PATIENCE));
    assert_eq!(writer.join().unwrap(), "0\n997 missing\n8\n9\n0\n");
    assert_eq!((queue.missed(), queue.usage().bytes), (997, 0));
}

#[test]
fn a_full_queue_hands_a_line_back() {
    let queue = LineQueue::<Scripted<Refusing>>::new(room(2));
    for number in 0..2 {
        queue.try_push(line(number)).unwrap();
    }
    assert_eq!(queue.try_push(line(2)), Err(line(2)));
    let (mut out, written) = refusing(0, io::ErrorKind::Other);
    write(&queue, &mut out, 0..2);
    assert_eq!(text(&written), "1 missing\n0\n1\n");
}

#[test]
fn a_line_beyond_the_whole_bound_is_missing() {
    let queue = LineQueue::<Scripted<Refusing>>::new(room(2));
    queue.push(vec![b'x'; 1_000]);
    assert_eq!((queue.missed(), queue.usage().bytes), (1, 0));
}

#[test]
fn refused_lines_are_handed_back_and_counted() {
    let queue = LineQueue::<Scripted<Refusing>>::new(room(3));
    (0..3).for_each(|number| queue.push(line(number)));
    // lines 0 and 1, and the report in between
    let (mut out, written) = refusing(3, io::ErrorKind::BrokenPipe);
    let mut lost = Vec::new();
    for _ in 0..3 {
        queue.write_next(&mut out, |line, error| lost.push((line, error.kind())));
    }
    let kind = io::ErrorKind::BrokenPipe;
    assert_eq!(lost, [(line(0), kind), (line(1), kind)]);
    assert_eq!(text(&written), "2 missing\n2\n");
}

#[test]
fn the_number_is_written_without_another_line() {
    let queue = LineQueue::<Scripted<Refusing>>::new(room(3));
    queue.push(line(0));
    let (mut out, written) = refusing(1, io::ErrorKind::StorageFull);
    write(&queue, &mut out, 0..2);
    assert_eq!(text(&written), "1 missing\n");
}

#[test]
fn an_output_that_would_block_gets_the_line_later() {
    let queue = LineQueue::<Scripted<Refusing>>::new(room(3));
    queue.push(line(0));
    let (mut out, written) = refusing(3, io::ErrorKind::WouldBlock);
    queue.write_next(&mut out, |_, _| panic!("the line is not lost"));
    assert_eq!(text(&written), "0\n");
}

#[test]
fn another_output_gets_the_lines_that_the_first_one_does_not_take() {
    let queue = Arc::new(LineQueue::<Scripted<Refusing>>::new(room(9)));
    for kind in [io::ErrorKind::WouldBlock, io::ErrorKind::StorageFull] {
        let (mut stuck, before) = refusing(usize::MAX, kind);
        let (next, after) = refusing(0, kind);
        (0..2).for_each(|number| queue.push(line(number)));
        queue.replace(next, Duration::ZERO);
        queue.push(line(2));
        for _ in 0..3 {
            queue.write_next(&mut stuck, |_, _| panic!("the line is not lost"));
        }
        assert_eq!((&*text(&before), &*text(&after)), ("", "0\n1\n2\n"), "{kind}");
    }
}

#[test]
fn another_output_that_stalls_too_does_not_delay_its_caller() {
    let queue = Arc::new(LineQueue::<Scripted<Refusing>>::new(room(9)));
    queue.push(line(0));
    let writer = thread::spawn({
        let queue = Arc::clone(&queue);
        let (mut out, _) = refusing(usize::MAX, io::ErrorKind::WouldBlock);
        move || while queue.write_next(&mut out, |_, _| panic!("it is returned")) {}
    });
    let begun = Instant::now();
    for _ in 0..10 {
        queue.replace(refusing(usize::MAX, io::ErrorKind::WouldBlock).0, PATIENCE);
    }
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    assert_eq!(queue.close(Duration::ZERO), [line(0)]);
    writer.join().unwrap();
}

#[test]
fn lines_from_before_another_output_are_in_the_first_one() {
    let queue = LineQueue::<Scripted<Refusing>>::new(room(9));
    let (mut out, before) = refusing(0, io::ErrorKind::Other);
    let (next, after) = refusing(0, io::ErrorKind::Other);
    queue.push(line(0));
    queue.replace(next, Duration::ZERO);
    queue.push(line(1));
    write(&queue, &mut out, 0..3);
    assert_eq!((&*text(&before), &*text(&after)), ("0\n", "1\n"));
}

#[test]
fn the_end_returns_the_lines_that_a_stalled_output_did_not_take() {
    let queue = Arc::new(LineQueue::<Scripted<Refusing>>::new(room(9)));
    (0..3).for_each(|number| queue.push(line(number)));
    let writer = thread::spawn({
        let queue = Arc::clone(&queue);
        let (mut out, _) = refusing(usize::MAX, io::ErrorKind::WouldBlock);
        move || while queue.write_next(&mut out, |_, _| panic!("it is returned")) {}
    });
    assert_eq!(queue.close(Duration::from_millis(50)), [line(0), line(1), line(2)]);
    writer.join().unwrap();
    assert_eq!(queue.try_push(line(3)), Err(line(3)));
}

#[test]
fn dropped_lines_do_not_delay_another_output() {
    let queue = LineQueue::<Scripted<Refusing>>::new(room(3));
    let (mut out, before) = refusing(0, io::ErrorKind::Other);
    let (next, after) = refusing(0, io::ErrorKind::Other);
    (0..3).for_each(|number| queue.push(line(number)));
    queue.replace(next, Duration::ZERO);
    // these take the places of 0 and 1
    (3..5).for_each(|number| queue.push(line(number)));
    write(&queue, &mut out, 0..4);
    assert_eq!((&*text(&before), &*text(&after)), ("2 missing\n2\n", "3\n4\n"));
}

#[test]
fn a_closed_queue_takes_no_line() {
    let queue = LineQueue::<Scripted<Refusing>>::new(room(3));
    queue.push(line(0));
    assert_eq!(queue.close(Duration::ZERO), [line(0)]);
    queue.push(line(1));
    assert_eq!((queue.usage().bytes, queue.missed()), (0, 1));
}

#[test]
fn queued_lines_take_the_memory_that_they_account_for() {
    use crate::heap::Heap;
    const MOST: usize = 1 << 20;
    for length in [1, 20, 300, 5_000] {
        let (heap, queue) = (Heap::now(), LineQueue::<Scripted<Refusing>>::new(MOST));
        for number in 0..100_000 {
            let line = number.to_string() + &"x".repeat(length) + "\n";
            // as a logger does
            (&queue).write_all(line.as_bytes()).unwrap();
            if queue.missed() > 10_000 {
                break;
            }
        }
        assert!(queue.missed() > 0);
        heap.assert_within(queue.usage().bytes, "lines");
        assert!(heap.grown() <= MOST + MOST / 10);
    }
}
