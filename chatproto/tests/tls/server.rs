//! One port for both, or for TLS only; certificates that are replaced.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use chatproto::hub::Event;
use chatproto::metrics::Transport;
use chatproto::tls::ClientTls;
use chatproto::{Client, ClientError};

use crate::certs::{Authority, HOST, Own};
use crate::peer::{Peer, connect};
use crate::support::{Raw, TestServer, eventually, limits};

#[test]
fn one_port_speaks_text_and_tls() {
    let authority = Authority::new();
    let server = TestServer::with(limits(), |builder| builder.tls(authority.server()));
    let mut in_text = Raw::join(server.address, "text");
    let mut over_tls =
        Client::builder("secret").tls(authority.client()).connect(server.address).unwrap();
    over_tls.send("text", "hello").unwrap();
    assert_eq!(in_text.read().msg, "hello");
    in_text.send("secret", "and back");
    assert_eq!(over_tls.recv().unwrap().msg, "and back");

    over_tls.send("/whoami", "").unwrap();
    let answer = over_tls.recv().unwrap().msg;
    assert!(answer.starts_with("You are secret from 127.0.0.1, a user, over TLS."), "{answer}");
    in_text.send("/whoami", "");
    let answer = in_text.read().msg;
    assert!(answer.starts_with("You are text from 127.0.0.1, a user."), "{answer}");
    over_tls.close().unwrap();
    eventually("it is gone", || server.handle.online() == 1);
}

#[test]
fn the_host_that_is_connected_to_is_the_name_that_is_expected() {
    let authority = Authority::new();
    let own = authority.sign(|params| {
        params.subject_alt_names.push(rcgen::SanType::DnsName("localhost".try_into().unwrap()));
        params.subject_alt_names.push(rcgen::SanType::IpAddress([127, 0, 0, 1].into()));
    });
    let server = TestServer::with(limits(), |builder| builder.tls(own.server()));
    let port = server.address.port();
    let tls = authority.nameless_client();
    Client::builder("a").tls(tls.clone()).connect(("localhost", port)).unwrap();
    Client::builder("b").tls(tls.clone()).connect(format!("localhost:{port}")).unwrap();
    Client::builder("c").tls(tls.clone()).connect(server.address).unwrap();
    Client::builder("d").tls(tls).connect(format!("127.0.0.1:{port}").as_str()).unwrap();
}

#[test]
fn who_speaks_text_where_there_is_tls_only_is_told_so() {
    let authority = Authority::new();
    let build = |builder: chatproto::ServerBuilder| builder.tls(authority.server()).tls_only(true);
    let server = TestServer::with(limits(), build);
    match Client::connect(server.address, "alice").unwrap_err() {
        ClientError::Refused(message) => assert_eq!(
            message.msg,
            "⛔ Error: this server speaks TLS only. Connect again with TLS."
        ),
        other => panic!("{other}"),
    }
    // the name is not taken, and what stands behind a name is not looked at
    let mut raw = Raw::connect(server.address);
    raw.write(b"alice\n{\"from\":");
    assert_eq!(raw.read_to_end().len(), 1);
    Client::builder("alice").tls(authority.client()).connect(server.address).unwrap();

    let mut http = connect(server.address);
    http.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    http.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[test]
fn tls_may_have_a_port_of_its_own() {
    let authority = Authority::new();
    let server = chatproto::Server::builder()
        .limits(limits())
        .tls(authority.server())
        .tls_listen(([127, 0, 0, 1], 0))
        .bind(([127, 0, 0, 1], 0))
        .unwrap();
    let (text, tls, handle) = (server.local_addr(), server.tls_addr().unwrap(), server.handle());
    let running = thread::spawn(move || server.run());
    let mut raw = Raw::join(text, "text");
    let mut client = Client::builder("secret").tls(authority.client()).connect(tls).unwrap();
    client.send("text", "hello").unwrap();
    assert_eq!(raw.read().msg, "hello");
    assert!(Client::builder("a").tls(authority.client()).connect(text).is_err());
    assert!(matches!(Client::connect(tls, "a").unwrap_err(), ClientError::Refused(_)));
    // the certificate is replaced there too
    let other = Own::self_signed().server();
    assert!(handle.replace_tls(&other));
    client.send("/time", "").unwrap();
    client.recv().unwrap();
    let pinned = ClientTls::fingerprint(other.fingerprint());
    Client::builder("new").tls(pinned).connect(tls).unwrap();
    handle.stop();
    running.join().unwrap().unwrap();
}

#[test]
fn a_server_without_tls_says_so_to_those_who_speak_it() {
    let authority = Authority::new();
    let server = TestServer::start();
    let error = Client::builder("alice").tls(authority.client()).connect(server.address);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("offers none on this port"), "{error}");
    assert!(!server.handle.replace_tls(&authority.server()), "there is nothing to replace");
}

#[test]
fn who_is_refused_at_once_is_told_so_in_what_it_speaks() {
    let authority = Authority::new();
    let mut limits = limits();
    limits.connections = 1;
    let server = TestServer::with(limits, |builder| builder.tls(authority.server()));
    let _first = Raw::join(server.address, "first");
    match Client::builder("b").tls(authority.client()).connect(server.address).unwrap_err() {
        ClientError::Refused(message) => {
            assert!(message.msg.contains("the server is full"), "{}", message.msg);
        }
        other => panic!("{other}"),
    }
    // also one who says nothing
    let mut silent = Raw::connect(server.address);
    assert!(silent.read().msg.contains("the server is full"));
    assert_eq!(silent.read_to_end(), []);
}

#[test]
fn a_silent_peer_is_told_in_text_that_its_time_is_over() {
    let authority = Authority::new();
    let mut limits = limits();
    limits.registration = std::time::Duration::from_millis(100);
    let server = TestServer::with(limits, |builder| builder.tls(authority.server()));
    let mut silent = Raw::connect(server.address);
    assert!(silent.read().msg.contains("no name came within"));
    assert_eq!(silent.read_to_end(), []);
}

#[test]
fn another_certificate_is_for_those_who_come_and_disturbs_nobody() {
    let (old, new) = (Own::self_signed(), Own::self_signed());
    let pinned = |own: &Own| ClientTls::fingerprint(own.server().fingerprint());
    let failures = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&failures);
    let server = TestServer::with(limits(), |builder| {
        builder.tls(old.server()).observer(move |event: &Event| {
            if let Event::HandshakeFailed { reason, .. } = event {
                seen.lock().unwrap().push(reason.clone());
            }
        })
    });
    let address = server.address;
    let mut veteran = Client::builder("veteran").tls(pinned(&old)).connect(address).unwrap();

    let is_over = Arc::new(AtomicBool::new(false));
    let crowd: Vec<_> = (0..4)
        .map(|number| {
            let is_over = Arc::clone(&is_over);
            let any = [pinned(&old), pinned(&new)];
            thread::spawn(move || {
                let (mut served, mut turn) = ([0, 0], 0);
                while !is_over.load(Ordering::SeqCst) || served.contains(&0) {
                    turn += 1;
                    let name = format!("n{number}-{turn}");
                    let which = turn % 2;
                    // either the certificate is the expected one, or that is what is wrong
                    match Client::builder(name).tls(any[which].clone()).connect(address) {
                        Ok(_) => served[which] += 1,
                        Err(error) => {
                            assert!(error.to_string().contains("another fingerprint"), "{error}");
                        }
                    }
                }
            })
        })
        .collect();
    for turn in 0..200 {
        let own = if turn % 2 == 0 { &new } else { &old };
        assert!(server.handle.replace_tls(&own.server()));
        veteran.send("/time", "").unwrap();
        assert!(veteran.recv().unwrap().msg.starts_with("Server time"));
    }
    is_over.store(true, Ordering::SeqCst);
    // each of them has to see both
    while crowd.iter().any(|thread| !thread.is_finished()) {
        assert!(server.handle.replace_tls(&new.server()));
        thread::yield_now();
        assert!(server.handle.replace_tls(&old.server()));
        thread::yield_now();
    }
    for thread in crowd {
        thread.join().unwrap();
    }
    assert!(server.handle.replace_tls(&new.server()));
    Client::builder("late").tls(pinned(&new)).connect(address).unwrap();
    let failures = failures.lock().unwrap();
    let is_expected = |why: &String| why.contains("does not trust the server's certificate");
    assert!(failures.iter().all(is_expected), "{failures:?}");
}

#[test]
fn a_name_without_a_line_feed_and_objects_one_a_record() {
    let authority = Authority::new();
    let server = TestServer::with(limits(), |builder| builder.tls(authority.server()));
    let mut naive = Peer::connect(server.address, &authority);
    naive.write(b"naive");
    let welcome = naive.read_record();
    assert!(String::from_utf8(welcome).unwrap().contains("Welcome"), "{HOST}");
    let mut other = Peer::join(server.address, &authority, "other");
    for number in 0..20 {
        other.send("naive", &number.to_string());
    }
    for number in 0..20 {
        let record = String::from_utf8(naive.read_record()).unwrap();
        assert_eq!(record.matches("\"msg\"").count(), 1, "{record}");
        assert!(record.contains(&format!("\"{number}\"")), "{record}");
    }
}

#[test]
fn handshakes_and_users_are_counted_by_transport() {
    let authority = Authority::new();
    let server = TestServer::with(limits(), |builder| builder.tls(authority.server()));
    let in_text = Raw::join(server.address, "text");
    let over_tls =
        Client::builder("secret").tls(authority.client()).connect(server.address).unwrap();
    let mut broken = connect(server.address);
    // an invalid handshake
    broken.write_all(&[0x16, 3, 1, 0, 4, 1, 2, 3, 4]).unwrap();
    let _ = broken.read_to_end(&mut Vec::new());
    drop(broken);
    eventually("all are counted", || {
        let counts = server.handle.metrics().counts;
        (counts.tls_handshakes, counts.tls_failures) == (1, 1)
            && [counts.users, counts.connections].iter().all(|by| {
                by.get(Transport::Text) == 1 && by.get(Transport::Tls) == 1 && by.sum() == 2
            })
    });
    over_tls.close().unwrap();
    drop(in_text);
    eventually("none is left", || {
        let counts = server.handle.metrics().counts;
        (counts.users.sum(), counts.connections.sum()) == (0, 0)
    });
}
