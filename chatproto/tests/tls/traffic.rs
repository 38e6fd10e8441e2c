//! Messages over TLS: bursts in both directions, slow readers, ends.

use std::net::Shutdown;
use std::thread;

use chatproto::{Client, SlowReader};

use crate::certs::Authority;
use crate::peer::{self, Peer, config};
use crate::support::{PATIENCE, Raw, TestServer, eventually, limits, object};

/// Sends `count` messages, a hundred a write.
fn flood(sender: &mut Peer, to: &str, count: usize, text: &str) {
    let batch = object(to, text).repeat(100);
    for _ in 0..count / 100 {
        sender.write(batch.as_bytes());
    }
}

#[test]
fn everything_may_come_right_behind_the_handshake() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let authority = Authority::new();
        let server = TestServer::with(limits(), |builder| builder.tls(authority.server()));
        let mut reader = Peer::join(server.address, &authority, "reader");
        let config = config(&authority, &[version]);
        let name = rustls::pki_types::ServerName::try_from(crate::certs::HOST).unwrap();
        let tls = rustls::ClientConnection::new(config, name).unwrap();
        let mut hasty = Peer::with(server.address, tls);
        let mut bytes = b"hasty\n".to_vec();
        for number in 0..5000 {
            bytes.extend_from_slice(object("reader", &number.to_string()).as_bytes());
        }
        hasty.write(&bytes);
        hasty.finish();
        for number in 0..5000 {
            assert_eq!(reader.read().msg, number.to_string());
        }
        let welcome = hasty.read_to_end();
        assert_eq!(welcome.len(), 1, "{welcome:?}");
    }
}

#[test]
fn two_full_directions_do_not_block_each_other() {
    let authority = Authority::new();
    // nobody is too slow: that is another test's
    let mut limits = limits();
    limits.queue_bytes = 64 << 20;
    let server = TestServer::with(limits, |builder| builder.tls(authority.server()));
    let connect = |name: &str| {
        Client::builder(name).tls(authority.client()).connect(server.address).unwrap().split()
    };
    let ((to_bob, mut at_alice), (to_alice, mut at_bob)) = (connect("alice"), connect("bob"));
    let text = "x".repeat(60_000);
    let count = 400;
    let send = |sender: chatproto::ClientSender, to: &'static str| {
        let text = text.clone();
        thread::spawn(move || {
            for _ in 0..count {
                sender.send(to, &text).unwrap();
            }
            sender
        })
    };
    let senders = [send(to_bob, "bob"), send(to_alice, "alice")];
    let receive = |receiver: &mut chatproto::ClientReceiver| {
        for _ in 0..count {
            assert_eq!(receiver.recv().unwrap().msg.len(), text.len());
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| receive(&mut at_alice));
        scope.spawn(|| receive(&mut at_bob));
    });
    for sender in senders {
        sender.join().unwrap().finish().unwrap();
    }
    assert!(at_alice.next().is_none());
    assert!(at_bob.next().is_none());
}

#[test]
fn a_peer_that_stops_reading_harms_nobody_and_is_told_what_it_lost() {
    let authority = Authority::new();
    let mut limits = limits();
    limits.linger = PATIENCE;
    let server = TestServer::with(limits, |builder| builder.tls(authority.server()));
    let mut stalled = Peer::join(server.address, &authority, "stalled");
    let mut sender = Peer::join(server.address, &authority, "sender");
    let mut bystander = Peer::join(server.address, &authority, "bystander");
    let count = 20_000;
    flood(&mut sender, "stalled", count, &"x".repeat(1000));
    sender.send("bystander", "still here?");
    assert_eq!(bystander.read().msg, "still here?");

    let got = stalled.read_to_end();
    let (last, texts) = got.split_last().unwrap();
    assert!(texts.iter().all(|message| message.msg.len() == 1000));
    let missed: usize = last
        .msg
        .split_whitespace()
        .find_map(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("no count in {:?}", last.msg));
    let told = sender.fence();
    assert_eq!(texts.len() + missed + told.len(), count, "nothing is lost silently");
    assert!(told.iter().all(|message| message.msg.contains("not found")));
    assert!(last.msg.starts_with('⛔'));
    eventually("it is gone", || server.handle.online() == 2);
}

#[test]
fn a_peer_that_pauses_may_lose_the_oldest_and_keeps_its_connection() {
    let authority = Authority::new();
    let server = TestServer::with(limits(), |builder| {
        builder.tls(authority.server()).slow_reader(SlowReader::DropOldest)
    });
    let mut stalled = Peer::join(server.address, &authority, "stalled");
    let mut sender = Peer::join(server.address, &authority, "sender");
    let count = 20_000;
    for number in 0..count {
        let text = format!("{number:06}{}", "x".repeat(1000));
        sender.write(object("stalled", &text).as_bytes());
    }
    assert_eq!(sender.fence(), []);
    let (mut got, mut missed, mut expected) = (0, 0, 0);
    while expected < count {
        let message = stalled.read();
        if message.from.name == "SERVER" {
            let words = message.msg.split([' ', ';']);
            let dropped: usize = words.filter_map(|word| word.parse().ok()).next().unwrap();
            missed += dropped;
            expected += dropped;
        } else {
            let number: usize = message.msg[..6].parse().unwrap();
            assert_eq!(number, expected, "the count stands where the gap is");
            got += 1;
            expected += 1;
        }
    }
    assert!(missed > 0, "the queue was never full");
    assert_eq!(got + missed, count);
    assert_eq!(stalled.fence(), []);
}

#[test]
fn the_last_of_what_was_encrypted_reaches_a_reader_that_was_slow() {
    let authority = Authority::new();
    let mut limits = limits();
    limits.queue_bytes = 64 << 20;
    limits.queue_messages = usize::MAX;
    let server = TestServer::with(limits, |builder| builder.tls(authority.server()));
    let mut reader = Peer::join(server.address, &authority, "reader");
    let mut sender = Peer::join(server.address, &authority, "sender");
    // more than the socket holds; it has said that it will send nothing more before it reads
    reader.finish();
    let count = 10_000;
    flood(&mut sender, "reader", count, &"x".repeat(1000));
    let refused = sender.fence().len();
    let got = reader.read_to_end().len();
    assert_eq!(got + refused, count);
}

#[test]
fn an_end_without_a_close_notify_is_an_end() {
    let authority = Authority::new();
    let server = TestServer::with(limits(), |builder| builder.tls(authority.server()));
    let mut reader = Raw::join(server.address, "reader");
    let mut abrupt = Peer::join(server.address, &authority, "abrupt");
    abrupt.send("reader", "last words");
    abrupt.socket.shutdown(Shutdown::Write).unwrap();
    assert_eq!(reader.read().msg, "last words");
    // and the server's own is one by the rules
    assert_eq!(abrupt.read_to_end(), []);
    eventually("it is gone", || server.handle.online() == 1);
}

#[test]
fn keys_are_changed_in_the_middle() {
    let authority = Authority::new();
    let server = TestServer::with(limits(), |builder| builder.tls(authority.server()));
    let mut peer = Peer::join(server.address, &authority, "peer");
    for _ in 0..10 {
        peer.tls.refresh_traffic_keys().unwrap();
        assert_eq!(peer.fence(), []);
    }
}

#[test]
fn a_record_that_was_changed_on_the_way_ends_the_connection() {
    use std::io::Write;
    let authority = Authority::new();
    let server = TestServer::with(limits(), |builder| builder.tls(authority.server()));
    let mut witness = Raw::join(server.address, "witness");
    let mut peer = Peer::join(server.address, &authority, "peer");
    // what was good before it counts
    peer.tls.writer().write_all(object("witness", "good").as_bytes()).unwrap();
    let mut bytes = Vec::new();
    peer.tls.write_tls(&mut bytes).unwrap();
    peer.tls.writer().write_all(object("witness", "bad").as_bytes()).unwrap();
    peer.tls.write_tls(&mut bytes).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    peer.socket.write_all(&bytes).unwrap();
    assert_eq!(witness.read().msg, "good");
    eventually("it is gone", || server.handle.online() == 1);
    assert_eq!(witness.fence(), []);
    let _ = peer::connect(server.address);
}
