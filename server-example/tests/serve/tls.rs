//! A server with a certificate, and clients that trust it or not, as people start them.

use std::process::Command;

use crate::common::temp_dir::TempDir;
use crate::common::{Program, Raw, TestServer};

/// A certificate and its key, as `cert new` makes them, and what it printed.
struct Made {
    folder: TempDir,
    output: Vec<String>,
}

impl Made {
    fn new() -> Self {
        let folder = TempDir::new();
        let directory = folder.path("tls");
        let mut program =
            Program::start(&["cert", "new", "--dir", &directory, "--host", "chat.example"]);
        let (code, output, errors) = program.end();
        assert_eq!((code, errors), (Some(0), vec![]));
        Made { folder, output }
    }

    fn certificate(&self) -> String {
        self.folder.path("tls/cert.pem")
    }

    fn key(&self) -> String {
        self.folder.path("tls/key.pem")
    }

    fn fingerprint(&self) -> String {
        let line = self.output.iter().find_map(|line| line.strip_prefix("fingerprint  "));
        line.expect("it is printed").to_owned()
    }

    fn server(&self, options: &[&str]) -> TestServer {
        let (certificate, key) = (self.certificate(), self.key());
        let own = ["--tls-cert", &certificate, "--tls-key", &key];
        TestServer::start(&[&own, options].concat())
    }
}

/// Runs the program to its end, with nothing to say: its exit code and its standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let mut program = Program::start(arguments);
    program.close_input();
    let (code, _, errors) = program.end();
    (code, errors.join("\n"))
}

#[test]
fn a_certificate_is_made_and_used_as_the_program_says() {
    let made = Made::new();
    let fingerprint = made.fingerprint();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(made.key()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let mut server = made.server(&[]);
    let logged = server.program.error_with("fingerprint ");
    assert!(logged.ends_with(&fingerprint), "{logged}");
    let mut alice = server.chat("alice", &["--tls-fingerprint", &fingerprint]);
    alice.type_line("/whoami");
    assert!(alice.line_with("You are").contains(", over TLS"));
    let mut bob =
        server.chat("bob", &["--tls-ca", &made.certificate(), "--tls-name", "chat.example"]);
    let mut raw = Raw::connect(server.address, "raw");
    bob.type_line("hello");
    assert_eq!(alice.line_with("hello"), "bob → Everyone: hello");
    assert_eq!(raw.receive_from_user().msg, "hello");
    // the address is one of the names
    drop(server.chat("carol", &["--tls-ca", &made.certificate()]));
}

#[test]
fn the_commands_that_are_printed_are_those_that_work() {
    let made = Made::new();
    let of = |what: &str| {
        let line = made.output.iter().find_map(|line| line.strip_prefix(what));
        let command = line.unwrap_or_else(|| panic!("{what:?} in {:?}", made.output)).trim();
        command.replace("0.0.0.0:65432", "127.0.0.1:0").replace("--name NAME", "--name alice")
    };
    let program = env!("CARGO_BIN_EXE_server-example");
    let shell = |command: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec {}", command.replacen("server-example", program, 1))]);
        Program::spawn(shell)
    };
    let server = TestServer::of(shell(&of("the server:")));
    let client = of("clients:").replace("HOST", &server.address.to_string());
    shell(&client).line_with("Welcome");
}

#[test]
fn what_a_certificate_is_for_is_shown() {
    let made = Made::new();
    let mut program = Program::start(&["cert", "show", &made.certificate()]);
    let (code, output, errors) = program.end();
    assert_eq!((code, errors), (Some(0), vec![]));
    assert_eq!(output[0], "names        chat.example, localhost, 127.0.0.1, ::1");
    assert!(output[1].starts_with("valid        from "), "{}", output[1]);
    assert_eq!(output[2], "issuer       itself");
    assert_eq!(output[3], format!("fingerprint  {}", made.fingerprint()));
    let key = made.key();
    assert_eq!(
        run(&["cert", "show", &key]),
        (
            Some(2),
            format!(
                "server-example: cannot read {key}: it has no certificate: it must be PEM, with a \
                 line BEGIN CERTIFICATE"
            )
        )
    );
}

#[test]
fn files_that_exist_are_not_replaced_unless_that_is_asked_for() {
    let made = Made::new();
    let directory = made.folder.path("tls");
    let before = std::fs::read(made.key()).unwrap();
    let (code, error) = run(&["cert", "new", "--dir", &directory]);
    assert_eq!(code, Some(2));
    assert!(error.ends_with("exists already: choose another --dir, or replace it with --force"));
    assert_eq!(std::fs::read(made.key()).unwrap(), before);
    assert_eq!(run(&["cert", "new", "--dir", &directory, "--force"]).0, Some(0));
    assert_ne!(std::fs::read(made.key()).unwrap(), before);
}

/// SIGHUP shows another certificate to who comes, and a broken one to nobody.
#[test]
#[cfg(unix)]
fn certificates_are_loaded_again_and_broken_ones_are_not() {
    let (made, other) = (Made::new(), Made::new());
    let mut server = made.server(&[]);
    server.program.error_with("fingerprint ");
    let mut alice = server.chat("alice", &["--tls-fingerprint", &made.fingerprint()]);

    let good = std::fs::read(made.certificate()).unwrap();
    for broken in [&b"no certificate"[..], &good[..good.len() / 2]] {
        std::fs::write(made.certificate(), broken).unwrap();
        server.program.signal("HUP");
        let said = server.program.error_with("was not loaded");
        assert!(said.contains("ERROR") && said.contains("cert.pem"), "{said}");
    }
    // the key of another one
    std::fs::copy(other.certificate(), made.certificate()).unwrap();
    server.program.signal("HUP");
    server.program.error_with("was not loaded");
    drop(server.chat("bob", &["--tls-fingerprint", &made.fingerprint()]));

    std::fs::copy(other.key(), made.key()).unwrap();
    server.program.signal("HUP");
    let said = server.program.error_with("fingerprint ");
    assert!(said.ends_with(&other.fingerprint()), "{said}");
    drop(server.chat("carol", &["--tls-fingerprint", &other.fingerprint()]));
    let address = server.address.to_string();
    let old = made.fingerprint();
    let chat = ["chat", "--name", "dave", "--server", &address, "--tls-fingerprint", &old];
    let (code, error) = run(&chat);
    assert!(code == Some(1) && error.contains("another fingerprint"), "{code:?} {error}");
    // who was there before has noticed nothing
    alice.type_line("/whoami");
    assert!(alice.line_with("You are").contains(", over TLS"));
}

#[test]
fn a_server_for_tls_only_refuses_text() {
    let made = Made::new();
    let mut server = made.server(&["--tls", "only"]);
    let address = server.address.to_string();
    assert_eq!(
        run(&["chat", "--name", "alice", "--server", &address]),
        (
            Some(1),
            "server-example: the server refused: this server speaks TLS only. Connect again with \
             TLS."
                .to_owned()
        )
    );
    let line = server.program.error_with("refused");
    assert!(line.contains("name=\"alice\""), "{line}");
    drop(server.chat("alice", &["--tls-fingerprint", &made.fingerprint()]));
}

#[test]
fn tls_on_a_port_of_its_own() {
    let made = Made::new();
    let mut server = made.server(&["--tls-listen", "127.0.0.1:0"]);
    let line = server.program.error_with("TLS on ");
    let address = line.split("TLS on ").nth(1).unwrap();
    let fingerprint = made.fingerprint();
    let chat = ["chat", "--name", "alice", "--server", address, "--tls-fingerprint", &fingerprint];
    let mut alice = Program::start(&chat);
    alice.line_with("Welcome");
    let mut raw = Raw::connect(server.address, "raw");
    alice.type_line("hello");
    assert_eq!(raw.receive_from_user().msg, "hello");
}

#[test]
fn a_client_says_which_check_failed() {
    let (made, other) = (Made::new(), Made::new());
    let mut server = made.server(&[]);
    let address = server.address.to_string();
    let chat = ["chat", "--name", "alice", "--server", &address];
    let fails = |options: &[&str]| {
        let (code, error) = run(&[&chat, options].concat());
        assert_eq!(code, Some(1));
        error
    };
    let error = fails(&["--tls-fingerprint", &other.fingerprint()]);
    assert!(error.contains("has another fingerprint: expected "), "{error}");
    let logged = server.program.error_with("TLS failed");
    assert!(logged.contains("does not trust the server's certificate"), "{logged}");
    let error = fails(&["--tls-ca", &other.certificate()]);
    assert!(error.contains("is not from an authority that is trusted here"), "{error}");
    let error = fails(&["--tls-ca", &made.certificate(), "--tls-name", "elsewhere.example"]);
    assert!(error.contains("is not for \"elsewhere.example\" but for chat.example,"), "{error}");

    let plain = TestServer::start(&[]);
    let address = plain.address.to_string();
    let fingerprint = made.fingerprint();
    let chat = ["chat", "--name", "alice", "--server", &address];
    let (_, error) = run(&[&chat[..], &["--tls-fingerprint", &fingerprint]].concat());
    assert!(error.contains("it offers none on this port"), "{error}");
}

#[test]
fn options_that_do_not_fit_together() {
    let made = Made::new();
    let (certificate, key) = (made.certificate(), made.key());
    let other = Made::new();
    for (options, sentence) in [
        (
            &["serve", "--tls", "only"][..],
            "--tls only needs --tls-cert and --tls-key (make a certificate with: server-example cert \
             new)"
                .to_owned(),
        ),
        (
            &["serve", "--tls-cert", &certificate],
            "--tls-cert needs the certificate's key: --tls-key FILE".to_owned(),
        ),
        (
            &["serve", "--tls-cert", &certificate, "--tls-key", &other.key()],
            format!(
                "the private key in {} does not belong to the certificate in {certificate}: name \
                 the two files that were made together, and the server's own certificate before \
                 those of its issuers",
                other.key()
            ),
        ),
        (
            &["serve", "--tls-cert", &certificate, "--tls-key", &key, "--tls-client-cert", "request"],
            "--tls-client-cert needs --tls-client-ca FILE".to_owned(),
        ),
        (
            &["chat", "--name", "a", "--tls-fingerprint", "abc"],
            "\"abc\" is no fingerprint: it must be 64 hexadecimal digits, with or without colons"
                .to_owned(),
        ),
    ] {
        assert_eq!(run(options), (Some(2), format!("server-example: {sentence}")));
    }
}

#[test]
fn clients_may_have_to_show_a_certificate() {
    // one that signed itself is its own authority
    let (made, own) = (Made::new(), Made::new());
    let authority = own.certificate();
    let server = made.server(&["--tls-client-ca", &authority]);
    let address = server.address.to_string();
    let fingerprint = made.fingerprint();
    let chat = ["chat", "--name", "alice", "--server", &address, "--tls-fingerprint", &fingerprint];
    let (code, error) = run(&chat);
    assert_eq!(code, Some(1));
    assert!(error.contains("the server asks for a client certificate: name yours"), "{error}");
    // this one is for servers, and no client's
    let (certificate, key) = (own.certificate(), own.key());
    let (_, error) = run(&[&chat[..], &["--tls-cert", &certificate, "--tls-key", &key]].concat());
    assert!(error.contains("the server does not accept the client certificate"), "{error}");
}
