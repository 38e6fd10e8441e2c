//! The conformance vectors in `vectors/`, through the public API: every decode vector whole, byte
//! by byte, at every two-way split and with trailing bytes.

use std::fmt::Debug;
use std::path::Path;

use chatproto::handshake::{Handshake, PeerKind, Registration};
use chatproto::{DecodeError, Decoder, ErrorClass, Field, Message, UserName};
use serde_json::Value;

/// Every vector of the kind, with its file's name in the id.
fn vectors(kind: &str) -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut vectors = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the vectors are beside the crate") {
        let path = entry.unwrap().path();
        let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        if file["kind"] == kind {
            for vector in file["vectors"].as_array().unwrap() {
                vectors.push((vector["id"].as_str().unwrap().to_owned(), vector.clone()));
            }
        }
    }
    assert!(!vectors.is_empty(), "no vectors of kind {kind}");
    vectors
}

fn hex(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0);
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn bytes(part: &Value) -> Vec<u8> {
    if let Some(text) = part["text"].as_str().or(part["input"].as_str()).or(part["bytes"].as_str())
    {
        text.as_bytes().to_vec()
    } else if let Some(text) = part["hex"].as_str() {
        hex(text)
    } else if let Some(text) = part["repeat"].as_str() {
        text.repeat(part["times"].as_u64().unwrap() as usize).into_bytes()
    } else {
        part["parts"].as_array().expect("a source of bytes").iter().flat_map(bytes).collect()
    }
}

/// What a vector or a decoder says of a stream.
#[derive(Clone, PartialEq, Debug)]
enum Outcome {
    Message(Message),
    Lengths([usize; 4]),
    Error { class: String, kind: String, offset: u64, field: Option<String> },
}

impl Outcome {
    fn expected(value: &Value) -> Self {
        if let Some(message) = value.get("message") {
            return Outcome::Message(serde_json::from_value(message.clone()).unwrap());
        }
        if let Some(lengths) = value.get("message_lengths") {
            let length = |key: &str| lengths[key].as_u64().unwrap() as usize;
            return Outcome::Lengths(["name", "ip", "to", "msg"].map(length));
        }
        let error = &value["error"];
        let text = |key: &str| error[key].as_str().map(str::to_owned);
        Outcome::Error {
            class: text("class").unwrap(),
            kind: text("kind").unwrap(),
            offset: error["offset"].as_u64().unwrap(),
            field: text("field"),
        }
    }

    fn error(error: &DecodeError) -> Self {
        Outcome::Error {
            class: match error.class() {
                ErrorClass::Framing => "framing".to_owned(),
                ErrorClass::Schema => "schema".to_owned(),
            },
            kind: error.kind().as_str().to_owned(),
            offset: error.offset(),
            field: error.field().map(|field| field.path().to_owned()),
        }
    }

    /// The expectation may give the lengths only.
    fn meets(&self, expected: &Outcome) -> bool {
        match (self, expected) {
            (Outcome::Message(message), Outcome::Lengths(lengths)) => {
                let Message { from, to, msg } = message;
                [from.name.len(), from.ip.len(), to.len(), msg.len()] == *lengths
            }
            _ => self == expected,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    Complete,
    Incomplete,
    Failed,
}

/// Feeds the reads to a decoder and collects all that it says.
fn decode<'a>(
    mut decoder: Decoder,
    reads: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Outcome>, End) {
    let mut outcomes = Vec::new();
    for mut read in reads {
        loop {
            match decoder.decode(&mut read) {
                Ok(Some(frame)) => outcomes.push(Outcome::Message(frame.message().to_owned())),
                Ok(None) => break,
                Err(error) => {
                    outcomes.push(Outcome::error(&error));
                    if error.class() == ErrorClass::Framing {
                        assert_eq!(decoder.decode(&mut read).unwrap_err(), error, "final");
                        return (outcomes, End::Failed);
                    }
                }
            }
        }
        assert!(read.is_empty());
    }
    let end = if decoder.is_inside_frame() { End::Incomplete } else { End::Complete };
    (outcomes, end)
}

#[track_caller]
fn check(id: &str, how: impl Debug, got: &(Vec<Outcome>, End), expected: &[Outcome], end: End) {
    let same = got.0.len() == expected.len()
        && got.0.iter().zip(expected).all(|(got, expected)| got.meets(expected));
    assert!(same && got.1 == end, "{id} ({how:?}):\n got {got:?}\n not {expected:?} {end:?}");
}

#[test]
fn decode_vectors_hold_under_every_split() {
    let vectors = vectors("decode");
    assert!(vectors.len() >= 200, "only {} vectors", vectors.len());
    for (id, vector) in vectors {
        let input = bytes(&vector);
        let max_frame = vector["max_frame"].as_u64().map_or(65536, |max| max as usize);
        let make = || {
            let decoder = Decoder::new(max_frame);
            if vector["strict"] == true { decoder.strict() } else { decoder }
        };
        let expected: Vec<Outcome> =
            vector["expect"].as_array().unwrap().iter().map(Outcome::expected).collect();
        let end = match vector["end"].as_str().unwrap() {
            "complete" => End::Complete,
            "incomplete" => End::Incomplete,
            "failed" => End::Failed,
            other => panic!("{id}: {other}"),
        };

        check(&id, "whole", &decode(make(), [&input[..]]), &expected, end);
        check(&id, "byte by byte", &decode(make(), input.chunks(1)), &expected, end);
        let step = if input.len() <= 2000 { 1 } else { input.len() / 500 };
        for at in (0..=input.len()).step_by(step) {
            let (left, right) = input.split_at(at);
            check(&id, at, &decode(make(), [left, right]), &expected, end);
        }

        let mut longer = input.clone();
        let trailer = br#" {"from":{"name":"n","ip":"i"},"to":"t","msg":"m"}x"#;
        longer.extend_from_slice(trailer);
        let mut expected = expected;
        if end == End::Complete && trailer.len() < max_frame {
            expected.push(Outcome::Message(Message::new("n", "i", "t", "m")));
            expected.push(Outcome::Error {
                class: "framing".into(),
                kind: "unexpected-byte".into(),
                offset: longer.len() as u64 - 1,
                field: None,
            });
            check(&id, "trailing", &decode(make(), [&longer[..]]), &expected, End::Failed);
        } else if end == End::Failed {
            check(&id, "trailing", &decode(make(), [&longer[..]]), &expected, End::Failed);
        } else if end == End::Incomplete {
            let mut decoder = make();
            let mut rest = &input[..];
            while !matches!(decoder.decode(&mut rest), Ok(None)) {}
            let error = decoder.finish().unwrap_err();
            assert_eq!(error.kind().as_str(), "unexpected-end", "{id}");
            assert_eq!(error.offset(), input.len() as u64, "{id}");
        }
    }
}

/// `Message::decode` takes one object and nothing else: whatever the vector, it says what a decoder
/// says first, then whether the input ends there.
#[test]
fn one_object_alone_is_judged_as_the_first_of_a_stream() {
    let default = |vector: &Value| vector["max_frame"].is_null() && vector["strict"].is_null();
    for (id, vector) in vectors("decode").into_iter().filter(|(_, vector)| default(vector)) {
        let input = bytes(&vector);
        let mut rest = &input[..];
        let first = Decoder::default().decode(&mut rest);
        let behind = rest.iter().position(|byte| !b" \t\r\n".contains(byte));
        let offset_behind = |at: usize| (input.len() - rest.len() + at) as u64;
        let expected = match first {
            Ok(Some(frame)) => {
                let taken = &input[..input.len() - rest.len()];
                assert_eq!(frame.as_str().as_bytes(), taken.trim_ascii(), "{id}");
                match behind {
                    None => Ok(frame.message().to_owned()),
                    Some(at) => Err(("unexpected-byte", offset_behind(at))),
                }
            }
            Ok(None) => Err(("unexpected-end", input.len() as u64)),
            Err(error) => Err((error.kind().as_str(), error.offset())),
        };
        let judge = |input: &[u8]| {
            Message::decode(input).map_err(|error| (error.kind().as_str(), error.offset()))
        };
        assert_eq!(judge(&input), expected, "{id}");
        if expected.is_ok() {
            let mut longer = [&input[..], b" \n\t\r"].concat();
            assert_eq!(judge(&longer), expected, "{id} and white space");
            longer.push(b'x');
            let offset = longer.len() as u64 - 1;
            assert_eq!(judge(&longer), Err(("unexpected-byte", offset)), "{id} and a byte");
        }
    }
}

#[test]
fn encode_vectors() {
    for (id, vector) in vectors("encode") {
        let message: Message = serde_json::from_value(vector["message"].clone()).unwrap();
        assert_eq!(message.to_json(), vector["compact"].as_str().unwrap(), "{id}");
        assert_eq!(message.to_python_json(), vector["python"].as_str().unwrap(), "{id}");
        for form in [message.to_json(), message.to_python_json()] {
            assert_eq!(Message::decode(form.as_bytes()).unwrap(), message, "{id}");
        }
    }
}

#[test]
fn name_vectors() {
    for (id, vector) in vectors("name") {
        let got = UserName::from_bytes(&bytes(&vector), 64);
        match vector["name"].as_str() {
            Some(name) => assert_eq!(got.as_ref().map(UserName::as_str), Ok(name), "{id}"),
            None => {
                let kind = got.expect_err(&id).kind();
                assert_eq!(kind, vector["refused"].as_str().unwrap(), "{id}");
            }
        }
    }
}

/// How a registration went, as the vectors write it.
fn registration(events: &[Value], chop: bool) -> Value {
    use serde_json::json;
    let mut handshake = Handshake::new();
    let mut outcome = json!({"waiting": true});
    let mut rest = Vec::new();
    let note = |outcome: &mut Value, registration: Registration<'_>| match registration {
        Registration::Waiting => false,
        Registration::Done => true,
        Registration::Name(bytes, kind) => {
            let peer = if kind == PeerKind::Stream { "stream" } else { "one-read" };
            *outcome = match UserName::from_bytes(&bytes, 64) {
                Ok(name) => json!({"name": name.as_str(), "peer": peer, "rest": ""}),
                Err(error) => json!({"refused": error.kind()}),
            };
            false
        }
        Registration::LateLineFeed => {
            outcome["peer"] = json!("stream");
            false
        }
        Registration::Stranger(stranger) => {
            *outcome = json!({"stranger": stranger.protocol().to_lowercase()});
            true
        }
        Registration::Refused(error) => {
            *outcome = json!({"refused": error.kind()});
            true
        }
        Registration::Gone => {
            *outcome = json!({"eof": true});
            true
        }
    };
    for event in events {
        if event["silence"] == true {
            let step = handshake.handle_silence();
            note(&mut outcome, step);
        } else if event["eof"] == true {
            let step = handshake.handle_end();
            note(&mut outcome, step);
        } else {
            let bytes = bytes(event);
            for mut input in bytes.chunks(if chop { 1 } else { bytes.len().max(1) }) {
                loop {
                    let step = handshake.handle_input(&mut input, 4096);
                    let over = step == Registration::Waiting;
                    if note(&mut outcome, step) {
                        rest.extend_from_slice(input);
                        break;
                    }
                    if over {
                        break;
                    }
                }
            }
        }
    }
    if outcome.get("rest").is_some() {
        outcome["rest"] = json!(String::from_utf8_lossy(&rest).trim_start());
    }
    outcome
}

#[test]
fn registration_vectors_hold_under_every_split() {
    for (id, vector) in vectors("registration") {
        let events = vector["events"].as_array().unwrap();
        let mut expected = vector["expect"].clone();
        if let Some(rest) = expected.get("rest") {
            // white space before the first object means nothing
            expected["rest"] = rest.as_str().unwrap().trim_start().into();
        }
        assert_eq!(registration(events, false), expected, "{id} whole");
        assert_eq!(registration(events, true), expected, "{id} byte by byte");
    }
}

#[test]
fn every_field_has_its_path_in_the_vectors() {
    let used: Vec<String> =
        vectors("decode").iter().map(|(_, vector)| vector.to_string()).collect();
    for field in [Field::From, Field::Name, Field::Ip, Field::To, Field::Msg] {
        let text = format!("\"field\":\"{}\"", field.path());
        assert!(used.iter().any(|vector| vector.contains(&text)), "{field}");
    }
}
