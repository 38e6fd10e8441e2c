//! Where a server keeps its data, and how: the options that `serve` and the commands on the data
//! share.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use shared::failure::Failure;
use shared::units::{Age, SizeOrOff};
use store::{Retention, StoreOptions, Sync};

/// The variable that names the server's configuration.
pub(crate) const FILE_VARIABLE: &str = "CHATPROTO_CONFIG";
/// What `--data` says instead of a directory if nothing is kept.
const NONE: &str = "none";

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct DataOptions {
    /// Directory of the server's data, or none, which keeps nothing [default: chatproto in the
    /// user's directory for data, such as ~/.local/share/chatproto]
    #[arg(long, value_name = "DIR|none", env = "CHATPROTO_DATA")]
    pub(crate) data: Option<PathBuf>,
}

/// The same for a command that is of no use without data. It takes the directory from the server's
/// configuration too.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct StoredDataOptions {
    /// The server's TOML file, to take the data directory from
    #[arg(long, value_name = "FILE", env = FILE_VARIABLE)]
    config: Option<PathBuf>,

    #[command(flatten)]
    data: DataOptions,
}

/// How long messages are kept, and how safely.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "History")]
pub(crate) struct KeepingOptions {
    /// When a message is on the disk, and what /sync promises
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Sync::Full, env = "CHATPROTO_HISTORY_SYNC")]
    pub(crate) history_sync: Sync,

    /// How long messages are stored, at least 10min, such as 90d [default: for good]
    #[arg(long, value_name = "AGE", value_parser = history_age, env = "CHATPROTO_HISTORY_KEEP")]
    pub(crate) history_keep: Option<Age>,

    /// Most bytes of all data, at least 1MiB, or off; beyond, the oldest messages of the senders that use
    /// most of it go
    #[arg(long, value_name = "SIZE|off", default_value_t = default_size(), value_parser = history_size,
        env = "CHATPROTO_HISTORY_MAX")]
    pub(crate) history_max: SizeOrOff,
}

/// Whether names have owners.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Accounts")]
pub(crate) struct AccountsOptions {
    /// Whether names can have owners, who log in with a password [default: optional, off with --data
    /// none]
    #[arg(long, value_name = "MODE", value_enum)]
    pub(crate) accounts: Option<AccountsMode>,

    /// Take passwords over TLS alone
    #[arg(long)]
    pub(crate) require_tls_for_login: bool,
}

/// Who may speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccountsMode {
    /// There are no accounts
    Off,
    /// Names of accounts are their owners', all others for whoever comes first
    #[default]
    Optional,
    /// Only those who have logged in speak, read and are seen
    Required,
}

/// Less is smaller than a database with a few messages: every message would go at once.
const SMALLEST_HISTORY: u64 = 1 << 20;
/// Less is a number without the unit that was meant.
const SHORTEST_HISTORY: Duration = Duration::from_secs(10 * 60);

/// Reads `--history-max`.
fn history_size(text: &str) -> Result<SizeOrOff, &'static str> {
    match text.parse()? {
        SizeOrOff(Some(bytes)) if bytes < SMALLEST_HISTORY => Err(
            "the history would be erased: write at least 1MiB, a number with its unit such as 500MiB \
             or 10GiB, or off",
        ),
        size => Ok(size),
    }
}

/// Reads `--history-keep`.
fn history_age(text: &str) -> Result<Age, &'static str> {
    match text.parse()? {
        Age(age) if age < SHORTEST_HISTORY => {
            Err("the history would be erased: write at least 10min, such as 12h, 90d or 1y")
        }
        age => Ok(age),
    }
}

fn default_size() -> SizeOrOff {
    SizeOrOff(Some(10 << 30))
}

impl KeepingOptions {
    pub(crate) fn store_options(&self) -> StoreOptions {
        StoreOptions {
            sync: self.history_sync,
            retention: Retention {
                keep: self.history_keep.map(|age| age.0),
                max_bytes: self.history_max.0,
            },
            ..StoreOptions::default()
        }
    }
}

impl DataOptions {
    /// The directory; `None` if nothing is kept.
    ///
    /// # Errors
    /// None was named, and the user has no home.
    pub(crate) fn directory(&self) -> Result<Option<PathBuf>, Failure> {
        match &self.data {
            Some(data) if data.as_os_str() == NONE => Ok(None),
            Some(data) if data.as_os_str().is_empty() => {
                Err(Failure::Usage("--data needs a directory, or none".to_owned()))
            }
            Some(data) => Ok(Some(data.clone())),
            None => default_directory().map(Some),
        }
    }
}

impl StoredDataOptions {
    /// The directory.
    pub(crate) fn needed(&self) -> Result<PathBuf, Failure> {
        self.data.directory()?.ok_or_else(|| {
            Failure::Usage(
                "with --data none nothing is kept: name the server's data directory".to_owned(),
            )
        })
    }
}

fn default_directory() -> Result<PathBuf, Failure> {
    use etcetera::BaseStrategy;
    match etcetera::base_strategy::choose_native_strategy() {
        Ok(strategy) => Ok(strategy.data_dir().join("chatproto")),
        Err(_) => Err(Failure::Usage(
            "there is no home directory to keep data in: name one with --data DIR, or keep nothing with \
             --data none"
                .to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_that_would_be_erased_is_refused() {
        for size in ["10", "100", "1k", "1MB", "1023KiB"] {
            assert!(history_size(size).unwrap_err().contains("at least 1MiB"), "{size}");
        }
        for size in ["1MiB", "10GiB", "off"] {
            assert!(history_size(size).is_ok(), "{size}");
        }
        for (age, is_refused) in [("90s", true), ("9min", true), ("10min", false), ("1d", false)] {
            assert_eq!(history_age(age).is_err(), is_refused, "{age}");
        }
    }

    #[test]
    fn a_directory_or_none() {
        let of = |data: &str| DataOptions { data: Some(data.into()) };
        assert_eq!(of("/srv/chat").directory(), Ok(Some("/srv/chat".into())));
        assert_eq!(of("./none").directory(), Ok(Some("./none".into())));
        assert_eq!(of("none").directory(), Ok(None));
        let needed = |data| StoredDataOptions { config: None, data }.needed();
        assert_eq!(needed(of("d")), Ok("d".into()));
        assert!(needed(of("none")).is_err());
        assert!(of("").directory().is_err());
    }

    #[test]
    fn everything_is_kept_up_to_ten_gibibytes_unless_told_otherwise() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            keeping: KeepingOptions,
        }
        let of = |line: &str| {
            let line = <Line as clap::Parser>::try_parse_from(line.split(' ')).unwrap();
            line.keeping.store_options()
        };
        let options = of("serve");
        assert_eq!(options.sync, Sync::Full);
        assert_eq!(options.retention, Retention { keep: None, max_bytes: Some(10 << 30) });
        let options = of("serve --history-sync normal --history-keep 90d --history-max off");
        assert_eq!(options.sync, Sync::Normal);
        let keep = Some(Duration::from_secs(90 * 24 * 60 * 60));
        assert_eq!(options.retention, Retention { keep, max_bytes: None });
    }
}
