//! The bounds of the listener in time and number, and its stop. Short limits make the tests quick. A
//! slow machine only makes them longer: each waits until the server has closed the connection.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use common::{Certificate, Client, Http, request};
use server_example_http::axum::Router;
use server_example_http::axum::routing::{get, post};
use server_example_http::{Bounds, Times};
use tokio::sync::Notify;

const SHORT: Duration = Duration::from_millis(100);

fn times(change: impl FnOnce(&mut Times)) -> Times {
    let mut times = Times::default();
    change(&mut times);
    times
}

/// A route whose handlers wait until the test releases them.
struct Waiting {
    release: Arc<Notify>,
    begun: (Sender<()>, Receiver<()>),
}

impl Waiting {
    fn new() -> Self {
        Waiting { release: Arc::new(Notify::new()), begun: mpsc::channel() }
    }

    fn routes(&self) -> Router {
        let (release, begun) = (Arc::clone(&self.release), self.begun.0.clone());
        let wait = async move || {
            begun.send(()).unwrap();
            release.notified().await;
            "done"
        };
        Router::new().route("/wait", get(wait))
    }

    /// Sends a request, and returns when its handler runs.
    fn request(&self, client: &mut Client<TcpStream>) {
        client.send(request(&["GET /wait HTTP/1.1", "Host: localhost"]));
        self.begun.1.recv_timeout(common::PATIENCE).expect("the handler runs");
    }
}

#[test]
fn a_connection_without_a_request_is_closed() {
    let certificate = Certificate::new(&["localhost"]);
    let http = Http::with(|setup| {
        setup.times = times(|times| times.first_head = SHORT);
        setup.tls = Some(certificate.tls(false));
    });
    for begin in [
        &b""[..],
        b"GET / HTTP/1.1\r\nHost: local",
        b"PRI * HTTP/2.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"\x16",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    ] {
        let mut client = http.connect();
        client.send(begin);
        while !client.is_ended() {}
    }
}

#[test]
fn bytes_do_not_keep_a_half_request_alive() {
    let http = Http::with(|setup| setup.times = times(|times| times.first_head = SHORT));
    let mut client = http.connect();
    client.send("GET / HTTP/1.1\r\nX: ");
    // one byte after another, until the server has closed the connection
    let begun = Instant::now();
    while client.stream.write_all(b"x").is_ok() {
        assert!(begun.elapsed() < common::PATIENCE, "the connection is open");
        client.stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let mut byte = [0];
        match client.stream.read(&mut byte) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
            Ok(_) => panic!("an answer to half a request"),
        }
    }
}

#[test]
fn a_later_request_and_the_pause_before_it_have_limits() {
    for change in
        [(|times: &mut Times| times.idle = SHORT) as fn(&mut Times), |times| times.head = SHORT]
    {
        let limits = times(change);
        let http = Http::with(|setup| setup.times = limits);
        let mut client = http.connect();
        assert_eq!(client.get("/").status, 200);
        if limits.head == SHORT {
            client.send("GET / HT");
        }
        assert!(client.is_ended());
    }
}

#[test]
fn a_slow_body_is_refused() {
    let routes = Router::new().route("/echo", post(async |text: String| text));
    let http = Http::with(|setup| {
        setup.times = times(|times| times.body = SHORT);
        setup.routes = routes;
    });
    let mut client = http.connect();
    client.send(request(&["POST /echo HTTP/1.1", "Host: localhost", "Content-Length: 5"]));
    client.send("hell");
    let response = client.response();
    assert_eq!(response.status, 400);
    assert!(response.body.contains("not complete within"), "{}", response.body);
    assert!(client.is_ended());
}

#[test]
fn a_response_that_nobody_reads_is_given_up() {
    let (sender, ended) = mpsc::channel();
    let routes = Router::new().route(
        "/large",
        get(async move || {
            sender.send(()).unwrap();
            "x".repeat(16 << 20)
        }),
    );
    let mut http = Http::with(|setup| {
        setup.times = times(|times| (times.stall, times.grace) = (SHORT, SHORT));
        setup.routes = routes;
    });
    let mut client = http.connect();
    client.send(request(&["GET /large HTTP/1.1", "Host: localhost"]));
    ended.recv_timeout(common::PATIENCE).expect("the handler runs");
    // the connection is closed in the middle, though nothing is read: its end is seen by writing
    let error = loop {
        if let Err(error) = client.stream.write_all(b"x") {
            break error;
        }
    };
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    http.end();
}

#[test]
fn half_open_requests_do_not_keep_others_out() {
    let bounds = Bounds { connections: 20, per_address: 1 };
    let http = Http::with(|setup| setup.bounds = bounds);
    let mut working = http.connect();
    assert_eq!(working.get("/").status, 200);
    let mut half_open: Vec<TcpStream> = Vec::new();
    for _ in 0..500 {
        let mut client = http.connect();
        client.send("GET / HTTP/1.1\r\n");
        half_open.push(client.stream);
    }
    // one among them is served at once
    assert_eq!(http.connect().get("/").status, 200);
    // and all but the last ones are closed
    for stream in half_open.drain(..400) {
        assert!(Client::new(stream).is_ended());
    }
}

#[test]
fn a_connection_with_work_is_not_closed_for_another() {
    let waiting = Waiting::new();
    let http = Http::with(|setup| {
        setup.bounds = Bounds { connections: 2, per_address: 1 };
        setup.routes = waiting.routes();
    });
    let mut clients = [http.connect(), http.connect()];
    for client in &mut clients {
        waiting.request(client);
    }
    // there is no room for a third one
    assert!(http.connect().is_ended());
    waiting.release.notify_waiters();
    for client in &mut clients {
        assert_eq!(client.response().body, "done");
    }
}

#[test]
fn a_stop_ends_idle_connections_and_lets_requests_finish() {
    let waiting = Waiting::new();
    let mut http = Http::with(|setup| {
        setup.routes = waiting.routes();
        // longer than the test takes
        setup.times = times(|times| times.grace = common::PATIENCE);
    });
    let (mut idle, mut half, mut working) = (http.connect(), http.connect(), http.connect());
    assert_eq!(idle.get("/").status, 200);
    half.send("GET / HT");
    waiting.request(&mut working);
    http.control.stop();
    assert!(idle.is_ended() && half.is_ended());
    waiting.release.notify_waiters();
    let response = working.response();
    assert_eq!((&*response.body, response.header("connection")), ("done", Some("close")));
    assert!(working.is_ended());
    http.end();
    assert!(TcpStream::connect(http.address).is_err());
}

#[test]
fn a_request_that_does_not_end_does_not_stop_the_stop() {
    let waiting = Waiting::new();
    let mut http = Http::with(|setup| {
        setup.routes = waiting.routes();
        setup.times = times(|times| times.grace = SHORT);
    });
    let mut client = http.connect();
    waiting.request(&mut client);
    http.end();
    assert!(client.is_ended());
}
