//! Every bound of the protocol and of the server, with its default and the reason for that number.
//!
//! Nothing here enforces anything: each bound is read by the one module that its comment names.

use std::time::Duration;

/// The TCP port of the protocol (A1).
pub const PORT: u16 = 65432;

/// How deep objects and arrays may nest in one frame, the frame itself included (B3).
///
/// Fixed by the protocol, so that every implementation gives the same verdict. The schema needs
/// two levels; the rest is room for keys that are ignored.
pub const MAX_DEPTH: u32 = 32;

/// The token bucket of one connection. It counts messages in [`Limits::rate`], bytes in
/// [`Limits::rate_bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Messages, or bytes, a second that one connection may send in the long run.
    pub per_second: u32,
    /// Messages, or bytes, that it may send at once after an idle time.
    pub burst: u32,
}

/// The bounds of one server, or of one decoder. `Limits::default()` is meant to be right for most.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Longest frame in bytes, from `{` to `}`, in either direction. Default 64 KiB: hundreds of
    /// lines of text, and small beside what a connection may queue.
    pub frame: usize,
    /// Most bytes that a connection may send before its name is complete. Default 4 KiB: a name
    /// has 64, and an HTTP request line is still recognised as one.
    pub unregistered: usize,
    /// Longest user name in bytes of UTF-8, after trimming and normalisation. Default 64.
    pub name: usize,
    /// Time from accept to a complete name. Absolute: bytes do not extend it. As long may a
    /// [`Directory`](crate::directory::Directory) take to answer a claim for a user. Default 10 s.
    pub registration: Duration,
    /// Time for `/login` where an account is required, from the complete name. Default 2 minutes,
    /// which OpenSSH gives too.
    pub login: Duration,
    /// Silence after which the bytes so far are the whole name (B2). Default 10 ms: existing
    /// clients send no terminator and wait 100 ms.
    pub handshake_grace: Duration,
    /// Largest object, its line feed included, that a one-read peer can take (A4). Default 1024.
    pub one_read: usize,
    /// Least time between two objects to a one-read peer (B2). Default 5 ms.
    pub one_read_gap: Duration,
    /// Least time between two objects of a client to a server that is not known to find the frames
    /// of a stream (B2). Default 20 ms.
    pub client_pace: Duration,
    /// Largest object of an answer to a stream peer; longer answers are split (B11). Default 16 KiB.
    pub answer: usize,
    /// Most objects of one answer (B11). Default 16, so that an answer is at most a quarter of
    /// [`Limits::queue_bytes`].
    pub answer_parts: usize,
    /// Most names in a welcome (B11). Default 20.
    pub welcome_names: usize,
    /// Outbound queue of one connection in bytes, judged once its socket refuses bytes (and, for a
    /// one-read peer, while objects wait for their time). Default 1 MiB.
    pub queue_bytes: usize,
    /// Outbound queue of one connection in messages, judged likewise. Default 1024.
    pub queue_messages: usize,
    /// Outbound memory of all connections together; shared bytes count once. Default 256 MiB.
    pub queue_total: usize,
    /// Memory for input of all connections together that is kept: unfinished messages and names, and
    /// what waits because its sender is too fast or waits for an answer. Past it the connection that
    /// holds most of it is closed. Default 256 MiB: 4,096 of the longest messages.
    pub input_total: usize,
    /// How long the queue of a connection that is being closed may drain, and how long an endpoint
    /// or a directory may take for a user whose connection has ended. Default 10 s.
    pub drain: Duration,
    /// How long bytes of the peer are read and thrown away after the last words, so that no reset
    /// destroys them (B16). Default 2 s.
    pub linger: Duration,
    /// Messages that one connection may send. Above the rate, the server pauses reading; nothing is
    /// lost. A connection that has used an eighth of its burst is read after the others. `None` is
    /// unlimited. Default 100 a second, 200 at once.
    pub rate: Option<Rate>,
    /// Bytes of messages that one connection may send. Above the rate, the server pauses reading;
    /// nothing is lost. One message of up to [`Limits::frame`] always passes, and is charged
    /// afterwards. `None` is unlimited. Default 192 KiB a second, 512 KiB at once: three of the
    /// longest messages a second, and far more than a person types.
    pub rate_bytes: Option<Rate>,
    /// Schema errors of one connection within a minute, the last of which ends it (B8); a command
    /// without the role for it counts as one. Default 20: enough for somebody who tries things out
    /// by hand.
    pub errors: usize,
    /// Most rooms that one user may be in. Default 100. Once half of [`Limits::rooms_total`] is in
    /// use it falls in proportion, and from three quarters on it is 1.
    pub rooms: usize,
    /// Most bytes that all rooms take: names, memberships, and changes of presence that are not told
    /// yet. At the bound nobody can join. Default 64 MiB: 90,000 rooms of one member each. The last
    /// quarter has a first room for each of 20,000 users.
    pub rooms_total: usize,
    /// Most bytes that the bans and mutes of moderators take. One moderator may use an eighth of it,
    /// which falls to 1/256 while it fills from half to three quarters.
    /// Bans and mutes of the operator count, but are never refused. Default 8 MiB: 10,000 bans with
    /// reasons.
    pub sanctions_total: usize,
    /// Most bytes that effects under way take: claims and releases of names, calls of the application's
    /// endpoints, orders to accounts and history. One address that is not loopback may use an
    /// eighth of it, which falls to 4 KiB while it fills from half to three quarters. Beyond it a
    /// name or command is refused at once. A page of history that is not being read yet counts as long as
    /// its connection waits for it. Default 32 MiB: an effect for each of 20,000 connections.
    pub effects_total: usize,
    /// Most effects under way for connections of one address that have ended. Beyond it the
    /// address's names and commands are refused until some are finished. Loopback is exempt, and an
    /// IPv6 network of 64 bits counts as one address, as for [`Limits::per_address`]. Default 64,
    /// the same number.
    pub departed_effects: usize,
    /// Most connections at a time. Those that were refused do not count, nor those that have been
    /// sent everything and only wait for their peer's end; past the bound the oldest of these
    /// gives way to each new connection. Default: no bound of its own; the operating system's
    /// applies.
    pub connections: usize,
    /// Most connections of one address that is not loopback, counted likewise. Of IPv6 a network of
    /// 64 bits counts as one address, but for link-local ones, each of which counts by itself.
    /// Default 64: a class room behind one router.
    pub per_address: usize,
}

impl Limits {
    /// The largest [`Limits::name`].
    pub(crate) const LONGEST_NAME: usize = 1024;

    /// Longer durations mean never.
    pub(crate) const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

    /// The limits with durations that can be added to a point in time.
    ///
    /// # Errors
    /// Names the limit that is too small or too large.
    pub(crate) fn checked(mut self) -> Result<Self, &'static str> {
        let durations = [
            &mut self.registration,
            &mut self.login,
            &mut self.handshake_grace,
            &mut self.one_read_gap,
            &mut self.client_pace,
            &mut self.drain,
            &mut self.linger,
        ];
        for duration in durations {
            *duration = (*duration).min(Self::NEVER);
        }
        let checks = [
            (self.frame >= 128, "`frame` must be at least 128 bytes"),
            (self.frame <= 1 << 30, "`frame` must be at most 1 GiB"),
            (self.one_read >= 128, "`one_read` must be at least 128 bytes"),
            (self.answer >= 128, "`answer` must be at least 128 bytes"),
            (self.answer_parts > 0, "`answer_parts` must be at least 1"),
            ((1..=Self::LONGEST_NAME).contains(&self.name), "`name` must be from 1 to 1024 bytes"),
            (self.unregistered > self.name, "`unregistered` must be more than `name`"),
            (!self.registration.is_zero(), "`registration` must be longer than zero"),
            (!self.login.is_zero(), "`login` must be longer than zero"),
            (self.errors > 0, "`errors` must be at least 1"),
            (self.queue_messages > 0, "`queue_messages` must be at least 1"),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, reason)) => Err(reason),
            None => Ok(self),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            frame: 64 * 1024,
            unregistered: 4 * 1024,
            name: 64,
            registration: Duration::from_secs(10),
            login: Duration::from_secs(120),
            handshake_grace: Duration::from_millis(10),
            one_read: 1024,
            one_read_gap: Duration::from_millis(5),
            client_pace: Duration::from_millis(20),
            answer: 16 * 1024,
            answer_parts: 16,
            welcome_names: 20,
            queue_bytes: 1024 * 1024,
            queue_messages: 1024,
            queue_total: 256 * 1024 * 1024,
            input_total: 256 * 1024 * 1024,
            drain: Duration::from_secs(10),
            linger: Duration::from_secs(2),
            rate: Some(Rate { per_second: 100, burst: 200 }),
            rate_bytes: Some(Rate { per_second: 192 * 1024, burst: 512 * 1024 }),
            errors: 20,
            rooms: 100,
            rooms_total: 64 * 1024 * 1024,
            sanctions_total: 8 * 1024 * 1024,
            effects_total: 32 * 1024 * 1024,
            departed_effects: 64,
            connections: usize::MAX,
            per_address: 64,
        }
    }
}
