//! How messages look: a plain line for scripts, a line with time and colour for people. Every text
//! of somebody else's goes through [`visible`] here.

use chatproto::Message;
use chatproto::name::EVERYONE;
use shared::text::visible;

/// The stable form for scripts, without its line end.
pub(super) fn plain(message: &Message) -> String {
    let Message { from, to, msg } = message;
    format!("{} → {}: {}", visible(&from.name), visible(to), visible(msg))
}

/// How lines look in a terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) is_colored: bool,
}

const DIM: &str = "2";
const RED: &str = "31";
const YELLOW: &str = "33";
/// For names: colours that show on dark and on light.
const NAMES: [&str; 6] = ["1;32", "1;33", "1;34", "1;35", "1;36", "1;31"];

impl Style {
    /// A message that came at `time`, as the user called `me` sees it.
    pub(super) fn message(self, message: &Message, me: &str, time: &str) -> String {
        let Message { from, to, msg } = message;
        let name = visible(&from.name);
        let text = visible(msg);
        let time = self.paint(DIM, time);
        if message.is_from_server() {
            let color = if text.starts_with(['⛔', '❌']) { RED } else { DIM };
            let whom = match to.as_str() {
                to if to == me => String::new(),
                room if room.starts_with('#') => format!(" {}", visible(room)),
                to => format!(" → {}", visible(to)),
            };
            return format!("{time} {}", self.paint(color, &format!("{name}{whom}: {text}")));
        }
        let name = self.paint(color_of(&name), &name);
        match to.as_str() {
            to if to == me => format!("{time} {name} → you: {text}"),
            EVERYONE => format!("{time} {name} (to all): {text}"),
            room if room.starts_with('#') => format!("{time} {name} {}: {text}", visible(room)),
            to => format!("{time} {name} → {}: {text}", visible(to)),
        }
    }

    /// Something that the client itself has to say.
    pub(super) fn note(self, text: &str) -> String {
        self.paint(YELLOW, &format!("* {text}"))
    }

    fn paint(self, color: &str, text: &str) -> String {
        if self.is_colored { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The same name has the same colour in every session.
fn color_of(name: &str) -> &'static str {
    let hash = name
        .bytes()
        .fold(0usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
    NAMES[hash % NAMES.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { is_colored: false };

    fn message(from: &str, to: &str, msg: &str) -> Message {
        Message::new(from, "192.0.2.7", to, msg)
    }

    #[test]
    fn lines_for_scripts() {
        for (from, to, msg, line) in [
            ("bob", "alice", "hi", "bob → alice: hi"),
            ("bob", "Everyone", "a: b → c", "bob → Everyone: a: b → c"),
            ("bob", "#green tea", "hi", "bob → #green tea: hi"),
            (
                "SERVER",
                "alice",
                "two\nlines\t\u{1b}[2J",
                "SERVER → alice: two\\nlines\\t\\u{1b}[2J",
            ),
            ("b\u{7}b", "a\u{202e}", "", "b\\u{7}b → a\\u{202e}: "),
        ] {
            assert_eq!(plain(&message(from, to, msg)), line);
        }
    }

    #[test]
    fn lines_for_people() {
        for (from, to, msg, line) in [
            ("bob", "alice", "hi", "14:03:27 bob → you: hi"),
            ("bob", "Everyone", "hi", "14:03:27 bob (to all): hi"),
            ("bob", "#tea", "hi", "14:03:27 bob #tea: hi"),
            ("bob", "#a\u{7}", "hi", "14:03:27 bob #a\\u{7}: hi"),
            ("SERVER", "alice", "Welcome, alice!", "14:03:27 SERVER: Welcome, alice!"),
            ("SERVER", "#tea", "bob joined.", "14:03:27 SERVER #tea: bob joined."),
            ("SERVER", "Everyone", "bob left.", "14:03:27 SERVER → Everyone: bob left."),
            ("bob", "alice", "\u{1b}]0;x\u{7}", "14:03:27 bob → you: \\u{1b}]0;x\\u{7}"),
        ] {
            assert_eq!(PLAIN.message(&message(from, to, msg), "alice", "14:03:27"), line);
        }
    }

    #[test]
    fn colours_are_our_own_and_end() {
        let style = Style { is_colored: true };
        let line = style.message(&message("bob", "alice", "\u{1b}[31mhi"), "alice", "14:03:27");
        let escapes = line.matches('\u{1b}').count();
        assert_eq!(escapes, 4, "{line:?}");
        assert!(line.ends_with(": \\u{1b}[31mhi"), "{line:?}");
        let line = style.message(&message("SERVER", "alice", "❌ no"), "alice", "14:03:27");
        assert!(line.contains("\u{1b}[31mSERVER: ❌ no\u{1b}[0m"), "{line:?}");
        let line = style.message(&message("SERVER", "#tea", "bob left."), "alice", "14:03:27");
        assert!(line.contains("\u{1b}[2mSERVER #tea: bob left.\u{1b}[0m"), "{line:?}");
    }
}
