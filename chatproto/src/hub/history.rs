//! Messages that are stored and read again: `/history`, `/sync`, `/cursors`, and the mailboxes of users who
//! are not connected. The types are in [`conversation`](super::conversation).

use crate::argument::as_argument;
use crate::decode::Decoder;
use crate::encode;
use crate::handshake::PeerKind;
use crate::message::MessageRef;
use crate::name::{EVERYONE, GUEST, SERVER, UserName};

use super::archive::{Archive, ranges};
use super::delivery::write_forward;
use super::hub::Call;
use super::lines::listed;
use super::long_answer::{LongAnswer, Mail, PagePart, held};
use super::range::Range;
use super::replies::no_user;
use super::room::RoomId;
use super::session::Session;
use super::waiting::Busy;
use super::{
    Act, Conversation, Effect, Forgotten, HistoryOrder, Hub, Left, Now, Output, Page, Place,
    Record, Selection,
};

/// Most messages of one answer to a stream peer, and to a one-read peer, which gets one every
/// [`Limits::one_read_gap`](crate::Limits::one_read_gap).
const MOST: usize = 256;
const MOST_ONE_READ: usize = 20;
/// How many there are without a number.
pub(super) const USUAL: usize = 20;

/// So many bytes of a page are one piece, unless its first message has more.
const PIECE: usize = 16 * 1024;

impl Hub {
    /// Something is the matter with the history, so that nothing is kept, or (`None`) it is kept
    /// again. Who sends something that would be kept is told, once for each outage.
    pub fn handle_history_state(&mut self, failing: Option<&str>) {
        if let Some(archive) = &mut self.archive {
            archive.set_failing(failing);
        }
    }

    /// A batch of input is over: whoever wants to know is told the numbers of what was kept
    /// (`/cursors`). To be called before the output is handed out.
    pub fn handle_batch_end(&mut self, now: Now, out: &mut Output) {
        let Some(archive) = &mut self.archive else { return };
        for (room, id) in std::mem::take(&mut archive.fresh) {
            let Some(room) = self.rooms.get(room) else { continue };
            let text = format!("cursor {} id={id} epoch={}", as_argument(&room.name), self.epoch());
            let wants = |session: &Session| session.extras().is_some_and(|e| e.wants_cursors);
            let watchers = self.users.sessions(&room.members).filter(|(_, s)| wants(s));
            let watchers: Vec<_> = watchers.map(|(conn, _)| conn).collect();
            for conn in watchers {
                Call { hub: self, conn, now, out }.say_line(&text);
            }
        }
    }

    fn epoch(&self) -> &str {
        self.archive.as_ref().map_or("", |archive| archive.epoch())
    }

    /// Whether it wants cursors; the number of those who do is kept right.
    pub(super) fn set_watching(&mut self, conn: super::ConnId, watches: bool) {
        let (Some(archive), Some(session)) = (&mut self.archive, self.users.get_mut(conn)) else {
            return;
        };
        if session.extras().is_some_and(|extras| extras.wants_cursors) != watches {
            session.extras_mut().wants_cursors = watches;
            archive.watchers = archive.watchers.wrapping_add_signed(if watches { 1 } else { -1 });
        }
    }
}

impl Call<'_> {
    /// Has a message of a room kept, which was written in the form for stream peers.
    pub(super) fn keep_in_room(&mut self, room: RoomId, at: Conversation, object: Range) {
        let Some(id) = self.keep(at, object) else { return };
        if let Some(archive) = self.hub.archive.as_mut().filter(|archive| archive.watchers > 0) {
            archive.fresh.insert(room, id);
        }
    }

    /// Has a message kept; gives its number.
    pub(super) fn keep(&mut self, at: Conversation, object: Range) -> Option<u64> {
        let archive = self.hub.archive.as_mut()?;
        let (id, from) = (archive.next_id(), self.conn);
        self.out.records.push(Record { id, from, conversation: at, object });
        let extras = self.hub.users.get_mut(from)?.extras_mut();
        extras.last_id = id;
        if let Some((outage, reason)) = archive.outage()
            && extras.told_outage != outage
        {
            extras.told_outage = outage;
            let text = format!("❌ Delivered, but history is not being kept: {reason}");
            self.answer(&text);
        }
        Some(id)
    }

    /// A message to somebody who is not connected: it is left for the owner of an account, if the
    /// sender has one too.
    pub(super) fn leave_or_refuse(&mut self, message: &MessageRef<'_>, to: &str) {
        let hub = &*self.hub;
        let account = match (&hub.accounts, &hub.archive) {
            (Some(_), Some(_)) if self.session().is_logged_in() => {
                UserName::from_bytes(to.as_bytes(), hub.limits.name).ok()
            }
            _ => None,
        };
        let Some(account) =
            account.filter(|name| ![EVERYONE, GUEST, SERVER].contains(&name.as_str()))
        else {
            return self.answer(&no_user(to));
        };
        if !self.may_speak() {
            return;
        }
        let (hub, name) = (&*self.hub, account.as_str());
        let Some(sender) = hub.users.get(self.conn) else { return };
        let token = encode::escaped(name);
        let kind = PeerKind::Stream;
        let Ok(range) = write_forward(self.out, &hub.limits, sender, kind, message, &token, name)
        else {
            return self.answer("❌ Not delivered: too long. Send a shorter text.");
        };
        let object = String::from_utf8_lossy(self.out.object_bytes(range)).into_owned();
        self.out.retract(range);
        let conversation = Conversation::of(self.user(), name);
        let Some(archive) = &mut self.hub.archive else { return };
        let id = archive.next_id();
        if let Some(session) = self.hub.users.get_mut(self.conn) {
            session.extras_mut().last_id = id;
        }
        let from = self.user_name();
        self.order(HistoryOrder::Leave { account, from, conversation, id, object });
    }

    /// Asks the history something; the connection waits for the answer. If too much is under way
    /// already, the user is told.
    pub(super) fn order(&mut self, order: HistoryOrder) {
        if let Err(busy) = self.try_to_order(order) {
            self.answer(&format!("❌ The history was not asked: {busy}"));
        }
    }

    fn try_to_order(&mut self, order: HistoryOrder) -> Result<(), Busy> {
        let token = self.hub.wait(self.conn, order.text_len())?;
        match order {
            HistoryOrder::Replay { .. } | HistoryOrder::Collect { .. } => {
                self.hub.request_page(token, order, self.out);
            }
            order => self.out.effects.push_back(Effect::History { token, order }),
        }
        Ok(())
    }

    /// Asks for the next page of the user's mailbox. If too much is under way already, the user is told
    /// that the rest is for another login.
    pub(super) fn ask_for_mail(&mut self, account: UserName, handed_over: u64) -> bool {
        let most_bytes = self.hub.limits.queue_bytes / 4;
        let order = HistoryOrder::Collect { account, handed_over, most_bytes };
        let asked = self.try_to_order(order);
        if let Err(busy) = &asked {
            let busy = busy.to_string();
            let busy = busy.trim_end_matches(" Try again later.");
            self.say_part(&format!(
                "❌ There may be more messages for you, which are kept for your next login: {busy}"
            ));
        }
        asked.is_ok()
    }

    /// Asks for a part of a conversation, up to what was said until now.
    pub(super) fn replay(&mut self, conversation: Conversation, most: usize, place: Place) {
        let most = most.min(match self.session().kind {
            PeerKind::Stream => MOST,
            PeerKind::OneRead => MOST_ONE_READ,
        });
        let most_bytes = self.hub.limits.queue_bytes / 4;
        let up_to = self.hub.archive.as_ref().map_or(0, Archive::last_id);
        let selection = Selection { most, most_bytes, up_to, place };
        self.order(HistoryOrder::Replay { conversation, selection });
    }

    pub(super) fn complete_sync(&mut self, result: Result<(), String>) {
        let id = self.session().extras().map_or(0, |extras| extras.last_id);
        match result {
            Ok(()) => self.answer_line(&format!("synced id={id} epoch={}", self.hub.epoch())),
            Err(reason) => {
                self.answer(&format!("❌ Not everything that you sent is stored: {reason}"));
            }
        }
    }

    pub(super) fn complete_replay(&mut self, at: &Conversation, page: Result<Page, String>) {
        match page {
            Ok(page) => self.show(&self.shown_name(at), page),
            Err(reason) => self.answer(&format!("❌ The history cannot be read: {reason}")),
        }
    }

    /// The name that the user knows a conversation by: the room, or the other user.
    fn shown_name(&self, at: &Conversation) -> String {
        let name = match at.key().split_once('\t') {
            Some((one, other)) if one == self.user() => other,
            Some((one, _)) => one,
            None => at.key(),
        };
        as_argument(name).into_owned()
    }

    /// Shows stored messages as they were sent, between two lines of the server's.
    fn show(&mut self, what: &str, page: Page) {
        let mut head = format!("history {what} count={}", page.messages.len());
        if !page.messages.is_empty() {
            head.push_str(&format!(" ids={}", ranges(page.messages.iter().map(|(id, _)| *id))));
        }
        head.push_str(&format!(" epoch={} more={}", self.hub.epoch(), page.has_more));
        if let Some(is_recovered) = page.is_recovered {
            head.push_str(&format!(" recovered={is_recovered}"));
        }
        if let (Some(&first), Some(&last)) = (page.times.first(), page.times.last()) {
            head.push_str(&format!(" first={} last={}", instant(first), instant(last)));
            if self.wants_times() {
                head.push_str(&format!(" times={}", seconds_after(first, &page.times)));
            }
        }
        let is_short = held(&page.messages) <= PIECE;
        let what = what.to_owned();
        let mut page = PagePart { head, what, messages: page.messages, said: 0, left_out: 0 };
        if !is_short {
            return self.begin_answer(LongAnswer::Page(page));
        }
        self.answer_line(&std::mem::take(&mut page.head));
        for (_, object) in &page.messages {
            match self.again(object) {
                Some(object) => self.out.deliver(self.conn, object),
                None => page.left_out += 1,
            }
        }
        self.answer_line(&page.tail());
    }

    fn wants_times(&self) -> bool {
        self.session().extras().is_some_and(|extras| extras.wants_times)
    }

    /// Writes an object that was stored, in the form that the user reads. None if it is too long.
    fn again(&mut self, object: &str) -> Option<Range> {
        let session = self.hub.users.get(self.conn)?;
        if session.kind == PeerKind::Stream {
            return Some(self.out.object_aside(|log| log.extend_from_slice(object.as_bytes())));
        }
        let mut decoder = Decoder::new(object.len().max(128));
        let Ok(Some(frame)) = decoder.decode(&mut object.as_bytes()) else { return None };
        let json = frame.message().to_owned().to_python_json();
        (json.len() < self.hub.limits.one_read)
            .then(|| self.out.object_aside(|log| log.extend_from_slice(json.as_bytes())))
    }

    /// The next objects of a page, as many as one piece has; how many messages that were, and how many
    /// of them were too long.
    fn say_piece(&mut self, messages: &mut [(u64, String)]) -> (usize, usize) {
        let (mut bytes, mut said, mut left_out) = (0, 0, 0);
        for (_, object) in messages {
            if said > 0 && bytes + object.len() > PIECE {
                break;
            }
            // its memory is given back as soon as it was said
            let object = std::mem::take(object);
            bytes += object.len();
            said += 1;
            match self.again(&object) {
                Some(object) => self.out.part(self.conn, object),
                None => left_out += 1,
            }
        }
        self.out.examine(said);
        (said, left_out)
    }

    pub(super) fn complete_forget(
        &mut self,
        at: &Conversation,
        id: u64,
        result: Result<Forgotten, String>,
    ) {
        let shown = self.shown_name(at);
        let text = match result {
            Ok(Forgotten::Gone) => {
                self.report(Act::Forget, format!("{at} {id}"));
                format!("Forgotten: message {id} of {shown}.")
            }
            Ok(Forgotten::NotYours) => format!("❌ Message {id} of {shown} is not yours."),
            Ok(Forgotten::Unknown) => format!("❌ There is no message {id} in {shown}."),
            Err(reason) => format!("❌ Not forgotten: {reason}"),
        };
        self.answer(&text);
    }

    pub(super) fn complete_leave(&mut self, account: &UserName, result: Result<Left, String>) {
        let text = match result {
            Ok(Left::Waiting) => {
                format!("{account} is not connected, and will get it on logging in.")
            }
            Ok(Left::NoAccount) => no_user(account.as_str()),
            Ok(Left::Full(bound)) => {
                format!("❌ Not delivered: {account} is not connected, and {bound}")
            }
            Err(reason) => {
                format!(
                    "❌ Not delivered: {account} is not connected, and it cannot wait: {reason}"
                )
            }
        };
        self.answer(&text);
    }

    /// A page of the user's mailbox was read; an empty one is the end.
    pub(super) fn complete_collect(&mut self, page: Result<Page, String>) {
        let page = page.unwrap_or_else(|reason| {
            let text =
                format!("❌ Messages that were sent to you meanwhile cannot be read: {reason}");
            self.say_part(&text);
            Page::default()
        });
        let Some(mut answer) = self.hub.take_answer(self.conn) else { return };
        let LongAnswer::Mail(mail) = &mut *answer else { return };
        let count = page.messages.len();
        if count == 0 {
            return self.out.end_answer(self.conn);
        }
        let more = if mail.is_continued { " more" } else { "" };
        let were = if count == 1 { "message was" } else { "messages were" };
        self.say_part(&format!("{count}{more} {were} sent to you while you were away:"));
        if let Some(&first) = page.times.first().filter(|_| self.wants_times()) {
            let times = seconds_after(first, &page.times);
            let line = format!("mail count={count} first={} times={times}", instant(first));
            self.say_part(listed(&line));
        }
        (mail.page, mail.said, mail.left_out) = (page.messages, 0, 0);
        self.hub.put_answer(self.conn, answer);
    }

    /// The owner of an account has logged in: messages that were left are handed over, and all others
    /// come behind them.
    pub(super) fn hand_over_mail(&mut self, account: UserName) {
        let (page, said, left_out, is_continued) = (Vec::new(), 0, 0, false);
        let mail = Mail { account: account.clone(), page, said, left_out, is_continued };
        self.begin_answer(LongAnswer::Mail(mail));
        if !self.ask_for_mail(account, 0) {
            self.hub.take_answer(self.conn);
            self.out.end_answer(self.conn);
        }
    }
}

impl PagePart {
    /// Sends the next piece. Returns whether it was the last.
    pub(super) fn say_some(&mut self, call: &mut Call<'_>) -> bool {
        if !self.head.is_empty() {
            call.say_part(listed(&std::mem::take(&mut self.head)));
        }
        let (said, left_out) = call.say_piece(&mut self.messages[self.said..]);
        self.said += said;
        self.left_out += left_out;
        let is_over = self.said == self.messages.len();
        if is_over {
            call.say_part(listed(&self.tail()));
        }
        is_over
    }
}

impl Mail {
    /// Says the next piece of the page.
    pub(super) fn say_some(&mut self, call: &mut Call<'_>) {
        let (said, left_out) = call.say_piece(&mut self.page[self.said..]);
        self.said += said;
        self.left_out += left_out;
        if self.said == self.page.len() && self.left_out > 0 {
            call.say_part(&format!("{} of them were too long for you.", self.left_out));
        }
    }
}

/// The seconds from the first time to each of them, of times in milliseconds.
fn seconds_after(first: i64, times: &[i64]) -> String {
    let second = |time: i64| time.div_euclid(1_000);
    let seconds = times.iter().map(|&time| (second(time) - second(first)).to_string());
    seconds.collect::<Vec<_>>().join(",")
}

/// A point in time in the form of RFC 3339, to the second, in UTC.
fn instant(milliseconds: i64) -> String {
    let nearest = if milliseconds > 0 { jiff::Timestamp::MAX } else { jiff::Timestamp::MIN };
    let time = jiff::Timestamp::from_millisecond(milliseconds).unwrap_or(nearest);
    format!("{time:.0}")
}
