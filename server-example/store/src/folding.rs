//! The form in which the search compares text: what looks or means the same to a reader is the same, and
//! what can be looked for alone stands alone. The index has this form of the messages, and queries are
//! brought into it too. Accents are left to SQLite's tokenizer, which drops them.

use std::borrow::Cow;

use caseless::Caseless as _;
use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// Folds a text: compatible characters become one (NFKC), case is folded, characters that nobody sees
/// go, and each ideograph, syllable of Japanese or Korean, and symbol stands between spaces. Languages
/// that put no spaces between words are thus found by any part of a word.
pub fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len() + text.len() / 4);
    let text = emoji_as_symbols(text);
    for c in text.nfkc().default_case_fold().nfkc().filter(|c| !is_dropped(*c)) {
        if stands_alone(c) {
            folded.extend([' ', c, ' ']);
        } else {
            folded.push(c);
        }
    }
    folded
}

/// The text with symbols in the place of emoji that are punctuation to Unicode, and that NFKC would take
/// apart. Only the index and queries have these symbols.
fn emoji_as_symbols(text: &str) -> Cow<'_, str> {
    const KEYCAP: char = '\u{20e3}';
    let is_one = |c: char| matches!(c, '\u{203c}' | '\u{2049}' | '\u{3030}' | KEYCAP);
    if !text.contains(is_one) {
        return Cow::Borrowed(text);
    }
    let mut changed = String::with_capacity(text.len());
    let mut chars = text.chars().filter(|c| !is_dropped(*c)).peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{203c}' => changed.push_str("\u{2757}\u{2757}"),
            '\u{2049}' => changed.push_str("\u{2757}\u{2753}"),
            '\u{3030}' => changed.push('\u{223f}'),
            '#' if chars.peek() == Some(&KEYCAP) => changed.push('\u{2317}'),
            '*' if chars.peek() == Some(&KEYCAP) => changed.push('\u{2731}'),
            KEYCAP => {}
            _ => changed.push(c),
        }
    }
    Cow::Owned(changed)
}

/// Whether a folded text has something that can be looked for.
pub fn is_searchable(folded: &str) -> bool {
    folded.chars().any(is_token)
}

/// Whether a character is a part of a word for the tokenizer, by the categories that it is given.
pub fn is_token(c: char) -> bool {
    c.is_alphanumeric() || is_symbol(c)
}

/// Emoji, arrows, currencies, signs of mathematics and the like.
fn is_symbol(c: char) -> bool {
    use GeneralCategory::{CurrencySymbol, MathSymbol, OtherSymbol};
    matches!(c.general_category(), OtherSymbol | MathSymbol | CurrencySymbol)
}

/// Joiners, variation selectors and the like, which change how other characters look.
fn is_dropped(c: char) -> bool {
    chatproto::name::is_ignorable(c)
        || matches!(c.general_category(), GeneralCategory::Format)
        || matches!(c, '\u{fe00}'..='\u{fe0f}')
        || is_vowel_mark(c)
}

/// Marks of Hebrew and Arabic that texts have or have not, and the stroke that makes a word longer.
fn is_vowel_mark(c: char) -> bool {
    let is_of = matches!(c, '\u{591}'..='\u{5c7}' | '\u{610}'..='\u{6ed}' | '\u{8ca}'..='\u{8ff}');
    c == '\u{640}' || is_of && c.general_category() == GeneralCategory::NonspacingMark
}

fn stands_alone(c: char) -> bool {
    is_east_asian(c) || is_symbol(c)
}

/// Letters of Chinese, Japanese and Korean, after NFKC.
fn is_east_asian(c: char) -> bool {
    c.is_alphanumeric()
        && matches!(
            u32::from(c),
            0x1100..=0x11ff // Hangul Jamo
                | 0x2e80..=0x2fdf // radicals
                | 0x3005..=0x303f
                | 0x3040..=0x30ff // Hiragana, Katakana
                | 0x3100..=0x31ff // Bopomofo, Hangul, Katakana
                | 0x3400..=0x4dbf
                | 0x4e00..=0x9fff // ideographs
                | 0xa960..=0xa97f
                | 0xac00..=0xd7ff // Hangul
                | 0xf900..=0xfaff
                | 0x16fe0..=0x18dff // Tangut, Khitan and marks
                | 0x1aff0..=0x1b2ff // Kana, Nushu
                | 0x20000..=0x3ffff
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_the_same_is_the_same() {
        for (one, other) in [
            ("STRASSE", "straße"),
            ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
            ("οδυσσευς", "οδυσσευσ"),
            ("cafe\u{301}", "CAFÉ"),
            ("ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
            ("ﬁne", "FINE"),
            ("ｶﾞ", "ガ"),
            ("が", "か\u{3099}"),
            ("한", "\u{1112}\u{1161}\u{11ab}"),
            ("❤\u{fe0f}", "❤"),
            ("می\u{200c}خواهم", "میخواهم"),
            ("كِتَابٌ", "كتاب"),
            ("كتـــاب", "كتاب"),
            ("שָׁלוֹם", "שלום"),
            ("#\u{fe0f}\u{20e3}", "#\u{20e3}"),
            ("1\u{fe0f}\u{20e3}", "1"),
        ] {
            assert_eq!(folded(one), folded(other), "{one} {other}");
        }
    }

    #[test]
    fn what_can_be_looked_for_alone_stands_alone() {
        for (text, tokens) in [
            ("我喜欢绿茶。", &["我", "喜", "欢", "绿", "茶", "。"][..]),
            ("東京タワー", &["東", "京", "タ", "ワ", "ー"]),
            ("한국어", &["한", "국", "어"]),
            ("hi👋👋🏽!", &["hi", "👋", "👋", "🏽!"]),
            ("👩\u{200d}💻🥰", &["👩", "💻", "🥰"]),
            ("plain words", &["plain", "words"]),
        ] {
            let folded = folded(text);
            assert_eq!(folded.split_whitespace().collect::<Vec<_>>(), tokens, "{text}");
        }
        for (text, is) in [("。!", false), ("...", false), ("茶", true), ("🥰", true), ("7", true)]
        {
            assert_eq!(is_searchable(&folded(text)), is, "{text}");
        }
    }
}
