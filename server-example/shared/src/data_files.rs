//! The names of the files that a server keeps in its data directory, so that no other program writes to
//! them. The crate `store` owns their content.

use std::path::Path;

/// The database.
pub const DATABASE: &str = "chatproto.db";
/// The file that a server locks while it runs.
pub const LOCK: &str = "chatproto.lock";
/// The room that is reserved on the disk.
pub const RESERVE: &str = "chatproto.reserve";

/// Whether this is the data directory of a server, which runs or not.
pub fn is_data_directory(directory: &Path) -> bool {
    [LOCK, DATABASE].iter().all(|name| directory.join(name).symlink_metadata().is_ok())
}

/// Whether a path is that of a file which a server keeps in its data directory, or may want to: the
/// database, what SQLite and this program put beside it, and the lock.
pub fn is_file_of_data(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let is_ours = name.starts_with(DATABASE) || name == LOCK || name == RESERVE;
    is_ours && is_data_directory(directory)
}
