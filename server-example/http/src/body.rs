//! The bodies of requests, which are bounded in bytes and in time, and of responses, which tell how far
//! they are written.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::Limited;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::activity::Exchange;

/// The most bytes of a request's body. No route needs more than a message of the chat has.
pub(crate) const LONGEST: usize = 64 * 1024;

/// The body of a request.
pub(crate) struct Bounded<B> {
    body: Limited<B>,
    time: Duration,
    /// Set at the first look at the body; bytes do not extend it.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<B> Bounded<B> {
    pub(crate) fn new(body: B, time: Duration) -> Self {
        Bounded { body: Limited::new(body, LONGEST), time, deadline: None }
    }
}

impl<B> HttpBody for Bounded<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let time = this.time;
        let deadline = this.deadline.get_or_insert_with(|| Box::pin(sleep(time)));
        if deadline.as_mut().poll(cx).is_ready() {
            let late = format!("the body was not complete within {} s", time.as_secs());
            return Poll::Ready(Some(Err(late.into())));
        }
        Pin::new(&mut this.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a response. The exchange ends with it.
pub(crate) struct Answer {
    body: Body,
    exchange: Exchange,
}

impl Answer {
    pub(crate) fn new(body: Body, exchange: Exchange) -> Self {
        Answer { body, exchange }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        this.exchange.progress();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
