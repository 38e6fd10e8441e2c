//! What clap knows of an option, as far as a configuration needs it: its names, what kind of value it
//! takes, and whether a value is one.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, Resettable};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};

/// The command that has a configuration.
pub(super) const COMMAND: &str = "serve";
/// Options that say how to configure and are not configured.
const NO_SETTINGS: [&str; 3] = ["config", "print-config", "check-config"];

/// An option that can be configured.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(super) id: String,
    /// The flag without its dashes, which is the key in the file.
    pub(super) name: String,
    /// The variable that has the value.
    pub(super) variable: String,
    /// If the value is a file that holds a secret: the variable that holds the secret itself.
    pub(super) secret_variable: Option<String>,
    pub(super) kind: Kind,
    pub(super) is_path: bool,
    /// It takes several values, and one of them can stand in the file without a list: those that have a
    /// default of one value.
    pub(super) is_one_or_many: bool,
    /// Several values are several flags, and not several words behind one.
    is_repeated: bool,
    /// Words that are no paths, such as `none`.
    keywords: Vec<String>,
    /// What stands for the value in the help.
    pub(super) value_name: String,
    pub(super) heading: Option<String>,
    pub(super) help: String,
}

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Switch,
    One,
    Many,
}

/// The command line with what a configuration adds: the names of variables in the help, and switches
/// that can be turned off, where the environment or the file turns them on.
pub(crate) fn define(command: Command) -> Command {
    let command = each(command, &|command| command.mut_args(|arg| arg.hide_env_values(true)));
    command.mut_subcommand(COMMAND, |serve| {
        serve.mut_args(|arg| {
            let name = arg.get_long().unwrap_or_default().to_owned();
            if matches!(&*name, "print-config" | "check-config" | "") {
                return arg;
            }
            let arg = match arg.get_env() {
                Some(_) => arg,
                None => arg.env(variable(&name)),
            };
            // the one that has just been named is not hidden yet
            let arg = arg.hide_env_values(true);
            if !matches!(arg.get_action(), ArgAction::SetTrue) {
                return arg;
            }
            arg.action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .value_name("true|false")
                .value_parser(switch)
                .default_missing_value("true")
                .default_value("false")
                .hide_default_value(true)
        })
    })
}

/// The same, without looking at the environment: what it says is among the arguments already.
pub(crate) fn without_environment(command: Command) -> Command {
    each(command, &|command| command.mut_args(|arg| arg.env(Resettable::Reset)))
}

/// Changes a command and all commands below it.
fn each(command: Command, change: &dyn Fn(Command) -> Command) -> Command {
    let names: Vec<String> =
        command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    let command = change(command);
    names
        .iter()
        .fold(command, |command, name| command.mut_subcommand(name, |below| each(below, change)))
}

/// The variable of an option that has not another one.
fn variable(name: &str) -> String {
    format!("CHATPROTO_{}", name.to_ascii_uppercase().replace('-', "_"))
}

impl Definition {
    /// None if the option is not for a configuration.
    pub(super) fn of(arg: &Arg) -> Option<Self> {
        let name = arg.get_long().filter(|name| !NO_SETTINGS.contains(name))?.to_owned();
        let variable = arg.get_env()?.to_str()?.to_owned();
        let value_name = arg.get_value_names().unwrap_or_default().join(" ");
        let is_repeated = matches!(arg.get_action(), ArgAction::Append);
        let is_many = is_repeated || arg.get_num_args().is_some_and(|count| count.max_values() > 1);
        let kind = match () {
            () if arg.get_value_parser().type_id() == std::any::TypeId::of::<bool>() => {
                Kind::Switch
            }
            () if is_many => Kind::Many,
            () => Kind::One,
        };
        let is_path = matches!(
            arg.get_value_hint(),
            ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath
        );
        Some(Definition {
            id: arg.get_id().to_string(),
            secret_variable: Some(self::variable(&name))
                .filter(|secret| variable == format!("{secret}_FILE")),
            variable,
            kind,
            is_one_or_many: is_many && arg.get_default_values().len() == 1,
            is_repeated,
            is_path,
            keywords: keywords(&value_name),
            value_name,
            heading: arg.get_help_heading().map(str::to_owned),
            help: help(arg),
            name,
        })
    }

    /// The values in a variable: several are separated by commas.
    pub(super) fn split(&self, value: &OsStr) -> Vec<OsString> {
        match value.to_str() {
            Some(text) if self.kind == Kind::Many => {
                let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
                words.map(OsString::from).collect()
            }
            _ => vec![value.to_owned()],
        }
    }

    /// The path as it is found from everywhere, if this is one that is relative to `directory`.
    pub(super) fn beside(&self, directory: &Path, value: String) -> OsString {
        // an empty path would be the directory itself
        if self.is_path && !value.is_empty() && !self.keywords.contains(&value) {
            absolute(directory.join(value).as_os_str())
        } else {
            value.into()
        }
    }

    /// The flags that say the same.
    pub(super) fn add_arguments(&self, values: &[OsString], arguments: &mut Vec<OsString>) {
        if self.kind == Kind::Many && !self.is_repeated && !values.is_empty() {
            arguments.push(format!("--{}", self.name).into());
            return arguments.extend_from_slice(values);
        }
        for value in values {
            let mut flag = OsString::from(format!("--{}=", self.name));
            flag.push(value);
            arguments.push(flag);
        }
    }

    /// What is expected, if this is not a value of this option.
    pub(super) fn wrong(&self, command: &Command, value: &OsStr) -> Option<String> {
        let mut arguments = vec![OsString::from(command.get_name())];
        self.add_arguments(&[value.to_owned()], &mut arguments);
        // what the environment says of other options is not to be judged here
        let command = command.clone().mut_args(|arg| arg.env(Resettable::Reset));
        let error = command.try_get_matches_from(arguments).err()?;
        // what it lacks beside this value may be given elsewhere
        let is_of_value = matches!(
            error.kind(),
            ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::InvalidUtf8
        );
        is_of_value.then(|| expected(&error))
    }

    /// What clap has for it in the end.
    pub(super) fn values(&self, matches: &ArgMatches) -> Vec<OsString> {
        if self.kind == Kind::Switch {
            let is_on = matches.get_one::<bool>(&self.id).copied();
            return is_on.map(|is_on| is_on.to_string().into()).into_iter().collect();
        }
        let raw = matches.get_raw(&self.id).into_iter().flatten();
        let find = |value: &OsStr| {
            let is_keyword = value.to_str().is_some_and(|text| self.is_keyword(text));
            if self.is_path && !is_keyword { absolute(value) } else { value.to_owned() }
        };
        raw.map(find).collect()
    }

    fn is_keyword(&self, text: &str) -> bool {
        self.keywords.iter().any(|keyword| keyword == text)
    }
}

/// A path as it is found from everywhere.
fn absolute(path: &OsStr) -> OsString {
    std::path::absolute(path).map_or_else(|_| path.to_owned(), PathBuf::into_os_string)
}

/// The sentence about an option, with the words that it takes if it takes no others.
fn help(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let words = arg.get_possible_values();
    if words.is_empty() || !arg.get_action().takes_values() {
        return help;
    }
    let words: Vec<&str> = words.iter().map(PossibleValue::get_name).collect();
    format!("{help}: {}", words.join(", "))
}

/// Whether something is on.
fn switch(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("expected true or false"),
    }
}

/// The words in lower case of a value's name, such as `none` in `DIR|none`.
fn keywords(value_name: &str) -> Vec<String> {
    let is_word = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase());
    value_name.split('|').filter(is_word).map(str::to_owned).collect()
}

/// What clap would have liked better.
fn expected(error: &clap::Error) -> String {
    if let Some(ContextValue::Strings(values)) = error.get(ContextKind::ValidValue)
        && !values.is_empty()
    {
        return format!("expected one of {}", values.join(", "));
    }
    match error.source() {
        Some(source) => source.to_string(),
        None => "this is no value of the option".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_no_paths_are_named_in_lower_case() {
        assert_eq!(keywords("DIR|none"), ["none"]);
        assert_eq!(keywords("N|off"), ["off"]);
        assert!(keywords("ADDR:PORT").is_empty() && keywords("").is_empty());
    }

    #[test]
    fn something_is_on_or_off() {
        for (text, is_on) in [("true", true), ("YES", true), ("1", true), ("off", false)] {
            assert_eq!(switch(text), Ok(is_on));
        }
        assert!(switch("").is_err() && switch("maybe").is_err());
    }
}
