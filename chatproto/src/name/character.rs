//! Characters that a reader does not see, and those that a name is read by.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Whether a terminal or a list would show nothing, or something else, for this character:
/// controls, format characters (bidirectional overrides, zero-width ones) and line separators.
pub fn is_invisible(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    matches!(
        c.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    )
}

/// Whether a character is a joiner (U+200C or U+200D) inside an emoji or a word of a script that needs it:
/// between two visible characters that are not ASCII. Elsewhere a joiner makes two texts look alike.
///
/// ```
/// use chatproto::name::is_shaping;
///
/// assert!(is_shaping(Some('👩'), '\u{200d}', Some('💻')));
/// assert!(!is_shaping(Some('a'), '\u{200d}', Some('b')));
/// ```
pub fn is_shaping(before: Option<char>, c: char, after: Option<char>) -> bool {
    let is_shaped = |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && !is_invisible(c));
    matches!(c, '\u{200c}' | '\u{200d}') && is_shaped(before) && is_shaped(after)
}

/// Whether a character is shown as nothing where it has no function: Unicode's property
/// `Default_Ignorable_Code_Point`. Besides format characters these are fillers, which are letters,
/// and variation selectors, which are marks: what else is the same with and without them looks the
/// same. In texts they have their uses (`❤` with U+FE0F is red); in a name they are refused.
///
/// ```
/// use chatproto::name::{is_ignorable, is_invisible};
///
/// assert!(is_ignorable('\u{3164}') && !is_invisible('\u{3164}'), "the Hangul filler");
/// assert!(is_ignorable('\u{fe0f}') && is_ignorable('\u{200b}') && !is_ignorable('❤'));
/// ```
pub fn is_ignorable(c: char) -> bool {
    // DerivedCoreProperties.txt of Unicode 17.0.0; the blocks that it takes whole are for good
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Unlike [`char::is_alphanumeric`], no mark is one.
pub(super) fn is_letter_or_digit(c: char) -> bool {
    use GeneralCategory::{EnclosingMark, NonspacingMark, SpacingMark};
    c.is_alphanumeric()
        && !matches!(c.general_category(), EnclosingMark | NonspacingMark | SpacingMark)
}
