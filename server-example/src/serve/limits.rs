//! The limits of a server: what its options ask for, and what the descriptors of the process allow.

#[cfg(target_os = "linux")]
use std::io;

use chatproto::{Limits, Rate};
use shared::failure::{Failure, reason};
use shared::units::Size;
use tracing::warn;

use super::options::{MemoryOptions, ServeOptions};

/// Descriptors that are not for connections: the listeners, event loops, standard streams, and what
/// libraries open for a moment.
pub(super) const RESERVED_DESCRIPTORS: usize = 64;

/// Frames beyond this would make batches that no buffer is meant for.
const LARGEST_FRAME: usize = 64 << 20;
/// Less has no room for the server's own welcome.
const SMALLEST_FRAME: usize = 256;

impl ServeOptions {
    /// The bounds that were asked for; `connections` is what the machine allows.
    pub(crate) fn limits(&self, connections: usize) -> Result<Limits, Failure> {
        let frame = self.messages.max_frame.0;
        if !(SMALLEST_FRAME..=LARGEST_FRAME).contains(&frame) {
            return Err(Failure::Usage("--max-frame must be from 256 bytes to 64MiB".to_owned()));
        }
        if frame > self.readers.queue_bytes.0 {
            return Err(Failure::Usage(format!(
                "--queue-bytes {} has no room for a message of --max-frame {}: ask for more of the \
                 one or less of the other",
                self.readers.queue_bytes, self.messages.max_frame
            )));
        }
        self.memory.check(frame)?;
        for (option, deadline) in [
            ("--registration-deadline", self.connections.registration_deadline),
            ("--login-deadline", self.connections.login_deadline),
        ] {
            if deadline.0.is_zero() {
                return Err(Failure::Usage(format!(
                    "{option} must be longer than zero, such as 10s: nobody could be served"
                )));
            }
        }
        let mut limits = Limits::default();
        limits.frame = frame;
        limits.rate = self
            .messages
            .rate
            .0
            .map(|per_second| Rate { per_second, burst: per_second.saturating_mul(2) });
        limits.rate_bytes = self.messages.rate_bytes.0.map(bytes_a_second).transpose()?;
        limits.errors = self.messages.max_errors;
        limits.connections = connections;
        limits.per_address = self.connections.max_per_address;
        limits.name = self.connections.max_name;
        limits.rooms = self.connections.max_rooms;
        limits.registration = self.connections.registration_deadline.0;
        limits.login = self.connections.login_deadline.0;
        limits.handshake_grace = self.connections.handshake_grace.0;
        limits.linger = self.connections.linger.0;
        limits.queue_bytes = self.readers.queue_bytes.0;
        limits.queue_messages = self.readers.queue_messages;
        limits.queue_total = self.memory.queue_total.0;
        limits.input_total = self.memory.input_total.0;
        limits.rooms_total = self.memory.rooms_total.0;
        limits.sanctions_total = self.memory.sanctions_total.0;
        limits.effects_total = self.memory.effects_total.0;
        limits.drain = self.readers.drain.0;
        limits.one_read_gap = self.readers.one_read_gap.0;
        Ok(limits)
    }
}

/// With less, hardly anybody could be served.
const SMALLEST_TABLE: usize = 64 * 1024;

impl MemoryOptions {
    /// Refuses bounds under which nothing works.
    fn check(&self, frame: usize) -> Result<(), Failure> {
        for (option, Size(size)) in [
            ("--queue-total", self.queue_total),
            ("--input-total", self.input_total),
            ("--rooms-total", self.rooms_total),
            ("--sanctions-total", self.sanctions_total),
            ("--effects-total", self.effects_total),
        ] {
            if size < SMALLEST_TABLE {
                return Err(Failure::Usage(format!("{option} must be at least 64KiB")));
            }
        }
        for (option, size) in
            [("--queue-total", self.queue_total), ("--input-total", self.input_total)]
        {
            if size.0 < frame {
                return Err(Failure::Usage(format!(
                    "{option} {size} has no room for a message of --max-frame {}: ask for more of \
                     the one or less of the other",
                    Size(frame)
                )));
            }
        }
        Ok(())
    }
}

/// The rate limit for `--rate-bytes`.
fn bytes_a_second(bytes: u64) -> Result<Rate, Failure> {
    let burst = |per_second: u32| (u64::from(per_second) * 8 / 3).try_into().unwrap_or(u32::MAX);
    u32::try_from(bytes)
        .map(|per_second| Rate { per_second, burst: burst(per_second) })
        .map_err(|_| Failure::Usage("--rate-bytes must be less than 4GiB, or off".to_owned()))
}

/// Raises the soft limit to the hard one, and returns what it is then.
pub(super) fn raise_descriptor_limit() -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).or_else(|error| {
        warn!(reason = %reason(&error), "cannot raise the descriptor limit");
        rlimit::Resource::NOFILE.get_soft()
    });
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Has Linux make its table of descriptors as large as it may have to be. Once there are several
/// threads, each doubling waits for all processors (a grace period of RCU), and the event loop that
/// accepts would too: 8 to 16 ms in which nobody is served.
#[cfg(target_os = "linux")]
pub(super) fn make_room_for_descriptors(limit: usize) {
    /// So many take 512 KiB of the system's memory; beyond, a doubling is rare.
    const MOST: usize = 65_536;
    let last = limit.min(MOST).saturating_sub(1);
    if let Ok(last) = i32::try_from(last) {
        // a copy with that number is closed at once; without one, it is as it always was
        let _ = rustix::io::fcntl_dupfd_cloexec(io::stdin(), last);
    }
}

/// The file descriptors of the process, and how many of them are for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptors {
    /// All that the process may have.
    pub(super) limit: usize,
    /// For connections of HTTP. One that becomes a WebSocket is a connection of the chat.
    pub(super) http: usize,
}

impl Descriptors {
    /// More connections of HTTP are not needed: each is there for a moment.
    const MOST_HTTP: usize = 1024;

    pub(super) fn new(limit: usize, has_http: bool) -> Self {
        let share = (limit.saturating_sub(RESERVED_DESCRIPTORS) / 8).min(Descriptors::MOST_HTTP);
        Descriptors { limit, http: if has_http { share } else { 0 } }
    }

    /// The most connections of the chat.
    pub(super) fn most(self) -> usize {
        self.limit.saturating_sub(RESERVED_DESCRIPTORS + self.http)
    }

    /// All that the process opens with this many connections.
    #[cfg(target_os = "linux")]
    pub(super) fn with(self, connections: usize) -> usize {
        self.limit.min(connections.saturating_add(RESERVED_DESCRIPTORS + self.http))
    }

    /// The bound on connections, which is the one that was asked for if there is room for it.
    pub(crate) fn room(self, asked: Option<usize>) -> Result<usize, Failure> {
        let (limit, room) = (self.limit, self.most());
        match asked {
            _ if room == 0 => Err(Failure::Usage(format!(
                "the limit of {limit} file descriptors leaves no room for connections: raise it with \
                 ulimit -n"
            ))),
            Some(asked) if asked > room => Err(Failure::Usage(format!(
                "--max-connections {asked} needs more file descriptors than the limit of {limit} \
                 allows ({room} connections): raise it with ulimit -n or ask for fewer"
            ))),
            asked => Ok(asked.unwrap_or(room)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_connections_than_descriptors_are_refused() {
        let descriptors = Descriptors::new(20_000, false);
        assert_eq!(descriptors.room(None), Ok(19_936));
        assert_eq!(descriptors.room(Some(19_936)), Ok(19_936));
        assert_eq!(
            descriptors.room(Some(100_000)).unwrap_err().to_string(),
            "--max-connections 100000 needs more file descriptors than the limit of 20000 allows \
             (19936 connections): raise it with ulimit -n or ask for fewer"
        );
        assert!(Descriptors::new(64, false).room(None).is_err());
    }

    #[test]
    fn http_has_a_share_of_the_descriptors() {
        let descriptors = Descriptors::new(20_000, true);
        assert_eq!((descriptors.http, descriptors.room(None)), (1024, Ok(18_912)));
        let descriptors = Descriptors::new(1024, true);
        assert_eq!((descriptors.http, descriptors.room(None)), (120, Ok(840)));
    }
}
