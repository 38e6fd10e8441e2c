//! The parameters behind a path, in the form of `application/x-www-form-urlencoded`. Browsers write them so
//! (`URLSearchParams`). Unlike browsers, this reader refuses what is not well-formed.

/// The value of one parameter, if it is there.
///
/// # Errors
/// The sentence that says what is wrong with it.
pub(crate) fn parameter(query: Option<&str>, name: &str) -> Result<Option<String>, String> {
    let mut found = None;
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if decode(key).as_deref() != Some(name) {
            continue;
        }
        let value = decode(value).ok_or_else(|| {
            format!("The value of {name} must be UTF-8, with % only in front of two hex digits.")
        })?;
        if found.replace(value).is_some() {
            return Err(format!("Give {name} once only."));
        }
    }
    Ok(found)
}

/// None if it is not well-formed.
fn decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded() {
        for (query, value) in [
            ("name=alice", Some("alice")),
            ("a=b&name=alice&c", Some("alice")),
            ("name=J%C3%BCrgen", Some("Jürgen")),
            ("name=a%2bb", Some("a+b")),
            ("name=a+b", Some("a b")),
            ("n%61me=x", Some("x")),
            ("name=a=b", Some("a=b")),
            ("name=", Some("")),
            ("name", Some("")),
            ("", None),
            ("names=x&nom=y&%zz=1", None),
        ] {
            assert_eq!(parameter(Some(query), "name").unwrap().as_deref(), value, "{query}");
        }
        assert_eq!(parameter(None, "name"), Ok(None));
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for query in ["name=%", "name=%4", "name=%zz", "name=%+1", "name=%ff", "name=a&name=b"] {
            assert!(parameter(Some(query), "name").is_err(), "{query}");
        }
    }
}
