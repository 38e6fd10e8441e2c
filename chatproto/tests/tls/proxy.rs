//! TLS behind a PROXY header: the header is in clear, and the handshake follows it.

use std::io::{ErrorKind, Read, Write};

use crate::certs::Authority;
use crate::peer::{Peer, connect, handshake};
use crate::support::{Raw, TestServer, limits};

const HEADER: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 65432\r\n";

fn behind(authority: &Authority, is_tls_only: bool) -> TestServer {
    TestServer::with(limits(), |builder| {
        let networks = ["127.0.0.0/8".parse().unwrap()];
        builder.tls(authority.server()).tls_only(is_tls_only).proxy_from(networks)
    })
}

#[test]
fn a_handshake_follows_the_header() {
    let authority = Authority::new();
    for is_tls_only in [false, true] {
        let server = behind(&authority, is_tls_only);
        // in one segment with the first flight, and byte by byte
        for most in [usize::MAX, 1] {
            let mut tls = handshake(&authority);
            let mut first = HEADER.to_vec();
            tls.write_tls(&mut first).unwrap();
            let mut peer = Peer::with(server.address, tls);
            first
                .chunks(most.min(first.len()))
                .for_each(|part| peer.socket.write_all(part).unwrap());
            peer.write(b"alice\n");
            assert!(peer.read().msg.contains("Welcome, alice!"));
            peer.send("/whoami", "");
            let answer = peer.read().msg;
            assert!(
                answer.starts_with("You are alice from 192.0.2.7, a user, over TLS"),
                "{answer}"
            );
            drop(peer);
            crate::support::eventually("the name is free", || server.handle.online() == 0);
        }
    }
}

#[test]
fn text_may_follow_the_header_unless_there_is_tls_only() {
    let authority = Authority::new();
    let server = behind(&authority, false);
    let mut peer = Raw::connect(server.address);
    peer.write(&[HEADER, b"alice\n"].concat());
    assert!(peer.read().msg.contains("Welcome, alice!"));

    let server = behind(&authority, true);
    let mut peer = Raw::connect(server.address);
    peer.write(&[HEADER, b"alice\n"].concat());
    assert!(peer.read().msg.contains("this server speaks TLS only"));
    assert_eq!(peer.read_to_end(), []);
}

#[test]
fn a_handshake_without_a_header_is_not_answered() {
    let authority = Authority::new();
    let server = behind(&authority, false);
    let mut socket = connect(server.address);
    let mut hello = Vec::new();
    handshake(&authority).write_tls(&mut hello).unwrap();
    socket.write_all(&hello).unwrap();
    let mut answer = Vec::new();
    if let Err(error) = socket.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    assert_eq!(answer, b"");
}
