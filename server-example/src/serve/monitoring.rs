//! Metrics and health over HTTP: `/metrics`, `/livez` and `/readyz`.

use std::sync::Arc;

use chatproto::ServerHandle;
use http_listener::axum::Router;
use http_listener::axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http_listener::axum::http::{HeaderMap, StatusCode, Uri};
use http_listener::axum::response::{IntoResponse, Response};
use http_listener::axum::routing::get;
use http_listener::run_blocking;
use metrics::{Answer, Exposition, Health, Program, Report};

/// The routes. They read counters, and wait for the event loops for at most a second.
pub(super) fn routes(handle: &ServerHandle, program: &Arc<dyn Program>) -> Router {
    let exposition = Arc::new(Exposition::new(handle.clone(), Arc::clone(program)));
    let health = Arc::new(Health::new(handle.clone(), Arc::clone(program)));
    let metrics = move |headers: HeaderMap| {
        let exposition = Arc::clone(&exposition);
        let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok().map(str::to_owned));
        answer(move || exposition.respond(accept.as_deref()))
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(check(&health, Health::livez)))
        .route("/readyz", get(check(&health, Health::readyz)))
}

/// A handler that answers with a report of the health.
fn check(
    health: &Arc<Health>,
    report: fn(&Health) -> Report,
) -> impl Fn(Uri) -> std::pin::Pin<Box<dyn Future<Output = Response> + Send>> + Clone + use<> {
    let health = Arc::clone(health);
    move |uri| {
        let health = Arc::clone(&health);
        let is_verbose = uri.query().is_some_and(is_verbose);
        Box::pin(answer(move || report(&health).respond(is_verbose)))
    }
}

/// Whether the query asks for all checks: `?verbose`, with any value.
fn is_verbose(query: &str) -> bool {
    query.split('&').any(|part| part.split('=').next() == Some("verbose"))
}

async fn answer(work: impl FnOnce() -> Answer + Send + 'static) -> Response {
    let Some(Answer { status, content_type, body }) = run_blocking(work).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::is_verbose;

    #[test]
    fn verbose_is_a_parameter_with_any_value() {
        for query in ["verbose", "verbose=1", "a=b&verbose"] {
            assert!(is_verbose(query), "{query}");
        }
        for query in ["", "a=verbose", "verbosely"] {
            assert!(!is_verbose(query), "{query}");
        }
    }
}
