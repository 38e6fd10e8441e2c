//! The one grammar of arguments (B10, B18): how a text is read argument by argument, and how a name is
//! written as one argument. What an argument means is for the command that takes it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use zeroize::Zeroize;

/// Reads a text argument by argument (B10, B18).
///
/// White space separates arguments. An argument that begins with a double quote ends at the next one;
/// inside the quotes, `""` stands for one double quote. After an error there are no more arguments.
///
/// ```
/// # use chatproto::endpoint::{ArgumentError, Arguments};
/// let mut arguments = Arguments::new(r#"  "alice ""al"" smith"  too loud"#);
/// assert_eq!(arguments.next().unwrap()?, r#"alice "al" smith"#);
/// assert_eq!(arguments.text()?, "too loud");
///
/// let mut unclosed = Arguments::new(r#""alice smith"#);
/// assert_eq!(unclosed.next(), Some(Err(ArgumentError::Unclosed)));
/// # Ok::<(), ArgumentError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Arguments<'a> {
    rest: &'a str,
    /// Whether an argument before `rest` was in quotes.
    is_quoted: bool,
}

impl<'a> Arguments<'a> {
    /// The arguments in `text`.
    pub fn new(text: &'a str) -> Self {
        Arguments { rest: text.trim(), is_quoted: false }
    }

    /// The part of the text that was not read yet, unchanged.
    pub fn rest(&self) -> &'a str {
        self.rest
    }

    /// The part that was not read yet, as a free text such as a reason. Double quotes around all of it
    /// are removed.
    ///
    /// # Errors
    /// [`ArgumentError::Unclosed`] if an argument before it was in quotes and its own quotes are not
    /// balanced: `"bob" x"` can be the name `bob" x` with a quote that was not doubled.
    pub fn text(self) -> Result<Cow<'a, str>, ArgumentError> {
        if let Some(Ok((text, ""))) = self.rest.strip_prefix('"').map(unquoted) {
            return Ok(text);
        }
        let is_balanced = self.rest.bytes().filter(|&byte| byte == b'"').count() % 2 == 0;
        if self.is_quoted && !is_balanced {
            return Err(ArgumentError::Unclosed);
        }
        Ok(Cow::Borrowed(self.rest))
    }
}

impl<'a> Iterator for Arguments<'a> {
    type Item = Result<Argument<'a>, ArgumentError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (text, behind, is_quoted) = match self.rest.strip_prefix('"') {
            None => {
                let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
                (Cow::Borrowed(&self.rest[..end]), &self.rest[end..], false)
            }
            Some(quoted) => match unquoted(quoted) {
                Ok((text, behind)) => (text, behind, true),
                Err(error) => {
                    self.rest = "";
                    return Some(Err(error));
                }
            },
        };
        self.rest = behind.trim_start();
        self.is_quoted |= is_quoted;
        Some(Ok(Argument { text, is_quoted }))
    }
}

/// Reads up to the closing quote, and returns what stands behind it.
fn unquoted(quoted: &str) -> Result<(Cow<'_, str>, &str), ArgumentError> {
    let mut end = quoted.find('"').ok_or(ArgumentError::Unclosed)?;
    let mut has_quotes = false;
    while quoted[end + 1..].starts_with('"') {
        has_quotes = true;
        end += 2;
        end += quoted[end..].find('"').ok_or(ArgumentError::Unclosed)?;
    }
    let (text, behind) = (&quoted[..end], &quoted[end + 1..]);
    if !behind.is_empty() && !behind.starts_with(char::is_whitespace) {
        return Err(ArgumentError::TextAfterQuote);
    }
    let text = if has_quotes { text.replace("\"\"", "\"").into() } else { text.into() };
    Ok((text, behind))
}

/// One argument. It dereferences to its text, which is without the quotes around it.
#[derive(Clone, PartialEq, Eq)]
pub struct Argument<'a> {
    text: Cow<'a, str>,
    is_quoted: bool,
}

impl<'a> Argument<'a> {
    /// Its text, borrowed if no quote in it was doubled. This copy is not wiped.
    pub fn into_text(mut self) -> Cow<'a, str> {
        std::mem::take(&mut self.text)
    }

    /// Whether it was in double quotes: then it is a name or a text, and never a keyword, number,
    /// duration, address or network.
    pub fn is_quoted(&self) -> bool {
        self.is_quoted
    }
}

impl Deref for Argument<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl AsRef<str> for Argument<'_> {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl Drop for Argument<'_> {
    /// Wipes a copy of the text: it can be a password.
    fn drop(&mut self) {
        if let Cow::Owned(text) = &mut self.text {
            text.zeroize();
        }
    }
}

impl PartialEq<str> for Argument<'_> {
    fn eq(&self, text: &str) -> bool {
        *self.text == *text
    }
}

impl PartialEq<&str> for Argument<'_> {
    fn eq(&self, text: &&str) -> bool {
        *self.text == **text
    }
}

impl fmt::Debug for Argument<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl fmt::Display for Argument<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// Why a text cannot be read as arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentError {
    /// A double quote opens an argument, and none closes it.
    #[error("a double quote is not closed; inside double quotes, write \"\" for one")]
    Unclosed,
    /// A closing quote is followed by text instead of white space.
    #[error("a closing quote is followed by text; inside double quotes, write \"\" for one")]
    TextAfterQuote,
}

impl From<ArgumentError> for String {
    /// The sentence with which a handler refuses such a request.
    fn from(error: ArgumentError) -> String {
        error.to_string()
    }
}

/// A name as one argument: in double quotes if it is empty or has white space or a double quote, which is
/// doubled.
///
/// ```
/// # use chatproto::endpoint::as_argument;
/// assert_eq!(as_argument("alice"), "alice");
/// assert_eq!(as_argument(r#"alice "al" smith"#), r#""alice ""al"" smith""#);
/// ```
pub fn as_argument(name: &str) -> Cow<'_, str> {
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '"') {
        Cow::Owned(in_quotes(name))
    } else {
        Cow::Borrowed(name)
    }
}

/// A text as one argument in double quotes.
pub(crate) fn in_quotes(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<String>, ArgumentError> {
        Arguments::new(text).map(|argument| Ok(argument?.to_string())).collect()
    }

    #[test]
    fn arguments_are_read_by_one_grammar() {
        for (text, arguments) in [
            ("", &[][..]),
            ("  a  b ", &["a", "b"]),
            (r#""a b" c"#, &["a b", "c"]),
            (r#""a ""b"" c" d"#, &[r#"a "b" c"#, "d"]),
            (r#""""#, &[""]),
            (r#""""""#, &["\""]),
            (r#"a"b c""#, &[r#"a"b"#, r#"c""#]),
            ("\"a\u{a0}b\"\u{2003}c", &["a\u{a0}b", "c"]),
        ] {
            assert_eq!(read(text).unwrap(), arguments, "{text}");
        }
        for (text, error) in [
            ("\"", ArgumentError::Unclosed),
            (r#""a b"#, ArgumentError::Unclosed),
            (r#""a"""#, ArgumentError::Unclosed),
            (r#"a "b"#, ArgumentError::Unclosed),
            (r#""a"b"#, ArgumentError::TextAfterQuote),
            (r#""a""b"c"#, ArgumentError::TextAfterQuote),
        ] {
            assert_eq!(read(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_text_behind_a_quoted_name_has_balanced_quotes() {
        let text = |text| {
            let mut arguments = Arguments::new(text);
            arguments.next().unwrap().unwrap();
            arguments.text().map(Cow::into_owned)
        };
        assert_eq!(text(r#""bob" x""#), Err(ArgumentError::Unclosed));
        assert_eq!(text(r#""bob" says "x""#).as_deref(), Ok(r#"says "x""#));
        assert_eq!(text(r#""bob" "3 times ""x""""#).as_deref(), Ok(r#"3 times "x""#));
        assert_eq!(text(r#"bob 5" long"#).as_deref(), Ok(r#"5" long"#));
    }

    #[test]
    fn a_name_is_one_argument_whatever_it_has() {
        for (name, argument) in [
            ("#tea", "#tea"),
            ("#tea room", "\"#tea room\""),
            ("#tea\u{a0}id=1\u{2003}epoch=beef", "\"#tea\u{a0}id=1\u{2003}epoch=beef\""),
            ("#a\"b", "\"#a\"\"b\""),
            ("#a\" id=1", "\"#a\"\" id=1\""),
        ] {
            assert_eq!(as_argument(name), argument);
        }
    }

    proptest! {
        #[test]
        fn any_name_is_one_argument(name in "\\PC*|[ \"a]*", more in "[ \"a]*") {
            let mut arguments = Arguments::new(" ");
            prop_assert!(arguments.next().is_none());
            let written = as_argument(&name);
            prop_assert_eq!(read(&written).unwrap(), [name.clone()]);
            let line = format!("{} {more}", in_quotes(&name));
            let mut arguments = Arguments::new(&line);
            prop_assert_eq!(&*arguments.next().unwrap().unwrap(), &*name);
            prop_assert_eq!(arguments.rest(), more.trim());
        }
    }
}
