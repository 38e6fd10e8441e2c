//! The shape of every rule of RFC 8259: texts that are JSON and texts that are not, each as a frame
//! of its own, as a value that is ignored inside a frame, and as a string of the schema; however the
//! reads are split, with the same verdict at the same offset.
//!
//! The tables are written by hand. `serde_json`, which shares no line with the decoder, is asked
//! whether they are right: of every text, and of every place where one goes wrong.

mod accepted;
mod rejected;

use std::collections::BTreeSet;

use chatproto::{DecodeError, DecodeErrorKind, Decoder, ErrorClass, Field};
use serde::de::IgnoredAny;

use rejected::Cut;

/// In front of an ignored value, and behind it.
const HEAD: &str = r#"{"from":{"name":"n","ip":"i"},"to":"t","msg":"m","x":"#;
const TAIL: &str = "}";
/// The same, with the value in front of all else, and inside an array.
const FIRST: [&str; 2] = [r#"{"x":"#, r#","from":{"name":"n","ip":"i"},"to":"t","msg":"m"}"#];
const INSIDE: [&str; 2] =
    [r#"{"from":{"name":"n","ip":"i"},"to":"t","x":[null,"#, r#"],"msg":"m"}"#];

/// What a stream comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Message { name: String, ip: String, to: String, msg: String },
    Error(DecodeError),
}

/// All that a stream comes to, read in these pieces, up to its end or the first framing error.
fn outcomes<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Outcome> {
    let mut decoder = Decoder::new(1 << 20);
    let mut outcomes = Vec::new();
    for mut piece in pieces {
        loop {
            match decoder.decode(&mut piece) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    let message = frame.message().to_owned();
                    let (name, ip) = (message.from.name, message.from.ip);
                    outcomes.push(Outcome::Message { name, ip, to: message.to, msg: message.msg });
                }
                Err(error) => {
                    outcomes.push(Outcome::Error(error));
                    if error.class() == ErrorClass::Framing {
                        return outcomes;
                    }
                }
            }
        }
    }
    outcomes.extend(decoder.finish().err().map(Outcome::Error));
    outcomes
}

/// The same for every split in two, byte by byte, and whole, and for every split there is of a short
/// one; they must agree.
#[track_caller]
fn outcomes_of_all_splits(stream: &[u8]) -> Vec<Outcome> {
    let whole = outcomes([stream]);
    let shown = String::from_utf8_lossy(stream);
    for at in 1..stream.len() {
        let (front, back) = stream.split_at(at);
        assert_eq!(outcomes([front, back]), whole, "{shown} split at {at}");
    }
    assert_eq!(outcomes(stream.chunks(1)), whole, "{shown} byte by byte");
    if (3..10).contains(&stream.len()) {
        for cuts in 0_u32..1 << (stream.len() - 1) {
            let mut at = 0;
            let pieces = stream.chunk_by(|_, _| {
                at += 1;
                cuts >> (at - 1) & 1 == 0
            });
            assert_eq!(outcomes(pieces), whole, "{shown} cut at {cuts:b}");
        }
    }
    whole
}

/// The last outcome, which must be an error.
#[track_caller]
fn error_of(stream: &[u8]) -> DecodeError {
    match outcomes_of_all_splits(stream).pop() {
        Some(Outcome::Error(error)) => error,
        other => panic!("{} comes to {other:?}", String::from_utf8_lossy(stream)),
    }
}

fn message([name, ip, to, msg]: [&str; 4]) -> Outcome {
    let [name, ip, to, msg] = [name, ip, to, msg].map(str::to_owned);
    Outcome::Message { name, ip, to, msg }
}

fn all_accepted() -> Vec<&'static str> {
    use accepted::{ARRAYS, LITERALS, NUMBERS, OBJECTS, STRINGS};
    [LITERALS, NUMBERS, STRINGS, ARRAYS, OBJECTS].concat()
}

/// The kind of error that a byte leads to.
type Kind = fn(u8) -> DecodeErrorKind;

fn unexpected(byte: u8) -> DecodeErrorKind {
    DecodeErrorKind::UnexpectedByte(byte)
}

fn all_rejected() -> Vec<(Cut, Kind)> {
    use rejected::{ARRAYS, BEGINNINGS, CONTROLS, LITERALS, NUMBERS, OBJECTS, STRINGS, UTF8};
    let of = |cuts: &[Cut], kind: fn(u8) -> DecodeErrorKind| {
        cuts.iter().map(move |&cut| (cut, kind)).collect::<Vec<_>>()
    };
    let mut all =
        of(&[BEGINNINGS, LITERALS, NUMBERS, STRINGS, ARRAYS, OBJECTS].concat(), unexpected);
    all.extend(of(CONTROLS, DecodeErrorKind::ControlCharacter));
    all.extend(of(UTF8, |_| DecodeErrorKind::InvalidUtf8));
    all
}

/// Half of a surrogate pair: JSON by its grammar, and yet no text (B3). Cut where the half begins.
const LONE_SURROGATES: [Cut; 14] = [
    ("\"", b"\\ud83d\""),
    ("\"", b"\\uD800\""),
    ("\"", b"\\udbff\""),
    ("\"", b"\\udc00\""),
    ("\"", b"\\uDFFF\""),
    ("\"a", b"\\ud83db\""),
    ("\"", b"\\ud83d\\n\""),
    ("\"", b"\\ud83d\\\\\""),
    ("\"", b"\\ud83d\\u0041\""),
    ("\"", b"\\ud83d\\ud83d\\ude00\""),
    ("\"", b"\\ude00\\ud83d\""),
    ("\"\\ud83d\\ude00", b"\\ude00\""),
    ("\"\\ud83d\\ude00", b"\\ud83d\""),
    ("\"\u{1F600}", b"\\ud83d\xf0\x9f\x98\x80\""),
];

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

// the tables themselves

/// Whether serde_json takes it for JSON, of whatever size and depth.
fn is_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// Whether it is the beginning of a text that serde_json takes for JSON: the rest of whatever it
/// may have been cut off in, and then the brackets that are open.
fn can_become_json(bytes: &[u8]) -> bool {
    const IN_STRING: [&[u8]; 12] = [
        b"",
        b"n",
        b"0",
        b"00",
        b"000",
        b"0000",
        b"\x80",
        b"\xbf",
        b"\x80\x80",
        b"\xbf\xbf",
        b"\x80\x80\x80",
        b"\xbf\xbf\xbf",
    ];
    const ELSEWHERE: [&[u8]; 15] = [
        b"", b"0", b"rue", b"ue", b"e", b"alse", b"lse", b"se", b"ull", b"ll", b"l", b":0",
        b"\"\":0", b",0", b"}",
    ];
    let closing = closing_brackets(bytes);
    let completes = |rest: &[&[u8]]| is_json(&[&[bytes], rest, &[&*closing]].concat().concat());
    ELSEWHERE.iter().any(|rest| completes(&[rest]))
        || IN_STRING.iter().any(|rest| {
            // the string is a value, or a key
            completes(&[rest, b"\""]) || completes(&[rest, b"\":0"])
        })
}

fn closing_brackets(bytes: &[u8]) -> Vec<u8> {
    let (mut closing, mut in_string, mut is_escaped) = (Vec::new(), false, false);
    for byte in bytes {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' => closing.push(b']'),
            b'{' => closing.push(b'}'),
            b']' | b'}' => drop(closing.pop()),
            _ => {}
        }
    }
    closing.reverse();
    closing
}

#[test]
fn the_tables_are_long_and_say_nothing_twice() {
    let accepted: BTreeSet<&str> = all_accepted().into_iter().collect();
    assert_eq!(accepted.len(), all_accepted().len());
    println!("{} accepted, {} rejected", accepted.len(), all_rejected().len());
    assert!(accepted.len() >= 150, "{}", accepted.len());
    let rejected: BTreeSet<Cut> = all_rejected().into_iter().map(|(cut, _)| cut).collect();
    let twice = all_rejected().len() - rejected.len();
    assert_eq!(twice, 0, "twice in the table");
    assert!(rejected.len() >= 300, "{}", rejected.len());
}

#[test]
fn the_table_of_accepted_texts_is_right() {
    for text in all_accepted() {
        assert!(is_json(text.as_bytes()), "{text}");
    }
}

#[test]
fn the_table_of_rejected_texts_is_right_and_so_are_its_offsets() {
    for ((before, rest), _) in all_rejected() {
        let shown = format!("{before}\u{b7}{}", String::from_utf8_lossy(rest));
        let text = joined(&[before.as_bytes(), rest]);
        assert!(can_become_json(before.as_bytes()), "{shown}: wrong before");
        match rest {
            [] => assert!(!is_json(before.as_bytes()), "{shown}: nothing is missing"),
            // a broken character is wrong from its beginning
            _ if rejected::UTF8.contains(&(before, rest)) => {
                let error = std::str::from_utf8(&text).expect_err(&shown);
                assert_eq!(error.valid_up_to(), before.len(), "{shown}");
                assert!(error.error_len().is_some(), "{shown}");
            }
            [first, ..] => {
                let upto = joined(&[before.as_bytes(), &[*first]]);
                assert!(!can_become_json(&upto), "{shown}: could still be right");
            }
        }
    }
    for text in rejected::UNFINISHED {
        assert!(can_become_json(text.as_bytes()) && !is_json(text.as_bytes()), "{text}");
    }
    for (before, rest) in LONE_SURROGATES {
        let text = joined(&[before.as_bytes(), rest]);
        assert!(is_json(&text), "{before}");
        assert!(serde_json::from_slice::<String>(&text).is_err(), "{before}");
    }
}

// accepted

#[test]
fn an_ignored_value_may_be_anything_that_is_json() {
    for text in all_accepted() {
        for [head, tail] in [[HEAD, TAIL], FIRST, INSIDE] {
            let stream = [head, text, tail].concat();
            let got = outcomes_of_all_splits(stream.as_bytes());
            assert_eq!(got, [message(["n", "i", "t", "m"])], "{stream}");
        }
    }
}

/// No text of the table is a message: an object lacks keys, anything else is no frame.
#[test]
fn what_is_json_and_no_object_is_no_frame() {
    for text in all_accepted() {
        let begin = text.len() - text.trim_start_matches([' ', '\t', '\r', '\n']).len();
        let error = error_of(text.as_bytes());
        let first = text.as_bytes()[begin];
        if first == b'{' {
            assert_eq!(error.class(), ErrorClass::Schema, "{text}: {error}");
        } else {
            assert_eq!((error.kind(), error.offset()), (unexpected(first), begin as u64), "{text}");
        }
    }
}

#[test]
fn a_string_of_the_schema_may_be_any_string() {
    for token in accepted::STRINGS {
        let text: String = serde_json::from_str(token).expect(token);
        let stream = format!(
            r#"{{"from":{{"name":{token},"ip":{token}}},"to":{token},"msg":{token},{token}:0}}"#
        );
        let got = outcomes_of_all_splits(stream.as_bytes());
        assert_eq!(got, [message([&text; 4])], "{token}");
    }
}

// rejected

/// The byte at the offset where the violation must be, and the offset.
#[track_caller]
fn assert_violation(stream: &[u8], at: usize, kind: Kind) {
    let error = error_of(stream);
    let shown = String::from_utf8_lossy(stream);
    assert_eq!((error.kind(), error.offset()), (kind(stream[at]), at as u64), "{shown}");
    assert_eq!(error.class(), ErrorClass::Framing, "{shown}");
}

#[test]
fn an_ignored_value_that_is_not_json_is_rejected_where_it_goes_wrong() {
    for ((before, rest), kind) in all_rejected() {
        let text = joined(&[before.as_bytes(), rest]);
        for [head, tail] in [[HEAD, TAIL], FIRST, INSIDE] {
            // only the brace that ends the frame is wrong in place of whatever is missing
            if rest.is_empty() && tail != TAIL {
                continue;
            }
            let stream = joined(&[head.as_bytes(), &text, tail.as_bytes()]);
            assert_violation(&stream, head.len() + before.len(), kind);
        }
    }
}

#[test]
fn a_frame_that_is_not_json_is_rejected_where_it_goes_wrong() {
    for ((before, rest), kind) in all_rejected() {
        let text = joined(&[before.as_bytes(), rest]);
        let begin = text.iter().take_while(|byte| b" \t\r\n".contains(byte)).count();
        let Some(&first) = text.get(begin) else { continue };
        match first {
            b'{' if rest.is_empty() => {
                let error = error_of(&text);
                assert_eq!(error.kind(), DecodeErrorKind::UnexpectedEnd, "{before}");
                assert_eq!(error.offset(), text.len() as u64, "{before}");
            }
            // two frames that are no messages
            b'{' if is_json(before.as_bytes()) && rest == b"{}" => {}
            b'{' => assert_violation(&text, before.len(), kind),
            _ => assert_violation(&text, begin, unexpected),
        }
    }
}

#[test]
fn a_string_of_the_schema_that_is_none_is_rejected_where_it_goes_wrong() {
    let strings = all_rejected().into_iter().filter(|((before, _), _)| before.starts_with('"'));
    for ((before, rest), kind) in strings {
        let text = joined(&[before.as_bytes(), rest]);
        let frames = [
            (r#"{"from":{"name":"#, r#","ip":""},"to":"","msg":""}"#),
            (r#"{"from":{"name":"","ip":"#, r#"},"to":"","msg":""}"#),
            (r#"{"from":{"name":"","ip":""},"to":"#, r#","msg":""}"#),
            (r#"{"from":{"name":"","ip":""},"to":"","msg":"#, "}"),
        ];
        for (head, tail) in frames {
            let stream = joined(&[head.as_bytes(), &text, tail.as_bytes()]);
            assert_violation(&stream, head.len() + before.len(), kind);
        }
    }
}

#[test]
fn a_value_that_goes_on_into_what_follows_leaves_a_frame_without_an_end() {
    for text in rejected::UNFINISHED {
        let stream = [HEAD, text, TAIL].concat();
        let error = error_of(stream.as_bytes());
        let (kind, offset) = (error.kind(), error.offset());
        assert_eq!((kind, offset), (DecodeErrorKind::UnexpectedEnd, stream.len() as u64), "{text}");
    }
}

#[test]
fn half_of_a_surrogate_pair_is_the_message_s_fault_and_the_next_one_counts() {
    let next = [HEAD, "0", TAIL].concat();
    for (before, rest) in LONE_SURROGATES {
        let text = joined(&[before.as_bytes(), rest]);
        let places = [
            (HEAD, TAIL, None),
            (r#"{"from":{"name":"","ip":""},"to":"","msg":"#, "}", Some(Field::Msg)),
            (r#"{"from":{"name":"#, r#","ip":""},"to":"","msg":""}"#, Some(Field::Name)),
        ];
        for (head, tail, field) in places {
            let stream = joined(&[head.as_bytes(), &text, tail.as_bytes(), next.as_bytes()]);
            let got = outcomes_of_all_splits(&stream);
            let [Outcome::Error(error), after] = &got[..] else { panic!("{before}: {got:?}") };
            let found = (error.kind(), error.field(), error.offset());
            let at = (head.len() + before.len()) as u64;
            assert_eq!(found, (DecodeErrorKind::LoneSurrogate, field, at), "{before}");
            assert_eq!(*after, message(["n", "i", "t", "m"]));
        }
    }
}

// all bytes, everywhere

/// Beginnings of a value that leave the grammar in each of its states.
const STATES: [&str; 49] = [
    "",
    " ",
    "t",
    "tr",
    "tru",
    "true",
    "f",
    "fa",
    "fal",
    "fals",
    "false",
    "n",
    "nu",
    "nul",
    "null",
    "-",
    "0",
    "-0",
    "1",
    "12",
    "1.",
    "1.0",
    "1e",
    "1E",
    "1e+",
    "1e-",
    "1e1",
    "\"",
    "\"a",
    "\"\\",
    "\"\\u",
    "\"\\u0",
    "\"\\u00",
    "\"\\u004",
    "\"\\u0041",
    "\"a\"",
    "[",
    "[1",
    "[1,",
    "[[",
    "[]",
    "{",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":[",
    "{}",
    "1 ",
];

#[test]
fn every_byte_in_every_state_is_judged_as_serde_json_judges_it() {
    let mut rejected = 0;
    for state in STATES {
        for byte in 0..=u8::MAX {
            let stream = joined(&[HEAD.as_bytes(), state.as_bytes(), &[byte]]);
            let error = outcomes([&stream[..]]).pop();
            let at = (stream.len() - 1) as u64;
            let is_rejected = matches!(
                &error,
                Some(Outcome::Error(error)) if error.offset() == at
            );
            let can_go_on = can_become_json(&stream);
            assert_eq!(is_rejected, !can_go_on, "{state:?} and then {byte:#x}: {error:?}");
            rejected += usize::from(is_rejected);
        }
    }
    // most bytes are wrong nearly everywhere
    assert!(rejected > STATES.len() * 128, "{rejected}");
}

// sizes

#[test]
fn nesting_ends_at_32_levels_however_deep_it_goes_on() {
    let nested = |open: &str, close: &str, levels: usize| {
        [&open.repeat(levels), "0", &close.repeat(levels)].concat()
    };
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"b\":", "}]")] {
        let step = open.matches(['[', '{']).count();
        // the frame itself is a level
        let most = (31 / step) * step;
        let text = nested(open, close, most / step);
        let stream = [HEAD, &text, TAIL].concat();
        assert_eq!(outcomes_of_all_splits(stream.as_bytes()), [message(["n", "i", "t", "m"])]);
        for levels in [32 / step + 1, 100, 100_000 / step] {
            let text = nested(open, close, levels);
            assert!(is_json(text.as_bytes()));
            let stream = [HEAD, &text, TAIL].concat();
            // the bracket that opens the 33rd level
            let at = text.bytes().enumerate().filter(|(_, byte)| b"[{".contains(byte)).nth(31);
            let at = HEAD.len() + at.expect("so many").0;
            for pieces in [vec![stream.as_bytes()], stream.as_bytes().chunks(7).collect()] {
                let Some(Outcome::Error(error)) = outcomes(pieces).pop() else { panic!("{open}") };
                let found = (error.kind(), error.offset());
                assert_eq!(found, (DecodeErrorKind::TooDeep, at as u64), "{levels} of {open}");
            }
        }
    }
}

#[test]
fn nesting_that_never_ends_is_rejected_at_the_same_bracket() {
    for open in ["[", "{\"a\":"] {
        let stream = [HEAD, &open.repeat(100_000)].concat();
        let at = HEAD.len() + 31 * open.len();
        let Some(Outcome::Error(error)) = outcomes([stream.as_bytes()]).pop() else { panic!() };
        assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::TooDeep, at as u64));
    }
}

#[test]
fn numbers_of_60_000_digits_are_numbers() {
    let digits = "1234567890".repeat(6000);
    let zeros = "0".repeat(60_000);
    let accepted = [
        digits.clone(),
        format!("-{digits}"),
        format!("0.{digits}"),
        format!("0.{zeros}"),
        format!("1.{zeros}e-5"),
        format!("{digits}.5E+1"),
        format!("1e{digits}"),
        format!("1e-{digits}"),
        format!("1e{zeros}"),
    ];
    for text in &accepted {
        assert!(is_json(text.as_bytes()));
        let stream = [HEAD, text, TAIL].concat();
        for pieces in [vec![stream.as_bytes()], stream.as_bytes().chunks(101).collect()] {
            assert_eq!(outcomes(pieces), [message(["n", "i", "t", "m"])], "{}", &text[..20]);
        }
    }
    let rejected: [(&[&str], &str); 11] = [
        (&["0"], &zeros),
        (&["-0"], &digits),
        (&[&digits, "."], ""),
        (&[&digits, "."], "e1"),
        (&[&digits, "e"], ""),
        (&[&digits, "e+"], "-1"),
        (&[&digits], "-"),
        (&[&digits], "_1"),
        (&["0.", &digits], ".0"),
        (&["1e", &digits], ".0"),
        (&["1e-", &digits], "e1"),
    ];
    for (before, rest) in rejected {
        let before = before.concat();
        let stream = [HEAD, &before, rest, TAIL].concat();
        let at = HEAD.len() + before.len();
        for pieces in [vec![stream.as_bytes()], stream.as_bytes().chunks(101).collect()] {
            let Some(Outcome::Error(error)) = outcomes(pieces).pop() else { panic!("{rest}") };
            let found = (error.kind(), error.offset());
            assert_eq!(found, (unexpected(stream.as_bytes()[at]), at as u64), "{rest:.2}");
        }
    }
}
