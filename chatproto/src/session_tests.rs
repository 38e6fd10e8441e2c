//! Tests of `session`: the kind of a server, the pace of objects, the name, the `/ping`s.

use std::time::{Duration, Instant};

use crate::decode::Decoder;
use crate::handshake::PeerKind;
use crate::message::Message;
use crate::name::UserName;
use crate::session::{ClientError, Session, SessionEvent};

const PACE: Duration = Duration::from_millis(20);

const WELCOME: &str =
    r#"{"from":{"name":"SERVER","ip":"0.0.0.0"},"to":"alice","msg":"Welcome, alice!"}"#;

fn session(now: Instant) -> Session {
    let mut session = Session::new(UserName::new("alice").unwrap(), "192.0.2.7");
    assert_eq!(session.poll_transmit(now), b"alice\n");
    session.handle_transmitted(6, now);
    session
}

#[test]
fn a_line_feed_within_the_grace_makes_a_stream_server() {
    let now = Instant::now();
    let late = now + Duration::from_millis(9);
    let mut session = session(now);
    session.handle_input(WELCOME.as_bytes(), now);
    assert_eq!(session.server_kind(), None);
    session.handle_input(b"\n", late);
    assert_eq!(session.server_kind(), Some(PeerKind::Stream));
    session.send("bob", "1").unwrap();
    session.send("bob", "2").unwrap();
    for _ in 0..2 {
        let length = session.poll_transmit(late).len();
        assert!(length > 0, "no pacing");
        session.handle_transmitted(length, late);
    }
}

#[test]
fn a_message_is_as_long_as_a_decoder_takes_it() {
    let now = Instant::now();
    for (kind, end) in [(PeerKind::Stream, "\n"), (PeerKind::OneRead, "")] {
        let mut session = session(now);
        session.handle_input(WELCOME.as_bytes(), now);
        session.handle_input(end.as_bytes(), now);
        session.handle_timeout(now + Duration::from_millis(10));
        assert_eq!(session.server_kind(), Some(kind));
        let Err(ClientError::FrameTooLong { length, limit, .. }) =
            session.send("bob", &"x".repeat(70_000))
        else {
            panic!("it is too long");
        };
        let most = 70_000 - (length - limit);
        session.send("bob", &"x".repeat(most)).unwrap();
        let later = now + PACE;
        let mut object = session.poll_transmit(later);
        match kind {
            PeerKind::Stream => assert_eq!((limit, object.len()), (65_536, 65_537), "LF behind it"),
            PeerKind::OneRead => assert_eq!((limit, object.len()), (1024, 1024)),
        }
        assert!(Decoder::new(limit).decode(&mut object).unwrap().is_some());
        let longer = session.send("bob", &"x".repeat(most + 1)).unwrap_err();
        assert!(longer.to_string().contains(&format!("the limit of {limit} bytes")), "{longer}");
    }
}

#[test]
fn without_one_objects_are_paced_ascii_and_short() {
    let now = Instant::now();
    let mut session = session(now);
    session.handle_input(WELCOME.as_bytes(), now);
    let decided = session.poll_timeout().unwrap();
    assert_eq!(decided, now + Duration::from_millis(10));
    session.handle_timeout(decided);
    assert_eq!(session.server_kind(), Some(PeerKind::OneRead));
    session.send("bob", "è").unwrap();
    session.send("bob", "2").unwrap();
    assert!(matches!(
        session.send("bob", &"x".repeat(1024)),
        Err(ClientError::FrameTooLong { limit: 1024, .. })
    ));
    // the name was written at `now`
    assert_eq!(session.poll_transmit(decided), b"");
    let first = now + PACE;
    assert_eq!(session.poll_timeout(), Some(first));
    let object = session.poll_transmit(first);
    assert!(object.is_ascii() && object.ends_with(b"\"msg\": \"\\u00e8\"}\n"), "{object:?}");
    let length = object.len();
    session.handle_transmitted(length, first);
    assert_eq!(session.poll_transmit(first + PACE / 2), b"");
    assert_ne!(session.poll_transmit(first + PACE), b"");
}

#[test]
fn nothing_but_the_name_is_written_before_the_welcome() {
    let now = Instant::now();
    let mut session = session(now);
    session.send("bob", "early").unwrap();
    assert_eq!(session.poll_transmit(now + PACE * 10), b"");
    session.handle_input(WELCOME.as_bytes(), now + PACE * 10);
    assert_ne!(session.poll_transmit(now + PACE * 10), b"");
}

#[test]
fn an_object_that_the_end_cut_off_is_told_once() {
    let now = Instant::now();
    let mut session = session(now);
    session.handle_input(&WELCOME.as_bytes()[..20], now);
    session.handle_end();
    assert!(matches!(session.poll_event(), Some(SessionEvent::Bad(_))));
    session.handle_end();
    assert_eq!(session.poll_event(), None);
}

#[test]
fn the_name_is_the_one_to_which_the_server_answers() {
    let now = Instant::now();
    let mut session = session(now);
    let mut hear = |from: &str, to: &str, msg: &str| {
        let message = Message::new(from, "0.0.0.0", to, msg);
        session.handle_input(format!("{}\n", message.to_json()).as_bytes(), now);
        let before = session.name().to_string();
        assert!(session.poll_event().is_some());
        (before, session.name().to_string())
    };
    let same = |name: &str| (name.to_owned(), name.to_owned());
    // from the welcome on, for a guest
    assert_eq!(hear("SERVER", "alice~7", "Welcome"), ("alice".into(), "alice~7".into()));
    for to in ["Everyone", "#tea", "", "Guest", "a,b", "/list"] {
        assert_eq!(hear("SERVER", to, "bob joined."), same("alice~7"), "{to}");
    }
    assert_eq!(hear("bob", "alice", "hi"), same("alice~7"));
    assert_eq!(hear("SERVER", "alice", "logged in"), ("alice~7".into(), "alice".into()));
    session.send("bob", "hi").unwrap();
    let sent = String::from_utf8(session.poll_transmit(now).to_vec()).unwrap();
    assert!(sent.contains(r#""name":"alice""#), "{sent}");
}

/// A session with an interval of 1 s that was welcomed at `now`.
fn pinging(now: Instant) -> Session {
    let mut session = session(now).ping_interval(SECOND);
    assert_eq!(session.poll_silence(), None);
    session.handle_input(format!("{WELCOME}\n").as_bytes(), now);
    assert!(matches!(session.poll_event(), Some(SessionEvent::Registered(_))));
    session
}

const SECOND: Duration = Duration::from_secs(1);

fn say(session: &mut Session, msg: &str, now: Instant) {
    let message = Message::new("SERVER", "0.0.0.0", "alice", msg);
    session.handle_input(format!("{}\n", message.to_json()).as_bytes(), now);
}

#[test]
fn a_silent_server_is_asked_and_then_given_up() {
    let now = Instant::now();
    let mut session = pinging(now);
    session.handle_silence(now + SECOND / 2);
    assert!(!session.has_outgoing());
    assert_eq!(session.poll_silence(), Some(now + SECOND));
    session.handle_silence(now + SECOND);
    let sent = String::from_utf8(session.poll_transmit(now + SECOND).to_vec()).unwrap();
    assert!(sent.contains(r#""to":"/ping","msg":"keep-alive-0""#), "{sent}");
    assert_eq!(session.poll_silence(), Some(now + SECOND * 2));
    session.handle_silence(now + SECOND * 2);
    assert_eq!(session.poll_event(), Some(SessionEvent::Silent(SECOND)));
    assert_eq!(session.poll_silence(), None);
    session.handle_silence(now + SECOND * 9);
    assert_eq!(session.poll_event(), None, "it is told once");
}

#[test]
fn any_byte_is_a_sign_of_life() {
    let mut now = Instant::now();
    let mut session = pinging(now);
    for part in ["\n", " ", ""] {
        now += SECOND;
        session.handle_silence(now);
        session.handle_input(part.as_bytes(), now + SECOND / 2);
        session.handle_silence(now + SECOND);
        assert_eq!(session.poll_silence(), Some(now + SECOND * 3 / 2), "{part:?}");
        assert_eq!(session.poll_event(), None);
    }
}

#[test]
fn the_answers_to_its_own_pings_are_no_messages() {
    let refusal = "❌ Unknown command \"/ping\". Send /help to see the commands.";
    for answer in ["keep-alive-0", refusal] {
        let now = Instant::now();
        let mut session = pinging(now);
        session.handle_silence(now + SECOND);
        say(&mut session, answer, now + SECOND);
        assert_eq!(session.poll_event(), None, "{answer}");
        // what nobody asked for is shown
        say(&mut session, answer, now + SECOND);
        assert!(matches!(session.poll_event(), Some(SessionEvent::Message(_))), "{answer}");
    }
}

#[test]
fn dropped_answers_are_not_waited_for() {
    let mut now = Instant::now();
    let mut session = pinging(now);
    for _ in 0..40 {
        now += SECOND;
        session.handle_silence(now);
        session.handle_input(b"\n", now);
    }
    // the last one is answered, which is the only one that may still be
    say(&mut session, "keep-alive-39", now);
    assert_eq!(session.poll_event(), None);
    for number in [0, 38, 39, 40] {
        say(&mut session, &format!("keep-alive-{number}"), now);
        assert!(matches!(session.poll_event(), Some(SessionEvent::Message(_))), "{number}");
    }
}

#[test]
fn a_refusal_is_not_a_registration() {
    let now = Instant::now();
    let mut session = session(now);
    let refusal = Message::new("SERVER", "0.0.0.0", "Guest", "⛔ Error: in use");
    session.handle_input(refusal.to_json().as_bytes(), now);
    assert_eq!(session.poll_event(), Some(SessionEvent::Refused(refusal)));
    assert!(!session.is_registered());
}
