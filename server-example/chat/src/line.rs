//! What a typed line means. What it does to the place where the user is, is in
//! [`place`](super::place).

use std::borrow::Cow;

use chatproto::endpoint::{Arguments, as_argument};
use chatproto::name::EVERYONE;

/// What to do with a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Nothing was typed.
    Empty,
    /// Leave the chat.
    Quit,
    /// Plain text, for whoever is where the user is.
    Text(&'a str),
    /// Send `msg` to `to`.
    Send { to: Cow<'a, str>, msg: Cow<'a, str> },
    /// Become a member of a room, and go there; with a number, see so many messages from before.
    Join(Cow<'a, str>, Option<u32>),
    /// Be a member of a room no longer; `None` is the one where the user is.
    Leave(Option<Cow<'a, str>>),
    /// Go to a room, or back to everybody.
    To(Option<Cow<'a, str>>),
    /// It is meant to choose where the next lines go, and does not say where. If the server might know
    /// what is meant, it is sent: `msg` to `to`.
    Astray(Option<(&'a str, &'a str)>),
    /// It cannot be sent; the sentence says what is missing.
    Mistake(&'static str),
}

/// Names that are known to be there. One of them that contains spaces needs no quotes, and the
/// longest one that fits is meant.
#[derive(Debug, Default)]
pub(super) struct Known<'a> {
    pub(super) users: Vec<&'a str>,
    /// With their `#`.
    pub(super) rooms: Vec<&'a str>,
}

/// The commands that are the client's own.
pub(super) const QUIT: &str = "/quit";
pub(super) const TO: &str = "/to";

/// The commands whose arguments nobody is to see.
const SECRET: [&str; 5] = ["/admin", "/login", "/passwd", "/register", "/unregister"];

/// Where the secret in a typed line begins, if there is one: behind a command that takes one. In
/// which case the command is written does not matter: the secret is one all the same.
pub(super) fn secret_at(line: &str) -> Option<usize> {
    let indent = line.len() - line.trim_start().len();
    let command = line[indent..].split(char::is_whitespace).next()?;
    let behind = indent + command.len();
    (takes_secret(command) && behind < line.len()).then_some(behind)
}

/// Whether messages to this recipient have a secret: it is a command that takes one.
pub(super) fn takes_secret(to: &str) -> bool {
    SECRET.iter().any(|secret| secret.eq_ignore_ascii_case(to.trim()))
}

/// Whether the answer to this command may give the user another name.
pub(super) fn gives_name(to: &str) -> bool {
    matches!(to, "/nick" | "/login")
}

/// Whether the answer to this command may give the user an account. The client asks for state lines behind
/// it: the answer to that shows the outcome.
pub(super) fn logs_in(to: &str) -> bool {
    matches!(to, "/login" | "/register")
}

/// Whether there is a secret in what was typed or pasted.
pub(super) fn has_secret(text: &str) -> bool {
    text.lines().any(|line| secret_at(line).is_some())
}

/// What to ask for when a command that takes a secret is typed without one.
pub(super) fn questions(command: &str) -> &'static [&'static str] {
    match command {
        "/admin" => &["Token: "],
        "/login" | "/unregister" => &["Password: "],
        "/passwd" => &["Present password: ", "New password: ", "The same again: "],
        "/register" => &["New password: ", "The same again: "],
        _ => &[],
    }
}

/// What the first argument of a command of the server's is, as far as the client helps with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    User,
    /// Any room there is.
    Room,
    /// A room where the user is a member.
    OwnRoom,
}

impl Argument {
    /// That of a command, if it has one.
    pub(super) fn of(command: &str) -> Option<Self> {
        match command {
            "/kick" | "/ban" | "/mute" | "/unmute" | "/role" => Some(Argument::User),
            "/join" | "/who" | "/close" => Some(Argument::Room),
            "/leave" | TO => Some(Argument::OwnRoom),
            _ => None,
        }
    }
}

/// Reads a line.
pub(super) fn parse<'a>(line: &'a str, known: &Known<'_>) -> Line<'a> {
    let line = line.trim_end_matches(['\r', '\n']);
    let trimmed = line.trim();
    if trimmed.is_empty() {
        Line::Empty
    } else if let Some(text) = trimmed.strip_prefix("//") {
        // the text itself begins with the second slash
        Line::Text(&trimmed[trimmed.len() - text.len() - 1..])
    } else if trimmed.starts_with('/') {
        command(trimmed, known)
    } else if let Some(rest) = trimmed.strip_prefix('@') {
        addressed(rest, known)
    } else {
        Line::Text(line)
    }
}

/// The room that is the one argument of a command, without its quotes. A name with spaces may stand
/// without them.
pub(super) fn room(text: &str) -> Option<Cow<'_, str>> {
    let name = if text.starts_with('"') {
        let mut arguments = Arguments::new(text);
        let name = arguments.next()?.ok().filter(|_| arguments.rest().is_empty())?;
        name.into_text()
    } else if text.contains('"') && has_spaces(text) {
        return None;
    } else {
        text.trim().into()
    };
    Some(name).filter(|name| is_room(name))
}

/// Whether the server knows it as the name of a room: one character at least, and no space, behind `#`.
fn is_room(name: &str) -> bool {
    name.strip_prefix('#')
        .and_then(|name| name.chars().next())
        .is_some_and(|first| !first.is_whitespace())
}

/// Whether this may be several arguments of a `/join`, and not one name with spaces. Then a word behind the
/// first begins as a room or a number does.
fn may_be_several(text: &str) -> bool {
    let begins = |word: &str| word.starts_with(|first: char| first == '#' || first.is_numeric());
    !text.starts_with('"') && text.split_whitespace().skip(1).any(begins)
}

/// What stands before a number at the end, and that number.
fn without_number(text: &str) -> (&str, Option<u32>) {
    let split = text.rsplit_once(char::is_whitespace);
    let number =
        split.and_then(|(before, last)| Some((before.trim_end(), Some(last.parse().ok()?))));
    number.unwrap_or((text, None))
}

fn command<'a>(line: &'a str, known: &Known<'_>) -> Line<'a> {
    let (to, msg) = first_word(line);
    let send = |msg: Cow<'a, str>| Line::Send { to: to.into(), msg };
    let as_it_is = send(msg.into());
    match to {
        QUIT => Line::Quit,
        "/" if is_like_a_choice(&format!("/{}", first_word(msg).0)) => Line::Astray(None),
        "/" => Line::Mistake("a command has a name: /help lists them"),
        TO if msg.is_empty() || msg.eq_ignore_ascii_case(EVERYONE) => Line::To(None),
        TO => match room(msg) {
            Some(room) => Line::To(Some(room)),
            None => Line::Astray(None),
        },
        "/join" => {
            let (name, number) = without_number(msg);
            match room(name).filter(|_| !may_be_several(name)) {
                Some(name) => Line::Join(name, number),
                None => Line::Astray(Some((to, msg))),
            }
        }
        "/state" => Line::Mistake(STATE),
        "/leave" if msg.is_empty() => Line::Leave(None),
        "/leave" => match room(msg) {
            Some(room)
                if !has_spaces(&room) || msg.starts_with('"') || known.rooms.contains(&&*room) =>
            {
                Line::Leave(Some(room))
            }
            _ => send(with_quotes(msg, &known.rooms)),
        },
        to => match Argument::of(to) {
            Some(Argument::User) => send(with_quotes(msg, &known.users)),
            Some(_) => send(with_quotes(msg, &known.rooms)),
            None if is_like_a_choice(to) => Line::Astray(Some((to, msg))),
            None => as_it_is,
        },
    }
}

fn addressed<'a>(rest: &'a str, known: &Known<'_>) -> Line<'a> {
    let (to, msg): (Cow<'a, str>, _) = if rest.starts_with('"') {
        let mut arguments = Arguments::new(rest);
        let Some(Ok(to)) = arguments.next() else { return Line::Mistake(NAME_QUOTES) };
        let msg = arguments.rest();
        // the text may belong to a name with a quote that is not doubled
        if arguments.text().is_err() {
            return Line::Mistake(TEXT_QUOTES);
        }
        (to.into_text(), msg)
    } else if let Some(length) = longest(rest, known.users.iter().chain(&known.rooms)) {
        (rest[..length].into(), rest[length..].trim_start())
    } else {
        let (to, msg) = first_word(rest);
        (to.into(), msg)
    };
    if to.is_empty() || to == "#" {
        Line::Mistake("a message to one user or room has a name and a text: @NAME TEXT")
    } else if msg.is_empty() {
        Line::Mistake("the name has no text behind it: @NAME TEXT")
    } else {
        Line::Send { to, msg: msg.into() }
    }
}

/// Whether a command was meant for `/join` or `/to`. It is written in another case, `/join` has at most two
/// wrong letters, or `/to` has one. Two letters that have changed places count as one. Signs behind the
/// letters do not count, nor does a room without a space before it.
fn is_like_a_choice(command: &str) -> bool {
    let letters = command.trim_start_matches('/').chars().take_while(|&c| c != '#');
    let word: String = letters.filter(|c| c.is_alphanumeric()).collect();
    let word = word.to_lowercase();
    let is_near = |choice, most| strsim::osa_distance(&word, choice) <= most;
    // `/login` is two letters away
    !takes_secret(command) && (is_near("to", 1) || is_near("join", 2))
}

/// Why `/state` is not sent.
const STATE: &str = "chat follows the server by /state itself, and shows none of its lines";

/// The mistakes with quotes around a name.
const NAME_QUOTES: &str = "the name is not in one pair of double quotes: @\"alice smith\" TEXT; inside them, \
     \"\" stands for one";
const TEXT_QUOTES: &str = "the text has a double quote that is not closed, so the name is not clear: inside the \
     quotes of a name, \"\" stands for one. To write such a text, go to the room first, or leave out the quote";

/// Puts the known name at the beginning of a command's arguments in quotes if it needs them. Arguments that
/// begin with a quote are left as they are.
fn with_quotes<'a>(arguments: &'a str, known: &[&str]) -> Cow<'a, str> {
    let known = longest(arguments, known).filter(|_| !arguments.starts_with('"'));
    match known.map(|length| arguments.split_at(length)) {
        Some((name, rest)) if has_spaces(name) => format!("{}{rest}", as_argument(name)).into(),
        _ => arguments.into(),
    }
}

/// The length of the longest known name with which the text begins, as a word.
fn longest<'k>(text: &str, known: impl IntoIterator<Item = &'k &'k str>) -> Option<usize> {
    let fits = |name: &&str| {
        let behind = text.strip_prefix(*name)?;
        let ends = behind.is_empty() || behind.starts_with(char::is_whitespace);
        ends.then_some(name.len())
    };
    known.into_iter().filter_map(fits).max()
}

fn has_spaces(name: &str) -> bool {
    name.contains(char::is_whitespace)
}

fn first_word(text: &str) -> (&str, &str) {
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Line<'_> {
        let known = Known {
            users: vec!["alice", "alice smith", "bob"],
            rooms: vec!["#green", "#green tea", "#tea"],
        };
        super::parse(line, &known)
    }

    fn parse_unknowing(line: &str) -> Line<'_> {
        super::parse(line, &Known::default())
    }

    fn send<'a>(to: &'a str, msg: &'a str) -> Line<'a> {
        Line::Send { to: to.into(), msg: msg.into() }
    }

    #[test]
    fn plain_text_stays_as_it_is() {
        for line in ["hello", "  indented", "a @bob b", "1 /list", "\"quoted\"", "#tea", "x "] {
            assert_eq!(parse(line), Line::Text(line));
        }
        assert_eq!(parse("hello\r\n"), Line::Text("hello"));
        assert_eq!(parse(" //list is a command"), Line::Text("/list is a command"));
        assert_eq!(parse("///"), Line::Text("//"));
        for line in ["", " ", "\t", "\r\n"] {
            assert_eq!(parse(line), Line::Empty);
        }
    }

    #[test]
    fn commands() {
        assert_eq!(parse("/list"), send("/list", ""));
        assert_eq!(parse(" /help  /list "), send("/help", "/list"));
        assert_eq!(parse("/shout @bob is here"), send("/shout", "@bob is here"));
        assert_eq!(parse("/quit"), Line::Quit);
        assert_eq!(parse(" /quit now"), Line::Quit);
        assert_eq!(parse("/quitter"), send("/quitter", ""));
        assert!(matches!(parse("/ list"), Line::Mistake(_)));
    }

    #[test]
    fn messages_to_one() {
        assert_eq!(parse("@bob hi there"), send("bob", "hi there"));
        assert_eq!(parse("@eve\thi"), send("eve", "hi"));
        assert_eq!(parse("@\"alice smith\" hi"), send("alice smith", "hi"));
        assert_eq!(parse("@\"a\"\" b\" hi"), send("a\" b", "hi"));
        assert_eq!(parse("@\"bob\" say \"hi\""), send("bob", "say \"hi\""));
        assert_eq!(parse("@\"bob\" \"hi\""), send("bob", "\"hi\""));
        assert_eq!(parse("@bob 5\" long"), send("bob", "5\" long"));
        assert_eq!(parse("@\"bob\" hi"), send("bob", "hi"));
        assert_eq!(parse("@#tea hi"), send("#tea", "hi"));
        assert_eq!(parse("@#new hi there"), send("#new", "hi there"));
        assert_eq!(parse("@\"#black tea\" hi"), send("#black tea", "hi"));
    }

    #[test]
    fn the_longest_known_name_is_meant() {
        assert_eq!(parse("@alice smith hi"), send("alice smith", "hi"));
        assert_eq!(parse("@alice smiths hi"), send("alice", "smiths hi"));
        assert_eq!(parse("@alice hi"), send("alice", "hi"));
        assert_eq!(parse("@#green tea hi"), send("#green tea", "hi"));
        assert_eq!(parse("@#green teas hi"), send("#green", "teas hi"));
        assert_eq!(parse_unknowing("@alice smith hi"), send("alice", "smith hi"));
        assert_eq!(parse_unknowing("@#green tea hi"), send("#green", "tea hi"));
    }

    #[test]
    fn the_room_to_join_is_the_whole_rest() {
        for line in ["/join #black tea", "/join  \"#black tea\"", " /join #black tea "] {
            assert_eq!(parse_unknowing(line), Line::Join("#black tea".into(), None), "{line}");
        }
        assert_eq!(parse_unknowing("/join #tea"), Line::Join("#tea".into(), None));
        for line in ["/join #black tea 20", "/join \"#black tea\"  20"] {
            assert_eq!(parse_unknowing(line), Line::Join("#black tea".into(), Some(20)), "{line}");
        }
        assert_eq!(parse_unknowing("/join \"#tea 20\""), Line::Join("#tea 20".into(), None));
        assert_eq!(parse_unknowing("/join \"#a \"\"b\"\"\""), Line::Join("#a \"b\"".into(), None));
        for (line, msg) in [
            ("/join", ""),
            ("/join tea", "tea"),
            ("/join #", "#"),
            ("/join \"#a b\" #c", "\"#a b\" #c"),
            ("/join \"#a b", "\"#a b"),
            ("/join \"#a\"b\"", "\"#a\"b\""),
            ("/join #a \"b\"", "#a \"b\""),
            ("/join # a", "# a"),
            ("/join #a #b", "#a #b"),
            ("/join #a 5x", "#a 5x"),
            ("/join #a 5x 20", "#a 5x 20"),
        ] {
            assert_eq!(parse_unknowing(line), Line::Astray(Some(("/join", msg))), "{line}");
        }
        for line in [
            "/join#tea",
            "/to#tea",
            "/to: #tea",
            "/too #tea",
            "/tp",
            "/jn #tea",
            "/join\u{200b} #tea",
        ] {
            assert!(matches!(parse_unknowing(line), Line::Astray(Some(_))), "{line}");
        }
        assert_eq!(parse_unknowing("/ join #tea"), Line::Astray(None));
        for line in [
            "/who #tea",
            "/time",
            "/ping hi",
            "/roll",
            "/history #tea",
            "/list",
            "/nick x",
            "/mutes",
        ] {
            assert!(matches!(parse_unknowing(line), Line::Send { .. }), "{line}");
        }
        for (line, command, msg) in
            [("/JOIN #a", "/JOIN", "#a"), ("/jion #a", "/jion", "#a"), ("/To #a", "/To", "#a")]
        {
            assert_eq!(parse_unknowing(line), Line::Astray(Some((command, msg))), "{line}");
        }
        assert_eq!(parse_unknowing("/shout #a"), send("/shout", "#a"));
    }

    #[test]
    fn leaving() {
        assert_eq!(parse("/leave"), Line::Leave(None));
        assert_eq!(parse("/leave #new"), Line::Leave(Some("#new".into())));
        assert_eq!(parse("/leave #green tea"), Line::Leave(Some("#green tea".into())));
        assert_eq!(parse("/leave \"#black tea\""), Line::Leave(Some("#black tea".into())));
        assert_eq!(parse("/leave #black tea"), send("/leave", "#black tea"));
        assert_eq!(parse("/leave #green tea now"), send("/leave", "\"#green tea\" now"));
        assert_eq!(parse("/leave tea"), send("/leave", "tea"));
    }

    #[test]
    fn places() {
        for line in ["/to", "/to everyone", " /to Everyone "] {
            assert_eq!(parse(line), Line::To(None), "{line}");
        }
        assert_eq!(parse("/to #tea"), Line::To(Some("#tea".into())));
        assert_eq!(parse("/to #green tea"), Line::To(Some("#green tea".into())));
        assert_eq!(parse("/to \"#green tea\""), Line::To(Some("#green tea".into())));
        for line in ["/to bob", "/to # tea", "/to \"#tea"] {
            assert_eq!(parse(line), Line::Astray(None), "{line}");
        }
        assert!(matches!(parse("/state off"), Line::Mistake(_)));
    }

    #[test]
    fn known_names_in_arguments_get_their_quotes() {
        for (line, to, msg) in [
            ("/kick alice smith", "/kick", "\"alice smith\""),
            ("/ban alice smith 1h too loud", "/ban", "\"alice smith\" 1h too loud"),
            ("/mute alice 1h", "/mute", "alice 1h"),
            ("/unmute \"alice smith\"", "/unmute", "\"alice smith\""),
            ("/role carol jones admin", "/role", "carol jones admin"),
            ("/who #green tea", "/who", "\"#green tea\""),
            ("/close #green tea it is late", "/close", "\"#green tea\" it is late"),
            ("/close #green 1 2", "/close", "#green 1 2"),
            ("/help alice smith", "/help", "alice smith"),
        ] {
            assert_eq!(parse(line), send(to, msg), "{line}");
        }
    }

    #[test]
    fn secrets_are_behind_some_commands() {
        for (line, at) in [
            ("/login secret", Some(6)),
            ("  /LOGIN\tsecret", Some(8)),
            ("/login ", Some(6)),
            ("/passwd old new", Some(7)),
            ("/login", None),
            ("/logins secret", None),
            ("say /login secret", None),
            ("/join #login", None),
            ("", None),
        ] {
            assert_eq!(secret_at(line), at, "{line}");
        }
        assert!(has_secret("hello\n/admin token\nhello"));
        assert!(!has_secret("hello\n/list\nhello"));
        for command in SECRET {
            assert!(!questions(command).is_empty(), "{command}");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_a_mistake() {
        for line in [
            "@",
            "@ hi",
            "@# hi",
            "@bob",
            "@alice smith",
            "@#tea",
            "@\"\" hi",
            "@\"bob\"",
            "@\"bob hi",
            "@\"carol jones\"hi",
            "@\"a\" b\" secret",
            "/",
        ] {
            assert!(matches!(parse(line), Line::Mistake(_)), "{line}");
        }
    }
}
