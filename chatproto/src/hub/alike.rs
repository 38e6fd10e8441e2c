//! Which users look alike: the users by their look-alike keys (see
//! [`lookalike_keys`](crate::name::lookalike_keys)), so that a name finds the users that readers could
//! take for it. What follows from that is decided elsewhere.

use hashbrown::HashTable;

use crate::spare::is_sparse;

use super::ConnId;

/// The holders of names by the hashes of their look-alike keys, of which each has up to four.
#[derive(Debug, Default)]
pub(super) struct Alike {
    entries: HashTable<Entry>,
    /// How many names were taken.
    taken: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Of the key.
    hash: u64,
    conn: ConnId,
    /// The value of [`Alike::taken`] when the connection got its name.
    since: u32,
}

impl Alike {
    pub(super) fn insert(&mut self, hash: u64, conn: ConnId) {
        self.taken = self.taken.wrapping_add(1);
        let entry = Entry { hash, conn, since: self.taken };
        self.entries.insert_unique(hash, entry, |entry| entry.hash);
    }

    pub(super) fn remove(&mut self, hash: u64, conn: ConnId) {
        if let Ok(entry) = self.entries.find_entry(hash, |entry| entry.conn == conn) {
            entry.remove();
        }
    }

    /// The other holders of names with this hash who had their names before this connection.
    pub(super) fn before(&self, hash: u64, conn: ConnId) -> impl Iterator<Item = ConnId> {
        let mine = self.entries.find(hash, |entry| entry.conn == conn);
        // the counter wraps round
        let is_before = move |entry: &&Entry| {
            mine.is_some_and(|mine| (entry.since.wrapping_sub(mine.since) as i32) < 0)
        };
        let alike = self.entries.iter_hash(hash).filter(move |entry| entry.hash == hash);
        alike.filter(is_before).map(|entry| entry.conn)
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    pub(super) fn shrink(&mut self) {
        if is_sparse(self.entries.len(), self.entries.capacity()) {
            self.entries.shrink_to(self.entries.len(), |entry| entry.hash);
        }
    }
}
