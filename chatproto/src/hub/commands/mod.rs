//! The endpoints of the hub itself (A10, B10), one file each. To add one: write its file, and name it
//! here. `/help` and the table in `PROTOCOL.md` come from this list.

use super::hub::Command;

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
