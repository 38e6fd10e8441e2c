//! Where the program keeps its data.

use std::env;
use std::path::PathBuf;

use clap::Args;
use etcetera::BaseStrategy as _;

use crate::failure::Failure;

/// What stands for `--data` in the environment.
const VARIABLE: &str = "CHATPROTO_DATA";
/// What stands for no directory at all.
const NONE: &str = "none";

#[derive(Args, Debug)]
pub(crate) struct DataOptions {
    /// Directory of the data [default: CHATPROTO_DATA, or chatproto in the platform's directory for
    /// data, such as ~/.local/share/chatproto]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl DataOptions {
    /// The directory, for a command that cannot do without one.
    pub(crate) fn directory(&self) -> Result<PathBuf, Failure> {
        let named = self.data.clone().map(PathBuf::into_os_string);
        match named.or_else(|| env::var_os(VARIABLE).filter(|value| !value.is_empty())) {
            Some(named) if named == NONE => Err(Failure::Usage(format!(
                "--data none (or {VARIABLE}=none) keeps nothing: name the directory of a server"
            ))),
            Some(named) => Ok(named.into()),
            None => etcetera::choose_base_strategy()
                .map(|strategy| strategy.data_dir().join("chatproto"))
                .map_err(|_| {
                    Failure::Usage(
                        "there is no home directory: name one with --data DIR".to_owned(),
                    )
                }),
        }
    }
}
