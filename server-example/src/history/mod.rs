//! `history`: what was said, looked at and cleared by hand. All of it works beside a server that runs
//! on the same data.

mod export;
mod output;
mod purge;
mod search;

use clap::{Args, Subcommand};
use shared::failure::Failure;
use shared::numbers::count;
use store::{Reader, Survey};

use crate::data::StoredDataOptions;
use crate::output::{bytes, say};

use output::time;

/// Export, search, clear and check the messages that a server has kept.
///
/// All of it works while the server runs.
#[derive(Debug, Subcommand)]
pub(crate) enum HistoryCommand {
    Export(export::ExportOptions),
    Search(search::SearchOptions),
    Purge(purge::PurgeOptions),
    Stats(StatsOptions),
    Check(CheckOptions),
}

/// Say how many messages there are, and how much space they take.
#[derive(Args, Debug)]
pub(crate) struct StatsOptions {
    #[command(flatten)]
    data: StoredDataOptions,
}

/// Read all data and say whether it is sound; exits with 1 if not.
#[derive(Args, Debug)]
pub(crate) struct CheckOptions {
    #[command(flatten)]
    data: StoredDataOptions,
}

pub(crate) fn run(command: &HistoryCommand) -> Result<(), Failure> {
    match command {
        HistoryCommand::Export(options) => export::run(options),
        HistoryCommand::Search(options) => search::run(options),
        HistoryCommand::Purge(options) => purge::run(options),
        HistoryCommand::Stats(options) => stats(options),
        HistoryCommand::Check(options) => check(options),
    }
}

fn stats(options: &StatsOptions) -> Result<(), Failure> {
    let directory = options.data.needed()?;
    let survey = Survey::of(&directory)?;
    let unsearched = survey.newest_id.saturating_sub(survey.searched_to);
    let mut lines = vec![
        format!("messages: {}", count(survey.messages)),
        format!(
            "conversations: {} rooms, {} of two users",
            count(survey.rooms),
            count(survey.pairs)
        ),
    ];
    if let Some((first, last)) = survey.from_to_ms {
        lines.push(format!("sent: from {} to {}", time(first), time(last)));
        lines.push(format!("newest id: {}", survey.newest_id));
    }
    lines.push(format!("waiting for users who are away: {}", count(survey.waiting)));
    lines.push(format!("delivered but not kept: {}", count(survey.not_kept)));
    lines.push(format!(
        "runs of a server: {}, {} of them cut short",
        count(survey.runs),
        count(survey.cut_short)
    ));
    lines.push(match unsearched {
        0 => "search: up to date".to_owned(),
        behind => format!("search: {} ids behind; the next search catches up", count(behind)),
    });
    lines.push(format!(
        "size: {}, of which {} are in use",
        bytes(survey.file_bytes),
        bytes(survey.used_bytes)
    ));
    say(&lines.join("\n"))
}

fn check(options: &CheckOptions) -> Result<(), Failure> {
    let directory = options.data.needed()?;
    Reader::open(&directory)?.check()?;
    say("the data is sound")
}
