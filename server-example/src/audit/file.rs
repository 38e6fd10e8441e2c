//! The file of the audit log: what may be one, and how lines are added to it without waiting.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use shared::data_files::is_file_of_data;
use shared::failure::{Failure, reason};
use shared::lines::{Missing, Output};
use shared::modes::is_open_to_others;
use shared::text::visible;
use tracing::warn;

use super::entry::Count;

/// A line that waits for the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: Box<str>,
    /// Whether it is an act, and so must not be dropped.
    pub(super) is_act: bool,
}

impl Line {
    /// The entry without its line feed.
    pub(super) fn entry(&self) -> &str {
        self.text.strip_suffix('\n').unwrap_or(&self.text)
    }
}

impl AsRef<[u8]> for Line {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// Opens the file to add to it; makes it, for nobody else to read, if it is not there. Neither this
/// nor a write waits for the reader of a FIFO.
pub(super) fn open(path: &Path) -> Result<Target, Failure> {
    refuse_data(path)?;
    match open_file(path) {
        Ok(target) => Ok(target),
        Err(error) => Err(Failure::Usage(cannot_open(path, &error))),
    }
}

/// Checks that the file can be opened, and makes nothing.
pub(super) fn check(path: &Path) -> Result<(), Failure> {
    refuse_data(path)?;
    let check = || match options().append(true).open(path) {
        Ok(file) => {
            let meta = file.metadata()?;
            if meta.is_file() { Ok(()) } else { refuse_unfit(&meta) }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            directory.metadata().map(|_| ())
        }
        Err(error) => Err(error),
    };
    check().map_err(|error| Failure::Usage(cannot_open(path, &error)))
}

/// A line that is added to a database destroys it.
fn refuse_data(path: &Path) -> Result<(), Failure> {
    if !is_file_of_data(path) {
        return Ok(());
    }
    let shown = path.to_string_lossy();
    Err(Failure::Usage(format!(
        "cannot open the audit log {}: it belongs to a server's data directory (name another file \
         with --audit-log)",
        visible(&shown)
    )))
}

fn open_file(path: &Path) -> io::Result<Target> {
    let mut options = options();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        refuse_unfit(&meta)?;
        return Ok(Target { out: Some(file), is_fresh: true });
    }
    if is_open_to_others(&meta) {
        let shown = path.to_string_lossy();
        warn!("the audit log {} is open to others than its owner: chmod 600 it", visible(&shown));
    }
    let is_fresh = meta.len() == 0 || last_byte(path, &meta)? == b'\n';
    Ok(Target { out: Some(file), is_fresh })
}

/// The last byte of a file that is open for appending. Its path is opened a second time, to read; a
/// file that has replaced it meanwhile is refused.
fn last_byte(path: &Path, appended: &std::fs::Metadata) -> io::Result<u8> {
    let mut file = options().read(true).open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let found = file.metadata()?;
        if (found.dev(), found.ino()) != (appended.dev(), appended.ino()) {
            return Err(io::Error::other("another file has just replaced it"));
        }
    }
    #[cfg(not(unix))]
    let _ = appended;
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last[0])
}

/// Options under which neither opening nor writing waits.
fn options() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has such flags"))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NONBLOCK.bits().cast_signed(),
    );
    options
}

/// Lines cannot be added to a disk.
fn refuse_unfit(meta: &std::fs::Metadata) -> io::Result<()> {
    #[cfg(unix)]
    if std::os::unix::fs::FileTypeExt::is_block_device(&meta.file_type()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is a block device"));
    }
    let _ = meta;
    Ok(())
}

fn cannot_open(path: &Path, error: &io::Error) -> String {
    #[cfg(unix)]
    let is_fifo = std::fs::metadata(path)
        .is_ok_and(|meta| std::os::unix::fs::FileTypeExt::is_fifo(&meta.file_type()));
    #[cfg(not(unix))]
    let is_fifo = false;
    let shown = path.to_string_lossy();
    let shown = visible(&shown);
    if is_fifo && !matches!(error.kind(), io::ErrorKind::PermissionDenied) {
        return format!(
            "cannot open the audit log {shown}: it is a FIFO that no program reads (start its \
             reader first, or name a file with --audit-log)"
        );
    }
    let advice = match error.kind() {
        io::ErrorKind::NotFound => "make its directory first",
        io::ErrorKind::PermissionDenied => "let the server's user read and write it",
        _ => "name another file with --audit-log",
    };
    format!("cannot open the audit log {shown}: {} ({advice})", reason(error))
}

/// Where lines are added.
#[derive(Debug)]
pub(super) struct Target<W = File> {
    /// None if there is no audit log: then lines are dropped.
    pub(super) out: Option<W>,
    /// Whether the next byte begins a line.
    pub(super) is_fresh: bool,
}

impl<W> Target<W> {
    pub(super) const NONE: Self = Target { out: None, is_fresh: true };
}

impl<W: Write + Send> Output for Target<W> {
    type Line = Line;

    /// Ends a line that was cut short.
    fn begin_line(&mut self) -> io::Result<()> {
        if !self.is_fresh {
            self.write(b"\n")?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(out) = &mut self.out else { return Ok(bytes.len()) };
        let written = out.write(bytes)?;
        if let Some(last) = bytes[..written].last() {
            self.is_fresh = *last == b'\n';
        }
        Ok(written)
    }

    fn report(missing: &Missing) -> Vec<u8> {
        Count::missing(missing).line().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::kick;
    use super::*;
    use shared::lines::LineQueue;

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

    /// Writes the acts against these targets, the first ones to a disk with this much room and the
    /// last one to a disk with room. Returns the targets of the lost ones, and the lines of the file.
    fn written(room: usize, targets: [&str; 3]) -> (Vec<String>, Vec<String>) {
        let queue = LineQueue::<Target<Full>>::new(1 << 20);
        let mut target = Target { out: Some(Full { room, text: vec![] }), is_fresh: true };
        let mut lost = Vec::new();
        for (number, act) in targets.iter().enumerate() {
            if number == 2 {
                target.out.as_mut().unwrap().room = usize::MAX;
            }
            queue.push(kick(act));
            queue.write_next(&mut target, |line, error| {
                assert_eq!(error.kind(), io::ErrorKind::StorageFull);
                let entry: serde_json::Value = serde_json::from_str(line.entry()).unwrap();
                lost.push(entry["target"].as_str().unwrap().to_owned());
            });
        }
        let text = String::from_utf8(target.out.unwrap().text).unwrap();
        assert!(text.ends_with("}\n"), "{text}");
        (lost, text.lines().map(str::to_owned).collect())
    }

    #[test]
    fn a_lost_entry_is_handed_back_and_the_next_one_begins_a_line() {
        let (lost, lines) = written(10, ["bob", "carol", "dave"]);
        assert_eq!(lost, ["bob", "carol"]);
        let [cut, missing, dave] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!(cut, "{\"time\":\"2");
        let missing: serde_json::Value = serde_json::from_str(missing).unwrap();
        assert_eq!((&missing["act"], &missing["count"]), (&"missing".into(), &2.into()));
        assert!(dave.contains(r#""target":"dave""#), "{dave}");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_replaced_the_open_one_is_not_read() {
        let [first, second] = [(); 2].map(|()| {
            let name = format!("chatproto-audit-{}-{:016x}", std::process::id(), fastrand::u64(..));
            std::env::temp_dir().join(name)
        });
        for path in [&first, &second] {
            std::fs::write(path, "{}\n").unwrap();
        }
        let appended = std::fs::metadata(&first).unwrap();
        assert_eq!(last_byte(&first, &appended).unwrap(), b'\n');
        std::fs::rename(&second, &first).unwrap();
        let refused = last_byte(&first, &appended).unwrap_err();
        std::fs::remove_file(&first).unwrap();
        assert_eq!(refused.to_string(), "another file has just replaced it");
    }

    #[test]
    fn a_full_disk_before_the_first_byte_leaves_no_empty_line() {
        let (_, lines) = written(0, ["bob", "carol", "dave"]);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with('{'), "{lines:?}");
    }
}
