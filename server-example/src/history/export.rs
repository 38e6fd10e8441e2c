//! `history export`: messages as lines of JSON, in the order in which they were sent.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use shared::failure::Failure;
use shared::numbers::count;
use shared::staging::{Existing, Staging};
use shared::target;
use shared::text::visible;
use shared::units::Moment;
use store::{ConversationMessage, Query, Reader, StoredMessage};

use crate::data::StoredDataOptions;
use crate::output::{Progress, say, written};

use super::output::{ConversationOptions, time};

/// Messages that are read at a time.
const PAGE: usize = 1_000;
/// … and no more bytes.
const PAGE_BYTES: usize = 16 << 20;

/// Write messages as lines of JSON, oldest first.
///
/// A line has the message's id, the epoch (the run of the server that gave the id), the time, the room
/// or the two users, and the message itself as it was sent:
/// {"id":7,"epoch":"9f86d081884c7d65","time":"2026-07-04T12:30:00.5+02:00","room":"#tea","message":{…}}
#[derive(Args, Debug)]
pub(crate) struct ExportOptions {
    #[command(flatten)]
    conversation: ConversationOptions,

    /// Only messages sent at this time or later, such as 2026-07-04 or 2026-07-04T12:30
    #[arg(long, value_name = "DATE")]
    since: Option<Moment>,

    /// Only messages sent before this time
    #[arg(long, value_name = "DATE")]
    until: Option<Moment>,

    /// Write to this file instead of standard output; it gets its name when the export is complete
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Replace the file if it is there
    #[arg(long, requires = "out")]
    force: bool,

    #[command(flatten)]
    data: StoredDataOptions,
}

/// What a line says, in this order; the message follows.
#[derive(Serialize)]
struct Line<'a> {
    id: u64,
    epoch: Option<&'a str>,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    between: Option<(&'a str, &'a str)>,
}

pub(crate) fn run(options: &ExportOptions) -> Result<(), Failure> {
    let reader = Reader::open(&options.data.needed()?)?;
    let out = options.out.as_deref().filter(|out| *out != Path::new("-"));
    let Some(path) = out else {
        let mut out = BufWriter::new(io::stdout().lock());
        return export(options, &reader, |line| written(out.write_all(line)).map(|()| true))
            .map(drop);
    };
    let existing = Existing::replaced_if(options.force);
    target::check(path, existing)?;
    let fail = |error: &io::Error| target::failed(path, error);
    // for its owner alone: what is in it was private
    let staging = Staging::beside(path).map_err(|error| fail(&error))?;
    let mut out = BufWriter::new(staging.open().map_err(|error| fail(&error))?);
    let lines = export(options, &reader, |line| {
        out.write_all(line).map(|()| true).map_err(|error| fail(&error))
    })?;
    out.into_inner().map_err(|error| fail(error.error()))?;
    staging.place(existing).map_err(|error| fail(&error))?;
    say(&format!("{} messages written to {}", count(lines), visible(&path.to_string_lossy())))
}

/// Hands each line on, with its line feed, as long as it is taken; how many there were.
fn export(
    options: &ExportOptions,
    reader: &Reader,
    mut take: impl FnMut(&[u8]) -> Result<bool, Failure>,
) -> Result<u64, Failure> {
    let name = options.conversation.name();
    let epochs = reader.epochs()?;
    let bound = |moment: Option<Moment>| moment.map(|moment| moment.0.as_millisecond());
    let (since, until) = (bound(options.since), bound(options.until));
    let newest = reader.newest_of_all()?;
    let progress = options.out.is_some().then(|| Progress::new("exporting"));
    let (mut seen, mut lines, mut line) = (0, 0, Vec::new());
    loop {
        let page = page(reader, name.as_deref(), seen)?;
        let Some(last) = page.last() else { return Ok(lines) };
        seen = last.entry.id;
        for kept in &page {
            let at = kept.entry.at_ms;
            if since.is_some_and(|since| at < since) || until.is_some_and(|until| at >= until) {
                continue;
            }
            line.clear();
            write_line(&mut line, kept, &epochs);
            lines += 1;
            if !take(&line)? {
                return Ok(lines);
            }
        }
        if let Some(progress) = &progress {
            progress.show(seen.min(newest), newest);
        }
    }
}

/// The messages that follow an id.
fn page(
    reader: &Reader,
    conversation: Option<&str>,
    seen: u64,
) -> Result<Vec<ConversationMessage>, Failure> {
    let Some(name) = conversation else { return Ok(reader.all_after(seen, PAGE)?) };
    let query = Query { most: PAGE, max_bytes: PAGE_BYTES, since: Some(seen), ..Query::default() };
    let entries = reader.page(name, &query)?.entries.into_iter();
    Ok(entries.map(|entry| ConversationMessage { conversation: name.to_owned(), entry }).collect())
}

fn write_line(line: &mut Vec<u8>, kept: &ConversationMessage, epochs: &[(u64, String)]) {
    let StoredMessage { id, at_ms, object } = &kept.entry;
    let between = kept.conversation.split_once('\t');
    let before = epochs.partition_point(|(first, _)| first <= id);
    let head = Line {
        id: *id,
        epoch: before.checked_sub(1).map(|epoch| epochs[epoch].1.as_str()),
        time: time(*at_ms),
        room: between.is_none().then_some(kept.conversation.as_str()),
        between,
    };
    serde_json::to_writer(&mut *line, &head).expect("strings and numbers");
    line.pop(); // the brace, as the message belongs inside
    line.extend_from_slice(b",\"message\":");
    line.extend_from_slice(object.as_bytes());
    line.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{object, open};
    use crate::test_dir::TempDir;

    fn exported(options: &ExportOptions, reader: &Reader) -> Vec<serde_json::Value> {
        let mut lines = Vec::new();
        let count = export(options, reader, |line| {
            assert_eq!(line.last(), Some(&b'\n'));
            lines.push(serde_json::from_slice(line).unwrap());
            Ok(true)
        });
        assert_eq!(count.unwrap(), lines.len() as u64);
        lines
    }

    #[test]
    fn a_line_has_all_that_is_known_of_a_message() {
        let directory = TempDir::new();
        let mut store = open(&directory);
        let mut writer = store.writer().unwrap();
        let first = store.epoch().to_owned();
        writer.append(1, "#tea", 1_783_168_200_500, &object("alice", "gr\u{fc}\u{df}e"));
        writer.append(2, "alice\tbob", 1_783_168_201_000, &object("bob", "psst"));
        writer.commit().unwrap();
        writer.close(2).unwrap();
        drop(store);
        let mut store = open(&directory);
        let mut writer = store.writer().unwrap();
        for id in 3..=2_500 {
            writer.append(id, "#work", 1_783_168_202_000, &object("carol", "hi"));
        }
        writer.append(2_501, "#tea", 1_783_168_300_000, &object("carol", "late"));
        writer.commit().unwrap();

        let reader = store.reader().unwrap();
        let moment = |text: &str| Some(text.parse::<Moment>().unwrap());
        let base = |room: Option<&str>, with: Option<[&str; 2]>, since, until| ExportOptions {
            conversation: ConversationOptions {
                room: room.map(|room| super::super::output::room(room).unwrap()),
                with: with.map(|with| with.map(|name| name.parse().unwrap()).to_vec()),
            },
            since,
            until,
            out: None,
            force: false,
            data: StoredDataOptions::default(),
        };
        let ids = |options: &ExportOptions| -> Vec<u64> {
            exported(options, &reader).iter().map(|line| line["id"].as_u64().unwrap()).collect()
        };
        assert_eq!(ids(&base(None, None, None, None)), (1..=2_501).collect::<Vec<_>>());
        assert_eq!(ids(&base(Some("#tea"), None, None, None)), [1, 2_501]);
        assert_eq!(ids(&base(None, Some(["bob", "alice"]), None, None)), [2]);
        assert_eq!(ids(&base(Some("#no"), None, None, None)), [0; 0]);
        let late = moment("2026-07-04T12:31:30Z");
        assert_eq!(ids(&base(None, None, late, None)), [2_501]);
        let early = moment("2026-07-04T12:30:01Z");
        assert_eq!(ids(&base(None, None, None, early)), [1]);
        assert_eq!(ids(&base(None, None, early, moment("2026-07-04T12:30:02Z"))), [2]);

        let lines = exported(&base(None, None, None, None), &reader);
        assert_eq!(
            lines[0]["message"],
            serde_json::from_str::<serde_json::Value>(&object("alice", "gr\u{fc}\u{df}e")).unwrap()
        );
        assert_eq!((&lines[0]["room"], &lines[0]["epoch"]), (&"#tea".into(), &first.into()));
        let at: jiff::Timestamp = lines[0]["time"].as_str().unwrap().parse().unwrap();
        assert_eq!(at.as_millisecond(), 1_783_168_200_500);
        assert_eq!(lines[1]["between"], serde_json::json!(["alice", "bob"]));
        assert_eq!(lines[1].get("room"), None);
        assert_eq!(lines[2]["epoch"], store.epoch());
    }
}
