//! The configuration of the server: every option of `serve` is a flag, an environment variable and a
//! key of a file, in this order of precedence. The one definition is that of the command line
//! ([`cli`](crate::cli)): what is here asks clap which options there are, and what each of them takes.
//!
//! The commands on a server's data take its directory from the same places.
//!
//! What the environment and the file say becomes flags, in front of those that were given, so that a
//! value means the same wherever it stands, and options that need or exclude each other do so too.

mod environment;
mod file;
mod option;
mod print;
mod similar;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use shared::failure::Failure;
use shared::text::visible;

use crate::data::FILE_VARIABLE;

use file::File;
use option::{COMMAND, Definition};

pub(crate) use environment::Environment;
pub(crate) use option::{define, without_environment};

/// Every option of the server: its value, and where that comes from. Knows how to look again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    all: Vec<Setting>,
    file: Option<PathBuf>,
    arguments: Vec<OsString>,
}

/// One option.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    definition: Definition,
    /// As one would type them; none if the option is not set.
    values: Vec<OsString>,
    origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    /// The line of the file.
    File(usize),
    /// The variable.
    Environment(String),
    Flag,
}

/// What to give to clap, and what it does not know of it.
pub(crate) struct Layers {
    /// The arguments, to which those were added that the environment and the file make.
    pub(crate) arguments: Vec<OsString>,
    given: Vec<OsString>,
    file: Option<File>,
    origins: Vec<(Definition, Origin)>,
}

impl Layers {
    /// Reads the environment and the file that the arguments ask for. `command` is the whole command
    /// line, [`define`]d; `arguments` begin with the program's name. `None` for a command without a
    /// configuration.
    ///
    /// # Errors
    /// What is wrong with a variable or with the file. Whatever is wrong with the arguments is for
    /// clap to say. Help and version come as an error too.
    pub(crate) fn new(
        command: &Command,
        arguments: &[OsString],
        environment: &Environment,
    ) -> Result<Option<Self>, LayerError> {
        let scan = command.clone().ignore_errors(true).try_get_matches_from(arguments);
        let scan = scan.map_err(LayerError::Shown)?;
        environment.check_names(command).map_err(LayerError::Failure)?;
        let Some(serve) = command.find_subcommand(COMMAND) else { return Ok(None) };
        let (mut typed, mut flags, mut words) = (command, &scan, 1);
        while let Some((name, below)) = flags.subcommand() {
            let Some(command) = typed.find_subcommand(name) else { break };
            (typed, flags, words) = (command, below, words + 1);
        }
        let has = |id: &str| typed.get_arguments().any(|arg| arg.get_id() == id);
        if !has("config") {
            return Ok(None);
        }
        Layers::of(serve, &has, flags, arguments, words, environment)
            .map(Some)
            .map_err(LayerError::Failure)
    }

    /// `serve` has all options. The command that was typed `has` some of them, and is in the first
    /// `words` of the arguments.
    fn of(
        serve: &Command,
        has: &dyn Fn(&str) -> bool,
        flags: &ArgMatches,
        arguments: &[OsString],
        words: usize,
        environment: &Environment,
    ) -> Result<Self, Failure> {
        let definitions: Vec<Definition> =
            serve.get_arguments().filter_map(Definition::of).collect();
        let path = match flags.value_source("config") {
            Some(ValueSource::CommandLine) => flags.get_one::<PathBuf>("config").cloned(),
            _ => environment.get(FILE_VARIABLE).map(PathBuf::from),
        };
        let file = path.map(|path| File::read(path, &definitions, serve)).transpose()?;

        let (mut added, mut origins) = (Vec::new(), Vec::new());
        for definition in definitions.into_iter().filter(|definition| has(&definition.id)) {
            let in_file = file.as_ref().and_then(|file| file.entry(&definition.name));
            let of_secret = definition.secret_variable.as_deref();
            let origin = if flags.value_source(&definition.id) == Some(ValueSource::CommandLine) {
                Origin::Flag
            } else if let Some(variable) = of_secret.filter(|name| environment.get(name).is_some())
            {
                // the value is for whoever uses it to look up: nobody else has it in hand
                if environment.get(&definition.variable).is_some() {
                    return Err(Failure::Usage(format!(
                        "both {variable} and {} are set: unset one of them",
                        definition.variable
                    )));
                }
                Origin::Environment(variable.to_owned())
            } else if let Some(value) = environment.get(&definition.variable) {
                let values = definition.split(&value);
                if values.is_empty() && definition.is_one_or_many {
                    let name = &definition.variable;
                    return Err(Failure::Usage(format!("{name} is empty: give it a value")));
                }
                for value in &values {
                    let Some(expected) = definition.wrong(serve, value) else { continue };
                    let (name, value) = (&definition.variable, value.to_string_lossy());
                    let value = visible(&value);
                    return Err(Failure::Usage(format!("{name}={value}: {expected}")));
                }
                definition.add_arguments(&values, &mut added);
                Origin::Environment(definition.variable.clone())
            } else if let Some(entry) = in_file {
                definition.add_arguments(&entry.values, &mut added);
                Origin::File(entry.line)
            } else {
                Origin::Default
            };
            origins.push((definition, origin));
        }
        let given = arguments.to_vec();
        let mut arguments = given.clone();
        // behind the program's name and the command's
        arguments.splice(words..words, added);
        Ok(Layers { arguments, given, file, origins })
    }

    /// See [`Settings::locate`].
    pub(crate) fn locate(&self, sentence: &str) -> String {
        let all = self.origins.iter().map(|(definition, origin)| (definition, origin));
        locate(sentence, all, self.file.as_ref().map(|file| &*file.path))
    }

    /// The settings, once clap has decided.
    pub(crate) fn settings(self, matches: &ArgMatches) -> Settings {
        let Some((COMMAND, matches)) = matches.subcommand() else { return Settings::default() };
        let setting = |(definition, origin): (Definition, Origin)| {
            let values = definition.values(matches);
            Setting { definition, values, origin }
        };
        Settings {
            all: self.origins.into_iter().map(setting).collect(),
            file: self.file.map(|file| file.path),
            arguments: self.given,
        }
    }
}

/// Why there are no layers.
pub(crate) enum LayerError {
    /// Help or the version was asked for.
    Shown(clap::Error),
    Failure(Failure),
}

impl Settings {
    /// The arguments of the program.
    pub(crate) fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    /// Whether the file, if there is one, can be read again.
    pub(crate) fn check_file(&self) -> Result<(), Failure> {
        let Some(path) = self.file.as_deref() else { return Ok(()) };
        // a pipe would seem to be an empty file; what cannot be looked at is said by who reads it
        match path.metadata() {
            Ok(metadata) if !metadata.is_file() => {
                let path = path.to_string_lossy();
                Err(Failure::Usage(format!("{} is no file that can be read twice", visible(&path))))
            }
            _ => Ok(()),
        }
    }

    /// The option of that name, without dashes in front.
    fn get(&self, name: &str) -> Option<&Setting> {
        self.all.iter().find(|setting| setting.definition.name == name)
    }

    /// A sentence about options, with where the values of those come from that no flag gave: it
    /// calls each by its flag.
    pub(crate) fn locate(&self, sentence: &str) -> String {
        let all = self.all.iter().map(|setting| (&setting.definition, &setting.origin));
        locate(sentence, all, self.file.as_deref())
    }

    /// The options whose values are others than these, as they are there.
    pub(crate) fn changed<'a>(
        &'a self,
        before: &'a Settings,
    ) -> impl Iterator<Item = (&'a Setting, &'a Setting)> {
        let pairs = self.all.iter().filter_map(|new| Some((before.get(new.name())?, new)));
        pairs.filter(|(old, new)| old.values != new.values)
    }

    /// Has this one in place of the one with its name.
    pub(crate) fn put(&mut self, setting: Setting) {
        let place = self.all.iter_mut().find(|other| other.name() == setting.name());
        if let Some(place) = place {
            *place = setting;
        }
    }

    /// Where a value comes from, in words.
    fn origin(&self, setting: &Setting) -> String {
        setting.origin.shown(self.file.as_deref())
    }
}

impl Origin {
    /// In words; `file` is the one that was read.
    fn shown(&self, file: Option<&Path>) -> String {
        match self {
            Origin::Default => "default".to_owned(),
            Origin::File(line) => {
                let path = file.unwrap_or(Path::new(""));
                format!("{}:{line}", visible(&path.to_string_lossy()))
            }
            Origin::Environment(variable) => variable.clone(),
            Origin::Flag => "flag".to_owned(),
        }
    }
}

impl Setting {
    /// The flag without its dashes, which is the key in the file.
    pub(crate) fn name(&self) -> &str {
        &self.definition.name
    }

    /// The value as one would type it.
    pub(crate) fn shown(&self) -> String {
        if self.values.is_empty() {
            return "none".to_owned();
        }
        let words: Vec<_> = self.values.iter().map(|value| value.to_string_lossy()).collect();
        visible(&words.join(", ")).into_owned()
    }
}

/// See [`Settings::locate`].
fn locate<'a>(
    sentence: &str,
    all: impl Iterator<Item = (&'a Definition, &'a Origin)>,
    file: Option<&Path>,
) -> String {
    let is_named = |name: &str| {
        let flag = format!("--{name}");
        sentence.match_indices(&flag).any(|(at, _)| {
            let after = sentence[at + flag.len()..].chars().next();
            !after.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-')
        })
    };
    let sources: Vec<String> = all
        .filter(|(_, origin)| matches!(origin, Origin::File(_) | Origin::Environment(_)))
        .filter(|(definition, _)| is_named(&definition.name))
        .map(|(definition, origin)| format!("--{} is from {}", definition.name, origin.shown(file)))
        .collect();
    if sources.is_empty() {
        sentence.to_owned()
    } else {
        format!("{sentence} ({})", sources.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction, value_parser};

    use super::*;

    /// A server with options of every kind, whatever there may be one day.
    fn command() -> Command {
        let option = |name: &'static str| Arg::new(name).long(name);
        let serve = Command::new(COMMAND).args([
            option("config").value_parser(value_parser!(PathBuf)),
            option("one").default_value("1"),
            option("two").num_args(2),
            option("list").action(ArgAction::Append),
            option("commas").action(ArgAction::Append).value_delimiter(','),
            option("file").value_parser(value_parser!(PathBuf)).value_name("FILE|none"),
            option("secret").value_parser(value_parser!(PathBuf)).env("CHATPROTO_SECRET_FILE"),
            option("needy").requires("one").requires("file"),
            option("enemy").conflicts_with("one"),
            option("switch").action(ArgAction::SetTrue),
            option("pid-file").value_parser(value_parser!(u16)),
        ]);
        define(Command::new("program").subcommand(serve))
    }

    fn settings_of(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Settings, String> {
        let environment = Environment::from(environment);
        let arguments: Vec<OsString> =
            [&["program", COMMAND], arguments].concat().into_iter().map(OsString::from).collect();
        let layers = match Layers::new(&command(), &arguments, &environment) {
            Ok(layers) => layers.expect("the server's options"),
            Err(LayerError::Failure(failure)) => return Err(failure.to_string()),
            Err(LayerError::Shown(text)) => return Err(text.to_string()),
        };
        let matches = without_environment(command()).try_get_matches_from(&layers.arguments);
        match matches {
            Ok(matches) => Ok(layers.settings(&matches)),
            Err(error) => Err(layers.locate(error.to_string().lines().next().unwrap())),
        }
    }

    fn shown(settings: &Settings, name: &str) -> (String, Origin) {
        let setting = settings.get(name).expect(name);
        (setting.shown(), setting.origin.clone())
    }

    fn from(variable: &str) -> Origin {
        Origin::Environment(variable.to_owned())
    }

    #[test]
    fn options_of_every_kind_come_from_the_environment() {
        let settings = settings_of(
            &["--one", "flag"],
            &[
                ("CHATPROTO_ONE", "variable"),
                ("CHATPROTO_TWO", "a, b"),
                ("CHATPROTO_LIST", "-c,d "),
                ("CHATPROTO_COMMAS", "-c,d "),
                ("CHATPROTO_FILE", "none"),
                ("CHATPROTO_SECRET", "sesame"),
                ("CHATPROTO_SWITCH", "on"),
                ("CHATPROTO_NEEDY", ""),
            ],
        );
        let settings = settings.unwrap();
        for (name, value, origin) in [
            ("one", "flag", Origin::Flag),
            ("two", "a, b", from("CHATPROTO_TWO")),
            ("list", "-c, d", from("CHATPROTO_LIST")),
            ("commas", "-c, d", from("CHATPROTO_COMMAS")),
            ("file", "none", from("CHATPROTO_FILE")),
            // whose it is asks for it itself
            ("secret", "none", from("CHATPROTO_SECRET")),
            ("switch", "true", from("CHATPROTO_SWITCH")),
            ("needy", "", from("CHATPROTO_NEEDY")),
            ("enemy", "none", Origin::Default),
        ] {
            assert_eq!(shown(&settings, name), (value.to_owned(), origin), "{name}");
        }
        assert!(!format!("{}{settings:?}", settings.file_text()).contains("sesame"));
    }

    #[test]
    fn what_goes_with_what_is_judged_wherever_it_comes_from() {
        let lonely = settings_of(&["--one", "1"], &[("CHATPROTO_NEEDY", "x")]);
        assert!(lonely.unwrap_err().contains("required"));
        let error = settings_of(&["--one", "1"], &[("CHATPROTO_ENEMY", "x")]);
        assert_eq!(
            error.unwrap_err(),
            "error: the argument '--enemy <enemy>' cannot be used with '--one <one>' (--enemy is from \
             CHATPROTO_ENEMY)"
        );
    }

    #[test]
    fn an_option_that_only_looks_like_a_secret_is_none() {
        let refused = settings_of(&[], &[("CHATPROTO_PID", "7")]).unwrap_err();
        let said = "there is no variable CHATPROTO_PID (a similar one exists: CHATPROTO_PID_FILE)";
        assert_eq!(refused, said);
        assert!(settings_of(&["--one", "1"], &[("CHATPROTO_BIN", "/bin/server-example")]).is_ok());
    }

    #[test]
    fn a_sentence_is_located_by_the_whole_name_of_a_flag() {
        let settings = settings_of(&[], &[("CHATPROTO_ONE", "7")]);
        let settings = settings.unwrap();
        for sentence in ["--one-more", "--ones", "one", "--two"] {
            assert_eq!(settings.locate(sentence), sentence);
        }
        assert_eq!(settings.locate("no --one."), "no --one. (--one is from CHATPROTO_ONE)");
    }
}
