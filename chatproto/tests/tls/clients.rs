//! The blocking client where there is no TLS, or not what it takes for it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use chatproto::tls::TlsError;
use chatproto::{Client, ClientError};

use crate::certs::Authority;
use crate::support::{TestServer, limits};

/// A server that does this with its one connection.
fn against(act: impl FnOnce(std::net::TcpStream) + Send + 'static) -> ClientError {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || act(listener.accept().unwrap().0));
    let tls = Authority::new().client();
    let timeout = Duration::from_millis(300);
    let error = Client::builder("alice").timeout(timeout).tls(tls).connect(address).unwrap_err();
    server.join().unwrap();
    error
}

#[test]
fn a_server_that_answers_in_text_speaks_no_tls() {
    let error = against(|mut stream| {
        stream
            .write_all(b"{\"from\":{\"name\":\"SERVER\",\"ip\":\"\"},\"to\":\"\",\"msg\":\"\"}")
            .unwrap();
        let _ = stream.read(&mut [0; 4096]);
    });
    assert!(matches!(error, ClientError::Tls(TlsError::NotTls)), "{error}");
}

#[test]
fn a_server_that_hangs_up_may_speak_no_tls() {
    let error = against(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
    });
    assert!(matches!(error, ClientError::Tls(TlsError::HungUp)), "{error}");
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_without_end() {
    let error = against(|mut stream| {
        // until the client gives up
        while stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {}
    });
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
}

#[test]
fn a_wait_for_a_message_ends_in_time() {
    let authority = Authority::new();
    let server = TestServer::with(limits(), |builder| builder.tls(authority.server()));
    let mut client =
        Client::builder("alice").tls(authority.client()).connect(server.address).unwrap();
    let error = client.recv_timeout(Duration::from_millis(20)).unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
    client.send("/time", "").unwrap();
    assert!(client.recv().unwrap().msg.starts_with("Server time"));
    let (sender, mut receiver) = client.split();
    let waiting = thread::spawn(move || receiver.recv());
    sender.close();
    assert!(matches!(waiting.join().unwrap(), Err(ClientError::Closed)));
}
