//! The server over real sockets, on port 0 of loopback: the existing programs' way of speaking,
//! registration, and how connections end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, Raw, TestServer, eventually, limits, object};
use chatproto::endpoint::Request;
use chatproto::{Client, ClientError, Message, Rate};

/// A program that behaves exactly as the existing ones: bare name without an end, one `recv(1024)`
/// taken for one object, `json.dumps` form.
struct Existing(TcpStream);

impl Existing {
    fn connect(address: SocketAddr, first_bytes: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut existing = Existing(stream);
        existing.0.write_all(first_bytes.as_bytes()).unwrap();
        existing
    }

    fn send(&mut self, name: &str, to: &str, msg: &str) {
        let object = Message::new(name, "127.0.0.1", to, msg).to_python_json();
        self.0.write_all(object.as_bytes()).unwrap();
    }

    /// One read is one object, or it is lost.
    #[track_caller]
    fn recv(&mut self) -> Message {
        let mut buffer = [0; 1024];
        let length = self.0.read(&mut buffer).unwrap();
        let bytes = &buffer[..length];
        assert!(bytes.is_ascii(), "a character could be cut in two");
        serde_json::from_slice(bytes).unwrap_or_else(|e| {
            panic!("one read, one object: {e}: {:?}", String::from_utf8_lossy(bytes))
        })
    }
}

#[test]
fn an_existing_program_completes_a_session_and_loses_nothing() {
    let mut limits = limits();
    // long enough for the reader to get its turn on a machine under load
    limits.one_read_gap = Duration::from_millis(200);
    let server = TestServer::with(limits, |builder| builder);
    // the name and the first message in one segment
    let first = Message::new("alice", "10.0.0.1", "/list", "/list").to_python_json();
    let mut alice = Existing::connect(server.address, &format!("alice{first}"));
    let welcome = alice.recv();
    assert!(welcome.msg.contains("Welcome") && welcome.msg.contains("alice"), "{welcome:?}");
    assert_eq!((welcome.from.name.as_str(), welcome.from.ip.as_str()), ("SERVER", "0.0.0.0"));
    assert_eq!(welcome.to, "alice");
    assert_eq!(alice.recv().msg, "No other users are connected.", "the joined message counts");

    // the name alone, then the welcome
    let mut bob = Existing::connect(server.address, "bob");
    assert!(bob.recv().msg.contains("alice"), "who is online");
    bob.send("bob", "alice", "ciao è 漢 😀");
    let got = alice.recv();
    assert_eq!((got.from.name.as_str(), got.from.ip.as_str()), ("bob", "127.0.0.1"));
    assert_eq!((got.to.as_str(), got.msg.as_str()), ("alice", "ciao è 漢 😀"));

    // three at once: three reads, in order
    let burst: String = ["one", "two", "three"]
        .map(|msg| Message::new("bob", "", "alice", msg).to_python_json())
        .concat();
    bob.0.write_all(burst.as_bytes()).unwrap();
    for expected in ["one", "two", "three"] {
        assert_eq!(alice.recv().msg, expected);
    }
    bob.send("bob", "Everyone", "heartbeat");
    assert!(bob.recv().msg.starts_with('❌'), "Everyone is not an endpoint");
    bob.send("bob", "/shout", "to all");
    assert_eq!(alice.recv().to, "Everyone");
    assert!(bob.recv().msg.contains("1 user"));
    for (endpoint, part) in [("/time", ":"), ("/help", "/shout"), ("/standard", "\"from\"")] {
        bob.send("bob", endpoint, endpoint);
        assert!(bob.recv().msg.contains(part), "{endpoint}");
    }
    bob.send("bob", "alice", &"x".repeat(1000));
    assert!(bob.recv().msg.contains("1024"), "what one read cannot take is not sent");
}

#[test]
fn of_a_thousand_that_race_for_a_name_exactly_one_wins() {
    let server = TestServer::start();
    let (threads, each) = (10, 100);
    let barrier = Arc::new(Barrier::new(threads));
    let racers: Vec<_> = (0..threads)
        .map(|_| {
            let (barrier, address) = (Arc::clone(&barrier), server.address);
            std::thread::spawn(move || {
                let mut peers: Vec<Raw> = (0..each).map(|_| Raw::connect(address)).collect();
                barrier.wait();
                peers.iter_mut().for_each(|peer| peer.write(b"highlander\n"));
                let answers: Vec<String> = peers.iter_mut().map(|peer| peer.read().msg).collect();
                (peers, answers)
            })
        })
        .collect();
    let (mut won, mut refused, mut open) = (0, 0, Vec::new());
    for racer in racers {
        let (peers, answers) = racer.join().unwrap();
        won += answers.iter().filter(|answer| answer.contains("Welcome")).count();
        let is_refusal = |answer: &&String| answer.starts_with('⛔') && answer.contains("Error");
        refused += answers.iter().filter(is_refusal).count();
        open.extend(peers);
    }
    assert_eq!((won, refused), (1, threads * each - 1));
    assert_eq!(server.handle.users(), ["highlander"]);
}

#[test]
fn a_name_is_free_again_after_a_disconnect() {
    let server = TestServer::start();
    let alice = Raw::join(server.address, "alice");
    let refused = Client::connect(server.address, "alice").unwrap_err();
    assert!(matches!(&refused, ClientError::Refused(m) if m.msg.contains("in use")), "{refused}");
    drop(alice);
    eventually("the departure", || server.handle.online() == 0);
    Client::connect(server.address, "alice").unwrap();
}

#[test]
fn a_forged_sender_arrives_corrected() {
    let server = TestServer::start();
    let mut alice = Raw::join(server.address, "alice");
    let mut mallory = Raw::join(server.address, "mallory");
    mallory.write(Message::new("SERVER", "0.0.0.0", "alice", "obey").to_json().as_bytes());
    let expected = Message::new("mallory", "127.0.0.1", "alice", "obey");
    assert_eq!(alice.read(), expected);
}

#[test]
fn a_name_and_its_line_feed_may_come_apart() {
    let server = TestServer::start();
    let mut peer = Raw::connect(server.address);
    peer.write(b"alice");
    // the welcome shows that silence completed the name
    assert!(peer.read().msg.contains("Welcome, alice!"));
    peer.write(b"\n");
    peer.write(object("/list", "").as_bytes());
    assert_eq!(peer.read().msg, "No other users are connected.");
    // a stream peer now: an object that no one-read peer could take
    peer.send("alice", &"x".repeat(2000));
    assert_eq!(peer.read().msg.len(), 2000);
}

#[test]
fn connections_that_never_register_are_gone_at_the_deadline() {
    let mut limits = limits();
    limits.registration = Duration::from_millis(400);
    let deadline = limits.registration;
    let server = TestServer::with(limits, |builder| builder);
    let begun = Instant::now();
    let mut peers: Vec<Raw> = (0..100)
        .map(|number| {
            let mut peer = Raw::connect(server.address);
            match number % 3 {
                0 => {}
                1 => peer.write(b" \t  "),
                _ => peer.write(&"é".as_bytes()[..1]),
            }
            peer
        })
        .collect();
    eventually("all are connected", || server.handle.connections() == 100);
    for peer in &mut peers {
        let last_words = peer.read_to_end();
        assert_eq!(last_words.len(), 1, "{last_words:?}");
        assert!(last_words[0].msg.starts_with('⛔') && last_words[0].to == "Guest");
    }
    assert!(begun.elapsed() >= deadline, "not before it");
    drop(peers);
    eventually("all are gone", || server.handle.connections() == 0);
}

#[test]
fn half_a_frame_and_then_silence_harms_nobody() {
    let server = TestServer::start();
    let mut half = Raw::join(server.address, "half");
    let object = object("alice", "the other half");
    half.write(&object.as_bytes()[..20]);
    let mut alice = Raw::join(server.address, "alice");
    assert_eq!(alice.fence(), []);
    half.write(&object.as_bytes()[20..]);
    assert_eq!(alice.read().msg, "the other half");
    // and the end of the stream inside an object is an error of its own
    half.write(&object.as_bytes()[..20]);
    half.finish();
    let last_words = half.read_to_end();
    assert_eq!(last_words.len(), 1);
    assert!(last_words[0].msg.contains("ended inside an object"), "{last_words:?}");
}

#[test]
fn everything_sent_before_a_half_close_is_answered() {
    let server = TestServer::start();
    let mut peer = Raw::connect(server.address);
    let commands: String = (0..1000).map(|_| object("/time", "")).collect();
    peer.write(format!("alice\n{commands}").as_bytes());
    peer.finish();
    let answers = peer.read_to_end();
    assert_eq!(answers.len(), 1001);
    assert!(answers[1..].iter().all(|answer| answer.msg.starts_with("Server time")));

    // a name that ends with the stream, and one that never came
    let mut short = Existing::connect(server.address, "bob");
    short.0.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(short.recv().msg.contains("Welcome, bob!"));
    assert_eq!(short.0.read(&mut [0; 10]).unwrap(), 0);
    let mut nothing = Raw::connect(server.address);
    nothing.finish();
    assert_eq!(nothing.read_to_end(), []);
}

#[test]
fn a_frame_one_byte_too_long_ends_the_connection_and_is_named() {
    let mut limits = limits();
    limits.frame = 200;
    let server = TestServer::with(limits, |builder| builder);
    let mut peer = Raw::join(server.address, "alice");
    let empty = Message::new("", "", "alice", "").to_json().len();
    // stamping adds the name and the address to what was sent
    let stamped = empty + "alice127.0.0.1".len();
    peer.send("alice", &"x".repeat(200 - stamped));
    assert_eq!(peer.read().msg.len(), 200 - stamped);
    peer.send("alice", &"x".repeat(200 - stamped + 1));
    assert!(peer.read().msg.starts_with("❌ Not delivered"), "it fits coming, but not going");
    peer.send("alice", &"x".repeat(200 - empty + 1));
    peer.send("alice", "never read");
    let last_words = peer.read_to_end();
    assert_eq!(last_words.len(), 1, "{last_words:?}");
    assert!(last_words[0].msg.contains("within 200 bytes"), "{last_words:?}");
    eventually("the name is free", || server.handle.online() == 0);
}

#[test]
fn a_longest_message_passes_the_rate_of_bytes_and_pauses_its_sender() {
    let mut limits = limits();
    limits.rate_bytes = Some(Rate { per_second: 256, burst: 4096 });
    let server = TestServer::with(limits.clone(), |builder| builder);
    let (mut alice, mut bob) =
        (Raw::join(server.address, "alice"), Raw::join(server.address, "bob"));
    // spaces before the last brace count, and are not forwarded
    let mut longest = Message::new("", "", "bob", "longest").to_json();
    longest.insert_str(longest.len() - 1, &" ".repeat(limits.frame - longest.len()));
    alice.write(longest.as_bytes());
    alice.send("bob", "later");
    // four minutes before the rate has let as many bytes through
    assert_eq!(bob.read().msg, "longest");
    for _ in 0..20 {
        assert_eq!(bob.fence(), [], "the sender is paused, and nobody else");
    }

    limits.rate_bytes = Some(Rate { per_second: limits.frame as u32, burst: 4096 });
    server.handle.set_limits(limits).unwrap();
    assert_eq!(bob.read().msg, "later", "nothing is lost, and another rate ends the pause");
    let begun = Instant::now();
    alice.write(longest.as_bytes());
    alice.send("bob", "last");
    assert_eq!((bob.read().msg, bob.read().msg), ("longest".to_owned(), "last".to_owned()));
    assert!(begun.elapsed() > Duration::from_millis(800), "{:?}", begun.elapsed());
}

#[test]
fn a_schema_error_is_told_and_forgiven_a_framing_error_is_the_end() {
    let server = TestServer::start();
    let mut peer = Raw::join(server.address, "alice");
    peer.write(br#"{"from":{"name":"a","ip":"b"},"to":7,"msg":""}"#);
    assert!(peer.read().msg.contains("`to` must be a string"));
    assert_eq!(peer.fence(), []);
    peer.write(b"garbage");
    peer.write(object("/list", "after").as_bytes());
    let last_words = peer.read_to_end();
    assert_eq!(last_words.len(), 1, "bytes after a framing error are not read: {last_words:?}");
    assert!(last_words[0].msg.starts_with('⛔') && last_words[0].msg.contains("'g'"));
}

#[test]
fn strangers_are_told_and_never_users() {
    let server = TestServer::start();
    let cases: [(&[u8], &[u8]); 3] = [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 400 "),
        (b"\x16\x03\x01\x02\x00\x01\x00", b"\x15\x03"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", b"This port speaks chatproto"),
    ];
    for (hello, answer) in cases {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(hello).unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        assert!(got.starts_with(answer), "{:?}", String::from_utf8_lossy(&got));
    }
    assert_eq!(server.handle.online(), 0);
}

#[test]
fn a_stopping_server_says_goodbye_to_everybody() {
    let server = TestServer::start();
    let mut users: Vec<Raw> =
        (0..50).map(|number| Raw::join(server.address, &format!("user {number}"))).collect();
    let mut guest = Raw::connect(server.address);
    eventually("the guest is there", || server.handle.connections() == 51);
    let address = server.address;
    let stopped = std::thread::spawn(move || server.stop());
    for user in users.iter_mut().chain([&mut guest]) {
        let last = user.read_to_end().pop().expect("a goodbye");
        assert!(last.msg.contains("Goodbye") && last.from.name == "SERVER");
    }
    drop((users, guest));
    stopped.join().unwrap().unwrap();
    assert!(TcpStream::connect(address).is_err(), "nobody listens");
}

#[test]
fn endpoints_of_the_application_answer_in_order_and_may_fail() {
    let server = TestServer::with(limits(), |builder| {
        builder
            .endpoint("/slow", "Answers late.", |request: &Request| {
                std::thread::yield_now();
                Ok(format!("{}: {}", request.user, request.msg))
            })
            .and_then(|builder| {
                builder.endpoint("/no", "Refuses.", |_: &Request| Err("not today".to_owned()))
            })
            .and_then(|builder| {
                builder.endpoint("/bug", "Panics.", |_: &Request| -> Result<String, String> {
                    panic!("a defect of the application")
                })
            })
            .unwrap()
    });
    let mut peer = Raw::join(server.address, "alice");
    let mut all = String::new();
    for number in 0..50 {
        all.push_str(&object("/slow", &format!("/slow {number}")));
        all.push_str(&object("/list", ""));
    }
    for endpoint in ["/no", "/bug", "/help"] {
        all.push_str(&object(endpoint, ""));
    }
    peer.write(all.as_bytes());
    peer.finish();
    for number in 0..50 {
        assert_eq!(peer.read().msg, format!("alice: {number}"));
        assert_eq!(peer.read().msg, "No other users are connected.");
    }
    assert_eq!(peer.read().msg, "❌ not today");
    assert_eq!(peer.read().msg, "❌ The command failed. Try again later.");
    assert!(peer.read().msg.contains("/bug"), "/help comes from the registry");
    assert_eq!(peer.try_read(), None);
}

/// Takes every name but one, and counts.
struct Guard(Arc<AtomicUsize>);

impl chatproto::directory::Directory for Guard {
    fn claim(&self, claim: chatproto::directory::Claim, reply: chatproto::directory::ClaimReply) {
        if claim.name.as_str() == "mallory" {
            return reply.refused("you know why.");
        }
        self.0.fetch_add(1, Ordering::SeqCst);
        reply.granted(0);
    }

    fn release(&self, _: chatproto::directory::Lease, reply: chatproto::directory::ReleaseReply) {
        self.0.fetch_sub(1, Ordering::SeqCst);
        reply.done();
    }
}

#[test]
fn a_directory_decides_about_names_and_input_waits_for_it() {
    let claimed = Arc::new(AtomicUsize::new(0));
    let directory = Guard(Arc::clone(&claimed));
    let server = TestServer::with(limits(), |builder| builder.directory(directory));
    let mut peer = Raw::connect(server.address);
    let commands: String = (0..100).map(|_| object("/time", "")).collect();
    peer.write(format!("alice\n{commands}").as_bytes());
    assert!(peer.read().msg.contains("Welcome"));
    (0..100).for_each(|_| assert!(peer.read().msg.contains("Server time")));
    assert_eq!(claimed.load(Ordering::SeqCst), 1);
    let refused = Client::connect(server.address, "mallory").unwrap_err();
    assert!(refused.to_string().contains("you know why."), "{refused}");
    peer.finish();
    peer.read_to_end();
    eventually("the name is given back", || claimed.load(Ordering::SeqCst) == 0);
}

/// Whichever event loop has somebody who only waits for the end, and no more than one for each.
#[test]
fn for_each_new_connection_one_gives_way() {
    let mut limits = limits();
    limits.connections = 3;
    limits.linger = Duration::from_secs(3600);
    let server = TestServer::with(limits, |builder| builder);
    // of two event loops the first has two strangers, and the other one bob
    let stranger = || {
        let mut peer = Raw::connect(server.address);
        peer.write(b"GET / HTTP/1.1\r\n\r\n");
        peer.stream.read_to_end(&mut Vec::new()).unwrap();
        peer
    };
    let first = stranger();
    let bob = Raw::join(server.address, "bob");
    let second = stranger();
    // so carol is the other one's too
    let carol = Raw::join(server.address, "carol");
    eventually("one gives way", || server.handle.connections() == 3);
    let dave = Raw::join(server.address, "dave");
    eventually("the other one does", || server.handle.connections() == 3);
    assert_eq!(server.handle.online(), 3);
    drop((first, second, bob, carol, dave));
}

#[test]
fn whom_a_full_server_refused_it_does_not_wait_for() {
    let mut limits = limits();
    limits.connections = 2;
    limits.linger = Duration::from_secs(3600);
    let server = TestServer::with(limits, |builder| builder);
    let _alice = Raw::join(server.address, "alice");
    let bob = Raw::join(server.address, "bob");
    // they are told why, and do not close
    let refused: Vec<Raw> = (0..20)
        .map(|_| {
            let mut peer = Raw::connect(server.address);
            assert!(peer.read().msg.contains("full"));
            peer
        })
        .collect();
    // the last one waits until another one comes, as may the one before, if it was just being told
    eventually("the others are gone", || server.handle.connections() <= 4);
    drop(bob);
    // (his place is free a moment after he is a user no longer)
    eventually("there is room for another", || {
        let mut carol = Raw::connect(server.address);
        carol.write(b"carol\n");
        carol.read().msg.contains("Welcome")
    });
    drop(refused);
}
