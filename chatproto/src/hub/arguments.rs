//! The arguments of commands, and the answers to those that are not by the grammar.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::endpoint::{Argument, Arguments, without_own_name};
use crate::message::MessageRef;

use super::excerpt::quoted;
use super::hub::{Call, Command};
use super::terms::duration_and_reason;

impl Call<'_> {
    /// Says how a command is to be used.
    pub(super) fn answer_usage(&mut self, command: &Command) {
        self.answer(&format!("❌ Send {}.", command.usage()));
    }

    /// Says what is wrong with the arguments of a command, and how it is to be used.
    pub(super) fn answer_misuse(&mut self, command: &Command, error: impl Display) {
        self.answer(&format!("❌ Send {}: {error}.", command.usage()));
    }

    /// Reads the arguments of a command. A text that is not by the grammar is answered.
    pub(super) fn arguments<'t>(
        &mut self,
        command: &Command,
        text: &'t str,
    ) -> Option<Vec<Argument<'t>>> {
        let arguments = Arguments::new(text).collect::<Result<_, _>>();
        arguments.map_err(|error| self.answer_misuse(command, error)).ok()
    }

    /// Reads exactly `N` arguments. Any other text is answered with the usage.
    pub(super) fn exactly<'t, const N: usize>(
        &mut self,
        command: &Command,
        text: &'t str,
    ) -> Option<[Argument<'t>; N]> {
        let arguments = self.arguments(command, text)?;
        arguments.try_into().map_err(|_| self.answer_usage(command)).ok()
    }

    /// Reads one argument and the free text behind it. Any other text is answered with the usage.
    pub(super) fn first_and_text<'t>(
        &mut self,
        command: &Command,
        text: &'t str,
    ) -> Option<(Argument<'t>, String)> {
        let (first, arguments) = self.first(command, text)?;
        let text = arguments.text().map_err(|error| self.answer_misuse(command, error)).ok()?;
        Some((first, text.into_owned()))
    }

    /// Reads the target, duration and reason of a sanction. Any other text is answered with the usage.
    pub(super) fn sanction<'t>(
        &mut self,
        command: &Command,
        text: &'t str,
    ) -> Option<(Argument<'t>, Option<Duration>, String)> {
        let (target, arguments) = self.first(command, text)?;
        let rest = duration_and_reason(arguments);
        let (duration, reason) = rest.map_err(|error| self.answer_misuse(command, error)).ok()?;
        Some((target, duration, reason))
    }

    fn first<'t>(
        &mut self,
        command: &Command,
        text: &'t str,
    ) -> Option<(Argument<'t>, Arguments<'t>)> {
        let mut arguments = Arguments::new(text);
        match arguments.next() {
            Some(Ok(first)) => return Some((first, arguments)),
            Some(Err(error)) => self.answer_misuse(command, error),
            None => self.answer_usage(command),
        }
        None
    }
}

/// What stands in a command's `msg`, without the command's own name (A13).
pub(super) fn text_of<'m>(message: &'m MessageRef<'_>, command: &str) -> Cow<'m, str> {
    match message.msg.to_str() {
        Cow::Borrowed(text) => Cow::Borrowed(without_own_name(text, command)),
        Cow::Owned(text) => Cow::Owned(without_own_name(&text, command).to_owned()),
    }
}

/// The one argument that there may be.
pub(super) fn only_argument(text: &str) -> Result<Option<Argument<'_>>, String> {
    let mut arguments = Arguments::new(text);
    let first = arguments.next().transpose().map_err(|error| format!("{error}."))?;
    if arguments.rest().is_empty() {
        Ok(first)
    } else {
        let name = quoted(&text.replace('"', ""));
        Err(format!("put a name with spaces in double quotes: {name}."))
    }
}

/// The text of a command that is given a password. It and the input are wiped after use.
pub(super) fn secret_text_of(
    call: &mut Call<'_>,
    message: &MessageRef<'_>,
    command: &str,
) -> Zeroizing<String> {
    call.out.has_secret = true;
    let msg = Zeroizing::new(message.msg.to_str().into_owned());
    Zeroizing::new(without_own_name(&msg, command).to_owned())
}
