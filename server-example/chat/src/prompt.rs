//! A prompt that follows the user's name while a line is edited. The editor keeps the prompt that it was
//! started with; when that is no longer right, this interrupts it as Ctrl-C does, and the line is edited
//! further behind the new one.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};

use signal_hook::consts::SIGINT;
use signal_hook::low_level::raise;
use unicode_width::UnicodeWidthStr;
use zeroize::Zeroizing;

/// A line, and where in it the cursor is.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) text: Zeroizing<String>,
    pub(super) cursor: usize,
}

/// What the editor shows before the line, and whether it is still right.
#[derive(Debug, Default)]
pub(super) struct LivePrompt {
    /// `None` while no line is edited.
    shown: RefCell<Option<String>>,
    columns: Cell<usize>,
    is_stale: Cell<bool>,
    draft: RefCell<Draft>,
}

impl LivePrompt {
    /// The editor is about to show this one, on a screen of so many columns.
    pub(super) fn begin(&self, prompt: &str, columns: usize) {
        self.is_stale.set(false);
        self.columns.set(columns);
        self.shown.replace(Some(prompt.to_owned()));
    }

    /// The editor draws its line, with that prompt: that of a line, or of a question. `current` is what the
    /// prompt of a line should be.
    pub(super) fn draw<'p>(
        &self,
        prompt: &'p str,
        current: impl FnOnce() -> String,
    ) -> Cow<'p, str> {
        if !self.is_stale.get()
            && self.shown.borrow().as_deref() == Some(prompt)
            && current() != prompt
        {
            self.is_stale.set(true);
            // the editor sees it before it reads another key; an error means that the prompt stays
            let _ = raise(SIGINT);
        }
        if self.is_stale.get() { blank(prompt).into() } else { prompt.into() }
    }

    /// The editor draws the line. If that is not to be seen, because it will be drawn again: what to draw
    /// instead. It leaves the cursor a row above the prompt, since the editor begins another row when it ends.
    pub(super) fn draw_line(&self, text: &str, cursor: usize) -> Option<String> {
        self.is_stale.get().then(|| {
            self.draft.replace(Draft { text: text.to_owned().into(), cursor });
            let shown = self.shown.borrow();
            let rows = rows(shown.as_deref().unwrap_or_default(), text, self.columns.get());
            blank(text) + &"\x1b[A".repeat(rows)
        })
    }

    /// Whether the line has to be drawn for every key.
    pub(super) fn is_stale(&self) -> bool {
        self.is_stale.get()
    }

    /// The editor has ended. If this has interrupted it, the line to go on with.
    pub(super) fn end(&self, is_interrupted: bool) -> Option<Draft> {
        self.shown.replace(None);
        let draft = self.draft.take();
        (self.is_stale.replace(false) && is_interrupted).then_some(draft)
    }
}

/// As wide as the text, and not to be seen.
fn blank(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| {
            let end = if line.ends_with('\n') { "\n" } else { "" };
            format!("{:width$}{end}", "", width = line.trim_end_matches('\n').width())
        })
        .collect()
}

/// How many rows a prompt and a line take.
fn rows(prompt: &str, text: &str, columns: usize) -> usize {
    let mut column = prompt.width();
    let mut rows = 1;
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            (rows, column) = (rows + 1, 0);
        }
        column += line.width();
        rows += column / columns.max(1);
        column %= columns.max(1);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_take_the_same_room() {
        assert_eq!(blank("alice> "), "       ");
        assert_eq!(blank("你好 a\nb"), "      \n ");
    }

    #[test]
    fn rows_are_those_of_the_screen() {
        for (text, columns, expected) in [
            ("", 80, 1),
            ("hello", 80, 1),
            ("0123456789", 10, 2),
            ("012", 10, 2),
            ("01", 10, 1),
            ("a\nb", 10, 2),
        ] {
            assert_eq!(rows("alice> ", text, columns), expected, "{text:?}");
        }
    }

    #[test]
    fn a_prompt_that_is_right_changes_nothing() {
        let prompt = LivePrompt::default();
        prompt.begin("alice> ", 80);
        assert_eq!(prompt.draw("alice> ", || "alice> ".to_owned()), "alice> ");
        // that of a question is not the line's
        assert_eq!(prompt.draw("Password: ", || "bob> ".to_owned()), "Password: ");
        assert_eq!(prompt.draw_line("hello", 5), None);
        assert!(prompt.end(true).is_none(), "Ctrl-C");
    }
}
