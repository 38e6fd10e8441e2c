//! The endpoints of the hub itself (A10, B10), one file each. To add one: write its file, and name it
//! here. `/help` and the table in `PROTOCOL.md` come from this list.

use std::fmt::Display;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::endpoint::{Argument, Arguments, without_own_name};
use crate::message::MessageRef;

use super::moderation::duration_and_reason;
use super::{Call, Role};

/// A built-in endpoint.
pub(super) struct Command {
    /// With its slash.
    pub(super) name: &'static str,
    /// What `msg` is: words in capitals are to be replaced, those in brackets may be left out.
    pub(super) arguments: &'static str,
    /// One sentence: what it does, and what it answers.
    pub(super) help: &'static str,
    /// Who may use it.
    pub(super) role: Role,
    pub(super) run: fn(&mut Call<'_>, &MessageRef<'_>),
}

macro_rules! commands {
    ($($group:ident: $($name:ident)*;)*) => {
        $($(mod $name;)*)*
        $(pub(super) const $group: &[&Command] = &[$(&$name::COMMAND),*];)*
    };
}

commands! {
    ALWAYS: admin away ban bans close help join kick leave list mute mutes nick notice ping role roll rooms
        shout standard state time unban unmute who whoami;
    WITH_ACCOUNTS: login passwd register unregister;
    WITH_HISTORY: cursors forget history sync times;
}

impl Command {
    /// The command as one would type it, with its arguments.
    pub(super) fn usage(&self) -> String {
        format!("{} {}", self.name, self.arguments).trim_end().to_owned()
    }

    /// What `/help` says of it.
    pub(super) fn description(&self) -> String {
        match self.role {
            Role::User => self.help.to_owned(),
            role => format!("{} (For {}.)", self.help, role.plural()),
        }
    }
}

impl Call<'_> {
    /// Says how a command is to be used.
    fn answer_usage(&mut self, command: &Command) {
        self.answer(&format!("❌ Send {}.", command.usage()));
    }

    /// Says what is wrong with the arguments of a command, and how it is to be used.
    fn answer_misuse(&mut self, command: &Command, error: impl Display) {
        self.answer(&format!("❌ Send {}: {error}.", command.usage()));
    }

    /// Reads the arguments of a command. A text that is not by the grammar is answered.
    fn arguments<'t>(&mut self, command: &Command, text: &'t str) -> Option<Vec<Argument<'t>>> {
        let arguments = Arguments::new(text).collect::<Result<_, _>>();
        arguments.map_err(|error| self.answer_misuse(command, error)).ok()
    }

    /// Reads exactly `N` arguments. Any other text is answered with the usage.
    fn exactly<'t, const N: usize>(
        &mut self,
        command: &Command,
        text: &'t str,
    ) -> Option<[Argument<'t>; N]> {
        let arguments = self.arguments(command, text)?;
        arguments.try_into().map_err(|_| self.answer_usage(command)).ok()
    }

    /// Reads one argument and the free text behind it. Any other text is answered with the usage.
    fn first_and_text<'t>(
        &mut self,
        command: &Command,
        text: &'t str,
    ) -> Option<(Argument<'t>, String)> {
        let (first, arguments) = self.first(command, text)?;
        let text = arguments.text().map_err(|error| self.answer_misuse(command, error)).ok()?;
        Some((first, text.into_owned()))
    }

    /// Reads the target, duration and reason of a sanction. Any other text is answered with the usage.
    fn sanction<'t>(
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

/// The text of a command that is given a password. It and the input are wiped after use.
fn secret_text_of(
    call: &mut Call<'_>,
    message: &MessageRef<'_>,
    command: &str,
) -> Zeroizing<String> {
    call.out.has_secret = true;
    let msg = Zeroizing::new(message.msg.to_str().into_owned());
    Zeroizing::new(without_own_name(&msg, command).to_owned())
}

/// Compares a table in `PROTOCOL.md`, which stands between two comments, with what it is made from.
/// With `CHATPROTO_WRITE=1` in the environment the table is written instead.
#[cfg(test)]
pub(super) fn check_table(begin: &str, end: &str, table: &str) {
    use std::sync::{Mutex, PoisonError};

    // tests that write run at the same time
    static FILE: Mutex<()> = Mutex::new(());
    let _guard = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let (begin, end) = (format!("<!-- {begin} -->\n"), format!("<!-- end of {end} -->\n"));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/PROTOCOL.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once(&begin).expect("the table's beginning is marked");
    let (there, after) = rest.split_once(&end).expect("the table's end is marked");
    if std::env::var_os("CHATPROTO_WRITE").is_some() {
        return std::fs::write(path, [before, &begin, table, &end, after].concat()).unwrap();
    }
    assert_eq!(there, table, "to write it: CHATPROTO_WRITE=1 cargo test -p chatproto --lib");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the table of endpoints.
    fn table() -> String {
        let row = |command: &&Command| {
            let usage = command.usage().replace('|', "\\|");
            format!("| `{usage}` | {} |\n", command.description())
        };
        let rows = |group: &[&Command]| group.iter().map(row).collect::<String>();
        format!(
            "| endpoint, `msg` | effect |\n|---|---|\n{}\n\
             With accounts:\n\n\
             | endpoint, `msg` | effect |\n|---|---|\n{}\n\
             With history:\n\n\
             | endpoint, `msg` | effect |\n|---|---|\n{}",
            rows(ALWAYS),
            rows(WITH_ACCOUNTS),
            rows(WITH_HISTORY)
        )
    }

    #[test]
    fn names_are_in_order() {
        for group in [ALWAYS, WITH_ACCOUNTS, WITH_HISTORY] {
            assert!(group.is_sorted_by_key(|command| command.name));
        }
    }

    #[test]
    fn the_protocol_has_the_table_of_endpoints() {
        check_table("endpoints: made from src/hub/commands", "endpoints", &table());
    }
}
