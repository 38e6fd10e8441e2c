//! What the server says for programs: whether it sends state lines, and what each of them means for this
//! user. Nothing here looks at a sentence for people, which a user's name can be made to read like.

use chatproto::Message;
use chatproto::name::EVERYONE;
use chatproto::pairs::{Pairs, StateLine};

/// The command that asks for state lines, and its argument.
pub(super) const COMMAND: (&str, &str) = ("/state", "on");

/// Whether the server tells by state lines what changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Knowledge {
    /// It was asked, and has not answered.
    #[default]
    Asked,
    /// It does.
    Lines,
    /// It does not know the command.
    None,
}

/// What a message is for the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen<'m> {
    /// One for people.
    Message,
    /// The answer to [`COMMAND`] of a server that knows it, with what it says of this user.
    Confirmed { name: String, is_logged_in: bool, is_visitor: bool },
    /// The answer to [`COMMAND`]: the server does not know it.
    Unknown,
    /// Something has changed.
    Line(Line<'m>),
    /// A state line of which this client makes nothing.
    Other,
}

/// A change, as far as the client follows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'m> {
    /// The user has another name.
    Name(String),
    /// The user has logged in, or its account is gone.
    LoggedIn(bool),
    /// The user is in a room.
    In(String),
    /// A `/join` was refused.
    Refused,
    /// The user is in a room no longer; whether the server closed it.
    Out { room: String, is_closed: bool },
    /// The server closes the connection.
    Closed(String),
    /// Something about others: for the roster.
    Others(StateLine<'m>),
}

impl Knowledge {
    /// Looks at a message to the user of this name.
    pub(super) fn see<'m>(self, message: &'m Message, me: &str) -> Seen<'m> {
        let Message { to, msg, .. } = message;
        if !message.is_from_server() {
            return Seen::Message;
        }
        match self {
            Knowledge::Asked if *to != me => Seen::Message,
            Knowledge::Asked => match confirmation(msg) {
                Some(pairs) => confirmed(&pairs, me),
                None if is_unknown(msg) => Seen::Unknown,
                None => Seen::Message,
            },
            Knowledge::Lines => match (StateLine::parse(msg), confirmation(msg)) {
                (Some(line), _) => understand(line, to, me),
                (None, Some(pairs)) if *to == me => confirmed(&pairs, me),
                (None, _) => Seen::Message,
            },
            Knowledge::None => Seen::Message,
        }
    }

    /// Whether a server that does not know [`COMMAND`] answers it another time.
    pub(super) fn is_asked_in_vain(self, message: &Message) -> bool {
        let Message { msg, .. } = message;
        self == Knowledge::None
            && message.is_from_server()
            && is_unknown(msg)
            && msg.contains(COMMAND.0)
    }
}

/// Whether this is the form of every answer to an unknown command.
fn is_unknown(msg: &str) -> bool {
    msg.starts_with('❌') && msg.contains("/help")
}

/// The pairs of the answer to [`COMMAND`].
fn confirmation(msg: &str) -> Option<Pairs<'_>> {
    msg.strip_prefix("Reporting on ").and_then(Pairs::parse)
}

fn confirmed<'m>(pairs: &Pairs<'_>, me: &str) -> Seen<'m> {
    let name = pairs.get("name").unwrap_or(me).to_owned();
    let is_true = |key| pairs.get(key) == Some("true");
    Seen::Confirmed { name, is_logged_in: is_true("login"), is_visitor: is_true("visitor") }
}

/// What a line means. It counts only with the `to` that it has to have.
fn understand<'m>(line: StateLine<'m>, to: &str, me: &str) -> Seen<'m> {
    let pairs = &line.pairs;
    let text = |key| pairs.get(key).map(str::to_owned);
    let (is_own, room) = (to == me, pairs.get("room"));
    let is_of_audience = to == room.unwrap_or(EVERYONE);
    let change = match line.kind {
        "renamed" if pairs.get("self") == Some("true") => {
            let is_ours = pairs.get("old") == Some(me) && pairs.get("name") == Some(to);
            is_ours.then(|| Line::Name(to.to_owned()))
        }
        "role" if is_own => {
            pairs.get("login").map(|is_logged_in| Line::LoggedIn(is_logged_in == "true"))
        }
        "moved" if is_own => match (pairs.get("member"), pairs.get("reason")) {
            (Some("true"), _) => text("room").map(Line::In),
            (Some("false"), Some("refused")) => Some(Line::Refused),
            (Some("false"), reason) => {
                text("room").map(|room| Line::Out { room, is_closed: reason == Some("closed") })
            }
            _ => None,
        },
        "closed" if is_own => text("reason").map(Line::Closed),
        "joined" | "left" | "renamed" if is_of_audience => Some(Line::Others(line)),
        "members" if is_own || is_of_audience => Some(Line::Others(line)),
        _ => None,
    };
    change.map_or(Seen::Other, Seen::Line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(knowledge: Knowledge, to: &str, text: &str) -> String {
        let message = Message::new("SERVER", "0.0.0.0", to, text);
        format!("{:?}", knowledge.see(&message, "alice"))
    }

    #[test]
    fn only_the_answer_to_the_question_decides() {
        let see = |to, text| see(Knowledge::Asked, to, text);
        let confirmed = "Reporting on name=alice~7 role=user login=false";
        assert_eq!(
            see("alice", confirmed),
            "Confirmed { name: \"alice~7\", is_logged_in: false, is_visitor: false }"
        );
        let unknown = "❌ Unknown command \"/state\". Send /help to see the commands.";
        assert_eq!(see("alice", unknown), "Unknown");
        for (to, text) in [
            ("#tea", confirmed),
            ("#tea", unknown),
            ("alice", "❌ You are muted."),
            ("alice", "Reporting on tea"),
            ("alice", "State closed reason=kicked"),
        ] {
            assert_eq!(see(to, text), "Message", "{text}");
        }
        let bob = Message::new("bob", "192.0.2.7", "alice", confirmed);
        assert_eq!(Knowledge::Asked.see(&bob, "alice"), Seen::Message);
    }

    #[test]
    fn a_line_counts_where_it_belongs() {
        let see = |to, text| see(Knowledge::Lines, to, text);
        let moved = "State moved room=\"#green tea\" member=true reason=joined";
        assert_eq!(see("alice", moved), "Line(In(\"#green tea\"))");
        let renamed = "State renamed old=alice name=carol self=true";
        assert_eq!(see("carol", renamed), "Line(Name(\"carol\"))");
        assert_eq!(see("alice", "State closed reason=kicked"), "Line(Closed(\"kicked\"))");
        assert!(see("#tea", "State joined room=#tea name=bob").starts_with("Line(Others("));
        assert!(see("Everyone", "State left name=bob reason=left").starts_with("Line(Others("));
        for (to, text) in [
            ("#tea", moved),
            ("bob", renamed),
            ("#tea", "State closed reason=kicked"),
            ("#tea", "State joined room=#cake name=bob"),
            ("#tea", "State joined name=bob"),
            ("alice", "State joined room=#tea name=bob"),
            ("alice", "State moved member=true"),
            ("alice", "State renewed license=yes"),
        ] {
            assert_eq!(see(to, text), "Other", "{text}");
        }
        assert_eq!(see("alice", "State of mind is away: back soon"), "Message");
    }
}
