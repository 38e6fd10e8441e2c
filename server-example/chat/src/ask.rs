//! Questions in the terminal: a line that is typed, or a secret that is not shown.

use std::borrow::Cow;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, Config, DefaultEditor, Editor, Helper};
use shared::failure::{Failure, reason};
use shared::secret::{Secret, masked};

/// Asks for a line. `None` if the user presses Ctrl-C or Ctrl-D.
///
/// # Errors
/// The terminal cannot be used.
pub fn line(question: &str) -> Result<Option<String>, Failure> {
    answer(DefaultEditor::new().map_err(|error| unusable(&error))?.readline(question))
}

/// Asks for a secret, and shows asterisks in its place. `None` if the user presses Ctrl-C or Ctrl-D.
///
/// # Errors
/// The terminal cannot be used.
pub fn secret(question: &str) -> Result<Option<Secret>, Failure> {
    // without this, nothing would be masked where colours are off
    let config = Config::builder().color_mode(ColorMode::Forced).build();
    let editor = Editor::<Masked, MemHistory>::with_history(config, MemHistory::new());
    let mut editor = editor.map_err(|error| unusable(&error))?;
    editor.set_helper(Some(Masked));
    Ok(answer(editor.readline(question))?.map(Secret::new))
}

/// The failure for an error of the line editor.
pub(crate) fn unusable(error: &ReadlineError) -> Failure {
    let why = match error {
        ReadlineError::Io(error) => reason(error),
        error => error.to_string(),
    };
    Failure::Run(format!("cannot use the terminal: {why}"))
}

fn answer(read: rustyline::Result<String>) -> Result<Option<String>, Failure> {
    match read {
        Ok(text) => Ok(Some(text)),
        Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
        Err(error) => Err(unusable(&error)),
    }
}

/// Masks the whole line.
struct Masked;

impl Highlighter for Masked {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        masked(line).into()
    }

    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        true
    }
}

impl Completer for Masked {
    type Candidate = String;
}
impl Helper for Masked {}
impl Validator for Masked {}
impl Hinter for Masked {
    type Hint = String;
}
