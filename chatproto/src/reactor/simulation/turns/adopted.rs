//! The same where the crowd speaks WebSocket: headers that carry nothing are no less work. And what an adopted
//! connection brings with it, at a moment at which its socket can be read and written at once.

use std::net::IpAddr;

use crate::Message;
use crate::connection::Framing;
use crate::limits::Rate;
use crate::websocket::testing::{close, frame, message};

use super::super::super::arrival::Origin;
use super::super::network::Nature;
use super::super::world::SECOND;
use super::{CROWD, LITTLE, MUCH, Stage};

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

impl Stage {
    fn adopt(&mut self, room: usize, origin: Origin) -> usize {
        let nature = Nature { lane: 0, room, is_paced: false };
        let wire = self.world.network().connect(nature);
        self.world.adopt(wire, 0, origin);
        wire
    }
}

#[test]
fn a_line_does_not_wait_for_a_crowd_whose_frames_are_empty() {
    let mut stage = Stage::empty(None);
    for number in 0..CROWD {
        let name = format!("one of {number}");
        let origin = Origin::new(ADDRESS).framing(Framing::WebSocket).name(&name);
        let wire = stage.adopt(1 << 20, origin);
        stage.crowd.push(wire);
    }
    stage.settle();
    stage.hear();
    // a message that never ends, in fragments of nothing
    let mut empty = frame(0x01, b"");
    while empty.len() < MUCH {
        empty.extend(frame(0x00, b""));
    }
    for &wire in &stage.crowd {
        stage.world.network().arrive(wire, &empty);
    }
    stage.turn_with_a_line();
    let mut left = stage.unread();
    let read = CROWD * empty.len() - left;
    assert!(read < CROWD * LITTLE + 3 * MUCH, "{read} bytes at once");
    while left > 0 {
        stage.turn_with_a_line();
        let before = std::mem::replace(&mut left, stage.unread());
        assert!(left < before, "the crowd waits for the line");
        assert!(before - left <= empty.len(), "{} bytes in a turn", before - left);
    }
}

#[test]
fn a_quiet_browser_is_pinged_before_a_balancer_gives_it_up() {
    let mut stage = Stage::empty(None);
    let browsers: Vec<usize> = (0..CROWD)
        .map(|number| Origin::new(ADDRESS).name(&format!("browser {number}")))
        .map(|origin| stage.adopt(1 << 20, origin.framing(Framing::WebSocket)))
        .collect();
    let plain = stage.adopt(1 << 20, Origin::new(ADDRESS).name("plain"));
    stage.settle();
    let mut buffer = vec![0; 1 << 12];
    for &wire in browsers.iter().chain([&plain]) {
        assert!(stage.world.network().read(wire, &mut buffer) > 0, "a welcome");
    }
    let (talker, others) = browsers.split_first().expect("some");
    let mut last = vec![0; others.len()];
    for second in 1..=200 {
        let now = stage.world.now + SECOND;
        stage.world.advance(now);
        if second % 10 == 0 {
            let text = object("/ping", "x");
            stage.world.network().arrive(*talker, &message(text.as_bytes()));
        }
        stage.settle();
        let mut pinged = 0;
        for (&wire, last) in others.iter().zip(&mut last) {
            let length = stage.world.network().read(wire, &mut buffer);
            if length > 0 {
                assert_eq!(buffer[..length], [0x89, 0], "a ping");
                assert!((20..=40).contains(&(second - *last)), "{second} after {last}");
                (*last, pinged) = (second, pinged + 1);
                stage.world.network().arrive(wire, &frame(0x8A, b""));
            }
            assert!(second - *last <= 40, "{second} after {last}");
        }
        assert!(pinged <= CROWD / 10, "{pinged} at once");
        let length = stage.world.network().read(*talker, &mut buffer);
        assert_eq!(length > 0, second % 10 == 0, "it is not quiet");
        assert!(!buffer[..length].starts_with(&[0x89]));
    }
    assert_eq!(stage.world.network().read(plain, &mut buffer), 0);
    for wire in browsers {
        stage.world.network().arrive(wire, &close());
    }
    stage.settle();
    // without browsers, the loop need not wake for them
    let now = stage.world.now + 10 * SECOND;
    stage.world.advance(now);
    stage.settle();
    let reactor = stage.world.lanes[0].reactor.as_mut().expect("a loop that runs");
    assert_eq!((reactor.framed, reactor.ping_at), (0, None));
}

#[test]
fn bytes_that_were_read_before_do_not_hide_those_that_came_meanwhile() {
    let name = message(b"alice");
    for at in 0..=name.len() {
        let mut stage = Stage::empty(None);
        stage.settle();
        let received = name[..at].to_vec();
        let origin = Origin::new(ADDRESS).framing(Framing::WebSocket).received(received);
        let wire = stage.adopt(1 << 20, origin);
        stage.world.network().arrive(wire, &name[at..]);
        stage.settle();
        let mut bytes = vec![0; 1 << 12];
        let length = stage.world.network().read(wire, &mut bytes);
        let heard = String::from_utf8_lossy(&bytes[..length]).into_owned();
        assert!(heard.contains("Welcome, alice!"), "{at}: {heard:?}");
    }
}

/// Bytes that each of a crowd sends, and whether an object or an end comes of it.
fn attacks() -> Vec<(&'static str, bool, Vec<u8>)> {
    let repeat = |frame: Vec<u8>| {
        let count = MUCH / frame.len();
        frame.repeat(count)
    };
    let spelt = |text: &str| {
        let mut frames = frame(0x01, b"");
        frames.extend(text.bytes().flat_map(|byte| frame(0x00, &[byte])));
        frames.extend(frame(0x80, b""));
        frames
    };
    let ping = object("/ping", "");
    let mut endless = vec![0x81, 0xFF];
    endless.extend((1_u64 << 62).to_be_bytes());
    endless.extend([0; 4]);
    endless.resize(MUCH, b' ');
    let mut half = frame(0x89, &[b'x'; 125]);
    half.pop();
    let mut close = frame(0x88, b"");
    close.resize(MUCH, b'x');
    vec![
        ("pings", false, repeat(frame(0x89, b""))),
        ("long pings", false, repeat(frame(0x89, &[b'x'; 125]))),
        ("pongs", false, repeat(frame(0x8A, b""))),
        ("blank messages", false, repeat(frame(0x81, b""))),
        ("fragments of nothing", false, [frame(0x01, b""), repeat(frame(0x00, b""))].concat()),
        ("objects byte for byte", true, repeat(spelt(&ping))),
        (
            "objects between pings",
            true,
            repeat([frame(0x81, ping.as_bytes()), frame(0x89, b"x")].concat()),
        ),
        ("an endless blank message", false, endless),
        ("half an object", false, frame(0x81, &[&b"{"[..], &[b' '; 100]].concat())[..100].to_vec()),
        ("half a ping", false, half),
        ("half a header", false, vec![0x81, 0xFF, 0, 0, 0, 0, 0, 0, 1, 0, 1, 2, 3]),
        ("a close frame and more", true, close),
        ("a violation and more", true, repeat(frame(0x82, b"x"))),
    ]
}

fn object(to: &str, msg: &str) -> String {
    Message::new("", "", to, msg).to_json()
}

/// The cost of a crowd that never reads, for the others.
#[derive(Debug, Default)]
struct Cost {
    /// Turns until a line of another user was heard, at most.
    delay: usize,
    /// Turns until all was read, and bytes in one of them at most, but for the first.
    turns: usize,
    bytes: usize,
    /// Bytes that are stored of each one's input, and queued for each.
    input: usize,
    queued: usize,
}

fn cost(rate: Option<Rate>, is_framed: bool, bytes: &[u8]) -> Cost {
    let mut stage = Stage::empty(rate);
    for number in 0..CROWD {
        let mut origin = Origin::new(ADDRESS).name(&format!("one of {number}"));
        if is_framed {
            origin = origin.framing(Framing::WebSocket);
        }
        // there is room for the welcome and a little more
        let wire = stage.adopt(500, origin);
        stage.crowd.push(wire);
    }
    stage.settle();
    stage.hear();
    for &wire in &stage.crowd {
        stage.world.network().arrive(wire, bytes);
    }
    let (mut cost, mut left, mut said) = (Cost::default(), stage.unread(), None);
    let (line, mut lines) = (object("reader", "a line") + "\n", 0);
    while !stage.is_idle() {
        if said.is_none() && lines < 10 {
            stage.world.network().arrive(stage.writer, line.as_bytes());
            // (with more of them, the writer would be ahead of the rate)
            (said, lines) = (Some(cost.turns), lines + 1);
        }
        stage.world.step(0);
        if stage.hear().contains("a line")
            && let Some(said) = said.take()
        {
            cost.delay = cost.delay.max(cost.turns - said);
        }
        let before = std::mem::replace(&mut left, stage.unread());
        if cost.turns > 0 {
            cost.bytes = cost.bytes.max(before - left);
        }
        let usage = stage.world.shared.usage();
        cost.input = cost.input.max(usage.input.bytes / CROWD);
        cost.queued = cost.queued.max(usage.queues.bytes / CROWD);
        cost.turns += 1;
        assert!(cost.turns < 10 * CROWD, "there is no end");
    }
    assert_eq!(said, None, "the line was not heard");
    cost
}

#[test]
fn a_crowd_over_websocket_costs_no_more_than_one_without_frames() {
    for rate in [None, Some(Rate { per_second: 10, burst: 200 })] {
        let pings = (object("/ping", "") + "\n").repeat(MUCH / 64);
        let plain = cost(rate, false, pings.as_bytes());
        println!("{rate:?}, pings without frames: {plain:?}");
        for (attack, is_answered, bytes) in attacks() {
            let cost = cost(rate, true, &bytes);
            println!("{rate:?}, {attack}: {cost:?}");
            let most = if is_answered { plain.delay } else { 0 };
            assert!(rate.is_some() || cost.delay <= most, "{attack}: {cost:?}, not {plain:?}");
            assert!(cost.delay <= plain.delay, "{attack}: {cost:?}, not {plain:?}");
            assert!(cost.bytes <= bytes.len().max(3 * MUCH), "{attack}: {cost:?}");
            assert!(cost.input <= MUCH + 512, "{attack}: {cost:?}");
            // (there are more of shorter answers)
            assert!(cost.queued <= 2 * plain.queued, "{attack}: {cost:?}, not {plain:?}");
        }
    }
}

#[cfg(feature = "tls")]
mod secure {
    use std::collections::VecDeque;
    use std::io::{self, ErrorKind, Read, Write};
    use std::sync::Arc;

    use rcgen::{CertificateParams, KeyPair};
    use rustls::ServerConnection;

    use crate::Message;
    use crate::tls::{ClientStream, ClientTls, ServerTls};

    use super::{ADDRESS, Origin, Stage};

    /// The bytes under way between a client and a session that no loop has yet.
    #[derive(Default)]
    struct Pipe {
        to_server: Vec<u8>,
        to_client: VecDeque<u8>,
    }

    impl Read for Pipe {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.to_client.read(buffer)? {
                0 => Err(ErrorKind::WouldBlock.into()),
                length => Ok(length),
            }
        }
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.to_server.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Everything that the client can read now.
    fn read(client: &mut ClientStream, pipe: &mut Pipe) -> String {
        let (mut text, mut buffer) = (Vec::new(), vec![0; ClientStream::LEAST_BUFFER]);
        loop {
            match client.read(pipe, &mut buffer) {
                Ok(0) => break,
                Ok(length) => text.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("the client cannot read it: {error}"),
            }
        }
        String::from_utf8(text).expect("text")
    }

    fn session() -> (ClientStream, ServerConnection, Pipe) {
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(vec!["chat.test".to_owned()])
            .and_then(|params| params.self_signed(&key))
            .expect("a certificate");
        let (certificate, key) = (certificate.pem(), key.serialize_pem());
        let server = ServerTls::from_pem(certificate.as_bytes(), key.as_bytes())
            .expect("a key and its certificate");
        let settings = ClientTls::fingerprint(server.fingerprint());
        let mut client = ClientStream::new(&settings, None, ADDRESS).expect("a peer's name");
        let mut session = ServerConnection::new(Arc::clone(server.config())).expect("a session");
        let mut pipe = Pipe::default();
        client.flush(&mut pipe).expect("a hello");
        while session.is_handshaking() || !pipe.to_client.is_empty() {
            let cipher = std::mem::take(&mut pipe.to_server);
            session.read_tls(&mut &cipher[..]).expect("room");
            session.process_new_packets().expect("a handshake");
            while session.wants_write() {
                session.write_tls(&mut pipe.to_client).expect("memory");
            }
            assert_eq!(read(&mut client, &mut pipe), "");
        }
        (client, session, pipe)
    }

    #[test]
    fn records_wait_for_the_bytes_that_were_not_sent() {
        let line = |msg: &str| Message::new("x", "", "alice", msg).to_json() + "\n";
        for room in [40, 100, 333, 2000] {
            let (mut client, mut session, mut pipe) = session();
            let mut unsent = Vec::new();
            for number in 0..30 {
                session.writer().write_all(line(&format!("{number}")).as_bytes()).expect("room");
                session.write_tls(&mut unsent).expect("memory");
            }
            session.writer().write_all(line("last").as_bytes()).expect("room");
            assert!(session.wants_write());
            let mut stage = Stage::empty(None);
            stage.settle();
            let wire = stage.adopt(room, Origin::new(ADDRESS).tls(session).unsent(unsent));
            stage.world.step(0);
            // in each turn it can be read and written
            client.write(&mut pipe, b"alice\n").expect("a record");
            let mut heard = String::new();
            for turn in 0..1000 {
                let mut bytes = vec![0; room];
                let length = stage.world.network().read(wire, &mut bytes);
                pipe.to_client.extend(&bytes[..length]);
                heard.push_str(&read(&mut client, &mut pipe));
                if turn % 4 == 0 {
                    client.write(&mut pipe, b" ").expect("a record");
                }
                let cipher = std::mem::take(&mut pipe.to_server);
                stage.world.network().arrive(wire, &cipher);
                stage.world.step(0);
            }
            let heard: Vec<_> = heard.lines().collect();
            assert_eq!(heard.len(), 32, "{heard:?}");
            assert!(
                heard[30].contains("last") && heard[31].contains("Welcome, alice!"),
                "{heard:?}"
            );
        }
    }

    #[test]
    fn records_that_a_session_has_not_looked_at_are_not_forgotten() {
        for ends in [false, true] {
            let (mut client, mut session, mut pipe) = session();
            client.write(&mut pipe, b"alice\n").expect("a record");
            if ends {
                client.finish(&mut pipe).expect("the end");
            }
            session.read_tls(&mut &pipe.to_server[..]).expect("room");
            let mut stage = Stage::empty(None);
            stage.settle();
            let wire = stage.adopt(1 << 20, Origin::new(ADDRESS).tls(session));
            stage.settle();
            let mut bytes = vec![0; 1 << 14];
            let length = stage.world.network().read(wire, &mut bytes);
            pipe.to_client.extend(&bytes[..length]);
            assert!(read(&mut client, &mut pipe).contains("Welcome, alice!"));
            // the client's end of the socket is open
            assert_eq!(stage.world.network().wires[wire].ended, ends);
        }
    }
}
