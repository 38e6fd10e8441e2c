//! A disk that a test can fill: a file system in memory, which only administrators can mount.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this one")]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system of a test's own, unmounted when it is dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it at a directory, which is made if it is not there, with options such as `size=8m`.
    /// `None`, with a line that says so, if this user may not.
    pub fn mount(at: &Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output();
        let is_mounted = mount.is_ok_and(|done| done.status.success());
        if !is_mounted {
            eprintln!("not tested: a file system for this test alone cannot be mounted here");
        }
        is_mounted.then(|| SmallDisk(at.to_owned()))
    }

    /// Takes so many bytes of it, or all that are left.
    pub fn fill(&self, bytes: Option<usize>) {
        let mut ballast = File::create(self.ballast()).unwrap();
        match bytes {
            Some(bytes) => ballast.write_all(&vec![0; bytes]).unwrap(),
            None => {
                for size in [64 << 10, 4 << 10] {
                    while ballast.write_all(&vec![0; size]).is_ok() {}
                }
            }
        }
    }

    /// Gives back what [`fill`](Self::fill) took.
    pub fn make_room(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // lazily, as a thread of the test may close its last file a moment later
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
