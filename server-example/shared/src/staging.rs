//! A place for a file that is being written, until it is whole and gets its name. What may have the name
//! is decided in [`target`](crate::target).
//!
//! Others may write to the directory of a backup. They can put a link under any name there, and
//! exchange directories. So each path is looked up once, and the rest goes by handles:
//!
//! * The file is in a directory of mode 0700, which this user has made. It is created exclusively.
//! * SQLite opens files by path. The file has a random name that others cannot list. A directory or a
//!   link that others put in the way does not have that name, and SQLite may not create files.
//! * The file gets its name by a `renameat` or `linkat` between two handles. Neither follows a link.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// What the name of each file in the private directory begins with. Files of an earlier, killed
/// command are found by it.
const PREFIX: &str = "copy-";
/// Names that are tried for the private directory.
const ATTEMPTS: usize = 4;

/// An empty file in a private directory beside its later name. Both are removed when this is dropped.
#[derive(Debug)]
pub struct Staging {
    path: PathBuf,
    place: Place,
}

/// Whether a file that has the name already is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is replaced.
    Replace,
    /// It stays, and the new file gets no name.
    Refuse,
}

impl Existing {
    /// As `--force` says.
    pub fn replaced_if(force: bool) -> Self {
        if force { Existing::Replace } else { Existing::Refuse }
    }
}

/// Who can read a file that gets its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Its owner alone.
    Private,
    /// Those who can read the files that this user makes.
    Shared,
}

impl Staging {
    /// Makes a private file and its directory, beside `target`.
    pub fn beside(target: &Path) -> io::Result<Self> {
        Staging::with_access(target, Access::Private)
    }

    /// The same for a file with that access.
    pub fn with_access(target: &Path, access: Access) -> io::Result<Self> {
        let parent = Parent::open(target)?;
        let file = format!("{PREFIX}{}.db", random()?);
        for attempt in 0..ATTEMPTS {
            let mut directory = beside_name(target, ".partial");
            if attempt > 0 {
                // another command uses the first name, or others have put something there
                directory = beside_name(&directory, &format!("-{}", random()?));
            }
            if let Some(place) = parent.claim(&directory, &file, access)? {
                let path = directory.join(&file);
                return Ok(Staging { path, place });
            }
        }
        // not `AlreadyExists`, which means that the name of the file is taken
        Err(io::Error::other("other programs use all names beside it"))
    }

    /// The file, for SQLite.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file, to write to it.
    pub fn open(&self) -> io::Result<File> {
        self.place.open()
    }

    /// Gives the file its name, and puts both on the disk. The size of the file.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the name is taken, or what the file system refuses.
    pub fn place(self, existing: Existing) -> io::Result<u64> {
        self.place.put(existing)
    }
}

/// The path of a file beside another one: its name with this ending.
pub fn beside_name(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// 32 hexadecimal digits that others cannot guess.
fn random() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(unix)]
use handles::{Parent, Place};
#[cfg(not(unix))]
use paths::{Parent, Place};

#[cfg(unix)]
mod handles {
    use std::ffi::OsString;
    use std::fs::File;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::path::Path;

    use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags};
    use rustix::io::Errno;

    use crate::staging::{Access, Existing, PREFIX};

    const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

    /// The directory of the later name.
    pub(super) struct Parent {
        handle: OwnedFd,
        name: OsString,
    }

    /// The file, between two directories.
    #[derive(Debug)]
    pub(super) struct Place {
        parent: OwnedFd,
        /// The later name.
        name: OsString,
        directory: OsString,
        inside: OwnedFd,
        file: String,
    }

    impl Parent {
        pub(super) fn open(target: &Path) -> io::Result<Self> {
            let path = match target.parent() {
                Some(path) if !path.as_os_str().is_empty() => path,
                _ => Path::new("."),
            };
            let handle = rustix::fs::open(path, DIRECTORY, Mode::empty())?;
            Ok(Parent { handle, name: last_name(target)? })
        }

        /// Makes the directory, or takes one that a killed command of this user has left, and makes
        /// the file in it. `None` if something else has the name.
        pub(super) fn claim(
            &self,
            directory: &Path,
            file: &str,
            access: Access,
        ) -> io::Result<Option<Place>> {
            let directory = last_name(directory)?;
            match rustix::fs::mkdirat(&self.handle, &directory, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            let flags = DIRECTORY | OFlags::NOFOLLOW;
            let Ok(inside) = rustix::fs::openat(&self.handle, &directory, flags, Mode::empty())
            else {
                return Ok(None);
            };
            let found = rustix::fs::fstat(&inside)?;
            let is_private = found.st_uid == rustix::process::geteuid().as_raw()
                && Mode::from_raw_mode(found.st_mode) == Mode::RWXU;
            // a file system without such locks is no obstacle
            let lock = rustix::fs::flock(&inside, FlockOperation::NonBlockingLockExclusive);
            if !is_private || lock == Err(Errno::WOULDBLOCK) {
                return Ok(None);
            }
            let parent = self.handle.try_clone()?;
            let (name, file) = (self.name.clone(), file.to_owned());
            let place = Place { parent, name, directory, inside, file };
            place.empty();
            let flags =
                OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mode = match access {
                Access::Private => Mode::RUSR | Mode::WUSR,
                Access::Shared => Mode::from_raw_mode(0o666),
            };
            match rustix::fs::openat(&place.inside, &place.file, flags, mode) {
                Ok(_) => Ok(Some(place)),
                // the command before has just removed the directory
                Err(Errno::NOENT) => Ok(None),
                Err(error) => Err(error.into()),
            }
        }
    }

    impl Place {
        pub(super) fn open(&self) -> io::Result<File> {
            let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Ok(rustix::fs::openat(&self.inside, &self.file, flags, Mode::empty())?.into())
        }

        pub(super) fn put(&self, existing: Existing) -> io::Result<u64> {
            let file = self.open()?;
            rustix::fs::fsync(&file)?;
            let size = rustix::fs::fstat(&file)?.st_size;
            match existing {
                Existing::Replace => self.rename()?,
                Existing::Refuse => self.link()?,
            }
            rustix::fs::fsync(&self.parent)?;
            Ok(u64::try_from(size).unwrap_or(0))
        }

        fn rename(&self) -> io::Result<()> {
            Ok(rustix::fs::renameat(&self.inside, &self.file, &self.parent, &self.name)?)
        }

        /// A link, unlike a rename, does not replace a file.
        fn link(&self) -> io::Result<()> {
            let (from, to) = (&self.inside, &self.parent);
            match rustix::fs::linkat(from, &self.file, to, &self.name, AtFlags::empty()) {
                Ok(()) => Ok(()),
                Err(Errno::EXIST) => Err(io::ErrorKind::AlreadyExists.into()),
                // a file system without links
                Err(_) => match rustix::fs::statat(to, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
                    Err(_) => self.rename(),
                },
            }
        }

        /// Removes files of this module from the private directory.
        fn empty(&self) {
            let Ok(entries) = Dir::read_from(&self.inside) else { return };
            for entry in entries.flatten() {
                if entry.file_name().to_bytes().starts_with(PREFIX.as_bytes()) {
                    let _ = rustix::fs::unlinkat(&self.inside, entry.file_name(), AtFlags::empty());
                }
            }
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            self.empty();
            let _ = rustix::fs::unlinkat(&self.parent, &self.directory, AtFlags::REMOVEDIR);
        }
    }

    fn last_name(path: &Path) -> io::Result<OsString> {
        let name = path.file_name().map(ToOwned::to_owned);
        name.ok_or_else(|| io::Error::new(io::ErrorKind::IsADirectory, "it names a directory"))
    }
}

/// Without directory handles: the permissions of the directory decide.
#[cfg(not(unix))]
mod paths {
    use std::fs::{self, File};
    use std::io;
    use std::path::{Path, PathBuf};

    use crate::staging::{Access, Existing};

    pub(super) struct Parent {
        target: PathBuf,
    }

    #[derive(Debug)]
    pub(super) struct Place {
        target: PathBuf,
        directory: PathBuf,
        path: PathBuf,
    }

    impl Parent {
        pub(super) fn open(target: &Path) -> io::Result<Self> {
            Ok(Parent { target: target.to_owned() })
        }

        pub(super) fn claim(
            &self,
            directory: &Path,
            file: &str,
            _: Access,
        ) -> io::Result<Option<Place>> {
            match fs::create_dir(directory) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
                outcome => outcome?,
            }
            let (target, path) = (self.target.clone(), directory.join(file));
            let place = Place { target, directory: directory.to_owned(), path };
            File::create_new(&place.path)?;
            Ok(Some(place))
        }
    }

    impl Place {
        pub(super) fn open(&self) -> io::Result<File> {
            fs::OpenOptions::new().write(true).open(&self.path)
        }

        pub(super) fn put(&self, existing: Existing) -> io::Result<u64> {
            let file = self.open()?;
            file.sync_all()?;
            let size = file.metadata()?.len();
            drop(file);
            if existing == Existing::Refuse && self.target.symlink_metadata().is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(&self.path, &self.target)?;
            Ok(size)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.path);
            let _ = fs::remove_dir(&self.directory);
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::test_dir::TempDir;

    fn names(directory: &TempDir) -> Vec<String> {
        let names = fs::read_dir(directory.path()).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = names.map(|entry| name(entry).into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_private_until_it_has_its_name() {
        let directory = TempDir::new();
        let target = directory.path().join("backup.db");
        let staging = Staging::beside(&target).unwrap();
        assert_eq!(names(&directory), ["backup.db.partial"]);
        for (path, mode) in [(staging.path().parent().unwrap(), 0o700), (staging.path(), 0o600)] {
            assert_eq!(fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777, mode);
        }
        fs::write(staging.path(), "all").unwrap();
        assert_eq!(staging.place(Existing::Refuse).unwrap(), 3);
        assert_eq!(names(&directory), ["backup.db"]);
        drop(Staging::beside(&target).unwrap());
        assert_eq!(names(&directory), ["backup.db"]);
        assert_eq!(fs::read(&target).unwrap(), b"all");
    }

    #[test]
    fn nothing_that_has_the_name_of_the_directory_is_used() {
        let directory = TempDir::new();
        let (target, elsewhere) = (directory.path().join("backup.db"), TempDir::new());
        let partial = beside_name(&target, ".partial");
        symlink(elsewhere.path(), &partial).unwrap();
        let staging = Staging::beside(&target).unwrap();
        assert_ne!(staging.path().parent().unwrap(), partial);
        assert_eq!(names(&elsewhere), [""; 0]);
        drop(staging);
        fs::remove_file(&partial).unwrap();

        // a directory that others can write to
        fs::create_dir(&partial).unwrap();
        fs::set_permissions(&partial, fs::Permissions::from_mode(0o777)).unwrap();
        assert_ne!(Staging::beside(&target).unwrap().path().parent().unwrap(), partial);
        fs::remove_dir(&partial).unwrap();

        // another command
        let first = Staging::beside(&target).unwrap();
        let second = Staging::beside(&target).unwrap();
        assert_ne!(first.path().parent(), second.path().parent());
        assert!(first.path().exists() && second.path().exists());
    }

    #[test]
    fn the_copy_of_a_killed_command_is_removed_by_the_next_one() {
        let directory = TempDir::new();
        let target = directory.path().join("backup.db");
        let partial = beside_name(&target, ".partial");
        fs::create_dir(&partial).unwrap();
        fs::set_permissions(&partial, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(partial.join("copy-0.db"), "old").unwrap();
        let staging = Staging::beside(&target).unwrap();
        assert_eq!(staging.path().parent().unwrap(), partial);
        assert!(!partial.join("copy-0.db").exists());
    }

    #[test]
    fn a_name_that_was_taken_meanwhile_is_refused() {
        let directory = TempDir::new();
        let target = directory.path().join("backup.db");
        let victim = directory.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let staging = Staging::beside(&target).unwrap();
        symlink(&victim, &target).unwrap();
        let refused = staging.place(Existing::Refuse).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        Staging::beside(&target).unwrap().place(Existing::Replace).unwrap();
        assert!(fs::symlink_metadata(&target).unwrap().is_file());
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(names(&directory), ["backup.db", "victim"]);
    }
}
