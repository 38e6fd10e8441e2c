//! What goes wrong is said in one sentence, with the right exit code and nothing else.

use std::net::TcpListener;
use std::process::Command;

use crate::common::temp_dir::TempDir;
use crate::common::{Program, TestServer};

/// Runs the program to its end: it prints nothing but one sentence.
#[track_caller]
fn fails(arguments: &[&str], code: i32, sentence: &str) {
    let mut program = Program::start(arguments);
    program.close_input();
    let (ended, output, errors) = program.end();
    assert_eq!(output, [""; 0]);
    assert_eq!(errors, [format!("server-example: {sentence}")]);
    assert_eq!(ended, Some(code));
}

#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let sentence = format!(
        "cannot listen on {address}: address already in use (is another server running? choose \
         another port with --listen)"
    );
    fails(&["serve", "--listen", &address], 2, &sentence);
    fails(&["--listen", &address, "--log", "debug"], 2, &sentence);
}

#[test]
fn an_address_of_another_machine() {
    fails(
        &["--listen", "192.0.2.1:0"],
        2,
        "cannot listen on 192.0.2.1:0: this machine does not have that address (0.0.0.0 and [::] \
         stand for all it has)",
    );
}

#[test]
fn options_that_make_no_sense() {
    fails(
        &["serve", "--lisen", "x"],
        2,
        "unexpected argument '--lisen' found (a similar argument exists: '--listen')",
    );
    fails(
        &["--slow-reader", "shout-at"],
        2,
        "invalid value 'shout-at' for '--slow-reader <POLICY>' [possible values: disconnect, \
         drop-oldest] (see server-example serve --help)",
    );
    fails(&["--max-frame", "1"], 2, "--max-frame must be from 256 bytes to 64MiB");
    fails(
        &["--queue-bytes", "1k"],
        2,
        "--queue-bytes 1KiB has no room for a message of --max-frame 64KiB: ask for more of the \
         one or less of the other",
    );
    fails(
        &["--threads", "0"],
        2,
        "invalid value '0' for '--threads <N>': write a number from 1 to 256, or auto (see \
         server-example serve --help)",
    );
    fails(
        &["--registration-deadline", "0s", "--threads", "auto"],
        2,
        "--registration-deadline must be longer than zero, such as 10s: nobody could be served",
    );
    fails(
        &["cert", "new", "--host", ""],
        2,
        "--host \"\" is not a host name or an address: write one like chat.example.org, in ASCII, or \
         192.0.2.1",
    );
    fails(&["chat"], 2, "say who you are with --name NAME");
    fails(
        &["chat", "--name", "/list", "--server", "127.0.0.1:1"],
        2,
        "the name cannot be used: a name must not begin with '/'",
    );
}

#[test]
fn files_that_cannot_be_what_they_are_named_for() {
    let dir = TempDir::new();
    let (plain, database) = (dir.file("plain", "text"), dir.path("data"));
    let damaged = dir
        .file("damaged.pem", "-----BEGIN CERTIFICATE-----\nMIIBAAAA\n-----END CERTIFICATE-----\n");
    let backup = dir.path("backup.db");
    let add = ["account", "add", "bob", "--generate", "--data", &database];
    assert_eq!(Program::start(&add).end().0, Some(0));
    assert_eq!(Program::start(&["backup", &backup, "--data", &database]).end().0, Some(0));
    fails(
        &["restore", &backup, "--data", &plain],
        1,
        &format!("cannot make the data directory {plain}: not a directory"),
    );
    fails(
        &["restore", &database, "--data", &dir.path("other")],
        1,
        &format!("{database} is a directory: name the backup itself"),
    );
    fails(
        &["cert", "show", &damaged],
        2,
        &format!("cannot read {damaged}: it is not a certificate, or it is damaged"),
    );
    fails(&["cert", "show", "/dev/zero"], 2, "cannot read /dev/zero: it is longer than 1 MiB");
    fails(
        &["load", "compare", "/dev/zero"],
        2,
        "cannot read the scenarios in /dev/zero: it is longer than 1 MiB",
    );
    fails(
        &["cert", "new", "--days", "x"],
        2,
        "invalid value 'x' for '--days <N>': write a number of days from 1 to 36500 (see \
         server-example cert new --help)",
    );
    for host in ["127.1", "1.2.3", "0", "0x7f.1"] {
        fails(
            &["cert", "new", "--host", host],
            2,
            &format!(
                "--host \"{host}\" is not a host name or an address: write one like \
                 chat.example.org, in ASCII, or 192.0.2.1"
            ),
        );
    }
    for option in ["--timeout", "--wait"] {
        fails(
            &["check", "--client", option, "0s"],
            2,
            &format!(
                "invalid value '0s' for '{option} <TIME>': a time to wait is longer than zero, such \
                 as 2s (see server-example check --help)"
            ),
        );
    }
}

#[test]
fn a_restore_beside_a_server_says_to_stop_it() {
    let dir = TempDir::new();
    let (data, backup) = (dir.path("data"), dir.path("backup.db"));
    let server = TestServer::of(Program::start(&["--listen", "127.0.0.1:0", "--data", &data]));
    assert_eq!(Program::start(&["backup", &backup, "--data", &data]).end().0, Some(0));
    fails(
        &["restore", &backup, "--data", &data],
        1,
        &format!("a server uses the data directory {data}: stop the server first, then restore"),
    );
    drop(server);
}

#[test]
fn a_load_without_a_server_leaves_no_directory() {
    let dir = TempDir::new();
    let (there, new) = (dir.path("there"), dir.path("new/below"));
    std::fs::create_dir(&there).unwrap();
    for out in [&there, &new] {
        let mut program =
            Program::start(&["load", "stress", "--server", "127.0.0.1:1", "--out", out]);
        program.close_input();
        assert_ne!(program.end().0, Some(0));
    }
    // one that was there stays
    assert!(std::path::Path::new(&there).exists());
    assert!(!std::path::Path::new(&dir.path("new")).exists());
}

#[test]
#[cfg(target_os = "linux")]
fn a_list_that_cannot_be_printed() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_server-example"));
    let out = command.args(["check", "--list"]).stdout(full).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(said, "server-example: cannot write to standard output: no space left on device\n");
}

#[test]
#[cfg(unix)]
fn more_connections_than_descriptors() {
    let mut command = Command::new("sh");
    let script = "ulimit -n 256; exec \"$0\" --listen 127.0.0.1:0 --max-connections 200";
    command.args(["-c", script, env!("CARGO_BIN_EXE_server-example")]);
    let (code, output, errors) = Program::spawn(command).end();
    assert_eq!(output, [""; 0]);
    assert_eq!(
        errors,
        [
            "server-example: --max-connections 200 needs more file descriptors than the limit of 256 \
          allows (192 connections): raise it with ulimit -n or ask for fewer"
        ]
    );
    assert_eq!(code, Some(2));
}

#[test]
#[cfg(unix)]
fn the_soft_descriptor_limit_is_raised_to_the_hard_one() {
    let mut command = Command::new("sh");
    let script = "ulimit -Sn 128; ulimit -Hn 512; exec \"$0\" --listen 127.0.0.1:0";
    command.args(["-c", script, env!("CARGO_BIN_EXE_server-example")]);
    Program::spawn(command).error_with("descriptor limit 512: room for 448 connections");
}

#[test]
#[cfg(target_os = "linux")]
fn the_table_of_descriptors_need_not_grow_while_people_come() {
    let mut command = Command::new("sh");
    let script = "ulimit -n 4096; exec \"$0\" --listen 127.0.0.1:0";
    command.args(["-c", script, env!("CARGO_BIN_EXE_server-example")]);
    let mut server = Program::spawn(command);
    server.line_with("listening on ");
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
    assert_eq!(size.trim(), "4096");
}

/// Runs a server that does not start because of its token, which is not in what it says.
#[track_caller]
fn fails_with_token(file: &str, why: &str) {
    let sentence = format!("the admin token in {file} {why}: make one with: {MAKE_TOKEN} > FILE");
    fails(&["--listen", "127.0.0.1:0", "--admin-token", file], 2, &sentence);
}

const MAKE_TOKEN: &str = "head -c 24 /dev/urandom | base64";

#[test]
fn a_token_that_is_none() {
    let dir = TempDir::new();
    fails_with_token(&dir.file("empty", " \n"), "is empty");
    fails_with_token(&dir.file("short", "opensesame\n"), "is shorter than 16 characters");
    let latin = dir.file("latin-1", b"ge\xf6ffnet, bitte sehr\n");
    fails_with_token(&latin, "cannot be used: line 1 is not UTF-8");
    fails_with_token(
        &dir.file("two", "0123456789abcdef\n0123456789abcdef\n"),
        "has more than one line, or characters that nobody can type",
    );
    fails_with_token(&dir.file("log", [b'x'; 5_000]), "is longer than 1024 bytes");
}

#[test]
fn a_token_that_cannot_be_read() {
    let dir = TempDir::new();
    let missing = dir.path("missing");
    fails(
        &["--admin-token", &missing],
        2,
        &format!(
            "cannot read the admin token in {missing}: no such file or directory (make one with: \
             {MAKE_TOKEN} > FILE)"
        ),
    );
    let dir = dir.path(".");
    fails(
        &["--admin-token", &dir],
        2,
        &format!(
            "cannot read the admin token in {dir}: is a directory (name a file that the server's \
             user can read)"
        ),
    );
}

#[test]
fn a_token_in_the_environment_that_is_none() {
    for (token, why) in [("", "is empty"), ("opensesame", "is shorter than 16 characters")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_server-example"));
        command.args(["--listen", "127.0.0.1:0"]).env("CHATPROTO_ADMIN_TOKEN", token);
        let (code, output, errors) = Program::spawn(command).end();
        assert_eq!(output, [""; 0]);
        assert_eq!(
            errors,
            [format!(
                "server-example: the admin token in CHATPROTO_ADMIN_TOKEN {why}: unset it, or set \
                 it to what this prints: {MAKE_TOKEN}"
            )]
        );
        assert_eq!(code, Some(2));
    }
}

#[test]
fn an_audit_log_that_cannot_be_opened() {
    let dir = TempDir::new();
    let (nowhere, dir) = (dir.path("nowhere/audit.log"), dir.path("."));
    fails(
        &["--audit-log", &nowhere],
        2,
        &format!(
            "cannot open the audit log {nowhere}: no such file or directory (make its directory \
             first)"
        ),
    );
    fails(
        &["--audit-log", &dir],
        2,
        &format!(
            "cannot open the audit log {dir}: is a directory (name another file with --audit-log)"
        ),
    );
}

#[test]
fn a_server_that_is_not_there() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    fails(
        &["chat", "--name", "alice", "--server", &gone],
        1,
        &format!(
            "cannot connect to {gone} (connection refused): is it running? start one with: \
             server-example serve"
        ),
    );
}

#[test]
fn a_name_in_use() {
    let server = TestServer::start(&[]);
    let _alice = server.chat("alice", &[]);
    let address = server.address.to_string();
    fails(
        &["chat", "--name", "alice", "--server", &address],
        1,
        "the server refused: the name \"alice\" is already in use. Choose another one and connect \
         again.",
    );
}
