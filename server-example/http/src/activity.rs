//! The state of a connection, and the time limit that follows from it. Time is an argument, so that no
//! test waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time limits of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Times {
    /// From accept to the end of the first request's head, with TLS. Default 10 s.
    pub first_head: Duration,
    /// From the first byte of a later request to the end of its head. Default 10 s.
    pub head: Duration,
    /// Between two requests. Default 65 s: Prometheus scrapes once a minute.
    pub idle: Duration,
    /// From the first look at a request's body to its end. Default 10 s.
    pub body: Duration,
    /// Without progress of a response, since the peer does not read. Default 10 s, as on the chat port.
    pub stall: Duration,
    /// For requests that run when their connection is to be closed. Default 3 s.
    pub grace: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Times {
            first_head: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(65),
            body: Duration::from_secs(10),
            stall: Duration::from_secs(10),
            grace: Duration::from_secs(3),
        }
    }
}

/// The state of one connection. HTTP/2 has several requests at a time.
#[derive(Debug)]
pub(crate) struct Activity {
    times: Times,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests whose handler runs.
    handling: usize,
    /// Responses that are not completely written.
    sending: usize,
    /// No request was complete yet.
    is_first: bool,
    /// The last progress of a request or response; at first, the accept.
    progress: Instant,
    /// The first byte since the last request.
    head: Option<Instant>,
    /// The socket has refused bytes since then.
    blocked: Option<Instant>,
}

impl Activity {
    pub(crate) fn new(times: Times, now: Instant) -> Self {
        let state = State {
            handling: 0,
            sending: 0,
            is_first: true,
            progress: now,
            head: None,
            blocked: None,
        };
        Activity { times, state: Mutex::new(state) }
    }

    /// Bytes came.
    pub(crate) fn handle_read(&self, now: Instant) {
        let mut state = self.state();
        if state.is_waiting() {
            state.head.get_or_insert(now);
        }
    }

    /// The socket took bytes, or refused them.
    pub(crate) fn handle_write(&self, is_refused: bool, now: Instant) {
        let mut state = self.state();
        if is_refused {
            state.blocked.get_or_insert(now);
        } else {
            state.blocked = None;
        }
    }

    /// The head of a request is complete.
    fn begin(&self, now: Instant) {
        let mut state = self.state();
        (state.is_first, state.head, state.progress) = (false, None, now);
        state.handling += 1;
    }

    /// The handler has made its response.
    fn respond(&self, now: Instant) {
        let mut state = self.state();
        state.handling -= 1;
        state.sending += 1;
        state.progress = now;
    }

    /// A part of a response was taken.
    pub(crate) fn progress(&self, now: Instant) {
        self.state().progress = now;
    }

    /// A response is complete, or given up.
    fn end(&self, now: Instant) {
        let mut state = self.state();
        state.sending -= 1;
        state.progress = now;
    }

    /// A handler was given up.
    fn abandon(&self, now: Instant) {
        let mut state = self.state();
        state.handling -= 1;
        state.progress = now;
    }

    /// When the connection has to be closed, if it does nothing else before. None while a handler runs.
    pub(crate) fn due(&self) -> Option<Instant> {
        let (times, state) = (&self.times, self.state());
        let (since, limit) = match (state.blocked, state.head) {
            (Some(blocked), _) => (blocked, times.stall),
            _ if state.handling > 0 => return None,
            _ if state.sending > 0 => (state.progress, times.stall),
            _ if state.is_first => (state.progress, times.first_head),
            (None, Some(head)) => (head, times.head),
            (None, None) => (state.progress, times.idle),
        };
        Some(since + limit)
    }

    /// Whether no request is being handled or answered.
    pub(crate) fn is_waiting(&self) -> bool {
        self.state().is_waiting()
    }

    /// The last progress of a connection that can be closed for the sake of another one. None while a
    /// handler runs.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.handling == 0).then_some(state.progress)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_waiting(&self) -> bool {
        self.handling + self.sending == 0
    }
}

/// A request and its response: counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Exchange {
    activity: Arc<Activity>,
    has_response: bool,
}

impl Exchange {
    pub(crate) fn begin(activity: &Arc<Activity>) -> Self {
        activity.begin(Instant::now());
        Exchange { activity: Arc::clone(activity), has_response: false }
    }

    /// The handler has made its response.
    pub(crate) fn respond(&mut self) {
        if !std::mem::replace(&mut self.has_response, true) {
            self.activity.respond(Instant::now());
        }
    }

    /// A part of the response was taken.
    pub(crate) fn progress(&self) {
        self.activity.progress(Instant::now());
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let now = Instant::now();
        if self.has_response { self.activity.end(now) } else { self.activity.abandon(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// An activity that has just begun, its beginning, and its limits.
    fn activity() -> (Activity, Instant, Times) {
        let (start, times) = (Instant::now(), Times::default());
        (Activity::new(times, start), start, times)
    }

    #[test]
    fn bytes_do_not_extend_the_time_of_the_first_head() {
        let (activity, start, times) = activity();
        assert_eq!(activity.due(), Some(start + times.first_head));
        activity.handle_read(start + 9 * SECOND);
        assert_eq!(activity.due(), Some(start + times.first_head));
        activity.begin(start + 9 * SECOND);
        assert_eq!(activity.due(), None);
    }

    #[test]
    fn a_later_head_has_its_own_time_from_its_first_byte() {
        let (activity, start, times) = activity();
        activity.begin(start);
        activity.respond(start);
        activity.end(start + SECOND);
        assert_eq!(activity.due(), Some(start + SECOND + times.idle));
        activity.handle_read(start + 20 * SECOND);
        activity.handle_read(start + 25 * SECOND);
        assert_eq!(activity.due(), Some(start + 20 * SECOND + times.head));
    }

    #[test]
    fn a_response_that_nobody_reads_is_given_up() {
        let (activity, start, times) = activity();
        activity.begin(start);
        activity.respond(start + 30 * SECOND);
        assert_eq!(activity.due(), Some(start + 30 * SECOND + times.stall));
        activity.progress(start + 35 * SECOND);
        assert_eq!(activity.due(), Some(start + 35 * SECOND + times.stall));
        // the socket's refusal counts from its beginning
        activity.handle_write(true, start + 36 * SECOND);
        activity.handle_write(true, start + 40 * SECOND);
        activity.progress(start + 41 * SECOND);
        assert_eq!(activity.due(), Some(start + 36 * SECOND + times.stall));
        activity.handle_write(false, start + 42 * SECOND);
        assert_eq!(activity.due(), Some(start + 41 * SECOND + times.stall));
    }

    #[test]
    fn a_connection_with_a_handler_is_never_closed_for_another() {
        let (activity, start, _) = activity();
        assert_eq!(activity.idle_since(), Some(start));
        activity.begin(start + SECOND);
        assert_eq!((activity.idle_since(), activity.is_waiting()), (None, false));
        activity.abandon(start + 2 * SECOND);
        assert_eq!(activity.idle_since(), Some(start + 2 * SECOND));
        assert!(activity.is_waiting());
    }
}
