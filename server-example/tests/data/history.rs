//! History over the real program: pages, cursors, what is recovered, what two owners of accounts say
//! to each other, what is forgotten, and what waits for who is away. (What a `kill -9` leaves is in
//! `kills`, what a full disk does in `trouble`.)

use std::io::{BufRead, Write};

use chatproto::Message;
use serde_json::Value;

use crate::common::kept::{KeptServer, PASSWORD, next_page, page, sync};
use crate::common::temp_dir::TempDir;
use crate::common::{Program, Raw, eventually};

const TOKEN: &str = "Zm9vYmFyYmF6cXV4MTIzNDU2";

/// A server with a token and an audit log.
fn moderated() -> (KeptServer, String) {
    let dir = TempDir::new();
    let (token, audit) = (dir.file("token", TOKEN), dir.path("audit.log"));
    let data = dir.path("data");
    let options = ["--admin-token", &token, "--audit-log", &audit];
    (KeptServer::start_in(dir, data, &options), audit)
}

/// A member of a room who has said numbers there; they are on the disk.
fn speaker(server: &KeptServer, name: &str, numbers: impl IntoIterator<Item = u32>) -> Raw {
    let mut user = server.join(name);
    user.join("#tea");
    say(&mut user, numbers);
    user
}

fn say(user: &mut Raw, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        user.send("#tea", &number.to_string());
    }
    sync(user);
}

fn texts(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|number| number.to_string()).collect()
}

#[test]
fn pages_go_back_to_the_first_message_without_a_gap_or_a_double() {
    let server = KeptServer::start(&[]);
    let mut alice = speaker(&server, "alice", 1..=95);
    // another room's ids lie between
    alice.join("#work");
    alice.send("#work", "x");
    say(&mut alice, 96..=100);

    let newest = page(&mut alice, "#tea");
    assert_eq!(newest.texts(), texts(81..=100), "20 if not said");
    assert!(newest.has_more);
    assert_eq!(newest.is_recovered, None);
    assert!(newest.messages.iter().all(|(from, _)| from == "alice"));

    let (mut seen, mut arguments) = (Vec::new(), "#tea 30".to_owned());
    loop {
        let page = page(&mut alice, &arguments);
        assert!(page.ids.is_sorted());
        assert_eq!(page.epoch, newest.epoch);
        seen.splice(0..0, page.messages.iter().map(|(_, text)| text.clone()));
        if !page.has_more {
            break;
        }
        assert_eq!(page.ids.len(), 30);
        arguments = format!("#tea 30 before {}", page.ids[0]);
    }
    assert_eq!(seen, texts(1..=100));
    let first = page(&mut alice, "#tea 30 before 1");
    assert_eq!((first.ids.len(), first.has_more), (0, false));
    for wrong in ["", "#tea before", "#tea 0", "#tea 5 since 7", "#tea 5 before 7 8", "#tea x"] {
        assert!(alice.command("/history", wrong).starts_with('❌'), "{wrong:?}");
    }
}

#[test]
fn a_message_is_replayed_as_the_object_that_it_was() {
    let mut server = KeptServer::start(&[]);
    let (mut alice, mut bob) = (server.join("alice"), server.join("bob"));
    alice.join("#tea");
    bob.join("#tea");
    let text = "tea \" \\ \u{1f375} é \u{7}\n";
    alice.send("#tea", text);
    let live = bob.receive_from_user();
    assert_eq!(live.msg, text);
    sync(&mut alice);
    server.restart();
    let mut carol = server.join("carol");
    carol.send("/join", "#tea 5");
    assert_eq!(carol.receive_from_user(), live);
}

#[test]
fn whoever_was_away_gets_what_was_said_since_and_is_told_whether_it_is_all() {
    let mut server = KeptServer::start(&[]);
    let mut alice = speaker(&server, "alice", 1..=5);
    let (id, epoch) = sync(&mut alice);
    let since = format!("#tea 100 since {id} {epoch}");
    say(&mut alice, 6..=8);
    let within = page(&mut alice, &since);
    assert_eq!((within.texts(), within.is_recovered), (vec!["6", "7", "8"], Some(true)));
    // a page that is cut goes on from its end
    let part = page(&mut alice, &format!("#tea 2 since {id} {epoch}"));
    assert_eq!((part.texts(), part.has_more), (vec!["6", "7"], true));
    let unknown = page(&mut alice, &format!("#tea 100 since {id} 0123456789abcdef"));
    assert_eq!(
        (unknown.texts().len(), unknown.is_recovered),
        (8, Some(false)),
        "all that there is"
    );

    server.restart();
    let mut alice = speaker(&server, "alice", [9]);
    let after = page(&mut alice, &since);
    assert_eq!(after.texts(), ["6", "7", "8", "9"]);
    assert_eq!(after.is_recovered, Some(true), "it ended as it should");
    assert_ne!(after.epoch, epoch);
    assert!(after.ids.is_sorted() && after.ids[0] > id);

    server.kill();
    server.begin();
    let mut alice = speaker(&server, "alice", [10]);
    let cut_short = page(&mut alice, &since);
    assert_eq!(cut_short.texts(), ["6", "7", "8", "9", "10"]);
    assert_eq!(cut_short.is_recovered, Some(false), "something may have been told and not kept");
    // what was told since then is sure again
    let (id, epoch) = sync(&mut alice);
    let mut alice = speaker(&server, "alice2", [11]);
    let again = page(&mut alice, &format!("#tea since {id} {epoch}"));
    assert_eq!((again.texts(), again.is_recovered), (vec!["11"], Some(true)));
}

#[test]
fn who_joins_sees_what_was_said_last_on_request() {
    let server = KeptServer::start(&[]);
    let _alice = speaker(&server, "alice", 1..=30);
    let mut bob = server.join("bob");
    bob.send("/join", "#tea 7");
    assert!(bob.hear().starts_with("Joined #tea."));
    let last = next_page(&mut bob);
    assert_eq!((last.texts().len(), last.has_more), (7, true));
    assert_eq!(last.texts(), texts(24..=30));
    let mut carol = server.join("carol");
    assert!(carol.command("/join", "#tea").starts_with("Joined #tea."));
    assert_eq!(carol.command("/ping", "nothing between"), "nothing between");
}

#[test]
fn cursors_tell_after_each_burst_from_where_to_go_on() {
    let mut server = KeptServer::start(&[]);
    let mut bob = server.join("bob");
    bob.join("#tea");
    assert_eq!(bob.command("/cursors", "on"), "Cursors are on.");
    let mut alice = speaker(&server, "alice", 1..=20);
    // there may be one for each part in which the burst was read
    let (last, epoch) = sync(&mut alice);
    let cursor = loop {
        let said = bob.hear();
        let (place, told) = said.strip_prefix("cursor #tea id=").unwrap().split_once(' ').unwrap();
        assert_eq!(told, format!("epoch={epoch}"));
        let id: u64 = place.parse().unwrap();
        assert!(id <= last, "{said}");
        if id == last {
            break said;
        }
    };
    assert_eq!(cursor, format!("cursor #tea id={last} epoch={epoch}"));
    say(&mut alice, 21..=23);
    server.restart();
    let mut bob = server.join("bob");
    bob.join("#tea");
    let missed = page(&mut bob, &format!("#tea since {last} {epoch}"));
    assert_eq!((missed.texts(), missed.is_recovered), (vec!["21", "22", "23"], Some(true)));
    // they were not asked for again
    bob.send("#tea", "x");
    assert_eq!(bob.command("/ping", "no cursor"), "no cursor");
}

#[test]
fn what_two_owners_say_to_each_other_is_theirs_alone() {
    let mut server = KeptServer::start(&[]);
    let (mut alice, mut bob) = (server.register("alice"), server.register("bob"));
    let mut guest = server.join("gus");
    alice.send("bob", "one");
    sync(&mut alice);
    assert_eq!(bob.receive_from_user().msg, "one");
    bob.send("alice", "two");
    sync(&mut bob);
    // one of the two is nobody in particular: delivered, and not kept
    guest.send("bob", "who am I");
    assert_eq!(bob.receive_from_user().msg, "who am I");
    server.restart();

    let (mut alice, mut bob) = (server.login("alice"), server.login("bob"));
    let both = [("alice".to_owned(), "one".to_owned()), ("bob".to_owned(), "two".to_owned())];
    assert_eq!(page(&mut alice, "bob").messages, both);
    assert_eq!(page(&mut bob, "alice").messages, both);
    assert!(page(&mut bob, "gus").ids.is_empty());
    let mut carol = server.register("carol");
    assert!(page(&mut carol, "alice").ids.is_empty());
    // nor is there a way through a name that is made to look like a conversation
    for name in ["\"alice\tbob\"", "alice bob", "bob alice"] {
        let said = carol.command("/history", name);
        assert!(said.starts_with('❌'), "{name:?}: {said}");
    }
    let mut guest = server.join("alice");
    assert!(guest.hear().contains("belongs to an account"));
    let said = guest.command("/history", "bob");
    assert!(said.starts_with("❌") && said.contains("log in first"), "{said}");
}

#[test]
fn a_room_is_read_by_its_members_alone() {
    let (server, _) = moderated();
    let mut alice = speaker(&server, "alice", 1..=3);
    let mut mod_ = server.join("mod");
    assert_eq!(mod_.command("/admin", TOKEN), "You are an admin now.");
    let refused = "❌ You are not in \"#tea\". Send /join with its name first.";

    let mut bob = server.join("bob");
    assert_eq!(bob.command("/history", "#tea"), refused);
    assert_eq!(mod_.command("/history", "#tea"), refused, "whoever it is");
    bob.join("#tea");
    assert_eq!(page(&mut bob, "#tea").ids.len(), 3);
    assert_eq!(bob.command("/leave", "#tea"), "Left #tea.");
    assert_eq!(bob.command("/history", "#tea"), refused);
    bob.join("#tea");

    // a request on the way with the kick, and afterwards nothing
    assert_eq!(mod_.command("/kick", "bob"), "Kicked bob.");
    bob.send("/history", "#tea");
    assert_eq!(bob.receive_for("bob"), "⛔ You were kicked by mod.");
    assert_eq!(bob.receive(), None);
    let mut bob = server.join("bob");
    assert_eq!(bob.command("/history", "#tea"), refused, "it is a member no more");

    let banned = mod_.command("/ban", "bob 10m enough");
    assert!(banned.starts_with("Banned bob"), "{banned}");
    assert!(bob.receive_for("bob").starts_with("⛔ You"));
    assert_eq!(bob.receive(), None);
    let stream = std::net::TcpStream::connect(server.address).unwrap();
    let (mut bob, said) = Raw::over(
        stream,
        "bob",
        "bob\n{\"from\":{\"name\":\"bob\",\"ip\":\"\"},\"to\":\"/history\",\"msg\":\"#tea\"}",
    );
    assert!(said.starts_with("⛔ Error"), "{said}");
    assert_eq!(bob.receive(), None);
    assert_eq!(page(&mut alice, "#tea").ids.len(), 3);
}

#[test]
fn what_is_forgotten_is_gone_for_good_and_written_down() {
    let (mut server, audit) = moderated();
    let mut alice = server.register("alice");
    let mut bob = server.register("bob");
    for user in [&mut alice, &mut bob] {
        user.join("#tea");
    }
    alice.send("#tea", "mine");
    alice.send("#tea", "stays");
    sync(&mut alice);
    bob.send("#tea", "bob's");
    bob.send("alice", "between us");
    let (private, _) = sync(&mut bob);
    let [mine, _, bobs] = page(&mut alice, "#tea").ids[..] else { panic!("three messages") };

    let forget = |user: &mut Raw, what: String| user.command("/forget", &what);
    let said = forget(&mut alice, format!("#tea {bobs}"));
    assert_eq!(said, format!("❌ Message {bobs} of #tea is not yours."));
    let said = forget(&mut alice, format!("bob {private}"));
    assert_eq!(said, format!("❌ Message {private} of bob is not yours."));
    let said = forget(&mut alice, "#tea 9999".to_owned());
    assert_eq!(said, "❌ There is no message 9999 in #tea.");
    // by a number of another conversation
    let said = forget(&mut bob, format!("#tea {private}"));
    assert_eq!(said, format!("❌ There is no message {private} in #tea."));
    let mut guest = server.join("gus");
    guest.join("#tea");
    let said = forget(&mut guest, format!("#tea {mine}"));
    assert!(said.starts_with("❌ Not forgotten: log in first"), "{said}");

    let said = forget(&mut alice, format!("#tea {mine}"));
    assert_eq!(said, format!("Forgotten: message {mine} of #tea."));
    let said = forget(&mut bob, format!("alice {private}"));
    assert_eq!(said, format!("Forgotten: message {private} of alice."));
    let mut mod_ = server.join("mod");
    assert_eq!(mod_.command("/admin", TOKEN), "You are an admin now.");
    let said = forget(&mut mod_, format!("#tea {bobs}"));
    assert_eq!(said, format!("Forgotten: message {bobs} of #tea."));
    assert_eq!(page(&mut alice, "#tea").texts(), ["stays"]);

    server.restart();
    let (mut alice, mut bob) = (server.login("alice"), server.login("bob"));
    alice.join("#tea");
    assert_eq!(page(&mut alice, "#tea").texts(), ["stays"]);
    assert!(page(&mut bob, "alice").ids.is_empty());
    let audit = std::fs::read_to_string(audit).unwrap();
    let entries = audit.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let forgotten: Vec<_> = entries
        .filter(|entry| entry["act"] == "forget")
        .map(|entry| format!("{}: {}", entry["by"], entry["target"]).replace('"', ""))
        .collect();
    let expected = [
        format!("alice: #tea {mine}"),
        format!("bob: alice and bob {private}"),
        format!("mod: #tea {bobs}"),
    ];
    assert_eq!(forgotten, expected);
}

#[test]
fn a_hundred_messages_wait_for_who_is_away_and_the_next_is_refused() {
    let mut server = KeptServer::start(&[]);
    let mut alice = server.register("alice");
    drop(server.register("bob"));
    let waits = "bob is not connected, and will get it on logging in.";
    // its end may be seen a moment later than the first message
    eventually(|| (!alice.command("/list", "").contains("bob")).then_some(()));
    for number in 0..60 {
        assert_eq!(alice.command("bob", &number.to_string()), waits);
    }
    assert!(alice.command("nobody", "hello").starts_with("❌ User \"nobody\" not found."));
    let mut guest = server.join("gus");
    assert!(guest.command("bob", "hello").starts_with("❌ User \"bob\" not found."));
    server.kill();
    server.begin();
    let mut alice = server.login("alice");
    for number in 60..100 {
        assert_eq!(alice.command("bob", &number.to_string()), waits);
    }
    let full = "❌ Not delivered: bob is not connected, and 100 messages wait already.";
    assert_eq!(alice.command("bob", "one too many"), full);

    let mut bob = server.login("bob");
    assert_eq!(bob.hear(), "100 messages were sent to you while you were away:");
    for number in 0..100 {
        assert_eq!(bob.receive_from_user().msg, number.to_string());
    }
    assert_eq!(page(&mut bob, "alice 200").ids.len(), 100);
    drop(bob);
    server.restart();
    let mut bob = server.login("bob");
    assert_eq!(bob.command("/ping", "nothing twice"), "nothing twice");
}

#[test]
fn one_sender_cannot_fill_a_mailbox_for_others() {
    let server = KeptServer::start(&["--rate", "off"]);
    let (mut eve, mut friend) = (server.register("eve"), server.register("friend"));
    drop(server.register("bob"));
    eventually(|| (!eve.command("/list", "").contains("bob")).then_some(()));
    let waits = "bob is not connected, and will get it on logging in.";
    let long = "x".repeat(60_000);
    for _ in 0..4 {
        assert_eq!(eve.command("bob", &long), waits);
    }
    let full = "❌ Not delivered: bob is not connected, and 256 KiB of your messages wait in mailboxes already.";
    assert_eq!(eve.command("bob", &long), full);
    assert_eq!(friend.command("bob", "important"), waits);
    let mut bob = server.login("bob");
    let heard: Vec<String> = (0..5).map(|_| bob.receive_from_user().msg).collect();
    assert_eq!(heard[4], "important");
    // what was handed over makes room
    assert_eq!(bob.command("/ping", "done"), "done");
    drop(bob);
    eventually(|| (!eve.command("/list", "").contains("bob")).then_some(()));
    eventually(|| (eve.command("bob", &long) == waits).then_some(()));
}

#[test]
fn mail_that_was_accepted_before_a_login_comes_with_it() {
    let server = KeptServer::start(&["--rate", "off"]);
    let mut alice = server.register("alice");
    let mut random = fastrand::Rng::with_seed(2);
    let names: Vec<_> = (0..10).map(|number| format!("bob{number}")).collect();
    for name in &names {
        server.account(&["add", name], PASSWORD);
        // the server notices within a second
        eventually(|| {
            alice.command(name, "first").contains("will get it on logging in").then_some(())
        });
    }
    let (_, stream, mut reader) = alice.into_parts();
    for name in names {
        let bob = server.join(&name);
        let login = Message::new("x", "", "/login", PASSWORD).to_json() + "\n";
        let (_, bob_stream, mut bob_reader) = bob.into_parts();
        // one message after the other while the password is checked; the last one is delivered
        (&bob_stream).write_all(login.as_bytes()).unwrap();
        let (mut number, mut accepted) = (0, vec!["first".to_owned()]);
        loop {
            number += 1;
            let text = format!("{name} {number}");
            let lines = Message::new("x", "", &name, &text).to_json()
                + "\n"
                + &Message::new("x", "", "/ping", &text).to_json()
                + "\n";
            (&stream).write_all(lines.as_bytes()).unwrap();
            let said = read(&mut reader);
            if said == text {
                break; // it was delivered
            }
            assert!(said.contains("will get it on logging in"), "{said}");
            accepted.push(text.clone());
            while read(&mut reader) != text {}
            std::thread::sleep(std::time::Duration::from_micros(random.u64(..3_000)));
        }
        let last = format!("{name} {number}");
        let mut heard = Vec::new();
        while heard.last() != Some(&last) {
            heard.push(read(&mut bob_reader));
        }
        let heard: Vec<_> = heard.into_iter().filter(|text| accepted.contains(text)).collect();
        assert_eq!(heard, accepted);
    }
}

/// The text of the next message.
fn read(reader: &mut impl BufRead) -> String {
    let mut object = String::new();
    reader.read_line(&mut object).unwrap();
    Message::decode(object.as_bytes()).unwrap().msg
}

#[test]
fn a_flood_leaves_the_history_and_the_mail_of_others_alone() {
    let mut server = KeptServer::start(&["--rate", "off", "--history-max", "4MiB"]);
    let mut alice = server.register("alice");
    drop(server.register("bob"));
    alice.join("#tea");
    for number in 0..100 {
        alice.send("#tea", &number.to_string());
    }
    eventually(|| (!alice.command("/list", "").contains("bob")).then_some(()));
    assert!(alice.command("bob", "call me").contains("will get it"));
    let text = "x".repeat(30_000);
    let mut floods: Vec<Raw> = (0..8)
        .map(|number| {
            let mut mallory = server.join(&format!("mallory{number}"));
            mallory.join(&format!("#r{number}"));
            mallory
        })
        .collect();
    for _ in 0..60 {
        for (number, mallory) in floods.iter_mut().enumerate() {
            mallory.send(&format!("#r{number}"), &text);
        }
    }
    floods.iter_mut().for_each(|mallory| drop(sync(mallory)));
    let numbers: Vec<String> = (0..100).map(|number: u32| number.to_string()).collect();
    assert_eq!(page(&mut alice, "#tea 256").texts(), numbers);
    server.restart();
    let mut bob = server.login("bob");
    assert_eq!(bob.receive_from_user().msg, "call me");
    bob.join("#tea");
    assert_eq!(page(&mut bob, "#tea 256").texts(), numbers);
    let database = std::path::Path::new(&server.data).join("chatproto.db");
    let size = std::fs::metadata(database).unwrap().len();
    assert!(size < 24 << 20, "{size}");
}

#[test]
fn a_new_owner_of_a_name_reads_nothing_of_the_former_one() {
    let mut server = KeptServer::start(&[]);
    let (mut alice, mut bob) = (server.register("alice"), server.register("bob"));
    for _ in 0..10 {
        bob.send("alice", "an old secret");
    }
    sync(&mut bob);
    drop(bob);
    eventually(|| (!alice.command("/list", "").contains("bob")).then_some(()));
    let said = alice.command("bob", "for the old bob");
    assert!(said.contains("will get it on logging in"), "{said}");
    server.account(&["remove", "bob", "--yes"], "");
    // the server notices within a second; until then this is a guest
    let mut bob = eventually(|| {
        let mut bob = server.join("bob");
        (!bob.command("/whoami", "").contains("bob~")).then_some(bob)
    });
    let said = bob.command("/register", PASSWORD);
    assert!(said.starts_with("The name bob is yours"), "{said}");
    assert_eq!(page(&mut bob, "alice").texts(), [""; 0]);
    // nor how many there were
    for arguments in ["alice 5", "alice 5 before 8"] {
        let page = page(&mut bob, arguments);
        assert!(page.ids.is_empty() && !page.has_more, "{arguments}: {page:?}");
    }
    // nor has it them forgotten
    let said = bob.command("/forget", "alice 1");
    assert_eq!(said, "❌ Message 1 of alice is not yours.");
    alice.send("bob", "to the new one");
    sync(&mut alice);
    assert_eq!(page(&mut bob, "alice").texts(), ["to the new one"]);
    server.restart();
    let mut bob = server.login("bob");
    assert_eq!(bob.command("/ping", "no mail of his"), "no mail of his");
    assert_eq!(page(&mut bob, "alice").texts(), ["to the new one"]);
    let mut alice = server.login("alice");
    assert_eq!(page(&mut alice, "bob").texts(), ["to the new one"]);
}

#[cfg(unix)]
#[test]
fn files_that_others_can_read_or_write_are_reported_at_the_start() {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    let mut server = KeptServer::start(&[]);
    server.kill();
    let (token, audit) = (server.dir.path("token"), server.dir.path("audit.log"));
    let database = format!("{}/chatproto.db", server.data);
    let log = format!("{database}-wal");
    fs::write(&token, "a-token-that-is-long-enough").unwrap();
    fs::write(&audit, "").unwrap();
    let is_warned = |open: &str, mode: u32| {
        for path in [&server.data, &database, &log, &token, &audit] {
            let private = if path == &server.data { 0o700 } else { 0o600 };
            let mode = if path == open { mode } else { private };
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--data", &server.data];
        let files = ["--admin-token", &token, "--audit-log", &audit];
        let mut program = Program::start(&[&arguments[..], &files].concat());
        program.line_with("listening on");
        program.kill();
        let (_, _, errors) = program.end();
        let warnings: Vec<_> =
            errors.iter().filter(|line| line.contains("open to others than its owner")).collect();
        assert!(warnings.iter().all(|line| line.contains(&format!("{open} "))), "{warnings:?}");
        warnings.len()
    };
    for open in [&server.data, &database, &log, &token, &audit] {
        let is_directory = open == &server.data;
        for (mode, count) in [(0o640, 1), (0o602, 1), (0o600, 0)] {
            let mode = if is_directory { mode | 0o100 } else { mode };
            assert_eq!(is_warned(open, mode), count, "{open} with mode {mode:o}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_password_file_that_others_can_read_is_reported() {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    let server = KeptServer::start(&[]);
    server.register("alice");
    let file = server.dir.file("password", PASSWORD);
    for (mode, is_reported) in [(0o644, true), (0o600, false)] {
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let mut chat = server.chat("alice", &["--password-file", &file]);
        chat.close_input();
        let (code, _, errors) = chat.end();
        assert_eq!(code, Some(0), "{errors:?}");
        let found = errors.iter().any(|line| line.contains("open to others than its owner"));
        assert_eq!(found, is_reported, "{errors:?}");
    }
}

#[test]
fn times_beyond_the_calendar_are_shown_as_its_end() {
    let mut server = KeptServer::start(&[]);
    let mut alice = server.register("alice");
    alice.join("#tea");
    alice.send("#tea", "from the future");
    sync(&mut alice);
    server.program.terminate();
    server.program.end();
    let database = rusqlite::Connection::open(format!("{}/chatproto.db", server.data)).unwrap();
    let far = format!(
        "UPDATE message SET at_ms = {far}; UPDATE account SET created_ms = {far}, seen_ms = {far};
         INSERT INTO ban VALUES ('x', 'x', 'y', 'moderator', '', -{far}, {far})",
        far = i64::MAX
    );
    database.execute_batch(&far).unwrap();
    drop(database);
    server.begin();
    let mut alice = server.login("alice");
    alice.join("#tea");
    alice.send("/history", "#tea");
    let head = alice.hear();
    assert!(head.contains(" first=9999-12-"), "{head}");
    for arguments in [
        &["history", "stats"][..],
        &["history", "export"],
        &["history", "search", "future"],
        &["account", "list"],
        &["account", "list", "--json"],
    ] {
        let (code, output, errors) =
            Program::start(&[arguments, &["--data", &server.data]].concat()).end();
        assert_eq!(code, Some(0), "{arguments:?}: {errors:?}");
        assert!(output.iter().any(|line| line.contains("9999-12-")), "{arguments:?}: {output:?}");
    }
}
