//! What users say to each other through the hub: to one, to all, by which name and in which form,
//! what is too long, and what is no message at all (A9, A11, B2, B4 to B6, B8).

use chatproto::handshake::PeerKind;
use chatproto::hub::{Departure, Event, Hub};
use chatproto::{Limits, Message};

use crate::common::{HOME, House, Mail};

/// The text that makes an object from alice at home to bob of so many bytes, without the LF.
fn text_for(length: usize, encode: fn(&Message) -> String) -> String {
    let empty = encode(&Message::new("alice", "127.0.0.1", "bob", ""));
    "x".repeat(length - empty.len())
}

fn room_with(change: impl FnOnce(&mut Limits)) -> House {
    let mut limits = Limits::default();
    change(&mut limits);
    House::of(Hub::builder().limits(limits))
}

/// The reason that a sender is told, when nothing else came out.
fn only_complaint(mail: &Mail, sender: chatproto::hub::ConnId) -> String {
    let text = mail.only_answer(sender);
    assert!(text.starts_with('❌'), "{text}");
    text
}

// to one

#[test]
fn a_message_reaches_the_user_it_names_and_nobody_else() {
    let mut house = House::new();
    let (alice, bob, _carol) = (house.stream("alice"), house.stream("bob"), house.stream("carol"));
    assert!(house.send(alice, "bob", "hello"));
    let mail = house.mail();
    assert_eq!(mail.0.len(), 1);
    let expected = r#"{"from":{"name":"alice","ip":"127.0.0.1"},"to":"bob","msg":"hello"}"#;
    assert_eq!(mail.raw(bob), [expected]);
}

#[test]
fn a_user_may_write_to_itself() {
    let mut house = House::new();
    let alice = house.stream("alice");
    house.send(alice, "alice", "note");
    assert_eq!(house.mail().messages(alice)[0].msg, "note");
}

#[test]
fn messages_of_one_sender_stay_in_order() {
    let mut house = House::new();
    let (alice, bob) = (house.stream("alice"), house.one_read("bob"));
    for number in 0..10 {
        house.send(alice, "bob", &number.to_string());
    }
    let texts: Vec<_> = house.mail().messages(bob).into_iter().map(|message| message.msg).collect();
    assert!(texts.iter().eq(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]));
}

#[test]
fn nobody_speaks_for_somebody_else() {
    let mut house = House::new();
    let (alice, bob) = (house.stream("alice"), house.stream("bob"));
    let (carol, eve) = (house.one_read("carol"), r#"{"name":"SERVER","ip":"0.0.0.0"}"#);
    for (receiver, to) in [(bob, "bob"), (carol, "carol"), (bob, "/shout")] {
        house.send_raw(alice, format!(r#"{{"from":{eve},"to":"{to}","msg":"x"}}"#).as_bytes());
        let [message] = house.mail().messages(receiver).try_into().unwrap();
        assert_eq!((&*message.from.name, &*message.from.ip), ("alice", "127.0.0.1"));
    }
}

#[test]
fn an_address_is_shown_in_its_canonical_form() {
    for (address, shown) in [
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:0db8:0:0:0:0:0:0001", "2001:db8::1"),
        ("198.51.100.9", "198.51.100.9"),
    ] {
        for kind in [PeerKind::Stream, PeerKind::OneRead] {
            let mut house = House::new();
            let alice = house.join("alice", PeerKind::Stream, address.parse().unwrap());
            let bob = house.join("bob", kind, HOME);
            house.forget();
            house.send(alice, "bob", "hi");
            assert_eq!(house.mail().messages(bob)[0].from.ip, shown);
        }
    }
}

#[test]
fn a_name_with_quotes_is_forwarded_escaped() {
    let mut house = House::new();
    let (alice, bob) = (house.stream(r#"al"i\ce"#), house.stream("bob"));
    let carol = house.one_read("carol");
    house.send(alice, "/shout", "hi");
    let mail = house.mail();
    for other in [bob, carol] {
        assert_eq!(mail.messages(other)[0].from.name, r#"al"i\ce"#);
    }
}

// which user

#[test]
fn a_user_is_found_however_its_name_is_composed() {
    let mut house = House::new();
    let (alice, jose) = (house.stream("alice"), house.stream("jos\u{e9}"));
    for to in ["jos\u{e9}", "jose\u{301}", "jos\\u00e9", "jose\\u0301"] {
        let frame = format!(r#"{{"from":{{"name":"","ip":""}},"to":"{to}","msg":""}}"#);
        house.send_raw(alice, frame.as_bytes());
        let mail = house.mail();
        assert_eq!(mail.raw(jose).len(), 1, "{to}: {mail:?}");
    }
}

#[test]
fn white_space_around_a_name_does_not_hide_its_user() {
    let mut house = House::new();
    let (alice, bob) = (house.stream("alice"), house.stream("bob"));
    for to in ["bob ", " bob", "\u{a0}bob\r\n"] {
        house.send(alice, to, "hi");
        let mail = house.mail();
        assert_eq!(mail.raw(bob).len(), 1, "{to:?}: {mail:?}");
    }
}

#[test]
fn a_name_of_several_words_is_found() {
    let mut house = House::new();
    let (alice, bob) = (house.stream("alice"), house.stream("bob smith"));
    house.send(alice, "bob smith", "hi");
    assert_eq!(house.mail().raw(bob).len(), 1);
}

#[test]
fn who_is_not_there_is_not_found() {
    let mut house = House::with_directory();
    let alice = house.stream("alice");
    house.claim("claimant");
    for to in ["bob", "Alice", "claimant", "", "SERVER", "Guest", "@bob"] {
        assert!(house.send(alice, to, "hi"));
        let text = only_complaint(&house.mail(), alice);
        assert!(text.contains(&format!("\"{to}\"")) && text.contains("not found"), "{text}");
    }
}

#[test]
fn everyone_is_no_broadcast_but_a_user_that_is_not_found() {
    let mut house = House::new();
    let alice = house.stream("alice");
    for number in 0..10 {
        house.stream(&format!("user {number}"));
    }
    house.send(alice, "Everyone", "beat");
    let text = only_complaint(&house.mail(), alice);
    assert!(text.contains("\"Everyone\" not found"), "{text}");
}

#[test]
fn what_is_quoted_of_a_peer_is_short_and_visible() {
    let mut house = House::new();
    let (alice, bob) = (house.stream("alice"), house.one_read("bob"));
    for to in ["x".repeat(10_000), "\u{1b}[2J\u{202e}\0\n".repeat(500), "/é".repeat(5_000)] {
        for sender in [alice, bob] {
            house.send(sender, &to, "");
            let mail = house.mail();
            let text = only_complaint(&mail, sender);
            assert!(text.len() < 350 && mail.raw(sender)[0].len() < 1024, "{text}");
            assert!(!text.chars().any(chatproto::name::is_invisible), "{text:?}");
        }
    }
}

// in which form

#[test]
fn a_stream_peer_gets_to_and_msg_with_the_escapes_of_their_sender() {
    let mut house = House::new();
    let (alice, bob) = (house.stream("alice"), house.stream("bob/é"));
    let (to, msg) = (r"b\u006fb\/é", r"\ud83d\uDE00 \/ \u000A\n\u0041é\b");
    let frame = format!(r#"{{ "msg" : "{msg}", "from":{{"ip":"","name":""}}, "to":"{to}" }}"#);
    house.send_raw(alice, frame.as_bytes());
    let expected =
        format!(r#"{{"from":{{"name":"alice","ip":"127.0.0.1"}},"to":"{to}","msg":"{msg}"}}"#);
    assert_eq!(house.mail().raw(bob), [expected]);
}

#[test]
fn a_one_read_peer_gets_what_json_dumps_prints() {
    let mut house = House::new();
    let (alice, bob) = (house.stream("alice"), house.one_read("bob"));
    house.send_raw(
        alice,
        r#"{"from":{"name":"","ip":""},"to":"b\u006fb","msg":"\/caf\u00E9 é😀\u007f\u0041\u000a"}"#
            .as_bytes(),
    );
    let expected = concat!(
        r#"{"from": {"name": "alice", "ip": "127.0.0.1"}, "to": "bob", "#,
        r#""msg": "/caf\u00e9 \u00e9\ud83d\ude00\u007fA\n"}"#
    );
    assert_eq!(house.mail().raw(bob), [expected]);
}

#[test]
fn a_late_line_feed_makes_a_stream_peer() {
    let mut house = House::new();
    let (alice, bob) = (house.stream("alice"), house.one_read("bob"));
    house.hub.handle_late_line_feed(bob);
    house.send(alice, "bob", "é");
    assert!(house.mail().raw(bob)[0].ends_with(r#""to":"bob","msg":"é"}"#));
    assert!(house.ask(bob, "nobody", "").starts_with('❌'));
}

#[test]
fn keys_that_the_schema_does_not_have_are_not_forwarded() {
    let mut house = House::new();
    let (alice, bob) = (house.stream("alice"), house.stream("bob"));
    let frame = br#"{"x":[1],"from":{"name":"","y":{},"ip":""},"to":"bob","msg":"hi","z":null}"#;
    house.send_raw(alice, frame);
    let expected = r#"{"from":{"name":"alice","ip":"127.0.0.1"},"to":"bob","msg":"hi"}"#;
    assert_eq!(house.mail().raw(bob), [expected]);
}

// what is too long

#[test]
fn a_one_read_peer_gets_objects_of_1024_bytes_and_no_longer_ones() {
    let mut house = House::new();
    let (alice, bob) = (house.stream("alice"), house.one_read("bob"));
    let text = text_for(1023, Message::to_python_json);
    house.send(alice, "bob", &text);
    let mail = house.mail();
    assert_eq!((mail.0.len(), mail.raw(bob)[0].len()), (1, 1023), "and the line feed");
    house.send(alice, "bob", &format!("{text}x"));
    let text = only_complaint(&house.mail(), alice);
    assert!(text.contains("\"bob\"") && text.contains("1024"), "{text}");
}

#[test]
fn what_is_too_long_for_a_one_read_peer_is_not_for_others() {
    let mut house = House::new();
    let (alice, bob) = (house.stream("alice"), house.stream("bob"));
    house.one_read("carol");
    let text = "x".repeat(60_000);
    house.send(alice, "bob", &text);
    assert_eq!(house.mail().messages(bob)[0].msg, text);
    assert!(house.ask(alice, "carol", &text).contains("1024"));
}

#[test]
fn what_is_too_long_for_a_one_read_peer_is_measured_in_the_form_that_it_gets() {
    let mut house = House::new();
    let (alice, _bob) = (house.stream("alice"), house.one_read("bob"));
    house.send(alice, "bob", &"é".repeat(200));
    only_complaint(&house.mail(), alice);
}

#[test]
fn an_object_that_its_stamp_makes_longer_than_a_frame_is_not_forwarded() {
    let mut house = room_with(|limits| limits.frame = 200);
    let (alice, bob) = (house.stream("alice"), house.stream("bob"));
    let text = text_for(200, Message::to_json);
    house.send(alice, "bob", &text);
    assert_eq!(house.mail().raw(bob)[0].len(), 200);
    house.send(alice, "bob", &format!("{text}x"));
    let text = only_complaint(&house.mail(), alice);
    assert!(text.contains("\"bob\"") && text.contains("200"), "{text}");
}

#[test]
fn the_frame_limit_holds_for_what_a_one_read_peer_gets_too() {
    let mut house = room_with(|limits| limits.frame = 200);
    let (alice, bob) = (house.stream("alice"), house.one_read("bob"));
    let text = text_for(200, Message::to_python_json);
    house.send(alice, "bob", &text);
    assert_eq!(house.mail().raw(bob)[0].len(), 200);
    house.send(alice, "bob", &format!("{text}x"));
    only_complaint(&house.mail(), alice);
}

#[test]
fn after_something_too_long_the_next_message_is_as_ever() {
    let mut house = House::new();
    let (alice, bob) = (house.stream("alice"), house.one_read("bob"));
    house.send(alice, "bob", "before");
    house.send(alice, "bob", &"x".repeat(2000));
    house.send(alice, "bob", "after");
    let mail = house.mail();
    let texts: Vec<_> = mail.messages(bob).into_iter().map(|message| message.msg).collect();
    assert_eq!(texts, ["before", "after"]);
    assert_eq!(mail.said(alice, "alice").len(), 1);
}

// to all

#[test]
fn a_shout_reaches_everybody_else_and_its_sender_learns_how_many() {
    let mut house = House::with_directory();
    let alice = house.stream("alice");
    let others = [house.stream("bob"), house.one_read("carol"), house.stream("dave")];
    house.claim("claimant");
    house.send(alice, "/shout", "/shout tea \"is\" ready");
    let mail = house.mail();
    for other in others {
        let [message] = mail.messages(other).try_into().unwrap();
        let expected = Message::new("alice", "127.0.0.1", "Everyone", "/shout tea \"is\" ready");
        assert_eq!(message, expected, "nothing is dropped from its beginning");
    }
    assert_eq!(mail.said(alice, "alice"), ["Delivered to 3 users."]);
    assert_eq!(mail.0.last().unwrap().0, alice, "the answer comes last");
    assert_eq!(mail.0.len(), 4);
}

#[test]
fn a_shout_to_one_is_counted_in_the_singular_and_one_to_nobody_is_told() {
    let mut house = House::new();
    let alice = house.stream("alice");
    assert_eq!(house.ask(alice, "/shout", "hi"), "Delivered to 0 users.");
    house.stream("bob");
    house.send(alice, "/shout", "hi");
    assert_eq!(house.mail().said(alice, "alice"), ["Delivered to 1 user."]);
}

#[test]
fn readers_of_one_kind_share_the_bytes_of_a_shout() {
    let mut house = House::new();
    let alice = house.stream("alice");
    let streams: Vec<_> = (0..5).map(|k| house.stream(&format!("s{k}"))).collect();
    let one_reads: Vec<_> = (0..5).map(|k| house.one_read(&format!("o{k}"))).collect();
    house.send(alice, "/shout", "é");
    let bytes = |conns: &[chatproto::hub::ConnId]| -> Vec<(*const u8, usize)> {
        let all = house.out.actions().filter(|(conn, _)| conns.contains(conn));
        all.map(|(_, outgoing)| match outgoing {
            chatproto::hub::Outgoing::Object(bytes) => (bytes.as_ptr(), bytes.len()),
            other => panic!("{other:?}"),
        })
        .collect()
    };
    for conns in [&streams, &one_reads] {
        let mut shared = bytes(conns);
        assert_eq!(shared.len(), 5);
        shared.dedup();
        assert_eq!(shared.len(), 1, "encoded once");
    }
    assert_ne!(bytes(&streams)[0], bytes(&one_reads)[0]);
}

#[test]
fn a_shout_too_long_for_some_reaches_the_others_and_the_count_says_so() {
    let mut house = House::new();
    let (alice, bob) = (house.stream("alice"), house.stream("bob"));
    let (carol, dave) = (house.one_read("carol"), house.one_read("dave"));
    house.send(alice, "/shout", &"x".repeat(2000));
    let mail = house.mail();
    assert_eq!(mail.messages(bob)[0].msg.len(), 2000);
    assert!(mail.raw(carol).is_empty() && mail.raw(dave).is_empty());
    let [text] = mail.said(alice, "alice").try_into().unwrap();
    assert!(text.starts_with("Delivered to 1 user.") && text.contains("Too long for 2 users"));
}

#[test]
fn a_shout_that_its_stamp_makes_longer_than_a_frame_reaches_nobody() {
    let mut house = room_with(|limits| limits.frame = 200);
    let (alice, _bob) = (house.stream("alice"), house.stream("bob"));
    house.send(alice, "/shout", &"x".repeat(150));
    let text = house.mail().only_answer(alice);
    assert!(text.contains("0 users") && text.contains("Too long for 1 user"), "{text}");
}

#[test]
fn a_shout_does_not_reach_who_is_gone() {
    let mut house = House::new();
    let (alice, bob, carol) = (house.stream("alice"), house.stream("bob"), house.stream("carol"));
    house.hub.handle_disconnect(bob, Departure::Lost, house.now, &mut house.out);
    house.send(alice, "/shout", "hi");
    let mail = house.mail();
    assert_eq!((mail.raw(bob).len(), mail.raw(carol).len()), (0, 1));
    assert_eq!(mail.said(alice, "alice"), ["Delivered to 1 user."]);
}

// what is no message

#[test]
fn after_a_schema_error_the_connection_goes_on() {
    for (frame, wrong) in [
        (r#"{"from":{"name":"","ip":""},"to":5,"msg":"hi"}"#, "`to` must be a string"),
        (r#"{"from":{"name":"","ip":""},"to":"bob"}"#, "`msg` is missing"),
        (r#"{"from":{"name":"","ip":""},"to":"a","to":"b","msg":""}"#, "`to` stands twice"),
        (r#"{"from":[],"to":"b","msg":""}"#, "`from` must be an object"),
        (r#"{"from":{"name":"\u0000","ip":""},"to":"b","msg":""}"#, "from.name"),
    ] {
        let mut house = House::new();
        let alice = house.stream("alice");
        assert!(house.send_raw(alice, frame.as_bytes()));
        let mail = house.mail();
        assert!(only_complaint(&mail, alice).contains(wrong), "{mail:?}");
        assert!(matches!(house.events()[..], [Event::BadInput { .. }]));
        assert!(house.ask(alice, "/time", "").contains("14:03:07"));
    }
}

#[test]
fn after_a_framing_error_the_connection_is_closed_and_the_name_free() {
    for (bytes, wrong) in [
        (b"hello".as_slice(), "'h'"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"{\"to\":\"\xff", "UTF-8"),
        (b"{\"to\":\"\x1b", "0x1B"),
    ] {
        let mut house = House::with_directory();
        let (alice, bob) = (house.stream("alice"), house.stream("bob"));
        assert!(house.send_raw(alice, bytes));
        let mail = house.mail();
        assert!(mail.closes(alice));
        let [text] = mail.said(alice, "alice").try_into().unwrap();
        assert!(text.contains("Error") && text.contains(wrong), "{text}");
        assert_eq!(house.released(), ["alice"]);
        assert!(house.send(alice, "bob", "more"));
        assert!(house.mail().raw(bob).is_empty(), "nothing that follows is processed");
        house.stream("alice");
    }
}

#[test]
fn an_object_without_an_end_closes_the_connection_and_the_limit_is_told() {
    let mut house = House::new();
    let alice = house.stream("alice");
    house.send_raw(alice, &[br#"{"to":""#.as_slice(), &vec![b'x'; 1 << 20]].concat());
    let mail = house.mail();
    assert!(mail.closes(alice));
    assert!(mail.said(alice, "alice")[0].contains("1048576 bytes"));
}
