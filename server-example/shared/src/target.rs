//! What a command may write to: a file that is not there, or with `--force` one that is. It is written
//! beside its name and gets the name when it is whole ([`staging`](crate::staging)), so that what was
//! there is there until then. Code that decides what is written is in the commands.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::data_files::{is_data_directory, is_file_of_data};
use crate::failure::{self, Failure};
use crate::staging::{Access, Existing, Staging, beside_name};
use crate::text::visible;

/// Checks that a file may have this name, before any work is done for it.
///
/// # Errors
/// The sentence that says why not: it is a directory, a device or another thing that is not a regular
/// file, it belongs to a data directory, a program uses it as a database, or it is there and may not be
/// replaced.
pub fn check(path: &Path, existing: Existing) -> Result<(), Failure> {
    if path == Path::new("-") {
        return Err(Failure::Usage(
            "the output cannot be standard output: name a file (./- if its name is -)".to_owned(),
        ));
    }
    let text = path.to_string_lossy();
    let shown = visible(&text);
    let refuse = |why: &str| Err(Failure::Usage(format!("cannot write {shown}: {why}")));
    if text.ends_with(std::path::is_separator) || path.file_name().is_none() {
        return refuse("it is a directory (name a file in it)");
    }
    if is_file_of_data(path) {
        return refuse("it belongs to a server's data directory (name another file)");
    }
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => return refuse(what_it_is(&found)),
        Ok(_) if existing == Existing::Refuse => {
            return Err(failed(path, &io::ErrorKind::AlreadyExists.into()));
        }
        Ok(_) if is_open_database(path) => {
            return refuse(
                "a program uses it as a database (name another file, or end the program)",
            );
        }
        // a directory that is not there is reported by the first write
        _ => {}
    }
    Ok(())
}

/// Checks that files may be written into a directory.
///
/// # Errors
/// It is the data directory of a server, or standard output.
pub fn check_directory(path: &Path) -> Result<(), Failure> {
    let text = path.to_string_lossy();
    let refuse =
        |why: &str| Err(Failure::Usage(format!("cannot write into {}: {why}", visible(&text))));
    if path == Path::new("-") {
        refuse("it is not a directory (./- if its name is -)")
    } else if is_data_directory(path) {
        refuse("it is the data directory of a server (name another directory)")
    } else {
        Ok(())
    }
}

/// Writes a small file as a whole.
///
/// # Errors
/// The name is taken, or the file system refuses it. Then what was there is as it was.
pub fn write(
    path: &Path,
    content: &[u8],
    access: Access,
    existing: Existing,
) -> Result<(), Failure> {
    let staging = stage(path, content, access)?;
    staging.place(existing).map(drop).map_err(|error| failed(path, &error))
}

/// Writes a small file that has no name yet.
pub fn stage(path: &Path, content: &[u8], access: Access) -> Result<Staging, Failure> {
    let stage = || {
        let staging = Staging::with_access(path, access)?;
        staging.open()?.write_all(content)?;
        Ok(staging)
    };
    stage().map_err(|error| failed(path, &error))
}

/// Why a file could not be written.
pub fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::Run(failure::of_file("write", path, error))
}

/// Whether SQLite has put a log beside the file. It would apply the log to a file that gets the name.
fn is_open_database(path: &Path) -> bool {
    ["-wal", "-journal"].iter().any(|ending| {
        let log: PathBuf = beside_name(path, ending);
        fs::metadata(log).is_ok_and(|log| log.len() > 0)
    })
}

/// What is there instead of a regular file.
fn what_it_is(found: &fs::Metadata) -> &'static str {
    let kind = found.file_type();
    if kind.is_dir() {
        return "it is a directory (name a file in it)";
    }
    if kind.is_symlink() {
        return "it is a symbolic link (name the file itself)";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "it is a FIFO (name a regular file)";
        }
        if kind.is_socket() {
            return "it is a socket (name a regular file)";
        }
        if kind.is_block_device() || kind.is_char_device() {
            return "it is a device (name a regular file)";
        }
    }
    "it is not a regular file"
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::data_files::{DATABASE, LOCK};
    use crate::test_dir::TempDir;

    fn refusal(path: &Path, existing: Existing) -> Option<String> {
        check(path, existing).err().map(|failure| {
            let place = path.parent().unwrap().to_string_lossy().into_owned() + "/";
            failure.to_string().replace(&place, "")
        })
    }

    #[test]
    fn only_a_regular_file_is_written_and_replaced_on_request() {
        let directory = TempDir::new();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("directory")).unwrap();
        fs::write(at("file"), "precious").unwrap();
        symlink(at("file"), at("link")).unwrap();
        symlink(at("nothing"), at("dangling")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        let fifo = std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap();
        assert!(fifo.success());
        for (name, why) in [
            ("directory", "it is a directory (name a file in it)"),
            ("directory/", "it is a directory (name a file in it)"),
            ("link", "it is a symbolic link (name the file itself)"),
            ("dangling", "it is a symbolic link (name the file itself)"),
            ("socket", "it is a socket (name a regular file)"),
            ("fifo", "it is a FIFO (name a regular file)"),
        ] {
            for existing in [Existing::Refuse, Existing::Replace] {
                let expected = format!("cannot write {name}: {why}");
                assert_eq!(refusal(&at(name), existing), Some(expected));
            }
        }
        let device = check(Path::new("/dev/null"), Existing::Replace).unwrap_err();
        assert!(device.to_string().contains("it is a device"), "{device}");
        assert!(check(Path::new("-"), Existing::Replace).is_err());
        assert!(check(Path::new("./-"), Existing::Replace).is_ok());
        assert!(refusal(&at("file"), Existing::Refuse).unwrap().contains("is there already"));
        assert_eq!(refusal(&at("file"), Existing::Replace), None);
        assert_eq!(refusal(&at("new"), Existing::Refuse), None);
    }

    #[test]
    fn the_files_of_a_data_directory_and_open_databases_are_not_written() {
        let (directory, elsewhere) = (TempDir::new(), TempDir::new());
        for name in [DATABASE, LOCK] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        for name in [
            "chatproto.db",
            "chatproto.db-wal",
            "chatproto.db.before-restore",
            "chatproto.db.v3.bak",
            "chatproto.lock",
        ] {
            let refused = refusal(&directory.path().join(name), Existing::Replace);
            assert!(refused.is_some_and(|why| why.contains("data directory")), "{name}");
            // the name alone is no reason
            assert_eq!(refusal(&elsewhere.path().join(name), Existing::Replace), None);
        }
        assert_eq!(refusal(&directory.path().join("monday.db"), Existing::Replace), None);
        assert!(check_directory(directory.path()).is_err());
        assert!(check_directory(elsewhere.path()).is_ok());

        let (file, log) = (elsewhere.path().join("x.db"), elsewhere.path().join("x.db-wal"));
        fs::write(&file, "").unwrap();
        fs::write(log, "frames").unwrap();
        let refused = refusal(&file, Existing::Replace).unwrap();
        assert!(refused.contains("uses it as a database"), "{refused}");
    }

    #[test]
    fn a_file_is_there_as_a_whole_or_as_it_was() {
        use std::os::unix::fs::PermissionsExt;
        let directory = TempDir::new();
        let path = directory.path().join("file");
        write(&path, b"one", Access::Private, Existing::Refuse).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        write(&path, b"two", Access::Private, Existing::Refuse).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write(&path, b"two", Access::Shared, Existing::Replace).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o600, 0o600);
        // a write that is cut short
        drop(Staging::beside(&path).unwrap());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }
}
