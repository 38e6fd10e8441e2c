//! Whether bytes are messages, and if not, where and why. Of the input no more is kept than the
//! longest frame and what was read last.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use chatproto::handshake::{Handshake, PeerKind, Registration};
use chatproto::{DecodeError, Decoder, ErrorClass, Message, UserName};
use serde_json::{Value, json};
use shared::failure::{Failure, reason};
use shared::text::visible;

use super::options::CheckOptions;
use super::quote;
use super::report::FORMAT;

/// As many bytes are read at once.
const READ: usize = 64 * 1024;
/// As many bytes are shown before and behind the one that is wrong.
const AROUND: usize = 40;
/// As many bytes a name may take (B2).
const NAME: usize = 4096;

/// Judges the file.
pub(super) fn run(path: &Path, options: &CheckOptions) -> Result<(), Failure> {
    let name = path.display().to_string();
    let source: Box<dyn Read> = match path == Path::new("-") {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(path).map_err(|error| unreadable(&name, &error))?),
    };
    let mut judge = Judge::new(options, io::stdout().lock());
    match judge.stream(source) {
        Ok(()) => {}
        Err(Trouble::Input(error)) => return Err(unreadable(&name, &error)),
        // whoever read the output has seen enough
        Err(Trouble::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(Trouble::Output(error)) => {
            let why = reason(&error);
            return Err(Failure::Run(format!("cannot write to standard output: {why}")));
        }
    }
    match judge.first_error {
        None => Ok(()),
        Some(offset) => {
            let errors = count(judge.errors, "error");
            Err(Failure::Run(format!("{name}: {errors}, the first at byte {offset}")))
        }
    }
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn unreadable(name: &str, error: &io::Error) -> Failure {
    Failure::Usage(format!("cannot read {name}: {}", reason(error)))
}

/// What can go wrong besides the bytes.
enum Trouble {
    Input(io::Error),
    Output(io::Error),
}

/// What was read last, and where that is in the input.
#[derive(Default)]
struct Window {
    bytes: Vec<u8>,
    /// The offset of the first of `bytes`, the lines before it, and the column that it is in.
    offset: u64,
    lines: u64,
    column: u64,
}

impl Window {
    /// Takes what was read; forgets what is further back than `keep`.
    fn push(&mut self, read: &[u8], keep: usize) {
        let surplus = self.bytes.len().saturating_sub(keep);
        if surplus > keep {
            let (lines, column) = self.position(self.offset + surplus as u64);
            self.bytes.drain(..surplus);
            self.offset += surplus as u64;
            (self.lines, self.column) = (lines - 1, column - 1);
        }
        self.bytes.extend_from_slice(read);
    }

    /// The line and the column of an offset, from 1, the column in bytes.
    fn position(&self, offset: u64) -> (u64, u64) {
        let before = &self.bytes[..(offset - self.offset) as usize];
        let lines = before.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let column = match before.iter().rposition(|&byte| byte == b'\n') {
            Some(at) => (before.len() - at - 1) as u64,
            None => self.column + before.len() as u64,
        };
        (self.lines + lines + 1, column + 1)
    }

    /// What stands before an offset in its line, and from it on.
    fn around(&self, offset: u64) -> (&[u8], &[u8]) {
        let (before, behind) = self.bytes.split_at((offset - self.offset) as usize);
        let before = &before[before.len().saturating_sub(AROUND)..];
        let behind = &behind[..behind.len().min(AROUND)];
        let is_line_feed = |&byte: &u8| byte == b'\n';
        let begin = before.iter().rposition(is_line_feed).map_or(0, |at| at + 1);
        // a line feed that is itself what is wrong is shown
        let end = behind.iter().skip(1).position(is_line_feed).map_or(behind.len(), |at| at + 1);
        (&before[begin..], &behind[..end])
    }
}

/// A run over one input.
struct Judge<'a, W> {
    options: &'a CheckOptions,
    out: W,
    window: Window,
    decoder: Decoder,
    /// Where the object stream begins: behind the name, if there is one.
    begin: u64,
    messages: u64,
    errors: u64,
    first_error: Option<u64>,
    /// Whether an element of the report in JSON was written.
    has_told: bool,
}

impl<'a, W: Write> Judge<'a, W> {
    fn new(options: &'a CheckOptions, out: W) -> Self {
        let decoder = Decoder::new(options.judged.max_frame.0);
        let decoder = if options.judged.strict { decoder.strict() } else { decoder };
        Judge {
            options,
            out,
            window: Window::default(),
            decoder,
            begin: 0,
            messages: 0,
            errors: 0,
            first_error: None,
            has_told: false,
        }
    }

    fn stream(&mut self, mut source: impl Read) -> Result<(), Trouble> {
        if self.options.json {
            write!(self.out, "{{\"format\":\"{FORMAT}\",\"outcomes\":[")
                .map_err(Trouble::Output)?;
        }
        let end = self.outcomes(&mut source)?;
        self.conclude(end).map_err(Trouble::Output)
    }

    /// Judges object after object; how the stream ended, as the conformance vectors call it.
    fn outcomes(&mut self, source: &mut impl Read) -> Result<&'static str, Trouble> {
        let mut handshake = self.options.judged.named.then(Handshake::new);
        let mut offset = 0;
        let mut buffer = vec![0; READ];
        loop {
            let length = match source.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(Trouble::Input)?,
            };
            let keep = self.options.judged.max_frame.0 + 2 * AROUND;
            self.window.push(&buffer[..length], keep);
            let mut input = &buffer[..length];
            if let Some(named) = &mut handshake {
                let registration = match length {
                    0 => named.handle_end(),
                    _ => named.handle_input(&mut input, NAME),
                };
                match registration {
                    Registration::Waiting => {
                        offset += length as u64;
                        continue;
                    }
                    registration => {
                        self.begin = offset + (length - input.len()) as u64;
                        if !self.name(registration).map_err(Trouble::Output)? {
                            return Ok("failed");
                        }
                        handshake = None;
                    }
                }
            }
            offset += length as u64;
            if length == 0 {
                return self.end().map_err(Trouble::Output);
            }
            if !self.objects(input, offset).map_err(Trouble::Output)? {
                return Ok("failed");
            }
        }
    }

    /// Tells the name; whether objects follow.
    fn name(&mut self, registration: Registration<'_>) -> io::Result<bool> {
        let judged = match registration {
            Registration::Name(bytes, kind) => {
                UserName::from_bytes(&bytes, 64).map(|name| (name, kind)).map_err(|e| e.to_string())
            }
            Registration::Refused(why) => Err(why.to_string()),
            Registration::Stranger(stranger) => Err(format!("this is {}", stranger.protocol())),
            _ => Err("there is no name".to_owned()),
        };
        match judged {
            Ok((name, kind)) => {
                let end = if kind == PeerKind::Stream { "line-feed" } else { "none" };
                let told = format!("name      {} (its end: {end})", quote::text(name.as_str()));
                self.tell(
                    self.options.verbose,
                    &told,
                    &json!({"name": name.as_str(), "end": end}),
                )?;
                Ok(true)
            }
            Err(why) => {
                self.count_error(0);
                let told = format!("byte 0: no name that one can have: {why}");
                self.tell(true, &told, &json!({"name": null, "refused": why}))?;
                Ok(false)
            }
        }
    }

    /// Judges what was read, of which the last byte is before `end`; whether the stream goes on.
    fn objects(&mut self, mut input: &[u8], end: u64) -> io::Result<bool> {
        loop {
            match self.decoder.decode(&mut input) {
                Ok(None) => return Ok(true),
                Ok(Some(frame)) => {
                    let length = frame.as_str().len() as u64;
                    let message = frame.message().to_owned();
                    let behind = end - input.len() as u64;
                    self.message(&message, behind - length, length)?;
                }
                Err(error) => {
                    self.error(error)?;
                    if error.class() == ErrorClass::Framing {
                        return Ok(false);
                    }
                }
            }
        }
    }

    fn end(&mut self) -> io::Result<&'static str> {
        match self.decoder.finish() {
            Ok(()) => Ok("complete"),
            Err(error) => {
                self.error(error)?;
                Ok("incomplete")
            }
        }
    }

    fn message(&mut self, message: &Message, offset: u64, length: u64) -> io::Result<()> {
        self.messages += 1;
        let Message { from, to, msg } = message;
        let (from, to) = (visible(&from.name), visible(to));
        let told =
            format!("bytes {offset} to {}: {from} → {to}: {}", offset + length, quote::text(msg));
        let outcome = json!({"offset": offset, "length": length, "message": message});
        self.tell(self.options.verbose, &told, &outcome)
    }

    fn error(&mut self, error: DecodeError) -> io::Result<()> {
        let offset = self.begin + error.offset();
        self.count_error(offset);
        let (line, column) = self.window.position(offset);
        let (before, behind) = self.window.around(offset);
        let class = match error.class() {
            ErrorClass::Framing => "framing",
            ErrorClass::Schema => "schema",
        };
        let after = match error.class() {
            ErrorClass::Framing => "nothing behind it is read",
            ErrorClass::Schema => "what is behind it is read on",
        };
        let (before, behind) = (quote::escaped(before), quote::escaped(behind));
        let told = format!(
            "byte {offset} (line {line}, column {column}): {error}\n    {} error, {}: {after}\n    {before}{behind}\n    {:width$}^",
            class,
            error.kind().as_str(),
            "",
            width = before.chars().count(),
        );
        let outcome = json!({
            "error": {
                "class": class,
                "kind": error.kind().as_str(),
                "offset": offset,
                "field": error.field().map(chatproto::Field::path),
            },
            "line": line,
            "column": column,
            "said": error.to_string(),
        });
        self.tell(true, &told, &outcome)
    }

    fn count_error(&mut self, offset: u64) {
        self.errors += 1;
        self.first_error.get_or_insert(offset);
    }

    /// Prints a line of the text report if it is wanted, or an element of the one in JSON.
    fn tell(&mut self, is_wanted: bool, text: &str, outcome: &Value) -> io::Result<()> {
        match self.options.json {
            true => {
                let comma = if std::mem::replace(&mut self.has_told, true) { "," } else { "" };
                writeln!(self.out, "{comma}{outcome}")
            }
            false if is_wanted => writeln!(self.out, "{text}"),
            false => Ok(()),
        }
    }

    fn conclude(&mut self, end: &str) -> io::Result<()> {
        let (messages, errors) = (self.messages, self.errors);
        match self.options.json {
            true => {
                writeln!(
                    self.out,
                    "],\"messages\":{messages},\"errors\":{errors},\"end\":\"{end}\"}}"
                )?;
            }
            false => {
                writeln!(self.out, "{}, {}", count(messages, "message"), count(errors, "error"))?;
            }
        }
        self.out.flush()
    }
}
