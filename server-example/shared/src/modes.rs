//! The permissions of files with secrets. Code that creates files with the right mode is where the
//! files are.

use std::fs::Metadata;

/// Checks whether others than the owner may read or write. False for a pipe or a device, and where
/// files have no modes.
pub fn is_open_to_others(metadata: &Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let has_data = metadata.is_file() || metadata.is_dir();
        has_data && metadata.permissions().mode() & 0o066 != 0
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        false
    }
}
