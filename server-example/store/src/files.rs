//! The data directory: made for its owner alone, locked against a second server, and its files.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use shared::data_files::{DATABASE, LOCK};
use shared::text::visible;

use super::error::{ErrorKind, Result, StoreError};

/// A server that was killed holds its lock until the system has taken it apart.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_EVERY: Duration = Duration::from_millis(10);

/// Nobody else uses the directory for as long as this is held.
///
/// There are two locks. The one on the lock file works everywhere, and for servers of older versions.
/// The one on the directory itself holds when somebody removes the lock file: another server would
/// make a new one. A lock on the database would disturb the locks of SQLite on some systems.
#[derive(Debug)]
pub(crate) struct Lock {
    // closing them gives up the locks
    _file: File,
    _directory: Option<File>,
}

impl Lock {
    /// Takes the directory for this process, and waits a moment for one that is just going.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if another has it for two seconds more, or what the file system refused.
    pub(crate) fn take(directory: &Path) -> Result<Self> {
        let path = directory.join(LOCK);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let file = open_private(&path, &mut options)?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        match lock_until(&file, deadline) {
            Ok(true) => {}
            Ok(false) => return Err(in_use(directory)),
            Err(error) => return Err(StoreError::of_file("lock", &path, &error)),
        }
        // only Unix opens directories as files, and not all network file systems lock them
        let handle = File::open(directory).ok();
        if let Some(handle) = &handle
            && lock_until(handle, deadline).is_ok_and(|is_mine| !is_mine)
        {
            return Err(in_use(directory));
        }
        Ok(Lock { _file: file, _directory: handle })
    }
}

/// Locks a file or a directory. False if another process has the lock at the deadline.
fn lock_until(file: &File, deadline: Instant) -> io::Result<bool> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(LOCK_EVERY),
            Err(TryLockError::WouldBlock) => return Ok(false),
        }
    }
}

fn in_use(directory: &Path) -> StoreError {
    let directory = directory.to_string_lossy();
    StoreError::new(
        ErrorKind::Busy,
        format!(
            "the data directory {} is in use by another server: stop that one, or give this one a \
             directory of its own with --data DIR (--data none keeps nothing)",
            visible(&directory)
        ),
    )
}

/// Makes the directory, for its owner alone, if it is not there. One that is there is left as it is.
pub(crate) fn make_directory(directory: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).map_err(|error| {
        // a directory that is there is no error
        let error = match error.kind() {
            io::ErrorKind::AlreadyExists => io::ErrorKind::NotADirectory.into(),
            _ => error,
        };
        StoreError::of_file("make the data directory", directory, &error)
    })
}

/// Opens a file that its owner alone can read, and follows no link.
fn open_private(path: &Path, options: &mut OpenOptions) -> Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    options.open(path).map_err(|error| {
        // after the error, as a link may come at any time
        refuse_link(path).err().unwrap_or_else(|| StoreError::of_file("write", path, &error))
    })
}

/// Checks that no link is in the place of a file, which is then not read through it either.
pub(super) fn refuse_link(path: &Path) -> Result<()> {
    if !path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
        return Ok(());
    }
    let shown = path.to_string_lossy();
    Err(StoreError::new(
        ErrorKind::Io,
        format!(
            "{} is a symbolic link, which is not followed: put the file itself there, or make the \
             whole data directory a link",
            visible(&shown)
        ),
    ))
}

/// Makes a file that its owner alone can read, or makes it so. What SQLite puts beside it gets the
/// same mode.
pub(crate) fn make_private(path: &Path) -> Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = open_private(path, &mut options)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let restrict = || -> io::Result<()> {
            let mut permissions = file.metadata()?.permissions();
            if permissions.mode() & 0o077 != 0 {
                permissions.set_mode(0o600);
                file.set_permissions(permissions)?;
            }
            Ok(())
        };
        restrict().map_err(|error| StoreError::of_file("write", path, &error))?;
    }
    #[cfg(not(unix))]
    drop(file);
    Ok(())
}

/// Puts on the disk what its directory says of a file.
pub(crate) fn sync_directory(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| StoreError::of_file("write", directory, &error))?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Tells a file from another one that gets the same name; `None` if there is none.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    #[cfg(unix)]
    let identity = {
        use std::os::unix::fs::MetadataExt;
        (metadata.dev(), metadata.ino())
    };
    #[cfg(not(unix))]
    let identity = {
        let _ = metadata;
        (0, 0)
    };
    Some(identity)
}

/// The database of a data directory.
pub(crate) fn database(directory: &Path) -> PathBuf {
    directory.join(DATABASE)
}

/// A database with its log and what they share.
pub(crate) fn with_companions(database: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|ending| {
        let mut name = database.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    })
}
