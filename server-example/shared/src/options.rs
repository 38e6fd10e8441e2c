//! Options of several programs. An option of one program is defined with that program.

use chatproto::websocket::Url;
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

/// The URL of a WebSocket without TLS and without a name in it: the programs that make many clients give each
/// its own.
///
/// # Errors
/// A sentence about what to write instead.
pub fn websocket(text: &str) -> Result<Url, String> {
    let url: Url =
        text.parse().map_err(|error: chatproto::websocket::UrlError| error.to_string())?;
    if url.is_secure() {
        return Err(
            "TLS is not spoken here: write ws:// and the port of a listener without TLS".to_owned()
        );
    }
    if url.has_name() {
        return Err("each client has a name of its own: remove the parameter name".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_websocket_is_without_tls_and_without_a_name() {
        assert_eq!(websocket("ws://localhost:8080").unwrap().to_string(), "ws://localhost:8080/ws");
        for (text, why) in [
            ("wss://localhost", "TLS is not spoken here"),
            ("ws://localhost/ws?name=alice", "each client has a name"),
            ("localhost:8080", "expected a URL"),
        ] {
            let refused = websocket(text).unwrap_err();
            assert!(refused.starts_with(why), "{refused}");
        }
    }
}
