//! Long answers: lists, pages of history and mailboxes that are more than one object. They are produced
//! object by object, each when the connection has taken the one before, so that a request costs the
//! server no more at a time than a message does, and a reader no more memory than an object.
//!
//! While an answer is produced, the connection's input waits, and what others send to it is queued
//! behind the answer (see [`Outgoing::Begin`](super::Outgoing::Begin)).

use std::borrow::Cow;
use std::ops::Bound;
use std::sync::Arc;

use super::hub::Call;
use super::layout::Part;
use super::lines::unlike_line;
use super::long_answer::{Entries, List, LongAnswer, Style};
use super::room::RoomId;
use super::session::Session;
use super::{ConnId, Hub, Now, Output};

impl Entries {
    pub(super) fn members(hub: &Hub, room: RoomId) -> Self {
        let ids = hub.rooms.get(room).map_or(&[][..], |room| &room.members);
        Entries::Members { ids: ids.into(), at: 0 }
    }

    /// Goes on through the entries as long as they are taken. Returns whether all were, and how many
    /// were looked at.
    fn walk(&mut self, hub: &Hub, now: Now, mut take: impl FnMut(&str) -> bool) -> (bool, usize) {
        let (mut is_over, mut looked_at) = (true, 0);
        match self {
            Entries::Users { except, after } => {
                let take = |conn, session: &Session| {
                    Some(conn) == *except || session.name().is_none_or(&mut take)
                };
                (is_over, *after, looked_at) = hub.users.walk(*after, take);
            }
            Entries::Rooms { after } => {
                let (from, mut line) = (after.clone(), String::new());
                for room in hub.rooms.after(from.as_ref()) {
                    looked_at += 1;
                    line.clear();
                    room.describe(&mut line);
                    is_over = take(&line);
                    if !is_over {
                        break;
                    }
                    *after = Some(Arc::clone(&room.name));
                }
            }
            Entries::Members { ids, at } => {
                while let Some(&conn) = ids.get(*at) {
                    looked_at += 1;
                    // members that have left since are not listed
                    is_over = hub.users.get(conn).and_then(Session::name).is_none_or(&mut take);
                    if !is_over {
                        break;
                    }
                    *at += 1;
                }
            }
            Entries::Bans { after } => {
                let from = after.clone();
                let bound = from.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
                for (target, ban) in hub.sanctions.bans_from(bound, now.monotonic) {
                    looked_at += 1;
                    is_over = take(&ban.line(now.monotonic));
                    if !is_over {
                        break;
                    }
                    *after = Some(target.clone());
                }
            }
            Entries::Mutes { after } => {
                let from = after.clone();
                let bound = from.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
                for (name, mute) in hub.sanctions.mutes_from(bound, now.monotonic) {
                    looked_at += 1;
                    is_over = take(&mute.line(now.monotonic));
                    if !is_over {
                        break;
                    }
                    *after = Some(name.clone());
                }
            }
        }
        (is_over, looked_at)
    }
}

/// A part of a list that is being filled.
struct Filling {
    style: Style,
    part: Part,
    text: String,
    listed: usize,
}

impl Filling {
    #[inline(always)]
    fn take<const WRITES: bool>(&mut self, entry: &str) -> bool {
        match self.style {
            Style::Answer => self.take_as_it_is::<WRITES>(entry, Style::Answer.separator()),
            Style::Line => self.take_as_it_is::<WRITES>(&doubled(entry), Style::Line.separator()),
        }
    }

    #[inline(always)]
    fn take_as_it_is<const WRITES: bool>(&mut self, entry: &str, separator: &str) -> bool {
        if !self.part.takes(entry, separator) {
            return false;
        }
        if WRITES {
            if self.listed > 0 {
                self.text.push_str(separator);
            }
            self.text.push_str(entry);
        }
        self.listed += 1;
        true
    }
}

/// A name inside of quotes.
fn doubled(name: &str) -> Cow<'_, str> {
    match name.contains('"') {
        true => name.replace('"', "\"\"").into(),
        false => Cow::Borrowed(name),
    }
}

impl List {
    /// Fills a part with the entries from here on, as far as it has room; whether there are no more. The
    /// text is written, or only measured.
    fn fill<const WRITES: bool>(
        &mut self,
        hub: &Hub,
        now: Now,
        out: &mut Output,
    ) -> (bool, String) {
        let is_first = if WRITES { self.said == 0 } else { self.parts == 0 };
        let (style, line);
        let (head, measured) = match self.style {
            Style::Answer if is_first => (&*self.head, &*self.head),
            Style::Answer => ("", ""),
            Style::Line => {
                // the quote at the end is in the room that is left for the number of the rest
                line = format!("{} part=16/16 names=\"", self.head);
                ("", &*line)
            }
        };
        style = self.style;
        let text = if WRITES { head.to_owned() } else { String::new() };
        let mut filling = Filling { style, part: self.layout.part(measured), text, listed: 0 };
        let take = |entry: &str| filling.take::<WRITES>(entry);
        let (is_over, looked_at) = self.entries.walk(hub, now, take);
        self.listed += filling.listed;
        out.examine(looked_at);
        (is_over, filling.text)
    }

    /// Counts one more part. Whether all are counted.
    fn measure(&mut self, hub: &Hub, now: Now, out: &mut Output) -> bool {
        let (is_over, _) = self.fill::<false>(hub, now, out);
        self.parts += 1;
        self.is_measured = is_over || self.parts == self.layout.most();
        if self.is_measured {
            self.entries.start_again();
            self.listed = 0;
        }
        self.is_measured
    }

    /// The next part, and whether it is the last.
    fn next(&mut self, hub: &Hub, now: Now, out: &mut Output) -> (String, bool) {
        let (is_over, mut text) = self.fill::<true>(hub, now, out);
        self.said += 1;
        let is_last = self.said == self.parts;
        let more = (is_last && !is_over).then(|| self.count.saturating_sub(self.listed).max(1));
        let (head, said, parts) = (&self.head, self.said, self.parts);
        let text = match self.style {
            Style::Answer => {
                if let Some(more) = more {
                    text.push_str(&format!("{}and {more} more", self.style.separator()));
                }
                if parts == 1 { text } else { format!("{} ({said}/{parts})", text.trim_end()) }
            }
            Style::Line => {
                let more = more.map_or(String::new(), |more| format!(" more={more}"));
                let part = if parts == 1 { String::new() } else { format!(" part={said}/{parts}") };
                return (format!("{head}{part} names=\"{text}\"{more}"), is_last);
            }
        };
        (unlike_line(&text).into_owned(), is_last)
    }
}

impl Hub {
    /// Whether a long answer to the connection is being produced, so that its input must wait:
    /// [`Hub::handle_writable`] is to be called as often as the connection takes an object.
    pub fn is_answering(&self, conn: ConnId) -> bool {
        self.users.get(conn).and_then(Session::answer).is_some()
    }

    /// Bytes of heap that the hub holds for the rest of a long answer.
    pub fn held(&self, conn: ConnId) -> usize {
        self.users.get(conn).and_then(Session::answer).map_or(0, LongAnswer::held)
    }

    /// The connection has taken everything in front of the next object of its long answer, which is
    /// produced now. Whether that can be asked again at once or when it was taken: not while the
    /// answer waits for an effect, nor when it is complete.
    pub fn handle_writable(&mut self, conn: ConnId, now: Now, out: &mut Output) -> bool {
        if self.is_waiting_for_effect(conn) {
            return false;
        }
        let Some(mut answer) = self.take_answer(conn) else { return false };
        let mut call = Call { hub: self, conn, now, out };
        let is_over = match &mut *answer {
            LongAnswer::List(list) if !list.is_measured => {
                list.measure(call.hub, now, call.out);
                false
            }
            LongAnswer::List(list) => {
                let (text, is_last) = list.next(call.hub, now, call.out);
                call.say_part(&text);
                is_last
            }
            LongAnswer::Text(parts) => {
                if let Some(text) = parts.texts.next() {
                    parts.said += 1;
                    call.say_part(&format!("{} ({}/{})", text.trim_end(), parts.said, parts.total));
                }
                parts.texts.as_slice().is_empty()
            }
            LongAnswer::Page(page) => page.say_some(&mut call),
            LongAnswer::Mail(mail) => {
                if mail.said < mail.page.len() {
                    mail.say_some(&mut call);
                    false
                } else {
                    let handed_over = mail.page.last().map_or(0, |(id, _)| *id);
                    (mail.page, mail.is_continued) = (Vec::new(), true);
                    !call.ask_for_mail(mail.account.clone(), handed_over)
                }
            }
        };
        if is_over {
            call.out.end_answer(conn);
            self.send_owed(conn, now, out);
        } else {
            call.hub.put_answer(conn, answer);
        }
        self.read_pages(out);
        self.is_answering(conn) && !self.is_waiting_for_effect(conn)
    }

    /// The rest of a long answer was dropped: its reader is too slow, or gone. The connection's input
    /// may go on.
    pub fn handle_answer_dropped(&mut self, conn: ConnId, out: &mut Output) {
        if let Some(LongAnswer::Mail(_)) = self.take_answer(conn).as_deref() {
            // messages that were not handed over are at the next login
            self.abandon(conn, None);
        }
        self.forget_owed(conn);
        self.read_pages(out);
    }

    /// Takes the long answer that is being produced for a connection.
    pub(super) fn take_answer(&mut self, conn: ConnId) -> Option<Box<LongAnswer>> {
        let answer = self.users.get_mut(conn)?.take_answer()?;
        self.held -= answer.held();
        Some(answer)
    }

    pub(super) fn put_answer(&mut self, conn: ConnId, answer: Box<LongAnswer>) {
        if let Some(session) = self.users.get_mut(conn) {
            self.held += answer.held();
            session.put_answer(answer);
        }
    }
}

impl Call<'_> {
    /// Answers with a list: at once if it fits one object, or if the reader takes so little that all of
    /// it is little.
    pub(super) fn answer_list(&mut self, head: String, entries: Entries, count: usize) {
        self.list(Style::Answer, head, entries, count);
    }

    /// Sends a list of names as lines for programs: otherwise as [`Call::answer_list`].
    pub(super) fn list_state(&mut self, head: String, entries: Entries, count: usize) {
        self.list(Style::Line, head, entries, count);
    }

    fn list(&mut self, style: Style, head: String, entries: Entries, count: usize) {
        let layout = self.layout();
        let (parts, said, listed) = (0, 0, 0);
        let is_measured = false;
        let mut list =
            List { layout, head, style, entries, count, parts, is_measured, said, listed };
        let (is_over, text) = list.fill::<true>(self.hub, self.now, self.out);
        if is_over {
            return match style {
                Style::Answer => self.say(&text),
                Style::Line => self.say_line(&format!("{} names=\"{text}\"", list.head)),
            };
        }
        list.entries.start_again();
        list.listed = 0;
        if layout.is_ascii() || layout.most() == 1 {
            while !list.measure(self.hub, self.now, self.out) {}
            loop {
                let (text, is_last) = list.next(self.hub, self.now, self.out);
                self.say_as_it_is(&text);
                if is_last {
                    return;
                }
            }
        }
        self.begin_answer(LongAnswer::List(list));
    }

    /// An answer begins that is produced from here on.
    pub(super) fn begin_answer(&mut self, answer: LongAnswer) {
        debug_assert!(!self.hub.is_answering(self.conn), "input waits while one is produced");
        self.out.begin_answer(self.conn, answer.held());
        self.hub.put_answer(self.conn, Box::new(answer));
    }

    /// Says an object of a long answer.
    pub(super) fn say_part(&mut self, text: &str) {
        if let Some(object) = self.write(text) {
            self.out.part(self.conn, object);
        }
    }
}
