//! The audit log: who moderated whom, and who was denied, in a file that is only ever added to. One
//! entry is one JSON object a line, for programs as much as for people:
//!
//! ```json
//! {"time":"2026-07-04T12:00:00.123+02:00","act":"ban","by":"alice","address":"127.0.0.1","target":"bob","duration_s":3600,"reason":"too loud"}
//! ```
//!
//! An entry that cannot be written is handed back, for the ordinary log (see [`log`](crate::log)).

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use chatproto::{Event, is_ignorable, is_invisible};
use jiff::Zoned;
use serde::Serialize;

use crate::failure::{Failure, reason};
use crate::text::visible;

/// Adds what moderators do, and what was denied, to a file.
#[derive(Debug)]
pub(crate) struct AuditLog<W = File> {
    /// None if there is no file.
    end: Mutex<Option<End<W>>>,
}

/// An entry that the file did not take, and why. Nobody else has it now.
#[derive(Debug)]
pub(crate) struct Unwritten {
    /// Without its line feed.
    pub(crate) entry: String,
    pub(crate) error: io::Error,
}

impl AuditLog {
    /// Opens the file to add to it, if there is to be one; makes it, for nobody else to read, if it is
    /// not there.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let end =
            path.map(|path| open(path).map_err(|error| Failure::Usage(cannot_open(path, &error))));
        Ok(AuditLog { end: Mutex::new(end.transpose()?) })
    }

    /// From now on entries are added to the other's file.
    pub(crate) fn replace(&self, other: Self) {
        let next = other.end.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

impl<W: Write> AuditLog<W> {
    /// Adds an entry if this is an event that makes one.
    pub(crate) fn observe(&self, event: &Event) -> Result<(), Unwritten> {
        match Entry::of(event, Zoned::now) {
            Some(entry) => self.add(entry.line()),
            None => Ok(()),
        }
    }

    fn add(&self, entry: String) -> Result<(), Unwritten> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *end {
            Some(end) => end.add(&entry).map_err(|error| Unwritten { entry, error }),
            None => Ok(()),
        }
    }
}

fn open(path: &Path) -> io::Result<End<File>> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let is_fresh = file.metadata()?.len() == 0 || {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        last == *b"\n"
    };
    Ok(End { out: file, is_fresh })
}

fn cannot_open(path: &Path, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::NotFound => "make its directory first",
        io::ErrorKind::PermissionDenied => "let the server's user read and write it",
        _ => "name another file with --audit-log",
    };
    let path = path.to_string_lossy();
    format!("cannot open the audit log {}: {} ({advice})", visible(&path), reason(error))
}

/// Where entries are added.
#[derive(Debug)]
struct End<W> {
    out: W,
    /// Whether the next byte begins a line.
    is_fresh: bool,
}

impl<W: Write> End<W> {
    /// Adds a line. What stands of one that was cut short is ended first.
    fn add(&mut self, line: &str) -> io::Result<()> {
        let before = if self.is_fresh { "" } else { "\n" };
        self.write_all(format!("{before}{line}\n").as_bytes())?;
        self.flush()
    }
}

impl<W: Write> Write for End<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        if let Some(last) = bytes[..written].last() {
            self.is_fresh = *last == b'\n';
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What a line says, in this order.
#[derive(Serialize)]
struct Entry<'a> {
    time: String,
    act: Cow<'static, str>,
    by: &'a str,
    address: IpAddr,
    target: &'a str,
    duration_s: Option<u64>,
    reason: &'a str,
}

impl<'a> Entry<'a> {
    fn of(event: &'a Event, now: impl FnOnce() -> Zoned) -> Option<Self> {
        let time = || {
            let now = now();
            format!("{:.3}", now.timestamp().display_with_offset(now.offset()))
        };
        match event {
            Event::Moderated { by, address, act, target, duration, reason, .. } => Some(Entry {
                time: time(),
                act: act.to_string().into(),
                by: by.as_str(),
                address: *address,
                target,
                duration_s: duration.map(|duration| duration.as_secs()),
                reason,
            }),
            Event::Denied { address, name, endpoint, .. } => Some(Entry {
                time: time(),
                act: "denied".into(),
                by: name.as_str(),
                address: *address,
                target: endpoint,
                duration_s: None,
                reason: "",
            }),
            _ => None,
        }
    }

    /// The entry without a line feed. Characters that a terminal would not show are escaped, as JSON
    /// allows, so that any tool can show the file.
    fn line(&self) -> String {
        let json = serde_json::to_string(self).expect("strings and numbers are JSON");
        let mut line = String::with_capacity(json.len());
        for c in json.chars() {
            if is_invisible(c) || is_ignorable(c) {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // writing to a string does not fail
                    let _ = write!(line, "\\u{unit:04x}");
                }
            } else {
                line.push(c);
            }
        }
        line
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use chatproto::{Act, ConnId, Hub, Now, Output, Role, UserName};
    use serde_json::Value;

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// An id, which only a hub can make.
    fn conn() -> ConnId {
        Hub::builder().build().handle_connect(0, ADDRESS, Now::system(), &mut Output::new())
    }

    pub(crate) fn moderated(
        act: Act,
        target: &str,
        duration: Option<Duration>,
        reason: &str,
    ) -> Event {
        Event::Moderated {
            conn: conn(),
            by: UserName::new("alice").unwrap(),
            address: ADDRESS,
            act,
            target: target.to_owned(),
            duration,
            reason: reason.to_owned(),
        }
    }

    pub(crate) fn denied() -> Event {
        let (name, endpoint) = (UserName::new("eve").unwrap(), "/kick".into());
        Event::Denied { conn: conn(), address: ADDRESS, name, endpoint }
    }

    fn line(event: &Event) -> String {
        let now = || "2026-07-04T12:00:00.1234+02:00[+02:00]".parse().unwrap();
        Entry::of(event, now).expect("an entry").line()
    }
    /// Takes so many bytes and no more, until it gets room.
    struct Full {
        room: usize,
        text: Vec<u8>,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let count = bytes.len().min(self.room);
            self.room -= count;
            self.text.write(&bytes[..count])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn onto<W>(out: W) -> AuditLog<W> {
        AuditLog { end: Mutex::new(Some(End { out, is_fresh: true })) }
    }

    #[test]
    fn an_entry_says_when_what_who_whom_how_long_and_why() {
        let ban = moderated(Act::Ban, "bob", Some(Duration::from_secs(3_600)), "too loud");
        assert_eq!(
            line(&ban),
            r#"{"time":"2026-07-04T12:00:00.123+02:00","act":"ban","by":"alice","address":"127.0.0.1","target":"bob","duration_s":3600,"reason":"too loud"}"#
        );
        let role = moderated(Act::Role(Role::Moderator), "bob", None, "");
        assert!(line(&role).contains(r#""act":"role moderator","#), "{}", line(&role));
        assert_eq!(
            line(&denied()),
            r#"{"time":"2026-07-04T12:00:00.123+02:00","act":"denied","by":"eve","address":"127.0.0.1","target":"/kick","duration_s":null,"reason":""}"#
        );
    }

    #[test]
    fn what_is_no_moderation_is_no_entry() {
        let log = onto(Full { room: 0, text: vec![] });
        let event = Event::Stranger { address: ADDRESS, protocol: "HTTP" };
        assert!(log.observe(&event).is_ok());
    }

    #[test]
    fn a_reason_cannot_leave_its_line_nor_act_on_a_terminal() {
        let reason = "a\"b\\\u{202e}\n{}\u{1b}[2J\u{9b}\u{2028}\u{e0001}é 👋";
        let line = line(&moderated(Act::Kick, "bob", None, reason));
        assert!(!line.chars().any(is_invisible), "{line}");
        assert!(line.contains("é 👋"), "{line}");
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["reason"], reason);
    }

    #[test]
    fn an_entry_that_is_not_written_is_handed_back_and_the_next_one_begins_a_line() {
        let log = onto(Full { room: 10, text: vec![] });
        let kick = |target| moderated(Act::Kick, target, None, "");
        for target in ["bob", "carol"] {
            let unwritten = log.observe(&kick(target)).unwrap_err();
            assert_eq!(unwritten.error.kind(), io::ErrorKind::StorageFull);
            let entry: Value = serde_json::from_str(&unwritten.entry).unwrap();
            assert_eq!(entry["target"], target);
        }
        log.end.lock().unwrap().as_mut().unwrap().out.room = usize::MAX;
        log.observe(&kick("dave")).unwrap();
        log.observe(&kick("eve")).unwrap();

        let text = String::from_utf8(log.end.into_inner().unwrap().unwrap().out.text).unwrap();
        let [cut, dave, eve] = &text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        assert_eq!(*cut, "{\"time\":\"2");
        for (line, target) in [(dave, "dave"), (eve, "eve")] {
            assert_eq!(serde_json::from_str::<Value>(line).unwrap()["target"], target);
        }
        assert!(text.ends_with("}\n"), "{text}");
    }

    #[test]
    fn a_full_disk_before_the_first_byte_leaves_no_empty_line() {
        let log = onto(Full { room: 0, text: vec![] });
        log.observe(&denied()).unwrap_err();
        log.end.lock().unwrap().as_mut().unwrap().out.room = usize::MAX;
        log.observe(&denied()).unwrap();
        let text = log.end.into_inner().unwrap().unwrap().out.text;
        assert!(text.starts_with(b"{") && text.ends_with(b"}\n"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_device_that_is_full_is_said() {
        let log = AuditLog::open(Some(Path::new("/dev/full"))).unwrap();
        let unwritten = log.observe(&denied()).unwrap_err();
        assert_eq!(reason(&unwritten.error), "no space left on device");
    }
}
