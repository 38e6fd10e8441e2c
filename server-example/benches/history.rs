//! What history and accounts cost. `cargo bench -p server-example --bench history`; names behind `--`
//! have only those parts measured: `throughput`, `latency`, `large`, `logins`.
//!
//! Each is measured beside a server that keeps nothing, in turn, on the same machine:
//!
//! 1. **Throughput**: pairs with 32 messages in flight, each pair in a room of its own, so that every
//!    message that the writer keeps up with is kept; then a hundred thousand a second, of which all
//!    are. The server's event loop and the thread that writes are on one core.
//! 2. **Latency**: the same pairs at 10,000 messages a second when due.
//! 3. **A large file**: the newest page and joining, beside a million kept messages and beside none, in
//!    turn; delivery beside them; and reading 10,000 again in pages.
//! 4. **Logins**: a thousand a second arrive while others chat: wrong ones from one address, which the
//!    throttle refuses; and right ones, each from an address of its own, which the pool of threads
//!    works on as long as its queue has room.

mod support;

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
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
/// Of what varies much.
const SHORT_ROUNDS: usize = 11;
const RATE: u32 = 10_000;
const SUSTAINED: u32 = 100_000;
const MANY: u64 = 1_000_000;
const LOGINS: u64 = 1_000;
const ACCOUNTS: u64 = 500;
const PASSWORD: &str = "correct horse";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return; // `cargo test --benches`: nothing is to be measured
    }
    let named = arguments.iter().filter(|argument| !argument.starts_with('-'));
    let named: Vec<&String> = named.collect();
    let parts: [(&str, fn()); 4] =
        [("throughput", throughput), ("latency", latency), ("large", large), ("logins", logins)];
    if let Some(unknown) = named.iter().find(|name| !parts.iter().any(|part| part.0 == **name)) {
        eprintln!("{unknown} is no part: throughput, latency, large and logins are");
        std::process::exit(2);
    }
    for (name, run) in parts {
        if named.is_empty() || named.iter().any(|wanted| **wanted == name) {
            run();
        }
    }
}

/// A server that keeps all that is said, and one that keeps nothing.
fn pair(data: &Data) -> [(&'static str, Server); 2] {
    [("kept", data.server()), ("not kept", Server::start(&["--data", "none"]))]
}

fn throughput() {
    let data = Data::new("history-data");
    let servers = pair(&data);
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
}

fn latency() {
    let data = Data::new("history-data");
    println!("pairs, {RATE}/s when due, few are kept yet:");
    latencies(&pair(&data));
}

fn large() {
    let data = Data::new("history-data");
    let [(_, server), quiet] = pair(&data);
    let kept = fill(&server, &data);
    let other = Data::new("history-empty");
    let empty = other.server();
    println!("{kept} messages are kept in one file, none in the other; medians in turn:");
    reading(&[("large", &server), ("empty", &empty)]);
    println!("pairs, {RATE}/s when due, beside them:");
    latencies(&[("kept", server), ("kept, in the small file", empty), quiet]);
}

/// The latency at each of the servers in turn, in many short runs: a machine that others use too
/// takes its processors away for milliseconds now and then, and a long run has some of that in it.
fn latencies(servers: &[(&str, Server)]) {
    let mut rounds = vec![Rounds::default(); servers.len()];
    for _ in 0..SHORT_ROUNDS {
        for ((_, server), rounds) in servers.iter().zip(&mut rounds) {
            rounds.add(&chat(server));
        }
    }
    for ((what, _), rounds) in servers.iter().zip(&rounds) {
        println!("  {what}: {rounds}");
    }
}

fn chat(server: &Server) -> Value {
    measured(server, &format!("{PAIRS}\nrate = {RATE}"), "1500ms")
}

/// What several runs found.
#[derive(Clone, Default)]
struct Rounds([Vec<f64>; 3]);

impl Rounds {
    fn add(&mut self, run: &Value) {
        for (all, name) in self.0.iter_mut().zip(["p50_us", "p90_us", "p99_us"]) {
            all.push(run["latency"][name].as_f64().unwrap_or(f64::NAN));
            all.sort_by(f64::total_cmp);
        }
    }
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99] = self.0.each_ref().map(|all| all[all.len() / 2]);
        let (least, most) = (self.0[2][0], self.0[2][self.0[2].len() - 1]);
        let count = self.0[2].len();
        write!(f, "p50 {p50:.0} µs, p90 {p90:.0}, p99 {p99:.0}; medians of {count}, p99 from ")?;
        write!(f, "{least:.0} to {most:.0}")
    }
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

/// Times of the newest page, of joining, and of 10,000 messages in pages, of servers that keep little
/// and much.
fn reading(servers: &[(&str, &Server)]) {
    const PAGES: usize = 501;
    const JOINS: usize = 101;
    let mut readers: Vec<Client> = servers.iter().map(|(_, server)| populate(server)).collect();
    for room in ["#short", "#long"] {
        let pages = in_turn(&mut readers, PAGES, |_, reader| {
            let begun = Instant::now();
            reader.send("/history", &format!("{room} 20")).expect("it listens");
            until(reader, "end of history");
            begun.elapsed()
        });
        report(&format!("newest page of 20 of {room}"), servers, &pages);
    }
    for last in ["", " 20"] {
        let joins = in_turn(&mut readers, JOINS, |which, _| {
            let mut newcomer = connect(servers[which].1, "newcomer");
            let begun = Instant::now();
            newcomer.send("/join", &format!("#long{last}")).expect("it listens");
            until(&mut newcomer, if last.is_empty() { "" } else { "end of history" });
            let taken = begun.elapsed();
            newcomer.close().expect("it listens");
            taken
        });
        report(&format!("joining #long{last}"), servers, &joins);
    }
    let mut count = 0;
    let all = in_turn(&mut readers, ROUNDS, |_, reader| {
        let begun = Instant::now();
        count = read_again(reader);
        begun.elapsed()
    });
    report(&format!("{count} messages in pages of 256"), servers, &all);
}

/// Rooms of 1,000 and of 10,000 messages, all of which are on the disk; a member of both.
fn populate(server: &Server) -> Client {
    let (writer, mut reader) = (connect(server, "writer"), connect(server, "reader"));
    for (room, count) in [("#short", 1_000), ("#long", 10_000)] {
        ask(&mut reader, "/join", room);
        writer.send("/join", room).expect("it listens");
        for number in 0..count {
            let text = format!("message {number} {}", "x".repeat(64));
            writer.send(room, &text).expect("it listens");
            reader.recv().expect("a member gets it");
        }
    }
    ask(&mut reader, "/sync", "");
    reader
}

fn connect(server: &Server, name: &str) -> Client {
    Client::connect(&*server.address, name).expect("the server takes it")
}

/// The medians of what is measured so often at each, one after the other.
fn in_turn(
    readers: &mut [Client],
    count: usize,
    mut measure: impl FnMut(usize, &mut Client) -> Duration,
) -> Vec<Duration> {
    let mut all = vec![Vec::with_capacity(count); readers.len()];
    for _ in 0..count {
        for (which, reader) in readers.iter_mut().enumerate() {
            all[which].push(measure(which, reader));
        }
    }
    all.iter_mut()
        .map(|times| {
            times.sort_unstable();
            times[count / 2]
        })
        .collect()
}

fn report(what: &str, servers: &[(&str, &Server)], medians: &[Duration]) {
    print!("  {what}:");
    for ((name, _), median) in servers.iter().zip(medians) {
        print!(" {name} {median:.1?},");
    }
    println!(" ratio {:.2}", medians[0].as_secs_f64() / medians[1].as_secs_f64());
}

/// Reads a room from its beginning; how many messages there are.
fn read_again(reader: &mut Client) -> usize {
    let (mut since, mut count, mut epoch) = (0, 0, "0".to_owned());
    loop {
        reader.send("/history", &format!("#long 256 since {since} {epoch}")).expect("it listens");
        let head = until(reader, "history ");
        let value = |key: &str| {
            let key = format!(" {key}=");
            let from = head.find(&key).map_or(head.len(), |at| at + key.len());
            head[from..].split(' ').next().unwrap_or_default().to_owned()
        };
        epoch = value("epoch");
        count += value("count").parse::<usize>().unwrap_or(0);
        let last = value("ids");
        since = last.rsplit([',', '-']).next().and_then(|id| id.parse().ok()).unwrap_or(since);
        until(reader, "end of history");
        if value("more") != "true" {
            return count;
        }
    }
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

/// The latency of those who chat, alone and while a thousand a second try to log in.
fn logins() {
    let data = Data::new("history-logins");
    data.make_accounts();
    let server = data.server_with(&["--max-errors", "1000000000"]);
    println!("pairs, {RATE}/s when due, alone and while {LOGINS} logins a second arrive:");
    let floods: [(&str, Option<Work>); 3] =
        [("alone", None), ("wrong ones", Some(guess)), ("right ones", Some(log_in))];
    let mut rounds = vec![(Rounds::default(), Vec::new()); floods.len()];
    for _ in 0..SHORT_ROUNDS {
        for ((_, work), (rounds, rates)) in floods.iter().zip(&mut rounds) {
            let flood = work.map(|work| Flood::start(&server.address, work));
            rounds.add(&chat(&server));
            rates.extend(flood.map(Flood::stop));
            wait_for_a_login(&server.address);
        }
    }
    for ((what, _), (rounds, rates)) in floods.iter().zip(&rounds) {
        println!("  {what}: {rounds}");
        if let [.., last] = &rates[..] {
            println!("    {last}");
        }
    }
}

type Work = fn(&str, &Count);

#[derive(Default)]
struct Count {
    is_over: AtomicBool,
    tried: AtomicU64,
    done: AtomicU64,
}

impl Count {
    /// The numbers of the logins, each when it is due.
    fn due(&self) -> impl Iterator<Item = u32> {
        let begun = Instant::now();
        (0u32..).take_while(move |&number| {
            let due = begun + Duration::from_micros(1_000_000 / LOGINS) * number;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.tried.fetch_add(1, Ordering::Relaxed);
            !self.is_over.load(Ordering::Relaxed)
        })
    }
}

/// Others who log in, on the generator's core.
struct Flood {
    count: Arc<Count>,
    begun: Instant,
    thread: Option<thread::JoinHandle<()>>,
}

impl Flood {
    fn start(address: &str, work: Work) -> Self {
        let (count, address) = (Arc::new(Count::default()), address.to_owned());
        let shared = Arc::clone(&count);
        let thread = thread::spawn(move || {
            support::keep_to_core(1);
            work(&address, &shared);
        });
        Flood { count, begun: Instant::now(), thread: Some(thread) }
    }

    /// How many logins a second there were.
    fn stop(mut self) -> String {
        let seconds = self.begun.elapsed().as_secs_f64();
        let rate = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64 / seconds;
        let said = format!("{:.0} a second, of which {:.0} succeed", rate(&self.count.tried), {
            rate(&self.count.done)
        });
        self.count.is_over.store(true, Ordering::Relaxed);
        self.thread.take().map(thread::JoinHandle::join);
        said
    }
}

/// Fifty connections of one address try passwords.
fn guess(address: &str, count: &Count) {
    let mut peers: Vec<TcpStream> = (0..50)
        .map(|number| {
            let mut peer = TcpStream::connect(address).expect("the server listens");
            writeln!(peer, "guesser{number}").expect("it reads");
            peer.set_nonblocking(true).expect("a socket");
            peer
        })
        .collect();
    let mut buffer = [0; 64 * 1024];
    for number in count.due() {
        let peer = &mut peers[number as usize % 50];
        while matches!(peer.read(&mut buffer), Ok(1..)) {}
        let object = chatproto::Message::new("", "", "/login", format!("alice guess-{number}"));
        // whoever is not read any more waits
        let _ = peer.write_all(format!("{}\n", object.to_json()).as_bytes());
    }
}

/// Owners of accounts, each of whom connects from an address of its own, logs in, and leaves after a
/// second. Linux has the whole loopback network; elsewhere all come from one address.
fn log_in(address: &str, count: &Count) {
    let server: SocketAddr = address.parse().expect("an address");
    let login = chatproto::Message::new("", "", "/login", format!("\"{PASSWORD}\"")).to_json();
    let mut peers: VecDeque<TcpStream> = VecDeque::new();
    let mut buffer = vec![0; 64 * 1024];
    for number in count.due() {
        let [_, _, high, low] = number.to_be_bytes();
        let source = Ipv4Addr::new(127, 1, high, low);
        let mut peer = connect_from(source, server).expect("the server listens");
        let name = u64::from(number) % ACCOUNTS;
        write!(peer, "user{name}\n{login}\n").expect("it reads");
        peers.push_back(peer);
        if peers.len() > LOGINS as usize {
            let mut oldest = peers.pop_front().expect("there are many");
            oldest.set_nonblocking(true).expect("a socket");
            let read = oldest.read(&mut buffer).unwrap_or(0);
            if String::from_utf8_lossy(&buffer[..read]).contains("You are logged in") {
                count.done.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Until the logins that wait are done: they are in one queue.
fn wait_for_a_login(address: &str) {
    let login = chatproto::Message::new("", "", "/login", format!("\"{PASSWORD}\"")).to_json();
    let source = Ipv4Addr::new(127, 2, 0, 1);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let server = address.parse().expect("an address");
        let mut peer = connect_from(source, server).expect("the server listens");
        write!(peer, "user0\n{login}\n").expect("it reads");
        let mut told = String::new();
        while !told.contains("You are logged in") && !told.contains('❌') {
            let read = peer.read(&mut buffer).expect("the server answers");
            told.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        if told.contains("You are logged in") {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn connect_from(source: Ipv4Addr, server: SocketAddr) -> io::Result<TcpStream> {
    #[cfg(target_os = "linux")]
    {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((source, 0)).into())?;
        socket.connect(&server.into())?;
        Ok(socket.into())
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = source;
        TcpStream::connect(server)
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

    /// Accounts that all have one password, whose hash is computed once.
    fn make_accounts(&self) {
        let mut command = support::on_core(0);
        command.args(["account", "add", "user0", "--data"]).arg(self.path());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
        writeln!(child.stdin.take().expect("it is piped"), "{PASSWORD}").expect("it reads");
        assert!(child.wait().is_ok_and(|status| status.success()), "an account must be made");
        let sql = "INSERT INTO account (name, key, hash, role, created_ms, changed_ms) \
                   SELECT ?1, ?1, hash, role, created_ms, changed_ms FROM account WHERE name = 'user0'";
        let db = self.open();
        for number in 1..ACCOUNTS {
            db.execute(sql, [format!("user{number}")]).expect("room on the disk");
        }
    }

    /// How many messages are kept, as far as they are on the disk.
    fn messages(&self) -> u64 {
        let db = self.open();
        db.query_row("SELECT count(*) FROM message", [], |row| row.get::<_, i64>(0))
            .map_or(0, i64::unsigned_abs)
    }

    fn open(&self) -> rusqlite::Connection {
        let file = self.path().join("chatproto.db");
        rusqlite::Connection::open(file).expect("the program has made it")
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
