//! With another implementation of TLS: the `openssl` program as the client and as the server.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use chatproto::{Client, Message};

use crate::certs::{Authority, HOST, Own};
use crate::support::{TestServer, limits, object};

/// A directory with the files of a test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("chatproto-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program, with its input and output.
struct OpenSsl {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl OpenSsl {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new("openssl")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program openssl is installed");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        OpenSsl { child, input, output }
    }

    fn write(&mut self, text: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.output.read_line(&mut line).unwrap() > 0, "openssl has ended");
        line
    }

    #[track_caller]
    fn message(&mut self) -> Message {
        let line = self.line();
        Message::decode(line.trim_end().as_bytes()).unwrap_or_else(|_| panic!("{line:?}"))
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn openssl_chats_with_our_server() {
    let authority = Authority::new();
    let folder = Folder::new("s_client");
    let ca = folder.file("ca.pem", &authority.pem());
    let server = TestServer::with(limits(), |builder| builder.tls(authority.server()));
    let mut alice =
        Client::builder("alice").tls(authority.client()).connect(server.address).unwrap();
    let address = server.address.to_string();
    for version in ["-tls1_3", "-tls1_2"] {
        let mut openssl = OpenSsl::start(&[
            "s_client",
            "-connect",
            &address,
            "-servername",
            HOST,
            "-verify_hostname",
            HOST,
            "-CAfile",
            &ca,
            "-verify_return_error",
            "-quiet",
            "-no_ign_eof",
            version,
        ]);
        openssl.write("ossl\n");
        assert!(openssl.message().msg.contains("Welcome"));
        // a change of keys, and what would be a renegotiation, if that was typed, is text with -quiet
        openssl.write(&object("alice", "from openssl"));
        assert_eq!(alice.recv().unwrap().msg, "from openssl");
        alice.send("ossl", &"long ".repeat(5000)).unwrap();
        assert_eq!(openssl.message().msg.len(), 25_000);
        drop(openssl.input.take());
        let mut rest = String::new();
        openssl.output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        alice.send("/list", "").unwrap();
        assert!(!alice.recv().unwrap().msg.contains("ossl"));
    }
}

#[test]
fn our_client_speaks_with_openssl() {
    let authority = Authority::new();
    let folder = Folder::new("s_server");
    let own = authority.sign(|_| {});
    let certificate = folder.file("cert.pem", &own.certificate);
    let key = folder.file("key.pem", &own.key);
    for version in ["-tls1_3", "-tls1_2"] {
        let mut openssl = OpenSsl::start(&[
            "s_server",
            "-accept",
            "127.0.0.1:0",
            "-cert",
            &certificate,
            "-key",
            &key,
            version,
            "-naccept",
            "1",
        ]);
        let address = loop {
            if let Some(address) = openssl.line().strip_prefix("ACCEPT ") {
                break address.trim().to_owned();
            }
        };
        let tls = authority.client();
        let client = std::thread::spawn(move || {
            let mut client = Client::builder("alice").tls(tls).connect(address.as_str()).unwrap();
            client.send("bob", "to openssl").unwrap();
            client.recv().unwrap().msg
        });
        while openssl.line().trim_end() != "alice" {}
        let welcome = |text: &str| {
            format!("{}\n", Message::new("SERVER", "0.0.0.0", "alice", text).to_json())
        };
        openssl.write(&welcome("Welcome, alice!"));
        while !openssl.line().contains("to openssl") {}
        openssl.write(&welcome("got it"));
        assert_eq!(client.join().unwrap(), "got it");
    }
}

#[test]
fn versions_that_are_too_old_are_named() {
    let authority = Authority::new();
    let folder = Folder::new("old");
    let Own { certificate, key } = authority.sign(|_| {});
    let (certificate, key) = (folder.file("cert.pem", &certificate), folder.file("key.pem", &key));
    let mut openssl = OpenSsl::start(&[
        "s_server",
        "-accept",
        "127.0.0.1:0",
        "-cert",
        &certificate,
        "-key",
        &key,
        "-tls1_1",
        "-cipher",
        "DEFAULT:@SECLEVEL=0",
    ]);
    let address = loop {
        if let Some(address) = openssl.line().strip_prefix("ACCEPT ") {
            break address.trim().to_owned();
        }
    };
    let error = Client::builder("alice").tls(authority.client()).connect(address.as_str());
    let error = error.unwrap_err().to_string();
    assert_eq!(
        error,
        "the server has no version or cipher of TLS in common with us: the server speaks other \
         versions only"
    );
}
