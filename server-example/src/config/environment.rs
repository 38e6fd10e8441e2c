//! The variables of the program: those of its environment whose names begin with `CHATPROTO_`. One that
//! no command knows is a mistake.

use std::ffi::{OsStr, OsString};

use clap::Command;
use shared::failure::Failure;
use shared::options::PASSWORD_VARIABLE;
use shared::text::visible;

use super::option::Definition;
use super::similar::most_similar;

/// What the names of all variables begin with.
const PREFIX: &str = "CHATPROTO_";

/// Names the program for scripts that start it. The program does not read it.
const PROGRAM: &str = "CHATPROTO_BIN";

/// The variables of the program and their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// Those of this process.
    pub(crate) fn of_process() -> Self {
        let is_ours = |name: &OsStr| name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
        Environment(std::env::vars_os().filter(|(name, _)| is_ours(name)).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<OsString> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.clone())
    }

    /// Refuses a variable that no command knows. `command` is the whole command line,
    /// [`define`](super::define)d.
    pub(super) fn check_names(&self, command: &Command) -> Result<(), Failure> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut known = vec![PASSWORD_VARIABLE.to_owned(), PROGRAM.to_owned()];
        add_names(command, &mut known);
        let mut names: Vec<_> = self.0.iter().map(|(name, _)| name.to_string_lossy()).collect();
        names.sort();
        let Some(unknown) = names.iter().find(|name| !known.iter().any(|one| one == *name)) else {
            return Ok(());
        };
        // all begin with the same letters, which say nothing about likeness
        let bare = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
        let all: Vec<String> = known.iter().map(|name| bare(name)).collect();
        let advice = match most_similar(&bare(unknown), all.iter().map(String::as_str)) {
            Some(similar) => format!("a similar one exists: {PREFIX}{similar}"),
            None => "see server-example serve --help".to_owned(),
        };
        Err(Failure::Usage(format!("there is no variable {} ({advice})", visible(unknown))))
    }
}

/// The variables of a command and of all commands below it.
fn add_names(command: &Command, names: &mut Vec<String>) {
    for arg in command.get_arguments() {
        names.extend(arg.get_env().and_then(OsStr::to_str).map(str::to_owned));
        names.extend(Definition::of(arg).and_then(|definition| definition.secret_variable));
    }
    command.get_subcommands().for_each(|below| add_names(below, names));
}

#[cfg(test)]
impl From<&[(&str, &str)]> for Environment {
    fn from(variables: &[(&str, &str)]) -> Self {
        Environment(variables.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
