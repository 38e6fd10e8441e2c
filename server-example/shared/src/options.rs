//! Options of several programs. An option of one program is defined with that program.

use clap::ValueEnum;

use crate::units::Address;

/// The name of the environment variable with the password of an account.
pub const PASSWORD_VARIABLE: &str = "CHATPROTO_PASSWORD";

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "clap would show it as help")]
pub enum Color {
    Auto,
    Always,
    Never,
}

/// The address of a server on this machine with the default port.
pub fn default_address() -> Address {
    "127.0.0.1".parse().expect("a literal")
}

/// Whether the environment asks for no colours.
pub fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}
