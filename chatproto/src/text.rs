//! The inner loops over the bytes of JSON strings, for decoding and encoding. They find the end of a run of
//! plain bytes, check UTF-8, and measure and translate escapes. A trim that is fast for names stands here too.

/// The same as [`str::trim`], which looks at characters one by one. A text that begins and ends with a letter,
/// digit or sign of ASCII, as nearly all names do, has nothing to trim.
#[inline]
pub(crate) fn trim(text: &str) -> &str {
    match text.as_bytes() {
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => text,
        _ => text.trim(),
    }
}

/// One byte in each lane.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The high bit of each lane.
const HIGHS: u64 = ONES << 7;

/// The length of the run of bytes at the start of `bytes` that need no attention inside a JSON
/// string: everything but `"`, `\` and the controls below 0x20.
#[inline]
pub(crate) fn plain_run(bytes: &[u8]) -> usize {
    const BLOCK: usize = 32;
    /// From here on the vectors of the processor at hand pay for being looked up.
    const LONG: usize = 8 + 4 * BLOCK;
    let Some(first) = word(bytes, 0) else {
        return bytes.iter().position(|&b| is_special(b)).unwrap_or(bytes.len());
    };
    if let Some(at) = first_special(first) {
        return at;
    }
    let mut at = 8;
    while let Some(block) = bytes.get(at..at + BLOCK) {
        if at >= LONG {
            return at + long_plain_run(&bytes[at..]);
        }
        // no early exit inside the block, so that it compiles to vector instructions
        if block.iter().fold(false, |any, &b| any | is_special(b)) {
            break;
        }
        at += BLOCK;
    }
    while let Some(word) = word(bytes, at) {
        match first_special(word) {
            Some(offset) => return at + offset,
            None => at += 8,
        }
    }
    // the last bytes, as the upper end of the last word: the zeros behind them look special
    let left = bytes.len() - at;
    match word(bytes, bytes.len() - 8) {
        Some(word) if left > 0 => {
            let offset = first_special(word >> (64 - 8 * left)).unwrap_or(left);
            at + offset.min(left)
        }
        _ => bytes.len(),
    }
}

/// The same for a run that is expected to be long: two passes, each with the widest vectors.
fn long_plain_run(bytes: &[u8]) -> usize {
    let run = &bytes[..memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len())];
    if run.iter().fold(u8::MAX, |least, &byte| least.min(byte)) >= 0x20 {
        return run.len();
    }
    run.iter().position(|&byte| byte < 0x20).unwrap_or(run.len())
}

#[inline(always)]
fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

#[inline(always)]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8).map(|eight| u64::from_le_bytes(eight.try_into().expect("eight bytes")))
}

/// The lane of the first special byte. A borrow can only disturb lanes behind a special one.
#[inline(always)]
fn first_special(word: u64) -> Option<usize> {
    let is_zero = |lanes: u64| lanes.wrapping_sub(ONES) & !lanes;
    let quotes = is_zero(word ^ (ONES * b'"' as u64));
    let backslashes = is_zero(word ^ (ONES * b'\\' as u64));
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    let special = (quotes | backslashes | controls) & HIGHS;
    (special != 0).then(|| (special.trailing_zeros() / 8) as usize)
}

/// The length of the whole, well-formed escape at the start of `bytes`, a surrogate pair counting
/// as one; `None` for anything else, and for U+0000 unless it is allowed.
#[inline]
pub(crate) fn escape_length(bytes: &[u8], nul_allowed: bool) -> Option<usize> {
    match bytes.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => match code_unit(bytes)? {
            0 => nul_allowed.then_some(6),
            0xD800..0xDC00 => match code_unit(bytes.get(6..)?)? {
                0xDC00..0xE000 => Some(12),
                _ => None,
            },
            0xDC00..0xE000 => None,
            _ => Some(6),
        },
        _ => None,
    }
}

/// The code unit of a `\u` escape.
#[inline]
fn code_unit(bytes: &[u8]) -> Option<u16> {
    let escape: &[u8; 6] = bytes.first_chunk()?;
    if escape[..2] == *b"\\u" { hex4_checked(&escape[2..]) } else { None }
}

/// The value of four hexadecimal digits.
#[inline]
pub(crate) fn hex4(digits: &[u8]) -> u16 {
    hex4_checked(digits).expect("checked by the caller")
}

/// The value of four bytes, if they are hexadecimal digits.
#[inline]
pub(crate) fn hex4_checked(digits: &[u8]) -> Option<u16> {
    let digits: &[u8; 4] = digits.first_chunk()?;
    let [a, b, c, d] = digits.map(|digit| u16::from(HEX[usize::from(digit)]));
    // a byte that is no digit has bits above the fourth
    ((a | b | c | d) < 16).then_some(a << 12 | b << 8 | c << 4 | d)
}

/// The value of each byte as a hexadecimal digit, 255 if it is none.
static HEX: [u8; 256] = {
    let mut table = [255; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value] as usize] = value as u8;
        table[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    table
};

/// `Ok` if `bytes` are UTF-8; else how many of them are, and whether what follows is only cut off
/// (more bytes could make it valid).
pub(crate) fn valid_prefix(bytes: &[u8]) -> Result<(), (usize, bool)> {
    if simdutf8::basic::from_utf8(bytes).is_ok() {
        return Ok(());
    }
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err((error.valid_up_to(), error.error_len().is_none())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_trim_is_the_trim_of_str() {
        let parts = [
            "", " ", "\t", "\n", "a", "~", "!", "\u{7f}", "\u{0}", "\u{85}", "\u{a0}", "\u{2003}",
            "ë",
        ];
        for (one, two, three) in parts
            .iter()
            .flat_map(|one| parts.iter().map(move |two| (one, two)))
            .flat_map(|(one, two)| parts.iter().map(move |three| (one, two, three)))
        {
            let text = format!("{one}{two}{three}");
            assert_eq!(trim(&text), text.trim(), "{text:?}");
        }
    }

    #[test]
    fn a_plain_run_ends_at_the_first_special_byte() {
        for length in (0..90).chain([136, 137, 167, 168, 169, 200, 300]) {
            let plain: Vec<u8> =
                (0..length).map(|i| [b'a', b' ', 0x7f, 0x80, 0xff, b'!'][i % 6]).collect();
            assert_eq!(plain_run(&plain), length);
            for special in [b'"', b'\\', 0x00, 0x1f] {
                for at in 0..length {
                    let mut bytes = plain.clone();
                    bytes[at] = special;
                    assert_eq!(plain_run(&bytes), at);
                }
            }
        }
    }

    #[test]
    fn an_escape_is_taken_whole_or_not_at_all() {
        let length = |text: &str| escape_length(text.as_bytes(), false);
        for (text, expected) in [
            (r"\n", Some(2)),
            (r"\/x", Some(2)),
            (r"\u00e9", Some(6)),
            (r"\ud83d\ude00", Some(12)),
            (r"\ud83d", None),
            (r"\ud83dx", None),
            (r"\ud83d\u0041", None),
            (r"\ude00", None),
            (r"\u00e", None),
            (r"\u00eg", None),
            (r"\u0000", None),
            (r"\x", None),
            (r"\", None),
        ] {
            assert_eq!(length(text), expected, "{text}");
        }
        assert_eq!(escape_length(br"\u0000", true), Some(6));
    }

    #[test]
    fn four_digits_are_a_number_and_nothing_else_is() {
        for value in [0, 0x0041, 0x1234, 0xABCD, 0xFFFF] {
            assert_eq!(hex4_checked(format!("{value:04x}").as_bytes()), Some(value));
            assert_eq!(hex4_checked(format!("{value:04X}").as_bytes()), Some(value));
        }
        for bad in [b'g', b'G', b'/', b':', b'@', b'`', b' ', b'"', 0xC3] {
            // one bad digit, and any two: they must not make up for each other
            for (one, other) in (0..4).flat_map(|one| (0..4).map(move |other| (one, other))) {
                let mut digits = *b"0000";
                (digits[one], digits[other]) = (bad, bad);
                assert_eq!(hex4_checked(&digits), None, "{digits:?}");
            }
        }
        assert_eq!(hex4_checked(b"012"), None);
    }
}
