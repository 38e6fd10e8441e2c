//! The fingerprint of a certificate: the SHA-256 of its DER form, as browsers and OpenSSL show it.

use std::fmt;
use std::str::FromStr;

/// The SHA-256 of a certificate. Shown as 32 pairs of hexadecimal digits with colons between them;
/// read with or without colons or spaces, in either case.
///
/// ```
/// use chatproto::tls::Fingerprint;
///
/// let fingerprint: Fingerprint = "aa".repeat(32).parse()?;
/// assert!(fingerprint.to_string().starts_with("AA:AA:AA:"));
/// assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
/// # Ok::<(), chatproto::tls::InvalidFingerprint>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// Text that is not the SHA-256 of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no fingerprint: it must be 64 hexadecimal digits, with or without colons")]
pub struct InvalidFingerprint(String);

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    pub fn of_der(certificate: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
        Fingerprint(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl AsRef<[u8]> for Fingerprint {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let wrong = || InvalidFingerprint(text.to_owned());
        let digits = text.trim();
        // as `openssl x509 -fingerprint -sha256` prints it, and as others write it
        let digits = digits.rsplit_once('=').map_or(digits, |(_, digits)| digits);
        let digits = match digits.get(..7) {
            Some(prefix) if prefix.eq_ignore_ascii_case("sha256:") => &digits[7..],
            _ => digits,
        };
        let mut bytes = [0; 32];
        let mut count = 0;
        for digit in digits.chars().filter(|c| !matches!(c, ':' | ' ')) {
            let value = digit.to_digit(16).ok_or_else(wrong)?;
            let byte = bytes.get_mut(count / 2).ok_or_else(wrong)?;
            *byte = *byte << 4 | value as u8;
            count += 1;
        }
        if count == 64 { Ok(Fingerprint(bytes)) } else { Err(wrong()) }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let colon = if at > 0 { ":" } else { "" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_spelling_is_read() {
        let plain = "00ff".repeat(16);
        let expected: Fingerprint = plain.parse().unwrap();
        let colons = expected.to_string();
        for text in [
            &plain.to_uppercase(),
            &format!(" {colons}\n"),
            &colons.replace(':', " "),
            &format!("sha256 Fingerprint={colons}"),
            &format!("SHA256:{plain}"),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_fingerprint_is_refused() {
        for text in ["", "aa", &"a".repeat(63), &"a".repeat(65), &"g".repeat(64), "é"] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }
}
