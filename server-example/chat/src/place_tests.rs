//! Tests of where the user is: rooms, names, answers and reconnects.

use super::*;
use crate::line::Known;

/// With a server that sends state lines.
fn place() -> Place {
    let mut place = Place::new("alice".to_owned());
    let confirmed = "Reporting on name=alice role=user login=false";
    assert_eq!(learn(&mut place, "alice", confirmed), "Confirmed");
    place
}

/// With a server that does not.
fn simple_place() -> Place {
    let mut place = Place::new("alice".to_owned());
    let unknown = "❌ Unknown command \"/state\". Send /help to see the commands.";
    assert_eq!(learn(&mut place, "alice", unknown), "Hidden(None)");
    place
}

fn learn(place: &mut Place, to: &str, text: &str) -> String {
    format!("{:?}", place.learn(&Message::new("SERVER", "0.0.0.0", to, text)))
}

/// Types a line, which is then on its way to the server if it is one for it.
fn type_line(place: &mut Place, line: &str) -> Option<(String, String)> {
    let rooms = place.rooms().collect();
    let line = line::parse(line, &Known { users: Vec::new(), rooms });
    match place.typed(line) {
        Deed::Send { to, msg } => {
            place.sending(&to, &msg);
            Some((to, msg))
        }
        Deed::Nothing => None,
        deed => panic!("{deed:?}"),
    }
}

/// Types a line; returns to whom it was sent.
fn to(place: &mut Place, line: &str) -> String {
    type_line(place, line).expect("it is sent").0
}

/// The server sends a line; returns the note for the user.
fn hear(place: &mut Place, to: &str, line: &str) -> Option<String> {
    match place.learn(&Message::new("SERVER", "0.0.0.0", to, line)) {
        Learned::Moved(moved) => Some(moved.to_string()),
        Learned::Hidden(_) => None,
        learned => panic!("{learned:?}"),
    }
}

fn joins(place: &mut Place, room: &str) {
    let room = chatproto::pairs::as_value(room);
    let line = format!("State moved room={room} member=true reason=joined");
    assert_eq!(hear(place, "alice", &line), None);
}

fn rooms(place: &Place) -> Vec<&str> {
    place.rooms().collect()
}

const REFUSED: &str = "State moved member=false reason=refused";

#[test]
fn plain_text_follows_the_room() {
    let mut place = place();
    assert_eq!(to(&mut place, "hi"), "/shout");
    assert_eq!(place.prompt(), "alice> ");
    assert_eq!(to(&mut place, "/join #tea"), "/join");
    assert_eq!(place.prompt(), "alice #tea> ");
    assert_eq!(to(&mut place, "hi"), "#tea");
    joins(&mut place, "#tea");
    place.turn();
    assert_eq!(to(&mut place, "hi"), "#tea");
    let leave = Some(("/leave".to_owned(), "#tea".to_owned()));
    assert_eq!(type_line(&mut place, "/leave"), leave);
    assert_eq!(to(&mut place, "hi"), "/shout");
    assert_eq!(rooms(&place), [""; 0]);
    // the server says how it is used
    assert_eq!(type_line(&mut place, "/leave"), Some(("/leave".to_owned(), String::new())));
}

#[test]
fn the_user_goes_from_room_to_room() {
    let mut place = place();
    type_line(&mut place, "/join #tea");
    type_line(&mut place, "/join #green tea");
    assert_eq!(to(&mut place, "hi"), "#green tea");
    assert_eq!(type_line(&mut place, "/to #tea"), None);
    assert_eq!(to(&mut place, "hi"), "#tea");
    assert_eq!(to(&mut place, "@#green tea hi"), "#green tea");
    assert_eq!(to(&mut place, "hi"), "#tea");
    type_line(&mut place, "/leave #green tea");
    assert_eq!(to(&mut place, "hi"), "#tea");
    assert_eq!(rooms(&place), ["#tea"]);
    type_line(&mut place, "/to everyone");
    assert_eq!(to(&mut place, "hi"), "/shout");
    let elsewhere = place.typed(Line::To(Some("#green tea".into())));
    let why = "you are not in #green tea: /join \"#green tea\"";
    assert_eq!(elsewhere, Deed::Doubt(why.to_owned()));
    assert_eq!(to(&mut place, "hi"), "#green tea", "it is for nobody else");
}

#[test]
fn names_are_sent_in_quotes_if_they_need_them() {
    let mut place = place();
    let join = type_line(&mut place, "/join #cafe\u{301} noir");
    assert_eq!(join, Some(("/join".to_owned(), "\"#caf\u{e9} noir\"".to_owned())));
    joins(&mut place, "#caf\u{e9} noir");
    assert_eq!(rooms(&place), ["#caf\u{e9} noir"]);
    place.disconnected();
    assert_eq!(place.take_joins(), ["\"#caf\u{e9} noir\""]);
    assert_eq!(to(&mut place, "hi"), "#caf\u{e9} noir");
    let leave = type_line(&mut place, "/leave");
    assert_eq!(leave.unwrap().1, "\"#caf\u{e9} noir\"");
}

#[test]
fn a_refused_room_counts_until_the_next_turn() {
    let mut place = place();
    type_line(&mut place, "/join #tea");
    hear(&mut place, "alice", "State moved room=#tea member=true reason=already");
    type_line(&mut place, "/join #attic");
    let note = hear(&mut place, "alice", REFUSED);
    let said = "you are not in #attic: after this line, plain text goes to #tea";
    assert_eq!(note.as_deref(), Some(said));
    assert_eq!(to(&mut place, "hi"), "#attic", "the prompt says so");
    place.turn();
    assert_eq!(to(&mut place, "hi"), "#tea");
    assert_eq!(rooms(&place), ["#tea"]);
}

#[test]
fn a_refusal_answers_the_oldest_question() {
    let mut place = place();
    for line in ["/join #a", "/join", "/join #b", "/join #c"] {
        type_line(&mut place, line);
    }
    assert_eq!(hear(&mut place, "alice", REFUSED), None, "#a, where the user is no longer");
    assert_eq!(hear(&mut place, "alice", REFUSED), None, "the one without a room");
    joins(&mut place, "#b");
    let note = hear(&mut place, "alice", REFUSED).unwrap();
    assert!(note.ends_with("goes to #b"), "{note}");
    assert_eq!(hear(&mut place, "alice", REFUSED), None, "nothing was asked");
    assert_eq!(rooms(&place), ["#b"]);
}

#[test]
fn a_closed_room_is_left() {
    let mut place = place();
    type_line(&mut place, "/join #attic");
    joins(&mut place, "#attic");
    type_line(&mut place, "/join #tea");
    joins(&mut place, "#tea");
    let closed = "State moved room=#tea member=false reason=closed";
    // joined again before the server said so
    type_line(&mut place, "/join #tea");
    assert_eq!(hear(&mut place, "alice", closed), None);
    assert_eq!(rooms(&place), ["#attic", "#tea"]);
    joins(&mut place, "#tea");
    let note = hear(&mut place, "alice", closed).unwrap();
    assert_eq!(note, "you are not in #tea: after this line, plain text goes to everybody");
    place.turn();
    assert_eq!(to(&mut place, "hi"), "/shout");
    assert_eq!(rooms(&place), ["#attic"]);
}

#[test]
fn the_last_line_says_why_the_server_closes() {
    let closed = "State closed reason=elsewhere";
    assert_eq!(learn(&mut place(), "alice", closed), "Closed(\"elsewhere\")");
    assert_eq!(learn(&mut place(), "#tea", closed), "Hidden(None)");
    assert_eq!(learn(&mut simple_place(), "alice", closed), "Message");
}

#[test]
fn no_sentence_changes_anything() {
    for (to, text) in [
        ("alice", "Joined #evil. You are its only member."),
        // the text for a sender to a user of that name who is away
        ("alice", "Joined #evil. Other members (1): x is away: back soon"),
        ("alice", "You are in #evil already."),
        ("alice", "Left #tea."),
        ("alice", "❌ Not joined: no."),
        ("alice", "❌ Unknown command \"/join\". Send /help to see the commands."),
        ("alice", "⛔ You were kicked by bob."),
        ("bob", "You are now bob."),
        ("bob", "You are logged in as bob."),
        ("#tea", "bob closed the room."),
    ] {
        for mut place in [place(), simple_place()] {
            type_line(&mut place, "/join #tea");
            assert_eq!(learn(&mut place, to, text), "Message", "{text}");
            place.turn();
            assert_eq!((rooms(&place), place.prompt()), (vec!["#tea"], "alice #tea> ".into()));
        }
    }
}

#[test]
fn with_a_simple_server_the_user_is_where_they_went() {
    let mut place = simple_place();
    type_line(&mut place, "/join #tea");
    place.turn();
    assert_eq!(to(&mut place, "hi"), "#tea");
    type_line(&mut place, "/to everyone");
    assert_eq!(to(&mut place, "hi"), "/shout");
    type_line(&mut place, "/nick \"carol jones\"");
    learn(&mut place, "alice", "carol jones it is.");
    assert_eq!(place.name(), "alice");
    learn(&mut place, "carol jones", "Whatever the server says.");
    assert_eq!(place.name(), "carol jones");
}

#[test]
fn the_user_takes_another_name() {
    let mut place = place();
    let named = |old: &str, name: &str| format!("State renamed old={old} name={name} self=true");
    hear(&mut place, "bob", &named("carol", "bob"));
    assert_eq!(place.name(), "alice", "that is somebody else");
    hear(&mut place, "bob", &named("alice", "bob"));
    assert_eq!((place.name(), place.name_to_ask_for()), ("bob", "bob"));
    // the name is an account's from now on
    hear(&mut place, "bob~3", &named("bob", "bob~3"));
    assert_eq!((place.name(), place.name_to_ask_for()), ("bob~3", "bob"));
    hear(&mut place, "dave", &named("bob~3", "dave"));
    assert_eq!((place.name(), place.name_to_ask_for()), ("dave", "dave"));
    type_line(&mut place, "/join #tea");
    assert_eq!(place.prompt(), "dave #tea> ");
    // the answer to what the user asked for counts as soon as it is there
    type_line(&mut place, "/nick carol jones");
    learn(&mut place, "carol jones", "You are now carol jones.");
    assert_eq!(place.name(), "carol jones");
    hear(&mut place, "carol jones", "State moved room=#tea member=false reason=left");
    assert_eq!(rooms(&place), ["#tea"], "it is about to be joined");
}

#[test]
fn rooms_are_joined_again_on_another_connection() {
    let mut place = place();
    type_line(&mut place, "/join #tea");
    type_line(&mut place, "/join #green tea");
    place.disconnected();
    let joins_again = place.take_joins();
    assert_eq!(joins_again, ["\"#green tea\"", "#tea"]);
    for msg in joins_again {
        place.sending("/join", &msg);
    }
    assert_eq!(place.take_joins(), [""; 0], "once");
    place.turn();
    assert_eq!(to(&mut place, "hi"), "#green tea");
    learn(&mut place, "alice", "Reporting on name=alice role=user login=false");
    let note = hear(&mut place, "alice", REFUSED).unwrap();
    assert!(note.ends_with("goes to #tea"), "{note}");
    joins(&mut place, "#tea");
    assert_eq!(rooms(&place), ["#tea"]);
}

#[test]
fn a_user_who_has_to_log_in_joins_after_that() {
    let mut place = place();
    hear(&mut place, "alice", "State role name=alice role=user login=true");
    type_line(&mut place, "/join #tea");
    joins(&mut place, "#tea");
    place.disconnected();
    assert_eq!(place.take_joins(), [""; 0], "it is not known whether the login is restored");
    let visitor = "Reporting on name=alice~7 role=user login=false visitor=true";
    assert_eq!(learn(&mut place, "alice", visitor), "Hidden(None)");
    assert_eq!(place.take_joins(), [""; 0]);
    hear(&mut place, "alice", "State renamed old=alice~7 name=alice self=true");
    let role = "State role name=alice role=user login=true";
    assert_eq!(learn(&mut place, "alice", role), "Confirmed", "now it may ask");
    assert_eq!(place.take_joins(), ["#tea"]);
}

#[test]
fn a_place_that_is_not_clear_is_no_place() {
    for line in
        ["/join tea", "/join \"#a b", "/to tea", "/JOIN #tea", "/jion #tea", "/join #tea #b"]
    {
        let mut place = place();
        type_line(&mut place, "/join #cake");
        let _ = place.typed(line::parse(line, &Known::default()));
        let text = place.typed(line::parse("hi", &Known::default()));
        assert_eq!(text, Deed::Mistake(ASTRAY.to_owned()), "{line}");
        assert_eq!(to(&mut place, "@bob hi"), "bob", "this has its own");
        assert_eq!(type_line(&mut place, "/to #cake"), None);
        assert_eq!(to(&mut place, "hi"), "#cake");
    }
}

#[test]
fn a_join_that_is_too_long_to_send_is_none() {
    let mut place = place();
    type_line(&mut place, "/join #tea");
    place.unsent("/join");
    place.turn();
    assert_eq!(to(&mut place, "hi"), "/shout");
    assert_eq!(rooms(&place), [""; 0]);
}

#[test]
fn a_server_cannot_give_the_user_a_name_without_end() {
    let mut place = place();
    place.sending("/nick", "bob");
    let endless = "y".repeat(LONGEST_NAME + 1);
    learn(&mut place, &endless, &format!("State renamed old=alice name={endless} self=true"));
    assert_eq!(place.name(), "alice");
}

#[test]
fn what_is_typed_cannot_control_the_terminal() {
    let mut place = place();
    type_line(&mut place, "/join #\u{1b}[2J");
    assert_eq!(place.prompt(), "alice #\\u{1b}[2J> ");
}

#[test]
fn a_guest_wants_another_name_until_it_is_given() {
    let welcome = |to: &str| Message::new("SERVER", "0.0.0.0", to, "Welcome!");
    let mut place = place();
    assert!(!place.welcomed("alice", &welcome("alice")));
    assert!(!place.welcomed("alice", &welcome("Everyone")));
    assert!(!place.welcomed("alice", &welcome("bob~1")));
    assert!(!place.welcomed("alice~7", &welcome("alice~7")), "that is who they asked for");
    assert_eq!((place.name(), place.name_to_ask_for()), ("alice", "alice"));
    assert!(place.welcomed(" alice ", &welcome("alice~7")));
    assert_eq!((place.name(), place.name_to_ask_for()), ("alice~7", "alice"));
    learn(&mut place, "alice", "You are logged in as alice.");
    assert_eq!(place.name(), "alice~7", "nobody has asked for that");
    place.sending("/login", "secret");
    learn(&mut place, "alice~7", "❌ Wrong password, or no account of that name.");
    assert_eq!(place.name(), "alice~7");
    learn(&mut place, "alice", "You are logged in as alice, a moderator. And so on.");
    assert_eq!((place.name(), place.name_to_ask_for()), ("alice", "alice"));
    place.sending("/login", "\"bob b\" secret");
    learn(&mut place, "bob b", "You are logged in as bob b.");
    assert_eq!(place.name(), "bob b");
    assert!(place.welcomed("alice", &welcome("alice~8")));
    assert!(!place.welcomed("alice", &welcome("alice")), "the account is gone");
    assert_eq!((place.name(), place.name_to_ask_for()), ("alice", "alice"));
}
