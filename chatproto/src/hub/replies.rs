//! Sentences with which more than one part of the hub answers a user.

use crate::name::UserName;

use super::Completion;
use super::excerpt::quoted;

pub(super) fn no_user(name: &str) -> String {
    format!("❌ User {} not found. Send /list to see who is connected.", quoted(name))
}

pub(super) fn not_in(room: &str) -> String {
    format!("❌ You are not in {}. Send /join with its name first.", quoted(room))
}

pub(super) fn no_room(name: &str) -> String {
    format!("❌ There is no room {}. Send /rooms to see which there are.", quoted(name))
}

/// `1 user`, `2 users`.
pub(super) fn users(count: usize) -> String {
    if count == 1 { "1 user".to_owned() } else { format!("{count} users") }
}

/// What is said of a name that somebody has.
pub(super) fn in_use(name: &UserName) -> String {
    format!("the name {} is already in use.", quoted(name.as_str()))
}

/// What a user is told whose name stays what it is.
pub(super) fn name_stays(name: &str, reason: &str) -> String {
    format!("❌ Your name stays {name}: {reason}")
}

pub(super) const RESERVED: &str =
    "that name belongs to an account, or looks like one that does. If it is yours, send /login.";
pub(super) const UNCHECKED: &str = "the name cannot be checked now. Try again later.";

/// What a user is told whose account changed during the login.
pub(super) const CHANGED: &str = "the account was changed meanwhile. Log in again.";

/// What a user is told of a claim that was not granted.
pub(super) fn reason_of(refusal: Completion) -> String {
    match refusal {
        Completion::Refused(reason) => reason,
        Completion::Moved(to) => format!("you belong to another server. Connect to {to}."),
        Completion::Reserved => RESERVED.to_owned(),
        _ => UNCHECKED.to_owned(),
    }
}

/// What is added to the error that ends a connection.
pub(super) const TOO_MANY: &str = " That was one error too many within a minute.";
