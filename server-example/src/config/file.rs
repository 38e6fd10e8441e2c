//! The file of a configuration: TOML, one key for each option, no sections. Paths in it are relative
//! to the directory that it is in.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use shared::failure::{Failure, reason};
use shared::input::{decoded, read_whole};
use shared::text::visible;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::option::{Definition, Kind};
use super::similar::most_similar;

/// More would be a mistake: another file than was meant.
const LARGEST: u64 = 1 << 20;

/// A file that was read, and found to be right.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    entries: BTreeMap<String, Entry>,
}

/// What a key is set to.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) values: Vec<OsString>,
}

impl File {
    pub(super) fn read(
        path: PathBuf,
        definitions: &[Definition],
        command: &Command,
    ) -> Result<Self, Failure> {
        let text = read(&path).map_err(|error| {
            let shown = path.to_string_lossy();
            let advice = match error.kind() {
                io::ErrorKind::NotFound => " (--print-config shows what can be in one)",
                io::ErrorKind::PermissionDenied => " (let the server's user read it)",
                _ => "",
            };
            let (shown, why) = (visible(&shown), reason(&error));
            Failure::Usage(format!("cannot read the configuration in {shown}: {why}{advice}"))
        })?;
        let entries = parse(&text, &path, definitions, command).map_err(|(line, what)| {
            let path = path.to_string_lossy();
            Failure::Usage(format!("{}:{line}: {what}", visible(&path)))
        })?;
        Ok(File { path, entries })
    }

    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }
}

fn read(path: &Path) -> io::Result<String> {
    let bytes = read_whole(path, LARGEST)?;
    let text = decoded(&bytes).map_err(|wrong| io::Error::other(wrong.to_string()))?;
    Ok(text.to_owned())
}

/// What each key is set to, or the first line that is wrong, and how.
fn parse(
    text: &str,
    path: &Path,
    definitions: &[Definition],
    command: &Command,
) -> Result<BTreeMap<String, Entry>, (usize, String)> {
    let line_at =
        |at: usize| text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| {
        let line = line_at(error.span().map_or(text.len(), |span| span.start).min(text.len()));
        (line, error.message().replace('\n', ", "))
    })?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut entries = BTreeMap::new();
    let mut pairs: Vec<(&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)> =
        table.get_ref().iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in pairs {
        let (line, name) = (line_at(key.span().start), &**key.get_ref());
        let fail = |what: String| Err((line, what));
        let shown = visible(name);
        if let DeValue::Table(_) = value.get_ref() {
            return fail(format!(
                "{shown} is a section: there are none, each option is a line such as max-frame = \
                 \"64KiB\""
            ));
        }
        let Some(definition) = definitions.iter().find(|one| one.name == name) else {
            let names = definitions.iter().map(|definition| &*definition.name);
            let advice = match most_similar(name, names) {
                Some(similar) => format!("a similar one exists: {similar}"),
                None => "see server-example serve --help".to_owned(),
            };
            return fail(format!("there is no option {shown} ({advice})"));
        };
        let items = match items(definition, value) {
            Ok(items) => items,
            Err(expected) => return fail(format!("{shown}: {expected}")),
        };
        let mut values = Vec::new();
        for item in items {
            let written = visible(&text[item.span()]);
            let value = word(item.get_ref()).map(|word| definition.beside(directory, word));
            let checked = value.and_then(|value| match definition.wrong(command, &value) {
                Some(expected) => Err(expected),
                // the word would be a name, which nobody means
                None if is_misplaced(definition, item.get_ref()) => {
                    Err(format!("expected a text or a number, not {}", what_it_is(item.get_ref())))
                }
                None => Ok(value),
            });
            match checked {
                Ok(value) => values.push(value),
                Err(expected) => {
                    let line = line_at(item.span().start);
                    return Err((line, format!("{shown} = {written}: {expected}")));
                }
            }
        }
        entries.insert(name.to_owned(), Entry { line, values });
    }
    Ok(entries)
}

/// The one value, or the several of a list; else what is expected.
fn items<'v, 'i>(
    definition: &Definition,
    value: &'v Spanned<DeValue<'i>>,
) -> Result<Vec<&'v Spanned<DeValue<'i>>>, String> {
    match (definition.kind, value.get_ref()) {
        (Kind::Switch, DeValue::Boolean(_)) => Ok(vec![value]),
        (Kind::Switch, other) => {
            Err(format!("expected true or false (without quotes), not {}", what_it_is(other)))
        }
        (Kind::Many, DeValue::Array(items)) if items.is_empty() && definition.is_one_or_many => {
            Err("expected one value at least".to_owned())
        }
        (Kind::Many, DeValue::Array(items)) => Ok(items.iter().collect()),
        (Kind::Many, _) if definition.is_one_or_many => Ok(vec![value]),
        (Kind::Many, other) => {
            Err(format!("expected a list such as [\"one\", \"two\"], not {}", what_it_is(other)))
        }
        (Kind::One, _) => Ok(vec![value]),
    }
}

/// A value as one would type it; else what is expected.
fn word(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) if text.contains('\0') => {
            Err("expected text without U+0000".to_owned())
        }
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map(|number| number.to_string())
            .map_err(|_| "expected a smaller number".to_owned()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(is_on) => Ok(is_on.to_string()),
        other => Err(format!("expected a text or a number, not {}", what_it_is(other))),
    }
}

/// Whether it is true or false, for an option that is not a switch.
fn is_misplaced(definition: &Definition, value: &DeValue<'_>) -> bool {
    definition.kind != Kind::Switch && matches!(value, DeValue::Boolean(_))
}

fn what_it_is(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}
