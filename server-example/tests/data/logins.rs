//! Accounts over the real program: what their owners do with commands, what an operator does beside
//! the server, and what others try. (Details of each command are tested on the hub and on the book.)

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;

use crate::common::kept::{KeptServer, PASSWORD};
use crate::common::temp_dir::TempDir;
use crate::common::{Raw, eventually};

const TOKEN: &str = "Zm9vYmFyYmF6cXV4MTIzNDU2";
const WRONG: &str = "❌ Wrong password, or no account of that name.";
const THROTTLED: &str = "❌ There were too many wrong passwords. Try again in ";
const UNENCRYPTED: &str =
    "This connection is not encrypted: your password could be read on its way.";

/// Connects from an address of this machine's own choice; what it was told first.
#[cfg(target_os = "linux")]
fn connect_from(address: [u8; 4], server: SocketAddr, name: &str) -> (Raw, String) {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::from(address), 0)).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    Raw::over(socket.into(), name, &format!("{name}\n"))
}

/// Connects under the name of an account: the guest, whose name begins with that one.
fn guest(server: &KeptServer, name: &str) -> Raw {
    let mut guest = server.join(name);
    let said = guest.hear();
    let begin =
        format!("The name {name} belongs to an account, or looks like one that does: you are");
    assert!(said.starts_with(&begin), "{said}");
    guest
}

/// What the server says until it closes.
fn last_words(user: &mut Raw) -> String {
    let mut last = None;
    while let Some(message) = user.receive() {
        last = Some(message.msg);
    }
    last.expect("there were some")
}

#[test]
fn a_name_is_its_owners_from_register_to_unregister() {
    let mut server = KeptServer::start(&[]);
    let mut alice = server.join("alice");
    for (password, why) in [
        ("short", "❌ Not registered: a password must have at least 8 characters"),
        ("alicealice alice", "❌"),
        ("", "❌"),
    ] {
        let said = alice.command("/register", password);
        assert!(said.starts_with(why), "{password:?}: {said}");
    }
    let said = alice.command("/register", PASSWORD);
    let until = "The name alice is yours: from the next time on it needs /login with the password.";
    assert_eq!(said, format!("{until} {UNENCRYPTED}"));
    assert!(alice.command("/register", PASSWORD).starts_with('❌'));
    server.restart();

    // whoever asks for it is somebody else until the password is there
    let mut bob = server.join("bob");
    let mut alice = guest(&server, "alice");
    alice.send("bob", "hello");
    let name = bob.receive_from_user().from.name;
    assert!(name.starts_with("alice~"), "{name}");
    assert!(bob.command("alice", "are you there?").starts_with("❌ User \"alice\" not found."));
    assert!(bob.command("/nick", "alice").starts_with('❌'));
    assert!(bob.command("/nick", "ALICE").starts_with('❌'), "one that looks like it");
    assert_eq!(alice.command("/login", "wrong-password"), WRONG);
    assert_eq!(bob.command("/login", "wrong-password"), WRONG, "whether there is one or not");
    let said = alice.command("/login", PASSWORD);
    assert_eq!(said, format!("You are logged in as alice. {UNENCRYPTED}"));
    alice.send("bob", "it is me");
    assert_eq!(bob.receive_from_user().from.name, "alice");

    let change =
        |user: &mut Raw, old: &str, new: &str| user.command("/passwd", &format!("{old} {new}"));
    let said = change(&mut alice, "wrong-password", "another-horse-8");
    assert!(said.starts_with("❌ Your password is not changed: wrong password"), "{said}");
    let said = change(&mut alice, PASSWORD, "another-horse-8");
    assert_eq!(said, format!("Your password is changed. {UNENCRYPTED}"));
    drop(alice);
    server.kill();
    server.begin();
    let mut alice = guest(&server, "alice");
    assert_eq!(alice.command("/login", PASSWORD), WRONG);
    let mut alice = server.login_with("alice", "another-horse-8");
    assert!(alice.command("/unregister", PASSWORD).starts_with("❌ The account stays: wrong"));
    let said = alice.command("/unregister", "another-horse-8");
    assert_eq!(said, "The account is gone. The name is free when you leave.");
    drop(alice);
    // its end may be seen a moment later than the next connection
    eventually(|| {
        let stream = std::net::TcpStream::connect(server.address).unwrap();
        let (_, said) = Raw::over(stream, "alice", "alice\n");
        said.starts_with("Welcome, alice!").then_some(())
    });
    server.restart();
    let mut alice = server.join("alice");
    assert!(alice.command("/register", PASSWORD).starts_with("The name alice is yours"));
}

#[test]
fn of_two_that_log_in_to_one_name_at_once_one_has_it_and_the_other_is_told() {
    let server = KeptServer::start(&[]);
    drop(server.register("alice"));
    for _ in 0..5 {
        // one after the other: of two that ask for a free name at once, one may be told that it is in use
        let guests = [(); 2].map(|()| guest(&server, "alice"));
        let logins = guests.map(|mut user| {
            thread::spawn(move || {
                let said = user.command("/login", PASSWORD);
                assert!(said.starts_with("You are logged in as alice."), "{said}");
                user
            })
        });
        let [one, other] = logins.map(|login| login.join().unwrap());
        // the one that was first is replaced; the last one stays
        let outcomes = [one, other].map(|mut user| {
            user.send("/whoami", "");
            let first = user.receive().map(|message| message.msg);
            (user, first.unwrap_or_default())
        });
        let told = "⛔ alice has logged in elsewhere. This connection is closed.";
        let [mut ended, mut stays] = outcomes;
        if ended.1 != told {
            (ended, stays) = (stays, ended);
        }
        assert_eq!(ended.1, told);
        assert_eq!(ended.0.receive(), None);
        assert!(stays.1.starts_with("You are alice"), "{}", stays.1);
        assert_eq!(stays.0.command("/list", ""), "No other users are connected.");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn whoever_guesses_is_slowed_down_and_the_owner_logs_in_from_where_it_was_before() {
    let server = KeptServer::start(&[]);
    // known at 127.0.0.1
    drop(server.register("alice"));
    drop(server.login("alice"));
    let mut tries = 0;
    let refusal = loop {
        let (mut guesser, _) =
            connect_from([127, 0, 0, 2], server.address, &format!("mallory{tries}"));
        let said = guesser.command("/login", &format!("alice guess-number-{tries}"));
        if said != WRONG {
            break said;
        }
        tries += 1;
        assert!(tries < 20, "nobody stops it");
    };
    assert_eq!(tries, 3);
    assert!(refusal.starts_with(THROTTLED), "{refusal}");
    // the right password is not tried either, nor another account's from there
    let (mut guesser, _) = connect_from([127, 0, 0, 2], server.address, "mallory");
    for what in [format!("alice {PASSWORD}"), "nobody some-password".to_owned()] {
        let said = guesser.command("/login", &what);
        assert!(said.starts_with(THROTTLED), "{what}: {said}");
    }
    // guessing from elsewhere does not help
    let (mut guesser, _) = connect_from([127, 0, 0, 3], server.address, "mallory2");
    let said = guesser.command("/login", "alice some-password");
    assert!(said.starts_with(THROTTLED), "{said}");
    drop(server.login("alice"));
}

/// Users who have all sent a wrong password before the first one reads the answer.
fn guessers(server: &KeptServer) -> Vec<Raw> {
    let mut guessers: Vec<Raw> =
        (0..32).map(|number| server.join(&format!("guesser {number}"))).collect();
    for (number, guesser) in guessers.iter_mut().enumerate() {
        guesser.send("/login", &format!("\"account {number}\" guess-number-{number}"));
    }
    guessers
}

#[test]
fn of_32_passwords_at_one_time_three_are_checked() {
    let server = KeptServer::start(&[]);
    let answers: Vec<String> = guessers(&server).iter_mut().map(Raw::hear).collect();
    let (checked, throttled): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer == WRONG);
    assert_eq!((checked.len(), throttled.len()), (3, 29), "{throttled:?}");
    for answer in throttled {
        assert!(answer.starts_with(THROTTLED), "{answer}");
    }
}

#[test]
fn passwords_count_whose_senders_do_not_wait_for_the_answer() {
    let server = KeptServer::start(&[]);
    let mut other = server.join("other");
    drop(guessers(&server));
    // their orders are queued by then
    eventually(|| (other.command("/list", "") == "No other users are connected.").then_some(()));
    let said = other.command("/login", "nobody some-password");
    assert!(said.starts_with(THROTTLED), "{said}");
}

#[test]
fn where_accounts_are_required_a_guest_is_refused_and_an_owner_has_to_log_in() {
    let server = KeptServer::start(&["--accounts", "required"]);
    server.account(&["add", "alice"], PASSWORD);
    server.account(&["add", "bob"], PASSWORD);
    let stream = || std::net::TcpStream::connect(server.address).unwrap();
    let (mut guest, said) = Raw::over(stream(), "gus", "gus\n");
    assert!(said.starts_with("⛔ Error: this server is for those who have an account"), "{said}");
    assert_eq!(guest.receive(), None);

    // the server notices new accounts within a second
    let mut alice = eventually(|| {
        let (alice, said) = Raw::over(stream(), "alice", "alice\n");
        said.contains("Send /login with your password to be alice").then_some(alice)
    });
    let first = "❌ Log in first: send /login with your password.";
    for (to, msg) in [
        ("bob", "hello"),
        ("/list", ""),
        ("/shout", "hello"),
        ("/join", "#tea"),
        ("/history", "#tea"),
    ] {
        assert_eq!(alice.command(to, msg), first, "{to}");
    }
    let said = alice.command_until("/login", PASSWORD, "Welcome, alice!");
    assert!(said[0].starts_with("You are logged in as alice."), "{said:?}");
    let mut bob = server.join("bob");
    assert!(bob.command("/login", PASSWORD).starts_with("You are logged in as bob."));
    alice.send("bob", "hello");
    assert_eq!(bob.receive_from_user().msg, "hello");
}

#[test]
fn where_accounts_are_required_nobody_stays_or_speaks_without_one() {
    let server = KeptServer::start(&["--accounts", "required"]);
    for name in ["pupil", "teacher"] {
        server.account(&["add", name], PASSWORD);
    }
    let stream = || std::net::TcpStream::connect(server.address).unwrap();
    let log_in = |name: &str| {
        // the server notices new accounts within a second
        let mut user = eventually(|| {
            let (user, said) = Raw::over(stream(), name, &format!("{name}\n"));
            said.contains("Send /login").then_some(user)
        });
        let welcome = format!("Welcome, {name}!");
        let said = user.command_until("/login", PASSWORD, &welcome);
        assert!(said[0].starts_with(&format!("You are logged in as {name}.")), "{said:?}");
        user
    };
    let mut teacher = log_in("teacher");
    let mut pupil = log_in("pupil");
    assert!(pupil.command("/nick", "Headmaster").contains("you are logged in under it"));
    assert!(pupil.command("/register", PASSWORD).contains("yours already"));
    assert!(pupil.command("/unregister", "wrong-password").starts_with("❌ The account stays: "));
    // what is sent behind it is from nobody
    pupil.send("/unregister", PASSWORD);
    for (to, msg) in [("/nick", "Headmaster"), ("/register", PASSWORD), ("teacher", "hello")] {
        pupil.send(to, msg);
    }
    assert_eq!(
        last_words(&mut pupil),
        "The account is gone. This server is for those who have an account: the connection is closed."
    );
    assert_eq!(teacher.command("/list", ""), "No other users are connected.");
    let (mut pupil, said) = Raw::over(stream(), "pupil", "pupil\n");
    assert!(said.starts_with("⛔ Error: this server is for those who have an account"), "{said}");
    assert_eq!(pupil.receive(), None);

    // nor after an operator has removed the account
    server.account(&["remove", "teacher", "--yes"], "");
    assert_eq!(last_words(&mut teacher), "⛔ Your account was changed. Connect again and log in.");
}

#[test]
fn names_that_only_the_server_gives_are_nobodys_on_request() {
    let server = KeptServer::start(&[]);
    let stream = || std::net::TcpStream::connect(server.address).unwrap();
    let mut eve = server.join("eve");
    for (name, why) in [
        ("alice~7", "only the server gives names that end in '~'"),
        ("alice~", "only the server gives names that end in '~'"),
        ("SERVER:", "the name looks like \"SERVER\", which is reserved"),
        ("\u{405}\u{415}RV\u{415}R", "the name looks like \"SERVER\", which is reserved"),
    ] {
        let (mut refused, said) = Raw::over(stream(), name, &format!("{name}\n"));
        assert!(said.starts_with("⛔ Error: ") && said.contains(why), "{said}");
        assert_eq!(refused.receive(), None);
        let said = eve.command("/nick", name);
        assert!(said.starts_with("❌ Your name stays eve: ") && said.contains(why), "{said}");
        let said = eve.command("/login", &format!("{name} {PASSWORD}"));
        assert!(said.starts_with("❌ Not logged in: ") && said.contains(why), "{said}");
    }
    // the server itself gives them, one after the other
    drop(server.register("alice"));
    for _ in 0..8 {
        drop(guest(&server, "alice"));
    }
}

#[test]
fn an_account_of_a_reserved_name_of_an_older_version_is_nobodys() {
    let mut server = KeptServer::start(&[]);
    drop(server.register("alice"));
    drop(server.register("victim"));
    server.program.terminate();
    assert_eq!(server.program.end().0, Some(0));
    let file = format!("{}/chatproto.db", server.data);
    let database = rusqlite::Connection::open(file).unwrap();
    for (sql, rows) in [
        ("UPDATE account SET name = 'alice~2' WHERE name = 'victim'", 1),
        ("UPDATE account_key SET account = 'alice~2', key = 'allce~2' WHERE account = 'victim'", 1),
        ("UPDATE account_address SET account = 'alice~2' WHERE account = 'victim'", 0),
    ] {
        assert!(database.execute(sql, ()).unwrap() >= rows, "{sql}");
    }
    drop(database);
    server.begin();
    let warning = server.program.error_with("nobody can use the account \"alice~2\"");
    assert!(warning.contains("account remove"), "{warning}");
    // no guest has its name, and there is no way to log in to it
    for expected in ["alice~1", "alice~3"] {
        let mut guest = guest(&server, "alice");
        let said = guest.command("/whoami", "");
        assert!(said.starts_with(&format!("You are {expected} ")), "{said}");
        let said = guest.command("/login", &format!("alice~2 {PASSWORD}"));
        assert!(said.starts_with("❌ Not logged in: only the server gives names"), "{said}");
    }
    // nor is anything kept for it
    let mut alice = server.login("alice");
    let said = alice.command("alice~2", "for nobody");
    assert!(said.starts_with("❌ User \"alice~2\" not found."), "{said}");
    server.account(&["remove", "alice~2", "--yes"], "");
}

#[test]
fn a_look_alike_of_somebody_who_is_online_is_not_registered() {
    let server = KeptServer::start(&[]);
    let (mut bob, mut mallory) = (server.join("bob"), server.join("B0b"));
    let said = mallory.command("/register", PASSWORD);
    let why = "❌ Not registered: your name looks like \"bob\", the name of another user";
    assert!(said.starts_with(why), "{said}");
    assert!(bob.command("/register", PASSWORD).starts_with("The name bob is yours"));
    // an operator decides who has an account, whoever is online
    let _mallory = server.join("Caro1");
    server.account(&["add", "carol"], PASSWORD);
}

#[test]
fn passwords_are_not_taken_over_a_plain_connection_if_that_is_forbidden() {
    let server = KeptServer::start(&["--require-tls-for-login"]);
    server.account(&["add", "alice"], PASSWORD);
    let why = "server takes passwords over encrypted connections (TLS) alone";
    let mut bob = server.join("bob");
    for (command, msg) in [
        ("/register", PASSWORD.to_owned()),
        ("/login", format!("alice {PASSWORD}")),
        ("/login", "alice some-password".to_owned()),
    ] {
        let said = bob.command(command, &msg);
        assert!(said.starts_with('❌') && said.contains(why), "{said}");
    }
}

#[test]
fn what_an_operator_does_to_an_account_is_seen_at_once_by_who_is_connected() {
    let server = KeptServer::start(&[]);
    let (mut alice, mut bob) = (server.join("alice"), server.join("bob"));
    alice.join("#tea");
    bob.join("#tea");
    server.account(&["add", "alice"], PASSWORD);
    let said = alice.hear();
    assert!(said.starts_with("The name alice belongs to an account now: you are alice~"), "{said}");
    alice.send("#tea", "who am I");
    let name = bob.receive_from_user().from.name;
    assert!(name.starts_with("alice~"), "{name}");
    assert!(alice.command("/login", PASSWORD).starts_with("You are logged in as alice."));

    assert!(alice.command("/mute", "bob").starts_with('❌'));
    server.account(&["role", "alice", "moderator"], "");
    assert_eq!(alice.hear(), "You are a moderator now.");
    assert_eq!(alice.command("/kick", "bob"), "Kicked bob.");
    assert_eq!(last_words(&mut bob), "⛔ You were kicked by alice.");
    server.account(&["role", "alice", "user"], "");
    assert_eq!(alice.hear(), "You are a user now.");
    assert!(alice.command("/kick", "bob").starts_with('❌'));

    server.account(&["reset", "alice"], "another-horse-8");
    assert_eq!(last_words(&mut alice), "⛔ Your account was changed. Connect again and log in.");
    let mut alice = guest(&server, "alice");
    assert_eq!(alice.command("/login", PASSWORD), WRONG);
    assert!(alice.command("/login", "another-horse-8").starts_with("You are logged in as alice."));
    server.account(&["remove", "alice", "--yes"], "");
    assert_eq!(last_words(&mut alice), "⛔ Your account was changed. Connect again and log in.");
    drop(server.join("alice"));
}

#[test]
fn bans_and_mutes_hold_after_a_restart_until_they_are_lifted() {
    let dir = TempDir::new();
    let (token, data) = (dir.file("token", TOKEN), dir.path("data"));
    let mut server = KeptServer::start_in(dir, data, &["--admin-token", &token]);
    let moderator = |server: &KeptServer| {
        let mut admin = server.join("mod");
        assert_eq!(admin.command("/admin", TOKEN), "You are an admin now.");
        admin
    };
    let refusal = |server: &KeptServer, name: &str| {
        let stream = std::net::TcpStream::connect(server.address).unwrap();
        Raw::over(stream, name, &format!("{name}\n")).1
    };
    let mut admin = moderator(&server);
    let mut mia = server.join("mia");
    assert!(admin.command("/ban", "bob 2h too \"loud\"").starts_with("Banned bob"));
    assert!(admin.command("/ban", "192.0.2.0/24").starts_with("Banned the network 192.0.2.0/24"));
    assert!(admin.command("/mute", "mia 2h").starts_with("Muted mia"));
    let muted = mia.hear();
    assert!(muted.contains("mute"), "{muted}");

    for is_killed in [false, true] {
        if is_killed {
            server.kill();
            server.begin();
        } else {
            server.restart();
        }
        let said = refusal(&server, "bob");
        assert!(said.starts_with("⛔ Error: ") && said.contains("too \"loud\""), "{said}");
        let (mut mia, mut admin) = (server.join("mia"), moderator(&server));
        let said = mia.command("mod", "hello");
        assert!(said.starts_with('❌') && said.contains("muted"), "{said}");
        let bans = admin.command("/bans", "");
        for what in ["bob", "192.0.2.0/24", "mod"] {
            assert!(bans.contains(what), "{bans}");
        }
    }
    let mut admin = moderator_again(&server);
    assert_eq!(admin.command("/unban", "bob"), "bob is banned no longer.");
    assert_eq!(admin.command("/unmute", "mia"), "mia may speak again.");
    server.restart();
    let mut bob = server.join("bob");
    let mut mia = server.join("mia");
    mia.send("bob", "hello");
    assert_eq!(bob.receive_from_user().msg, "hello");
}

/// A second admin, beside one that may still be connected.
fn moderator_again(server: &KeptServer) -> Raw {
    let mut admin = server.join("mod2");
    assert_eq!(admin.command("/admin", TOKEN), "You are an admin now.");
    admin
}
