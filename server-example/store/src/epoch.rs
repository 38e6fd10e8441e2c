//! Epochs: the runs of a server on the file, and the copies of it.

use rusqlite::{Connection, TransactionBehavior};
use shared::clock::now_ms;

use super::database::unsigned;

/// Runs of the server that the file remembers. Readers with a number of an earlier run are told that
/// messages may be missing.
const EPOCHS: i64 = 1_024;

/// One run.
#[derive(Clone, Debug)]
pub(super) struct Epoch {
    pub(super) number: i64,
    pub(super) name: String,
    pub(super) first_id: u64,
}

/// Notes that a server runs from now on, and from which id.
pub(super) fn begin_epoch(db: &mut Connection) -> rusqlite::Result<Epoch> {
    add_epoch(db, None)
}

/// Makes a copy of a file a new incarnation. The server may go on with the original, and store
/// messages that the copy lacks. So the copy gets an epoch without a last id: a reader with an id of
/// an earlier epoch is told that messages may be missing. A closing time without a last id tells this
/// epoch from a run of the server.
pub(super) fn begin_incarnation(db: &mut Connection) -> rusqlite::Result<()> {
    add_epoch(db, Some(now_ms())).map(|_| ())
}

pub(super) fn add_epoch(db: &mut Connection, closed_ms: Option<i64>) -> rusqlite::Result<Epoch> {
    let act = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let used: i64 = act.query_row(
        "SELECT max(
            ifnull((SELECT max(id) FROM message), 0),
            ifnull((SELECT max(last_id) FROM gap), 0),
            ifnull((SELECT max(max(first_id - 1, ifnull(last_id, 0))) FROM epoch), 0),
            ifnull((SELECT max(purged_to) FROM conversation), 0),
            (SELECT max(value) FROM state WHERE key IN ('used_to', 'purged_to')))",
        [],
        |row| row.get(0),
    )?;
    let first_id = used + 1;
    let name = format!("{:016x}", fastrand::u64(..));
    act.execute(
        "INSERT INTO epoch(name, first_id, opened_ms, closed_ms) VALUES (?1, ?2, ?3, ?4)",
        (&name, first_id, now_ms(), closed_ms),
    )?;
    let number = act.last_insert_rowid();
    act.execute("DELETE FROM epoch WHERE number <= ?1", [number - EPOCHS])?;
    act.commit()?;
    Ok(Epoch { number, name, first_id: unsigned(first_id) })
}
