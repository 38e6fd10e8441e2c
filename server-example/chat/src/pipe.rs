//! The client for scripts: lines from standard input, a plain line for each message on standard
//! output, everything else on standard error.

use std::io::{self, StdoutLock, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use chatproto::Message;
use chatproto::pairs::StateLine;
use shared::failure::{Failure, reason};
use shared::input::{Broken, Lines};

use super::connection::{Connection, Ended, Incoming, Patience, Unsent, View};
use super::display::plain;
use super::line::{self, Known};
use super::place::{Deed, Moved, Place};

/// How long the server may be silent after everything was said before it is given up.
const SILENCE: Duration = Duration::from_secs(10);
/// How long answers may take however many come.
const TOTAL: Duration = Duration::from_secs(10 * 60);

/// Sends what comes from standard input and prints what comes from the server.
pub(super) fn run(
    connection: Connection,
    incoming: Incoming,
    linger: Duration,
) -> Result<(), Failure> {
    let connection = Arc::new(connection);
    let failed = Arc::new(Mutex::new(None));
    let input = {
        let (connection, failed) = (Arc::clone(&connection), Arc::clone(&failed));
        move || {
            let outcome = send_lines(&connection);
            *failed.lock().unwrap_or_else(PoisonError::into_inner) = outcome.err();
            connection.leave(Patience { linger, silence: SILENCE, total: TOTAL });
        }
    };
    thread::Builder::new()
        .name("input".to_owned())
        .spawn(input)
        .map_err(|error| Failure::Run(format!("cannot start a thread: {}", reason(&error))))?;
    // the input thread may wait for standard input for ever: the process ends without it
    let mut output = Output { out: io::stdout().lock(), refused: 0 };
    match connection.run(incoming, &mut output) {
        Ok(()) => {
            match (failed.lock().unwrap_or_else(PoisonError::into_inner).take(), output.refused) {
                (Some(sentence), _) => Err(Failure::Run(sentence)),
                (None, 0) => Ok(()),
                (None, 1) => {
                    Err(Failure::Run("the server answered one line with an error".to_owned()))
                }
                (None, lines) => {
                    Err(Failure::Run(format!("the server answered {lines} lines with an error")))
                }
            }
        }
        // whoever read the output has seen enough
        Err(Ended::View(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Ended::View(error)) => {
            Err(Failure::Run(format!("cannot write to standard output: {}", reason(&error))))
        }
        Err(Ended::Lost(failure)) => Err(failure),
    }
}

/// Sends until the end of input or `/quit`.
///
/// # Errors
/// The sentence that says what was not sent.
fn send_lines(connection: &Connection) -> Result<(), String> {
    let mut unsent = 0;
    let mut input = Lines::of(io::stdin())
        .map_err(|error| format!("cannot start a thread: {}", reason(&error)))?;
    'input: loop {
        let (first, text) = match input.next_batch() {
            Ok(Some(batch)) => batch,
            Ok(None) => break,
            Err(Broken::Read(error)) => {
                return Err(format!("cannot read standard input: {}", reason(&error)));
            }
            Err(Broken::NotUtf8(wrong)) => {
                return Err(format!("standard input was not sent from here on: {wrong}"));
            }
        };
        for (number, line) in (first..).zip(text.split_inclusive('\n')) {
            let deed = deed(line, &mut connection.place());
            let why = match deed {
                // the server says the same of every line
                Deed::Nothing | Deed::Doubt(_) => continue,
                Deed::Quit => break 'input,
                Deed::Mistake(why) => why,
                // a script cannot know of a login that was lost: its lines are for the first one
                Deed::Send { to, msg } => match connection.send(&to, &msg, Some(0)) {
                    Ok(()) => continue,
                    Err(Unsent::Refused(why)) => why,
                    Err(Unsent::Over) => break 'input,
                },
            };
            unsent += 1;
            complain(&format!("line {number} was not sent: {why}"));
        }
    }
    match unsent {
        0 => Ok(()),
        1 => Err("one line was not sent".to_owned()),
        lines => Err(format!("{lines} lines were not sent")),
    }
}

/// What comes of a line. Where plain text goes is decided by the lines alone, and not by when the
/// server answers: none of them can go to everybody because a room was refused meanwhile.
fn deed(text: &str, place: &mut Place) -> Deed {
    let rooms = place.rooms().collect();
    let line = line::parse(text, &Known { users: Vec::new(), rooms });
    place.typed(line)
}

struct Output {
    out: StdoutLock<'static>,
    /// How many messages of the server begin with the sign of an error.
    refused: u64,
}

impl View for Output {
    fn connected(&mut self, welcome: &Message) -> io::Result<()> {
        self.message(welcome)
    }

    fn message(&mut self, message: &Message) -> io::Result<()> {
        let is_error = message.msg.starts_with(['❌', '⛔']);
        self.refused += u64::from(is_error && message.is_from_server());
        writeln!(self.out, "{}", plain(message))
    }

    /// A script's lines go on to where it said.
    fn moved(&mut self, _: &Moved) -> io::Result<()> {
        Ok(())
    }

    fn confirmed(&mut self) {}

    fn line(&mut self, _: &StateLine<'_>) {}

    fn note(&mut self, text: &str) -> io::Result<()> {
        complain(text);
        Ok(())
    }
}

/// Standard error may be closed; that is nobody's business here.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "server-example: {text}");
}
