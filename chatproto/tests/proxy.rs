//! The parser of the PROXY header: each form, each error, every truncation. `ppp`, another implementation, is
//! the oracle for damaged headers.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use chatproto::proxy::{self, HeaderError, LONGEST};
use proptest::collection::vec;
use proptest::prelude::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2: the command, the family, and the bytes behind the length.
fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(block.len()).unwrap().to_be_bytes());
    header.extend(block);
    header
}

/// The addresses and ports of version 2.
fn block(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut block = Vec::new();
    for end in [source, destination] {
        match end {
            SocketAddr::V4(end) => block.extend(end.ip().octets()),
            SocketAddr::V6(end) => block.extend(end.ip().octets()),
        }
    }
    for end in [source, destination] {
        block.extend(end.port().to_be_bytes());
    }
    block
}

/// Checks a complete header: however much of it has arrived, and with the user's bytes behind it.
#[track_caller]
fn check(header: &[u8], source: Option<SocketAddr>) {
    for length in 0..header.len() {
        assert_eq!(proxy::parse(&header[..length]), Ok(None), "{length} bytes of {header:?}");
    }
    for behind in [&b""[..], b"alice\n", b"\x16\x03\x01", header] {
        let input = [header, behind].concat();
        let parsed = proxy::parse(&input).unwrap().expect("it is complete");
        assert_eq!((parsed.length, parsed.source), (header.len(), source), "{header:?}");
    }
}

#[test]
fn every_form_states_its_source_or_none() {
    let source: SocketAddr = "192.0.2.7:50000".parse().unwrap();
    let source_v6: SocketAddr = "[2001:db8::7]:1".parse().unwrap();
    let block_v4 = block(source, "192.0.2.1:65432".parse().unwrap());
    let block_v6 = block(source_v6, "[2001:db8::1]:65535".parse().unwrap());
    check(b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 65432\r\n", Some(source));
    check(b"PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n", Some(source_v6));
    check(b"PROXY TCP4 0.0.0.0 255.255.255.255 0 0\r\n", Some("0.0.0.0:0".parse().unwrap()));
    let mapped = Some("[::ffff:192.0.2.7]:9".parse().unwrap());
    check(b"PROXY TCP6 ::ffff:192.0.2.7 ::1 9 9\r\n", mapped);
    check(b"PROXY UNKNOWN\r\n", None);
    check(b"PROXY UNKNOWN 192.0.2.7 192.0.2.1 50000 65432\r\n", None);
    let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let longest = format!("PROXY UNKNOWN {longest} {longest} 65535 65535\r\n");
    assert_eq!(longest.len(), 107);
    check(longest.as_bytes(), None);

    check(&binary(0x21, 0x11, &block_v4), Some(source));
    check(&binary(0x21, 0x21, &block_v6), Some(source_v6));
    check(&binary(0x21, 0x31, &[b'x'; 216]), None);
    check(&binary(0x21, 0x00, &[]), None);
    check(&binary(0x21, 0x00, b"skipped"), None);
    // LOCAL: whatever the addresses are
    check(&binary(0x20, 0x00, &[]), None);
    check(&binary(0x20, 0x11, &block_v4), None);
    check(&binary(0x20, 0x11, &[]), None);
    check(&binary(0x20, 0xff, b"skipped"), None);
    // TLVs are skipped, malformed ones too
    for tlvs in [&b"\x04\0\x03abc"[..], b"\x20\xff\xff", b"\0", &[7; LONGEST - 16 - 12]] {
        check(&binary(0x21, 0x11, &[&block_v4, tlvs].concat()), Some(source));
    }
}

#[test]
fn bytes_that_are_no_header_are_refused_at_the_first_wrong_byte() {
    for other in
        [&b"alice\n"[..], b"PROXI", b"proxy ", b"PROXY\r\n", b"P\n", b"\x16\x03\x01", b"{", b"\0"]
    {
        let wrong = (1..=other.len()).find(|&length| proxy::parse(&other[..length]).is_err());
        let wrong = wrong.unwrap_or_else(|| panic!("{other:?} is no header"));
        let good = &other[..wrong - 1];
        assert!(b"PROXY ".starts_with(good) || SIGNATURE.starts_with(good), "{other:?}");
        assert_eq!(proxy::parse(other), Err(HeaderError::Missing), "{other:?}");
    }
    for length in 1..SIGNATURE.len() {
        let mut bytes = SIGNATURE[..length].to_vec();
        bytes[length - 1] ^= 1;
        assert_eq!(proxy::parse(&bytes), Err(HeaderError::Missing), "{bytes:?}");
    }
}

#[test]
fn a_malformed_line_is_refused() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP5 192.0.2.7 192.0.2.1 1 2\r\n",
        "PROXY tcp4 192.0.2.7 192.0.2.1 1 2\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 1\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 1 2 3\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 1 2 \r\n",
        "PROXY TCP4  192.0.2.7 192.0.2.1 1 2\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 1 2\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\r\n",
        "PROXY TCP4 192.0.2.256 192.0.2.1 1 2\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2 1 2\r\n",
        "PROXY TCP4 192.0.02.7 192.0.2.1 1 2\r\n",
        "PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
        "PROXY TCP6 192.0.2.7 192.0.2.1 1 2\r\n",
        "PROXY TCP6 fe80::1%lo ::1 1 2\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 65536 2\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 1 65536\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 +1 2\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 01 2\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1  2\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 １ 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY UNKNOWN\n",
    ] {
        assert_eq!(proxy::parse(line.as_bytes()), Err(HeaderError::Line), "{line:?}");
    }
    assert_eq!(proxy::parse(b"PROXY TCP4 \xff\r\n"), Err(HeaderError::Line));
    let endless = [&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat();
    assert_eq!(proxy::parse(&endless[..106]), Ok(None));
    for length in [107, 108, 214] {
        assert_eq!(proxy::parse(&endless[..length]), Err(HeaderError::Long(107)), "{length}");
    }
}

#[test]
fn a_malformed_binary_header_is_refused_before_its_end() {
    for command in (0..=0xff).filter(|command| !matches!(command, 0x20 | 0x21)) {
        let header = binary(command, 0x11, &[]);
        assert_eq!(proxy::parse(&header[..13]), Err(HeaderError::Command(command)));
    }
    for family in (0..=0xff).filter(|family| !matches!(family, 0x00 | 0x11 | 0x21 | 0x31)) {
        let header = binary(0x21, family, &[]);
        assert_eq!(proxy::parse(&header[..14]), Err(HeaderError::Family(family)));
    }
    for (family, least) in [(0x11, 12), (0x21, 36), (0x31, 216)] {
        for length in [0, 1, least - 1] {
            let header = binary(0x21, family, &vec![0; length]);
            let short = HeaderError::Short { length, least };
            assert_eq!(proxy::parse(&header[..16]), Err(short));
        }
    }
    for command in [0x20, 0x21] {
        let mut header = binary(command, 0x11, &vec![0; LONGEST - 16]);
        assert_eq!(proxy::parse(&header).unwrap().unwrap().length, LONGEST);
        header.truncate(14);
        for length in [LONGEST as u16 - 15, u16::MAX] {
            let header = [&header[..], &length.to_be_bytes()].concat();
            assert_eq!(proxy::parse(&header), Err(HeaderError::Long(LONGEST)));
        }
    }
}

#[test]
fn errors_are_sentences() {
    for (error, sentence) in [
        (HeaderError::Missing, "the first bytes are not a PROXY header"),
        (
            HeaderError::Command(0x31),
            "malformed PROXY header: version and command are 0x31, expected 0x20 or 0x21",
        ),
        (
            HeaderError::Short { length: 3, least: 12 },
            "malformed PROXY header: 3 bytes of addresses, expected at least 12",
        ),
        (HeaderError::Long(107), "the PROXY header is longer than 107 bytes"),
    ] {
        assert_eq!(error.to_string(), sentence);
    }
}

/// A valid header, with its source.
fn header() -> impl Strategy<Value = (Vec<u8>, Option<SocketAddr>)> {
    let v4 = || any::<(Ipv4Addr, u16)>().prop_map(SocketAddr::from);
    let v6 = || any::<(Ipv6Addr, u16)>().prop_map(SocketAddr::from);
    let pair = prop_oneof![(v4(), v4()), (v6(), v6())];
    let line = pair.clone().prop_map(|(source, destination)| {
        let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        let (from, to) = (source.ip(), destination.ip());
        let ports = format!("{} {}", source.port(), destination.port());
        (format!("PROXY {family} {from} {to} {ports}\r\n").into_bytes(), Some(source))
    });
    let binary = (pair, vec(any::<u8>(), 0..300), any::<bool>());
    let binary = binary.prop_map(|((source, destination), tlvs, is_local)| {
        let family = if source.is_ipv4() { 0x11 } else { 0x21 };
        let bytes = [block(source, destination), tlvs].concat();
        let command = if is_local { 0x20 } else { 0x21 };
        (self::binary(command, family, &bytes), (!is_local).then_some(source))
    });
    prop_oneof![line, binary]
}

/// The verdict of the other implementation: the length of the header and its source.
fn oracle(input: &[u8]) -> Option<(usize, Option<SocketAddr>)> {
    match ppp::HeaderResult::parse(input) {
        ppp::HeaderResult::V1(Ok(header)) => {
            let source = match header.addresses {
                ppp::v1::Addresses::Tcp4(ends) => {
                    Some((ends.source_address, ends.source_port).into())
                }
                ppp::v1::Addresses::Tcp6(ends) => {
                    Some((ends.source_address, ends.source_port).into())
                }
                ppp::v1::Addresses::Unknown => None,
            };
            Some((header.header.len(), source))
        }
        ppp::HeaderResult::V2(Ok(header)) => {
            let source = match header.addresses {
                _ if header.command == ppp::v2::Command::Local => None,
                ppp::v2::Addresses::IPv4(ends) => {
                    Some((ends.source_address, ends.source_port).into())
                }
                ppp::v2::Addresses::IPv6(ends) => {
                    Some((ends.source_address, ends.source_port).into())
                }
                ppp::v2::Addresses::Unix(_) | ppp::v2::Addresses::Unspecified => None,
            };
            Some((header.len(), source))
        }
        _ => None,
    }
}

proptest! {
    #[test]
    fn a_valid_header_is_found_at_the_front_of_any_bytes(
        (header, source) in header(),
        behind in vec(any::<u8>(), 0..50),
    ) {
        check(&header, source);
        let input = [&header[..], &behind].concat();
        let parsed = proxy::parse(&input).unwrap().unwrap();
        prop_assert_eq!((parsed.length, parsed.source), (header.len(), source));
        prop_assert_eq!(oracle(&input), Some((header.len(), source)));
    }

    /// A prefix of a damaged header has the verdict of the whole, or none yet.
    #[test]
    fn a_damaged_header_is_what_the_oracle_says(
        (mut header, _) in header(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        behind in vec(any::<u8>(), 0..20),
    ) {
        for (at, byte) in damage {
            let at = at.index(header.len());
            header[at] = byte;
        }
        header.extend(behind);
        let verdict = proxy::parse(&header);
        for length in 0..header.len() {
            let early = proxy::parse(&header[..length]);
            prop_assert!(early == Ok(None) || early == verdict, "{:?} and {:?}", early, verdict);
        }
        if let Ok(Some(parsed)) = verdict {
            prop_assert!(parsed.length <= header.len().min(LONGEST));
            // it takes fewer families of LOCAL, of which the addresses mean nothing
            let is_local = header.get(12) == Some(&0x20) && header.starts_with(SIGNATURE);
            let expected = oracle(&header);
            prop_assert!(
                expected == Some((parsed.length, parsed.source)) || is_local && expected.is_none(),
                "{:?} is not {:?}", parsed, expected
            );
        } else if let Some((length, _)) = oracle(&header) {
            // families of datagrams, and an unspecified transport
            let is_other = header.starts_with(SIGNATURE) && header[13] & 0xf != 1;
            prop_assert!(is_other || length > LONGEST, "refused: {:?}", String::from_utf8_lossy(&header));
        }
    }

    #[test]
    fn any_bytes_have_a_verdict(input in vec(any::<u8>(), 0..300)) {
        let _ = proxy::parse(&input);
        let _ = proxy::parse(&[SIGNATURE, &input].concat());
        let _ = proxy::parse(&[b"PROXY ", &input[..]].concat());
    }
}
