//! `history`: what was said, looked at and cleared by hand. All of it works beside a server that runs
//! on the same data.

mod export;
mod progress;
mod purge;
mod search;

use std::io::{self, Write};

use chatproto::{RoomName, UserName};
use clap::{Args, Subcommand};

use crate::data::StoredDataOptions;
use crate::failure::{Failure, reason};
use crate::load::count;
use crate::store::{self, Reader, Survey};

pub(crate) use progress::Progress;

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

/// Which conversation is meant.
#[derive(Args, Debug)]
#[group(multiple = false)]
pub(crate) struct ConversationOptions {
    /// Only messages of this room
    #[arg(long, value_name = "#ROOM", value_parser = room)]
    room: Option<RoomName>,

    /// Only messages between these two users
    #[arg(long, value_names = ["NAME", "NAME"], num_args = 2)]
    with: Option<Vec<UserName>>,
}

impl ConversationOptions {
    /// Its name in the store; `None` means all.
    fn name(&self) -> Option<String> {
        match (&self.room, self.with.as_deref()) {
            (Some(room), _) => Some(room.as_str().to_owned()),
            (None, Some([one, other])) => Some(store::between(one.as_str(), other.as_str())),
            _ => None,
        }
    }
}

fn room(text: &str) -> Result<RoomName, String> {
    RoomName::new(text).map_err(|error| format!("{error} (in a shell, quote it: '#tea')"))
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

/// A time as RFC 3339 in the local time zone.
fn time(at_ms: i64) -> String {
    let at = crate::clock::timestamp_of_ms(at_ms);
    let here = at.to_zoned(jiff::tz::TimeZone::system());
    at.display_with_offset(here.offset()).to_string()
}

/// Bytes in the unit that fits.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..0x400 => format!("{bytes} bytes"),
        0x400..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

/// Says something on standard output.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    written(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// Somebody who has read enough of the output is no failure.
fn written(outcome: io::Result<()>) -> Result<(), Failure> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Run(format!("cannot write the output: {}", reason(&error))))
        }
        _ => Ok(()),
    }
}
