//! `backup` and `restore`: all of a server's data in one file, and back again.

use std::path::PathBuf;

use clap::Args;
use shared::failure::Failure;
use shared::staging::Existing;
use shared::target;
use shared::text::visible;

use crate::data::StoredDataOptions;
use crate::output::{Progress, bytes, say};

/// Copy all data of a server to a file, while it runs or not.
///
/// The copy is the data of one moment, checked and on the disk when this ends. It has the messages,
/// the accounts with the hashes of their passwords, bans and mutes: keep it as safe as the data itself.
#[derive(Args, Debug)]
pub(crate) struct BackupOptions {
    /// Where to put the copy
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Replace the file if it is there
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    data: StoredDataOptions,
}

/// Put a backup in the place of a server's data; the server must not run.
///
/// The backup is checked first. The data as it was is kept beside, as chatproto.db.before-restore.
#[derive(Args, Debug)]
pub(crate) struct RestoreOptions {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    data: StoredDataOptions,
}

pub(crate) fn backup(options: &BackupOptions) -> Result<(), Failure> {
    let directory = options.data.needed()?;
    let existing = Existing::replaced_if(options.force);
    target::check(&options.file, existing)?;
    let progress = Progress::new("copying");
    let size = store::backup(&directory, &options.file, existing, &mut |done, all| {
        progress.show(done, all);
    })?;
    drop(progress);
    say(&format!("{} written to {}", bytes(size), visible(&options.file.to_string_lossy())))
}

pub(crate) fn restore(options: &RestoreOptions) -> Result<(), Failure> {
    let directory = options.data.needed()?;
    let progress = Progress::new("copying");
    let kept =
        store::restore(&directory, &options.file, &mut |done, all| progress.show(done, all))?;
    drop(progress);
    let file = options.file.to_string_lossy();
    let directory = directory.to_string_lossy();
    let kept = match &kept {
        Some(kept) => format!("; what was there is {}", visible(&kept.to_string_lossy())),
        None => String::new(),
    };
    say(&format!("{} restored to {}{kept}", visible(&file), visible(&directory)))
}
