//! What the server says itself, and how it is written.

use chatproto::Message;

use super::fault::Fault;

pub(crate) const STANDARD: &str =
    r#"{"from": {"name": "string", "ip": "string"}, "to": "string", "msg": "string"}"#;

/// An object that is to be written.
pub(crate) struct Parts {
    message: Message,
    /// Whether it has a key that the schema does not have.
    pub(crate) extra: bool,
    has_comma: bool,
}

impl Parts {
    pub(crate) fn of(message: Message) -> Self {
        Parts { message, extra: false, has_comma: false }
    }

    pub(crate) fn to_bytes(&self, is_compact: bool) -> Vec<u8> {
        let mut text = match is_compact {
            true => self.message.to_json(),
            false => self.message.to_python_json(),
        };
        if self.extra {
            text.insert_str(1, "\"v\": 2, ");
        }
        text.push('\n');
        if self.has_comma {
            text.push(',');
        }
        text.into_bytes()
    }
}

/// Something that the server says itself.
pub(crate) fn say(fault: Fault, to: &str, text: &str) -> Parts {
    let name = if fault == Fault::ServerMisspelt { "Server" } else { "SERVER" };
    Parts {
        message: Message::new(name, "0.0.0.0", to, text),
        extra: fault == Fault::ExtraKey,
        has_comma: fault == Fault::CommaBetween,
    }
}

pub(crate) fn welcome(fault: Fault, name: &str, others: &[String]) -> String {
    let help = match fault {
        Fault::WelcomeWithoutHelp => "Good luck.",
        _ => "Send /help to see the commands.",
    };
    let named = if fault == Fault::WelcomeNamesAll { others.len() } else { 20 };
    let mut rest = String::new();
    let mut names = &others[..others.len().min(named)];
    // as many as fit
    while names.concat().len() > 700 {
        names = &names[..names.len() - 1];
    }
    if names.len() < others.len() {
        rest = format!(" and {} more", others.len() - names.len());
    }
    let online = match others {
        [] => "Nobody else is online.".to_owned(),
        _ => format!("Online ({}): {}{rest}", others.len(), names.join(", ")),
    };
    format!("Welcome, {name}! {help} {online}")
}

/// The answer to `/list`, in as many parts as it takes.
pub(crate) fn list(fault: Fault, name: &str, others: &[String], limit: usize) -> Vec<String> {
    let mut others = others.to_vec();
    if fault == Fault::ListNamesRequester {
        others.push(name.to_owned());
    }
    if others.is_empty() {
        return vec!["No other users are connected.".to_owned()];
    }
    let head = match fault {
        Fault::ListUncounted => "Connected users: ".to_owned(),
        _ => format!("Connected users ({}): ", others.len()),
    };
    let between = if fault == Fault::ListUnseparated { " " } else { ", " };
    let mut parts = vec![head];
    let mut is_first = true;
    for other in &others {
        // the object around the text takes some 150 bytes, of which the name may be 64 or more
        let is_full = parts[parts.len() - 1].len() + other.len() > limit - 250;
        if is_full && fault != Fault::ListUnsplit {
            parts.push(String::new());
            is_first = true;
        }
        let part = parts.last_mut().unwrap();
        if !is_first {
            part.push_str(between);
        }
        is_first = false;
        part.push_str(other);
    }
    let count = parts.len();
    if count > 1 {
        for (number, part) in parts.iter_mut().enumerate() {
            part.push_str(&format!(" ({}/{count})", number + 1));
        }
    }
    parts
}

pub(crate) fn time(fault: Fault) -> String {
    let clock = if fault == Fault::TimeWithDots { "14.03.27" } else { "14:03:27" };
    format!("Server time: {clock}")
}

pub(crate) fn help(fault: Fault) -> String {
    let standard = if fault == Fault::HelpIncomplete { "" } else { ", /standard" };
    format!("Commands: /help, /list, /ping, /shout{standard}, /time")
}
