//! The fields of an X.509 certificate that operators look at: its names, its issuer and its dates. Nothing
//! here decides whether a certificate is trusted. rustls does that.

use std::fmt::Write as _;
use std::net::IpAddr;

use jiff::civil::DateTime;
use jiff::{Timestamp, tz::TimeZone};

/// The fields of one certificate. Texts can contain any character.
#[derive(Debug)]
pub(super) struct Fields {
    /// The DNS names and the addresses of the extension `subjectAltName`.
    pub(super) names: Vec<String>,
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

// the tags of DER that are read here
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `version`, before the serial number.
const VERSION: u8 = 0xa0;
/// `extensions`, at the end.
const EXTENSIONS: u8 = 0xa3;
/// The two kinds of names that TLS compares.
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

/// 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// The attributes of a holder's name, and their short forms.
const ATTRIBUTES: [(&[u8], &str); 10] = [
    (&[0x55, 0x04, 0x03], "CN"),
    (&[0x55, 0x04, 0x05], "serialNumber"),
    (&[0x55, 0x04, 0x06], "C"),
    (&[0x55, 0x04, 0x07], "L"),
    (&[0x55, 0x04, 0x08], "ST"),
    (&[0x55, 0x04, 0x09], "street"),
    (&[0x55, 0x04, 0x0a], "O"),
    (&[0x55, 0x04, 0x0b], "OU"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01], "emailAddress"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19], "DC"),
];

impl Fields {
    /// `None` if it is not a certificate, or damaged.
    pub(super) fn of_der(der: &[u8]) -> Option<Self> {
        let mut whole = Elements(der);
        let mut certificate = whole.expect(SEQUENCE)?;
        let mut signed = certificate.expect(SEQUENCE)?;
        certificate.expect(SEQUENCE)?;
        certificate.expect(BIT_STRING)?;
        (whole.is_empty() && certificate.is_empty()).then_some(())?;

        signed.optional(VERSION);
        signed.expect(INTEGER)?;
        signed.expect(SEQUENCE)?;
        let issuer = distinguished_name(signed.expect(SEQUENCE)?)?;
        let mut validity = signed.expect(SEQUENCE)?;
        let (not_before, not_after) = (time(validity.next()?)?, time(validity.next()?)?);
        let subject = distinguished_name(signed.expect(SEQUENCE)?)?;
        // the key, and optional identifiers, are between the subject and the extensions
        signed.expect(SEQUENCE)?;
        let mut names = Vec::new();
        while let Some((tag, content)) = signed.next() {
            if tag == EXTENSIONS {
                names = alternative_names(Elements(content))?;
            }
        }
        let is_whole = signed.is_empty();
        is_whole.then_some(Fields { names, subject, issuer, not_before, not_after })
    }
}

/// Elements of DER, one behind the other.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// The tag and the content of the next element; `None` at the end, and if the element is cut.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        // a file has at most 1 MiB, so its lengths have at most 4 bytes
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The content of the next element, which must have that tag.
    fn expect(&mut self, tag: u8) -> Option<Elements<'a>> {
        self.next().filter(|&(found, _)| found == tag).map(|(_, content)| Elements(content))
    }

    /// The content of the next element if it has that tag; otherwise it stays the next one.
    fn optional(&mut self, tag: u8) -> Option<Elements<'a>> {
        if self.0.first() == Some(&tag) { self.expect(tag) } else { None }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `UTCTime` as `YYMMDDHHMMSSZ`, or `GeneralizedTime` as `YYYYMMDDHHMMSSZ`. RFC 5280 allows no other forms.
fn time((tag, text): (u8, &[u8])) -> Option<Timestamp> {
    let digits = text.strip_suffix(b"Z")?;
    let years = match tag {
        UTC_TIME => 2,
        GENERALIZED_TIME => 4,
        _ => return None,
    };
    if digits.len() != years + 10 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (year, rest) = digits.split_at(years);
    let number =
        |digits: &[u8]| digits.iter().fold(0, |sum, digit| sum * 10 + i16::from(digit - b'0'));
    let year = match number(year) {
        year if years == 4 => year,
        year @ 50.. => 1900 + year,
        year => 2000 + year,
    };
    let mut pairs = rest.chunks_exact(2).map(|pair| number(pair) as i8);
    let mut pair = || pairs.next();
    let time = DateTime::new(year, pair()?, pair()?, pair()?, pair()?, pair()?, 0).ok()?;
    // a certificate without an end has the last second of the year 9999
    Some(time.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |time| time.timestamp()))
}

/// A name as `C=NL, O=Example, CN=chat.example`.
fn distinguished_name(mut name: Elements<'_>) -> Option<String> {
    let mut text = String::new();
    while !name.is_empty() {
        let mut together = name.expect(SET)?;
        let mut separator = if text.is_empty() { "" } else { ", " };
        while !together.is_empty() {
            let mut attribute = together.expect(SEQUENCE)?;
            let identifier = attribute.expect(OBJECT_IDENTIFIER)?.0;
            let (tag, value) = attribute.next()?;
            text.push_str(separator);
            match ATTRIBUTES.iter().find(|(known, _)| *known == identifier) {
                Some((_, short)) => text.push_str(short),
                None => text.push_str(&dotted(identifier)),
            }
            text.push('=');
            push_string(&mut text, tag, value);
            separator = " + ";
        }
    }
    Some(text)
}

/// An object identifier as people write it: `2.5.4.3`.
fn dotted(identifier: &[u8]) -> String {
    let mut text = String::new();
    let mut number = 0_u64;
    for &byte in identifier {
        // assigned identifiers have no number of more than 64 bits
        number = number << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            let written = if text.is_empty() {
                let first = (number / 40).min(2);
                write!(text, "{first}.{}", number - 40 * first)
            } else {
                write!(text, ".{number}")
            };
            written.expect("a string takes everything");
            number = 0;
        }
    }
    text
}

/// The value of an attribute: text, or the bytes in hexadecimal if it is no text.
fn push_string(text: &mut String, tag: u8, value: &[u8]) {
    match tag {
        // UTF8String, NumericString, PrintableString, IA5String, VisibleString
        0x0c | 0x12 | 0x13 | 0x16 | 0x1a => text.push_str(&String::from_utf8_lossy(value)),
        // T61String, which is read as Latin-1
        0x14 => text.extend(value.iter().map(|&byte| char::from(byte))),
        // BMPString
        0x1e => {
            let units = value.chunks_exact(2).map(|unit| u16::from_be_bytes([unit[0], unit[1]]));
            let letters = char::decode_utf16(units);
            text.extend(letters.map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER)));
        }
        _ => {
            text.push('#');
            for byte in value {
                write!(text, "{byte:02x}").expect("a string takes everything");
            }
        }
    }
}

/// The names in `subjectAltName`: none if there is no such extension.
fn alternative_names(mut extensions: Elements<'_>) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut extensions = extensions.expect(SEQUENCE)?;
    while !extensions.is_empty() {
        let mut extension = extensions.expect(SEQUENCE)?;
        let identifier = extension.expect(OBJECT_IDENTIFIER)?.0;
        extension.optional(BOOLEAN);
        let mut value = extension.expect(OCTET_STRING)?;
        if identifier == SUBJECT_ALT_NAME {
            let mut list = value.expect(SEQUENCE)?;
            while let Some((tag, content)) = list.next() {
                names.extend(host(tag, content));
            }
        }
    }
    Some(names)
}

/// A name by which clients reach a server.
fn host(tag: u8, content: &[u8]) -> Option<String> {
    match tag {
        DNS_NAME => Some(String::from_utf8_lossy(content).into_owned()),
        IP_ADDRESS => match *content {
            [a, b, c, d] => Some(IpAddr::from([a, b, c, d]).to_string()),
            _ => <[u8; 16]>::try_from(content).ok().map(|bytes| IpAddr::from(bytes).to_string()),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, string};

    use super::Fields;

    fn made(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let names = ["chat.example", "*.example", "192.0.2.1", "2001:db8::1"];
        let mut params = CertificateParams::new(names.map(str::to_owned)).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn name_of(attributes: &[(DnType, DnValue)]) -> String {
        let fields = made(|params| {
            params.distinguished_name = DistinguishedName::new();
            for (kind, value) in attributes {
                params.distinguished_name.push(kind.clone(), value.clone());
            }
        });
        let fields = Fields::of_der(&fields).unwrap();
        assert_eq!(fields.subject, fields.issuer, "it signed itself");
        fields.subject
    }

    #[test]
    fn a_certificate_is_for_its_names_and_addresses() {
        let fields = Fields::of_der(&made(|_| {})).unwrap();
        assert_eq!(fields.names, ["chat.example", "*.example", "192.0.2.1", "2001:db8::1"]);
        let without = made(|params| params.subject_alt_names.clear());
        assert!(Fields::of_der(&without).unwrap().names.is_empty());
    }

    #[test]
    fn dates_are_read_in_both_of_their_forms() {
        for (from, until) in [
            ((1950, 1, 1), (2049, 12, 31)),
            ((2000, 2, 29), (2050, 1, 1)),
            ((1999, 12, 31), (9999, 12, 30)),
        ] {
            let day = |(year, month, day)| rcgen::date_time_ymd(year, month, day);
            let fields = made(|params| {
                (params.not_before, params.not_after) = (day(from), day(until));
            });
            let fields = Fields::of_der(&fields).unwrap();
            assert_eq!(fields.not_before.as_second(), day(from).unix_timestamp());
            assert_eq!(fields.not_after.as_second(), day(until).unix_timestamp());
        }
        // RFC 5280: a certificate without an end
        let at = |text: &[u8]| super::time((super::GENERALIZED_TIME, text));
        assert_eq!(at(b"99991231235959Z"), Some(jiff::Timestamp::MAX));
        for wrong in
            [&b"99991331235959Z"[..], b"20260101000000", b"2026010100000Z", b"2026010100000xZ"]
        {
            assert_eq!(at(wrong), None);
        }
    }

    #[test]
    fn holders_are_named_by_their_attributes() {
        let utf8 = |text: &str| DnValue::Utf8String(text.to_owned());
        assert_eq!(
            name_of(&[
                (DnType::CountryName, DnValue::PrintableString("NL".try_into().unwrap())),
                (DnType::OrganizationName, utf8("Žluťoučký kůň")),
                (DnType::OrganizationalUnitName, DnValue::Ia5String("tea".try_into().unwrap())),
                (DnType::CommonName, utf8("chat.example")),
            ]),
            "C=NL, O=Žluťoučký kůň, OU=tea, CN=chat.example"
        );
        let wide = string::BmpString::try_from("čaj").unwrap();
        let old = string::TeletexString::try_from("tea").unwrap();
        assert_eq!(
            name_of(&[
                (DnType::LocalityName, DnValue::BmpString(wide)),
                (DnType::StateOrProvinceName, DnValue::TeletexString(old)),
                (DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 32473, 1]), utf8("x")),
            ]),
            "L=čaj, ST=tea, 1.3.6.1.4.1.32473.1=x"
        );
        assert_eq!(name_of(&[]), "");
    }

    #[test]
    fn a_damaged_certificate_is_none() {
        let whole = made(|_| {});
        for length in 0..whole.len() {
            assert!(Fields::of_der(&whole[..length]).is_none(), "{length}");
        }
        assert!(Fields::of_der(&[&whole[..], &[0]].concat()).is_none());
        // any byte may be another one: there is a result or none
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut other = whole.clone();
                other[at] ^= 1 << bit;
                let _ = Fields::of_der(&other);
            }
        }
    }
}
