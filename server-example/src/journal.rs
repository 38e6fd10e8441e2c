//! The lines of the server's log: one for each event, and counts. They never have the text of a message,
//! except the reason that a moderator gives for an act and the text of a `/notice`. A text from a peer
//! (a requested name, a reason) is quoted and escaped.
//!
//! Every peer can cause lines, so each kind of line is limited (see [`budgets`](crate::budgets)). A
//! kind that is below the log's level is neither written nor counted. Acts of moderators have a
//! larger budget of their own, for each moderator.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chatproto::hub::{Act, Event};
use shared::stderr;
use shared::text::Quoted;
use shared::usage::Table;
use tracing::field::display;
use tracing::{Level, debug, error, info, warn};
use tracing_subscriber::filter::LevelFilter;

use crate::budgets::{ACTS, Budgets, FORGETS, Kind};
use crate::shares::{Hidden, Shares};

/// Logs the events of a server, and counts them.
#[derive(Debug)]
pub(crate) struct Journal {
    /// The rank of the log's level: see [`rank`].
    level: AtomicU8,
    started: Instant,
    /// As the last event said that has it.
    online: AtomicUsize,
    served: AtomicU64,
    refused: AtomicU64,
    strangers: AtomicU64,
    bad_input: AtomicU64,
    budgets: Mutex<Budgets>,
    /// Lines that the budgets hid since the start, by kind; those of acts and of removed messages.
    hidden: [AtomicU64; Kind::ALL.len()],
    hidden_acts: AtomicU64,
    hidden_forgets: AtomicU64,
    /// Acts of moderators, by moderator.
    acts: Mutex<Shares>,
    /// Messages that were removed, by user.
    forgets: Mutex<Shares>,
}

impl Journal {
    /// A journal of a log that has this level.
    pub(crate) fn new(level: LevelFilter) -> Self {
        let now = Instant::now();
        Journal {
            level: AtomicU8::new(rank(level)),
            started: now,
            online: AtomicUsize::new(0),
            served: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            strangers: AtomicU64::new(0),
            bad_input: AtomicU64::new(0),
            budgets: Mutex::new(Budgets::new(now)),
            hidden: std::array::from_fn(|_| AtomicU64::new(0)),
            hidden_acts: AtomicU64::new(0),
            hidden_forgets: AtomicU64::new(0),
            acts: Mutex::new(Shares::new(ACTS, now)),
            forgets: Mutex::new(Shares::new(FORGETS, now)),
        }
    }

    /// The log has another level now.
    pub(crate) fn set_level(&self, level: LevelFilter) {
        self.level.store(rank(level), Ordering::Relaxed);
    }

    /// Takes an event of the server.
    pub(crate) fn observe(&self, event: &Event) {
        self.observe_at(event, Instant::now());
    }

    fn observe_at(&self, event: &Event, now: Instant) {
        self.count(event);
        let kind = Kind::of(event);
        if kind.is_some_and(|kind| !self.may_write(kind, now)) {
            return;
        }
        if let Event::Moderated { actor, act, .. } = event
            && !self.may_write_act(*act, actor.name(), now)
        {
            return;
        }
        match event {
            Event::Connected { address, .. } => debug!(%address, "connected"),
            Event::Registered { address, name, kind, online, .. } => {
                info!(name = %Quoted(name.as_str()), %address, %kind, online, "registered");
            }
            Event::Refused { address, name, reason, .. } => {
                warn!(name = %Quoted(name), %address, reason = %Quoted(reason), "refused");
            }
            Event::Stranger { address, .. } if kind == Some(Kind::UntrustedProxy) => {
                warn!(%address, "PROXY header from a source that is not in --proxy-from");
            }
            Event::ProxyHeaderMissing { address, reason, .. } => {
                warn!(
                    %address,
                    reason = %Quoted(reason),
                    "connection closed: a source in --proxy-from must send a PROXY header \
                     (in HAProxy, send-proxy or send-proxy-v2)"
                );
            }
            Event::Stranger { address, protocol, .. } => {
                debug!(%address, protocol, "no chat client");
            }
            Event::HandshakeFailed { address, reason, .. } => {
                warn!(%address, reason = %Quoted(reason), "TLS failed");
            }
            Event::BadInput { name, error, .. } => {
                warn!(name = %Quoted(name.as_str()), %error, "bad input");
            }
            Event::FramingViolated { address, name, violation, .. } => {
                warn!(name = %Quoted(name.as_str()), %address, error = %violation, "bad input");
            }
            Event::Departed { address, name, reason, online, .. } => {
                let (name, why) = (Quoted(name.as_str()), reason.to_string());
                let why = Quoted(&why);
                if kind == Some(Kind::CutOff) {
                    warn!(%name, %address, reason = %why, online, "departed");
                } else {
                    info!(%name, %address, reason = %why, online, "departed");
                }
            }
            Event::Renamed { address, old, name, .. } => {
                let (old, name) = (Quoted(old.as_str()), Quoted(name.as_str()));
                info!(%old, %name, %address, "renamed");
            }
            Event::LoggedIn { address, name, .. } => {
                info!(name = %Quoted(name.as_str()), %address, "logged in");
            }
            Event::Denied { address, name, endpoint, .. } => {
                let (name, endpoint) = (Quoted(name.as_str()), Quoted(endpoint));
                warn!(%name, %address, %endpoint, "denied");
            }
            Event::Moderated { actor, rank, act, target, duration, reason, .. } => {
                let (act, by) = (act.to_string(), Quoted(actor.name()));
                let address = actor.address().map(display);
                let (target, reason) = (Quoted(target), Quoted(reason));
                let duration = duration.map(|duration| display(Seconds(duration)));
                info!(act = %Quoted(&act), %by, %rank, address, %target, duration, %reason, "moderation");
            }
            Event::AcceptPaused { reason, .. } => {
                warn!(reason = %Quoted(reason), "no new connections for a moment");
            }
            Event::HandlerPanicked { endpoint, reason, .. } => {
                error!(endpoint = %Quoted(endpoint), reason = %Quoted(reason), "endpoint panicked");
            }
            other => debug!("{}", Quoted(&format!("{other:?}"))),
        }
    }

    /// Writes a line that is about no event, within the budget of its kind.
    pub(crate) fn write(&self, kind: Kind, line: impl FnOnce()) {
        if self.may_write(kind, Instant::now()) {
            line();
        }
    }

    /// The number of users that were served since the start.
    pub(crate) fn served(&self) -> u64 {
        read(&self.served)
    }

    /// The number of connections that were refused since the start.
    pub(crate) fn refused(&self) -> u64 {
        read(&self.refused)
    }

    /// How many lines of each kind were counted and not written since the start. Lines below the level do not
    /// count.
    pub(crate) fn hidden(&self) -> Vec<(&'static str, u64)> {
        let kinds = Kind::ALL.iter().zip(&self.hidden).map(|(kind, count)| (kind.label(), count));
        let acts = [("moderation", &self.hidden_acts), ("removed_message", &self.hidden_forgets)];
        kinds.chain(acts).map(|(label, count)| (label, read(count))).collect()
    }

    /// The tables of the log.
    pub(crate) fn tables(&self) -> [Table; 2] {
        let owners = [&self.acts, &self.forgets].map(|shares| lock(shares).owners_usage());
        [
            Table::new("log lines that wait for standard error", stderr::queue().usage()),
            Table::new("owners of the log's budgets", owners.into_iter().sum()),
        ]
    }

    /// Writes the last lines.
    pub(crate) fn close(&self) {
        let hidden = self.budgets().close();
        self.write_hidden(&hidden);
        let now = Instant::now();
        write_hidden_acts(&lock(&self.acts).close(now), &lock(&self.forgets).close(now));
        info!(
            uptime = %Uptime(self.started.elapsed()),
            served = read(&self.served),
            refused = read(&self.refused),
            strangers = read(&self.strangers),
            bad_input = read(&self.bad_input),
            "stopped"
        );
    }

    fn count(&self, event: &Event) {
        let counter = match event {
            Event::Registered { .. } => &self.served,
            Event::Refused { .. } => &self.refused,
            Event::Stranger { .. } => &self.strangers,
            Event::BadInput { .. } | Event::FramingViolated { .. } => &self.bad_input,
            _ => return self.note_online(event),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.note_online(event);
    }

    fn note_online(&self, event: &Event) {
        if let Event::Registered { online, .. } | Event::Departed { online, .. } = event {
            self.online.store(*online, Ordering::Relaxed);
        }
    }

    /// Whether a line of this kind may be written now.
    fn may_write(&self, kind: Kind, now: Instant) -> bool {
        if rank(kind.level().into()) > self.level.load(Ordering::Relaxed) {
            return false;
        }
        let (is_admitted, hidden) = self.budgets().admit(kind, now);
        self.write_hidden(&hidden);
        if !is_admitted {
            self.hidden[kind as usize].fetch_add(1, Ordering::Relaxed);
        }
        is_admitted
    }

    fn may_write_act(&self, act: Act, by: &str, now: Instant) -> bool {
        // every user may remove its own messages
        let (shares, hidden) = match act {
            Act::Forget => (&self.forgets, &self.hidden_forgets),
            _ => (&self.acts, &self.hidden_acts),
        };
        if rank(LevelFilter::INFO) > self.level.load(Ordering::Relaxed) {
            return false;
        }
        let is_admitted = lock(shares).admit(by, 0, now);
        if !is_admitted {
            hidden.fetch_add(1, Ordering::Relaxed);
        }
        is_admitted
    }

    /// Writes the counts of the second that is over.
    pub(crate) fn tick(&self) {
        let now = Instant::now();
        let hidden = self.budgets().tick(now);
        self.write_hidden(&hidden);
        write_hidden_acts(&lock(&self.acts).tick(now), &lock(&self.forgets).tick(now));
    }

    /// Writes the counts of the lines that the budgets of the last second hid.
    fn write_hidden(&self, hidden: &[(Kind, u64)]) {
        for &(kind, count) in hidden {
            let online = kind.changes_online().then(|| self.online.load(Ordering::Relaxed));
            let name = kind.name();
            match kind.level() {
                Level::ERROR => error!(online, "{name}: {count} more in the last second"),
                Level::WARN => warn!(online, "{name}: {count} more in the last second"),
                Level::INFO => info!(online, "{name}: {count} more in the last second"),
                _ => debug!(online, "{name}: {count} more in the last second"),
            }
        }
    }

    fn budgets(&self) -> MutexGuard<'_, Budgets> {
        lock(&self.budgets)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_hidden_acts(acts: &[Hidden], forgets: &[Hidden]) {
    for (what, hidden) in [("moderation", acts), ("messages removed", forgets)] {
        for Hidden { owner, count, .. } in hidden {
            let by = owner.as_deref().map(|by| display(Quoted(by)));
            info!(by, "{what}: {count} more in the last second");
        }
    }
}

/// A level as a number: the more is logged, the higher.
fn rank(level: LevelFilter) -> u8 {
    match level.into_level() {
        None => 0,
        Some(Level::ERROR) => 1,
        Some(Level::WARN) => 2,
        Some(Level::INFO) => 3,
        Some(Level::DEBUG) => 4,
        Some(Level::TRACE) => 5,
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// A duration that somebody chose, as the audit log has it too.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0.as_secs())
    }
}

/// A long time as people say it: the two largest units.
struct Uptime(Duration);

impl fmt::Display for Uptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds}s"),
            (0, 0, _) => write!(f, "{minutes}min {}s", seconds % 60),
            (0, _, _) => write!(f, "{hours}h {}min", minutes % 60),
            _ => write!(f, "{days}d {}h", hours % 24),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use std::sync::Arc;

    use tracing_subscriber::fmt;

    use super::*;
    use crate::audit::tests::{denied, moderated, moderated_by};
    use shared::stderr::StderrQueue;

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn stranger() -> Event {
        Event::Stranger { address: ADDRESS, protocol: "HTTP" }
    }

    fn accept_paused() -> Event {
        Event::AcceptPaused { reason: "too many open files".to_owned() }
    }

    fn panicked() -> Event {
        Event::HandlerPanicked { endpoint: "/roll".into(), reason: "out of dice".to_owned() }
    }

    /// The lines that are logged on this thread at a level.
    pub(crate) fn written(
        level: LevelFilter,
        work: impl FnOnce(&Arc<Journal>, Instant),
    ) -> Vec<String> {
        let queue = Arc::new(StderrQueue::new(usize::MAX));
        let subscriber = fmt()
            .with_writer(Arc::clone(&queue))
            .with_ansi(false)
            .with_target(false)
            .without_time()
            .with_max_level(level)
            .finish();
        let journal = Arc::new(Journal::new(level));
        tracing::subscriber::with_default(subscriber, || work(&journal, journal.started));
        let lines = queue.take().into_iter().map(|line| String::from_utf8(line).unwrap());
        lines.map(|line| line.trim().to_owned()).collect()
    }

    /// The counts of hidden lines that begin so, and the other lines.
    pub(crate) fn split_counts<'a>(
        lines: &'a [String],
        beginning: &str,
    ) -> (Vec<usize>, Vec<&'a str>) {
        let (mut counts, mut others) = (Vec::new(), Vec::new());
        for line in lines {
            match line.strip_prefix(beginning).and_then(|rest| rest.split_once(" more in the last"))
            {
                Some((count, _)) => counts.push(count.parse().unwrap()),
                None => others.push(line.as_str()),
            }
        }
        (counts, others)
    }

    /// The kinds that have hidden lines, with their number.
    fn hidden(journal: &Journal) -> Vec<(&'static str, u64)> {
        journal.hidden().into_iter().filter(|&(_, count)| count > 0).collect()
    }

    #[test]
    fn the_counts_of_hidden_lines_grow_from_second_to_second() {
        written(LevelFilter::DEBUG, |journal, now| {
            for second in 0..3 {
                let now = now + Duration::from_secs(second);
                (0..25).for_each(|_| journal.observe_at(&stranger(), now));
                (0..11).for_each(|_| journal.observe_at(&accept_paused(), now));
            }
            assert_eq!(hidden(journal), [("stranger", 45), ("accept_paused", 3)]);
            let labels: Vec<_> = journal.hidden().into_iter().map(|(label, _)| label).collect();
            let unique: std::collections::BTreeSet<_> = labels.iter().collect();
            assert_eq!(unique.len(), labels.len(), "{labels:?}");
        });
    }

    #[test]
    fn lines_below_the_level_are_not_even_counted() {
        let lines = written(LevelFilter::INFO, |journal, now| {
            (0..1_000).for_each(|_| journal.observe_at(&stranger(), now));
            journal.observe_at(&accept_paused(), now);
            (0..1_000).for_each(|_| journal.observe_at(&stranger(), now));
            assert_eq!(journal.budgets().close(), []);
            assert_eq!(hidden(journal), []);
            assert_eq!(read(&journal.strangers), 2_000);
        });
        assert_eq!(lines, ["WARN no new connections for a moment reason=\"too many open files\""]);
    }

    #[test]
    fn the_rest_is_said_with_its_kind() {
        let lines = written(LevelFilter::DEBUG, |journal, now| {
            (0..500).for_each(|_| journal.observe_at(&stranger(), now));
            journal.online.store(7, Ordering::Relaxed);
            journal.write_hidden(&[(Kind::Registered, 490)]);
            journal.observe_at(&panicked(), now + Duration::from_secs(1));
        });
        let (strangers, others) = lines.split_at(10);
        assert!(strangers.iter().all(|line| line.contains("no chat client")), "{strangers:?}");
        assert_eq!(
            others,
            [
                "INFO registered: 490 more in the last second online=7",
                "DEBUG no chat client: 490 more in the last second",
                "ERROR endpoint panicked endpoint=\"/roll\" reason=\"out of dice\"",
            ]
        );
    }

    #[test]
    fn an_act_says_who_did_what_to_whom_for_how_long_and_why() {
        let lines = written(LevelFilter::INFO, |journal, now| {
            let hour = Some(Duration::from_secs(3_600));
            let reason = "too \"loud\"\u{1b}[2J\nINFO forged";
            journal.observe_at(&moderated(Act::Ban, "bob", hour, reason), now);
            journal.observe_at(&moderated(Act::Unban, "bob", None, ""), now);
            journal.observe_at(&denied(), now);
        });
        assert_eq!(
            lines,
            [
                r#"INFO moderation act="ban" by="alice" rank=moderator address=127.0.0.1 target="bob" duration=3600s reason="too \"loud\"\u{1b}[2J\nINFO forged""#,
                r#"INFO moderation act="unban" by="alice" rank=moderator address=127.0.0.1 target="bob" reason="""#,
                r#"WARN denied name="eve" address=127.0.0.1 endpoint="/kick""#,
            ]
        );
    }

    #[test]
    fn no_flood_hides_what_moderators_do() {
        let lines = written(LevelFilter::INFO, |journal, now| {
            (0..100).for_each(|_| journal.observe_at(&denied(), now));
            let kick = moderated(Act::Kick, "bob", None, "");
            (0..100).for_each(|_| journal.observe_at(&kick, now));
            assert_eq!(journal.budgets().close(), [(Kind::Denied, 90)]);
            assert_eq!(hidden(journal), [("denied", 90)]);
        });
        let with = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
        assert_eq!((with("WARN denied "), with("INFO moderation ")), (10, 100));
    }

    #[test]
    fn a_flood_of_acts_is_counted_by_moderator() {
        let lines = written(LevelFilter::INFO, |journal, now| {
            let unmute = moderated_by("mallory", Act::Unmute, "bob", None, "");
            (0..5_000).for_each(|_| journal.observe_at(&unmute, now));
            journal.observe_at(&moderated(Act::Kick, "bob", None, ""), now);
            assert_eq!(hidden(journal), [("moderation", 4_900)]);
            let hidden = lock(&journal.acts).tick(now + Duration::from_secs(1));
            write_hidden_acts(&hidden, &[]);
        });
        assert_eq!(lines.len(), 102);
        assert!(lines[100].contains(r#"by="alice""#), "{}", lines[100]);
        assert_eq!(lines[101], r#"INFO moderation: 4900 more in the last second by="mallory""#);
    }

    #[test]
    fn uptimes() {
        for (seconds, shown) in [(5, "5s"), (65, "1min 5s"), (7_260, "2h 1min"), (180_000, "2d 2h")]
        {
            assert_eq!(Uptime(Duration::from_secs(seconds)).to_string(), shown);
        }
    }
}
