//! A flood evicts its own messages, whoever the senders claim to be, and the counters always describe
//! what the tables hold.

use std::collections::{BTreeMap, BTreeSet};

use super::shares::{SHARE_COST, Who, cost};
use super::tests::{ALL, TempDir, ids, leave, mail, open};
use super::*;

const MOST: u64 = 4 << 20;

fn bounded(directory: &TempDir) -> Store {
    let retention = Retention { keep: None, max_bytes: Some(MOST) };
    let options = StoreOptions { retention, ..StoreOptions::default() };
    Store::open(directory.path(), options).unwrap()
}

fn said(name: &str, ip: &str, text: &str) -> String {
    format!(r##"{{"from":{{"name":"{name}","ip":"{ip}"}},"to":"#tea","msg":"{text}"}}"##)
}

/// All counters are what they would be if they were counted now.
pub(super) fn assert_counted(store: &Store) {
    let db = store.connect().unwrap();
    let rows = |sql: &str| -> Vec<(i64, i64, String, String)> {
        let mut rows = db.prepare(sql).unwrap();
        let rows = rows
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .unwrap();
        rows.map(|row| row.unwrap()).collect()
    };
    let messages = rows(
        "SELECT m.id, m.id <= s.value, c.name, m.object
        FROM message m LEFT JOIN conversation c ON c.id = m.conversation, state s
        WHERE s.key = 'placed_to'",
    );
    let mut shares = BTreeMap::<_, i64>::new();
    let (mut owned, mut conversations) = (BTreeSet::new(), BTreeSet::new());
    for (id, is_placed, conversation, object) in messages {
        if is_placed == 1 {
            let share = (conversation.clone(), Who::of(&object));
            owned.insert((id, share.clone()));
            *shares.entry(share).or_insert(SHARE_COST) += cost(object.len());
        }
        conversations.insert(conversation);
    }
    let who = |name: &str, key: &str| Who::of(&said(name, key.trim_end_matches("/64"), ""));
    let tree = "JOIN sender s ON s.id = h.sender JOIN origin o ON o.id = s.origin
        JOIN conversation c ON c.id = h.conversation";
    let key = |conversation: String, sender: &str| {
        let (name, origin) = sender.split_once('\n').unwrap();
        (conversation, who(name, origin))
    };
    let sender = "c.name, s.name || char(10) || o.key";
    let found = rows(&format!("SELECT h.bytes, 0, {sender} FROM share h {tree}"));
    let found = found.into_iter().map(|(bytes, _, at, sender)| (key(at, &sender), bytes));
    assert_eq!(found.collect::<BTreeMap<_, _>>(), shares);
    let found = rows(&format!(
        "SELECT w.id, 0, {sender} FROM owned w JOIN share h ON h.id = w.share {tree}"
    ));
    let found = found.into_iter().map(|(id, _, at, sender)| (id, key(at, &sender)));
    assert_eq!(found.collect::<BTreeSet<_>>(), owned);
    for sql in [
        "SELECT count(*) FROM sender s WHERE bytes <> (SELECT ifnull(sum(bytes), 0) FROM share WHERE sender = s.id) OR bytes = 0",
        "SELECT count(*) FROM origin o WHERE bytes <> (SELECT ifnull(sum(bytes), 0) FROM sender WHERE origin = o.id) OR bytes = 0",
        "SELECT count(*) FROM mailbox_owner o WHERE (messages, bytes) <> (SELECT count(*), sum(bytes) FROM mailbox WHERE account = o.account)",
        "SELECT count(*) FROM mailbox_sender s WHERE bytes <> (SELECT ifnull(sum(bytes), 0) FROM mailbox WHERE sender = s.sender)",
        "SELECT count(*) FROM state WHERE key = 'mailbox_bytes' AND value <> (SELECT ifnull(sum(bytes), 0) FROM mailbox)",
        "SELECT count(*) FROM mailbox WHERE account NOT IN (SELECT account FROM mailbox_owner) OR sender NOT IN (SELECT sender FROM mailbox_sender)",
        "SELECT count(*) FROM mailbox WHERE id NOT IN (SELECT id FROM message)",
    ] {
        assert_eq!(db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 0, "{sql}");
    }
    let mut names = db.prepare("SELECT name FROM conversation").unwrap();
    let names = names.query_map([], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(names.map(|name| name.unwrap()).collect::<BTreeSet<_>>(), conversations);
}

/// Old messages of honest users, then a flood of 16 MiB; what is left of the former.
fn flood(mut next: impl FnMut(u64) -> (String, String)) -> (TempDir, Store, Vec<u64>) {
    let directory = TempDir::new();
    let mut store = bounded(&directory);
    let (mut writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
    for id in 1..=100 {
        let name = ["alice", "bob"][id as usize % 2];
        writer.append(id, "#tea", 0, &said(name, "192.0.2.7", &format!("old and dear {id}")));
    }
    writer.commit().unwrap();
    let (mut id, mut bytes) = (101, 0);
    while bytes < 4 * MOST {
        for _ in 0..500 {
            let (conversation, object) = next(id);
            bytes += object.len() as u64 + 200;
            writer.append(id, &conversation, 0, &object);
            id += 1;
        }
        writer.commit().unwrap();
        let used = store.usage().history();
        assert!(used <= MOST + (1 << 20), "{used}");
    }
    while writer.maintain(0).unwrap() {}
    assert!(store.usage().history() <= MOST);
    assert_counted(&store);
    let left = ids(&reader, "#tea", &ALL).into_iter().filter(|id| *id <= 100).collect();
    assert!(reader.newest_of_all().unwrap() + 1 >= id, "the newest message is there");
    drop(writer);
    (directory, store, left)
}

fn all() -> Vec<u64> {
    (1..=100).collect()
}

#[test]
fn a_flood_of_one_sender_in_a_room_evicts_its_own_messages() {
    let text = "x".repeat(2_000);
    let (_directory, store, left) =
        flood(|_| ("#tea".into(), said("mallory", "198.51.100.9", &text)));
    assert_eq!(left, all());
    // readers of the room are told
    let reader = store.reader().unwrap();
    assert!(!reader.recovered("#tea", 100, store.epoch()).unwrap());
}

#[test]
fn a_flood_of_many_names_of_one_address_in_many_rooms_evicts_its_own_messages() {
    let (_directory, store, left) =
        flood(|id| (format!("#room{id}"), said(&format!("m{id}"), "198.51.100.9", "x")));
    assert_eq!(left, all());
    let reader = store.reader().unwrap();
    assert!(reader.recovered("#tea", 100, store.epoch()).unwrap());
    assert!(!reader.recovered("#room101", 101, store.epoch()).unwrap(), "it is gone");
    let survey = Survey::of(store.path().parent().unwrap()).unwrap();
    assert!(survey.rooms <= survey.messages);
}

#[test]
fn addresses_of_one_network_are_one_origin() {
    let text = "x".repeat(500);
    let (_directory, _store, left) = flood(|id| {
        let ip = format!("2001:db8:1:2:{:x}:{:x}:0:1", id >> 16, id & 0xffff);
        (format!("#room{}", id % 700), said(&format!("m{id}"), &ip, &text))
    });
    assert_eq!(left, all());
}

#[test]
fn a_flood_from_the_address_of_honest_users_evicts_the_names_that_send_it() {
    let text = "x".repeat(1_000);
    let (_directory, _store, left) = flood(|id| {
        (format!("#r{}", id % 5_000), said(&format!("m{}", id % 40), "192.0.2.7", &text))
    });
    assert_eq!(left, all());
}

#[test]
fn mail_and_other_conversations_of_a_sender_outlast_its_flood_of_a_room() {
    let directory = TempDir::new();
    let mut store = bounded(&directory);
    let (mut writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
    leave(&mut writer, "alice", "bob", 1, "call me");
    writer.append(2, "#work", 0, &said("alice", "127.0.0.1", "a plan"));
    let text = "x".repeat(2_000);
    for id in 3..=6_000 {
        writer.append(id, "#tea", 0, &said("alice", "127.0.0.1", &text));
    }
    writer.commit().unwrap();
    while writer.maintain(0).unwrap() {}
    assert_eq!(mail(&reader, "bob"), [1]);
    assert_eq!(ids(&reader, "#work", &ALL), [2]);
    assert_counted(&store);
}

#[test]
fn senders_that_are_equal_lose_their_oldest_messages_in_turn() {
    let directory = TempDir::new();
    let mut store = bounded(&directory);
    let (mut writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
    let text = "x".repeat(2_000);
    for id in 1..=6_000 {
        let (name, ip) = (format!("u{}", id % 4), format!("192.0.2.{}", id % 4));
        writer.append(id, &format!("#r{}", id % 4), 0, &said(&name, &ip, &text));
    }
    writer.commit().unwrap();
    while writer.maintain(0).unwrap() {}
    let left: Vec<_> = (0..4).map(|n| ids(&reader, &format!("#r{n}"), &ALL)).collect();
    let [most, least] = [left.iter().map(Vec::len).max(), left.iter().map(Vec::len).min()];
    assert!(most.unwrap() - least.unwrap() <= least.unwrap() / 4, "{most:?} {least:?}");
    assert!(left.iter().all(|ids| *ids.last().unwrap() > 5_995));
}

#[test]
fn rooms_without_messages_leave_nothing_behind_and_no_wrong_promise() {
    let directory = TempDir::new();
    let mut store = open(&directory);
    let (mut writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
    for id in 1..=3_000 {
        writer.append(id, &format!("#r{id}"), id as i64, &said("eve", "192.0.2.1", "x"));
    }
    writer.append(3_001, "#tea", 9_000, &said("alice", "192.0.2.1", "hi"));
    writer.commit().unwrap();
    writer.forget("#r1", 1).unwrap();
    assert!(reader.recovered("#r1", 0, store.epoch()).unwrap(), "what is forgotten is not missed");
    let selection = Selection { conversation: None, before_ms: Some(9_000) };
    let mut purge = Purge::open(directory.path(), selection).unwrap();
    while purge.step().unwrap() > 0 {}
    assert_counted(&store);
    let db = store.connect().unwrap();
    for table in ["conversation", "share", "sender", "origin", "owned", "place", "message"] {
        let sql = format!("SELECT count(*) FROM {table}");
        let rows: i64 = db.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert!(rows <= 1, "{table}: {rows}");
    }
    // the writer knows of what another program has removed, and a room that is there again remembers
    writer.append(3_002, "#r7", 9_999, &said("eve", "192.0.2.1", "again"));
    writer.commit().unwrap();
    for (room, since, is_sure) in
        [("#r7", 6, false), ("#r7", 3_000, true), ("#r8", 7, false), ("#tea", 0, true)]
    {
        let found = reader.recovered(room, since, store.epoch()).unwrap();
        assert_eq!(found, is_sure, "{room} since {since}");
    }
    assert_eq!(ids(&reader, "#r7", &ALL), [3_002]);
    assert_counted(&store);
    drop((writer, reader, store));
    assert_eq!(open(&directory).next_id(), 3_003);
}

#[test]
fn the_index_of_the_search_counts_and_goes_with_its_messages() {
    let directory = TempDir::new();
    let mut store = bounded(&directory);
    let (mut writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
    let mut search = Search::open(directory.path()).unwrap();
    let mut random = fastrand::Rng::with_seed(4);
    let mut id = 0;
    for _ in 0..12 {
        for _ in 0..2_000 {
            id += 1;
            let words: Vec<_> = (0..40).map(|_| format!("{:08x}", random.u32(..))).collect();
            writer.append(id, "#tea", 0, &said("alice", "192.0.2.1", &words.join(" ")));
        }
        writer.commit().unwrap();
        while search.catch_up().unwrap().done < id {}
        while writer.maintain(0).unwrap() {}
        assert!(store.usage().history() <= MOST);
    }
    let left = ids(&reader, "#tea", &ALL);
    assert!(left.len() > 1_000, "{}", left.len());
    assert_eq!(left, (id + 1 - left.len() as u64..=id).collect::<Vec<_>>());
    assert_counted(&store);
}
