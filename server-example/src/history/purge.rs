//! `history purge`: messages taken away for good.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::{ArgGroup, Args};
use shared::clock::now_ms;
use shared::failure::{Failure, reason};
use shared::numbers::count;
use shared::units::Age;
use store::{Purge, Selection};

use crate::data::StoredDataOptions;
use crate::output::{Progress, say};

use super::output::ConversationOptions;

/// Take messages away for good: old ones, those of a conversation, or both.
///
/// Says how many there are and asks before it begins. Clients that come back are told that they have
/// missed something. What was taken away is overwritten in the file, and stays in backups.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("messages").args(["older_than", "room", "with"]).required(true).multiple(true))]
pub(crate) struct PurgeOptions {
    /// Messages older than this, such as 90d
    #[arg(long, value_name = "AGE")]
    older_than: Option<Age>,

    #[command(flatten)]
    conversation: ConversationOptions,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    data: StoredDataOptions,
}

pub(crate) fn run(options: &PurgeOptions) -> Result<(), Failure> {
    let before_ms = options
        .older_than
        .map(|age| now_ms().saturating_sub(i64::try_from(age.0.as_millis()).unwrap_or(i64::MAX)));
    let selection = Selection { conversation: options.conversation.name(), before_ms };
    let mut purge = Purge::open(&options.data.needed()?, selection)?;
    let all = purge.count()?;
    if all == 0 {
        return say("there are no such messages");
    }
    if !options.yes && !is_confirmed(all)? {
        return say("nothing was purged");
    }
    let progress = Progress::new("purging");
    let mut gone = 0;
    loop {
        match purge.step()? {
            0 => break,
            step => gone += step as u64,
        }
        progress.show(gone.min(all), all);
    }
    drop(progress);
    say(&format!("{} messages purged", count(gone)))
}

fn is_confirmed(all: u64) -> Result<bool, Failure> {
    let all = count(all);
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(format!(
            "{all} messages would go for good: say --yes to do so without being asked"
        )));
    }
    let ask = || {
        let mut err = io::stderr();
        write!(err, "{all} messages go for good. Purge them? [y/N] ")?;
        err.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    };
    ask().map_err(|error: io::Error| Failure::Run(format!("cannot ask: {}", reason(&error))))
}
