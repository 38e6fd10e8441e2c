//! One connection, from accept to its end: TLS or plain, HTTP/1.1 or HTTP/2, and the time limits that
//! [`activity`](crate::activity) has for it.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::activity::{Activity, Exchange, Times};
use crate::body::Answer;
use crate::policy::CurrentPolicy;
use crate::proxied::Proxies;
use crate::site::Site;
use crate::table::{Place, Table};
use crate::transport::{Leaving, Stream, Transport};
use crate::visit::{Peer, Visit};

/// The first byte of a TLS connection: a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;
/// The most bytes of a request's head in HTTP/1.1, and of its header list in HTTP/2.
const LONGEST_HEAD: usize = 16 * 1024;
/// The most headers of a request in HTTP/1.1.
const MOST_HEADERS: usize = 64;
/// The most requests at a time of an HTTP/2 connection.
const MOST_STREAMS: u32 = 16;
/// The most HTTP/2 streams that the peer has reset and that were not looked at yet.
const MOST_PENDING_RESETS: usize = 20;
/// The most HTTP/2 streams that this side resets for errors of the peer.
const MOST_ERRORS: usize = 64;
/// The bytes of request bodies that an HTTP/2 peer may send without a reader.
const WINDOW: u32 = crate::body::LONGEST as u32;
/// For the last bytes of a connection that is to be closed and has no request.
const LAST_BYTES: Duration = Duration::from_millis(250);
/// Requests of HTTP/2 run in tasks of their own, so the connection looks at its state at least so often.
const CHECK: Duration = Duration::from_secs(5);

/// The parts that all connections share.
pub(crate) struct Server {
    pub(crate) site: Site,
    pub(crate) policy: Arc<CurrentPolicy>,
    pub(crate) table: Arc<Table>,
    pub(crate) times: Times,
    pub(crate) proxies: Proxies,
    /// True when the listener stops.
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) http: Builder<TokioExecutor>,
}

/// HTTP with its bounds. Extended CONNECT stays off, so there are no WebSockets over HTTP/2.
pub(crate) fn http() -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        // `activity` has the time limits of both versions
        .header_read_timeout(None)
        .max_buf_size(LONGEST_HEAD)
        .max_headers(MOST_HEADERS);
    http.http2()
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(LONGEST_HEAD as u32)
        .max_pending_accept_reset_streams(MOST_PENDING_RESETS)
        .max_local_error_reset_streams(MOST_ERRORS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(2 * WINDOW)
        .max_send_buf_size(16 * 1024);
    http
}

/// Serves a connection until it ends, leaves as a WebSocket, or its time is over.
pub(crate) async fn serve(
    server: Arc<Server>,
    socket: TcpStream,
    address: IpAddr,
    activity: Arc<Activity>,
    place: Arc<Place>,
) {
    let mut stop = server.stop.clone();
    // an error means that the sender is gone, which is a stop too
    let mut stopped = pin!(async move { drop(stop.wait_for(|is_stopped| *is_stopped).await) });
    let begun = Instant::now();
    let opening = timeout(server.times.first_head, open(&server, socket, address));
    let Some(Ok(Some((stream, peer)))) = before(stopped.as_mut(), opening).await else { return };
    debug!(address = %peer.address, time = ?begun.elapsed(), is_tls = peer.is_tls, "connection");

    let leaving = Leaving::default();
    let transport = Transport::new(stream, leaving.clone(), Arc::clone(&activity));
    let visit = Visit { peer, leaving, _place: place };
    let (site, working) = (Arc::clone(&server), Arc::clone(&activity));
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (server, visit) = (Arc::clone(&site), visit.clone());
        let mut exchange = Exchange::begin(&working);
        async move {
            let response = server.site.answer(&visit, request).await;
            exchange.respond();
            Ok::<_, Infallible>(response.map(|body| Answer::new(body, exchange)))
        }
    });
    let connection = server.http.serve_connection_with_upgrades(TokioIo::new(transport), service);
    let mut connection = pin!(connection);
    let mut alarm = pin!(sleep(CHECK));
    // since when the connection is being closed
    let mut closing: Option<Instant> = None;
    let outcome = poll_fn(|cx| {
        loop {
            if let Poll::Ready(outcome) = connection.as_mut().poll(cx) {
                return Poll::Ready(outcome);
            }
            let now = Instant::now();
            let due = match closing {
                None if stopped.as_mut().poll(cx).is_ready() => now,
                None => activity.due().unwrap_or(now + CHECK),
                Some(since) if activity.is_waiting() => since + LAST_BYTES,
                Some(since) => since + server.times.grace,
            };
            if due <= now {
                if closing.replace(now).is_some() {
                    return Poll::Ready(Ok(()));
                }
                connection.as_mut().graceful_shutdown();
                continue;
            }
            alarm.as_mut().reset(due.min(now + CHECK).into());
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    });
    if let Err(error) = outcome.await {
        debug!(%address, %error, "connection failed");
    }
}

/// Begins a connection: tells TLS from plain text by the first byte. The address of the peer is decided
/// here and nowhere else.
async fn open(server: &Server, socket: TcpStream, address: IpAddr) -> Option<(Stream, Peer)> {
    let address = match server.proxies.user_of(&socket, address).await {
        Ok(user) => user,
        Err(error) => {
            // the sources are the operator's own
            warn!(%address, %error, "HTTP connection closed: the PROXY header of a load balancer is not valid");
            return None;
        }
    };
    let mut first = [0];
    if socket.peek(&mut first).await.ok()? == 0 {
        return None;
    }
    match server.policy.get().tls_config() {
        Some(config) if first[0] == TLS_HANDSHAKE => {
            match TlsAcceptor::from(config).accept(socket).await {
                Ok(stream) => Some((Stream::Tls(Box::new(stream)), Peer { address, is_tls: true })),
                Err(error) => {
                    debug!(%address, %error, "TLS failed");
                    None
                }
            }
        }
        _ => Some((Stream::Plain(socket), Peer { address, is_tls: false })),
    }
}

/// The outcome of `work`, if it comes before `end`.
async fn before<T>(
    mut end: std::pin::Pin<&mut impl Future<Output = ()>>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending => end.as_mut().poll(cx).map(|()| None),
    })
    .await
}
