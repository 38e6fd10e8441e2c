//! The rest of a long answer, as its session holds it. [`long`](super::long) and
//! [`history`](super::history) produce its objects.

use std::sync::Arc;

use crate::name::UserName;

use super::ConnId;
use super::layout::Layout;
use super::target::Target;

/// The rest of a long answer.
#[derive(Debug)]
pub(super) enum LongAnswer {
    List(List),
    /// An answer of the application's, cut into objects already.
    Text(Parts),
    /// A page of history.
    Page(PagePart),
    /// The mailbox of a user who has logged in, page by page.
    Mail(Mail),
}

/// Texts, each of which is an object.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) texts: std::vec::IntoIter<String>,
    pub(super) total: usize,
    pub(super) said: usize,
}

/// A mailbox that is being handed over.
#[derive(Debug)]
pub(super) struct Mail {
    pub(super) account: UserName,
    /// The page at hand, empty while the next one is asked for.
    pub(super) page: Vec<(u64, String)>,
    /// How many messages of it were said, and how many of those were too long for the reader.
    pub(super) said: usize,
    pub(super) left_out: usize,
    /// Whether a page came before this one.
    pub(super) is_continued: bool,
}

/// A list in as many parts as it takes, within the bounds of an answer (B11).
#[derive(Debug)]
pub(super) struct List {
    pub(super) layout: Layout,
    /// The text before the first entry, or of each line.
    pub(super) head: String,
    pub(super) style: Style,
    pub(super) entries: Entries,
    /// How many entries there were when the list was asked for.
    pub(super) count: usize,
    /// How many parts it takes, as far as is known.
    pub(super) parts: usize,
    pub(super) is_measured: bool,
    /// How many parts and entries were said.
    pub(super) said: usize,
    pub(super) listed: usize,
}

/// What the parts of a list look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `HEAD: a, b (1/2)`.
    Answer,
    /// `HEAD part=1/2 names="a,b"`.
    Line,
}

impl Style {
    pub(super) fn separator(self) -> &'static str {
        match self {
            Style::Answer => ", ",
            Style::Line => ",",
        }
    }
}

/// The entries of a list, from some place on. Entries that come or go meanwhile may be in it or not;
/// each of the others is in it once.
#[derive(Debug)]
pub(super) enum Entries {
    /// Users, in the order of their connections, but perhaps one.
    Users { except: Option<ConnId>, after: Option<ConnId> },
    /// Rooms behind that name.
    Rooms { after: Option<Arc<str>> },
    /// Those who were members when the list was asked for.
    Members { ids: Box<[ConnId]>, at: usize },
    /// Bans behind that target.
    Bans { after: Option<Target> },
    /// Mutes behind that name.
    Mutes { after: Option<UserName> },
}

impl Entries {
    pub(super) fn start_again(&mut self) {
        match self {
            Entries::Users { after, .. } => *after = None,
            Entries::Rooms { after } => *after = None,
            Entries::Members { at, .. } => *at = 0,
            Entries::Bans { after } => *after = None,
            Entries::Mutes { after } => *after = None,
        }
    }
}

/// A page of history that is being shown.
#[derive(Debug)]
pub(super) struct PagePart {
    /// The first line of the answer; empty after it was sent.
    pub(super) head: String,
    /// The name that the user knows the conversation by.
    pub(super) what: String,
    pub(super) messages: Vec<(u64, String)>,
    pub(super) said: usize,
    pub(super) left_out: usize,
}

impl PagePart {
    pub(super) fn held(&self) -> usize {
        held(&self.messages) + self.head.capacity() + self.what.capacity()
    }

    pub(super) fn tail(&self) -> String {
        let mut tail = format!("end of history {}", self.what);
        if self.left_out > 0 {
            tail.push_str(&format!(": {} of them were too long for you", self.left_out));
        }
        tail
    }
}

impl LongAnswer {
    /// Bytes of heap that it holds.
    pub(super) fn held(&self) -> usize {
        let of_texts = |texts: &[String]| texts.iter().map(|text| text.capacity() + 24).sum();
        match self {
            LongAnswer::List(List { entries: Entries::Members { ids, .. }, .. }) => {
                size_of_val(&**ids)
            }
            LongAnswer::List(_) => 0,
            LongAnswer::Text(parts) => of_texts(parts.texts.as_slice()),
            LongAnswer::Page(page) => page.held(),
            LongAnswer::Mail(mail) => held(&mail.page),
        }
    }
}

/// Bytes of heap that messages take.
pub(super) fn held(messages: &[(u64, String)]) -> usize {
    messages.iter().map(|(_, object)| object.capacity() + size_of::<(u64, String)>()).sum()
}
