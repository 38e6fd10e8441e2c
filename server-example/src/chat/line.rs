//! What a typed line means.

/// What to do with a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Nothing was typed.
    Empty,
    /// Leave.
    Quit,
    /// Send `msg` to `to`.
    Send { to: &'a str, msg: &'a str },
    /// It cannot be sent; the sentence says what is missing.
    Mistake(&'static str),
}

/// The command that is the client's own.
pub(super) const QUIT: &str = "/quit";

/// Reads a line. `known` are the names that are known to be somebody's: a name with spaces among
/// them needs no quotes, and the longest one that fits is meant.
pub(super) fn parse<'a, N: AsRef<str>>(
    line: &'a str,
    known: impl IntoIterator<Item = N>,
) -> Line<'a> {
    let line = line.trim_end_matches(['\r', '\n']);
    let trimmed = line.trim();
    if trimmed.is_empty() {
        Line::Empty
    } else if trimmed.starts_with('/') {
        command(trimmed)
    } else if let Some(rest) = trimmed.strip_prefix('@') {
        private(rest, known)
    } else {
        Line::Send { to: "/shout", msg: line }
    }
}

fn command(line: &str) -> Line<'_> {
    let (to, msg) = first_word(line);
    match to {
        QUIT => Line::Quit,
        "/" => Line::Mistake("a command has a name: /help lists them"),
        to => Line::Send { to, msg },
    }
}

fn private<'a, N: AsRef<str>>(rest: &'a str, known: impl IntoIterator<Item = N>) -> Line<'a> {
    let (to, msg) = match rest.strip_prefix('"') {
        Some(quoted) => match quoted.split_once('"') {
            Some((to, msg)) => (to.trim(), msg.trim_start()),
            None => return Line::Mistake("the name has no closing quote: @\"alice smith\" text"),
        },
        None => {
            let fits = |name: N| {
                let behind = rest.strip_prefix(name.as_ref())?;
                let ends = behind.is_empty() || behind.starts_with(char::is_whitespace);
                ends.then_some(name.as_ref().len())
            };
            match known.into_iter().filter_map(fits).max() {
                Some(length) => (&rest[..length], rest[length..].trim_start()),
                None => first_word(rest),
            }
        }
    };
    if to.is_empty() {
        Line::Mistake("a private message has a name and a text: @NAME TEXT")
    } else if msg.is_empty() {
        Line::Mistake("the name has no text behind it: @NAME TEXT")
    } else {
        Line::Send { to, msg }
    }
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

    const KNOWN: [&str; 3] = ["alice", "alice smith", "bob"];

    fn send<'a>(to: &'a str, msg: &'a str) -> Line<'a> {
        Line::Send { to, msg }
    }

    #[test]
    fn plain_text_is_for_everybody_and_stays_as_it_is() {
        for line in ["hello", "  indented", "a @bob b", "1 /list", "\"quoted\"", "#tea", "x "] {
            assert_eq!(parse(line, KNOWN), send("/shout", line));
        }
        assert_eq!(parse("hello\r\n", KNOWN), send("/shout", "hello"));
        for line in ["", " ", "\t", "\r\n"] {
            assert_eq!(parse(line, KNOWN), Line::Empty);
        }
    }

    #[test]
    fn commands() {
        assert_eq!(parse("/list", KNOWN), send("/list", ""));
        assert_eq!(parse(" /help  /list ", KNOWN), send("/help", "/list"));
        assert_eq!(parse("/shout @bob is here", KNOWN), send("/shout", "@bob is here"));
        assert_eq!(parse("/quit", KNOWN), Line::Quit);
        assert_eq!(parse(" /quit now", KNOWN), Line::Quit);
        assert_eq!(parse("/quitter", KNOWN), send("/quitter", ""));
        assert!(matches!(parse("/ list", KNOWN), Line::Mistake(_)));
    }

    #[test]
    fn private_messages() {
        assert_eq!(parse("@bob hi there", KNOWN), send("bob", "hi there"));
        assert_eq!(parse("@eve\thi", KNOWN), send("eve", "hi"));
        assert_eq!(parse("@\"alice smith\" hi", KNOWN), send("alice smith", "hi"));
        assert_eq!(parse("@\"carol jones\"hi", KNOWN), send("carol jones", "hi"));
        assert_eq!(parse("@\"bob\" hi", KNOWN), send("bob", "hi"));
    }

    #[test]
    fn the_longest_known_name_is_meant() {
        assert_eq!(parse("@alice smith hi", KNOWN), send("alice smith", "hi"));
        assert_eq!(parse("@alice smiths hi", KNOWN), send("alice", "smiths hi"));
        assert_eq!(parse("@alice hi", KNOWN), send("alice", "hi"));
        assert_eq!(parse("@alice smith hi", [""; 0]), send("alice", "smith hi"));
    }

    #[test]
    fn what_cannot_be_sent_is_a_mistake() {
        for line in ["@", "@ hi", "@bob", "@alice smith", "@\"\" hi", "@\"bob\"", "@\"bob hi", "/"]
        {
            assert!(matches!(parse(line, KNOWN), Line::Mistake(_)), "{line}");
        }
    }
}
