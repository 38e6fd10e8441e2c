//! Connections whose TLS was established by another part of the program before the server adopts them.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use chatproto::metrics::Transport;
use chatproto::server::Origin;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use crate::certs::{Authority, Own};
use crate::peer::{Peer, handshake};
use crate::support::{TestServer, object};

fn session(own: &Own) -> ServerConnection {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    ServerConnection::new(Arc::new(config)).unwrap()
}

/// The server's end of a handshake, which goes on until there is plain text.
fn accept(listener: &TcpListener, own: &Own) -> (TcpStream, ServerConnection) {
    let (mut socket, _) = listener.accept().unwrap();
    let mut tls = session(own);
    loop {
        if tls.wants_write() {
            tls.write_tls(&mut socket).unwrap();
            continue;
        }
        tls.read_tls(&mut socket).unwrap();
        if tls.process_new_packets().unwrap().plaintext_bytes_to_read() > 0 {
            return (socket, tls);
        }
    }
}

#[test]
fn decrypted_bytes_and_unwritten_records_are_neither_lost_nor_moved() {
    let authority = Authority::new();
    let own = authority.sign(|_| {});
    let server = TestServer::start();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let client = thread::spawn({
        let handshake = handshake(&authority);
        move || {
            let mut peer = Peer::with(address, handshake);
            // the session has these when it is adopted
            peer.write(format!("{}{}", object("/ping", "1"), object("/ping", "2")).as_bytes());
            peer
        }
    });
    let (socket, mut tls) = accept(&listener, &own);
    // a record that the session has not written yet
    std::io::Write::write_all(&mut tls.writer(), object("alice", "before").as_bytes()).unwrap();
    assert!(tls.wants_write());
    let origin = Origin::new([192, 0, 2, 7].into()).received("alice\n").tls(tls);
    server.handle.adopt(socket, origin).unwrap();
    let mut peer = client.join().unwrap();
    assert_eq!(peer.read().msg, "before");
    assert!(peer.read().msg.contains("Welcome, alice!"));
    for text in ["1", "2"] {
        assert_eq!(peer.read().msg, text);
    }
    peer.send("/whoami", "");
    let answer = peer.read().msg;
    assert!(answer.starts_with("You are alice from 192.0.2.7, a user, over TLS."), "{answer}");
    // the handshake was not this server's
    let counts = server.handle.metrics().counts;
    assert_eq!((counts.users.get(Transport::Tls), counts.tls_handshakes), (1, 0));
}
