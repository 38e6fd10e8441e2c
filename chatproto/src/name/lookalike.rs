//! Names that a reader could take for each other: the keys by which they are found.

use std::borrow::Cow;

use caseless::Caseless as _;
use unicode_normalization::UnicodeNormalization;

/// The looks of a name: at most four texts. Two names look alike if they have one of them in
/// common: see [`lookalike_keys`].
///
/// Compared with `==`, they are the same if all keys are. So names that look alike may have keys that
/// differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookalikeKeys {
    first: Box<str>,
    /// Those that differ from the first one, and from each other.
    others: Box<[Box<str>]>,
}

impl LookalikeKeys {
    /// The key of the name in small letters.
    pub fn first(&self) -> &str {
        &self.first
    }

    /// All keys, the first one first. They differ from each other.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.first).chain(&self.others).map(|key| &**key)
    }

    /// One key, and no others: in the order of keys before all that begin with the same one.
    pub(crate) fn of_first(first: &str) -> Self {
        LookalikeKeys { first: first.into(), others: Box::default() }
    }

    /// The keys behind the first one.
    pub(crate) fn others(&self) -> impl Iterator<Item = &str> {
        self.others.iter().map(|key| &**key)
    }

    /// Whether names with these keys look alike.
    pub fn is_like(&self, other: &LookalikeKeys) -> bool {
        self.iter().any(|key| other.iter().any(|of_other| of_other == key))
    }
}

/// The keys of a name by which look-alikes are found. Two names look alike if they have a key in
/// common. One key is made of the name as it is, one of its small letters and one of its capitals.
/// Some letters look like others in one case only: the Cyrillic `Н` looks like `H`, and `н` does not
/// look like `h`. Another key is made before compatibility normalisation, which replaces some letters:
/// `ϲ` looks like `c` and becomes `σ`. A name in ASCII has one key.
///
/// In a key, letters that differ in case are the same. So are letters that look alike (UTS 39, with the
/// feature `confusables`), and `i`, `1` and `l`.
///
/// The keys are coarse on purpose. They decide which names a ban covers and which names an account
/// reserves, and not the identity of a user. To look alike is not transitive: `νick` with the Greek
/// `ν` looks like `vick`, and in capitals like `NICK`.
///
/// The tables of this library grow, so the keys may differ between its versions. A program that stores
/// keys has to be able to make them again from the names.
///
/// ```
/// use chatproto::name::lookalike_keys;
///
/// let alice = lookalike_keys("alice");
/// assert!(alice.is_like(&lookalike_keys("A1ice")));
/// assert!(!alice.is_like(&lookalike_keys("alicia")));
/// assert!(lookalike_keys("Hans").is_like(&lookalike_keys("\u{41d}ans")));
/// ```
pub fn lookalike_keys(name: &str) -> LookalikeKeys {
    let first = key_of(name).into_boxed_str();
    if name.is_ascii() {
        return LookalikeKeys { first, others: Box::default() };
    }
    let composed: String = name.nfkc().collect();
    let capitals = composed.to_uppercase();
    let mut others: Vec<Box<str>> = Vec::new();
    let as_it_is = (composed != name).then_some(name);
    for text in as_it_is.into_iter().chain([&*composed, &*capitals]) {
        let key = key_of_composed(&skeleton(text)).into_boxed_str();
        if key != first && !others.contains(&key) {
            others.push(key);
        }
    }
    LookalikeKeys { first, others: others.into() }
}

/// Whether a reader could take two names for each other: see [`lookalike_keys`].
pub fn look_alike(one: &str, other: &str) -> bool {
    lookalike_keys(one).is_like(&lookalike_keys(other))
}

/// The key of a text in small letters. In ASCII, letters of either case have the same one.
pub(super) fn key_of(text: &str) -> String {
    let composed: String = text.nfkc().collect();
    key_of_composed(&composed)
}

/// The same for a text in compatibility form, or a skeleton.
fn key_of_composed(text: &str) -> String {
    let folded: String = text.chars().default_case_fold().collect();
    let folded: String = skeleton(&folded).chars().default_case_fold().collect();
    folded.nfc().map(|c| if c == 'i' { 'l' } else { c }).collect()
}

/// The text with the same characters for all that look alike as they are.
#[cfg(feature = "confusables")]
fn skeleton(text: &str) -> Cow<'_, str> {
    Cow::Owned(unicode_security::confusable_detection::skeleton(text).collect())
}

#[cfg(not(feature = "confusables"))]
fn skeleton(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::is_invisible;

    #[test]
    #[cfg(feature = "confusables")]
    fn names_that_look_alike_have_a_key_in_common() {
        for [one, other] in [
            ["alice", "ALICE"],
            ["alice", "аlice"],
            ["alice", "a1ice"],
            ["alice", "aIice"],
            ["bob", "b0b"],
            ["modem", "rnodern"],
            ["jos\u{e9}", "JOSE\u{301}"],
            ["ａｌｉｃｅ", "alice"],
            ["straße", "STRASSE"],
            // Cyrillic and Greek capitals that look like Latin ones; their small letters do not
            ["Hans", "Нans"],
            ["hans", "НАNS"],
            ["Hans", "нans"],
            ["BOB", "ВОВ"],
            ["bob", "ВоВ"],
            ["Tom", "Тom"],
            ["EVE", "EVЕ"],
            ["alice", "ali\u{3f2}e"],
            ["Nick", "Νick"],
            ["vick", "νick"],
            ["NICK", "νick"],
            ["YES", "ΥΕЅ"],
            // both are in other letters
            ["νίκος", "ΝΊΚΟΣ"],
            ["Νίκος", "Nίκος"],
            ["Νίκος", "NΊKOΣ"],
            ["Ольга", "ОЛЬГА"],
        ] {
            assert!(look_alike(one, other) && look_alike(other, one), "{one} {other}");
        }
        for [one, other] in [
            ["alice", "alicia"],
            ["bob", "rob"],
            ["jos\u{e9}", "jose"],
            ["nick", "vick"],
            ["hans", "nans"],
            ["Renée", "Revée"],
            ["yes", "ues"],
            ["Ольга", "Олена"],
        ] {
            assert!(!look_alike(one, other), "{one} {other}");
        }
    }

    #[test]
    #[cfg(feature = "confusables")]
    fn keys_are_the_same_if_all_are() {
        let keys = lookalike_keys;
        for [one, other] in [["vick", "\u{3bd}ick"], ["uuri", "\u{3a5}uri"]] {
            assert_eq!(keys(one).first(), keys(other).first());
            assert_ne!(keys(one), keys(other));
            // in their order the ones with one key are the first of all that begin with it
            assert!(LookalikeKeys::of_first(keys(other).first()) < keys(other));
        }
        assert_eq!(keys("\u{3bd}ick"), keys("\u{39d}ick"));
    }

    /// All characters in a deep run. By default one in 61 of the ideographs, the syllables of Hangul,
    /// and the characters from U+20000 on, and all others.
    fn characters() -> impl Iterator<Item = char> {
        let is_of_many =
            |c| matches!(c, '\u{3400}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}' | '\u{20000}'..);
        let is_one = move |c| !is_of_many(c) || (c as u32).is_multiple_of(61);
        ('\0'..=char::MAX).filter(move |&c| crate::test_depth::is_deep() || is_one(c))
    }

    #[test]
    fn no_key_of_a_character_that_is_shown_has_a_control_character() {
        for c in characters().filter(|&c| !is_invisible(c)) {
            let keys = lookalike_keys(c.encode_utf8(&mut [0; 4]));
            assert!(!keys.iter().any(|key| key.contains(char::is_control)), "U+{:04X}", c as u32);
        }
    }

    #[test]
    #[cfg(feature = "confusables")]
    fn letters_look_alike_in_any_mixture_of_cases() {
        use unicode_security::confusable_detection::skeleton;

        let keys = |text: &str| lookalike_keys(&format!("x{text}y"));
        let mut checked = 0;
        for c in characters().filter(|c| !c.is_ascii() && c.is_alphanumeric()) {
            let mut letter = [0; 4];
            let letter = c.encode_utf8(&mut letter);
            let keys_of_letter = keys(letter);
            for other in [letter.to_lowercase(), letter.to_uppercase()] {
                assert!(keys_of_letter.is_like(&keys(&other)), "{letter} {other}");
            }
            let shown: String = skeleton(letter).collect();
            if shown.is_ascii() {
                for other in [shown.to_lowercase(), shown.to_uppercase(), shown] {
                    assert!(keys_of_letter.is_like(&keys(&other)), "{letter} {other}");
                    checked += 1;
                }
            }
        }
        assert!(checked > 1_000, "{checked}");
    }

    #[test]
    #[cfg(feature = "confusables")]
    fn ascii_letters_look_alike_by_themselves_only() {
        // their key as it is and that in capitals are the same: one is enough
        let ascii: Vec<String> = (' '..='~').map(|c| format!("x{c}y")).collect();
        for name in &ascii {
            let key = key_of(name);
            assert_eq!(key_of_composed(&skeleton(name)), key);
            assert_eq!(key_of_composed(&skeleton(&name.to_uppercase())), key);
        }
        let is_same = |one: char, other: char| {
            let class = |c: char| match c.to_ascii_lowercase() {
                'i' | '1' | '|' => 'l',
                '0' => 'o',
                '`' => '\'',
                '"' => '"',
                c => c,
            };
            class(one) == class(other)
        };
        for one in ' '..='~' {
            for other in ' '..='~' {
                let alike = look_alike(&format!("x{one}y"), &format!("x{other}y"));
                assert_eq!(alike, is_same(one, other), "{one} {other}");
            }
        }
    }
}
