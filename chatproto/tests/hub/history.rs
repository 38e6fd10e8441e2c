//! What is kept, under which numbers, and what is answered about it: `/history`, `/sync`,
//! `/cursors`, `/forget`, and messages to users who are away. The store here is a vector.

use std::collections::VecDeque;

use chatproto::accounts::{AccountPolicy, Granted};
use chatproto::handshake::PeerKind;
use chatproto::hub::{
    Act, Completion, ConnId, Conversation, Departure, Effect, Event, Forgotten, HistoryOrder, Hub,
    Left, MailboxBound, Outgoing, Page, Place, Role, Token,
};
use chatproto::{Limits, Message, RoomName, UserName};

use crate::common::{HOME, House, Mail};

const EPOCH: &str = "00c0ffee";

/// A hub with a history from number 7 on, and accounts.
fn house() -> House {
    House::of(Hub::builder().accounts(AccountPolicy::Optional).history(EPOCH, 7))
}

/// What is kept so far: number, conversation, object.
#[derive(Default)]
struct Shelf(Vec<(u64, String, String)>);

impl Shelf {
    /// Takes what the hub wants kept, and what came out beside it.
    fn take(&mut self, house: &mut House) -> Mail {
        for (id, conversation, object) in house.out.records() {
            let object = String::from_utf8(object.to_vec()).unwrap();
            self.0.push((id, conversation.key().to_owned(), object));
        }
        house.mail()
    }

    fn page(&self, order: &HistoryOrder) -> Page {
        let HistoryOrder::Replay { conversation, selection } = order else { panic!("{order:?}") };
        let is_meant = |(id, key, _): &&(u64, String, String)| {
            key == conversation.key() && *id <= selection.up_to
        };
        let all = self.0.iter().filter(is_meant).map(|(id, _, object)| (*id, object.clone()));
        let from = all.clone().count().saturating_sub(selection.most);
        let messages: Vec<_> = all.skip(from).collect();
        let mut times = vec![0; messages.len()];
        times.last_mut().into_iter().for_each(|last| *last = 1_500);
        Page { has_more: from > 0, messages, times, is_recovered: None }
    }
}

fn order(house: &mut House) -> (Token, HistoryOrder) {
    match house.out.next_effect() {
        Some(Effect::History { token, order }) => (token, order),
        other => panic!("no order: {other:?}"),
    }
}

/// A user that is logged in.
fn owner(house: &mut House, name: &str, kind: PeerKind) -> ConnId {
    let conn = match kind {
        PeerKind::Stream => house.stream(name),
        PeerKind::OneRead => house.one_read(name),
    };
    house.send(conn, "/register", "secret");
    let Some(Effect::Account { token, .. }) = house.out.next_effect() else { panic!() };
    let granted = Granted::new(Role::User, 1);
    house.complete(token, Completion::Registered(Ok(granted)));
    house.forget();
    conn
}

/// The owner of a name comes back and logs in: what waited for it is asked for.
fn come_back(house: &mut House, name: &str, kind: PeerKind) -> (ConnId, Token) {
    let conn = house.connect(HOME);
    house.name(conn, name, kind);
    let Some(Effect::Claim { token, .. }) = house.out.next_effect() else { panic!() };
    house.complete(token, Completion::Reserved);
    house.send(conn, "/login", "secret");
    let Some(Effect::Account { token, .. }) = house.out.next_effect() else { panic!() };
    let granted = Granted::new(Role::User, 1);
    let account = UserName::new(name).unwrap();
    house.complete(token, Completion::LoggedIn(account.clone(), Ok(granted)));
    house.forget();
    let effects = std::iter::from_fn(|| house.out.next_effect());
    let asked: Vec<_> = effects.filter(|e| matches!(e, Effect::History { .. })).collect();
    let [Effect::History { token, order: HistoryOrder::Collect { account: asked, .. } }] =
        &asked[..]
    else {
        panic!("{asked:?}")
    };
    assert_eq!(*asked, account);
    (conn, *token)
}

fn member(house: &mut House, name: &str) -> ConnId {
    let conn = house.stream(name);
    house.send(conn, "/join", "#tea");
    house.forget();
    conn
}

#[test]
fn without_a_history_its_commands_are_unknown_and_nothing_is_kept() {
    let mut house = House::new();
    let alice = member(&mut house, "alice");
    for command in ["/history", "/sync", "/cursors", "/forget", "/times"] {
        assert!(house.ask(alice, command, "").starts_with("❌ Unknown command"));
    }
    house.send(alice, "#tea", "hello");
    assert_eq!(house.out.records().count(), 0);
    house.send(alice, "/join", "#work 5");
    let said = house.mail().said(alice, "alice");
    assert_eq!(said[1], "❌ This server keeps no history.");
}

#[test]
fn what_is_said_in_a_room_is_kept_as_it_was_forwarded_under_rising_numbers() {
    let (mut house, mut shelf) = (house(), Shelf::default());
    let (alice, bob) = (member(&mut house, "alice"), member(&mut house, "bob"));
    house.send(alice, "#tea", "\u{e9}\"");
    let mail = shelf.take(&mut house);
    house.send(bob, "#tea", "two");
    // not kept: to all, to one, and the server's own
    house.send(alice, "/shout", "x");
    house.send(alice, "bob", "x");
    house.send(alice, "/list", "");
    shelf.take(&mut house);
    let kept: Vec<_> = shelf.0.iter().map(|(id, key, _)| (*id, key.as_str())).collect();
    assert_eq!(kept, [(7, "#tea"), (8, "#tea")]);
    assert_eq!(mail.raw(bob), [shelf.0[0].2.as_str()]);
}

#[test]
fn a_room_of_one_read_peers_is_kept_in_the_compact_form() {
    let (mut house, mut shelf) = (house(), Shelf::default());
    let (alice, bob) = (house.one_read("alice"), house.one_read("bob"));
    for conn in [alice, bob] {
        house.send(conn, "/join", "#tea");
    }
    house.forget();
    house.send(alice, "#tea", "\u{e9}");
    let mail = shelf.take(&mut house);
    let message = Message::new("alice", "127.0.0.1", "#tea", "\u{e9}");
    assert_eq!(shelf.0, [(7, "#tea".to_owned(), message.to_json())]);
    assert_eq!(mail.raw(bob), [message.to_python_json()], "each in the form that it reads");
}

#[test]
fn what_two_users_say_to_each_other_is_kept_if_both_are_logged_in() {
    let (mut house, mut shelf) = (house(), Shelf::default());
    let alice = owner(&mut house, "alice", PeerKind::Stream);
    let bob = owner(&mut house, "bob", PeerKind::OneRead);
    let carol = house.stream("carol");
    house.send(bob, "alice", "1");
    house.send(alice, "bob", "2");
    house.send(alice, "carol", "no");
    house.send(carol, "alice", "no");
    let mail = shelf.take(&mut house);
    let kept: Vec<_> = shelf.0.iter().map(|(id, key, _)| (*id, key.as_str())).collect();
    assert_eq!(kept, [(7, "alice\tbob"), (8, "alice\tbob")]);
    // each in the form it reads, and nothing twice
    assert!(mail.raw(bob)[0].contains("\"msg\": \"2\""), "{mail:?}");
    assert_eq!(mail.messages(bob).len(), 1);
    assert!(shelf.0[1].2.contains("\"msg\":\"2\""));

    // either calls it by the other's name
    for (conn, other) in [(alice, "bob"), (bob, "alice")] {
        house.send(conn, "/history", other);
        let (token, order) = order(&mut house);
        let HistoryOrder::Replay { conversation, .. } = &order else { panic!("{order:?}") };
        let (conversation, page) = (conversation.clone(), shelf.page(&order));
        house.complete(token, Completion::Replayed(conversation, Ok(page)));
        let messages = house.mail().messages(conn);
        let head = format!("history {other} count=2 ids=7-8 ");
        assert!(messages[0].msg.starts_with(&head), "{messages:?}");
        assert_eq!(messages[3].msg, format!("end of history {other}"));
    }
}

#[test]
fn sync_is_answered_when_the_store_says_so_with_the_senders_last_number() {
    let mut house = house();
    let (alice, bob) = (member(&mut house, "alice"), member(&mut house, "bob"));
    house.send(alice, "#tea", "one");
    house.send(bob, "#tea", "two");
    house.forget();
    house.send(alice, "/sync", "/sync");
    let (token, order) = order(&mut house);
    assert!(matches!(order, HistoryOrder::Sync { conn } if conn == alice));
    assert!(house.mail().0.is_empty());
    assert!(!house.send(alice, "/time", ""), "what follows waits");
    house.complete(token, Completion::Synced(Ok(())));
    assert_eq!(house.mail().only_answer(alice), format!("synced id=7 epoch={EPOCH}"));
    house.send(bob, "/sync", "");
    let (token, _) = self::order(&mut house);
    house.complete(token, Completion::Synced(Err("the disk is full.".to_owned())));
    let answer = house.mail().only_answer(bob);
    assert_eq!(answer, "❌ Not everything that you sent is stored: the disk is full.");
}

#[test]
fn a_page_is_framed_by_the_server_and_the_objects_are_those_that_were_sent() {
    let (mut house, mut shelf) = (house(), Shelf::default());
    let (alice, bob) = (member(&mut house, "alice"), member(&mut house, "bob"));
    for n in 0..30 {
        house.send(alice, "#tea", &n.to_string());
    }
    shelf.take(&mut house);
    house.send(bob, "/history", "/history #tea");
    let (token, order) = order(&mut house);
    let HistoryOrder::Replay { conversation, selection } = &order else { panic!("{order:?}") };
    assert_eq!((conversation.key(), selection.most, selection.up_to), ("#tea", 20, 36));
    assert_eq!(selection.place, Place::Newest);
    let page = shelf.page(&order);
    house.complete(token, Completion::Replayed(conversation.clone(), Ok(page)));
    let mail = house.mail();
    let messages = mail.messages(bob);
    assert_eq!(messages.len(), 22);
    assert_eq!(
        messages[0].msg,
        format!(
            "history #tea count=20 ids=17-36 epoch={EPOCH} more=true first=1970-01-01T00:00:00Z last=1970-01-01T00:00:01Z"
        )
    );
    assert_eq!(messages[1], Message::new("alice", "127.0.0.1", "#tea", "10"));
    assert_eq!(messages[21].msg, "end of history #tea");
}

#[test]
fn the_place_in_a_conversation_is_read_from_the_arguments() {
    let mut house = house();
    let alice = member(&mut house, "alice");
    let since = |id| Place::Since { id, epoch: EPOCH.to_owned() };
    for (msg, most, place) in [
        ("#tea", 20, Place::Newest),
        ("#tea 5", 5, Place::Newest),
        ("/history #tea 100000", 256, Place::Newest),
        ("#tea before 12", 20, Place::Before(12)),
        ("#tea 3 before 12", 3, Place::Before(12)),
        ("#tea since 4 00c0ffee", 20, since(4)),
        ("#tea 256 since 4 00c0ffee", 256, since(4)),
    ] {
        house.send(alice, "/history", msg);
        let (token, order) = order(&mut house);
        let HistoryOrder::Replay { selection, .. } = order else { panic!("{msg}") };
        assert_eq!((selection.most, selection.place), (most, place), "{msg}");
        house.complete(token, Completion::Failed);
        house.forget();
    }
    for msg in [
        "",
        "#tea 0",
        "#tea -1",
        "#tea before",
        "#tea since 4",
        "#tea x",
        "#tea 1 2",
        "#tea before 1 2",
    ] {
        let answer = house.ask(alice, "/history", msg);
        assert!(answer.starts_with("❌ Send /history #ROOM|NAME"), "{msg}: {answer}");
    }
}

#[test]
fn a_one_read_peer_gets_its_own_form_few_messages_and_nothing_too_long() {
    let mut house = house();
    let alice = house.one_read("alice");
    house.send(alice, "/join", "#tea");
    house.forget();
    house.send(alice, "/history", "#tea 100");
    let (token, order) = order(&mut house);
    let HistoryOrder::Replay { conversation, selection } = order else { panic!() };
    assert_eq!((selection.most, selection.most_bytes), (20, Limits::default().queue_bytes / 4));
    let object = |msg: &str| Message::new("bob", "127.0.0.1", "#tea", msg).to_json();
    let messages = vec![(7, object("\u{e9}")), (8, object(&"x".repeat(1_000)))];
    let page = Page { messages, ..Page::default() };
    house.complete(token, Completion::Replayed(conversation, Ok(page)));
    let mail = house.mail();
    let raw = mail.raw(alice);
    assert_eq!(raw.len(), 3);
    assert!(raw.iter().all(|object| object.len() <= 1024 && object.is_ascii()), "{raw:?}");
    assert!(raw[1].contains("\\u00e9"));
    assert!(raw[2].contains("end of history #tea: 1 of them were too long for you"), "{raw:?}");
}

#[test]
fn history_is_for_members_and_for_those_who_are_logged_in() {
    let mut house = house();
    let (alice, bob) = (member(&mut house, "alice"), house.stream("bob"));
    assert!(house.ask(bob, "/history", "#tea").starts_with("❌ You are not in \"#tea\""));
    assert!(house.ask(bob, "/history", "alice").starts_with("❌ What users say to each other"));
    assert!(house.ask(bob, "/history", "/x").starts_with("❌ "));
    house.send(alice, "/leave", "#tea");
    house.forget();
    assert!(house.ask(alice, "/history", "#tea").starts_with("❌ You are not in \"#tea\""));
    let carol = owner(&mut house, "carol", PeerKind::Stream);
    house.send(carol, "/history", "\"jos\u{e9}\"");
    let (_, order) = order(&mut house);
    let HistoryOrder::Replay { conversation, .. } = order else { panic!() };
    assert_eq!(conversation.key(), "carol\tjos\u{e9}");
}

#[test]
fn joining_with_a_number_shows_what_was_said_before_and_nothing_that_comes_after() {
    let mut house = house();
    let (alice, bob) = (member(&mut house, "alice"), house.stream("bob"));
    house.send(alice, "#tea", "before");
    house.forget();
    assert!(house.ask(bob, "/join", "#tea 0").starts_with("❌ Not joined"));
    house.send(bob, "/join", "/join #tea 20");
    let (token, order) = order(&mut house);
    house.send(alice, "#tea", "after");
    let HistoryOrder::Replay { conversation, selection } = order else { panic!() };
    assert_eq!((selection.most, selection.up_to), (20, 7));
    house.complete(token, Completion::Replayed(conversation, Ok(Page::default())));
    let said: Vec<_> = house.mail().messages(bob).into_iter().map(|m| m.msg).collect();
    assert_eq!(
        said,
        [
            "Joined #tea. Other members (1): alice",
            "after",
            &format!("history #tea count=0 epoch={EPOCH} more=false"),
            "end of history #tea"
        ]
    );
}

#[test]
fn the_time_of_each_message_is_told_on_request() {
    let (mut house, mut shelf) = (house(), Shelf::default());
    let alice = member(&mut house, "alice");
    for _ in 0..4 {
        house.send(alice, "#tea", "x");
    }
    shelf.take(&mut house);
    let head = |house: &mut House| {
        house.send(alice, "/history", "#tea 3");
        let (token, order) = order(house);
        let page = Ok(shelf.page(&order));
        let HistoryOrder::Replay { conversation, .. } = order else { panic!() };
        house.complete(token, Completion::Replayed(conversation, page));
        house.mail().messages(alice)[0].msg.clone()
    };
    let plain = "first=1970-01-01T00:00:00Z last=1970-01-01T00:00:01Z";
    assert!(head(&mut house).ends_with(plain));
    assert_eq!(house.ask(alice, "/times", "on"), "Times are on.");
    assert!(head(&mut house).ends_with(&format!("{plain} times=0,0,1")));
    assert_eq!(house.ask(alice, "/times", "off"), "Times are off.");
    assert!(head(&mut house).ends_with(plain));
    assert!(house.ask(alice, "/times", "maybe").starts_with("❌ Send /times on|off"));
}

#[test]
fn cursors_tell_the_last_number_of_a_burst_once() {
    let mut house = house();
    let (alice, bob) = (member(&mut house, "alice"), member(&mut house, "bob"));
    assert_eq!(house.ask(bob, "/cursors", "on"), "Cursors are on.");
    for _ in 0..3 {
        house.send(alice, "#tea", "x");
    }
    let now = house.now;
    house.hub.handle_batch_end(now, &mut house.out);
    let mail = house.mail();
    let own: Vec<_> = mail.messages(bob).into_iter().filter(|m| m.to == "bob").collect();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].msg, format!("cursor #tea id=9 epoch={EPOCH}"));
    assert!(mail.raw(alice).is_empty());
    house.hub.handle_batch_end(now, &mut house.out);
    assert!(house.mail().0.is_empty());
    assert_eq!(house.ask(bob, "/cursors", "off"), "Cursors are off.");
    house.send(alice, "#tea", "x");
    house.hub.handle_batch_end(now, &mut house.out);
    assert_eq!(house.mail().messages(bob).len(), 1);
    assert!(house.ask(bob, "/cursors", "maybe").starts_with("❌ Send /cursors on|off"));
}

#[test]
fn a_room_with_spaces_in_its_name_is_one_word_for_programs() {
    let mut house = house();
    let alice = member(&mut house, "alice");
    house.ask(alice, "/join", "\"#tea time\"");
    house.ask(alice, "/cursors", "on");
    house.send(alice, "#tea time", "x");
    let now = house.now;
    house.hub.handle_batch_end(now, &mut house.out);
    let mail = house.mail();
    let told = mail.messages(alice).iter().map(|m| m.msg.clone()).collect::<Vec<_>>();
    assert_eq!(told, [format!("cursor \"#tea time\" id=7 epoch={EPOCH}")]);
}

#[test]
fn while_nothing_is_kept_each_sender_is_told_once_and_delivery_goes_on() {
    let mut house = house();
    let (alice, bob) = (member(&mut house, "alice"), member(&mut house, "bob"));
    house.hub.handle_history_state(Some("the disk is full."));
    house.send(alice, "#tea", "1");
    house.send(alice, "#tea", "2");
    let mail = house.mail();
    assert_eq!(mail.messages(bob).len(), 2);
    let told = "❌ Delivered, but history is not being kept: the disk is full.";
    assert_eq!(mail.said(alice, "alice"), [told]);
    house.hub.handle_history_state(Some("the disk is gone."));
    house.send(alice, "#tea", "it is the same outage");
    assert!(house.mail().raw(alice).is_empty());
    house.hub.handle_history_state(None);
    house.send(bob, "#tea", "3");
    assert!(house.mail().raw(bob).is_empty());
    house.hub.handle_history_state(Some("the disk is full."));
    house.send(alice, "#tea", "4");
    assert_eq!(house.mail().said(alice, "alice"), [told]);
}

#[test]
fn one_forgets_ones_own_messages_and_moderators_anybodys_in_rooms_and_both_are_written_down() {
    let mut house = house();
    let (bob, eve) = (member(&mut house, "bob"), member(&mut house, "eve"));
    assert!(house.ask(eve, "/forget", "#tea 7").starts_with("❌ Not forgotten: log in first"));
    let alice = owner(&mut house, "alice", PeerKind::Stream);
    assert!(house.ask(alice, "/forget", "#tea 7").starts_with("❌ You are not in"));
    house.send(alice, "/join", "#tea");
    house.forget();
    house.send(alice, "/forget", "#tea 7");
    let (token, order) = order(&mut house);
    let HistoryOrder::Forget { conversation, id: 7, author: Some(author) } = order else {
        panic!("{order:?}")
    };
    assert_eq!(author.as_str(), "alice");
    house.complete(token, Completion::Forgotten(conversation.clone(), 7, Ok(Forgotten::NotYours)));
    assert_eq!(house.mail().only_answer(alice), "❌ Message 7 of #tea is not yours.");
    house.send(alice, "/forget", "#tea 7");
    let (token, _) = self::order(&mut house);
    house.complete(token, Completion::Forgotten(conversation, 7, Ok(Forgotten::Gone)));
    assert_eq!(house.mail().only_answer(alice), "Forgotten: message 7 of #tea.");
    let events = house.events();
    assert!(
        matches!(&events[..], [Event::Moderated { act: Act::Forget, target, actor, .. }]
            if target == "#tea 7" && actor.name() == "alice"),
        "{events:?}"
    );

    let mut house = House::of(
        Hub::builder().admin_token("t").accounts(AccountPolicy::Optional).history(EPOCH, 7),
    );
    let moderator = house.stream("mod");
    house.send(moderator, "/admin", "t");
    house.forget();
    house.send(moderator, "/forget", "#tea 7");
    let (_, order) = self::order(&mut house);
    assert!(matches!(order, HistoryOrder::Forget { author: None, .. }), "{order:?}");
    let _ = bob;
}

#[test]
fn a_message_to_an_owner_who_is_away_waits_and_is_handed_over_at_login() {
    let mut house = house();
    let alice = owner(&mut house, "alice", PeerKind::Stream);
    house.send(alice, "bob", "are you there?");
    let (token, order) = order(&mut house);
    let HistoryOrder::Leave { account, conversation, id: 7, object, .. } = order else { panic!() };
    assert_eq!((account.as_str(), conversation.key()), ("bob", "alice\tbob"));
    assert_eq!(object, Message::new("alice", "127.0.0.1", "bob", "are you there?").to_json());
    assert!(house.mail().0.is_empty());
    for (left, answer) in [
        (Ok(Left::Waiting), "bob is not connected, and will get it on logging in."),
        (Ok(Left::NoAccount), "❌ User \"bob\" not found. Send /list to see who is connected."),
        (
            Ok(Left::Full(MailboxBound::Messages(100))),
            "❌ Not delivered: bob is not connected, and 100 messages wait already.",
        ),
        (
            Err("the disk is full.".to_owned()),
            "❌ Not delivered: bob is not connected, and it cannot wait: the disk is full.",
        ),
    ] {
        let token = match left {
            Ok(Left::Waiting) => token,
            _ => {
                house.send(alice, "bob", "are you there?");
                self::order(&mut house).0
            }
        };
        house.complete(token, Completion::Left(account.clone(), left));
        assert_eq!(house.mail().only_answer(alice), answer);
    }
    // who is not logged in leaves nothing, and nobody writes to all that way
    let carol = house.stream("carol");
    assert!(house.ask(carol, "bob", "hi").starts_with("❌ User \"bob\" not found"));
    assert!(house.ask(alice, "Everyone", "hi").starts_with("❌ User \"Everyone\" not found"));

    let (bob, token) = come_back(&mut house, "bob", PeerKind::Stream);
    let page = Page { messages: vec![(7, object)], ..Page::default() };
    let messages = hand_over(&mut house, bob, token, page);
    assert_eq!(messages[0].msg, "1 message was sent to you while you were away:");
    assert_eq!(messages[1], Message::new("alice", "127.0.0.1", "bob", "are you there?"));
    assert_eq!(messages.len(), 2);
}

/// A page of a mailbox, which its owner takes. The next one is asked for, and this one is removed, only
/// then; there is none.
fn hand_over(house: &mut House, to: ConnId, token: Token, page: Page) -> Vec<Message> {
    let last = page.messages.last().map_or(0, |(id, _)| *id);
    house.complete(token, Completion::Collected(Ok(page)));
    assert!(house.out.next_effect().is_none(), "nothing is removed that was not taken");
    house.take_all(to);
    let Some(Effect::History { token, order }) = house.out.next_effect() else { panic!() };
    let HistoryOrder::Collect { handed_over, .. } = order else { panic!("{order:?}") };
    assert_eq!(handed_over, last);
    assert!(house.hub.is_waiting(to), "its input waits for the end of the mailbox");
    house.complete(token, Completion::Collected(Ok(Page::default())));
    assert!(!house.hub.is_waiting(to));
    house.mail().messages(to)
}

#[test]
fn a_mailbox_is_handed_over_page_by_page_and_later_messages_come_behind_it() {
    let mut house = house();
    let alice = house.stream("alice");
    let (bob, token) = come_back(&mut house, "bob", PeerKind::Stream);
    let object = |id: u64| Message::new("eve", "127.0.0.1", "bob", format!("{id}")).to_json();
    let page = |ids: std::ops::RangeInclusive<u64>| Page {
        messages: ids.map(|id| (id, object(id))).collect(),
        ..Page::default()
    };
    house.send(alice, "bob", "later");
    house.complete(token, Completion::Collected(Ok(page(1..=2))));
    house.take_all(bob);
    let Some(Effect::History { token, .. }) = house.out.next_effect() else { panic!() };
    house.complete(token, Completion::Collected(Ok(page(3..=3))));
    house.take_all(bob);
    let Some(Effect::History { token, order }) = house.out.next_effect() else { panic!() };
    assert!(matches!(order, HistoryOrder::Collect { handed_over: 3, .. }), "{order:?}");
    house.complete(token, Completion::Collected(Ok(Page::default())));
    // the outbox puts parts in front of what was delivered since the answer began
    let texts = |parts: bool| -> Vec<String> {
        let of_bob = house.out.actions().filter(|(conn, _)| *conn == bob);
        let bytes = of_bob.filter_map(|(_, outgoing)| match outgoing {
            Outgoing::Part(bytes) if parts => Some(bytes),
            Outgoing::Object(bytes) if !parts => Some(bytes),
            _ => None,
        });
        bytes.map(|bytes| Message::decode(bytes).unwrap().msg).collect()
    };
    assert_eq!(
        texts(true),
        [
            "2 messages were sent to you while you were away:",
            "1",
            "2",
            "1 more message was sent to you while you were away:",
            "3"
        ]
    );
    assert_eq!(texts(false), ["later"]);
}

#[test]
fn what_was_not_taken_of_a_mailbox_stays_in_it() {
    let mut house = house();
    let (bob, token) = come_back(&mut house, "bob", PeerKind::Stream);
    let object = Message::new("eve", "127.0.0.1", "bob", "x".repeat(30_000)).to_json();
    let messages = vec![(1, object.clone()), (2, object.clone()), (3, object)];
    house.complete(token, Completion::Collected(Ok(Page { messages, ..Page::default() })));
    assert!(house.hub.handle_writable(bob, house.now, &mut house.out));
    house.hub.handle_disconnect(bob, Departure::Lost, house.now, &mut house.out);
    let left = std::iter::from_fn(|| house.out.next_effect());
    assert!(left.into_iter().all(|effect| !matches!(effect, Effect::History { .. })));
}

#[test]
fn a_mailbox_whose_next_page_is_refused_ends_and_keeps_the_rest() {
    let mut house = house();
    let (bob, token) = come_back(&mut house, "bob", PeerKind::Stream);
    let object = Message::new("eve", "127.0.0.1", "bob", "hi").to_json();
    let page = Page { messages: vec![(1, object)], ..Page::default() };
    house.complete(token, Completion::Collected(Ok(page)));
    let mut limits = Limits::default();
    limits.effects_total = 0;
    house.hub.set_limits(limits);
    house.take_all(bob);
    assert!(house.out.next_effect().is_none(), "nothing is removed");
    assert!(!house.hub.is_waiting(bob));
    let said: Vec<_> = house.mail().messages(bob).into_iter().map(|m| m.msg).collect();
    assert!(said.last().unwrap().contains("kept for your next login"), "{said:?}");
    assert_eq!(said.len(), 3);
    // the same at the login itself
    let mut house = self::house();
    let conn = house.connect(HOME);
    house.name(conn, "bob", PeerKind::Stream);
    let Some(Effect::Claim { token, .. }) = house.out.next_effect() else { panic!() };
    house.complete(token, Completion::Reserved);
    house.send(conn, "/login", "secret");
    let Some(Effect::Account { token, .. }) = house.out.next_effect() else { panic!() };
    let mut limits = Limits::default();
    limits.effects_total = 0;
    house.hub.set_limits(limits);
    let granted = Granted::new(Role::User, 1);
    house.complete(token, Completion::LoggedIn(UserName::new("bob").unwrap(), Ok(granted)));
    assert!(!house.hub.is_waiting(conn));
    let said: Vec<_> = house.mail().messages(conn).into_iter().map(|m| m.msg).collect();
    assert!(said.last().unwrap().contains("kept for your next login"), "{said:?}");
}

#[test]
fn no_page_is_read_for_a_reader_that_is_gone() {
    let mut house = house();
    let members: Vec<_> = (0..12).map(|k| member(&mut house, &format!("m{k}"))).collect();
    for &conn in &members {
        house.send(conn, "/history", "#tea");
    }
    // one whose page is being read, and one that waits for it
    for conn in [members[0], members[9]] {
        assert!(house.hub.handle_reader_gone(conn, &mut house.out), "its input goes on");
        assert!(!house.hub.is_waiting(conn));
    }
    let mut read = Vec::new();
    while let Some(Effect::History { token, .. }) = house.out.next_effect() {
        read.push(token.conn());
        let at = Conversation::room(&RoomName::new("#tea").unwrap());
        house.complete(token, Completion::Replayed(at, Ok(Page::default())));
    }
    assert!(!read.contains(&members[9]));
    assert_eq!(read.len(), 11);
    assert_eq!(house.hub.usage().effects.bytes, 0);
}

#[test]
fn pages_that_readers_hold_keep_others_from_being_read() {
    let mut house = house();
    let mut limits = Limits::default();
    limits.queue_total = 1024 * 1024;
    house.hub.set_limits(limits);
    let members: Vec<_> = (0..12).map(|k| member(&mut house, &format!("m{k}"))).collect();
    for &conn in &members {
        house.send(conn, "/history", "#tea");
    }
    let object = Message::new("eve", "127.0.0.1", "#tea", "x".repeat(50_000)).to_json();
    let page =
        || Page { messages: vec![(1, object.clone()), (2, object.clone())], ..Page::default() };
    let at = || Conversation::room(&RoomName::new("#tea").unwrap());
    let mut held = Vec::new();
    while let Some(Effect::History { token, .. }) = house.out.next_effect() {
        held.push(token.conn());
        house.complete(token, Completion::Replayed(at(), Ok(page())));
    }
    assert!(held.len() < 12, "the last ones wait");
    // as their readers take them, the others are read
    let mut next = 0;
    while next < held.len() {
        house.take_all(held[next]);
        next += 1;
        while let Some(Effect::History { token, .. }) = house.out.next_effect() {
            held.push(token.conn());
            house.complete(token, Completion::Replayed(at(), Ok(page())));
        }
    }
    assert_eq!(held, members);
}

#[test]
fn few_pages_are_read_at_a_time_and_the_others_in_order() {
    let mut house = house();
    let members: Vec<_> = (0..20).map(|k| member(&mut house, &format!("m{k}"))).collect();
    for &conn in &members {
        house.send(conn, "/history", "#tea");
    }
    let mut reading = VecDeque::new();
    let mut served = Vec::new();
    loop {
        while let Some(Effect::History { token, .. }) = house.out.next_effect() {
            reading.push_back(token);
        }
        assert!(reading.len() <= 8, "{} at a time", reading.len());
        let Some(token) = reading.pop_front() else { break };
        served.push(token.conn());
        // one of those that wait is gone when it is its turn
        if served.len() == 1 {
            house.hub.handle_disconnect(members[10], Departure::Lost, house.now, &mut house.out);
        }
        let at = Conversation::room(&RoomName::new("#tea").unwrap());
        // an order that fails makes room as well
        house.complete(
            token,
            match served.len() % 2 {
                0 => Completion::Failed,
                _ => Completion::Replayed(at, Ok(Page::default())),
            },
        );
    }
    let expected: Vec<_> = members.iter().copied().filter(|conn| *conn != members[10]).collect();
    assert_eq!(served, expected);
}

#[test]
fn what_waited_is_handed_over_as_far_as_its_reader_can_take_it() {
    let mut house = house();
    let (alice, token) = come_back(&mut house, "alice", PeerKind::OneRead);
    let message = |length| Message::new("bob", "127.0.0.1", "alice", "x".repeat(length));
    // the longest that a one-read peer gets, one byte more, and much more
    let longest = Limits::default().one_read - 1 - message(0).to_python_json().len();
    let lengths = [(7, longest), (8, longest + 1), (9, 2_000)];
    let messages = lengths.map(|(id, length)| (id, message(length).to_json())).to_vec();
    let said = hand_over(&mut house, alice, token, Page { messages, ..Page::default() });
    let said: Vec<_> = said.into_iter().map(|m| m.msg).collect();
    let [head, text, tail] = &said[..] else { panic!("{said:?}") };
    assert_eq!(head, "3 messages were sent to you while you were away:");
    assert_eq!(text.len(), longest);
    assert_eq!(tail, "2 of them were too long for you.");

    let (_, token) = come_back(&mut house, "bob", PeerKind::Stream);
    house.complete(token, Completion::Collected(Ok(Page::default())));
    assert!(house.mail().is_empty(), "nothing waited");
}
