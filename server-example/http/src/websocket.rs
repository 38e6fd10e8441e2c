//! The request that becomes a WebSocket (RFC 6455, section 4), and its hand-over. The frames are the chat
//! server's business.

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::downcast;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tracing::debug;

use crate::handover::{Adopt, Handover};
use crate::origin;
use crate::query;
use crate::reply::{Refusal, text};
use crate::transport::{Parts, Transport};
use crate::visit::{Rules, Visit};

/// The path of WebSockets.
pub(crate) const PATH: &str = "/ws";
/// The sub-protocol that is chosen if a client offers it.
const PROTOCOL: &str = "chatproto";
/// The version of RFC 6455.
const VERSION: &str = "13";
/// Part of the answer to a key, the same for all servers.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Answers a request at [`PATH`]. If it becomes a WebSocket, a task hands the connection over.
pub(crate) fn upgrade(adopt: &Adopt, mut request: Request) -> Response {
    let accepted = match check(&request) {
        Ok(accepted) => accepted,
        Err(refusal) => return refusal.into_response(),
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let Some(visit) = request.extensions_mut().remove::<Visit>() else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "The connection cannot be upgraded.");
    };
    visit.leaving.set();
    tokio::spawn(hand_over(upgrade, visit, Adopt::clone(adopt), accepted.name));

    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accepted.answer);
    if accepted.has_protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    response
}

/// Waits until hyper has answered, and gives the connection to the chat server.
async fn hand_over(upgrade: OnUpgrade, visit: Visit, adopt: Adopt, name: Option<String>) {
    let address = visit.peer.address;
    let outcome = match upgrade.await {
        Ok(upgraded) => adopt_upgraded(upgraded, &visit, &adopt, name),
        Err(error) => Err(error.to_string()),
    };
    if let Err(reason) = outcome {
        debug!(%address, reason, "a WebSocket was not taken over");
    }
}

fn adopt_upgraded(
    upgraded: Upgraded,
    visit: &Visit,
    adopt: &Adopt,
    name: Option<String>,
) -> Result<(), String> {
    let parts = downcast::<TokioIo<Transport>>(upgraded)
        .map_err(|_| "the connection is of another kind".to_owned())?;
    let Parts { socket, tls, unsent } = parts.io.into_inner().into_parts();
    let socket = socket.into_std().map_err(|error| error.to_string())?;
    let bytes = (parts.read_buf, unsent);
    adopt(Handover::new(socket, visit.peer.address, tls, bytes, name))
}

/// A request that becomes a WebSocket.
struct Accepted {
    /// The value of `Sec-WebSocket-Accept`.
    answer: HeaderValue,
    has_protocol: bool,
    name: Option<String>,
}

/// Checks a request.
fn check(request: &Request) -> Result<Accepted, Refusal> {
    if request.method() != Method::GET {
        let sentence = "A WebSocket is opened with the method GET.";
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, sentence);
        return Err(refusal.with(&[("allow", "GET")]));
    }
    let headers = request.headers();
    let has =
        |name, wanted: &str| has_token(headers, name, |token| token.eq_ignore_ascii_case(wanted));
    match request.version() {
        Version::HTTP_2 => {
            return Err(Refusal::bad_request(
                "WebSockets are not served over HTTP/2: open one over HTTP/1.1.",
            ));
        }
        Version::HTTP_11 if has(&UPGRADE, "websocket") && has(&CONNECTION, "upgrade") => {}
        _ => {
            return Err(upgrade_required(
                "This path is for WebSockets: open it with ws:// or wss://.",
            ));
        }
    }
    if single(headers, &SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
        return Err(upgrade_required("Only version 13 of WebSocket is supported."));
    }
    let Some(key) = single(headers, &SEC_WEBSOCKET_KEY).filter(|key| is_key(key)) else {
        return Err(Refusal::bad_request(
            "Sec-WebSocket-Key must be one header with 16 bytes in Base64.",
        ));
    };
    if !request.body().is_end_stream() {
        return Err(Refusal::bad_request("A request that opens a WebSocket has no body."));
    }
    let is_tls = request.extensions().get::<Visit>().is_some_and(|visit| visit.peer.is_tls);
    let is_allowed = request.extensions().get::<Rules>().is_some_and(|rules| {
        origin::is_allowed(headers, is_tls, rules.authority.as_ref(), &rules.policy.origins)
    });
    if !is_allowed {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "Pages of this origin may not join the chat: the server's operator can allow them with \
             --http-origin.",
        ));
    }
    let name = query::parameter(request.uri().query(), "name").map_err(Refusal::bad_request)?;
    Ok(Accepted {
        answer: answer(key),
        has_protocol: has_token(headers, &SEC_WEBSOCKET_PROTOCOL, |token| token == PROTOCOL),
        name,
    })
}

fn upgrade_required(sentence: &'static str) -> Refusal {
    Refusal::new(StatusCode::UPGRADE_REQUIRED, sentence).with(&[
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-version", VERSION),
    ])
}

/// Whether one of the comma-separated tokens of a header, or of several with its name, is meant.
fn has_token(headers: &HeaderMap, name: &HeaderName, is_meant: impl Fn(&str) -> bool) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|token| is_meant(token.trim()))
}

/// The value of a header that is there once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn is_key(key: &str) -> bool {
    // 24 characters are 16 to 18 bytes
    let mut bytes = [0; 18];
    key.len() == 24 && STANDARD.decode_slice(key, &mut bytes) == Ok(16)
}

fn answer(key: &str) -> HeaderValue {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{KEY_SUFFIX}").as_bytes());
    HeaderValue::try_from(STANDARD.encode(hash)).expect("Base64 is visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_16_bytes_in_base64() {
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
        for key in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZVg=",
            "dGhlIHNhbXBsZSBub25jZVhY",
            "dGhlIHNhbXBsZSBub25j====",
            "dGhlIHNhbXBsZSBub25 ZQ==",
            "dGhlIHNhbXBsZSBub25jZQ==dGhl",
        ] {
            assert!(!is_key(key), "{key}");
        }
    }

    #[test]
    fn the_answer_to_a_key_is_that_of_the_rfc() {
        assert_eq!(answer("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn tokens_are_found_in_lists_and_repeated_headers() {
        let mut headers = HeaderMap::new();
        headers.append(CONNECTION, HeaderValue::from_static("keep-alive , Upgrade"));
        headers.append(CONNECTION, HeaderValue::from_static("x"));
        let has = |wanted: &str| has_token(&headers, &CONNECTION, |token| token == wanted);
        assert!(has("Upgrade") && has("keep-alive") && has("x"));
        assert!(!has("Up") && !has("keep-alive , Upgrade"));
        assert_eq!(single(&headers, &CONNECTION), None);
    }
}
