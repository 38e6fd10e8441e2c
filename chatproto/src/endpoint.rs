//! Endpoints: what a `to` that begins with `/` names (A10, B10). Here is how one is described and
//! registered. The built-in ones are in [`hub`](crate::hub), and the grammar of arguments is in
//! `argument.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::name::UserName;

pub use crate::argument::{Argument, ArgumentError, Arguments, as_argument};

/// A command that a user sent to an endpoint of the application's own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The user who sent it.
    pub user: UserName,
    /// The endpoint's name, such as `/dice`.
    pub endpoint: Arc<str>,
    /// The text, from which a leading token equal to the endpoint's name was dropped (A13).
    pub msg: String,
}

impl Request {
    /// A request, for tests of a [`Handler`].
    pub fn new(user: UserName, endpoint: impl Into<Arc<str>>, msg: impl Into<String>) -> Self {
        Request { user, endpoint: endpoint.into(), msg: msg.into() }
    }

    /// The text as arguments: see [`Arguments`]. A handler can refuse with the text of an
    /// [`ArgumentError`].
    ///
    /// ```
    /// # use chatproto::endpoint::Arguments;
    /// let arguments = Arguments::new(r#"kick "alice smith"  now"#);
    /// let arguments: Vec<_> = arguments.collect::<Result<_, _>>()?;
    /// assert_eq!(arguments, ["kick", "alice smith", "now"]);
    /// # Ok::<(), chatproto::endpoint::ArgumentError>(())
    /// ```
    pub fn arguments(&self) -> Arguments<'_> {
        Arguments::new(&self.msg)
    }
}

/// An endpoint of the application's own: it turns a request into the text of the answer. An `Err`
/// is shown to the user as a refusal (`❌`).
///
/// It runs on a thread of its own pool, never under the hub's lock, and may block. If it panics,
/// the user is told that the command failed and nobody else notices.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    ///
    /// # Errors
    /// The sentence that tells the user why not.
    fn handle(&self, request: &Request) -> Result<String, String>;
}

impl<F> Handler for F
where
    F: Fn(&Request) -> Result<String, String> + Send + Sync + 'static,
{
    fn handle(&self, request: &Request) -> Result<String, String> {
        self(request)
    }
}

/// Why an endpoint cannot be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EndpointError(pub(crate) &'static str);

/// One endpoint: its name, what `/help` says of it, and what answers it.
pub(crate) struct Endpoint<B> {
    pub(crate) name: Arc<str>,
    /// The name and its arguments, as one would type them.
    pub(crate) usage: String,
    pub(crate) help: String,
    pub(crate) action: Action<B>,
}

/// What answers an endpoint: the hub itself, or the application.
pub(crate) enum Action<B> {
    Builtin(B),
    Handler(Arc<dyn Handler>),
}

/// The endpoints that a server offers, by name. `B` is what a built-in one is.
pub(crate) struct Endpoints<B>(BTreeMap<Arc<str>, Endpoint<B>>);

impl<B> Endpoints<B> {
    pub(crate) fn new() -> Self {
        Endpoints(BTreeMap::new())
    }

    /// Adds an endpoint; one of the same name must not be there.
    pub(crate) fn add(
        &mut self,
        name: &str,
        usage: String,
        help: String,
        action: Action<B>,
    ) -> Result<(), EndpointError> {
        let Some(word) = name.strip_prefix('/') else {
            return Err(EndpointError("its name must begin with '/'"));
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if word.is_empty() || word.len() > 32 || !word.chars().all(legal) {
            return Err(EndpointError(
                "its name must be '/' and 1 to 32 ASCII letters, digits, '-' or '_'",
            ));
        }
        if self.0.contains_key(name) {
            return Err(EndpointError("there is one of that name"));
        }
        let name: Arc<str> = name.into();
        self.0.insert(Arc::clone(&name), Endpoint { name, usage, help, action });
        Ok(())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Endpoint<B>> {
        self.0.get(name)
    }

    /// In the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Endpoint<B>> {
        self.0.values()
    }
}

impl<B> fmt::Debug for Endpoints<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// What follows the endpoint's own name, if the text begins with it: clients send the whole typed
/// line (A13).
pub(crate) fn without_own_name<'a>(text: &'a str, endpoint: &str) -> &'a str {
    let text = text.trim();
    match text.strip_prefix(endpoint) {
        Some(rest) if rest.is_empty() || rest.starts_with(char::is_whitespace) => rest.trim_start(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_leading_token_is_dropped() {
        assert_eq!(without_own_name("/join #tea", "/join"), "#tea");
        assert_eq!(without_own_name(" /join ", "/join"), "");
        assert_eq!(without_own_name("/joinery", "/join"), "/joinery");
        assert_eq!(without_own_name("#tea /join", "/join"), "#tea /join");
    }

    #[test]
    fn an_endpoint_has_a_name_that_users_can_type() {
        let mut endpoints = Endpoints::<()>::new();
        let mut add = |name| endpoints.add(name, String::new(), String::new(), Action::Builtin(()));
        assert!(add("/dice").is_ok());
        for bad in ["dice", "/", "/di ce", "/dicé", "/dice"] {
            assert!(add(bad).is_err(), "{bad}");
        }
    }
}
