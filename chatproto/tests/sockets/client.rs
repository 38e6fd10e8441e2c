//! The blocking client: against our server, and against one that reads one object at a time.

use std::io::{BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, Raw, TestServer, eventually, limits};
use chatproto::handshake::PeerKind;
use chatproto::{Client, ClientError, ErrorClass, Message, NameError};

#[test]
fn two_clients_talk() {
    let server = TestServer::start();
    let mut alice = Client::connect(server.address, "alice").unwrap();
    assert_eq!(alice.server_kind(), PeerKind::Stream);
    assert!(alice.welcome().msg.contains("Nobody else"));
    let bob = Client::connect(server.address, "  bob ").unwrap();
    assert_eq!(bob.name(), "bob");
    bob.send("alice", "ciao").unwrap();
    assert_eq!(alice.recv().unwrap(), Message::new("bob", "127.0.0.1", "alice", "ciao"));
    alice.send("/list", "").unwrap();
    assert_eq!(alice.recv().unwrap().msg, "Connected users (1): bob");
    bob.close().unwrap();
    eventually("bob's departure", || server.handle.users() == ["alice"]);
}

#[test]
fn waiting_ends_in_time_and_the_client_goes_on() {
    let server = TestServer::start();
    let mut alice = Client::connect(server.address, "alice").unwrap();
    let begun = Instant::now();
    let nothing = alice.recv_timeout(Duration::from_millis(30)).unwrap_err();
    assert!(matches!(nothing, ClientError::Timeout { .. }), "{nothing}");
    assert!(begun.elapsed() >= Duration::from_millis(30));
    alice.send("alice", "to myself").unwrap();
    assert_eq!(alice.recv().unwrap().msg, "to myself");
}

#[test]
fn a_timeout_of_zero_finds_what_has_come() {
    let server = TestServer::start();
    let mut alice = Client::connect(server.address, "alice").unwrap();
    alice.send("alice", "to myself").unwrap();
    let mut got = None;
    eventually("the message", || {
        got = alice.recv_timeout(Duration::ZERO).ok();
        got.is_some()
    });
    assert_eq!(got.unwrap().msg, "to myself");
}

#[test]
fn halves_work_in_two_threads_and_closing_wakes_the_receiver() {
    let server = TestServer::start();
    let mut bob = Client::connect(server.address, "bob").unwrap();
    let (sender, receiver) = Client::connect(server.address, "alice").unwrap().split();
    let receiving = thread::spawn(move || {
        receiver.map(|message| message.map(|message| message.msg)).collect::<Result<Vec<_>, _>>()
    });
    let senders: Vec<JoinHandle<()>> = (0..4)
        .map(|thread| {
            let sender = sender.clone();
            thread::spawn(move || {
                (0..250).for_each(|n| sender.send("bob", &format!("{thread}.{n}")).unwrap());
            })
        })
        .collect();
    let mut next = [0; 4];
    for _ in 0..1000 {
        let text = bob.recv().unwrap().msg;
        let (thread, number) = text.split_once('.').unwrap();
        let next = &mut next[thread.parse::<usize>().unwrap()];
        assert_eq!(number.parse::<usize>().unwrap(), *next, "in order for each sender");
        *next += 1;
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    bob.send("alice", "last").unwrap();
    bob.send("/list", "").unwrap();
    bob.recv().unwrap();
    sender.finish().unwrap();
    // the server answers all, then closes: the receiver ends by itself
    assert_eq!(receiving.join().unwrap().unwrap(), ["last"]);

    let (sender, mut receiver) = Client::connect(server.address, "carol").unwrap().split();
    let receiving = thread::spawn(move || receiver.recv());
    sender.close();
    assert!(matches!(receiving.join().unwrap(), Err(ClientError::Closed)));
    assert!(matches!(sender.send("bob", "late"), Err(ClientError::Closed)));
}

#[test]
fn errors_say_whose_fault_it_was() {
    let server = TestServer::start();
    let invalid = Client::connect(server.address, "#room").unwrap_err();
    assert!(matches!(invalid, ClientError::InvalidName(NameError::ForbiddenStart('#'))));
    let alice = Client::connect(server.address, "alice").unwrap();
    let refused = Client::connect(server.address, "alice").unwrap_err();
    assert!(matches!(&refused, ClientError::Refused(reason) if reason.msg.starts_with('⛔')));
    let long = alice.send("bob", &"x".repeat(70_000)).unwrap_err();
    assert!(matches!(long, ClientError::FrameTooLong { limit, .. } if limit == 65_536), "{long}");

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = nobody.local_addr().unwrap();
    let timeout = Client::builder("x").timeout(Duration::from_millis(50)).connect(silent);
    assert!(matches!(timeout, Err(ClientError::Timeout { .. })));
    drop(nobody);
    let refused = Client::connect(silent, "x").unwrap_err();
    assert!(matches!(refused, ClientError::Io { .. }), "{refused}");
}

#[test]
fn a_server_that_stops_is_noticed() {
    let server = TestServer::start();
    let mut alice = Client::connect(server.address, "alice").unwrap();
    server.handle.stop();
    assert!(alice.recv().unwrap().msg.contains("Goodbye"));
    assert!(matches!(alice.recv(), Err(ClientError::Closed)));
}

#[test]
fn a_peer_that_vanishes_is_gone() {
    let server = TestServer::start();
    let peer = Raw::join(server.address, "alice");
    // a reset instead of an end
    socket2::SockRef::from(&peer.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    eventually("the departure", || server.handle.connections() == 0);
}

/// A server that behaves like the existing ones: no line feed after its objects, and one
/// `recv(1024)` is one object. Returns what it read.
fn existing_server(listener: TcpListener, objects: usize) -> JoinHandle<Vec<Message>> {
    let read = |stream: &mut TcpStream| {
        let mut buffer = [0; 1024];
        let length = stream.read(&mut buffer).unwrap();
        buffer[..length].to_vec()
    };
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = String::from_utf8(read(&mut stream)).unwrap();
        let text = format!("Welcome {}!", name.trim());
        let welcome = Message::new("SERVER", "0.0.0.0", name.trim(), text).to_python_json();
        stream.write_all(welcome.as_bytes()).unwrap();
        (0..objects)
            .map(|_| {
                let bytes = read(&mut stream);
                assert!(bytes.is_ascii());
                serde_json::from_slice(&bytes).expect("one read, one object")
            })
            .collect()
    })
}

#[test]
fn a_server_that_reads_one_object_at_a_time_gets_one_at_a_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = existing_server(listener, 4);
    // long enough for the reader to get its turn on a machine under load
    let mut limits = limits();
    limits.client_pace = Duration::from_millis(200);
    let client = Client::builder("alice").limits(limits).connect(address).unwrap();
    assert_eq!(client.server_kind(), PeerKind::OneRead);
    let long = client.send("bob", &"x".repeat(1000)).unwrap_err();
    assert!(matches!(long, ClientError::FrameTooLong { limit: 1024, .. }));
    let begun = Instant::now();
    for number in 0..4 {
        client.send("bob", &format!("è {number}")).unwrap();
    }
    assert!(begun.elapsed() >= Duration::from_millis(3 * 200), "that far apart");
    let got = server.join().unwrap();
    let texts: Vec<String> = got.into_iter().map(|message| message.msg).collect();
    assert_eq!(texts, (0..4).map(|n| format!("è {n}")).collect::<Vec<_>>());
}

#[test]
fn the_servers_limits_are_the_clients_to_obey() {
    let mut limits = limits();
    limits.name = 5;
    let server = TestServer::with(limits, |builder| builder);
    let refused = Client::connect(server.address, "longer").unwrap_err();
    assert!(refused.to_string().contains("at most 5 bytes"), "{refused}");
}

/// A server that answers the name with `objects`, each of them a write of its own, and reads to the
/// end.
fn scripted_server(objects: &'static [&'static str]) -> (std::net::SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        for object in objects {
            // a client that has seen enough closes
            let _ = stream.write_all(object.as_bytes());
        }
        let _ = stream.read_to_end(&mut Vec::new());
    });
    (address, serving)
}

const WELCOME: &str =
    "{\"from\":{\"name\":\"SERVER\",\"ip\":\"0.0.0.0\"},\"to\":\"alice\",\"msg\":\"Welcome\"}\n";
const NO_MESSAGE: &str = r#"{"from":"SERVER","to":"alice","msg":""}"#;

#[test]
fn an_object_that_is_no_message_is_an_error_and_what_follows_still_comes() {
    let (address, serving) = scripted_server(&[WELCOME, NO_MESSAGE, WELCOME, "]", WELCOME]);
    let mut alice = Client::connect(address, "alice").unwrap();
    assert_eq!((alice.peer_addr(), alice.local_addr().ip()), (address, address.ip()));
    let mut next = || alice.messages().next().unwrap();
    let bad = next().unwrap_err();
    assert!(
        matches!(&bad, ClientError::Decode(error) if error.class() == ErrorClass::Schema),
        "{bad}"
    );
    assert_eq!(next().unwrap().msg, "Welcome");
    // what is no JSON ends it: nothing behind it can be trusted
    let broken = next().unwrap_err();
    assert!(
        matches!(&broken, ClientError::Decode(error) if error.class() == ErrorClass::Framing),
        "{broken}"
    );
    assert!(alice.messages().next().is_none());
    serving.join().unwrap();
}

#[test]
fn a_client_that_closes_minds_nothing_that_still_comes() {
    let (address, serving) = scripted_server(&[WELCOME, NO_MESSAGE, WELCOME]);
    Client::connect(address, "alice").unwrap().close().unwrap();
    serving.join().unwrap();
}

#[test]
fn a_closed_client_is_closed_whatever_the_server_still_sends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.read_exact(&mut [0; 6]).unwrap();
        stream.write_all(WELCOME.as_bytes()).unwrap();
        // until the client has closed; what comes then makes its system reset the connection
        while stream.read(&mut [0; 64]).unwrap() > 0 {}
        stream.write_all(WELCOME.as_bytes()).unwrap();
        eventually("the reset", || stream.write_all(b"x").is_err());
    });
    let (sender, mut receiver) = Client::connect(address, "alice").unwrap().split();
    sender.close();
    server.join().unwrap();
    let error = receiver.recv().unwrap_err();
    assert!(matches!(error, ClientError::Closed), "{error}");
}

/// A server that welcomes alice, and leaves the rest to `serve`.
fn welcoming_server(
    serve: impl FnOnce(TcpStream) + Send + 'static,
) -> (std::net::SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.read_exact(&mut [0; 6]).unwrap();
        stream.write_all(WELCOME.as_bytes()).unwrap();
        serve(stream);
    });
    (address, serving)
}

/// The objects that come to a server, one a line.
fn objects(stream: &TcpStream) -> impl Iterator<Item = Message> {
    let lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
    lines.map(|line| Message::decode(line.unwrap().as_bytes()).unwrap())
}

fn say(mut stream: &TcpStream, msg: &str) {
    let message = Message::new("SERVER", "0.0.0.0", "alice", msg).to_json();
    stream.write_all(format!("{message}\n").as_bytes()).unwrap();
}

#[test]
fn a_server_that_hangs_is_noticed() {
    let (address, serving) = welcoming_server(|stream| {
        say(&stream, "last words");
        let asked: Vec<Message> = objects(&stream).collect();
        let to: Vec<&str> = asked.iter().map(|message| &*message.to).collect();
        assert_eq!(to, ["/ping"], "it asks once, and then closes");
    });
    let interval = Some(Duration::from_millis(100));
    let mut alice = Client::builder("alice").ping_interval(interval).connect(address).unwrap();
    assert_eq!(alice.recv().unwrap().msg, "last words");
    let nothing = alice.recv_timeout(Duration::from_millis(20)).unwrap_err();
    assert!(matches!(nothing, ClientError::Timeout { .. }), "{nothing}");
    let lost = alice.recv().unwrap_err();
    let text = "the connection was lost: the server did not answer /ping within 100 ms";
    assert_eq!(lost.to_string(), text);
    assert!(matches!(alice.recv(), Err(ClientError::Closed)));
    serving.join().unwrap();
}

#[test]
fn a_server_that_answers_pings_stays() {
    for offers_ping in [true, false] {
        let (address, serving) = welcoming_server(move |stream| {
            for (number, message) in objects(&stream).enumerate() {
                assert_eq!(message.to, "/ping");
                match (number, offers_ping) {
                    (2, _) => say(&stream, "three"),
                    (_, true) => say(&stream, &message.msg),
                    (_, false) => say(&stream, "❌ Unknown command \"/ping\". Send /help."),
                }
            }
        });
        let interval = Some(Duration::from_millis(400));
        let mut alice = Client::builder("alice").ping_interval(interval).connect(address).unwrap();
        assert_eq!(alice.recv().unwrap().msg, "three", "the answers to pings are no messages");
        alice.close().unwrap();
        serving.join().unwrap();
    }
}

#[test]
fn the_name_follows_the_server() {
    let server = TestServer::start();
    let mut alice = Client::connect(server.address, "alice").unwrap();
    alice.send("/nick", "alice smith").unwrap();
    assert_eq!(alice.recv().unwrap().to, "alice smith");
    assert_eq!(alice.name(), "alice smith");
    let (sender, mut receiver) = alice.split();
    sender.send("/nick", "carol").unwrap();
    receiver.recv().unwrap();
    assert_eq!(sender.name(), "carol");
}

#[test]
fn the_last_words_are_received_behind_a_send_that_failed() {
    let (go, may_speak) = std::sync::mpsc::channel::<()>();
    let (address, serving) = welcoming_server(move |stream| {
        may_speak.recv().unwrap();
        // otherwise the system would discard a second write that it has not sent yet
        stream.set_nodelay(true).unwrap();
        say(&stream, "⛔ You were kicked.");
        say(&stream, "Goodbye.");
    });
    let mut alice = Client::connect(address, "alice").unwrap();
    go.send(()).unwrap();
    serving.join().unwrap();
    let mut failed = None;
    eventually("the failure", || {
        failed = alice.send("bob", "are you there?").err();
        failed.is_some()
    });
    assert_eq!(alice.recv().unwrap().msg, "⛔ You were kicked.");
    assert_eq!(alice.recv().unwrap().msg, "Goodbye.");
    assert!(alice.recv().is_err());
}

#[test]
fn a_port_above_65535_is_an_error() {
    for address in ["127.0.0.1:65536", "127.0.0.1:130968", "localhost:70000", "[::1]:99999"] {
        let error = Client::connect(address, "alice").unwrap_err();
        assert!(matches!(error, ClientError::Io { .. }), "{error}");
        assert!(error.to_string().contains("invalid port"), "{error}");
    }
}

#[test]
fn an_error_above_a_limit_names_the_option() {
    let (address, serving) = welcoming_server(|stream| say(&stream, &"x".repeat(1000)));
    let mut alice = Client::builder("alice").max_frame(1000).connect(address).unwrap();
    let long = alice.send("bob", &"x".repeat(1000)).unwrap_err().to_string();
    assert!(long.contains("the limit of 1000 bytes (`max_frame`)"), "{long}");
    let longer = alice.recv().unwrap_err().to_string();
    assert!(longer.ends_with("more than 1000 bytes, the limit of this client: raise `max_frame`"));
    serving.join().unwrap();
}

#[test]
fn what_speaks_another_protocol_is_no_server() {
    let (address, serving) = scripted_server(&["HTTP/1.1 400 Bad Request\r\n\r\n"]);
    let error = Client::connect(address, "alice").unwrap_err();
    assert!(matches!(error, ClientError::Decode(_)), "{error}");
    serving.join().unwrap();
}
