//! The inner loops over string bytes: where a run of plain bytes ends, and whether it is UTF-8.

/// The length of the run of bytes at the start of `bytes` that need no attention inside a JSON
/// string: everything but `"`, `\` and the controls below 0x20.
pub(crate) fn plain_run(bytes: &[u8]) -> usize {
    const LANES: usize = 16;
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..at + LANES) {
        // no early exit inside the chunk, so that it compiles to vector instructions
        let special = chunk.iter().fold(false, |any, &b| any | is_special(b));
        if special {
            break;
        }
        at += LANES;
    }
    at + bytes[at..].iter().position(|&b| is_special(b)).unwrap_or(bytes.len() - at)
}

fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

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
    fn a_plain_run_ends_at_the_first_special_byte() {
        for special in [b'"', b'\\', 0x00, 0x1f] {
            for at in 0..70 {
                let mut bytes = vec![b'a'; 80];
                bytes[at] = special;
                assert_eq!(plain_run(&bytes), at);
            }
        }
        assert_eq!(plain_run(&[0x7f, 0x80, 0xff, b' ', b'!']), 5);
        assert_eq!(plain_run(b""), 0);
    }
}
