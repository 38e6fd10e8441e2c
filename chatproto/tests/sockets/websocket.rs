//! The blocking client over WebSocket: against our server behind a listener of the test, and against servers
//! that violate the rules.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::support::{PATIENCE, Raw, TestServer, eventually, gateway};
use chatproto::handshake::PeerKind;
use chatproto::websocket::{OpeningError, Violation};
use chatproto::{Client, ClientError, Message};

fn object(to: &str, msg: &str) -> String {
    Message::new("SERVER", "0.0.0.0", to, msg).to_json()
}

/// An unmasked frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let mut frame = vec![first];
    match length {
        0..=125 => frame.push(length as u8),
        _ => {
            frame.push(126);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

/// The first byte and the payload of a frame.
type Frame = (u8, Vec<u8>);

/// The frames that a client sent.
fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let length = usize::from(second & 0x7F);
        assert!(*second & 0x80 != 0 && length < 126, "{bytes:?}");
        let (mask, rest) = rest.split_at(4);
        let (payload, rest) = rest.split_at(length);
        let plain = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        frames.push((*first, plain.collect()));
        bytes = rest;
    }
    frames
}

/// The URL of a server that opens one WebSocket, welcomes alice, and sends these bytes. It returns the frames
/// that come until the client closes.
fn scripted(bytes: Vec<u8>) -> (String, JoinHandle<Vec<Frame>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = gateway::url(listener.local_addr().unwrap());
    let serve = move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (head, mut came) = gateway::read_head(&mut stream).unwrap();
        let answer = gateway::opening(&head).unwrap();
        let welcome = frame(0x81, object("alice", "Welcome, alice!").as_bytes());
        // all in one write
        stream.write_all(&[answer.as_bytes(), &welcome, &bytes].concat()).unwrap();
        // a client that is dropped may reset the connection
        let _ = stream.read_to_end(&mut came);
        frames(&came)
    };
    (url, thread::spawn(serve))
}

/// A server that answers anything with these bytes, and closes.
fn answering(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        stream.write_all(bytes).unwrap();
    });
    address
}

#[test]
fn users_of_both_transports_talk() {
    let server = TestServer::start();
    let url = gateway::url(gateway::start(&server.handle));
    let mut alice = Client::connect(&*url, "alice").unwrap();
    assert_eq!(alice.server_kind(), PeerKind::Stream);
    assert!(alice.welcome().msg.contains("Nobody else"));
    let mut bob = Raw::join(server.address, "bob");
    // of each length of a frame's header
    for length in [1, 100, 200, 60_000] {
        let text = "ü".repeat(length / 2 + 1);
        alice.send("bob", &text).unwrap();
        assert_eq!(bob.read(), Message::new("alice", "127.0.0.1", "bob", &*text));
        bob.send("alice", &text);
        assert_eq!(alice.recv().unwrap(), Message::new("bob", "127.0.0.1", "alice", &*text));
    }
    alice.send("/list", "").unwrap();
    assert_eq!(alice.recv().unwrap().msg, "Connected users (1): bob");
    let long = alice.send("bob", &"x".repeat(70_000)).unwrap_err();
    assert!(matches!(long, ClientError::FrameTooLong { limit: 65_536, .. }), "{long}");
    alice.close().unwrap();
    eventually("alice's departure", || server.handle.users() == ["bob"]);
}

#[test]
fn halves_send_and_receive_everything_in_order() {
    const COUNT: usize = 2_000;
    let server = TestServer::start();
    let url = gateway::url(gateway::start(&server.handle));
    let connect = |name: &str| Client::connect(&*url, name).unwrap().split();
    let ((to_bob, mut at_alice), (to_alice, mut at_bob)) = (connect("alice"), connect("bob"));
    thread::scope(|scope| {
        for (sender, to) in [(to_bob, "bob"), (to_alice, "alice")] {
            scope.spawn(move || {
                (0..COUNT).for_each(|number| sender.send(to, &number.to_string()).unwrap());
            });
        }
        for receiver in [&mut at_alice, &mut at_bob] {
            scope.spawn(move || {
                for number in 0..COUNT {
                    assert_eq!(receiver.recv().unwrap().msg, number.to_string());
                }
            });
        }
    });
}

#[test]
fn who_finishes_gets_all_answers_and_sends_nothing_more() {
    let server = TestServer::start();
    let url = gateway::url(gateway::start(&server.handle));
    let (sender, receiver) = Client::connect(&*url, "alice").unwrap().split();
    for number in 0..100 {
        sender.send("alice", &number.to_string()).unwrap();
    }
    sender.finish().unwrap();
    assert!(matches!(sender.send("alice", "late"), Err(ClientError::Closed)));
    let texts: Vec<_> = receiver.map(|message| message.unwrap().msg).collect();
    assert_eq!(texts, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn refusals_and_ends_are_those_of_every_transport() {
    let server = TestServer::start();
    let url = gateway::url(gateway::start(&server.handle));
    let mut alice = Client::connect(&*url, "alice").unwrap();
    let refused = Client::connect(&*url, "alice").unwrap_err();
    assert!(matches!(&refused, ClientError::Refused(reason) if reason.msg.starts_with('⛔')));
    let nothing = alice.recv_timeout(Duration::from_millis(20)).unwrap_err();
    assert!(matches!(nothing, ClientError::Timeout { .. }), "{nothing}");
    server.handle.stop();
    assert!(alice.recv().unwrap().msg.contains("Goodbye"));
    assert!(matches!(alice.recv(), Err(ClientError::Closed)));
}

#[test]
fn pings_between_fragments_are_answered_and_a_close_frame_is_the_end() {
    let text = object("alice", "é in pieces");
    // the first cut is inside a character
    let at = text.find('é').unwrap() + 1;
    let bytes = [
        frame(0x01, &text.as_bytes()[..at]),
        frame(0x89, b"one"),
        frame(0x00, &text.as_bytes()[at..at + 3]),
        frame(0x89, b"two"),
        frame(0x80, &text.as_bytes()[at + 3..]),
        frame(0x88, &1001_u16.to_be_bytes()),
    ];
    let (url, server) = scripted(bytes.concat());
    let mut alice = Client::connect(&*url, "alice").unwrap();
    assert_eq!(alice.recv().unwrap().msg, "é in pieces");
    assert!(matches!(alice.recv(), Err(ClientError::Closed)));
    assert!(matches!(alice.send("bob", "late"), Err(ClientError::Closed)));
    drop(alice);
    let close = (0x88, 1001_u16.to_be_bytes().to_vec());
    let came = server.join().unwrap();
    assert_eq!(came, [(0x81, b"alice".to_vec()), (0x8A, b"two".to_vec()), close]);
}

#[test]
fn a_ping_is_answered_while_nothing_else_comes() {
    let (url, server) = scripted(frame(0x89, b"there?"));
    let mut alice = Client::connect(&*url, "alice").unwrap();
    let nothing = alice.recv_timeout(Duration::from_millis(50)).unwrap_err();
    assert!(matches!(nothing, ClientError::Timeout { .. }), "{nothing}");
    alice.send("bob", "x").unwrap();
    drop(alice);
    let came = server.join().unwrap();
    assert_eq!(came.len(), 3, "{came:?}");
    assert_eq!(came[1], (0x8A, b"there?".to_vec()));
}

#[test]
fn a_violation_ends_the_connection_and_is_told() {
    for (bytes, violation, code) in [
        (vec![0x81, 0x80, 0, 0, 0, 0], Violation::Masked, 1002_u16),
        (frame(0x82, b"{}"), Violation::Binary, 1003),
        (frame(0xC1, b"{}"), Violation::ReservedBit, 1002),
        (frame(0x80, b"{}"), Violation::UnexpectedContinuation, 1002),
    ] {
        let (url, server) = scripted(bytes);
        let mut alice = Client::connect(&*url, "alice").unwrap();
        let error = alice.recv().unwrap_err();
        assert!(matches!(error, ClientError::Violation(found) if found == violation), "{error}");
        let sentence = error.to_string();
        assert!(sentence.starts_with("the server violated the rules of WebSocket: "), "{sentence}");
        assert!(matches!(alice.recv(), Err(ClientError::Closed)));
        drop(alice);
        assert_eq!(server.join().unwrap().last(), Some(&(0x88, code.to_be_bytes().to_vec())));
    }
}

#[test]
fn an_url_that_leads_nowhere_is_explained() {
    let server = TestServer::start();
    let address = gateway::start(&server.handle);
    let refused = |url: &str| Client::connect(url, "alice").unwrap_err();

    let error = refused(&format!("ws://{address}/chat"));
    assert!(matches!(error, ClientError::Opening(OpeningError::Refused { status: 404, .. })));
    assert_eq!(
        error.to_string(),
        "the server refused the WebSocket handshake with 404 Not Found: there is no such page \
         (check the path of the URL)"
    );
    let plain = refused(&format!("ws://{}", server.address)).to_string();
    assert!(plain.contains("the WebSocket handshake with 400 "), "{plain}");
    let other = refused(&format!("ws://{}", answering(b"220 mail.example ESMTP\r\n"))).to_string();
    assert!(
        other.starts_with(
            "this port does not speak WebSocket (it answered: 220 mail.example ESMTP): "
        ),
        "{other}"
    );
    let closing = refused(&format!("ws://{}", answering(b"")));
    assert!(matches!(closing, ClientError::Opening(OpeningError::Closed)), "{closing}");

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = gateway::url(silent.local_addr().unwrap());
    let timeout = Client::builder("x").timeout(Duration::from_millis(50)).connect(&*url);
    assert!(matches!(timeout, Err(ClientError::Timeout { .. })));

    for (url, word) in [
        ("ws://127.0.0.1:0", "a port"),
        ("ws://127.0.0.1/ws?name=alice", "the client sends its name itself"),
        #[cfg(not(feature = "tls"))]
        ("wss://127.0.0.1", "this build has no TLS"),
    ] {
        let error = refused(url);
        assert!(matches!(error, ClientError::InvalidUrl(_)), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(server.handle.users(), [""; 0]);
}

#[test]
fn a_name_in_the_url_is_the_name() {
    let server = TestServer::start();
    let address = gateway::start(&server.handle);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let url: chatproto::websocket::Url = gateway::url(address).parse().unwrap();
    let mut opening = chatproto::websocket::Opening::new(&url.with_name("böb"));
    stream.write_all(opening.request()).unwrap();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer).unwrap();
        if opening.handle_input(&mut &buffer[..length]).unwrap() {
            break;
        }
    }
    eventually("böb's arrival", || server.handle.users() == ["böb"]);
}
