//! The terms of a ban or a mute, its duration and its reason, as people write and read them.

use std::time::Duration;

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use crate::endpoint::{ArgumentError, Arguments};
use crate::name::{is_ignorable, is_invisible};

use super::Now;
use super::excerpt::{clipped, quoted};

/// Reads the duration and the reason of a sanction, which follow the target. Both are optional.
///
/// # Errors
/// A sentence that says what is wrong: a word that begins like a duration has to be one.
pub(super) fn duration_and_reason(
    mut arguments: Arguments<'_>,
) -> Result<(Option<Duration>, String), String> {
    let sentence = |error: ArgumentError| error.to_string();
    let behind_target = arguments.clone();
    let first = arguments.next().transpose().map_err(sentence)?;
    let duration = match first.filter(|first| !first.is_quoted() && begins_like_duration(first)) {
        None => return Ok((None, behind_target.text().map_err(sentence)?.into_owned())),
        Some(word) => duration(&word).ok_or_else(|| not_a_duration(behind_target.rest()))?,
    };
    // in `10 min` and `1 h 30 min` the duration goes on
    let goes_on = arguments.clone().next().is_some_and(|next| {
        next.is_ok_and(|next| !next.is_quoted() && begins_like_duration(&next))
    });
    if goes_on {
        return Err(not_a_duration(behind_target.rest()));
    }
    Ok((Some(duration), arguments.text().map_err(sentence)?.into_owned()))
}

/// Whether a word may be meant as a duration: it begins with a number, of digits of any script.
fn begins_like_duration(word: &str) -> bool {
    let is_sign = |c: &char| {
        "+.,~\u{b1}\u{2212}\u{2248}".contains(*c)
            || c.general_category() == GeneralCategory::DashPunctuation
    };
    in_ascii_digits(word).find(|c| !is_sign(c)).is_some_and(|c| c.is_ascii_digit())
}

/// Whether a word is a number with a unit of time, which can be the `next` word.
pub(super) fn is_like_duration(word: &str, next: Option<&str>) -> bool {
    const WORDS: [&str; 25] = [
        "s", "sec", "secs", "second", "seconds", "m", "min", "mins", "minute", "minutes", "h",
        "hr", "hrs", "hour", "hours", "d", "day", "days", "w", "week", "weeks", "month", "months",
        "year", "years",
    ];
    /// No number of a duration is as long as that.
    const LONGEST: usize = 64;
    let unit = |text: &str| -> String {
        let shown = in_ascii_digits(text).take(LONGEST);
        shown.skip_while(|c| !c.is_alphabetic()).take_while(|c| c.is_alphabetic()).collect()
    };
    let own = unit(word);
    let unit = if own.is_empty() { next.map(unit).unwrap_or_default() } else { own };
    begins_like_duration(word) && WORDS.contains(&&*unit.to_ascii_lowercase())
}

/// The characters of a text where a number is expected. Digits, stops and slashes of other scripts and
/// widths become those of ASCII. This decides what a text may be meant as. It is no value
/// of the text: each digit that has no compatible one in ASCII is `0`.
pub(super) fn in_ascii_digits(text: &str) -> impl Iterator<Item = char> {
    let is_shown = |c: &char| !is_invisible(*c) && !is_ignorable(*c);
    text.nfkc().filter(is_shown).map(|c| match c {
        '\u{3002}' => '.',
        _ if c.general_category() == GeneralCategory::DecimalNumber && !c.is_ascii() => '0',
        _ => c,
    })
}

fn not_a_duration(text: &str) -> String {
    format!(
        "{} is not a duration; write one word like 30s, 10min, 2h, 7d or 1w, or put a reason in double \
         quotes",
        quoted(text)
    )
}

/// ` for 5 min, until 2026-07-01 12:30:00`, or ` until /unban` if there is no end to it.
pub(super) fn until(duration: Option<Duration>, lift: &str, now: Now) -> String {
    let Some(duration) = duration else { return format!(" until {lift}") };
    let length = shown(duration);
    // an end that no calendar has is not told
    match now.local.after(duration) {
        Some(end) => format!(" for {length}, until {end}"),
        None => format!(" for {length}"),
    }
}

/// ` for 5 min`, or nothing if there is no end to it.
pub(super) fn for_so_long(duration: Option<Duration>) -> String {
    duration.map_or(String::new(), |duration| format!(" for {}", shown(duration)))
}

/// Longest reason that is kept and repeated, in bytes.
pub(super) const REASON: usize = 256;

/// `: ` and the reason, shortened; nothing if there is none.
pub(super) fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {}", clipped(reason, REASON)) }
}

const UNITS: [(&str, u64); 5] =
    [("w", 604_800), ("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];

/// A duration as people write it: `30s`, `10min` (or `10m`), `2h`, `7d`, `1w`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok().filter(|&number| number > 0)?;
    let unit = if unit == "m" { "min" } else { unit };
    let (_, seconds) = UNITS.into_iter().find(|&(name, _)| name == unit)?;
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

/// A duration as people read it: whole units, rounded up, of the largest kind of which there are
/// at least two.
pub(super) fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    let (unit, length) = UNITS
        .into_iter()
        .find(|&(_, length)| seconds >= 2 * length || seconds == length)
        .unwrap_or(("s", 1));
    format!("{} {unit}", seconds.div_ceil(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in
            [("30s", 30), ("10min", 600), ("10m", 600), ("2h", 7_200), ("1d", 86_400)]
        {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "h", "0s", "-1s", "1.5h", "5 s", "99999999999999999999s", "1y"] {
            assert_eq!(duration(text), None, "{text}");
        }
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (90, "90 s"),
            (3_599, "60 min"),
            (604_800, "1 w"),
        ] {
            assert_eq!(shown(Duration::from_secs(seconds)), text);
        }
        assert_eq!(shown(Duration::from_millis(29_001)), "30 s");
    }
}
