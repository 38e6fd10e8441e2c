//! The store against a model in memory: whatever is added, forgotten, purged, given up and reopened,
//! a page holds what the model says. To the new owner of a name, messages of its former owner do not
//! exist.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::tests::{TempDir, object, open};
use super::*;

const ROOMS: [&str; 3] = ["#tea", "#work", "alice\tbob"];

/// What there is, and what waits for the next commit.
#[derive(Default)]
struct Model {
    messages: BTreeMap<u64, (&'static str, String)>,
    waiting: Vec<(u64, &'static str, String)>,
    /// Of the rooms that have messages.
    purged_to: BTreeMap<&'static str, u64>,
    /// Of all others.
    floor: u64,
}

impl Model {
    fn commit(&mut self) {
        for (id, room, object) in std::mem::take(&mut self.waiting) {
            self.messages.insert(id, (room, object));
            self.purged_to.entry(room).or_insert(self.floor);
        }
    }

    fn forget(&mut self, room: &'static str, id: u64) {
        if self.messages.get(&id).is_some_and(|message| message.0 == room) {
            self.messages.remove(&id);
        }
        self.drop_empty();
    }

    fn purge(&mut self, room: &'static str, before: u64) {
        let gone =
            |id: &u64, message: &mut (&'static str, String)| message.0 == room && *id < before;
        let last = self.messages.extract_if(.., gone).map(|(id, _)| id).last();
        if let Some(last) = last {
            let purged_to = self.purged_to.entry(room).or_default();
            *purged_to = last.max(*purged_to);
        }
        self.drop_empty();
    }

    fn drop_empty(&mut self) {
        for room in ROOMS {
            if self.messages.values().all(|message| message.0 != room)
                && let Some(purged_to) = self.purged_to.remove(room)
            {
                self.floor = self.floor.max(purged_to);
            }
        }
    }

    /// What a query should find, told in the plainest way.
    fn page(&self, room: &str, query: &Query) -> (Vec<(u64, &str)>, bool) {
        let matching = self.messages.iter().filter(|(id, message)| {
            message.0 == room
                && query.before.is_none_or(|before| **id < before)
                && query.since.is_none_or(|since| **id > since)
                && **id <= query.up_to
                // a message is as old as its id says
                && **id as i64 >= query.from_ms
        });
        let mut matching: Vec<_> =
            matching.map(|(id, message)| (*id, message.1.as_str())).collect();
        if query.since.is_none() {
            matching.reverse();
        }
        let mut bytes = 0;
        let fit = matching.iter().take(query.most).enumerate().take_while(|(n, message)| {
            bytes += message.1.len();
            *n == 0 || bytes <= query.max_bytes
        });
        let fit = fit.count();
        let more = fit < matching.len();
        matching.truncate(fit);
        if query.since.is_none() {
            matching.reverse();
        }
        (matching, more)
    }
}

fn any_query(random: &mut Rng, next: u64) -> Query {
    let mut id = |chance| (random.u8(..100) < chance).then(|| random.u64(..next + 2));
    let (before, since, up_to, owned_from) = (id(40), id(50), id(40), id(30));
    Query {
        most: random.usize(..30),
        max_bytes: if random.bool() { usize::MAX } else { random.usize(..2_000) },
        before,
        since,
        up_to: up_to.unwrap_or(u64::MAX),
        from_ms: owned_from.map_or(i64::MIN, |id| id as i64),
    }
}

#[test]
fn a_page_holds_what_was_committed_and_is_not_gone() {
    for seed in 0..12 {
        let mut random = Rng::with_seed(seed);
        let directory = TempDir::new();
        let mut store = open(&directory);
        let mut writer = store.writer().unwrap();
        let mut reader = store.reader().unwrap();
        let mut model = Model::default();
        let mut next = 1;
        for _ in 0..150 {
            match random.u8(..100) {
                // the many of one commit get their places later
                0..50 => {
                    let many = if random.u8(..5) == 0 { 100 } else { 5 };
                    for _ in 0..random.u64(..many) {
                        let room = ROOMS[random.usize(..3)];
                        let from = ["alice", "bob", "carol"][random.usize(..3)];
                        let object = object(from, &"x".repeat(random.usize(..200)));
                        writer.append(next, room, next as i64, &object);
                        model.waiting.push((next, room, object));
                        next += 1;
                    }
                }
                50..60 => {
                    let (room, id) = (ROOMS[random.usize(..3)], random.u64(..next + 1));
                    writer.forget(room, id).unwrap();
                    model.forget(room, id);
                }
                60..85 => {
                    writer.commit().unwrap();
                    model.commit();
                }
                85..88 => {
                    writer.discard();
                    model.waiting.clear();
                }
                88..92 => drop(writer.maintain(0).unwrap()),
                92..96 => {
                    let (room, before) = (ROOMS[random.usize(..3)], random.u64(..next + 1));
                    let selection = Selection {
                        conversation: Some(room.into()),
                        before_ms: Some(before as i64),
                    };
                    let mut purge = Purge::open(directory.path(), selection).unwrap();
                    while purge.step().unwrap() > 0 {}
                    model.purge(room, before);
                }
                _ => {
                    // as if it was killed
                    drop((writer, reader, store));
                    model.waiting.clear();
                    store = open(&directory);
                    (writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
                    let newest = model.messages.keys().next_back().map_or(1, |id| id + 1);
                    assert!((newest..=next).contains(&store.next_id()), "seed {seed}");
                    next = store.next_id();
                }
            }
            for _ in 0..3 {
                let room = ROOMS[random.usize(..3)];
                let query = any_query(&mut random, next);
                let page = reader.page(room, &query).unwrap();
                let found: Vec<_> =
                    page.entries.iter().map(|entry| (entry.id, entry.object.as_str())).collect();
                let expected = model.page(room, &query);
                assert_eq!((found, page.more), expected, "seed {seed}, {room:?}, {query:?}");
                let purged_to = model.purged_to.get(room).copied().unwrap_or(model.floor);
                assert_eq!(page.purged_to, purged_to, "seed {seed}, {room:?}");
            }
            share_tests::assert_counted(&store);
        }
    }
}
