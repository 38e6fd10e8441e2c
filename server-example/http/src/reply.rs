//! Responses of one sentence.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

/// A status and the sentence that explains it.
pub(crate) fn text(status: StatusCode, sentence: impl Into<String>) -> Response {
    let mut sentence = sentence.into();
    sentence.push('\n');
    let mut response = Response::new(Body::from(sentence));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Why a request is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    sentence: Cow<'static, str>,
    /// Names in lower case, and values.
    headers: &'static [(&'static str, &'static str)],
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, sentence: impl Into<Cow<'static, str>>) -> Self {
        Refusal { status, sentence: sentence.into(), headers: &[] }
    }

    pub(crate) fn bad_request(sentence: impl Into<Cow<'static, str>>) -> Self {
        Refusal::new(StatusCode::BAD_REQUEST, sentence)
    }

    /// The same with these headers.
    pub(crate) fn with(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Refusal { headers, ..self }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = text(self.status, self.sentence);
        for &(name, value) in self.headers {
            let value = HeaderValue::from_static(value);
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
        response
    }
}
