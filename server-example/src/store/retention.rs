//! What a writer does when there is time: messages get their places, those that are too old or too
//! many go, and space that nothing needs goes back to the disk. Each call does one short step.

use rusqlite::{Connection, Transaction};

use super::Retention;
use super::error::Result;
use super::writer::{Writer, immediate};

/// Messages that go in one step, which takes some 10 ms.
const STEP: i64 = 4_096;
/// Bytes of objects that go in one step, unless the first message has more.
const STEP_BYTES: i64 = 1 << 20;
/// Pages that go back to the disk in one step.
const PAGES: i64 = 1_024;
/// Free pages that are kept for the messages to come, and at least a tenth of the file.
const SPARE_PAGES: i64 = 4_096;

impl Writer {
    /// One step of what can wait; whether there is more to do at once. To be called about once a
    /// second, and when there is nothing to commit as long as there is more to do.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit); the step can be tried again.
    pub(crate) fn maintain(&mut self, now_ms: i64) -> Result<bool> {
        let retention = self.options.retention;
        self.with(|db, tables| {
            if tables.unplaced > 0 {
                let act = immediate(db)?;
                tables.place(&act)?;
                act.commit()?;
            }
            let is_over = retention
                .max_bytes
                .is_some_and(|most| used_bytes(db).is_ok_and(|used| used > most));
            let oldest_ms = retention.oldest_ms(now_ms);
            if let Some(cut) = last_to_go(db, oldest_ms, is_over)? {
                let act = immediate(db)?;
                remove_up_to(&act, cut)?;
                act.commit()?;
                tables.has_removed = true;
                return Ok(true);
            }
            if std::mem::take(&mut tables.has_removed) {
                db.execute("DELETE FROM mailbox WHERE id NOT IN (SELECT id FROM message)", [])?;
            }
            give_back(db)
        })
    }
}

impl Retention {
    /// The time of the oldest message that is kept, or 0.
    pub(super) fn oldest_ms(&self, now_ms: i64) -> i64 {
        self.keep.map_or(0, |keep| {
            now_ms.saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX))
        })
    }
}

/// Bytes of pages that hold something.
pub(super) fn used_bytes(db: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok(super::unsigned((pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?))
}

/// The last id of the oldest messages that go in this step: those before `oldest_ms`, or if there are
/// too many, whatever is oldest. A message that is young enough keeps those after it, whatever their
/// clock said.
fn last_to_go(db: &Connection, oldest_ms: i64, is_over: bool) -> rusqlite::Result<Option<i64>> {
    let mut oldest = db.prepare_cached(
        "SELECT id, at_ms, octet_length(object) FROM message ORDER BY id LIMIT ?1",
    )?;
    let mut rows = oldest.query([STEP])?;
    let (mut cut, mut bytes) = (None, 0);
    while let Some(row) = rows.next()? {
        bytes += row.get::<_, i64>(2)?;
        let is_kept = !is_over && row.get::<_, i64>(1)? >= oldest_ms;
        if is_kept || (bytes > STEP_BYTES && cut.is_some()) {
            break;
        }
        cut = Some(row.get(0)?);
    }
    Ok(cut)
}

/// Takes away all messages up to an id, and notes in their conversations that they are gone.
fn remove_up_to(act: &Transaction<'_>, cut: i64) -> rusqlite::Result<()> {
    act.prepare_cached(
        "UPDATE conversation SET purged_to = max(purged_to, gone.id)
         FROM (SELECT conversation, max(id) AS id FROM message WHERE id <= ?1 GROUP BY conversation) gone
         WHERE conversation.id = gone.conversation",
    )?
    .execute([cut])?;
    act.prepare_cached(
        "DELETE FROM place WHERE (conversation, id) IN (SELECT conversation, id FROM message WHERE id <= ?1)",
    )?
    .execute([cut])?;
    let searched_to: i64 =
        act.query_row("SELECT value FROM state WHERE key = 'searched_to'", [], |row| row.get(0))?;
    if searched_to > 0 {
        act.prepare_cached("DELETE FROM search WHERE rowid <= ?1")?.execute([cut])?;
    }
    act.prepare_cached("DELETE FROM message WHERE id <= ?1")?.execute([cut])?;
    Ok(())
}

/// Gives pages that nothing needs back to the disk; whether there are more.
fn give_back(db: &Connection) -> rusqlite::Result<bool> {
    let pragma = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let spare = |free: i64, all: i64| free - SPARE_PAGES.max(all / 10);
    let surplus = spare(pragma("freelist_count")?, pragma("page_count")?);
    if surplus <= 0 {
        return Ok(false);
    }
    let mut vacuum = db.prepare(&format!("PRAGMA incremental_vacuum({})", surplus.min(PAGES)))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(surplus > PAGES)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{TempDir, ids, object};
    use super::super::{Query, Store, StoreOptions};
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
            writer.leave("bob", id);
        }
        writer.commit().unwrap();
    }

    const ALL: Query = Query {
        most: usize::MAX,
        max_bytes: usize::MAX,
        before: None,
        since: None,
        up_to: u64::MAX,
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
        assert_eq!(reader.waiting("bob").unwrap(), 901);
        let epoch = store.epoch();
        assert!(reader.recovered("#odd", 9_099, epoch).unwrap());
        assert!(!reader.recovered("#odd", 9_098, epoch).unwrap());
        assert!(reader.recovered("#young", 1, epoch).unwrap());
        let db = store.connect().unwrap();
        for table in ["place", "mailbox"] {
            let left: i64 = db
                .query_row(&format!("SELECT min(id) FROM {table}"), [], |row| row.get(0))
                .unwrap();
            assert_eq!(left, 9_100, "{table}");
        }
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
        let (odd, even) = (ids(&reader, "#odd", &ALL), ids(&reader, "#even", &ALL));
        assert_eq!((odd.last(), even.last()), (Some(&11_999), Some(&12_000)));
        assert!(odd.len().abs_diff(even.len()) <= 1);
        let db = store.connect().unwrap();
        let used = used_bytes(&db).unwrap();
        // the rest is what one step takes away
        assert!((1..=most).contains(&used), "{used}");
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let size = std::fs::metadata(store.path()).unwrap().len();
        assert!(size < most + (20 << 20), "{size}");
    }

    #[test]
    fn a_step_looks_at_what_goes_and_not_at_the_rest() {
        let directory = TempDir::new();
        let store = store(&directory, Retention::default());
        let db = store.connect().unwrap();
        let sql = "EXPLAIN QUERY PLAN DELETE FROM place
            WHERE (conversation, id) IN (SELECT conversation, id FROM message WHERE id <= ?1)";
        let mut plan = db.prepare(sql).unwrap();
        let steps: Vec<String> =
            plan.query_map([1], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert_eq!(steps[0], "SEARCH place USING PRIMARY KEY (conversation=? AND id=?)");
        assert!(steps.iter().all(|step| !step.contains("SCAN place")), "{steps:?}");
    }
}
