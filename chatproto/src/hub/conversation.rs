//! Conversations: records of their messages, and orders to the [`History`](crate::history::History) that stores them.
//!
//! The messages of a room are stored, and those between two users who are logged in. The hub numbers these
//! messages in its order, over all conversations. No number is used twice.

use std::fmt;
use std::sync::Arc;

use crate::name::{RoomName, UserName};

use super::ConnId;
use super::range::Range;

/// What two users, or the members of a room, say to each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Conversation(Arc<str>);

impl Conversation {
    /// That of a room.
    pub fn room(name: &RoomName) -> Self {
        Conversation(name.as_str().into())
    }

    /// That of two users, whose order does not matter.
    pub fn between(one: &UserName, other: &UserName) -> Self {
        Self::of(one.as_str(), other.as_str())
    }

    pub(super) fn of_room(name: &Arc<str>) -> Self {
        Conversation(Arc::clone(name))
    }

    pub(super) fn of(one: &str, other: &str) -> Self {
        let (first, last) = if one <= other { (one, other) } else { (other, one) };
        Conversation([first, "\t", last].concat().into())
    }

    /// A text that no other conversation has: a room's name, which begins with `#`, or two users'
    /// names with a tab between them, the lesser one first. (No name contains a tab.)
    pub fn key(&self) -> &str {
        &self.0
    }
}

/// For people: the room, or `alice and bob`.
impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once('\t') {
            Some((one, other)) => write!(f, "{one} and {other}"),
            None => f.write_str(&self.0),
        }
    }
}

/// A message of the batch that is to be kept.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: u64,
    pub(crate) from: ConnId,
    pub(crate) conversation: Conversation,
    /// In the compact form, with its line feed.
    pub(crate) object: Range,
}

/// Which messages of a conversation are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Selection {
    /// At most so many.
    pub most: usize,
    /// At most so many bytes, but at least one message.
    pub most_bytes: usize,
    /// None above this number: what was said after the request is not in the answer.
    pub up_to: u64,
    /// Where in the conversation.
    pub place: Place,
}

/// Where in a conversation messages are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The newest ones.
    Newest,
    /// The newest ones whose number is below this.
    Before(u64),
    /// The oldest ones whose number is above this, which was given in that epoch.
    Since {
        /// The last number that the reader has.
        id: u64,
        /// The epoch that it was given in.
        epoch: String,
    },
}

/// Something that a user asks of the history, in the hub's order: it concerns all that was kept
/// before.
#[derive(Debug)]
#[non_exhaustive]
pub enum HistoryOrder {
    /// `/sync`: say when everything is safe that came from this connection before. Answered by
    /// [`Completion::Synced`](crate::hub::Completion::Synced).
    Sync {
        /// The connection.
        conn: ConnId,
    },
    /// `/history`: read. Answered by [`Completion::Replayed`](crate::hub::Completion::Replayed).
    Replay {
        /// What is read.
        conversation: Conversation,
        /// Which part of it.
        selection: Selection,
    },
    /// `/forget`: remove one message. Answered by
    /// [`Completion::Forgotten`](crate::hub::Completion::Forgotten).
    Forget {
        /// Where it was said.
        conversation: Conversation,
        /// Its number.
        id: u64,
        /// Only if it is from this user; anybody's if `None`.
        author: Option<UserName>,
    },
    /// Keep a message for a user who is not connected, if there is an account of that name.
    /// Answered by [`Completion::Left`](crate::hub::Completion::Left).
    Leave {
        /// For whom.
        account: UserName,
        /// The sender, who is logged in.
        from: UserName,
        /// Where it is said.
        conversation: Conversation,
        /// Its number.
        id: u64,
        /// The object, without a line feed.
        object: String,
    },
    /// Read the next messages of a user's mailbox, in order, and remove those that were handed over.
    /// Answered by [`Completion::Collected`](crate::hub::Completion::Collected); an empty page means that
    /// the mailbox is empty.
    Collect {
        /// The mailbox's owner, who has logged in.
        account: UserName,
        /// Messages up to this number were handed over, and are removed first; 0 at the beginning.
        handed_over: u64,
        /// At most this many bytes of objects, but at least one message if there is any.
        most_bytes: usize,
    },
}

impl HistoryOrder {
    /// How many bytes its texts have.
    pub(super) fn text_len(&self) -> usize {
        match self {
            HistoryOrder::Sync { .. } => 0,
            HistoryOrder::Replay { conversation, selection } => {
                let epoch = match &selection.place {
                    Place::Since { epoch, .. } => epoch.len(),
                    Place::Newest | Place::Before(_) => 0,
                };
                conversation.key().len() + epoch
            }
            HistoryOrder::Forget { conversation, author, .. } => {
                conversation.key().len() + author.as_ref().map_or(0, |name| name.as_str().len())
            }
            HistoryOrder::Leave { account, from, conversation, object, .. } => {
                account.as_str().len()
                    + from.as_str().len()
                    + conversation.key().len()
                    + object.len()
            }
            HistoryOrder::Collect { account, .. } => account.as_str().len(),
        }
    }
}

/// Messages as they were kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The number and the object of each, in order.
    pub messages: Vec<(u64, String)>,
    /// When each of them was kept, in milliseconds since 1970. Empty if that is not known.
    pub times: Vec<i64>,
    /// There are more of them: before the first one, or after the last one for [`Place::Since`].
    pub has_more: bool,
    /// For [`Place::Since`]: nothing is missing between that number and the first of these.
    pub is_recovered: Option<bool>,
}

/// What became of a message that was to be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Forgotten {
    /// It is gone.
    Gone,
    /// It is another user's.
    NotYours,
    /// There is no such message.
    Unknown,
}

/// What became of a message to a user who is not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Left {
    /// It waits for the user.
    Waiting,
    /// There is no account of that name.
    NoAccount,
    /// A bound of the mailbox is reached.
    Full(MailboxBound),
}

/// A bound of the mailboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MailboxBound {
    /// This many messages wait for the user, which is the most.
    Messages(usize),
    /// The messages that wait for the user take the most bytes that they may.
    Bytes(usize),
    /// The sender's messages, in all mailboxes together, take the most bytes that they may.
    Sender(usize),
    /// All mailboxes together take the most bytes that they may.
    Total,
}

impl fmt::Display for MailboxBound {
    /// The text that follows "NAME is not connected, and".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib = |bytes: usize| bytes.div_ceil(1024);
        match self {
            MailboxBound::Messages(most) => write!(f, "{most} messages wait already."),
            MailboxBound::Bytes(most) => {
                write!(f, "{} KiB of messages wait already.", kib(*most))
            }
            MailboxBound::Sender(most) => {
                write!(f, "{} KiB of your messages wait in mailboxes already.", kib(*most))
            }
            MailboxBound::Total => f.write_str("the server's mailboxes are full."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_of_two_is_one_whoever_speaks() {
        let [alice, bob] = ["alice", "bob"].map(|name| UserName::new(name).unwrap());
        let conversation = Conversation::between(&bob, &alice);
        assert_eq!(conversation, Conversation::between(&alice, &bob));
        assert_eq!(conversation.key(), "alice\tbob");
        assert_eq!(conversation.to_string(), "alice and bob");
        let room = Conversation::room(&RoomName::new("#tea").unwrap());
        assert_eq!((room.key(), room.to_string().as_str()), ("#tea", "#tea"));
    }
}
