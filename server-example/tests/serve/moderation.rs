//! Moderation over the real program: who may do what, what the others see of it, and what is
//! written down. What each command does in detail is tested on the hub.

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::kept::{KeptServer, PASSWORD};
use crate::common::temp_dir::TempDir;
use crate::common::{Program, Raw, TestServer, refusal};

const TOKEN: &str = "Zm9vYmFyYmF6cXV4MTIzNDU2";

/// A server with a token and an audit log.
struct Moderated {
    server: TestServer,
    dir: TempDir,
}

impl Moderated {
    fn start(options: &[&str]) -> Self {
        Moderated::start_in(TempDir::new(), options)
    }

    fn start_in(dir: TempDir, options: &[&str]) -> Self {
        let (token, audit) = (dir.file("token", format!("{TOKEN}\n")), dir.path("audit.log"));
        let files = ["--admin-token", &token, "--audit-log", &audit];
        Moderated { server: TestServer::start(&[&files, options].concat()), dir }
    }

    fn join(&self, name: &str) -> Raw {
        Raw::connect_at_once(self.server.address, name)
    }

    fn admin(&self, name: &str) -> Raw {
        let mut admin = self.join(name);
        assert_eq!(admin.ask("/admin", TOKEN), "You are an admin now.");
        admin
    }

    /// Ends the server: what the log says, and the lines of the audit log.
    fn end(mut self) -> (Vec<String>, Vec<String>) {
        self.server.program.terminate();
        let (code, _, log) = self.server.program.end();
        assert_eq!(code, Some(0));
        let audit = std::fs::read_to_string(self.dir.path("audit.log")).unwrap();
        assert!(audit.is_empty() || audit.ends_with('\n'), "{audit}");
        (log, audit.lines().map(str::to_owned).collect())
    }
}

/// Whether these are the entries of an audit log, each of which has a time. What two event loops
/// see at one time can be written in either order.
#[track_caller]
fn assert_entries<'a>(
    audit: impl IntoIterator<Item = &'a String>,
    expected: impl IntoIterator<Item = Value>,
) {
    let mut entries: Vec<String> = Vec::new();
    for line in audit {
        let mut entry: Value = serde_json::from_str(line).expect(line);
        let time = entry.as_object_mut().unwrap().remove("time").expect(line);
        time.as_str().unwrap().parse::<jiff::Timestamp>().expect("RFC 3339 with its offset");
        entries.push(entry.to_string());
    }
    let mut expected: Vec<String> = expected.into_iter().map(|entry| entry.to_string()).collect();
    entries.sort();
    expected.sort();
    assert_eq!(entries, expected);
}

fn entry(act: &str, by: &str, target: &str, duration: Option<u64>, reason: &str) -> Value {
    let rank = (act != "denied").then_some("admin");
    json!({
        "act": act, "by": by, "rank": rank, "address": "127.0.0.1", "target": target, "duration_s": duration,
        "reason": reason,
    })
}

#[test]
fn a_kick_is_explained_to_its_victim_told_to_the_others_and_written_down() {
    let mut chat = Moderated::start(&["--announce"]);
    let mut alice = chat.admin("alice");
    let mut carol = chat.join("carol");
    // a program as they were before there was a library
    let mut bob = Raw::connect(chat.server.address, "bob");
    assert_eq!(carol.receive_for("Everyone"), "bob joined.");

    assert_eq!(alice.ask("/kick", "bob too \"loud\""), "Kicked bob.");
    assert_eq!(bob.receive_for("bob"), "⛔ You were kicked by alice: too \"loud\".");
    assert_eq!(bob.receive(), None);
    assert_eq!(carol.receive_for("Everyone"), "bob was kicked.");
    let line = chat.server.program.error_with("INFO moderation act=\"kick\"");
    let said = r#"by="alice" rank=admin address=127.0.0.1 target="bob" reason="too \"loud\"""#;
    assert!(line.ends_with(said), "{line}");

    alice.send("/nick", "alicia");
    assert_eq!(alice.receive_for("alicia"), "You are now alicia.");
    assert_eq!(carol.receive_for("Everyone"), "alice is now alicia.");
    let line = chat.server.program.error_with("INFO renamed");
    assert!(line.ends_with(r#"old="alice" name="alicia" address=127.0.0.1"#), "{line}");
    drop((alice, bob, carol));
    let (_, audit) = chat.end();
    assert_entries(
        &audit,
        [
            entry("admin", "alice", "alice", None, ""),
            entry("kick", "alice", "bob", None, "too \"loud\""),
        ],
    );
}

#[test]
fn who_comes_and_goes_is_told_to_nobody_unless_it_is_asked_for() {
    let server = TestServer::start(&[]);
    let mut alice = Raw::connect_at_once(server.address, "alice");
    let mut bob = Raw::connect_at_once(server.address, "bob");
    bob.send("/nick", "rob");
    assert_eq!(bob.receive_for("rob"), "You are now rob.");
    alice.send("/ping", "first");
    assert_eq!(alice.receive().unwrap().msg, "first");
}

#[test]
fn a_ban_holds_for_what_looks_like_the_name_until_it_is_lifted() {
    let chat = Moderated::start(&[]);
    let address = chat.server.address;
    let mut alice = chat.admin("alice");
    let mut bob = chat.join("bob");
    let banned = alice.ask("/ban", "bob 1h spam");
    assert!(banned.starts_with("Banned bob and its look-alikes for 1 h, until "), "{banned}");
    assert_eq!(bob.receive_for("bob"), "⛔ You were banned for 1 h by alice: spam.");
    assert_eq!(bob.receive(), None);
    for name in ["bob", "B0B"] {
        let refusal = refusal(address, name);
        assert!(refusal.contains("⛔ Error: you are banned for another "), "{refusal}");
        assert!(refusal.contains(": spam."), "{refusal}");
    }
    assert_eq!(alice.ask("/unban", "bob"), "bob is banned no longer.");
    chat.join("bob");

    assert_eq!(alice.ask("/ban", "192.0.2.0/24"), "Banned the network 192.0.2.0/24 until /unban.");
    drop((alice, bob));
    let (log, audit) = chat.end();
    assert_entries(
        &audit,
        [
            entry("admin", "alice", "alice", None, ""),
            entry("ban", "alice", "bob", Some(3_600), "spam"),
            entry("unban", "alice", "bob", None, ""),
            entry("ban", "alice", "192.0.2.0/24", None, ""),
        ],
    );
    let ban = r#"act="ban" by="alice" rank=admin address=127.0.0.1 target="bob" duration=3600s reason="spam""#;
    assert!(log.iter().any(|line| line.ends_with(ban)), "{log:?}");
}

#[test]
fn a_moderator_has_no_power_over_an_admin_who_is_away_nor_over_what_an_admin_did() {
    let mut server = KeptServer::start(&[]);
    server.account(&["add", "boss", "--role", "admin"], PASSWORD);
    server.account(&["add", "mod", "--role", "moderator"], PASSWORD);
    server.restart();
    let mut moderator = server.login("mod");
    let away = "❌ Not banned: boss is an admin: ask an admin.";
    for name in ["boss", "B0SS"] {
        assert_eq!(moderator.command("/ban", name), away);
    }
    let mut boss = server.login("boss");
    assert_eq!(
        boss.command("/ban", "evil by order"),
        "Banned evil and its look-alikes until /unban."
    );
    for (command, text) in [("/unban", "evil"), ("/ban", "EVIL 1s")] {
        let answer = moderator.command(command, text);
        assert!(answer.ends_with("evil was banned by an admin: ask an admin."), "{answer}");
    }
    assert_eq!(boss.command("/mute", "mod"), "Muted mod until /unmute.");
    assert!(moderator.hear().starts_with("❌ You are muted, by boss."));
    for (command, text) in [("/unmute", "mod"), ("/notice", "hear me"), ("/kick", "boss")] {
        let answer = moderator.command(command, text);
        assert_eq!(
            answer, "❌ You are muted, and cannot moderate. Ask an admin to lift that.",
            "{command}"
        );
    }
    drop((moderator, boss));
    // all of that is the same after a restart
    server.restart();
    let mut moderator = server.login("mod");
    let answer = moderator.command("/unmute", "mod");
    assert!(answer.starts_with("❌ You are muted"), "{answer}");
    let mut boss = server.login("boss");
    assert_eq!(boss.command("/unmute", "mod"), "mod may speak again.");
    assert_eq!(moderator.hear(), "You may speak again.");
    let answer = moderator.command("/unban", "evil");
    assert!(answer.ends_with("evil was banned by an admin: ask an admin."), "{answer}");
    assert_eq!(boss.command("/unban", "evil"), "evil is banned no longer.");
}

#[test]
fn a_ban_has_one_key_in_memory_and_on_the_disk() {
    let mut server = KeptServer::start(&[]);
    server.account(&["add", "boss", "--role", "admin"], PASSWORD);
    server.restart();
    let spellings = [
        (["zed", "ZED", "zed"], "its look-alikes"),
        (["192.0.2.7", "192.0.2.7/32", "::ffff:192.0.2.7"], "the address 192.0.2.7"),
        (["2001:db8::1", "2001:DB8:0::2", "2001:db8::/64"], "the network 2001:db8::/64"),
        (["\"192.0.2.7\"", "\"192.0.2.7\"", "\"192.0.2.7\""], "its look-alikes"),
    ];
    let mut boss = server.login("boss");
    for ([first, second, lifted], covered) in spellings {
        let banned = boss.command("/ban", first);
        assert!(banned.ends_with(&format!("{covered} until /unban.")), "{banned}");
        let again = boss.command("/ban", &format!("{second} 1h"));
        assert!(again.contains(&format!("{covered} for 1 h, until ")), "{again}");
        assert_eq!(boss.command("/unban", lifted), format!("{lifted} is banned no longer."));
    }
    drop(boss);
    server.restart();
    assert_eq!(server.login("boss").command("/bans", ""), "Nobody is banned.");
    server.join("zed");
}

#[test]
fn a_quoted_target_is_the_same_after_a_restart() {
    let mut server = KeptServer::start(&[]);
    server.account(&["add", "boss", "--role", "admin"], PASSWORD);
    server.account(&["add", "mod", "--role", "moderator"], PASSWORD);
    server.restart();
    let mut moderator = server.login("mod");
    let answer = moderator.command("/ban", "\" boss \"");
    assert_eq!(answer, "❌ Not banned: boss is an admin: ask an admin.");
    let answer = moderator.command("/ban", "\" 0.0.0.0/0 \" 3d");
    assert!(answer.starts_with("Banned \"0.0.0.0/0\" and its look-alikes for 3 d"), "{answer}");
    drop(moderator);
    server.restart();
    let bans = server.login("boss").command("/bans", "");
    assert!(bans.starts_with("Bans (1): \"0.0.0.0/0\" (for another 3 d, by mod"), "{bans}");
}

#[test]
fn the_mute_of_a_guest_is_not_the_owners_after_a_restart() {
    let mut server = KeptServer::start(&[]);
    server.account(&["add", "boss", "--role", "admin"], PASSWORD);
    server.account(&["add", "alice"], PASSWORD);
    server.restart();
    let (mut boss, guest) = (server.login("boss"), server.join("alice"));
    assert_eq!(boss.command("/mute", "alice~2"), "Muted alice~2 until /unmute.");
    drop((boss, guest));
    server.restart();
    // the numbers of guests begin again
    let _boss = server.login("boss");
    let mut owner = server.login("alice");
    assert!(!owner.command("/whoami", "").contains("muted"));
}

#[test]
fn who_may_not_is_denied_and_written_down() {
    let mut chat = Moderated::start(&["--max-errors", "3"]);
    let mut eve = chat.join("eve");
    assert_eq!(eve.ask("/kick", "alice"), "❌ /kick is for moderators.");
    let line = chat.server.program.error_with("WARN denied");
    assert!(line.ends_with(r#"name="eve" address=127.0.0.1 endpoint="/kick""#), "{line}");

    let mut mallory = chat.join("mallory");
    for _ in 0..2 {
        assert!(mallory.ask("/admin", "Zm9vYmFyYmF6cXV4MTIzNDU3").starts_with("❌ "));
    }
    assert!(mallory.ask("/admin", "let me in").starts_with("⛔ "));
    assert_eq!(mallory.receive(), None);

    let mut alice = chat.admin("alice");
    assert_eq!(alice.ask("/role", "eve moderator"), "eve is a moderator now.");
    assert_eq!(eve.receive_for("eve"), "You are a moderator now: alice made you one.");
    let answer = eve.ask("/kick", "alice");
    assert!(answer.starts_with("❌ "), "an admin is above a moderator: {answer}");
    drop((alice, eve, mallory));
    let (_, audit) = chat.end();
    assert_entries(
        &audit,
        [
            entry("denied", "eve", "/kick", None, ""),
            // as a user, and as a moderator
            entry("denied", "eve", "/kick", None, ""),
            entry("denied", "mallory", "/admin", None, ""),
            entry("denied", "mallory", "/admin", None, ""),
            entry("denied", "mallory", "/admin", None, ""),
            entry("admin", "alice", "alice", None, ""),
            entry("role moderator", "alice", "eve", None, ""),
        ],
    );
}

#[test]
fn of_300_tokens_from_one_address_five_are_compared() {
    let chat = Moderated::start(&["--rate", "off"]);
    let begun = Instant::now();
    let mut compared = 0;
    for number in 0..20 {
        let mut mallory = chat.join(&format!("mallory{number}"));
        for guess in 0..15 {
            match &*mallory.ask("/admin", &format!("guess number {guess} of {number}")) {
                "❌ That is not the token." => compared += 1,
                said => {
                    let throttled = "❌ Too many wrong tokens. Try again in ";
                    assert!(said.starts_with(throttled), "{said}");
                }
            }
        }
    }
    // a slow machine may have passed the first wait
    let waits = usize::from(begun.elapsed() >= Duration::from_secs(12));
    assert!((5..=5 + waits).contains(&compared), "{compared}");
}

#[test]
fn the_token_is_shown_nowhere() {
    let mut chat = Moderated::start(&["--log", "trace"]);
    let line = chat.server.program.error_with("/admin");
    assert!(line.contains("INFO whoever has the admin token may use /admin"), "{line}");
    let wrong = "a-token-that-is-not-it";
    let mut alice = chat.join("alice");
    assert!(alice.ask("/admin", wrong).starts_with("❌ "));
    assert_eq!(alice.ask("/admin", &format!("/admin {TOKEN}")), "You are an admin now.");
    #[cfg(target_os = "linux")]
    {
        let id = chat.server.program.id();
        let arguments = std::fs::read(format!("/proc/{id}/cmdline")).unwrap();
        let arguments = String::from_utf8(arguments).unwrap();
        assert!(arguments.contains("--admin-token") && !arguments.contains(TOKEN), "{arguments}");
    }
    drop(alice);
    let (log, audit) = chat.end();
    for line in log.iter().chain(&audit) {
        assert!(!line.contains(TOKEN) && !line.contains(wrong), "{line}");
    }
    assert_eq!(audit.len(), 2);
}

#[test]
fn a_token_can_come_from_the_environment_but_the_option_wins() {
    let start = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_server-example"));
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(options);
        command.env("CHATPROTO_ADMIN_TOKEN", "of the environment");
        TestServer::of(Program::spawn(command))
    };
    let answer = |server: &TestServer, name, token| {
        Raw::connect_at_once(server.address, name).ask("/admin", token)
    };
    let server = start(&[]);
    assert_eq!(answer(&server, "alice", "of the environment"), "You are an admin now.");
    let dir = TempDir::new();
    let server = start(&["--admin-token", &dir.file("token", TOKEN)]);
    assert_eq!(answer(&server, "alice", "of the environment"), "❌ That is not the token.");
    assert_eq!(answer(&server, "bob", TOKEN), "You are an admin now.");
}

#[test]
fn without_a_token_nobody_is_an_admin() {
    let server = TestServer::start(&[]);
    let mut alice = Raw::connect_at_once(server.address, "alice");
    assert_eq!(alice.ask("/admin", TOKEN), "❌ This server has no admin token.");
}

#[test]
#[cfg(unix)]
fn a_token_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;

    let dir = TempDir::new();
    let token = dir.file("token", TOKEN);
    for (mode, is_warned) in [(0o600, false), (0o640, true), (0o604, true)] {
        std::fs::set_permissions(&token, PermissionsExt::from_mode(mode)).unwrap();
        let mut server = TestServer::start(&["--admin-token", &token]);
        server.program.terminate();
        let (_, _, log) = server.program.end();
        let warned = log.iter().find(|line| line.contains("WARN"));
        assert_eq!(warned.is_some(), is_warned, "{mode:o}: {log:?}");
        assert!(warned.is_none_or(|line| line.contains("chmod 600")), "{warned:?}");
    }
}

#[test]
#[cfg(unix)]
fn the_audit_log_is_private_and_added_to() {
    use std::os::unix::fs::PermissionsExt;

    let dir = TempDir::new();
    let (token, audit) = (dir.file("token", TOKEN), dir.path("audit.log"));
    let serve = |name| {
        let mut server = TestServer::start(&["--admin-token", &token, "--audit-log", &audit]);
        let mut admin = Raw::connect_at_once(server.address, name);
        admin.ask("/admin", TOKEN);
        drop(admin);
        server.program.terminate();
        assert_eq!(server.program.end().0, Some(0));
    };
    serve("alice");
    let mut file = std::fs::OpenOptions::new().append(true).open(&audit).unwrap();
    file.write_all(b"what a crash cut sho").unwrap();
    serve("bob");
    let mode = std::fs::metadata(&audit).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&audit).unwrap();
    let [alice, cut, bob] = &text.lines().map(str::to_owned).collect::<Vec<_>>()[..] else {
        panic!("{text}")
    };
    assert_eq!(cut, "what a crash cut sho");
    assert_entries([alice], [entry("admin", "alice", "alice", None, "")]);
    assert_entries([bob], [entry("admin", "bob", "bob", None, "")]);
}

#[test]
#[cfg(target_os = "linux")]
fn an_audit_log_on_a_full_disk_does_not_stop_the_server() {
    let dir = TempDir::new();
    let token = dir.file("token", TOKEN);
    let mut server = TestServer::start(&["--admin-token", &token, "--audit-log", "/dev/full"]);
    let mut alice = Raw::connect_at_once(server.address, "alice");
    alice.ask("/admin", TOKEN);
    let mut bob = Raw::connect_at_once(server.address, "bob");
    assert_eq!(alice.ask("/kick", "bob spam"), "Kicked bob.");
    assert!(bob.receive_for("bob").starts_with("⛔ You were kicked"));
    for entry in [r#""act":"admin","by":"alice","#, r#""target":"bob","#] {
        let line = server.program.error_with("ERROR not in the audit log: {");
        assert!(line.contains(entry), "{line}");
        assert!(line.ends_with(r#" reason="no space left on device""#), "{line}");
    }
    assert_eq!(alice.ask("/ping", "still there"), "still there");
}

#[test]
fn a_user_is_in_no_more_rooms_than_that() {
    let server = TestServer::start(&["--max-rooms", "1"]);
    let mut alice = Raw::connect_at_once(server.address, "alice");
    assert!(alice.ask("/join", "#tea").starts_with("Joined #tea."));
    assert!(alice.ask("/join", "#work").starts_with("❌ Not joined: "));
}
