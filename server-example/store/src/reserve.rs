//! Room on the disk that is kept for its being full: a file of zeros in the data directory. When nothing
//! can be written any more, a start of the server and `history purge` give some of it back to the disk.
//! Code that decides when is in the callers.
//!
//! SQLite needs room to open a database (an index of 32 KiB for its log), and more to remove messages
//! (pages of the log, and what the log has still to add to the file). So the connections empty the log
//! after half as many bytes as are reserved.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use shared::data_files::RESERVE;

use super::error::{ErrorKind, Result};

/// The most bytes that are reserved.
const MOST: u64 = 8 << 20;
/// … and at most this part of what is free.
const PART: u64 = 16;
/// Less is of no use.
const LEAST: u64 = 256 << 10;
/// What a start of the server takes.
const FOR_START: u64 = 128 << 10;
/// Bytes of a page of the file.
const PAGE: u64 = 4096;

/// The reserve of a data directory.
#[derive(Clone, Debug)]
pub struct Reserve(PathBuf);

impl Reserve {
    pub(super) fn of(directory: &Path) -> Self {
        Reserve(directory.join(RESERVE))
    }

    /// Makes the reserve as large as it should be. Whether the disk has room for that. An error of the
    /// file system means that it has not.
    pub fn restore(&self) -> bool {
        let there = self.len();
        let Some(free) = self.free() else { return true };
        let wanted = ((free + there) / PART).min(MOST);
        if wanted < LEAST {
            return false;
        }
        if there >= wanted / 2 {
            return true;
        }
        let restored = self.extend(there, wanted);
        if restored.is_err() {
            self.shrink(there);
        }
        restored.is_ok()
    }

    /// Runs something that may need room, and if there is none, again with some of the reserve. Whether
    /// it was needed.
    pub(super) fn for_start<T>(&self, mut run: impl FnMut() -> Result<T>) -> Result<(T, bool)> {
        match run() {
            Ok(done) => Ok((done, false)),
            Err(error) if error.kind == ErrorKind::Full && self.len() > 0 => {
                self.shrink(self.len().saturating_sub(FOR_START));
                run().map(|done| (done, true))
            }
            Err(error) => Err(error),
        }
    }

    /// Gives all of it back to the disk. Whether there was some.
    pub(super) fn release(&self) -> bool {
        let is_there = self.len() > 0;
        self.shrink(0);
        is_there
    }

    fn len(&self) -> u64 {
        self.0.symlink_metadata().map_or(0, |file| if file.is_file() { file.len() } else { 0 })
    }

    /// Bytes that this user may still write to the disk; `None` where nobody knows.
    fn free(&self) -> Option<u64> {
        #[cfg(unix)]
        {
            let disk = rustix::fs::statvfs(self.0.parent()?).ok()?;
            Some(disk.f_bavail.saturating_mul(disk.f_frsize))
        }
        #[cfg(not(unix))]
        None
    }

    /// Has the file system reserve the room. Where it cannot, zeros are written: a hole would reserve
    /// nothing.
    fn extend(&self, from: u64, to: u64) -> io::Result<()> {
        let mut file = self.open(true)?;
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{FallocateFlags, fallocate};
            use rustix::io::Errno;
            match fallocate(&file, FallocateFlags::empty(), from, to - from) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
                outcome => return Ok(outcome?),
            }
        }
        file.seek(SeekFrom::Start(from))?;
        let zeros = [0; 64 << 10];
        let mut left = to - from;
        while left > 0 {
            let length = left.min(zeros.len() as u64);
            file.write_all(&zeros[..length as usize])?;
            left -= length;
        }
        Ok(())
    }

    /// Shortens the file. A reserve that cannot be shortened is one that cannot be used.
    fn shrink(&self, to: u64) {
        let _ = self.open(false).and_then(|file| file.set_len(to));
    }

    fn open(&self, makes: bool) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(makes).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        }
        options.open(&self.0)
    }
}

/// Has a connection empty the log before it outgrows the reserve.
pub(super) fn bound_log(db: &Connection, path: &Path) -> rusqlite::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let reserved = Reserve::of(directory).len();
    if reserved == 0 {
        return Ok(());
    }
    let pages = (reserved / 2 / PAGE).clamp(16, 1_000);
    db.pragma_update_and_check(None, "wal_autocheckpoint", pages as i64, |_| Ok(()))
}
