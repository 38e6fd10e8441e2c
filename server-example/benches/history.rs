//! What history and accounts cost. `cargo bench -p server-example --bench history`.
//!
//! Each is measured beside a server that keeps nothing, in turn, on the same machine:
//!
//! 1. **Throughput**: pairs with 32 messages in flight, each pair in a room of its own, so that every
//!    message that the writer keeps up with is kept; then a hundred thousand a second, of which all
//!    are. The server's event loop and the thread that writes are on one core.
//! 2. **Latency**: the same pairs at 10,000 messages a second when due.
//! 3. **A large file**: the newest page, joining and delivery beside a million kept messages, and
//!    reading 10,000 again in pages.
//! 4. **Logins**: a thousand a second arrive, all wrong, while others chat.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chatproto::Client;
use serde_json::Value;

use support::{Server, load, run, scratch};

const ROUNDS: usize = 3;
/// Every message goes to one other member, and is kept.
const PAIRS: &str = "clients = 100\nto = \"room\"\nrooms = 50";
const RATE: u32 = 10_000;
const SUSTAINED: u32 = 100_000;
const MANY: u64 = 1_000_000;
const LOGINS: u64 = 1_000;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return; // `cargo test --benches`: nothing is to be measured
    }
    let data = Data::new("history-data");
    let servers = [("kept", data.server()), ("not kept", Server::start(&["--data", "none"]))];

    println!("pairs, 32 in flight: messages/s, and µs of the server's processor time for each:");
    for round in 1..=ROUNDS {
        for (what, server) in &servers {
            let run = measured(server, &format!("{PAIRS}\nin_flight = 32"), "3s");
            let rate = run["delivered_per_second"].as_f64().unwrap_or_default();
            let cpu = run["server_use"]["cpu_us_per_delivery"].as_f64().unwrap_or_default();
            println!("  {round}: {what}: {rate:.0}/s, {cpu:.2} µs");
        }
    }
    println!("pairs, {SUSTAINED}/s when due: how many of the messages are kept:");
    for round in 1..=ROUNDS {
        let before = data.messages();
        let run = measured(&servers[0].1, &format!("{PAIRS}\nrate = {SUSTAINED}"), "3s");
        // whoever reads waits for what is under way
        thread::sleep(Duration::from_secs(1));
        let cpu = run["server_use"]["cpu_us_per_delivery"].as_f64().unwrap_or_default();
        let (sent, kept) = (&run["counts"]["sent"], data.messages() - before);
        let rate = run["delivered_per_second"].as_f64().unwrap_or_default();
        println!(
            "  {round}: {rate:.0}/s; {kept} are kept, the warm-up's too, of {sent} counted ones; {cpu:.2} µs"
        );
    }
    println!("pairs, {RATE}/s when due: latency p50, p90 and p99 in µs:");
    latencies(&servers);

    let [(_, server), quiet] = servers;
    let kept = fill(&server, &data);
    println!("{kept} messages are kept; reading them:");
    reading(&server);
    println!("pairs, {RATE}/s when due, beside them:");
    latencies(&[("kept", server), quiet]);
    logins();
}

fn latencies(servers: &[(&str, Server)]) {
    for round in 1..=ROUNDS {
        for (what, server) in servers {
            let run = measured(server, &format!("{PAIRS}\nrate = {RATE}"), "3s");
            println!("  {round}: {what}: {}", percentiles(&run));
        }
    }
}

fn percentiles(run: &Value) -> String {
    let of = |name: &str| run["latency"][name].as_f64().unwrap_or(f64::NAN);
    format!("{:.0}, {:.0}, {:.0}", of("p50_us"), of("p90_us"), of("p99_us"))
}

/// Runs one scenario once, looking at the server.
fn measured(server: &Server, scenario: &str, duration: &str) -> Value {
    let file = scratch("history.toml");
    let text = format!("[[scenario]]\nname = \"bench\"\n{scenario}\n");
    std::fs::write(&file, text).expect("a directory of one's own");
    let (file, id) = (file.to_string_lossy().into_owned(), server.id().to_string());
    let options = [
        "compare",
        &file,
        "--repeat",
        "1",
        "--duration",
        duration,
        "--server",
        &server.address,
        "--pid",
        &id,
    ];
    load(&options)["runs"][0].clone()
}

/// Has messages kept until there are a million; how many there are.
fn fill(server: &Server, data: &Data) -> u64 {
    loop {
        let kept = data.messages();
        if kept >= MANY {
            return kept;
        }
        run(&server.address, &format!("{PAIRS}\nin_flight = 32"), "3s");
    }
}

/// Times of the newest page, of joining, and of 10,000 messages in pages.
fn reading(server: &Server) {
    let connect =
        |name: &str| Client::connect(&*server.address, name).expect("the server takes it");
    let writer = connect("writer");
    let mut reader = connect("reader");
    ask(&mut reader, "/join", "#long");
    writer.send("/join", "#long").expect("it listens");
    for number in 0..10_000 {
        writer.send("#long", &format!("message {number} {}", "x".repeat(64))).expect("it listens");
        reader.recv().expect("a member gets it");
        if number == 1_000 {
            println!("  newest page of 20 of a room of 1,000: {}", newest(&mut reader));
        }
    }
    println!("  newest page of 20 of a room of 10,000: {}", newest(&mut reader));
    let joins = median(21, || {
        let mut newcomer = connect("newcomer");
        let begun = Instant::now();
        ask(&mut newcomer, "/join", "#long");
        let taken = begun.elapsed();
        newcomer.close().expect("it listens");
        taken
    });
    println!("  joining: {joins:?}");
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let (mut since, mut count, mut epoch) = (0, 0, "0".to_owned());
        loop {
            reader
                .send("/history", &format!("#long 256 since {since} {epoch}"))
                .expect("it listens");
            let head = until(&mut reader, "history ");
            let value = |key: &str| {
                let key = format!(" {key}=");
                let from = head.find(&key).map_or(head.len(), |at| at + key.len());
                head[from..].split(' ').next().unwrap_or_default().to_owned()
            };
            epoch = value("epoch");
            count += value("count").parse::<usize>().unwrap_or(0);
            let last = value("ids");
            since = last.rsplit([',', '-']).next().and_then(|id| id.parse().ok()).unwrap_or(since);
            until(&mut reader, "end of history");
            if value("more") != "true" {
                break;
            }
        }
        println!("  {count} messages in pages of 256: {:?}", begun.elapsed());
    }
}

fn newest(reader: &mut Client) -> String {
    let taken = median(101, || {
        let begun = Instant::now();
        reader.send("/history", "#long 20").expect("it listens");
        until(reader, "end of history");
        begun.elapsed()
    });
    format!("{taken:?}")
}

fn ask(client: &mut Client, to: &str, msg: &str) {
    client.send(to, msg).expect("it listens");
    until(client, "");
}

/// The next message of the server's that begins so.
fn until(client: &mut Client, beginning: &str) -> String {
    loop {
        let message = client.recv().expect("the server goes on");
        if message.from.name == "SERVER" && message.msg.starts_with(beginning) {
            return message.msg;
        }
    }
}

fn median(count: usize, mut measure: impl FnMut() -> Duration) -> Duration {
    let mut all: Vec<Duration> = (0..count).map(|_| measure()).collect();
    all.sort_unstable();
    all[count / 2]
}

/// The latency of those who chat, alone and while a thousand a second try to log in.
fn logins() {
    let data = Data::new("history-logins");
    let server = data.server_with(&["--max-errors", "1000000000"]);
    println!("pairs, {RATE}/s when due, alone and while {LOGINS} logins a second arrive:");
    for round in 1..=ROUNDS {
        println!(
            "  {round}: alone: {}",
            percentiles(&measured(&server, &format!("{PAIRS}\nrate = {RATE}"), "3s"))
        );
        let flood = Flood::start(&server.address);
        let run = measured(&server, &format!("{PAIRS}\nrate = {RATE}"), "3s");
        println!("  {round}: {:.0} logins/s: {}", flood.stop(), percentiles(&run));
    }
}

/// Fifty connections that try passwords.
struct Flood {
    is_over: Arc<AtomicBool>,
    tried: Arc<AtomicU64>,
    begun: Instant,
    thread: Option<thread::JoinHandle<()>>,
}

impl Flood {
    fn start(address: &str) -> Self {
        let (is_over, tried) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (over, count, address) = (Arc::clone(&is_over), Arc::clone(&tried), address.to_owned());
        let work = move || {
            let mut peers: Vec<TcpStream> = (0..50)
                .map(|number| {
                    let mut peer = TcpStream::connect(&address).expect("the server listens");
                    writeln!(peer, "guesser{number}").expect("it reads");
                    peer.set_nonblocking(true).expect("a socket");
                    peer
                })
                .collect();
            let begun = Instant::now();
            let mut buffer = [0; 64 * 1024];
            for number in 0u64.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let due = begun + Duration::from_micros(1_000_000 / LOGINS) * number as u32;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let peer = &mut peers[number as usize % 50];
                while matches!(peer.read(&mut buffer), Ok(1..)) {}
                let object =
                    chatproto::Message::new("", "", "/login", format!("alice guess-{number}"));
                if peer.write_all(format!("{}\n", object.to_json()).as_bytes()).is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let thread = Some(thread::spawn(work));
        Flood { is_over, tried, begun: Instant::now(), thread }
    }

    /// How many logins a second there were.
    fn stop(mut self) -> f64 {
        let rate = self.tried.load(Ordering::Relaxed) as f64 / self.begun.elapsed().as_secs_f64();
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().map(thread::JoinHandle::join);
        rate
    }
}

/// A data directory that goes with the benchmark.
struct Data(PathBuf);

impl Data {
    fn new(name: &str) -> Self {
        let path = scratch(name);
        let _ = std::fs::remove_dir_all(&path);
        Data(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn server(&self) -> Server {
        self.server_with(&[])
    }

    fn server_with(&self, options: &[&str]) -> Server {
        let path = self.path().to_string_lossy();
        Server::start(&[&["--data", &path], options].concat())
    }

    /// How many messages are kept, as far as they are on the disk.
    fn messages(&self) -> u64 {
        let file = self.path().join("chatproto.db");
        let db = rusqlite::Connection::open(file).expect("the server has made it");
        db.query_row("SELECT count(*) FROM message", [], |row| row.get::<_, i64>(0))
            .map_or(0, i64::unsigned_abs)
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
