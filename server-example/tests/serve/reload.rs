//! SIGHUP: what changes in a server that runs, what needs a restart, and that nothing changes when
//! something is wrong.
#![cfg(unix)]

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use chatproto::Client;
use chatproto::tls::ClientTls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::common::temp_dir::TempDir;
use crate::common::web::http_address;
use crate::common::{PATIENCE, Program, Raw, TestServer, refusal};

const TOKEN: &str = "Zm9vYmFyYmF6cXV4MTIzNDU2";
const OTHER_TOKEN: &str = "cXV4YmF6YmFyZm9vNjU0MzIx";
const LOADED: &str = "the configuration was loaded again";

/// A server with a file that can be written again.
struct Configured {
    server: TestServer,
    dir: TempDir,
}

impl Configured {
    fn start(lines: &str) -> Self {
        let dir = TempDir::new();
        let file = dir.file("chat.toml", format!("listen = \"127.0.0.1:0\"\n{lines}\n"));
        dir.file("token", TOKEN);
        let program = Program::start(&["--config", &file]);
        Configured { server: TestServer::of(program), dir }
    }

    /// Has it load other lines, of which the second is the first. Everything that it says, up to the
    /// last line about it.
    fn reload(&mut self, lines: &str) -> Vec<String> {
        let text = format!("listen = \"127.0.0.1:0\"\n{lines}\n");
        fs::write(self.dir.path("chat.toml"), text).unwrap();
        self.hang_up()
    }

    fn hang_up(&mut self) -> Vec<String> {
        self.server.program.signal("HUP");
        let mut said = Vec::new();
        loop {
            let line = self.server.program.error_with("");
            // behind the time
            let line = line.split_once('Z').expect("a time").1.trim().to_owned();
            let is_last = line.contains(LOADED) || line.contains("was not loaded");
            if ["INFO changed: ", "WARN needs a restart: "].iter().any(|it| line.starts_with(it))
                || is_last
            {
                said.push(line);
            }
            if is_last {
                return said;
            }
        }
    }

    fn join(&self, name: &str) -> Raw {
        Raw::connect_at_once(self.server.address, name)
    }
}

fn loaded() -> String {
    format!("INFO {LOADED}")
}

#[test]
fn limits_change_for_who_is_there_and_for_who_comes() {
    let mut chat = Configured::start("max-rooms = 1\nmax-name = 10");
    let mut alice = chat.join("alice");
    assert!(alice.ask("/join", "#one").starts_with("Joined"));
    assert!(alice.ask("/join", "#two").starts_with('❌'));
    assert!(refusal(chat.server.address, "twelve bytes").contains("at most 10 bytes"));

    let said = chat.reload("max-rooms = 2\nmax-name = 3");
    assert_eq!(
        said,
        [
            "INFO changed: max-name: 10 → 3".to_owned(),
            "INFO changed: max-rooms: 1 → 2".to_owned(),
            loaded()
        ]
    );
    assert!(alice.ask("/join", "#two").starts_with("Joined"));
    assert!(refusal(chat.server.address, "four").contains("at most 3 bytes"));
    // a name that is longer than any may be now is found all the same
    let mut bob = chat.join("bob");
    bob.send("alice", "hi");
    assert_eq!(alice.receive_from_user().msg, "hi");
    // a line that is gone stands for the default
    let said = chat.reload("");
    assert_eq!(said[0], "INFO changed: max-name: 3 → 64");
    chat.join("twelve bytes");
}

#[test]
fn a_ban_of_the_configuration_leaves_an_admins_ban_of_the_same_name() {
    let mut chat = Configured::start("ban = []\nadmin-token = \"token\"");
    let mut alice = chat.join("alice");
    alice.ask("/admin", TOKEN);
    alice.ask("/ban", "bob spam");
    chat.reload("ban = [\"B0B\"]\nadmin-token = \"token\"");
    // how long ago follows after the first second
    let bans = alice.ask("/bans", "");
    assert!(bans.starts_with("Bans (1): B0B (by the operator"), "{bans}");
    chat.reload("ban = []\nadmin-token = \"token\"");
    let bans = alice.ask("/bans", "");
    assert!(bans.starts_with("Bans (1): bob (by alice") && bans.ends_with(": spam)"), "{bans}");
    assert!(refusal(chat.server.address, "bob").contains("you are banned: spam"));
}

#[test]
fn bans_are_added_and_lifted() {
    let mut chat = Configured::start("ban = [\"eve\"]\nadmin-token = \"token\"\nmax-rooms = 7");
    let address = chat.server.address;
    assert!(refusal(address, "EVE").contains("you are banned"));
    let (mut alice, mut bob) = (chat.join("alice"), chat.join("bob"));
    assert_eq!(alice.ask("/admin", TOKEN), "You are an admin now.");
    let bans = alice.ask("/bans", "");
    assert!(
        bans.starts_with("Bans (1): eve (by the operator, ") && bans.ends_with(" ago)"),
        "{bans}"
    );

    let said = chat.reload("ban = [\"eve\", \"B0B\"]\nadmin-token = \"token\"\nmax-rooms = 7");
    assert_eq!(said, ["INFO changed: ban: eve → eve, B0B".to_owned(), loaded()]);
    assert_eq!(bob.receive_for("bob"), "⛔ You were banned by the operator.");
    assert_eq!(bob.receive(), None);
    assert!(refusal(address, "bob").contains("you are banned"));

    // what an admin did stays, and the operator's bans are the operator's
    assert_eq!(alice.ask("/ban", "carol"), "Banned carol and its look-alikes until /unban.");
    for (command, text) in [("/ban", "bob 1h"), ("/unban", "eve")] {
        let answer = alice.ask(command, text);
        assert!(answer.ends_with("was banned by the operator: ask the operator."), "{answer}");
    }
    let said = chat.reload("ban = [\"eve\"]\nadmin-token = \"token\"\nmax-rooms = 7");
    assert_eq!(said, ["INFO changed: ban: eve, B0B → eve".to_owned(), loaded()]);
    for name in ["eve", "carol"] {
        assert!(refusal(address, name).contains("you are banned"), "{name}");
    }
    chat.join("bob");
    chat.reload("admin-token = \"token\"\nmax-rooms = 7");
    chat.join("eve");
}

#[test]
fn a_ban_is_replaced_by_one_of_a_name_that_looks_like_it_and_differs() {
    let mut chat = Configured::start("ban = [\"vick\"]");
    let address = chat.server.address;
    // with a Greek letter, whose capital looks like N
    let greek = "\u{3bd}ick";
    let is_banned = |name: &str| refusal(address, name).contains("you are banned");
    assert!(is_banned("vick") && is_banned(greek));
    drop(chat.join("NICK"));
    let said = chat.reload(&format!("ban = [\"{greek}\"]"));
    assert_eq!(said, [format!("INFO changed: ban: vick → {greek}"), loaded()]);
    assert!(is_banned("vick") && is_banned(greek) && is_banned("NICK"));
    // in either order, and each goes without the other
    for lines in
        [format!("ban = [\"{greek}\", \"vick\"]"), format!("ban = [\"vick\", \"{greek}\"]")]
    {
        chat.reload(&lines);
        assert!(is_banned("vick") && is_banned(greek) && is_banned("NICK"), "{lines}");
    }
    chat.reload("ban = [\"vick\"]");
    assert!(is_banned("vick") && is_banned(greek));
    drop(chat.join("nick"));
}

#[test]
fn the_log_level_changes_and_the_change_is_said() {
    let mut chat = Configured::start("log = \"warn\"");
    drop(chat.join("alice"));
    assert_eq!(
        chat.reload("log = \"debug\""),
        ["INFO changed: log: warn → debug".to_owned(), loaded()]
    );
    drop(chat.join("bob"));
    chat.server.program.error_with("DEBUG connected");
    chat.server.program.error_with("INFO registered name=\"bob\"");
    assert_eq!(
        chat.reload("log = \"error\""),
        ["INFO changed: log: debug → error".to_owned(), loaded()]
    );
    // a mistake is still said, after which the level has long been another
    chat.reload("log = \"loud\"");
    assert!(refusal(chat.server.address, "SERVER").contains('⛔'));
    chat.server.program.terminate();
    let (code, _, log) = chat.server.program.end();
    assert_eq!(code, Some(0));
    assert!(
        !log.iter().any(|line| line.contains("refused") || line.contains("stopped")),
        "{log:?}"
    );
}

#[test]
fn the_token_the_announcements_and_the_audit_log_change() {
    let lines = "admin-token = \"token\"\naudit-log = \"audit.log\"";
    let mut chat = Configured::start(lines);
    let mut alice = chat.join("alice");
    assert_eq!(alice.ask("/admin", TOKEN), "You are an admin now.");

    // the file was moved away, as tools do that keep logs; nothing else has changed
    fs::rename(chat.dir.path("audit.log"), chat.dir.path("audit.log.1")).unwrap();
    assert_eq!(chat.hang_up(), [loaded()]);
    fs::write(chat.dir.path("token"), OTHER_TOKEN).unwrap();
    assert_eq!(chat.hang_up(), ["INFO changed: the admin token".to_owned(), loaded()]);
    let mut bob = chat.join("bob");
    assert_eq!(bob.ask("/admin", TOKEN), "❌ That is not the token.");
    assert_eq!(bob.ask("/admin", OTHER_TOKEN), "You are an admin now.");
    assert_eq!(alice.ask("/bans", ""), "Nobody is banned.", "who is an admin stays one");

    let said = chat.reload("admin-token = \"token\"\nannounce = true");
    assert_eq!(
        said,
        [
            format!("INFO changed: audit-log: {} → none", chat.dir.path("audit.log")),
            "INFO changed: announce: false → true".to_owned(),
            loaded()
        ]
    );
    let carol = chat.join("carol");
    assert_eq!(alice.receive_for("Everyone"), "carol joined.");
    drop(carol);
    assert_eq!(alice.receive_for("Everyone"), "carol disconnected.");

    let acts = |name: &str| -> Vec<String> {
        let text = fs::read_to_string(chat.dir.path(name)).unwrap();
        let acts =
            text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        acts.map(|act| format!("{} {}", act["by"].as_str().unwrap(), act["act"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(acts("audit.log.1"), ["alice admin"]);
    assert_eq!(acts("audit.log"), ["bob denied", "bob admin"]);
}

#[test]
fn what_needs_a_restart_is_said_every_time_until_there_is_one() {
    let mut chat = Configured::start("threads = 1");
    let restart = "WARN needs a restart: threads: 1 → 2".to_owned();
    assert_eq!(chat.reload("threads = 2"), [restart.clone(), loaded()]);
    assert_eq!(
        chat.reload("threads = 2\nrate = \"off\""),
        [
            "INFO changed: rate: 100 → off".to_owned(),
            "INFO changed: rate-bytes: 192KiB → off".to_owned(),
            restart,
            loaded()
        ]
    );
    assert_eq!(chat.reload("threads = 1\nrate = \"off\""), [loaded()]);
}

#[test]
fn with_anything_wrong_nothing_changes() {
    let mut chat = Configured::start("max-rooms = 1\nban = [\"eve\"]");
    let mut alice = chat.join("alice");
    let (file, missing) = (chat.dir.path("chat.toml"), chat.dir.path("missing"));
    let advice = "make one with: head -c 24 /dev/urandom | base64 > FILE";
    for (line, said) in [
        (
            "max-room = 2",
            format!("{file}:3: there is no option max-room (a similar one exists: max-rooms)"),
        ),
        (
            "rate = -1",
            format!(
                "{file}:3: rate = -1: expected a number of messages a second from 1 to 4294967295, or off"
            ),
        ),
        ("drain =", format!("{file}:3: ")),
        (
            "max-frame = 1",
            format!("--max-frame must be from 256 bytes to 64MiB (--max-frame is from {file}:3)"),
        ),
        (
            "max-connections = 1000000000",
            "--max-connections 1000000000 needs more file descriptors than".to_owned(),
        ),
        (
            "admin-token = \"missing\"",
            format!(
                "cannot read the admin token in {missing}: no such file or directory ({advice})"
            ),
        ),
        (
            "audit-log = \"missing/audit.log\"",
            format!(
                "cannot open the audit log {missing}/audit.log: no such file or directory (make its directory first)"
            ),
        ),
    ] {
        // what is right would be in force before what is wrong is found
        let lines =
            format!("max-rooms = 2\n{line}\nlog = \"off\"\nannounce = true\nban = [\"alice\"]");
        let [only] = &chat.reload(&lines)[..] else { panic!("more than one line for {line}") };
        let start =
            format!("ERROR the configuration was not loaded, and nothing has changed: {said}");
        assert!(only.starts_with(&start), "{only}\n{start}");
    }
    fs::remove_file(&file).unwrap();
    let [only] = &chat.hang_up()[..] else { panic!("more than one line") };
    assert!(only.contains("cannot read the configuration in "), "{only}");

    alice.ask("/join", "#one");
    assert!(alice.ask("/join", "#two").starts_with('❌'));
    assert!(refusal(chat.server.address, "eve").contains("you are banned"));
    chat.join("bob");
    chat.server.program.error_with("INFO registered name=\"bob\"");
    // and it can still be mended
    assert_eq!(
        chat.reload("max-rooms = 2\nban = [\"eve\"]"),
        ["INFO changed: max-rooms: 1 → 2".to_owned(), loaded()]
    );
}

#[test]
fn a_configuration_from_a_pipe_is_not_taken_to_be_empty() {
    let script = "printf 'max-rooms = 1\\n' | exec \"$0\" --listen 127.0.0.1:0 --config /dev/stdin";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_server-example")]);
    // a shell may not give its place to the last command of a pipe: the server says who it is
    let mut server = TestServer::of(Program::spawn(command));
    let pid = server_pid(&server);
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    let line = server.program.error_with("the configuration was not loaded");
    assert!(line.ends_with("/dev/stdin is no file that can be read twice"), "{line}");
    let mut alice = Raw::connect_at_once(server.address, "alice");
    alice.ask("/join", "#one");
    assert!(alice.ask("/join", "#two").starts_with('❌'));
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    server.program.end();
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_that_is_closed_ends_the_server_and_one_that_is_not_does_not() {
    use std::fs::File;
    use std::io::{BufRead, BufReader};

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    let controller =
        openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let path = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
    let terminal = File::options().read(true).write(true).open(path).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_server-example"));
    command.args(["--listen", "127.0.0.1:0"]);
    let mut server = TestServer::of(Program::spawn_with(command, terminal.into()));

    let mut screen = BufReader::new(File::from(controller));
    server.program.signal("HUP");
    let mut line = String::new();
    while !line.contains(LOADED) {
        line.clear();
        assert!(screen.read_line(&mut line).unwrap() > 0);
    }
    drop(Raw::connect_at_once(server.address, "alice"));

    drop(screen);
    server.program.signal("HUP");
    assert_eq!(server.program.end().0, Some(0));
}

/// A server whose session has a terminal, while none of its streams is one. `before` is a command of the
/// shell that starts it.
#[cfg(target_os = "linux")]
fn start_in_session(before: &str) -> (TestServer, std::os::fd::OwnedFd) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    let controller =
        openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let path = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
    // the first terminal that the leader of a session opens is that of the session
    let script = format!("exec 3<>\"$0\"; exec 3>&-; {before}; exec \"$@\"");
    let mut command = Command::new("setsid");
    command.args(["sh", "-c", &script, &path, env!("CARGO_BIN_EXE_server-example")]);
    command.args(["--listen", "127.0.0.1:0"]);
    (TestServer::of(Program::spawn(command)), controller)
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_of_the_session_that_is_closed_ends_the_server_too() {
    let (mut server, terminal) = start_in_session(":");
    server.program.signal("HUP");
    server.program.error_with(LOADED);
    drop(Raw::connect_at_once(server.address, "alice"));
    // the system sends SIGHUP
    drop(terminal);
    assert_eq!(server.program.end().0, Some(0));
}

#[test]
#[cfg(target_os = "linux")]
fn a_server_that_is_to_survive_its_terminal_does() {
    let (mut server, terminal) = start_in_session("trap '' HUP");
    drop(terminal);
    // the one of the system, or this one, or both in one
    server.program.signal("HUP");
    server.program.error_with(LOADED);
    drop(Raw::connect_at_once(server.address, "alice"));
}

/// The process that is the server: the one started, or its child.
fn server_pid(server: &TestServer) -> String {
    let id = server.program.id().to_string();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let is_server = |pid: &&str| {
        fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("server-example"))
    };
    children.split_whitespace().find(is_server).map_or(id.clone(), str::to_owned)
}

#[test]
fn nothing_is_lost_while_the_configuration_is_loaded_again_and_again() {
    const MESSAGES: usize = 3_000;
    let mut chat = Configured::start("rate = \"off\"");
    let address = chat.server.address;
    let is_over = AtomicBool::new(false);
    let pair = |number: usize| {
        let (reader, writer) = (format!("reader {number}"), format!("writer {number}"));
        let mut reading = Raw::connect_at_once(address, &reader);
        let mut writing = Raw::connect_at_once(address, &writer);
        thread::scope(|scope| {
            scope.spawn(move || {
                for count in 0..MESSAGES {
                    writing.send(&reader, &count.to_string());
                }
                // what was answered, if anything was, would be a complaint
                assert!(writing.ask("/time", "").starts_with("Server time"));
            });
            for count in 0..MESSAGES {
                assert_eq!(reading.receive_from_user().msg, count.to_string());
            }
        });
    };
    thread::scope(|scope| {
        let pairs: Vec<_> = (0..4).map(|number| scope.spawn(move || pair(number))).collect();
        scope.spawn(|| {
            for pair in pairs {
                pair.join().unwrap();
            }
            is_over.store(true, Ordering::Relaxed);
        });
        let mut reloads = 0;
        while !is_over.load(Ordering::Relaxed) || reloads < 10 {
            let (rate, frame) =
                if reloads % 2 == 0 { ("100000", "1MiB") } else { ("\"off\"", "64KiB") };
            let lines =
                format!("rate = {rate}\nmax-frame = \"{frame}\"\nban = [\"eve {reloads}\"]");
            assert_eq!(chat.reload(&lines).last(), Some(&loaded()));
            reloads += 1;
        }
    });
}

/// Makes certificates of one authority, and puts them into a server's files.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Authority { issuer, dir: TempDir::new() };
        authority.renew();
        authority
    }

    /// The server gets another certificate when it loads its configuration again.
    fn renew(&self) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.dir.path("cert.pem"), certificate.pem()).unwrap();
        fs::write(self.dir.path("key.pem"), key.serialize_pem()).unwrap();
    }

    /// The lines of the configuration.
    fn lines(&self) -> String {
        let (certificate, key) = (self.dir.path("cert.pem"), self.dir.path("key.pem"));
        format!("tls-cert = {certificate:?}\ntls-key = {key:?}")
    }

    fn client(&self) -> ClientTls {
        ClientTls::ca_pem(self.issuer.pem().as_bytes()).unwrap()
    }
}

#[test]
fn browsers_join_while_the_configuration_is_loaded_again_and_again() {
    const LEAST: usize = 10;
    const PRESENT: usize = 50;
    let authority = Authority::new();
    let common = format!("http = [\"127.0.0.1:0\"]\n{}", authority.lines());
    let mut chat = Configured::start(&common);
    let http = http_address(&mut chat.server.program);
    let is_over = AtomicBool::new(false);
    // other messages tell who comes and goes
    let ping = |client: &mut Client, text: &str| {
        client.send("/ping", text).unwrap();
        while client.recv_timeout(PATIENCE).expect("a user").msg != text {}
    };
    let join = |scheme: &str, thread: usize| {
        let url = format!("{scheme}://localhost:{}/ws", http.port());
        let (mut present, mut number) = (Vec::new(), 0);
        while !is_over.load(Ordering::Relaxed) || number < LEAST {
            let name = format!("{scheme} {thread} {number}");
            let builder = Client::builder(name).timeout(PATIENCE);
            let builder = if scheme == "ws" { builder } else { builder.tls(authority.client()) };
            let mut client = builder.connect(&*url).expect("a user");
            ping(&mut client, "there");
            if number < PRESENT {
                present.push(client);
            } else {
                client.close().unwrap();
            }
            number += 1;
        }
        // nobody was lost meanwhile
        for mut client in present {
            ping(&mut client, "still there");
        }
    };
    thread::scope(|scope| {
        for (number, scheme) in ["ws", "wss", "ws", "wss"].into_iter().enumerate() {
            let join = &join;
            scope.spawn(move || join(scheme, number));
        }
        for reload in 0..30 {
            authority.renew();
            let (rooms, frame) = if reload % 2 == 0 { (3, "1MiB") } else { (7, "64KiB") };
            let lines = format!(
                "{common}\nmax-rooms = {rooms}\nmax-frame = \"{frame}\"\nban = [\"eve {reload}\"]\n\
                 announce = {}\nrate = {}\nhttp-host = [\"host-{reload}.example\"]",
                reload % 3 == 0,
                100 + reload
            );
            assert_eq!(chat.reload(&lines).last(), Some(&loaded()));
        }
        is_over.store(true, Ordering::Relaxed);
    });
}
