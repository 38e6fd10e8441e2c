//! The endpoints of the protocol (A10), one file each. To add one: write its file, name it here
//! twice. `/help` and the table in `PROTOCOL.md` come from this list.

mod help;
mod list;
mod shout;
mod standard;
mod time;

use crate::message::MessageRef;

use super::Call;

/// What runs a built-in endpoint.
pub(super) type Builtin = fn(&mut Call<'_>, &MessageRef<'_>);

/// A built-in endpoint.
pub(super) struct Command {
    /// With its slash.
    pub(super) name: &'static str,
    /// One sentence: what it does with `msg`, and what it answers.
    pub(super) help: &'static str,
    pub(super) run: Builtin,
}

pub(super) const ALL: [Command; 5] =
    [help::COMMAND, list::COMMAND, shout::COMMAND, standard::COMMAND, time::COMMAND];
