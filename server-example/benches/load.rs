//! What the load generator can do, and what it adds. `cargo bench -p server-example --bench load`.
//!
//! 1. **Its own latency**: the same echo is asked by a bare socket and by `load compare`, in turn. The
//!    difference is what the generator adds.
//! 2. **Its own speed**: a closed loop against a server, and the generator's processor time for each
//!    message, sent and received. It is steadier than messages a second on a machine that others use.
//! 3. **Its reach**: connections of one process.
//!
//! Where the machine has two cores or more and `taskset`, server and generator are on one each.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use chatproto::Message;
use hdrhistogram::Histogram;

use support::{Server, load, run};

/// How often everything is measured, of which the best counts.
const ROUNDS: usize = 5;
/// Round trips of a bare socket.
const TRIPS: usize = 10_000;
/// Messages a second of the generator for the same.
const RATE: u32 = 5_000;
const CONNECTIONS: u32 = 15_000;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return; // `cargo test --benches`: nothing is to be measured
    }
    let echo = echo();
    let mut best = [[f64::MAX; 3]; 2];
    println!("latency against an echo, p50, p90 and p99 in µs:");
    for round in 1..=ROUNDS {
        let bare = bare(echo);
        let ours = of_generator(echo);
        println!("  {round}: bare socket {}; load {}", shown(bare), shown(ours));
        for (best, now) in best.iter_mut().zip([bare, ours]) {
            *best = std::array::from_fn(|at| best[at].min(now[at]));
        }
    }
    let [bare, ours] = best;
    println!("  best: load adds {}", shown(std::array::from_fn(|at| ours[at] - bare[at])));

    let server = Server::start(&["--data", "none"]);
    println!("closed loop, 100 connections, 32 in flight each:");
    for round in 1..=ROUNDS {
        let run = run(&server.address, "clients = 100\nin_flight = 32", "3s");
        let rate = run["delivered_per_second"].as_f64().unwrap_or_default();
        let cpu = run["generator_cpu_seconds"].as_f64().unwrap_or_default();
        let seconds = run["seconds"].as_f64().unwrap_or_default();
        let each = cpu * 1e6 / (rate * seconds);
        println!(
            "  {round}: {:.2} M messages/s; the generator takes {each:.3} µs of one core for each, \
             which is {:.2} M/s",
            rate / 1e6,
            1.0 / each
        );
    }
    let until = CONNECTIONS.to_string();
    let options =
        ["ramp", "--fast", "--batch", "500", "--until", &until, "--server", &server.address];
    let report = load(&options);
    let run = &report["runs"][0];
    println!(
        "{} connections of {} process in {:.1} s, the server's memory {:.0} bytes each",
        report["ramp"]["most"],
        report["ramp"]["processes"],
        run["seconds"].as_f64().unwrap_or_default(),
        server.growth() / f64::from(CONNECTIONS)
    );
}

fn shown(latencies: [f64; 3]) -> String {
    latencies.map(|us| format!("{us:.1}")).join(", ")
}

/// A program that welcomes whoever comes, and says back whatever they say.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            thread::spawn(move || {
                let welcome = Message::new("SERVER", "0.0.0.0", "you", "Welcome, you!").to_json();
                let mut buffer = [0; 64 * 1024];
                client.set_nodelay(true)?;
                let _name = client.read(&mut buffer)?;
                client.write_all(format!("{welcome}\n").as_bytes())?;
                loop {
                    let length = client.read(&mut buffer)?;
                    if length == 0 {
                        return std::io::Result::Ok(());
                    }
                    client.write_all(&buffer[..length])?;
                }
            });
        }
    });
    address
}

/// Round trips of one message at a time over a bare socket, at the generator's rate.
fn bare(echo: SocketAddr) -> [f64; 3] {
    let mut stream = TcpStream::connect(echo).expect("the echo listens");
    stream.set_nodelay(true).expect("a socket");
    stream.write_all(b"bare\n").expect("the echo reads");
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    let mut line = String::new();
    reader.read_line(&mut line).expect("a welcome");
    let object = Message::new("bare", "127.0.0.1", "bare", "x".repeat(64)).to_json() + "\n";
    let mut latencies =
        Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).expect("three digits");
    let begun = Instant::now();
    for number in 0..TRIPS {
        let due = begun + Duration::from_secs(1) * number as u32 / RATE;
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        let sent = Instant::now();
        stream.write_all(object.as_bytes()).expect("the echo reads");
        line.clear();
        reader.read_line(&mut line).expect("an echo");
        latencies.saturating_record(sent.elapsed().as_nanos() as u64);
    }
    [0.5, 0.9, 0.99].map(|part| latencies.value_at_quantile(part) as f64 / 1e3)
}

/// The same of the generator.
fn of_generator(echo: SocketAddr) -> [f64; 3] {
    let scenario = format!("clients = 2\nto = \"self\"\nrate = {RATE}");
    let run = run(&echo.to_string(), &scenario, "2s");
    ["p50_us", "p90_us", "p99_us"].map(|name| run["latency"][name].as_f64().unwrap_or(f64::NAN))
}
