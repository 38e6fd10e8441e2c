//! The options of the listener.

use std::net::Ipv6Addr;

use chatproto::address::Address;
use clap::Args;

use crate::host::HostName;
use crate::origin::PageOrigin;

/// The port, if none is given.
const PORT: u16 = 8080;

/// Where HTTP is served, and for which names and pages.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "HTTP")]
pub struct HttpOptions {
    /// Address and port for HTTP and WebSockets [default: none; --http alone is 127.0.0.1:8080]. Can be
    /// given several times
    ///
    /// A page or a program joins the chat with a WebSocket at /ws?name=NAME. With a certificate, the port
    /// speaks HTTPS too, and nothing else with --tls only. The log says which port 0 became.
    #[arg(
        long,
        value_name = "ADDR:PORT",
        num_args = 0..=1,
        default_missing_value = "127.0.0.1:8080",
        value_parser = address
    )]
    pub http: Vec<Address>,

    /// Name by which clients reach the server, such as chat.example.org. Can be given several times
    ///
    /// A request for another name is refused, since a page of another site could use it to reach a
    /// server in a private network. The names of the certificate, localhost and addresses need no option.
    #[arg(long, value_name = "NAME")]
    pub http_host: Vec<HostName>,

    /// Origin whose pages may join the chat, such as https://www.example.org. Can be given several times
    ///
    /// The server's own pages need no option, unless a proxy in front of it adds TLS.
    #[allow(rustdoc::bare_urls, reason = "it is the help of the command line")]
    #[arg(long, value_name = "ORIGIN")]
    pub http_origin: Vec<PageOrigin>,
}

/// Reads `--http`. A host alone has the port 8080, and not that of the chat.
fn address(text: &str) -> Result<Address, String> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Address::new(text, PORT).map_err(|error| error.to_string());
    }
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let has_port = is_port(text.strip_prefix(':').unwrap_or(text));
    match format!("{text}:{PORT}").parse() {
        Ok(address) if !has_port => Ok(address),
        _ => text.parse().map_err(|error: chatproto::address::AddressError| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_alone_has_the_port_of_http() {
        for (text, shown) in [
            ("0.0.0.0", "0.0.0.0:8080"),
            ("localhost", "localhost:8080"),
            ("::1", "[::1]:8080"),
            ("[::1]", "[::1]:8080"),
            ("[::1]:80", "[::1]:80"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            (":0", "127.0.0.1:0"),
            ("9000", "127.0.0.1:9000"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), shown, "{text}");
        }
        for text in ["", ":", "1.2", "*", "a:b", "localhost:65536", "[::1", "a b"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
