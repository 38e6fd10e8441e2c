//! Another configuration for a server that runs: SIGHUP has it read again, from where it was read
//! at the start, and each [`Part`] of the server that can change does. All of it or nothing: every
//! part looks first whether it can, and only then any of them does.
//!
//! To make something reloadable, write a [`Part`] and add it to [`parts`]. Options of which no part
//! says that they are its own need a restart, and the log says so.

mod parts;

use std::ffi::OsString;
use std::sync::Arc;

use shared::failure::Failure;
use tracing::{error, info, warn};

use crate::config::{Setting, Settings};
use crate::journal::Journal;
use crate::log::LevelSwitch;
use crate::serve::{Level, ServeOptions};

pub(crate) use parts::{Bans, Running, parts};

/// A part of the server that another configuration changes.
pub(crate) trait Part: Send {
    /// The options that it takes, without the dashes in front.
    fn options(&self) -> &'static [&'static str];

    /// Gets another configuration ready, as far as that can fail.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence. Then nothing has changed.
    fn prepare<'a>(&'a mut self, options: &'a ServeOptions) -> Result<Ready<'a>, Failure>;
}

/// Another configuration of a part, which nothing can keep from being put in force.
pub(crate) struct Ready<'a> {
    /// What changes beside the values of options; a line of the log each.
    notes: Vec<String>,
    apply: Box<dyn FnOnce() + 'a>,
}

impl<'a> Ready<'a> {
    pub(crate) fn new(apply: impl FnOnce() + 'a) -> Self {
        Ready { notes: Vec::new(), apply: Box::new(apply) }
    }

    pub(crate) fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// Reads the command line of a server again, with the environment and the file of the configuration.
pub(crate) type Read = fn(&[OsString]) -> Result<Box<ServeOptions>, Failure>;

/// Loads the configuration again.
pub(crate) struct Reloader {
    read: Read,
    parts: Vec<Box<dyn Part>>,
    log: LogLevel,
    /// What is in force.
    settings: Settings,
}

/// How much is logged. It is no [`Part`], as what is said of the others depends on it.
pub(crate) struct LogLevel {
    pub(crate) level: Level,
    pub(crate) switch: LevelSwitch,
    pub(crate) journal: Arc<Journal>,
}

impl LogLevel {
    const OPTION: &str = "log";

    fn set(&mut self, level: Level) {
        self.level = level;
        self.switch.set(level.into());
        self.journal.set_level(level.into());
    }
}

impl Reloader {
    /// For a server that was started with these options.
    pub(crate) fn new(
        options: &ServeOptions,
        read: Read,
        log: LogLevel,
        parts: Vec<Box<dyn Part>>,
    ) -> Self {
        Reloader { read, parts, log, settings: options.settings.clone() }
    }

    /// Loads it. Whatever comes of it is in the log.
    pub(crate) fn reload(&mut self) {
        if let Err(failure) = self.try_reload() {
            error!("the configuration was not loaded, and nothing has changed: {failure}");
        }
    }

    fn try_reload(&mut self) -> Result<(), Failure> {
        self.settings.check_file()?;
        let options = (self.read)(self.settings.arguments())?;
        let mut settings = options.settings.clone();
        let is_changeable = |setting: &Setting| {
            let mut options = self.parts.iter().flat_map(|part| part.options());
            setting.name() == LogLevel::OPTION || options.any(|option| *option == setting.name())
        };
        let (mut changes, mut restarts) = (Vec::new(), Vec::new());
        for (old, new) in settings.changed(&self.settings) {
            let change = format!("{}: {} → {}", new.name(), old.shown(), new.shown());
            if is_changeable(new) {
                changes.push(change);
            } else {
                restarts.push((old.clone(), change));
            }
        }

        let ready = self.parts.iter_mut().map(|part| part.prepare(&options));
        let ready = ready.collect::<Result<Vec<_>, _>>().map_err(|failure| match failure {
            Failure::Usage(sentence) => Failure::Usage(settings.locate(&sentence)),
            other => other,
        })?;
        let notes = ready.iter().flat_map(|ready| &ready.notes);
        let lines: Vec<String> = changes.into_iter().chain(notes.cloned()).collect();
        // what is said is to be seen under one of the two levels at least
        let is_quieter = options.log < self.log.level;
        if !is_quieter {
            self.log.set(options.log);
        }
        ready.into_iter().for_each(|ready| (ready.apply)());
        lines.iter().for_each(|line| info!("changed: {line}"));
        restarts.iter().for_each(|(_, change)| warn!("needs a restart: {change}"));
        info!("the configuration was loaded again");
        if is_quieter {
            self.log.set(options.log);
        }
        for (old, _) in restarts {
            settings.put(old);
        }
        self.settings = settings;
        Ok(())
    }
}
