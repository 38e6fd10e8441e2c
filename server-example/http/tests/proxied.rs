//! Users behind load balancers: the address that a WebSocket is handed over with.

mod common;

use std::io::Write as _;

use common::{Http, request, upgrade};

const HEADER: &str = "PROXY TCP4 192.0.2.7 192.0.2.1 50000 8080\r\n";
/// Version 2, PROXY, TCP over IPv4, from 192.0.2.8.
const VERSION_2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x08\xc0\0\x02\x01\xc3\x50\x1f\x90";
/// Version 2, LOCAL.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

fn behind_a_balancer() -> Http {
    Http::with(|setup| setup.proxies = vec!["127.0.0.0/8".parse().unwrap()])
}

fn websocket(more: &[&str]) -> String {
    let mut lines = upgrade("/ws?name=alice");
    lines.extend(more.iter().map(|line| (*line).to_owned()));
    request(&lines.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_proxy_header_states_the_address() {
    let http = behind_a_balancer();
    for (header, address) in [
        (HEADER.as_bytes(), "192.0.2.7"),
        (VERSION_2, "192.0.2.8"),
        (LOCAL, "127.0.0.1"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (b"", "127.0.0.1"),
    ] {
        let mut client = http.connect();
        client.send([header, websocket(&[]).as_bytes()].concat());
        assert_eq!(client.response().status, 101, "{address}");
        assert_eq!(http.adopted().address.to_string(), address);
    }
}

#[test]
fn a_proxy_header_may_come_byte_by_byte() {
    let http = behind_a_balancer();
    for header in [HEADER.as_bytes(), VERSION_2] {
        let mut client = http.connect();
        for byte in header {
            client.stream.write_all(&[*byte]).unwrap();
        }
        client.send(websocket(&[]));
        assert_eq!(client.response().status, 101);
        assert!(http.adopted().address.to_string().starts_with("192.0.2."));
    }
}

#[test]
fn a_malformed_proxy_header_ends_the_connection() {
    let http = behind_a_balancer();
    for header in ["PROXY TCP4 192.0.2.7\r\n", "PROXY TCP9 1 2 3 4\r\n"] {
        let mut client = http.connect();
        client.send([header.as_bytes(), websocket(&[]).as_bytes()].concat());
        assert!(client.is_ended());
    }
}

#[test]
fn a_proxy_header_from_elsewhere_is_no_request() {
    let http = Http::start();
    let mut client = http.connect();
    client.send([HEADER.as_bytes(), websocket(&[]).as_bytes()].concat());
    assert_eq!(client.response().status, 400);
}

#[test]
fn a_header_of_the_request_states_the_address_of_a_balancers_user_only() {
    let lines = ["X-Forwarded-For: 203.0.113.9, 192.0.2.7"];
    for (http, address) in [(behind_a_balancer(), "192.0.2.7"), (Http::start(), "127.0.0.1")] {
        let mut client = http.connect();
        client.send(websocket(&lines));
        assert_eq!(client.response().status, 101);
        assert_eq!(http.adopted().address.to_string(), address);
    }
}
