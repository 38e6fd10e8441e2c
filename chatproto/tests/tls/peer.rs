//! A peer that speaks TLS through rustls itself, so that a test sees each step.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use chatproto::{Decoder, Message};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use crate::certs::{Authority, HOST};
use crate::support::{PATIENCE, object};

pub(crate) fn config(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions);
    Arc::new(builder.unwrap().with_root_certificates(roots).with_no_client_auth())
}

pub(crate) fn handshake(authority: &Authority) -> ClientConnection {
    let config = config(authority, rustls::ALL_VERSIONS);
    ClientConnection::new(config, ServerName::try_from(HOST).unwrap()).unwrap()
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

pub(crate) struct Peer {
    pub(crate) tls: ClientConnection,
    pub(crate) socket: TcpStream,
    decoder: Decoder,
    pending: Vec<u8>,
}

impl Peer {
    /// Connected, with the handshake still to come.
    pub(crate) fn connect(address: SocketAddr, authority: &Authority) -> Self {
        Peer::with(address, handshake(authority))
    }

    pub(crate) fn with(address: SocketAddr, tls: ClientConnection) -> Self {
        let socket = connect(address);
        Peer { tls, socket, decoder: Decoder::default(), pending: Vec::new() }
    }

    /// Registered as a stream peer.
    pub(crate) fn join(address: SocketAddr, authority: &Authority, name: &str) -> Self {
        let mut peer = Peer::connect(address, authority);
        peer.write(format!("{name}\n").as_bytes());
        let welcome = peer.read();
        assert!(welcome.msg.contains("Welcome"), "{}", welcome.msg);
        peer
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        rustls::Stream::new(&mut self.tls, &mut self.socket).write_all(bytes).unwrap();
    }

    pub(crate) fn send(&mut self, to: &str, msg: &str) {
        self.write(object(to, msg).as_bytes());
    }

    /// The next object, or `None` at the end, which must be one by the rules of TLS.
    #[track_caller]
    pub(crate) fn try_read(&mut self) -> Option<Message> {
        loop {
            let mut input = &self.pending[..];
            let frame = self.decoder.decode(&mut input).expect("servers send messages");
            let message = frame.map(|frame| frame.message().to_owned());
            let used = self.pending.len() - input.len();
            self.pending.drain(..used);
            if message.is_some() {
                return message;
            }
            match self.read_some() {
                0 => return None,
                count => count,
            };
        }
    }

    #[track_caller]
    fn read_some(&mut self) -> usize {
        let mut buffer = [0; 65536];
        let mut stream = rustls::Stream::new(&mut self.tls, &mut self.socket);
        // a server that closes without a close_notify is an error here
        let count = stream.read(&mut buffer).expect("something, or an end by the rules");
        self.pending.extend_from_slice(&buffer[..count]);
        count
    }

    /// What one record brings.
    #[track_caller]
    pub(crate) fn read_record(&mut self) -> Vec<u8> {
        while self.pending.is_empty() {
            assert!(self.read_some() > 0, "the end");
        }
        std::mem::take(&mut self.pending)
    }

    #[track_caller]
    pub(crate) fn read(&mut self) -> Message {
        self.try_read().expect("the server closed the connection")
    }

    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.try_read()).collect()
    }

    /// Asks the server for its time and reads up to the answer.
    #[track_caller]
    pub(crate) fn fence(&mut self) -> Vec<Message> {
        self.send("/time", "");
        let mut before = Vec::new();
        loop {
            let message = self.read();
            if message.from.name == "SERVER" && message.msg.starts_with("Server time") {
                return before;
            }
            before.push(message);
        }
    }

    /// Says by the rules that nothing more comes.
    pub(crate) fn finish(&mut self) {
        self.tls.send_close_notify();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket).unwrap();
        }
        self.socket.shutdown(Shutdown::Write).unwrap();
    }
}
