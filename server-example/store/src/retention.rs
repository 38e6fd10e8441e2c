//! The periodic work of a writer: messages get their places, old messages and messages beyond
//! `--history-max` are removed ([`shares`](super::shares)), and free pages are returned to the disk.
//! Each call does one short step.

use rusqlite::{Connection, OptionalExtension};

use super::database::{pragma, used_bytes};
use super::error::Result;
use super::options::Retention;
use super::tables::begin;
use super::writer::Writer;

/// Messages that are removed for their age in one step.
const STEP: i64 = 4_096;
/// Bytes of objects that are removed in one step, unless the first message has more.
const STEP_BYTES: i64 = 1 << 20;
/// Pages that are returned to the disk in one step.
const PAGES: i64 = 1_024;
/// A file that exceeds its bound is brought below it by this part of the bound, and at most by
/// `SLACK_MOST` bytes: the eviction need not run with each commit.
const SLACK: u64 = 32;
const SLACK_MOST: u64 = 16 << 20;
/// Free pages that are kept for the messages to come, and at least a tenth of the file.
const SPARE_PAGES: i64 = 4_096;

impl Writer {
    /// Does one step; whether there is more to do at once. To be called about once a
    /// second, and when there is nothing to commit as long as there is more to do.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit); the step can be tried again.
    pub fn maintain(&mut self, now_ms: i64) -> Result<bool> {
        let oldest_ms = self.options.retention.oldest_ms(now_ms);
        let removed = self.write_with(|db, tables| {
            if tables.unplaced > 0 {
                let act = begin(db, tables)?;
                tables.place(&act)?;
                act.commit()?;
            }
            let Some(oldest_ms) = oldest_ms else { return Ok(0) };
            let old = old_ones(db, oldest_ms, now_ms)?;
            let count = old.len() as u64;
            if count > 0 {
                let act = begin(db, tables)?;
                tables.remove(&act, old, true)?;
                act.commit()?;
            }
            Ok(count)
        })?;
        self.removed.old += removed;
        let has_more = removed > 0 || self.evict()? || self.write_with(|db, _| give_back(db))?;
        self.measure();
        Ok(has_more)
    }

    /// Evicts messages if the file exceeds its bound, in one step; whether some went.
    pub(super) fn evict(&mut self) -> Result<bool> {
        let Some(most) = self.options.retention.max_bytes else { return Ok(false) };
        if self.with(|db, _| used_bytes(db))? <= most {
            return Ok(false);
        }
        let gone = self.write_with(|db, tables| {
            let act = begin(db, tables)?;
            tables.place(&act)?;
            let gone = tables.evict(&act, most - (most / SLACK).min(SLACK_MOST))?;
            act.commit()?;
            Ok(gone)
        })?;
        self.removed.surplus += gone as u64;
        Ok(gone > 0)
    }
}

impl Retention {
    /// The time of the oldest message that is kept; `None` if age is no reason to remove any.
    pub(super) fn oldest_ms(&self, now_ms: i64) -> Option<i64> {
        self.keep
            .map(|keep| now_ms.saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// Messages from before `oldest_ms` that go in this step. A message that is young enough keeps those
/// after it, whatever their clock said. One from a time to come, when the clock was wrong, is as old as
/// the next one after it.
fn old_ones(db: &Connection, oldest_ms: i64, now_ms: i64) -> rusqlite::Result<Vec<i64>> {
    let mut oldest = db.prepare_cached(
        "SELECT id, at_ms, octet_length(object) FROM message ORDER BY id LIMIT ?1",
    )?;
    let mut rows = oldest.query([STEP])?;
    let (mut old, mut bytes, mut sure) = (Vec::<i64>::new(), 0, 0);
    while let Some(row) = rows.next()? {
        bytes += row.get::<_, i64>(2)?;
        let at_ms = row.get::<_, i64>(1)?;
        let is_kept = (oldest_ms..=now_ms).contains(&at_ms);
        if is_kept || (bytes > STEP_BYTES && !old.is_empty()) {
            break;
        }
        old.push(row.get(0)?);
        if at_ms < oldest_ms {
            sure = old.len();
        }
    }
    // one step has nothing else
    if sure == 0
        && let Some(&last) = old.last()
    {
        let next = db
            .prepare_cached(
                "SELECT at_ms FROM message WHERE id > ?1 AND at_ms <= ?2 ORDER BY id LIMIT 1",
            )?
            .query_row((last, now_ms), |row| row.get::<_, i64>(0))
            .optional()?;
        if next.is_some_and(|at_ms| at_ms < oldest_ms) {
            sure = old.len();
        }
    }
    old.truncate(sure);
    Ok(old)
}

/// Returns some of all free pages to the disk; whether there are more.
pub(super) fn give_back_all(db: &Connection) -> rusqlite::Result<bool> {
    /// Few, as each takes room in the log.
    const PAGES: i64 = 16;
    let free = pragma(db, "freelist_count")?;
    vacuum(db, PAGES)?;
    let left = pragma(db, "freelist_count")?;
    Ok(left > 0 && left < free)
}

/// Returns free pages to the disk; whether there are more.
fn give_back(db: &Connection) -> rusqlite::Result<bool> {
    let spare = |free: i64, all: i64| free - SPARE_PAGES.max(all / 10);
    let surplus = spare(pragma(db, "freelist_count")?, pragma(db, "page_count")?);
    if surplus <= 0 {
        return Ok(false);
    }
    vacuum(db, surplus.min(PAGES))?;
    Ok(surplus > PAGES)
}

fn vacuum(db: &Connection, pages: i64) -> rusqlite::Result<()> {
    let mut vacuum = db.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{TempDir, ids, object};
    use super::super::{Query, Removed, Store, StoreOptions, share_tests};
    use super::*;

    fn store(directory: &TempDir, retention: Retention) -> Store {
        Store::open(directory.path(), StoreOptions { retention, ..StoreOptions::default() })
            .unwrap()
    }

    /// Adds messages to two rooms in turn, one a second.
    fn add(writer: &mut Writer, ids: std::ops::RangeInclusive<u64>, text: &str) {
        for id in ids {
            let room = if id % 2 == 0 { "#even" } else { "#odd" };
            writer.append(id, room, 1_000 * id as i64, &object("alice", text));
        }
        writer.commit().unwrap();
    }

    const ALL: Query = Query {
        most: usize::MAX,
        max_bytes: usize::MAX,
        before: None,
        since: None,
        up_to: u64::MAX,
        from_ms: i64::MIN,
    };

    #[test]
    fn what_is_too_old_goes_in_steps() {
        let directory = TempDir::new();
        let keep = Some(Duration::from_secs(100));
        let mut store = store(&directory, Retention { keep, max_bytes: None });
        let (mut writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
        add(&mut writer, 1..=10_000, "hi");
        writer.append(10_001, "#young", 20_000_000, "{}");
        writer.commit().unwrap();
        assert!(!writer.maintain(101_000).unwrap());
        assert_eq!(ids(&reader, "#odd", &ALL).len(), 5_000);

        // now the messages up to 9,099 are more than 100 s old
        let mut steps = 0;
        while writer.maintain(9_200_000).unwrap() {
            steps += 1;
        }
        assert_eq!(steps, 3);
        assert_eq!(ids(&reader, "#odd", &ALL).first(), Some(&9_101));
        let even = reader.page("#even", &ALL).unwrap();
        assert_eq!((even.entries[0].id, even.purged_to), (9_100, 9_098));
        assert_eq!(reader.page("#young", &ALL).unwrap().purged_to, 0);
        let epoch = store.epoch();
        assert!(reader.recovered("#odd", 9_099, epoch).unwrap());
        assert!(!reader.recovered("#odd", 9_098, epoch).unwrap());
        assert!(reader.recovered("#young", 1, epoch).unwrap());
        let db = store.connect().unwrap();
        for table in ["place", "owned"] {
            let left: i64 = db
                .query_row(&format!("SELECT min(id) FROM {table}"), [], |row| row.get(0))
                .unwrap();
            assert_eq!(left, 9_100, "{table}");
        }
        share_tests::assert_counted(&store);
    }

    #[test]
    fn a_message_that_is_young_keeps_those_after_it() {
        let directory = TempDir::new();
        let keep = Some(Duration::from_secs(1));
        let mut store = store(&directory, Retention { keep, max_bytes: None });
        let (mut writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
        for (id, at_ms) in [(1, 0), (2, 0), (3, 9_500), (4, 0), (5, 10_000)] {
            writer.append(id, "#tea", at_ms, "{}");
        }
        writer.commit().unwrap();
        while writer.maintain(10_000).unwrap() {}
        assert_eq!(ids(&reader, "#tea", &ALL), [3, 4, 5]);
    }

    #[test]
    fn messages_of_a_wrong_clock_go_with_those_after_them() {
        let directory = TempDir::new();
        let keep = Some(Duration::from_secs(1));
        let mut store = store(&directory, Retention { keep, max_bytes: None });
        let (mut writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
        let far = i64::MAX;
        for (id, at_ms) in [(1, 0), (2, far), (3, far), (4, 8_000), (5, far), (6, 9_500), (7, far)]
        {
            writer.append(id, "#tea", at_ms, "{}");
        }
        writer.commit().unwrap();
        while writer.maintain(10_000).unwrap() {}
        assert_eq!(ids(&reader, "#tea", &ALL), [5, 6, 7]);
        // more of them than one step has
        for id in 8..=2 * STEP as u64 {
            writer.append(id, "#tea", far, "{}");
        }
        writer.append(9_000, "#tea", 10_000, "{}");
        writer.commit().unwrap();
        while writer.maintain(11_000).unwrap() {}
        assert_eq!(ids(&reader, "#tea", &ALL)[..1], [7]);
        writer.take_removed();
        while writer.maintain(20_000).unwrap() {}
        assert_eq!(ids(&reader, "#tea", &ALL), [0; 0]);
        assert_eq!(writer.take_removed(), Removed { old: 2 * STEP as u64 - 5, surplus: 0 });
    }

    #[test]
    fn a_file_that_is_too_large_gets_smaller() {
        let directory = TempDir::new();
        let most = 4 << 20;
        let mut store = store(&directory, Retention { keep: None, max_bytes: Some(most) });
        let (mut writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
        let text = "x".repeat(2_000);
        for first in (1..=12_000).step_by(1_000) {
            add(&mut writer, first..=first + 999, &text);
        }
        while writer.maintain(0).unwrap() {}
        let removed = writer.take_removed();
        assert!(removed.old == 0 && removed.surplus > 9_000, "{removed:?}");
        let (odd, even) = (ids(&reader, "#odd", &ALL), ids(&reader, "#even", &ALL));
        assert_eq!((odd.last(), even.last()), (Some(&11_999), Some(&12_000)));
        assert!(odd.len().abs_diff(even.len()) <= odd.len() / 8);
        let db = store.connect().unwrap();
        let used = used_bytes(&db).unwrap();
        // the difference is the work of one step
        assert!((1..=most).contains(&used), "{used}");
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let size = std::fs::metadata(store.path()).unwrap().len();
        assert!(size < most + (20 << 20), "{size}");
    }
}
