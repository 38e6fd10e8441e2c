//! Requests that open a WebSocket: which of them do, and that every byte goes with the connection.

mod common;

use std::io::{Read, Write};
use std::time::Instant;

use common::{Certificate, Http, KEY_ANSWER, PATIENCE, request, upgrade, upgrade_with};
use server_example_http::Handover;

fn upgrade_at(path: &str) -> String {
    request(&upgrade(path).iter().map(String::as_str).collect::<Vec<_>>())
}

/// The bytes that the peer has sent, up to this many.
fn received(handover: &mut Handover, count: usize) -> Vec<u8> {
    let mut bytes = handover.received.to_vec();
    let begin = bytes.len();
    bytes.resize(count.max(begin), 0);
    handover.socket.read_exact(&mut bytes[begin..]).expect("the rest");
    bytes
}

#[test]
fn a_websocket_is_handed_over_with_its_name() {
    let http = Http::start();
    for (path, name) in [
        ("/ws?name=alice", Some("alice")),
        ("/ws?x=1&name=J%C3%BCrgen+B", Some("Jürgen B")),
        ("/ws?name=", Some("")),
        ("/ws", None),
    ] {
        let mut client = http.connect();
        client.send(upgrade_at(path));
        let response = client.response();
        assert_eq!(response.status, 101, "{path}");
        assert_eq!(response.header("sec-websocket-accept"), Some(KEY_ANSWER));
        assert_eq!(response.header("upgrade"), Some("websocket"));
        assert_eq!(response.header("connection"), Some("upgrade"));
        assert_eq!(response.header("sec-websocket-protocol"), None);
        assert_eq!(response.header("content-length"), None);
        let mut handover = http.adopted();
        assert_eq!(handover.name.as_deref(), name);
        assert_eq!(handover.address.to_string(), "127.0.0.1");
        assert!(handover.tls.is_none() && handover.unsent.is_empty());
        client.send("ping");
        assert_eq!(received(&mut handover, 4), b"ping");
        handover.socket.write_all(b"pong").unwrap();
        assert_eq!(client.bytes(4), b"pong");
    }
}

#[test]
fn a_listener_that_stops_opens_none_and_says_so() {
    let (first, second) = (&upgrade_at("/ws")[..20], &upgrade_at("/ws")[20..]);
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE, "no answer ever came in time");
        let http = Http::start();
        let mut client = http.connect();
        client.send(first);
        http.control.stop();
        let mut answer = Vec::new();
        // the connection may be over: a listener that stops waits a moment only
        let sent = client.stream.write_all(second.as_bytes());
        let _ = sent.and_then(|()| client.stream.read_to_end(&mut answer));
        let answer = String::from_utf8(answer).unwrap();
        if !answer.is_empty() {
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            assert!(answer.contains("connection: close\r\n"), "{answer}");
            assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
            return;
        }
    }
}

#[test]
fn only_a_valid_request_opens_one() {
    let http = Http::start();
    for (line, status, named) in [
        ("Upgrade:", 426, "ws://"),
        ("Upgrade: h2c", 426, "ws://"),
        ("Connection:", 426, "ws://"),
        ("Connection: keep-alive", 426, "ws://"),
        ("Sec-WebSocket-Version:", 426, "13"),
        ("Sec-WebSocket-Version: 8", 426, "13"),
        ("Sec-WebSocket-Version: 13, 8", 426, "13"),
        ("Sec-WebSocket-Key:", 400, "Key"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ", 400, "Key"),
        ("Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==", 400, "Key"),
        ("Content-Length: 1", 400, "body"),
        ("Transfer-Encoding: chunked", 400, "body"),
        ("Origin: http://evil.example", 403, "--http-origin"),
        ("Origin: https://localhost", 403, "--http-origin"),
        ("Origin: null", 403, "--http-origin"),
        ("Host: evil.example", 421, "--http-host"),
    ] {
        let mut client = http.connect();
        client.send(upgrade_with(line));
        let response = client.response();
        assert_eq!(response.status, status, "{line}");
        assert!(response.body.contains(named), "{line}: {}", response.body);
        if status == 426 {
            assert_eq!(response.header("sec-websocket-version"), Some("13"), "{line}");
            assert_eq!(response.header("upgrade"), Some("websocket"), "{line}");
        }
    }
    let status = |path: &str| {
        let mut client = http.connect();
        client.send(upgrade_at(path));
        client.response().status
    };
    assert_eq!(status("/ws?name=%ff"), 400);
    assert_eq!(status("/ws?name=a&name=b"), 400);
    assert_eq!(status("/"), 200);
    let mut client = http.connect();
    let post = client.request(&["POST /ws HTTP/1.1", "Host: localhost"]);
    assert_eq!((post.status, post.header("allow")), (405, Some("GET,HEAD")));
    assert_eq!(client.get("/ws").status, 426);
}

#[test]
fn pages_of_this_server_and_named_origins_may_open_one() {
    let http = Http::with(|setup| setup.origins = vec!["https://pages.example".parse().unwrap()]);
    for origin in ["http://localhost", "https://pages.example"] {
        let mut client = http.connect();
        client.send(upgrade_with(&format!("Origin: {origin}")));
        assert_eq!(client.response().status, 101, "{origin}");
        http.adopted();
    }
    http.control.set_names(Vec::new(), Vec::new());
    let mut client = http.connect();
    client.send(upgrade_with("Origin: https://pages.example"));
    assert_eq!(client.response().status, 403);
}

#[test]
fn the_sub_protocol_is_chosen_if_it_is_offered() {
    let http = Http::start();
    for (offer, chosen) in
        [("chatproto", Some("chatproto")), ("mqtt, chatproto", Some("chatproto")), ("mqtt", None)]
    {
        let mut client = http.connect();
        client.send(upgrade_with(&format!("Sec-WebSocket-Protocol: {offer}")));
        let response = client.response();
        assert_eq!((response.status, response.header("sec-websocket-protocol")), (101, chosen));
        assert_eq!(response.header("sec-websocket-extensions"), None);
        http.adopted();
    }
}

#[test]
fn bytes_behind_the_request_go_with_the_connection() {
    let http = Http::start();
    for length in [1, 10, 100, 4_000, 20_000, 100_000] {
        let frames: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let mut client = http.connect();
        client.send([upgrade_at("/ws").as_bytes(), &frames].concat());
        assert_eq!(client.response().status, 101);
        let mut handover = http.adopted();
        assert!(received(&mut handover, length) == frames, "{length} bytes");
    }
}

#[test]
fn a_request_behind_an_upgrade_is_never_answered() {
    let http = Http::start();
    let smuggled = request(&["GET / HTTP/1.1", "Host: localhost"]);
    // it belongs to the WebSocket
    let mut client = http.connect();
    client.send(upgrade_at("/ws") + &smuggled);
    assert_eq!(client.response().status, 101);
    let mut handover = http.adopted();
    assert_eq!(received(&mut handover, smuggled.len()), smuggled.as_bytes());
    drop(handover);
    assert!(client.is_ended());
    // or the connection ends with the refusal
    for line in ["Sec-WebSocket-Version: 8", "Origin: http://evil.example", "Content-Length: 40"] {
        let mut client = http.connect();
        client.send(upgrade_with(line) + &smuggled);
        let response = client.response();
        assert!(response.status >= 400, "{line}");
        assert!(client.is_ended(), "{line}");
    }
}

#[test]
fn requests_before_the_upgrade_are_answered_first() {
    let http = Http::start();
    let mut client = http.connect();
    let before = request(&["GET / HTTP/1.1", "Host: localhost"]).repeat(3);
    client.send(before + &upgrade_at("/ws") + "frame");
    assert_eq!([(); 4].map(|()| client.response().status), [200, 200, 200, 101]);
    assert_eq!(received(&mut http.adopted(), 5), b"frame");
}

#[test]
fn tls_goes_with_the_connection() {
    let certificate = Certificate::new(&["localhost"]);
    let http = Http::with(|setup| setup.tls = Some(certificate.tls(false)));
    let mut client = certificate.connect(http.address, "localhost", &["http/1.1"]);
    client.send(upgrade_at("/ws?name=a") + "early");
    assert_eq!(client.response().status, 101);
    let mut handover = http.adopted();
    let mut tls = handover.tls.take().expect("TLS");
    client.send("late");
    let mut stream = rustls::Stream::new(&mut tls, &mut handover.socket);
    let mut bytes = handover.received.to_vec();
    let begin = bytes.len();
    bytes.resize(9, 0);
    stream.read_exact(&mut bytes[begin..]).unwrap();
    assert_eq!(bytes, b"earlylate");
    stream.write_all(b"frame").unwrap();
    assert_eq!(client.bytes(5), b"frame");
}

#[test]
fn a_websocket_that_nobody_takes_over_is_closed() {
    let http = Http::with(|setup| {
        setup.adopt = Some(std::sync::Arc::new(|_| Err("the chat is full".to_owned())));
    });
    let mut client = http.connect();
    client.send(upgrade_at("/ws"));
    assert_eq!(client.response().status, 101);
    assert!(client.is_ended());
    // and without a chat there is no path for it
    let http = Http::with(|setup| setup.adopt = None);
    assert_eq!(http.connect().get("/ws").status, 404);
}
