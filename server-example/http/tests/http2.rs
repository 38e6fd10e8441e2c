//! HTTP/2, over TLS and without: the same answers, no WebSockets, and its own bounds.

mod common;

use std::sync::Arc;

use common::{Certificate, Http, PATIENCE};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn connect(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> SendRequest<Empty<Bytes>> {
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn send(
    sender: &mut SendRequest<Empty<Bytes>>,
    request: hyper::http::request::Builder,
) -> (u16, Response<()>, String) {
    let request = request.body(Empty::new()).unwrap();
    let response: Response<Incoming> =
        timeout(PATIENCE, sender.send_request(request)).await.expect("an answer").unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let status = parts.status.as_u16();
    (status, Response::from_parts(parts, ()), String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn requests_are_answered_as_in_http_1() {
    let http = Http::start();
    runtime().block_on(async {
        let mut client = connect(TcpStream::connect(http.address).await.unwrap()).await;
        for (uri, status) in [
            ("http://localhost/", 200),
            ("http://127.0.0.1:8080/", 200),
            ("http://localhost/nothing", 404),
            ("http://evil.example/", 421),
            ("http://localhost/ws?name=alice", 400),
        ] {
            let (answer, response, body) = send(&mut client, Request::get(uri)).await;
            assert_eq!(answer, status, "{uri}: {body}");
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
            assert!(body.ends_with('\n'));
        }
        let (status, _, _) =
            send(&mut client, Request::get("http://localhost/").header("host", "evil")).await;
        assert_eq!(status, 400);
        // many at a time
        let several = (0..32).map(|_| {
            let mut client = client.clone();
            tokio::spawn(
                async move { send(&mut client, Request::get("http://localhost/")).await.0 },
            )
        });
        for one in several.collect::<Vec<_>>() {
            assert_eq!(one.await.unwrap(), 200);
        }
    });
}

#[test]
fn tls_offers_both_versions() {
    let certificate = Certificate::new(&["localhost", "chat.example"]);
    let http = Http::with(|setup| setup.tls = Some(certificate.tls(false)));
    let connector = TlsConnector::from(Arc::new(certificate.client_config(&["h2", "http/1.1"])));
    runtime().block_on(async {
        let socket = TcpStream::connect(http.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, socket).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut client = connect(stream).await;
        // a name of the certificate
        let (status, ..) = send(&mut client, Request::get("https://chat.example/")).await;
        assert_eq!(status, 200);
        let (status, ..) = send(&mut client, Request::get("https://other.example/")).await;
        assert_eq!(status, 421);
    });
}

#[test]
fn a_stop_says_goodbye() {
    let mut http = Http::start();
    let address = http.address;
    let runtime = runtime();
    let mut client = runtime.block_on(async {
        let mut client = connect(TcpStream::connect(address).await.unwrap()).await;
        assert_eq!(send(&mut client, Request::get("http://localhost/")).await.0, 200);
        client
    });
    http.control.stop();
    runtime.block_on(async {
        // until the connection has ended, requests are refused or fail
        while client.ready().await.is_ok() {
            let request = Request::get("http://localhost/").body(Empty::new()).unwrap();
            if client.send_request(request).await.is_err() {
                break;
            }
        }
    });
    http.end();
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[test]
fn a_flood_of_resets_ends_the_connection() {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    let http = Http::start();
    runtime().block_on(async {
        let (mut reader, mut writer) = TcpStream::connect(http.address).await.unwrap().into_split();
        let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        flood.extend(frame(SETTINGS, 0, 0, &[]));
        for number in 0..2_000 {
            let stream = 2 * number + 1;
            // GET http / with an authority, from the static table where it has it
            let head = [&[0x82, 0x86, 0x84, 0x41, 9][..], b"localhost"].concat();
            flood.extend(frame(HEADERS, 5, stream, &head));
            flood.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        }
        let write = tokio::spawn(async move {
            // it may end in the middle
            let _ = writer.write_all(&flood).await;
            writer
        });
        let mut answer = Vec::new();
        timeout(PATIENCE, reader.read_to_end(&mut answer)).await.expect("an end").ok();
        // the last word is GOAWAY with ENHANCE_YOUR_CALM
        let calm = [&[7, 0, 0, 0, 0, 0][..]].concat();
        assert!(answer.windows(calm.len()).any(|window| window == calm), "no GOAWAY");
        drop(write.await);
    });
    // and others are served
    assert_eq!(http.connect().get("/").status, 200);
}

#[test]
fn extended_connect_is_not_offered() {
    let http = Http::start();
    runtime().block_on(async {
        let mut socket = TcpStream::connect(http.address).await.unwrap();
        let hello = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[])].concat();
        socket.write_all(&hello).await.unwrap();
        let mut head = [0; 9];
        timeout(PATIENCE, socket.read_exact(&mut head)).await.expect("settings").unwrap();
        assert_eq!(head[3], 4, "the first frame has the settings");
        let mut settings = vec![0; usize::from(head[2]) | usize::from(head[1]) << 8];
        socket.read_exact(&mut settings).await.unwrap();
        let identifiers: Vec<u8> = settings.chunks(6).map(|setting| setting[1]).collect();
        // MAX_CONCURRENT_STREAMS and MAX_HEADER_LIST_SIZE are, ENABLE_CONNECT_PROTOCOL is not
        assert!(identifiers.contains(&3) && identifiers.contains(&6), "{identifiers:?}");
        assert!(!identifiers.contains(&8), "{identifiers:?}");
    });
}
