//! Checks of a data directory: its files, and whether a server can use it. Nothing is made or changed
//! here.

use std::path::{Path, PathBuf};

use super::error::{Result, StoreError};
use super::files;
use super::reader::Reader;

/// The database of a data directory, and the files that SQLite puts beside it.
pub fn database_files(directory: &Path) -> [PathBuf; 3] {
    files::with_companions(&files::database(directory))
}

/// Checks that a server can use the directory, as far as that can be seen without making anything. One
/// that is not there will be made.
///
/// # Errors
/// It is not a directory, or its database is another program's or of a newer version.
pub(crate) fn check_version(directory: &Path) -> Result<()> {
    let path = files::database(directory);
    match std::fs::metadata(directory) {
        Ok(found) if !found.is_dir() => {
            let error = std::io::ErrorKind::NotADirectory.into();
            Err(StoreError::of_file("use the data directory", directory, &error))
        }
        Ok(_) if has_database(directory) => {
            Reader::of(path.clone()).and_then(|reader| reader.version()).map(drop)
        }
        _ => Ok(()),
    }
}

/// Checks that a server can use the directory, and that this user can write there. A server makes a missing
/// directory. The check writes a file and removes it again.
///
/// # Errors
/// It is not a directory, or its database is of another program or of a newer version. Or the file system
/// refuses to make the directory or to write its files.
pub fn check_usable(directory: &Path) -> Result<()> {
    check_version(directory)?;
    let path = files::database(directory);
    if has_database(directory) {
        let opened = std::fs::OpenOptions::new().write(true).open(&path);
        opened.map_err(|error| StoreError::of_file("write", &path, &error))?;
    }
    let here = |path| if path == Path::new("") { Path::new(".") } else { path };
    let mut places = directory.ancestors().map(here);
    let nearest = places.find(|place| place.symlink_metadata().is_ok()).unwrap_or(Path::new("."));
    let act = match nearest == directory {
        true => "write into the data directory",
        false => "make the data directory",
    };
    let probe = match nearest.is_dir() {
        true => shared::staging::Staging::beside(&files::database(nearest)).map(drop),
        false => Err(std::io::ErrorKind::NotADirectory.into()),
    };
    probe.map_err(|error| StoreError::of_file(act, directory, &error))
}

/// Whether there is a database in the directory.
pub fn has_database(directory: &Path) -> bool {
    files::database(directory).exists()
}

/// Whether there is no database yet, or an empty one.
pub fn is_empty(directory: &Path) -> bool {
    std::fs::metadata(files::database(directory)).map_or(true, |file| file.len() == 0)
}
