//! The pages that may open a WebSocket. A browser lets every page of every site open one, and says in
//! `Origin` of which site the page is.

use std::fmt;
use std::str::FromStr;

use axum::http::HeaderMap;
use axum::http::header::ORIGIN;

use crate::host::Authority;

/// Scheme, host and port of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageOrigin {
    is_https: bool,
    host: String,
    port: u16,
}

impl PageOrigin {
    fn new(is_https: bool, authority: Authority) -> Self {
        let port = authority.port.unwrap_or(if is_https { 443 } else { 80 });
        PageOrigin { is_https, host: authority.host, port }
    }
}

impl FromStr for PageOrigin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected scheme, host and optional port without a path, such as https://chat.example.org";
        let (scheme, authority) = text.split_once("://").ok_or(EXPECTED)?;
        let is_https = match () {
            () if scheme.eq_ignore_ascii_case("https") => true,
            () if scheme.eq_ignore_ascii_case("http") => false,
            () => return Err(EXPECTED),
        };
        Ok(PageOrigin::new(is_https, Authority::parse(authority).ok_or(EXPECTED)?))
    }
}

impl fmt::Display for PageOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default) = if self.is_https { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == default { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// Whether the request may come from its page: one of this server, or one of those that are allowed.
/// A client that is no browser sends no origin.
pub(crate) fn is_allowed(
    headers: &HeaderMap,
    is_https: bool,
    authority: Option<&Authority>,
    allowed: &[PageOrigin],
) -> bool {
    let mut fields = headers.get_all(ORIGIN).iter();
    let Some(field) = fields.next() else { return true };
    let page = field.to_str().ok().and_then(|text| text.parse::<PageOrigin>().ok());
    // `null` is the origin of sandboxed pages and files, so it is nobody's
    let Some(page) = page.filter(|_| fields.next().is_none()) else { return false };
    let own = authority.map(|authority| PageOrigin::new(is_https, authority.clone()));
    own.is_some_and(|own| own == page) || allowed.contains(&page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(origins: &[&str], is_https: bool, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append(ORIGIN, origin.parse().unwrap());
        }
        let allowed = ["https://pages.example".parse().unwrap()];
        is_allowed(&headers, is_https, Authority::parse(host).as_ref(), &allowed)
    }

    #[test]
    fn a_page_is_ours_if_scheme_host_and_port_are() {
        for (origin, is_https, host, is_ours) in [
            ("http://localhost:8080", false, "localhost:8080", true),
            ("http://LOCALHOST:8080", false, "localhost:8080", true),
            ("http://chat.example", false, "chat.example:80", true),
            ("https://chat.example:443", true, "chat.example", true),
            ("https://[::1]:8080", true, "[::1]:8080", true),
            ("https://chat.example", false, "chat.example", false),
            ("http://chat.example:81", false, "chat.example", false),
            ("http://evil.example", false, "chat.example", false),
            ("http://localhost", false, "127.0.0.1", false),
            ("https://pages.example", false, "chat.example", true),
            ("https://pages.example:444", false, "chat.example", false),
            ("null", false, "chat.example", false),
            ("", false, "chat.example", false),
            ("file://", false, "chat.example", false),
            ("http://chat.example/", false, "chat.example", false),
        ] {
            assert_eq!(may(&[origin], is_https, host), is_ours, "{origin} at {host}");
        }
    }

    #[test]
    fn no_origin_is_no_browser_and_two_are_nobodys() {
        assert!(may(&[], false, "chat.example"));
        assert!(!may(&["http://chat.example", "http://chat.example"], false, "chat.example"));
    }

    #[test]
    fn origins_are_shown_as_browsers_write_them() {
        for (text, shown) in [
            ("HTTPS://Chat.Example:443", "https://chat.example"),
            ("http://[0::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(text.parse::<PageOrigin>().unwrap().to_string(), shown);
        }
        for text in ["chat.example", "ws://chat.example", "https://", "https://a/b", "null", "*"] {
            assert!(text.parse::<PageOrigin>().is_err(), "{text}");
        }
    }
}
