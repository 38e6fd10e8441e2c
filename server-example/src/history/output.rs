//! The option of the commands of `history` that names a conversation, and the form of a time.

use chatproto::{RoomName, UserName};
use clap::Args;
use jiff::tz::TimeZone;
use shared::clock::timestamp_of_ms;

/// Which conversation is meant.
#[derive(Args, Debug)]
#[group(multiple = false)]
pub(crate) struct ConversationOptions {
    /// Only messages of this room
    #[arg(long, value_name = "#ROOM", value_parser = room)]
    pub(super) room: Option<RoomName>,

    /// Only messages between these two users
    #[arg(long, value_names = ["NAME", "NAME"], num_args = 2)]
    pub(super) with: Option<Vec<UserName>>,
}

impl ConversationOptions {
    /// Its name in the store; `None` means all.
    pub(super) fn name(&self) -> Option<String> {
        match (&self.room, self.with.as_deref()) {
            (Some(room), _) => Some(room.as_str().to_owned()),
            (None, Some([one, other])) => Some(store::between(one.as_str(), other.as_str())),
            _ => None,
        }
    }
}

pub(super) fn room(text: &str) -> Result<RoomName, String> {
    RoomName::new(text).map_err(|error| format!("{error} (in a shell, quote it: '#tea')"))
}

/// A time as RFC 3339 in the local time zone.
pub(super) fn time(at_ms: i64) -> String {
    let at = timestamp_of_ms(at_ms);
    let here = at.to_zoned(TimeZone::system());
    at.display_with_offset(here.offset()).to_string()
}
