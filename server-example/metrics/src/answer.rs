//! The answer to an HTTP request, without the types of an HTTP library.

/// An answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The body, as text. It is true for the moment only, so it must not be cached.
    pub body: String,
}
