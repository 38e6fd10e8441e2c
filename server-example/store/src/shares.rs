//! Fair shares of the history: how much space each sender uses, and which messages are evicted when
//! the file exceeds `--history-max`.
//!
//! Each message is charged to a **share**: the messages of one sender in one conversation. The shares
//! form a tree with three levels, and each node counts the bytes below it:
//!
//! ```text
//! origin                 an IPv4 address, or an IPv6 network of 64 bits
//! └── sender             a name from that origin
//!     └── share          a conversation of that sender
//!         └── owned      its messages, by id
//! ```
//!
//! Eviction takes the heaviest origin, its heaviest sender and the heaviest share of that sender, and
//! removes the oldest messages of that share. It stops when the share, the sender or the origin is no
//! longer the heaviest, and selects again. So usage is cut from the top (max-min fairness): an origin
//! that uses less than the others loses nothing. Many names, rooms or connections of one address are
//! one origin. A user behind the same address keeps the messages while another name of that address
//! uses more. Usage is compared in units of 4 KiB, so that small differences do not count: among equal
//! nodes the oldest one loses its oldest messages first.
//!
//! Limits of this: an attacker with `n` addresses can push every origin down to `1/n` of the file, and
//! an attacker with `n` names can do so to the other names of the same address. Old messages of many
//! light origins are never evicted while heavier ones exist; `--history-keep` removes them by age.
//!
//! The cost per message is one entry in `owned`. It is written with the entry in `place`, for many
//! messages at a time, so the counters are exact for messages up to `placed_to` and say nothing of the
//! few above. One transaction changes messages, entries and counters, so that they survive a kill. A
//! share costs [`SHARE_COST`] beside its messages, and its rows go with its last message: empty rows
//! cannot accumulate, and a sender with one message in each of many rooms is charged for the rows.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use rusqlite::{Connection, OptionalExtension, Transaction};
use serde::Deserialize;

use super::database::used_bytes;

/// The cost of a message beside its object: its entries in the tables.
pub(super) const MESSAGE_COST: i64 = 64;
/// The cost of a share beside its messages: the rows of its counters and its conversation.
pub(super) const SHARE_COST: i64 = 512;
/// Messages, and bytes of them, that one step of the eviction removes.
const STEP: usize = 4_096;
const STEP_BYTES: i64 = 2 << 20;
/// Bytes that one look for the heaviest may remove, however little the file exceeds its bound.
const LEAST_BYTES: i64 = 64 << 10;
/// At least this part of a share is evicted at once.
const PART: i64 = 16;

/// The sender of a message, as it is charged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Who {
    origin: Box<str>,
    name: Box<str>,
}

#[derive(Deserialize)]
struct Object {
    from: From,
}

#[derive(Deserialize)]
struct From {
    name: String,
    #[serde(default)]
    ip: String,
}

impl Who {
    /// The sender of an object. The result for the same text never changes, because the counters
    /// depend on it.
    pub(super) fn of(object: &str) -> Self {
        match serde_json::from_str::<Object>(object) {
            Ok(Object { from }) => Who { origin: origin(&from.ip).into(), name: from.name.into() },
            Err(_) => Who { origin: "".into(), name: "".into() },
        }
    }
}

/// The network that an address is charged to; empty for a text that is no address.
fn origin(address: &str) -> String {
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.to_string(),
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Err(_) => String::new(),
    }
}

/// The number of a share, which is made if it is not there.
pub(super) fn number(act: &Connection, conversation: i64, who: &Who) -> rusqlite::Result<i64> {
    if let Some(share) = find(act, conversation, who)? {
        return Ok(share);
    }
    act.prepare_cached("INSERT OR IGNORE INTO origin(key, bytes) VALUES (?1, 0)")?
        .execute([&who.origin])?;
    act.prepare_cached(
        "INSERT OR IGNORE INTO sender(origin, name, bytes)
         VALUES ((SELECT id FROM origin WHERE key = ?1), ?2, 0)",
    )?
    .execute((&who.origin, &who.name))?;
    let share = act
        .prepare_cached(
            "INSERT INTO share(sender, conversation, bytes)
             SELECT s.id, ?3, 0 FROM origin o JOIN sender s ON s.origin = o.id
             WHERE o.key = ?1 AND s.name = ?2 RETURNING id",
        )?
        .query_row((&who.origin, &who.name, conversation), |row| row.get(0))?;
    grow(act, share, SHARE_COST)?;
    Ok(share)
}

fn find(act: &Connection, conversation: i64, who: &Who) -> rusqlite::Result<Option<i64>> {
    act.prepare_cached(
        "SELECT h.id FROM origin o CROSS JOIN sender s ON s.origin = o.id
         CROSS JOIN share h ON h.sender = s.id
         WHERE o.key = ?1 AND s.name = ?2 AND h.conversation = ?3",
    )?
    .query_row((&who.origin, &who.name, conversation), |row| row.get(0))
    .optional()
}

/// Charges bytes to a share, its sender and its origin.
pub(super) fn grow(act: &Connection, share: i64, bytes: i64) -> rusqlite::Result<()> {
    let sender: i64 = act
        .prepare_cached("UPDATE share SET bytes = bytes + ?2 WHERE id = ?1 RETURNING sender")?
        .query_row((share, bytes), |row| row.get(0))?;
    let origin: i64 = act
        .prepare_cached("UPDATE sender SET bytes = bytes + ?2 WHERE id = ?1 RETURNING origin")?
        .query_row((sender, bytes), |row| row.get(0))?;
    act.prepare_cached("UPDATE origin SET bytes = bytes + ?2 WHERE id = ?1")?
        .execute((origin, bytes))?;
    Ok(())
}

/// Takes bytes off a share, its sender and its origin. A node without messages is deleted.
fn shrink(act: &Connection, share: i64, bytes: i64) -> rusqlite::Result<()> {
    let is_empty =
        !act.prepare_cached("SELECT 1 FROM owned WHERE share = ?1 LIMIT 1")?.exists([share])?;
    let bytes = bytes + if is_empty { SHARE_COST } else { 0 };
    grow(act, share, -bytes)?;
    if is_empty {
        let sender: i64 = act
            .prepare_cached("DELETE FROM share WHERE id = ?1 RETURNING sender")?
            .query_row([share], |row| row.get(0))?;
        let origin: Option<i64> = act
            .prepare_cached(
                "DELETE FROM sender WHERE id = ?1
                 AND NOT EXISTS (SELECT 1 FROM share WHERE sender = ?1) RETURNING origin",
            )?
            .query_row([sender], |row| row.get(0))
            .optional()?;
        if let Some(origin) = origin {
            act.prepare_cached(
                "DELETE FROM origin WHERE id = ?1
                 AND NOT EXISTS (SELECT 1 FROM sender WHERE origin = ?1)",
            )?
            .execute([origin])?;
        }
    }
    Ok(())
}

/// Fills in the tables of this file for messages that have a place, and drops empty conversations.
pub(super) fn fill(act: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut shares = HashMap::<(i64, Who), (i64, i64)>::new();
    let mut messages = act.prepare(
        "SELECT id, conversation, object FROM message
         WHERE id <= (SELECT value FROM state WHERE key = 'placed_to')",
    )?;
    let mut own = act.prepare("INSERT INTO owned(share, id) VALUES (?1, ?2)")?;
    let mut rows = messages.query([])?;
    while let Some(row) = rows.next()? {
        let (id, conversation): (i64, i64) = (row.get(0)?, row.get(1)?);
        let object = row.get_ref(2)?.as_str()?;
        let who = Who::of(object);
        let key = (conversation, who);
        let (share, bytes) = match shares.get_mut(&key) {
            Some(known) => known,
            None => {
                let share = number(act, conversation, &key.1)?;
                shares.entry(key).or_insert((share, 0))
            }
        };
        own.execute((*share, id))?;
        *bytes += cost(object.len());
    }
    for (share, bytes) in shares.into_values() {
        grow(act, share, bytes)?;
    }
    let conversations: Vec<i64> = act
        .prepare("SELECT id FROM conversation")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    drop_empty(act, conversations)
}

/// The cost of a message with an object of so many bytes.
pub(super) fn cost(object: usize) -> i64 {
    i64::try_from(object).unwrap_or(i64::MAX >> 1) + MESSAGE_COST
}

/// Deletes those of the conversations that have no messages. The floor `purged_to` of all
/// conversations without a row rises to what they remembered.
fn drop_empty(
    act: &Connection,
    conversations: impl IntoIterator<Item = i64>,
) -> rusqlite::Result<()> {
    let mut unplaced = None::<HashSet<i64>>;
    for conversation in conversations {
        let has_place = act
            .prepare_cached("SELECT 1 FROM place WHERE conversation = ?1 LIMIT 1")?
            .exists([conversation])?;
        if has_place {
            continue;
        }
        let unplaced = match &mut unplaced {
            Some(known) => known,
            None => unplaced.insert(
                act.prepare_cached(
                    "SELECT DISTINCT conversation FROM message
                     WHERE id > (SELECT value FROM state WHERE key = 'placed_to')",
                )?
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?,
            ),
        };
        if unplaced.contains(&conversation) {
            continue;
        }
        let purged_to: Option<i64> = act
            .prepare_cached("DELETE FROM conversation WHERE id = ?1 RETURNING purged_to")?
            .query_row([conversation], |row| row.get(0))
            .optional()?;
        act.prepare_cached("UPDATE state SET value = max(value, ?1) WHERE key = 'purged_to'")?
            .execute([purged_to.unwrap_or(0)])?;
    }
    Ok(())
}

/// Removes messages with all that belongs to them. [`finish`](Self::finish) has to be called in the
/// same transaction.
pub(super) struct Removal<'a> {
    act: &'a Connection,
    placed_to: i64,
    searched_to: i64,
    /// The conversations that lose messages, with the last id of each.
    lasts: BTreeMap<i64, i64>,
    /// The shares that lose bytes.
    shares: BTreeMap<i64, i64>,
    /// Known numbers of shares; `None` for a share that is not there.
    known: HashMap<(i64, Who), Option<i64>>,
    last: i64,
}

impl<'a> Removal<'a> {
    pub(super) fn new(act: &'a Connection) -> rusqlite::Result<Self> {
        let state = |key: &str| {
            act.prepare_cached("SELECT value FROM state WHERE key = ?1")?
                .query_row([key], |row| row.get(0))
        };
        Ok(Removal {
            act,
            placed_to: state("placed_to")?,
            searched_to: state("searched_to")?,
            lasts: BTreeMap::new(),
            shares: BTreeMap::new(),
            known: HashMap::new(),
            last: 0,
        })
    }

    /// Removes a message, if it is there.
    pub(super) fn take(&mut self, id: i64) -> rusqlite::Result<()> {
        let found: Option<(i64, i64, Option<Who>)> = self
            .act
            .prepare_cached("SELECT conversation, object FROM message WHERE id = ?1")?
            .query_row([id], |row| {
                let object = row.get_ref(1)?.as_str()?;
                let who = (id <= self.placed_to).then(|| Who::of(object));
                Ok((row.get(0)?, cost(object.len()), who))
            })
            .optional()?;
        let Some((conversation, bytes, who)) = found else { return Ok(()) };
        let share = match who.map(|who| (conversation, who)) {
            None => None,
            Some(key) => match self.known.get(&key) {
                Some(&share) => share,
                None => {
                    let share = find(self.act, conversation, &key.1)?;
                    self.known.insert(key, share);
                    share
                }
            },
        };
        self.take_of(id, conversation, share.map(|share| (share, bytes)))
    }

    /// Removes a message of this conversation, whose bytes are charged to this share.
    fn take_of(
        &mut self,
        id: i64,
        conversation: i64,
        charged: Option<(i64, i64)>,
    ) -> rusqlite::Result<()> {
        let act = self.act;
        act.prepare_cached("DELETE FROM message WHERE id = ?1")?.execute([id])?;
        act.prepare_cached("DELETE FROM place WHERE conversation = ?1 AND id = ?2")?
            .execute((conversation, id))?;
        if let Some((share, bytes)) = charged {
            act.prepare_cached("DELETE FROM owned WHERE share = ?1 AND id = ?2")?
                .execute((share, id))?;
            *self.shares.entry(share).or_default() += bytes;
        }
        // words that were not in the search cannot be taken out of it
        if id <= self.searched_to {
            act.prepare_cached("DELETE FROM search WHERE rowid = ?1")?.execute([id])?;
        }
        act.prepare_cached("DELETE FROM mailbox WHERE id = ?1")?.execute([id])?;
        let last = self.lasts.entry(conversation).or_default();
        *last = id.max(*last);
        self.last = id.max(self.last);
        Ok(())
    }

    /// Brings the counters and the conversations up to date. `is_missed`: readers of the
    /// conversations learn that messages are missing.
    pub(super) fn finish(self, is_missed: bool) -> rusqlite::Result<()> {
        let act = self.act;
        if self.last > 0 {
            act.prepare_cached("UPDATE state SET value = max(value, ?1) WHERE key = 'used_to'")?
                .execute([self.last])?;
        }
        for (share, bytes) in self.shares {
            shrink(act, share, bytes)?;
        }
        if is_missed {
            let mut note = act.prepare_cached(
                "UPDATE conversation SET purged_to = max(purged_to, ?2) WHERE id = ?1",
            )?;
            for (conversation, last) in &self.lasts {
                note.execute((conversation, last))?;
            }
        }
        drop_empty(act, self.lasts.into_keys())
    }
}

/// The share that is evicted from next, and how much.
struct Victim {
    share: i64,
    conversation: i64,
    bytes: i64,
}

/// Evicts messages until the file holds at most `most` bytes, in one step of bounded size. All
/// messages must have a place. The number of messages that went.
pub(super) fn evict(act: &Connection, most: u64) -> rusqlite::Result<usize> {
    let (mut gone, mut freed) = (0, 0);
    while gone < STEP && freed < STEP_BYTES {
        let excess = used_bytes(act)?.saturating_sub(most);
        if excess == 0 {
            break;
        }
        let Some(victim) = victim(act)? else { break };
        let excess = i64::try_from(excess).unwrap_or(i64::MAX).max(LEAST_BYTES);
        let most_bytes = victim.bytes.min(excess).min(STEP_BYTES - freed);
        let mut ids = act.prepare_cached(
            "SELECT o.id, ifnull(octet_length(m.object), 0)
             FROM owned o LEFT JOIN message m ON m.id = o.id
             WHERE o.share = ?1 ORDER BY o.id LIMIT ?2",
        )?;
        let mut rows = ids.query((victim.share, (STEP - gone) as i64))?;
        let (mut chosen, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let cost = row.get::<_, i64>(1)? + MESSAGE_COST;
            chosen.push((row.get::<_, i64>(0)?, cost));
            bytes += cost;
            if bytes >= most_bytes {
                break;
            }
        }
        drop(rows);
        let mut removal = Removal::new(act)?;
        for &(id, cost) in &chosen {
            removal.take_of(id, victim.conversation, Some((victim.share, cost)))?;
        }
        removal.finish(true)?;
        gone += chosen.len();
        freed += bytes;
        if chosen.is_empty() {
            break;
        }
    }
    Ok(gone)
}

/// The heaviest share of the heaviest sender of the heaviest origin; among equal ones the oldest.
fn victim(act: &Connection) -> rusqlite::Result<Option<Victim>> {
    // the heaviest node below a parent, and how much heavier it is than the next
    let heaviest = |sql: &str, parent: i64| {
        let mut nodes = act.prepare_cached(sql)?;
        let nodes = nodes.query_map([parent], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let nodes: Vec<(i64, i64, i64)> = nodes.collect::<rusqlite::Result<_>>()?;
        let next = nodes.get(1).map_or(0, |node| node.1);
        Ok::<_, rusqlite::Error>(
            nodes.first().map(|&(id, bytes, of)| (id, bytes, bytes - next, of)),
        )
    };
    let Some((origin, _, over, _)) = heaviest(HEAVIEST_ORIGIN, 0)? else { return Ok(None) };
    let Some((sender, _, over_names, _)) = heaviest(HEAVIEST_SENDER, origin)? else {
        return Ok(None);
    };
    let Some((share, bytes, over_shares, conversation)) = heaviest(HEAVIEST_SHARE, sender)? else {
        return Ok(None);
    };
    let bytes = over.min(over_names).min(over_shares).max(bytes / PART);
    Ok(Some(Victim { share, conversation, bytes }))
}

const HEAVIEST_ORIGIN: &str = "SELECT id, bytes, 0 FROM origin WHERE bytes >> 12 >= ?1
    ORDER BY bytes >> 12 DESC, id LIMIT 2";
const HEAVIEST_SENDER: &str = "SELECT id, bytes, 0 FROM sender WHERE origin = ?1
    ORDER BY bytes >> 12 DESC, id LIMIT 2";
const HEAVIEST_SHARE: &str = "SELECT id, bytes, conversation FROM share WHERE sender = ?1
    ORDER BY bytes >> 12 DESC, id LIMIT 2";

#[cfg(test)]
mod tests {
    use super::super::tests::{TempDir, open};
    use super::*;

    #[test]
    fn a_sender_is_charged_by_its_network_and_name() {
        for (address, key) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("::1", "0:0:0:0::/64"),
            ("", ""),
            ("nonsense", ""),
        ] {
            assert_eq!(origin(address), key);
        }
        let who = Who::of(r#"{"from":{"name":"zo\u00eb","ip":"::1"},"to":"bob","msg":"hi"}"#);
        assert_eq!((&*who.name, &*who.origin), ("zo\u{eb}", "0:0:0:0::/64"));
        assert_eq!(Who::of("no object").name.len(), 0);
    }

    #[test]
    fn the_heaviest_is_found_without_a_scan_and_without_sorting() {
        let directory = TempDir::new();
        let db = open(&directory).connect().unwrap();
        for sql in [HEAVIEST_ORIGIN, HEAVIEST_SENDER, HEAVIEST_SHARE] {
            let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let steps = plan.query_map([1], |row| row.get::<_, String>(3)).unwrap();
            let steps: Vec<String> = steps.map(|step| step.unwrap()).collect();
            assert_eq!(steps.len(), 1, "{steps:?}");
            assert!(steps[0].starts_with("SEARCH ") && steps[0].contains("_by_bytes"), "{steps:?}");
        }
    }
}
