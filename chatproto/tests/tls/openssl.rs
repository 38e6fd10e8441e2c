//! With another implementation of TLS: the `openssl` program as the client and as the server.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use chatproto::hub::Event;
use chatproto::tls::{ClientCertificates, ClientTls};
use chatproto::{Client, Message};

use crate::certs::{Authority, HOST, Own};
use crate::support::{TestServer, eventually, limits, object};

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
        "the server has no version or cipher of TLS in common with us: it speaks only versions older \
         than TLS 1.2"
    );
}

/// A certificate that `openssl req -x509` makes, with more options, and its key.
fn made_by_openssl(folder: &Folder, options: &[&str]) -> Own {
    let (certificate, key) = (folder.file("made.pem", ""), folder.file("made.key", ""));
    let out = ["-out", &certificate, "-keyout", &key, "-subj", "/CN=chat.test"];
    let common = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"];
    let made = Command::new("openssl").args(common).args(out).args(options).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    Own { certificate: read(&certificate), key: read(&key) }
}

#[test]
fn a_certificate_that_openssl_made_is_trusted_by_its_file() {
    let folder = Folder::new("openssl-made");
    let names = ["-addext", "subjectAltName=DNS:chat.test,IP:127.0.0.1"];
    let own = made_by_openssl(&folder, &names);
    let tls = own.server();
    let server = TestServer::with(limits(), |builder| builder.tls(tls));
    let trusting = || ClientTls::ca_pem(own.certificate.as_bytes()).unwrap();
    let connect = |tls: ClientTls| Client::builder("alice").tls(tls).connect(server.address);
    connect(trusting()).unwrap();
    connect(trusting().server_name(HOST).unwrap()).unwrap();
    // the name still counts
    let error = connect(trusting().server_name("other.test").unwrap()).unwrap_err().to_string();
    assert!(error.contains("is not for \"other.test\" but for chat.test, 127.0.0.1"), "{error}");
    // and another certificate of the same kind is not trusted
    let other = made_by_openssl(&folder, &names);
    let error = connect(ClientTls::ca_pem(other.certificate.as_bytes()).unwrap()).unwrap_err();
    assert!(error.to_string().contains("not from an authority that is trusted here"), "{error}");

    // a client may have one too
    let required = ClientCertificates::Require;
    let tls = own.server().client_ca_pem(other.certificate.as_bytes(), required).unwrap();
    let server = TestServer::with(limits(), |builder| builder.tls(tls));
    let as_other = trusting().certificate_pem(other.certificate.as_bytes(), other.key.as_bytes());
    Client::builder("alice").tls(as_other.unwrap()).connect(server.address).unwrap();
}

#[test]
fn a_certificate_without_names_is_refused_with_a_way_out() {
    let folder = Folder::new("openssl-nameless");
    let own = made_by_openssl(&folder, &[]);
    let tls = own.server();
    let server = TestServer::with(limits(), |builder| builder.tls(tls));
    let trusting = ClientTls::ca_pem(own.certificate.as_bytes()).unwrap();
    let trusting = trusting.server_name(HOST).unwrap();
    let error = Client::builder("alice").tls(trusting).connect(server.address).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("it has no subjectAltName") && error.contains("-addext"), "{error}");
    let pinned = ClientTls::fingerprint(own.server().fingerprint());
    Client::builder("alice").tls(pinned).connect(server.address).unwrap();
}

#[test]
fn a_client_with_an_old_version_of_tls_is_named_as_one() {
    let failures = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&failures);
    let server = TestServer::with(limits(), |builder| {
        builder.tls(Authority::new().server()).observer(move |event: &Event| {
            if let Event::HandshakeFailed { reason, .. } = event {
                seen.lock().unwrap().push(reason.clone());
            }
        })
    });
    // a hello of TLS 1.1, with one cipher suite and without extensions
    let mut hello = vec![22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    let mut stream = std::net::TcpStream::connect(server.address).unwrap();
    stream.write_all(&hello).unwrap();
    eventually("the failure is seen", || !failures.lock().unwrap().is_empty());
    let reason = failures.lock().unwrap().pop().unwrap();
    assert!(reason.contains("it speaks only versions older than TLS 1.2"), "{reason}");
}
