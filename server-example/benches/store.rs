//! What it costs to keep messages. `cargo bench -p server-example --bench store`; it needs some
//! 500 MB below the directory for temporary files (`TMPDIR`), whose disk is what is measured.
//!
//! 1. **Appending** as fast as it goes, in commits of 1,024 messages that are on the disk when they
//!    return, to one, a hundred and a thousand conversations in turn.
//! 2. **Appending at the pace of a busy server**, 500 messages every 5 ms: how long a commit takes.
//! 3. **Reading**: the newest page of a conversation, and a long replay, among a thousand messages and
//!    among a million.

#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    reason = "a part of the load generator"
)]
#[path = "../load/src/usage.rs"]
mod process;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use store::{Query, Store, StoreOptions, Writer};

/// Messages of a commit.
const COMMIT: u64 = 1_024;
/// Messages of one measurement.
const MESSAGES: u64 = 512 * COMMIT;
const PACE: Duration = Duration::from_millis(5);
const ROUNDS: u64 = 2_000;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return; // `cargo test --benches`: nothing is to be measured
    }
    println!("appending, {COMMIT} messages a commit:");
    for conversations in [1, 100, 1_000] {
        append(conversations);
    }
    println!("500 messages every 5 ms, for {:.0} s:", (PACE * ROUNDS as u32).as_secs_f64());
    for conversations in [1, 100, 1_000] {
        paced(conversations);
    }
    println!("reading, at most 1,000 conversations:");
    for messages in [1_000, 1_000_000] {
        read(messages);
    }
}

fn append(conversations: u64) {
    let directory = TempDir::new();
    let (_store, mut writer) = open(&directory);
    let mut source = Source::new(conversations);
    let mut times = Histogram::<u64>::new(3).unwrap();
    let (begin, used) = (Instant::now(), processor_time());
    while source.next <= MESSAGES {
        let begin = Instant::now();
        source.append(&mut writer, COMMIT);
        writer.commit().unwrap();
        times.record(micros(begin.elapsed())).unwrap();
    }
    let (took, used) = (begin.elapsed(), processor_time() - used);
    println!(
        "  {conversations:>5} conversations: {:>8.0}/s, {:.2} µs of processor time each; {}",
        MESSAGES as f64 / took.as_secs_f64(),
        used.as_secs_f64() * 1e6 / MESSAGES as f64,
        percentiles(&times),
    );
}

fn paced(conversations: u64) {
    let directory = TempDir::new();
    let (_store, mut writer) = open(&directory);
    let mut source = Source::new(conversations);
    let mut times = Histogram::<u64>::new(3).unwrap();
    let (begin, used) = (Instant::now(), processor_time());
    for round in 0..ROUNDS {
        let due = begin + PACE * round as u32;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        source.append(&mut writer, 500);
        writer.commit().unwrap();
        // from when it should have begun: a slow commit delays those after it
        times.record(micros(due.elapsed())).unwrap();
    }
    let used = processor_time() - used;
    println!(
        "  {conversations:>5} conversations: {:.0} % of a core; {}",
        100.0 * used.as_secs_f64() / begin.elapsed().as_secs_f64(),
        percentiles(&times)
    );
}

fn read(messages: u64) {
    let directory = TempDir::new();
    let (store, mut writer) = open(&directory);
    let conversations = (messages / 100).min(1_000);
    let mut source = Source::new(conversations);
    while source.next <= messages {
        source.append(&mut writer, 1_000);
        writer.commit().unwrap();
    }
    while writer.maintain(0).unwrap() {}
    let reader = store.reader().unwrap();
    let newest = Query { most: 20, ..Query::default() };
    let page = median(2_000, |n| {
        let page = reader.page(&Source::name(n % conversations), &newest).unwrap();
        assert_eq!(page.entries.len(), 20);
    });
    // a conversation with enough for a long replay, in the middle of others
    for _ in 0..10_000 {
        source.append(&mut writer, 1);
        writer.append(source.next, "#long", 0, &source.object);
        source.next += 1;
    }
    writer.commit().unwrap();
    while writer.maintain(0).unwrap() {}
    let long = Query { most: 10_000, max_bytes: usize::MAX, ..Query::default() };
    let replay =
        median(20, |_| assert_eq!(reader.page("#long", &long).unwrap().entries.len(), 10_000));
    println!("  {messages:>9} messages: newest 20 in {page:.1?}, 10,000 in {replay:.1?}");
    writer.close(source.next).unwrap();
}

/// Messages to conversations in an order without a pattern.
struct Source {
    conversations: u64,
    next: u64,
    random: fastrand::Rng,
    object: String,
}

impl Source {
    fn new(conversations: u64) -> Self {
        let text = "x".repeat(64);
        let object =
            format!(r#"{{"from":{{"name":"alice","ip":"127.0.0.1"}},"to":"bob","msg":"{text}"}}"#);
        Source { conversations, next: 1, random: fastrand::Rng::with_seed(9), object }
    }

    fn name(conversation: u64) -> String {
        format!("#room {conversation}")
    }

    fn append(&mut self, writer: &mut Writer, messages: u64) {
        for _ in 0..messages {
            let room = Self::name(self.random.u64(..self.conversations));
            writer.append(self.next, &room, 1_700_000_000_000 + self.next as i64, &self.object);
            self.next += 1;
        }
    }
}

fn open(directory: &TempDir) -> (Store, Writer) {
    let mut store = Store::open(&directory.0, StoreOptions::default()).unwrap();
    let writer = store.writer().unwrap();
    (store, writer)
}

fn median<T>(times: u64, mut act: impl FnMut(u64) -> T) -> Duration {
    let mut took: Vec<Duration> = (0..times)
        .map(|n| {
            let begin = Instant::now();
            std::hint::black_box(act(n));
            begin.elapsed()
        })
        .collect();
    took.sort();
    took[took.len() / 2]
}

fn percentiles(times: &Histogram<u64>) -> String {
    let at = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
    format!(
        "commit p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        at(0.5),
        at(0.99),
        times.max() as f64 / 1e3
    )
}

fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}

/// What this process has used of the processor.
fn processor_time() -> Duration {
    process::of(std::process::id()).map_or(Duration::ZERO, |usage| usage.cpu)
}

struct TempDir(PathBuf);

impl TempDir {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("chatproto-bench-{:016x}", fastrand::u64(..)));
        fs::create_dir(&path).unwrap();
        TempDir(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
