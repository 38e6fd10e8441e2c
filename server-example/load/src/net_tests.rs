//! The event loop of the load against sockets of the test: what is read, when a turn ends, and what is
//! held of what does not end.

use std::io::{Read, Write};
use std::net::TcpListener;

use chatproto::Message;

use super::*;

/// What happened, in words.
#[derive(Debug, Default)]
struct Record(Vec<String>);

impl Driver for Record {
    fn welcomed(&mut self, _: &mut Net, who: u32, _: Duration) {
        self.0.push(format!("{who} welcomed"));
    }
    fn ended(&mut self, _: &mut Net, who: u32, end: End) {
        self.0.push(format!("{who} {end:?}"));
    }
    fn message(&mut self, _: &mut Net, who: u32, message: &MessageRef<'_>, _: u64) {
        self.0.push(format!("{who} {}", message.msg.to_str()));
    }
    fn unreadable(&mut self, _: &mut Net, who: u32, error: Option<DecodeError>) {
        self.0.push(format!("{who} cannot read: {error:?}"));
    }
}

struct Trial {
    net: Net,
    record: Record,
    listener: TcpListener,
}

impl Trial {
    fn new(timeout: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let net = Net::new(listener.local_addr().unwrap(), timeout).unwrap();
        Trial { net, record: Record::default(), listener }
    }

    /// Lets the loop turn until so much has happened.
    fn until(&mut self, happened: usize) -> &[String] {
        let (begun, mut events) = (Instant::now(), Events::with_capacity(16));
        while self.record.0.len() < happened {
            self.net.turn(&mut self.record, &mut events, Duration::from_millis(10)).unwrap();
            assert!(begun.elapsed() < PATIENCE, "no more than {:?}", self.record);
        }
        assert_eq!(self.record.0.len(), happened, "{:?}", self.record);
        &self.record.0
    }

    /// The server's side of a client that has been welcomed.
    fn welcome(&mut self, kind: PeerKind) -> std::net::TcpStream {
        let before = self.record.0.len();
        self.net.add("bob", kind).unwrap();
        let (mut server, _) = self.listener.accept().unwrap();
        server.write_all(text("Welcome").as_bytes()).unwrap();
        self.until(before + 1);
        server
    }
}

fn text(text: &str) -> String {
    Message::new("SERVER", "0.0.0.0", "bob", text).to_json() + "\n"
}

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn an_end_that_comes_with_the_last_words_is_seen() {
    let mut trial = Trial::new(PATIENCE);
    let mut server = trial.welcome(PeerKind::Stream);
    server.write_all(text("bye").as_bytes()).unwrap();
    drop(server);
    let end = End::Lost("the server closed the connection".to_owned());
    assert_eq!(trial.until(3), ["0 welcomed", "0 bye", &format!("0 {end:?}")]);
    assert_eq!((trial.net.open(), trial.net.registering()), (0, 0));
}

#[test]
fn who_leaves_hears_what_is_on_its_way() {
    let mut trial = Trial::new(PATIENCE);
    let mut server = trial.welcome(PeerKind::Stream);
    trial.net.say(0, |out| out.extend_from_slice(b"last"));
    trial.net.close(0);
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut heard = String::new();
    server.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "bob\nlast");
    server.write_all(text("bye").as_bytes()).unwrap();
    drop(server);
    assert_eq!(trial.net.close_all(&mut trial.record, || false), 0);
    assert_eq!(trial.record.0, ["0 welcomed", "0 bye"]);
}

#[test]
fn a_client_without_a_welcome_has_failed_in_time() {
    let mut trial = Trial::new(Duration::from_millis(20));
    trial.net.add("bob", PeerKind::Stream).unwrap();
    assert_eq!(trial.until(1), ["0 TimedOut"]);
}

#[test]
fn an_interrupted_leave_waits_for_nobody() {
    let mut trial = Trial::new(PATIENCE);
    let _server = trial.welcome(PeerKind::Stream);
    let begun = Instant::now();
    assert_eq!(trial.net.close_all(&mut trial.record, || true), 1);
    assert!(begun.elapsed() < PATIENCE / 2);
}

#[test]
fn a_server_that_never_stops_sending_ends_no_turn_late() {
    let mut trial = Trial::new(PATIENCE);
    let mut server = trial.welcome(PeerKind::Stream);
    let blank = vec![b' '; 1 << 20];
    let flood = std::thread::spawn(move || while server.write_all(&blank).is_ok() {});
    let mut events = Events::with_capacity(16);
    let begun = Instant::now();
    for _ in 0..20 {
        trial.net.turn(&mut trial.record, &mut events, Duration::from_millis(1)).unwrap();
        assert!(trial.net.read_in_turn <= READ_AT_ONCE + 64 * 1024);
    }
    assert!(begun.elapsed() < PATIENCE);
    trial.net.close_all(&mut trial.record, || true);
    flood.join().unwrap();
}

#[test]
fn each_client_with_something_to_read_has_its_turn() {
    const CLIENTS: usize = 8;
    let mut trial = Trial::new(PATIENCE);
    let mut servers: Vec<_> = (0..CLIENTS).map(|_| trial.welcome(PeerKind::Stream)).collect();
    // a turn has room for one client's read of four objects, and each has 40 objects to read
    let object = text(&"x".repeat(900));
    trial.net.buffer = vec![0; 4 * object.len()];
    trial.net.read_a_turn = 1;
    for server in &mut servers {
        server.write_all(object.repeat(40).as_bytes()).unwrap();
    }
    let mut events = Events::with_capacity(16);
    // all of them are known to be ready
    while trial.net.unread.len() < CLIENTS {
        trial.net.read_in_turn = trial.net.read_a_turn;
        trial.net.poll.poll(&mut events, Some(PATIENCE)).unwrap();
        for event in &events {
            let Token(who) = event.token();
            trial.net.make_unread(who as u32, false);
        }
    }
    trial.record.0.clear();
    for _ in 0..CLIENTS {
        trial.net.turn(&mut trial.record, &mut events, Duration::ZERO).unwrap();
    }
    for who in 0..CLIENTS {
        let of_it = format!("{who} ");
        let heard = trial.record.0.iter().filter(|line| line.starts_with(&of_it)).count();
        assert_eq!(heard, 4, "{who}");
    }
    drop(servers);
}

#[test]
fn objects_without_an_end_are_bounded_for_all_clients_together() {
    let mut trial = Trial::new(PATIENCE);
    let servers: Vec<_> = (0..6).map(|_| trial.welcome(PeerKind::Stream)).collect();
    let floods: Vec<_> = servers
        .into_iter()
        .map(|mut server| {
            std::thread::spawn(move || {
                let text = vec![b'x'; 1 << 20];
                let _ = server.write_all(b"{\"msg\":\"");
                // less than the largest frame
                (0..60).all(|_| server.write_all(&text).is_ok());
                server
            })
        })
        .collect();
    let mut events = Events::with_capacity(16);
    let begun = Instant::now();
    while trial.record.0.len() < 7 {
        trial.net.turn(&mut trial.record, &mut events, Duration::from_millis(10)).unwrap();
        assert!(trial.net.partial <= MOST_PARTIAL + (64 << 10), "{}", trial.net.partial);
        assert!(begun.elapsed() < PATIENCE, "{:?}", trial.record);
    }
    let said = &trial.record.0[6];
    assert!(said.contains("of an object that does not end"), "{said}");
    trial.net.close_all(&mut trial.record, || true);
    assert_eq!(trial.net.partial, 0);
    floods.into_iter().for_each(|flood| drop(flood.join()));
}

#[test]
fn a_one_read_peer_takes_a_read_for_an_object() {
    let mut trial = Trial::new(PATIENCE);
    let mut server = trial.welcome(PeerKind::OneRead);
    server.write_all(text("one").as_bytes()).unwrap();
    assert_eq!(trial.until(2)[1], "0 one");
    server.write_all((text("two") + &text("three")).as_bytes()).unwrap();
    assert!(trial.until(3)[2].starts_with("0 cannot read"));
}

/// An unmasked frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[first, 126], &length[..], payload].concat()
}

/// The server's side of a WebSocket, before its handshake is answered, and the answer.
fn opening(trial: &mut Trial) -> (std::net::TcpStream, String) {
    let url = format!("ws://{}/ws", trial.listener.local_addr().unwrap());
    trial.net.url = Some(url.parse().unwrap());
    trial.net.add("bob", PeerKind::Stream).unwrap();
    let (mut server, _) = trial.listener.accept().unwrap();
    server.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let (begun, mut events) = (Instant::now(), Events::with_capacity(16));
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        trial.net.turn(&mut trial.record, &mut events, Duration::ZERO).unwrap();
        let mut buffer = [0; 1024];
        if let Ok(length) = server.read(&mut buffer) {
            request.extend_from_slice(&buffer[..length]);
        }
        assert!(begun.elapsed() < PATIENCE, "no request");
    }
    let request = String::from_utf8(request).unwrap();
    let key = request.split("Sec-WebSocket-Key: ").nth(1).unwrap().lines().next().unwrap();
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        chatproto::websocket::accept_key(key)
    );
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    (server, answer)
}

#[test]
fn a_websocket_ends_with_its_close_frame_or_a_violation() {
    for (last, end) in [
        (frame(0x88, &1001_u16.to_be_bytes()), "the server closed the WebSocket with code 1001"),
        (
            frame(0x82, b"{}"),
            "the server violated the rules of WebSocket: a message must be a text frame, not a binary one",
        ),
    ] {
        // the header of a control frame has no length of two bytes
        let last = if last[0] == 0x88 { [&[0x88, 2], &last[4..]].concat() } else { last };
        for piece in [1, 100_000] {
            let mut trial = Trial::new(PATIENCE);
            let (mut server, answer) = opening(&mut trial);
            let welcome = frame(0x81, text("Welcome").as_bytes());
            let long = text(&"x".repeat(2_000));
            let (first, second) = long.split_at(1_000);
            let object = [frame(0x01, first.as_bytes()), frame(0x80, second.as_bytes())].concat();
            let all = [answer.into_bytes(), welcome, object, last.clone()].concat();
            for piece in all.chunks(piece) {
                server.write_all(piece).unwrap();
            }
            let happened = trial.until(3);
            assert_eq!(happened[0], "0 welcomed");
            assert_eq!(happened[1], format!("0 {}", "x".repeat(2_000)));
            assert_eq!(happened[2], format!("0 {:?}", End::Lost(end.to_owned())));
            let mut sent = Vec::new();
            server.read_to_end(&mut sent).unwrap();
            // the name, and the answer to the end
            assert_eq!((sent[0], sent.len()), (0x81, (6 + 3) + (6 + 2)));
        }
    }
}

#[test]
fn a_websocket_that_is_not_opened_is_explained() {
    for (answer, why) in [
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
            "the server refused the WebSocket handshake with 404 Not Found: no (check the path of the URL)",
        ),
        (
            "",
            "the server closed the connection during the WebSocket handshake: check the port, and that a \
             wss:// URL is used where the server speaks TLS",
        ),
    ] {
        let mut trial = Trial::new(PATIENCE);
        let (mut server, _) = opening(&mut trial);
        server.write_all(answer.as_bytes()).unwrap();
        drop(server);
        assert_eq!(trial.until(1), [format!("0 {:?}", End::Dropped(why.to_owned()))]);
    }
}

#[test]
fn a_websocket_client_that_leaves_sends_a_close_frame() {
    let mut trial = Trial::new(PATIENCE);
    let (mut server, answer) = opening(&mut trial);
    let welcome = frame(0x81, text("Welcome").as_bytes());
    server.write_all(&[answer.as_bytes(), &welcome].concat()).unwrap();
    trial.until(1);
    trial.net.say(0, |out| out.extend_from_slice(b"last"));
    trial.net.close(0);
    let mut sent = vec![0; (6 + 3) + (6 + 4) + (6 + 2)];
    server.read_exact(&mut sent).unwrap();
    assert_eq!((sent[0], sent[9], sent[19]), (0x81, 0x81, 0x88));
    server.write_all(&frame(0x81, text("bye").as_bytes())).unwrap();
    server.write_all(&[0x88, 0]).unwrap();
    // the connection ends with the answer, whether the server closes it or not
    assert_eq!(trial.net.close_all(&mut trial.record, || false), 0);
    assert_eq!(trial.record.0, ["0 welcomed", "0 bye"]);
}
