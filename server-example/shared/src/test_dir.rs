//! A directory for one unit test, removed when it is dropped.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        let names = (0..).map(|n| format!("chatproto-unit-{}-{n}", std::process::id()));
        let mut paths = names.map(|name| std::env::temp_dir().join(name));
        let made = paths.find(|path| match std::fs::create_dir(path) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
            Err(error) => panic!("{}: {error}", path.display()),
        });
        TempDir(made.expect("endless names"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
