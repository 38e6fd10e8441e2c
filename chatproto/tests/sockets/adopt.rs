//! Connections that another part of the program has accepted: their bytes in order, their limits, and the stop
//! of the server.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};

use chatproto::connection::Framing;
use chatproto::metrics::{RefusalReason, Transport};
use chatproto::server::Origin;
use chatproto::{ErrorClass, Message, ServerError};

use crate::support::{PATIENCE, Raw, TestServer, eventually, limits, object};

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

/// Both ends of a connection that the server does not know.
fn pair() -> (Raw, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let client = Raw::connect(listener.local_addr().unwrap());
    (client, listener.accept().unwrap().0)
}

/// A text frame of a client.
fn frame(text: &str) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut frame = vec![0x81];
    match text.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The next frame of a server: its first byte and its payload.
fn read_frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let length = match head[1] {
        126 => {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            u16::from_be_bytes(length).into()
        }
        length => usize::from(length),
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).unwrap();
    (head[0], payload)
}

fn read_message(stream: &mut TcpStream) -> Message {
    let (first, payload) = read_frame(stream);
    assert_eq!(first, 0x81, "a text frame that is a whole message");
    Message::decode(&payload).unwrap()
}

#[test]
fn bytes_that_were_read_come_first_and_bytes_that_were_not_written_go_first() {
    let server = TestServer::start();
    let (mut client, socket) = pair();
    client.write(object("/ping", "third").as_bytes());
    let received = format!("alice\n{}{}", object("/ping", "first"), object("/ping", "second"));
    let unsent = object("alice", "written before");
    let origin = Origin::new(CLIENT).received(received).unsent(unsent);
    server.handle.adopt(socket, origin).unwrap();
    assert_eq!(client.read().msg, "written before");
    assert!(client.read().msg.contains("Welcome, alice!"));
    for text in ["first", "second", "third"] {
        assert_eq!(client.read().msg, text);
    }
    let mut bob = Raw::join(server.address, "bob");
    client.send("bob", "from elsewhere");
    assert_eq!(bob.read().from.ip, CLIENT.to_string());
}

#[test]
fn many_unsent_bytes_wait_until_the_socket_takes_them() {
    let server = TestServer::start();
    let (mut client, socket) = pair();
    let unsent = object("alice", &"x".repeat(1000)).repeat(16 * 1024);
    let length = unsent.len();
    server.handle.adopt(socket, Origin::new(CLIENT).received("alice\n").unsent(unsent)).unwrap();
    eventually("alice is online", || server.handle.online() == 1);
    let mut before = vec![0; length];
    client.stream.read_exact(&mut before).unwrap();
    assert!(before.ends_with(b"x\"}\n"));
    assert!(client.read().msg.contains("Welcome, alice!"));
}

#[test]
fn a_websocket_has_its_name_from_the_url_and_a_frame_that_came_with_the_request() {
    let server = TestServer::start();
    let (client, socket) = pair();
    let mut stream = client.stream;
    let ping = frame(&object("/ping", "early"));
    let origin = Origin::new(CLIENT).framing(Framing::WebSocket).name("alice").received(ping);
    server.handle.adopt(socket, origin).unwrap();
    assert!(read_message(&mut stream).msg.contains("Welcome, alice!"));
    assert_eq!(read_message(&mut stream).msg, "early");

    // in one room with a peer of another transport
    let mut bob = Raw::join(server.address, "bob");
    bob.send("/join", "#tea");
    assert!(bob.read().msg.starts_with("Joined #tea"));
    stream.write_all(&frame(&object("/join", "#tea"))).unwrap();
    assert!(read_message(&mut stream).msg.starts_with("Joined #tea"));
    assert!(bob.read().msg.contains("alice"));
    for number in 0..100 {
        stream.write_all(&frame(&object("#tea", &format!("a{number}")))).unwrap();
        bob.send("#tea", &format!("b{number}"));
    }
    for number in 0..100 {
        assert_eq!(bob.read().msg, format!("a{number}"));
        assert_eq!(read_message(&mut stream).msg, format!("b{number}"));
    }
    stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).unwrap();
    assert_eq!(read_frame(&mut stream), (0x88, 1000_u16.to_be_bytes().to_vec()));
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    eventually("alice has left", || server.handle.connections() == 1);
}

#[test]
fn websockets_and_their_violations_are_counted() {
    let server = TestServer::start();
    let _text = Raw::join(server.address, "text");
    let adopt = |origin: Origin| {
        let (client, socket) = pair();
        server.handle.adopt(socket, origin.framing(Framing::WebSocket)).unwrap();
        client.stream
    };
    let mut user = adopt(Origin::new(CLIENT).name("alice"));
    assert!(read_message(&mut user).msg.contains("Welcome, alice!"));
    let counts = server.handle.metrics().counts;
    for by in [counts.users, counts.connections] {
        assert_eq!((by.get(Transport::WebSocket), by.get(Transport::Text), by.sum()), (1, 1, 2));
    }
    // a frame without a mask, of a user and of a connection without a name
    let mut nameless = adopt(Origin::new(CLIENT));
    for stream in [&mut user, &mut nameless] {
        stream.write_all(&[0x81, 1, b'x']).unwrap();
        assert!(read_message(stream).msg.contains("Error"));
    }
    eventually("both are counted", || {
        let now = server.handle.metrics();
        now.errors.get(ErrorClass::Framing) == 2
            && now.counts.refused.get(RefusalReason::Framing) == 1
            && now.counts.refused.sum() == 1
            && now.counts.users.sum() == 1
    });
}

#[test]
fn the_limits_hold_for_the_address_of_the_origin() {
    let mut few = limits();
    few.per_address = 1;
    let server = TestServer::with(few, |builder| builder);
    let adopt = |address: IpAddr, name: &str| {
        let (client, socket) = pair();
        let origin = Origin::new(address).framing(Framing::WebSocket).name(name);
        server.handle.adopt(socket, origin).unwrap();
        client.stream
    };
    let mut first = adopt(CLIENT, "first");
    assert!(read_message(&mut first).msg.contains("Welcome"));
    let mut second = adopt(CLIENT, "second");
    let refusal = read_message(&mut second).msg;
    assert!(refusal.contains("too many connections"), "{refusal}");
    assert_eq!(read_frame(&mut second), (0x88, 1008_u16.to_be_bytes().to_vec()));
    let mut third = adopt([192, 0, 2, 8].into(), "third");
    assert!(read_message(&mut third).msg.contains("Welcome"));
}

#[test]
fn a_full_server_refuses_an_adopted_connection() {
    let mut few = limits();
    few.connections = 1;
    let server = TestServer::with(few, |builder| builder);
    let _first = Raw::join(server.address, "first");
    let (mut client, socket) = pair();
    server.handle.adopt(socket, Origin::new(CLIENT).received("second\n")).unwrap();
    let last = client.read_to_end().pop().expect("a reason");
    assert!(last.msg.contains("full"), "{}", last.msg);
}

/// A browser that is the user alice.
fn join(server: &TestServer) -> TcpStream {
    let (client, socket) = pair();
    let mut stream = client.stream;
    let origin = Origin::new(CLIENT).framing(Framing::WebSocket).name("alice");
    server.handle.adopt(socket, origin).unwrap();
    assert!(read_message(&mut stream).msg.contains("Welcome"));
    stream
}

#[test]
fn a_server_that_stops_tells_browsers_that_it_goes_away() {
    let server = TestServer::start();
    let mut stream = join(&server);
    let handle = server.handle.clone();
    handle.stop();
    assert!(read_message(&mut stream).msg.contains("Goodbye"));
    assert_eq!(read_frame(&mut stream), (0x88, 1001_u16.to_be_bytes().to_vec()));
    drop(stream);
    server.stop().unwrap();

    // nobody is adopted any more, and no socket stays open
    let (mut client, socket) = pair();
    let refused = handle.adopt(socket, Origin::new(CLIENT));
    assert!(matches!(refused, Err(ServerError::Stopping)), "{refused:?}");
    assert!(client.try_read().is_none());
    let (client, socket) = pair();
    let mut stream = client.stream;
    stream.write_all(&frame("alice")).unwrap();
    let origin = Origin::new(CLIENT).framing(Framing::WebSocket).unsent("the rest of an answer");
    let refused = handle.adopt(socket, origin);
    assert!(matches!(refused, Err(ServerError::Stopping)), "{refused:?}");
    let mut rest = [0; 21];
    stream.read_exact(&mut rest).unwrap();
    assert_eq!(&rest, b"the rest of an answer");
    assert_eq!(read_frame(&mut stream), (0x88, 1001_u16.to_be_bytes().to_vec()));
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn browsers_that_are_adopted_while_the_server_stops_are_told_so() {
    for round in 0..10 {
        let server = TestServer::start();
        let handle = server.handle.clone();
        let adopting = std::thread::spawn(move || {
            let mut clients = Vec::new();
            loop {
                let (client, socket) = pair();
                // loopback has no limit of an address
                let origin = Origin::new([127, 0, 0, 1].into()).framing(Framing::WebSocket);
                let name = format!("user {}", clients.len());
                let adopted = handle.adopt(socket, origin.name(&name));
                clients.push(client.stream);
                if adopted.is_err() {
                    return (clients, handle);
                }
            }
        });
        eventually("some are adopted", || server.handle.connections() > 8);
        server.stop().unwrap();
        let (clients, _handle) = adopting.join().unwrap();
        for (number, mut stream) in clients.into_iter().enumerate() {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut is_told = false;
            loop {
                let (first, payload) = read_frame(&mut stream);
                if first == 0x88 {
                    assert_eq!(payload, 1001_u16.to_be_bytes(), "{number} of round {round}");
                    break;
                }
                let text = Message::decode(&payload).unwrap().msg;
                assert!(!is_told, "{number} of round {round}: {text}");
                is_told = text.contains("Goodbye");
            }
        }
    }
}

#[test]
fn browsers_that_reset_half_a_header_leave_nothing() {
    let server = TestServer::start();
    for _ in 0..50 {
        let (client, socket) = pair();
        let origin = Origin::new(CLIENT).framing(Framing::WebSocket).received(&b"\x81\xfe\x01"[..]);
        server.handle.adopt(socket, origin).unwrap();
        socket2::SockRef::from(&client.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
    eventually("all are gone", || server.handle.connections() == 0);
}

#[test]
fn bytes_behind_a_close_frame_destroy_no_answer() {
    let server = TestServer::start();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let client = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    // so little room that most of the answers wait in the system's buffer
    client.set_recv_buffer_size(4096).unwrap();
    client.connect(&listener.local_addr().unwrap().into()).unwrap();
    let mut stream = TcpStream::from(client);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&[b'x'; 1000]).unwrap();
    let (socket, _) = listener.accept().unwrap();
    let text = "y".repeat(1000);
    let mut received = frame(&object("/ping", &text)).repeat(20);
    received.extend([0x88, 0x80, 0, 0, 0, 0]);
    let origin = Origin::new(CLIENT).framing(Framing::WebSocket).name("alice").received(received);
    server.handle.adopt(socket, origin).unwrap();
    eventually("she is served", || server.handle.metrics().messages_received == 20);
    eventually("she has left", || server.handle.connections() == 0);
    assert!(read_message(&mut stream).msg.contains("Welcome, alice!"));
    for _ in 0..20 {
        assert_eq!(read_message(&mut stream).msg, text);
    }
    assert_eq!(read_frame(&mut stream), (0x88, 1000_u16.to_be_bytes().to_vec()));
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn violations_are_counted() {
    let server = TestServer::start();
    let mut stream = join(&server);
    stream.write_all(&frame(&object("/ping", "1").repeat(2))).unwrap();
    assert_eq!(read_message(&mut stream).msg, "1");
    let sentence = read_message(&mut stream).msg;
    assert!(sentence.contains("a message must have one object, not several"), "{sentence}");
    assert_eq!(read_frame(&mut stream), (0x88, 1007_u16.to_be_bytes().to_vec()));
    eventually("it is counted", || server.handle.metrics().invalid_messages == 1);
    assert_eq!(server.handle.metrics().messages_received, 1);
}
