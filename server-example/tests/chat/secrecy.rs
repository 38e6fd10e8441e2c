//! Passwords and tokens on connections that others can read: the client does not send them unless it
//! is told to. The connections are to this machine's own address in a network, if it has one.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::process::Command;

use crate::common::kept::PASSWORD;
use crate::common::temp_dir::TempDir;
use crate::common::{Program, Script, Scripted, TestServer, network_address};

const WHY: &str = "the connection is not encrypted, and others could read the password or token on \
                   its way: start chat with --tls, --tls-ca or --tls-fingerprint (--insecure-password \
                   permits it without TLS)";
const WARNING: &str = "server-example: warning: passwords and tokens go to ";

/// Starts the client, and welcomes it under that name.
fn chat(script: &Script, given: &str, options: &[&str]) -> (Program, Scripted) {
    let server = script.address.to_string();
    let arguments = [&["chat", "--name", "alice", "--server", &server], options].concat();
    let mut chat = Program::start(&arguments);
    let server = script.welcome_as("alice", given);
    chat.line_with("Welcome");
    (chat, server)
}

#[test]
fn typed_secrets_are_not_sent_in_plain_text() {
    let Some(address) = network_address() else { return };
    let script = Script::start_on(address);
    let (mut chat, mut server) = chat(&script, "alice", &[]);
    let lines = [
        "/register correct-horse-9",
        "/login correct-horse-9",
        "  /LOGIN alice correct-horse-9",
        "/passwd correct-horse-9 battery-staple",
        "/unregister correct-horse-9",
        "/admin 0123456789abcdef",
        "@/login correct-horse-9",
        "@\" /login \" correct-horse-9",
    ];
    for (number, line) in (1..).zip(lines) {
        chat.type_line(line);
        let error = chat.error_with("not sent");
        assert_eq!(error, format!("server-example: line {number} was not sent: {WHY}"));
    }
    chat.type_line("/list");
    server.expect("/list", "");
    chat.close_input();
    drop(server);
    assert_eq!(chat.end().0, Some(1));
}

#[test]
fn a_password_beforehand_ends_the_client_before_it_connects() {
    let Some(address) = network_address() else { return };
    let script = Script::start_on(address);
    let (dir, server) = (TempDir::new(), script.address.to_string());
    let arguments = ["chat", "--name", "alice", "--server", &server];
    let of_file = || {
        let file = dir.file("password", PASSWORD);
        Program::start(&[&arguments[..], &["--password-file", &file]].concat())
    };
    let of_variable = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_server-example"));
        command.args(arguments).env("CHATPROTO_PASSWORD", PASSWORD);
        Program::spawn(command)
    };
    for mut chat in [of_file(), of_variable()] {
        let (code, output, errors) = chat.end();
        let expected = format!("server-example: not connected to {server}: {WHY}");
        assert_eq!((code, output, errors), (Some(2), vec![], vec![expected]));
    }
    assert_eq!(script.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn the_option_permits_passwords_in_plain_text_and_the_client_warns() {
    let Some(address) = network_address() else { return };
    let script = Script::start_on(address);
    let dir = TempDir::new();
    let file = dir.file("password", PASSWORD);
    let options = ["--insecure-password", "--password-file", &file];
    let (mut chat, mut server) = chat(&script, "alice~1", &options);
    let warning = chat.error_with("warning");
    assert!(warning.starts_with(&format!("{WARNING}{}", script.address)), "{warning}");
    server.expect_login("/login", PASSWORD);
    chat.type_line("/passwd correct-horse-9 battery-staple");
    server.expect("/passwd", "correct-horse-9 battery-staple");
}

#[test]
fn passwords_stay_within_this_machine_or_go_over_tls_without_a_warning() {
    let local = IpAddr::from([127, 0, 0, 1]);
    let tls = TempDir::new();
    let (certificate, key) = (tls.path("cert.pem"), tls.path("key.pem"));
    let network = network_address();
    let host = network.unwrap_or(local).to_string();
    let mut made = Program::start(&["cert", "new", "--dir", &tls.path(""), "--host", &host]);
    assert_eq!(made.end().0, Some(0));
    for (address, options) in [(Some(local), &[][..]), (network, &["--tls-ca", &certificate])] {
        let Some(address) = address else { continue };
        let dir = TempDir::new();
        let data = dir.path("data");
        let options_of_server = ["--data", &data, "--tls-cert", &certificate, "--tls-key", &key];
        let server = TestServer::start_on(&format!("{address}:0"), &options_of_server);
        let mut chat = server.chat("alice", options);
        chat.type_line(&format!("/register {PASSWORD}"));
        chat.line_with("The name alice is yours");
        chat.close_input();
        let (code, _, errors) = chat.end();
        assert_eq!((code, errors), (Some(0), vec![]));
    }
}
