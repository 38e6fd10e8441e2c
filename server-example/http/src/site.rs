//! The way of every request: checks before the routes, headers and a line of the log after them.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, HttpBody};
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::{CONNECTION, UPGRADE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{self, HeaderValue, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{BoxError, Router};
use bytes::Bytes;
use shared::text::visible;
use tokio::sync::watch;
use tower_service::Service;
use tracing::debug;

use crate::activity::Times;
use crate::body::{self, Bounded};
use crate::handover::Adopt;
use crate::host;
use crate::policy::CurrentPolicy;
use crate::proxied::Proxies;
use crate::reply::{Refusal, text};
use crate::visit::{Peer, Rules, Visit};
use crate::websocket;

/// All that is served.
pub(crate) struct Site {
    routes: Router,
    policy: Arc<CurrentPolicy>,
    times: Times,
    proxies: Proxies,
}

impl Site {
    /// The routes of this crate and `more`, which has no fallback. When `stop` is true, nothing is upgraded.
    pub(crate) fn new(
        (more, adopt): (Router, Option<Adopt>),
        stop: watch::Receiver<bool>,
        policy: Arc<CurrentPolicy>,
        times: Times,
        proxies: Proxies,
    ) -> Self {
        let mut routes = Router::new().route("/", get(welcome)).merge(more);
        if let Some(adopt) = adopt {
            let upgrade = move |request: Request| {
                let response = match *stop.borrow() {
                    true => stopping(),
                    false => websocket::upgrade(&adopt, request),
                };
                async move { response }
            };
            routes = routes.route(websocket::PATH, get(upgrade));
        }
        let routes = routes
            .fallback(async || text(StatusCode::NOT_FOUND, "There is nothing here: try /."))
            .method_not_allowed_fallback(async || {
                let sentence = "This path does not take this method: see the Allow header.";
                text(StatusCode::METHOD_NOT_ALLOWED, sentence)
            })
            .layer(DefaultBodyLimit::max(body::LONGEST));
        Site { routes, policy, times, proxies }
    }

    pub(crate) async fn answer<B>(&self, visit: &Visit, request: http::Request<B>) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let begun = Instant::now();
        let mut visit = visit.clone();
        let located = self.proxies.forwarded_for(request.headers(), visit.peer.address);
        if let Ok(address) = located {
            visit.peer.address = address;
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let version = request.version();
        let asks_to_upgrade =
            version == Version::HTTP_11 && request.headers().contains_key(UPGRADE);
        let checked = located.and_then(|_| self.check(visit.peer, &request));
        let mut response = match checked {
            Ok(rules) => {
                let mut request =
                    request.map(|body| Body::new(Bounded::new(body, self.times.body)));
                let extensions = request.extensions_mut();
                extensions.insert(visit.peer);
                extensions.insert(visit.clone());
                extensions.insert(rules);
                let Ok(response) = self.routes.clone().call(request).await;
                response
            }
            Err(refusal) => refusal.into_response(),
        };
        let status = response.status();
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if asks_to_upgrade && status != StatusCode::SWITCHING_PROTOCOLS {
            // a proxy may believe that the upgrade succeeded, and pass on whatever its client sends next
            headers.append(CONNECTION, HeaderValue::from_static("close"));
        }
        debug!(
            address = %visit.peer.address,
            %method,
            path = %visible(&path),
            ?version,
            status = status.as_u16(),
            time = ?begun.elapsed(),
            "request"
        );
        response
    }

    /// The rules for a request, or why it gets to no route.
    fn check<B: HttpBody>(&self, peer: Peer, request: &http::Request<B>) -> Result<Rules, Refusal> {
        let policy = self.policy.get();
        if policy.is_tls_only() && !peer.is_tls {
            let sentence =
                "This server speaks TLS only: write https:// or wss:// in front of its address.";
            return Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, sentence)
                .with(&[("upgrade", "TLS/1.3, HTTP/1.1"), ("connection", "upgrade, close")]));
        }
        if request.body().size_hint().lower() > body::LONGEST as u64 {
            let sentence = format!("A request's body has at most {} bytes.", body::LONGEST);
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, sentence));
        }
        let authority = host::authority(request)?;
        match &authority {
            Some(authority) if !policy.knows(authority) => Err(host::misdirected(authority)),
            _ => Ok(Rules { policy, authority }),
        }
    }
}

/// The answer to a client that wants to join a server that stops. Another server may take its place.
fn stopping() -> Response {
    let sentence = "The server is shutting down: try again in a moment.";
    let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, sentence);
    refusal.with(&[("retry-after", "1")]).into_response()
}

async fn welcome() -> Response {
    let sentence = "This is a chatproto server. Programs and pages join the chat with a WebSocket at \
                    /ws?name=NAME.";
    text(StatusCode::OK, sentence)
}
