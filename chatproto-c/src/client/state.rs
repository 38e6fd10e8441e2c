//! The state of a connection without its socket: the session, the reason of the end, and the events to
//! wait for.

use std::io::ErrorKind;
use std::time::Instant;

use chatproto::error::reason;
use chatproto::websocket::CloseFrame;
use chatproto::{ClientError, ErrorClass, Message, Session, SessionEvent};

use crate::result::{chatproto_result, client_error, fail};
#[cfg(feature = "tls")]
use crate::tls::ClientStream;

/// The state that the threads of a connection share.
pub(super) struct State {
    pub(super) session: Session,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<ClientStream>,
    pub(super) buffer: Box<[u8]>,
    /// The system took nothing when it was last written to.
    pub(super) is_refused: bool,
    /// Why nothing more can be read.
    pub(super) read_end: Option<Lost>,
    /// Why nothing more can be written.
    pub(super) write_end: Option<Lost>,
}

/// Why a connection is over. Each later call returns it again.
pub(super) enum Lost {
    /// With the close frame, if a server sent one over WebSocket.
    Closed(Option<CloseFrame>),
    Io(String),
    WebSocket(ClientError),
    #[cfg(feature = "tls")]
    Tls(String),
}

impl Lost {
    pub(super) fn new(doing: &str, error: &std::io::Error) -> Self {
        #[cfg(feature = "tls")]
        if let Some(inner) = error.get_ref()
            && let Some(error) = inner.downcast_ref::<chatproto::tls::TlsError>()
        {
            return Lost::Tls(error.to_string());
        }
        match error.kind() {
            ErrorKind::BrokenPipe | ErrorKind::NotConnected => Lost::Closed(None),
            _ => Lost::Io(format!("{doing}: {}", reason(error))),
        }
    }

    pub(super) fn result(&self) -> chatproto_result {
        match self {
            Lost::Closed(None) => client_error(&ClientError::Closed),
            Lost::Closed(Some(frame)) => {
                fail(chatproto_result::Closed, format_args!("{} ({frame})", ClientError::Closed))
            }
            Lost::WebSocket(error) => client_error(error),
            Lost::Io(sentence) => fail(chatproto_result::Io, format_args!("{sentence}")),
            #[cfg(feature = "tls")]
            Lost::Tls(sentence) => fail(chatproto_result::Tls, format_args!("{sentence}")),
        }
    }
}

/// The events and the time that a thread waits for.
pub(super) struct Wanted {
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) until: Option<Instant>,
}

impl State {
    /// The next message that was received.
    pub(super) fn next(&mut self) -> Result<Option<Message>, chatproto_result> {
        while let Some(event) = self.session.poll_event() {
            match event {
                SessionEvent::Message(message)
                | SessionEvent::Registered(message)
                | SessionEvent::Refused(message) => return Ok(Some(message)),
                SessionEvent::Bad(error) => {
                    if error.class() == ErrorClass::Framing {
                        self.read_end = Some(Lost::Closed(None));
                    }
                    return Err(client_error(&error.into()));
                }
                event => self.end(event),
            }
        }
        self.read_end.as_ref().map_or(Ok(None), |lost| Err(lost.result()))
    }

    /// Notes why nothing more comes, if the event says so.
    pub(super) fn end(&mut self, event: SessionEvent) {
        self.read_end = Some(match event {
            SessionEvent::Silent(after) => {
                let ms = after.as_millis();
                let sentence = format!(
                    "the connection was lost: the server did not answer /ping within {ms} ms"
                );
                Lost::Io(sentence)
            }
            SessionEvent::NotOpened(error) => Lost::WebSocket(error.into()),
            SessionEvent::Violated(violation) => Lost::WebSocket(violation.into()),
            _ => return,
        });
    }

    /// The events and the time of the next step.
    pub(super) fn wanted(&self, now: Instant) -> Wanted {
        let mut wanted = self.wanted_to_write(now);
        let (has_events, over) = (self.session.has_events(), self.read_end.is_some());
        wanted.readable = !over && !has_events;
        wanted.until = if has_events || over {
            Some(now)
        } else {
            [wanted.until, self.session.poll_silence()].into_iter().flatten().min()
        };
        wanted
    }

    /// The same for writing alone.
    pub(super) fn wanted_to_write(&self, now: Instant) -> Wanted {
        let can_write = self.write_end.is_none();
        let writable = can_write && self.has_bytes_to_write(now);
        // the thread waits for the socket: a time in the past does not matter then. Otherwise the time may
        // have passed since the caller asked for the events of the socket
        let waits_for_socket = writable && self.is_refused;
        let until =
            self.session.poll_timeout().filter(|&at| can_write && (at > now || !waits_for_socket));
        Wanted { readable: false, writable, until }
    }

    /// Whether it is the socket that has to be waited for.
    fn has_bytes_to_write(&self, now: Instant) -> bool {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls
            && (tls.is_handshaking() || tls.wants_write())
        {
            return tls.wants_write();
        }
        !self.session.poll_transmit(now).is_empty()
    }

    /// Whether something was not handed to the socket.
    pub(super) fn has_outgoing(&self) -> bool {
        #[cfg(feature = "tls")]
        if self.tls.as_ref().is_some_and(ClientStream::wants_write) {
            return true;
        }
        self.session.has_outgoing()
    }
}
