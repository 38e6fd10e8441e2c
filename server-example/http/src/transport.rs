//! The bytes of a connection, plain or through TLS, as hyper reads and writes them.
//!
//! hyper may complete an upgrade before the socket has taken the 101, and drops its write buffer then.
//! So, once the connection is leaving, writing never refuses a byte. Bytes that the socket does not take
//! stay here or in the TLS session, and go with the socket to its next owner.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::activity::Activity;

/// Set before the 101 is answered: from then on every byte is taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leaving(Arc<AtomicBool>);

impl Leaving {
    pub(crate) fn set(&self) {
        // the same task reads it, or one that this task wakes
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection for hyper.
pub(crate) struct Transport {
    stream: Stream,
    leaving: Leaving,
    /// Bytes that the socket refused since the connection is leaving. Empty with TLS.
    unsent: BytesMut,
    activity: Arc<Activity>,
}

pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The parts of a connection.
pub(crate) struct Parts {
    pub(crate) socket: TcpStream,
    pub(crate) tls: Option<ServerConnection>,
    /// Bytes that the socket has not taken yet; without TLS only.
    pub(crate) unsent: Bytes,
}

impl Transport {
    pub(crate) fn new(stream: Stream, leaving: Leaving, activity: Arc<Activity>) -> Self {
        Transport { stream, leaving, unsent: BytesMut::new(), activity }
    }

    pub(crate) fn into_parts(self) -> Parts {
        let unsent = self.unsent.freeze();
        match self.stream {
            Stream::Plain(socket) => Parts { socket, tls: None, unsent },
            Stream::Tls(stream) => {
                let (socket, tls) = stream.into_inner();
                Parts { socket, tls: Some(tls), unsent }
            }
        }
    }

    /// Takes all bytes: by the socket or the TLS session, else by `unsent`.
    fn take(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(socket) => {
                // behind what is unsent there is no other order
                if self.unsent.is_empty()
                    && let Poll::Ready(outcome) = Pin::new(socket).poll_write(cx, bytes)
                {
                    return Poll::Ready(outcome);
                }
                self.unsent.extend_from_slice(bytes);
                Poll::Ready(Ok(bytes.len()))
            }
            Stream::Tls(stream) => {
                stream.get_mut().1.set_buffer_limit(None);
                Pin::new(&mut **stream).poll_write(cx, bytes)
            }
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(match &mut this.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buffer),
        })?;
        if buffer.filled().len() > before {
            this.activity.handle_read(Instant::now());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.leaving.is_set() {
            return this.take(cx, bytes);
        }
        let outcome = match &mut this.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        };
        this.activity.handle_write(outcome.is_pending(), Instant::now());
        outcome
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = match &mut this.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        };
        if this.leaving.is_set() && outcome.is_pending() {
            // the TLS session has it
            return Poll::Ready(Ok(()));
        }
        // without TLS there is nothing to flush, so the outcome does not say that the socket took bytes
        if let Stream::Tls(_) = this.stream {
            this.activity.handle_write(outcome.is_pending(), Instant::now());
        }
        outcome
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}
