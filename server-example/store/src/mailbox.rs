//! Mailboxes: messages for account owners who are not connected. A message stays in its mailbox until
//! it was handed over, was forgotten, or went for its age or its sender's share of the history.
//!
//! Triggers in the file keep the counters of each account, of each sender and of all mailboxes, so
//! that every way to remove a row counts, also those of other programs on the file.

use std::collections::BTreeMap;

use chatproto::hub::{Left, MailboxBound};
use rusqlite::{Connection, OptionalExtension};
use shared::usage::Usage;

use super::database::{signed, unsigned};
use super::error::Result;
use super::shares::cost;
use super::tables::{Tables, begin};
use super::usage::MAILBOXES_BYTES;
use super::writer::Writer;

/// Messages in one mailbox.
pub(crate) const MAILBOX: usize = 100;
/// Bytes in one mailbox.
pub(crate) const MAILBOX_BYTES: u64 = 1 << 20;
/// Bytes of one sender in all mailboxes.
pub(crate) const SENDER_BYTES: u64 = 256 << 10;
/// Bytes, and messages, of one transaction.
const STEP_BYTES: usize = 1 << 20;
const STEP: usize = 1_024;

/// A message for an account whose owner is not connected.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// The account that gets it.
    pub account: &'a str,
    /// The name of the sender.
    pub from: &'a str,
    /// The conversation of both.
    pub conversation: &'a str,
    /// The id of the message.
    pub id: u64,
    /// Unix time in milliseconds.
    pub at_ms: i64,
    /// The message as JSON.
    pub object: &'a str,
}

impl Writer {
    /// Puts messages into mailboxes, within the bounds. They are on the disk when this returns. The
    /// answers are in the order of the letters. After an error the letters without an answer are
    /// nowhere.
    pub fn leave(&mut self, letters: &[Letter<'_>]) -> (Vec<Left>, Result<()>) {
        let mut answers = Vec::new();
        let mut rest = letters;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fit = rest.iter().take(STEP).take_while(|letter| {
                bytes += letter.object.len();
                bytes <= STEP_BYTES
            });
            let (step, others) = rest.split_at(fit.count().max(1));
            match self.leave_step(step) {
                Ok(step) => answers.extend(step),
                Err(error) => return (answers, Err(error)),
            }
            rest = others;
        }
        (answers, Ok(()))
    }

    fn leave_step(&mut self, letters: &[Letter<'_>]) -> Result<Vec<Left>> {
        self.write_with(|db, tables| {
            let act = begin(db, tables)?;
            let mut answers = Vec::new();
            for letter in letters {
                let answer = leave(&act, tables, letter)?;
                answers.push(answer);
            }
            tables.place_some(&act, letters.len())?;
            act.commit()?;
            Ok(answers)
        })
    }

    /// Removes messages up to this id from a mailbox, and those that were kept before `since_ms`,
    /// which are another owner's. Does not write if there are none.
    pub fn collected(&mut self, account: &str, up_to: u64, since_ms: i64) -> Result<()> {
        self.collected_by([(account, up_to, since_ms)].into_iter())
    }

    /// As [`collected`](Self::collected), for several accounts in one transaction.
    fn collected_by<'a>(
        &mut self,
        accounts: impl Iterator<Item = (&'a str, u64, i64)> + Clone,
    ) -> Result<()> {
        self.write_with(|db, tables| {
            let mut is_there = false;
            for (account, up_to, since_ms) in accounts.clone() {
                is_there = is_there
                    || db
                        .prepare_cached(
                            "SELECT EXISTS(SELECT 1 FROM mailbox JOIN message USING(id)
                             WHERE account = ?1 AND (id <= ?2 OR at_ms < ?3))",
                        )?
                        .query_row((account, signed(up_to), since_ms), |row| row.get(0))?;
            }
            if !is_there {
                return Ok(());
            }
            let act = begin(db, tables)?;
            for (account, up_to, since_ms) in accounts {
                act.prepare_cached(
                    "DELETE FROM mailbox WHERE account = ?1
                     AND (id <= ?2 OR id IN (SELECT b.id FROM mailbox b JOIN message m ON m.id = b.id
                                             WHERE b.account = ?1 AND m.at_ms < ?3))",
                )?
                .execute((account, signed(up_to), since_ms))?;
            }
            act.commit()
        })
    }

    /// Removes a message permanently, if it is in this conversation.
    pub fn forget(&mut self, conversation: &str, id: u64) -> Result<()> {
        self.write_with(|db, tables| {
            let act = begin(db, tables)?;
            let is_there = act
                .prepare_cached(
                    "SELECT 1 FROM message
                     WHERE id = ?1 AND conversation = (SELECT id FROM conversation WHERE name = ?2)",
                )?
                .exists((signed(id), conversation))?;
            if is_there {
                act.pragma_update(None, "secure_delete", true)?;
                tables.remove(&act, [signed(id)], false)?;
                act.pragma_update(None, "secure_delete", "fast")?;
            }
            act.commit()
        })
    }
}

/// Puts a message into a mailbox, if there is room for it.
fn leave(act: &Connection, tables: &mut Tables, letter: &Letter<'_>) -> rusqlite::Result<Left> {
    let bytes = cost(letter.object.len());
    let used = |sql: &str, key: &str| -> rusqlite::Result<(i64, i64)> {
        let found = act
            .prepare_cached(sql)?
            .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(found.unwrap_or((0, 0)))
    };
    let (messages, of_account) =
        used("SELECT messages, bytes FROM mailbox_owner WHERE account = ?1", letter.account)?;
    let (_, of_sender) =
        used("SELECT 0, bytes FROM mailbox_sender WHERE sender = ?1", letter.from)?;
    let (_, in_all) = used("SELECT 0, value FROM state WHERE key = ?1", "mailbox_bytes")?;
    let exceeds = |used: i64, most: u64| unsigned(used + bytes) > most;
    let bound = if messages >= signed(MAILBOX as u64) {
        MailboxBound::Messages(MAILBOX)
    } else if exceeds(of_sender, SENDER_BYTES) {
        MailboxBound::Sender(SENDER_BYTES as usize)
    } else if exceeds(of_account, MAILBOX_BYTES) {
        MailboxBound::Bytes(MAILBOX_BYTES as usize)
    } else if exceeds(in_all, MAILBOXES_BYTES) {
        MailboxBound::Total
    } else {
        tables.append(act, signed(letter.id), letter.conversation, letter.at_ms, letter.object)?;
        act.prepare_cached(
            "INSERT OR IGNORE INTO mailbox(account, id, sender, bytes) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute((letter.account, signed(letter.id), letter.from, bytes))?;
        return Ok(Left::Waiting);
    };
    Ok(Left::Full(bound))
}

/// Accounts whose messages were handed over while the disk took nothing, and up to which id.
#[derive(Debug)]
pub struct HandedOver {
    accounts: BTreeMap<Box<str>, u64>,
    /// The sum of [`Self::cost`] over the accounts.
    usage: Usage,
}

impl Default for HandedOver {
    fn default() -> Self {
        HandedOver { accounts: BTreeMap::new(), usage: Usage::of(Self::MOST_BYTES) }
    }
}

impl HandedOver {
    /// Bytes that the remembered accounts may take.
    pub const MOST_BYTES: usize = 128 << 10;
    /// Accounts whose mail is removed in one transaction, with at most [`MAILBOX`] messages each.
    const STEP: usize = 64;

    /// Bytes of an entry beside its name: nodes of a B-tree are half full at least.
    const ENTRY_BYTES: usize = 3 * size_of::<(Box<str>, u64)>();

    /// Remembers that messages were handed over. False if there is no room. Before the first page
    /// `up_to` is 0, and there is nothing to remember.
    pub fn note(&mut self, account: &str, up_to: u64) -> bool {
        if up_to == 0 {
            return true;
        }
        if let Some(known) = self.accounts.get_mut(account) {
            *known = up_to.max(*known);
            return true;
        }
        let has_room = self.usage.has_room(Self::cost(account));
        if has_room {
            self.usage.add(Self::cost(account));
            self.accounts.insert(account.into(), up_to);
        }
        has_room
    }

    /// Up to which id messages were handed over; 0 if nothing is remembered.
    pub fn up_to(&self, account: &str) -> u64 {
        self.accounts.get(account).copied().unwrap_or(0)
    }

    /// Removes the mail of some accounts from the mailboxes, in one transaction. Whether there are
    /// more accounts.
    pub fn write(&mut self, writer: &mut Writer) -> Result<bool> {
        if self.accounts.is_empty() {
            return Ok(false);
        }
        let step = self.accounts.iter().take(Self::STEP);
        writer.collected_by(step.map(|(account, up_to)| (&**account, *up_to, i64::MIN)))?;
        for _ in 0..Self::STEP {
            let Some((account, _)) = self.accounts.pop_first() else { break };
            self.usage.subtract(Self::cost(&account));
        }
        Ok(!self.accounts.is_empty())
    }

    fn cost(account: &str) -> usize {
        account.len().next_multiple_of(16) + Self::ENTRY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::super::accounts::AccountTable;
    use super::super::share_tests::assert_counted;
    use super::super::tests::{TempDir, leave, mail, object, open};
    use super::*;

    #[test]
    fn each_bound_refuses_with_its_name() {
        let directory = TempDir::new();
        let mut store = open(&directory);
        let (mut writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
        let mut ids = 1..;
        let mut send = |writer: &mut Writer, from: &str, account: &str, text: &str| {
            leave(writer, from, account, ids.next().unwrap(), text)
        };
        for _ in 0..MAILBOX {
            assert_eq!(send(&mut writer, "alice", "bob", "x"), Left::Waiting);
        }
        let full = Left::Full(MailboxBound::Messages(MAILBOX));
        assert_eq!(send(&mut writer, "carol", "bob", "x"), full);
        assert_eq!(send(&mut writer, "alice", "dora", "x"), Left::Waiting);

        // one sender, over several mailboxes, and whatever the mailbox
        let long = "x".repeat(60_000);
        let full = Left::Full(MailboxBound::Sender(SENDER_BYTES as usize));
        for account in ["erin", "fred", "erin", "fred"] {
            assert_eq!(send(&mut writer, "eve", account, &long), Left::Waiting);
        }
        assert_eq!(send(&mut writer, "eve", "gina", &long), full);
        assert_eq!(send(&mut writer, "eve", "gina", "short"), Left::Waiting);
        assert_eq!(send(&mut writer, "friend", "erin", "important"), Left::Waiting);
        // messages that were handed over no longer count
        writer.collected("erin", u64::MAX, i64::MIN).unwrap();
        assert_eq!(send(&mut writer, "eve", "gina", &long), Left::Waiting);

        let full = Left::Full(MailboxBound::Bytes(MAILBOX_BYTES as usize));
        for number in 0..17 {
            let answer = send(&mut writer, &format!("s{number}"), "harry", &long);
            assert_eq!(answer, Left::Waiting, "{number}");
        }
        assert_eq!(send(&mut writer, "s17", "harry", &long), full);
        assert_counted(&store);
        let used = store.usage();
        writer.measure();
        assert!(used.mailboxes().bytes > 20 * 60_000, "{used:?}");

        let db = store.connect().unwrap();
        db.execute(
            "UPDATE state SET value = value + ?1 - 100 WHERE key = 'mailbox_bytes'",
            [MAILBOXES_BYTES as i64 - used.mailboxes().bytes as i64],
        )
        .unwrap();
        let full = Left::Full(MailboxBound::Total);
        assert_eq!(send(&mut writer, "iris", "john", "y"), full);
        assert!(mail(&reader, "john").is_empty());
    }

    #[test]
    fn a_mailbox_that_goes_with_its_account_counts_no_more() {
        let directory = TempDir::new();
        let mut store = open(&directory);
        let mut writer = store.writer().unwrap();
        let mut table = AccountTable::new(store.connect().unwrap());
        let name = chatproto::UserName::new("bob").unwrap();
        table.add(&name, "hash", chatproto::hub::Role::User, 1).unwrap();
        let long = "x".repeat(60_000);
        for id in 1..=4 {
            assert_eq!(leave(&mut writer, "eve", "bob", id, &long), Left::Waiting);
        }
        assert_ne!(leave(&mut writer, "eve", "carol", 5, &long), Left::Waiting);
        table.remove("bob", 2).unwrap();
        assert_eq!(leave(&mut writer, "eve", "carol", 6, &long), Left::Waiting);
        assert_counted(&store);
    }

    #[test]
    fn mail_goes_for_its_age_and_counts_no_more() {
        let directory = TempDir::new();
        let keep = Some(std::time::Duration::from_secs(10));
        let retention = super::super::Retention { keep, max_bytes: None };
        let options = super::super::StoreOptions { retention, ..Default::default() };
        let mut store = super::super::Store::open(directory.path(), options).unwrap();
        let (mut writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
        assert_eq!(leave(&mut writer, "alice", "bob", 1, "soon"), Left::Waiting);
        while writer.maintain(11_000).unwrap() {}
        assert_eq!(mail(&reader, "bob"), [1]);
        while writer.maintain(11_001).unwrap() {}
        assert!(mail(&reader, "bob").is_empty());
        assert_eq!(store.usage().mailboxes().bytes, 0);
        assert_counted(&store);
    }

    #[test]
    fn mail_that_was_handed_over_during_an_outage_is_removed_later() {
        let directory = TempDir::new();
        let mut store = open(&directory);
        let (mut writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
        for id in 1..=3 {
            assert_eq!(leave(&mut writer, "alice", "bob", id, "hi"), Left::Waiting);
        }
        let mut handed_over = HandedOver::default();
        for up_to in [1, 2, 1] {
            assert!(handed_over.note("bob", up_to));
        }
        assert_eq!((handed_over.up_to("bob"), handed_over.up_to("carol")), (2, 0));
        // the first page of everybody is a collection up to 0
        assert!((0..100_000).all(|n| handed_over.note(&format!("new {n}"), 0)));
        let others = (0..100_000).filter(|n| handed_over.note(&format!("u{n}"), 1)).count();
        assert!((1_000..2_000).contains(&others), "{others}");
        assert!(handed_over.usage.bytes <= HandedOver::MOST_BYTES);
        assert!(!handed_over.note(&"long".repeat(10_000), 1));
        assert!(handed_over.note("bob", 2), "it is remembered already");
        assert!(handed_over.write(&mut writer).unwrap(), "there are more than one step takes");
        assert_eq!(mail(&reader, "bob"), [3]);
        assert_eq!(handed_over.up_to("bob"), 0);
        while handed_over.write(&mut writer).unwrap() {}
        assert_eq!((handed_over.accounts.len(), handed_over.usage.bytes), (0, 0));
    }

    #[test]
    fn mail_that_was_handed_over_is_removed_in_few_transactions() {
        let directory = TempDir::new();
        let mut store = open(&directory);
        let mut writer = store.writer().unwrap();
        let mut handed_over = HandedOver::default();
        for id in 1..=100 {
            let account = format!("u{id}");
            assert_eq!(leave(&mut writer, &format!("s{id}"), &account, id, "hi"), Left::Waiting);
            assert!(handed_over.note(&account, id));
        }
        let other = store.connect().unwrap();
        let left = || -> i64 {
            other.query_row("SELECT count(*) FROM mailbox", [], |row| row.get(0)).unwrap()
        };
        // a call is one transaction
        assert!(handed_over.write(&mut writer).unwrap());
        assert_eq!(left(), 100 - HandedOver::STEP as i64);
        assert!(!handed_over.write(&mut writer).unwrap());
        assert_eq!(left(), 0);
    }

    #[test]
    fn letters_of_one_round_are_bounded_together_and_each_has_its_answer() {
        let directory = TempDir::new();
        let mut store = open(&directory);
        let (mut writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
        let object = object("alice", &"x".repeat(2_000));
        let letter = |id| Letter {
            account: "bob",
            from: "alice",
            conversation: "alice\tbob",
            id,
            at_ms: 0,
            object: &object,
        };
        let letters: Vec<_> = (1..=3_000).map(letter).collect();
        let (answers, outcome) = writer.leave(&letters);
        outcome.unwrap();
        let is_waiting = |answer: &&Left| **answer == Left::Waiting;
        assert_eq!(answers.len(), 3_000);
        assert_eq!(answers.iter().filter(is_waiting).count(), MAILBOX);
        assert_eq!(mail(&reader, "bob"), (1..=100).collect::<Vec<_>>());
        assert_counted(&store);
    }

    #[test]
    fn accounts_whose_mail_was_handed_over_take_the_memory_that_they_account_for() {
        use crate::heap::Heap;
        for length in [1, 17, 200, 4_000] {
            let (heap, mut handed_over) = (Heap::now(), HandedOver::default());
            let name = |number: usize| format!("{number:05}{}", "x".repeat(length));
            let noted = (0..20_000).take_while(|number| handed_over.note(&name(*number), 1));
            assert!(noted.count() > 20);
            heap.assert_within(HandedOver::MOST_BYTES, "handed over");
        }
    }
}
