//! The hand-over while the socket refuses bytes: the answer to the upgrade goes with the connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use axum::Router;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use socket2::SockRef;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::activity::{Activity, Times};
use crate::connection::{self, Server};
use crate::handover::Handover;
use crate::policy::{CurrentPolicy, Policy, Tls};
use crate::proxied::Proxies;
use crate::site::Site;
use crate::table::{Bounds, Table};
use crate::transport::{Leaving, Stream, Transport};

const PATIENCE: Duration = Duration::from_secs(60);
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const REQUEST: &str = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Both ends of a connection with small buffers.
fn pair() -> (std::net::TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind((HOME, 0)).unwrap();
    SockRef::from(&listener).set_send_buffer_size(4096).unwrap();
    let client = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    client.set_recv_buffer_size(4096).unwrap();
    client.connect(&listener.local_addr().unwrap().into()).unwrap();
    let client = std::net::TcpStream::from(client);
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let (socket, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    (client, socket)
}

/// Writes until the socket refuses a single byte; returns how many it took.
fn fill(mut socket: &std::net::TcpStream) -> usize {
    let mut filled = 0;
    for size in [4096, 1] {
        loop {
            match socket.write(&vec![b'.'; size]) {
                Ok(length) => filled += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    filled
}

/// A server with a path for WebSockets, and those that it hands over.
fn server() -> (Arc<Server>, watch::Sender<bool>, mpsc::Receiver<Handover>) {
    let (sender, adopted) = mpsc::channel();
    let adopt = Arc::new(move |handover| sender.send(handover).map_err(|_| String::new()));
    let policy = Arc::new(CurrentPolicy::new(Policy::default()));
    let (stop, stopped) = watch::channel(false);
    let times = Times::default();
    let server = Server {
        site: Site::new(
            (Router::new(), Some(adopt)),
            stopped.clone(),
            Arc::clone(&policy),
            times,
            Proxies::default(),
        ),
        policy,
        table: Table::new(Bounds { connections: 10, per_address: 10 }),
        times,
        stop: stopped,
        proxies: Proxies::default(),
        http: connection::http(),
    };
    (Arc::new(server), stop, adopted)
}

#[test]
fn an_answer_that_the_socket_refuses_goes_with_the_connection() {
    let runtime = runtime();
    let (server, _stop, adopted) = server();
    let mut was_refused = false;
    // the system may make a little room after it refused a byte
    for _ in 0..20 {
        let (mut client, filled, mut handover) = runtime.block_on(async {
            let (mut client, socket) = pair();
            // the request acknowledges bytes, so it makes room for others
            let mut filled = fill(&socket);
            client.write_all(REQUEST.as_bytes()).unwrap();
            filled += fill(&socket);
            let socket = TcpStream::from_std(socket).unwrap();
            let activity = Arc::new(Activity::new(Times::default(), Instant::now()));
            let place = server.table.admit(Some(HOME), &activity, Instant::now()).unwrap().place;
            let serving =
                connection::serve(Arc::clone(&server), socket, HOME, activity, Arc::new(place));
            timeout(PATIENCE, serving).await.expect("the connection has left");
            // the hand-over is a task of its own
            timeout(PATIENCE, server.table.drained()).await.expect("the place is free");
            (client, filled, adopted.try_recv().expect("a WebSocket"))
        });
        was_refused |= !handover.unsent.is_empty();
        let owner = std::thread::spawn(move || {
            handover.socket.set_nonblocking(false).unwrap();
            handover.socket.write_all(&handover.unsent).unwrap();
            handover.socket.write_all(b"frame").unwrap();
        });
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).unwrap();
        owner.join().unwrap();
        assert!(bytes[..filled].iter().all(|&byte| byte == b'.'));
        let answer = std::str::from_utf8(&bytes[filled..]).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\nframe"), "{answer}");
        if was_refused {
            return;
        }
    }
    panic!("the socket took every answer");
}

#[test]
fn a_connection_that_stays_is_refused_bytes_and_one_that_leaves_is_not() {
    let runtime = runtime();
    let (mut client, socket) = pair();
    let filled = fill(&socket);
    let _context = runtime.enter();
    let socket = TcpStream::from_std(socket).unwrap();
    let leaving = Leaving::default();
    let activity = Arc::new(Activity::new(Times::default(), Instant::now()));
    let mut transport = Transport::new(Stream::Plain(socket), leaving.clone(), activity);
    let mut cx = Context::from_waker(Waker::noop());
    let mut write = |bytes: &[u8]| Pin::new(&mut transport).poll_write(&mut cx, bytes);
    assert!(write(&[b'x'; 9000]).is_pending());
    leaving.set();
    for byte in b'a'..=b'z' {
        let mut bytes = &[byte; 1000][..];
        while !bytes.is_empty() {
            match write(bytes) {
                std::task::Poll::Ready(Ok(length)) => bytes = &bytes[length..],
                other => panic!("{other:?}"),
            }
        }
    }
    let parts = transport.into_parts();
    let unsent = parts.unsent.len();
    assert!(unsent > 20_000, "{unsent}");
    let socket = parts.socket.into_std().unwrap();
    let owner = std::thread::spawn(move || {
        socket.set_nonblocking(false).unwrap();
        (&socket).write_all(&parts.unsent).unwrap();
    });
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    owner.join().unwrap();
    let expected: Vec<u8> = (b'a'..=b'z').flat_map(|byte| [byte; 1000]).collect();
    assert!(bytes[filled..] == expected);
}

#[test]
fn with_tls_the_session_has_the_bytes_that_the_socket_refused() {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (pem, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    let tls = chatproto::tls::ServerTls::from_pem(pem.as_bytes(), key.as_bytes()).unwrap();
    let tls = Tls::new(&tls, ["localhost"], false);
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();

    let runtime = runtime();
    let (client, socket) = pair();
    let expected = 1 << 20;
    let (left, has_left) = mpsc::channel::<()>();
    let reader = std::thread::spawn(move || {
        let mut client = client;
        while session.is_handshaking() {
            session.complete_io(&mut client).unwrap();
        }
        // nothing is read until the connection has left
        has_left.recv_timeout(PATIENCE).unwrap();
        let mut bytes = vec![0; expected];
        rustls::Stream::new(&mut session, &mut client).read_exact(&mut bytes).unwrap();
        bytes
    });
    let policy = Policy { tls: Some(tls), ..Policy::default() };
    let acceptor = TlsAcceptor::from(policy.tls_config().unwrap());
    let stream = runtime.block_on(async {
        let socket = TcpStream::from_std(socket).unwrap();
        timeout(PATIENCE, acceptor.accept(socket)).await.expect("in time").expect("TLS")
    });
    let leaving = Leaving::default();
    let activity = Arc::new(Activity::new(Times::default(), Instant::now()));
    let stream = Stream::Tls(Box::new(stream));
    let mut transport = Transport::new(stream, leaving.clone(), activity);
    let mut cx = Context::from_waker(Waker::noop());
    let _context = runtime.enter();
    let mut written = 0;
    while Pin::new(&mut transport).poll_write(&mut cx, b".").is_ready() {
        written += 1;
    }
    leaving.set();
    while written < expected {
        let bytes = vec![b'.'; expected - written];
        match Pin::new(&mut transport).poll_write(&mut cx, &bytes) {
            std::task::Poll::Ready(Ok(length)) => written += length,
            other => panic!("{other:?}"),
        }
    }
    assert!(Pin::new(&mut transport).poll_flush(&mut cx).is_ready());
    let parts = transport.into_parts();
    let (mut tls, mut socket) = (parts.tls.unwrap(), parts.socket.into_std().unwrap());
    assert!(tls.wants_write() && parts.unsent.is_empty());
    left.send(()).unwrap();
    socket.set_nonblocking(false).unwrap();
    while tls.wants_write() {
        tls.write_tls(&mut socket).unwrap();
    }
    assert!(reader.join().unwrap() == vec![b'.'; expected]);
}
