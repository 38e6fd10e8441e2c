//! Bytes that are judged: every conformance vector, and what people see.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// Runs `check --bytes -` with the options on the bytes.
fn judge(bytes: &[u8], options: &[&str]) -> (Option<i32>, String, String) {
    let mut check = Command::new(env!("CARGO_BIN_EXE_server-example"))
        .args([&["check", "--bytes", "-"], options].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // it stops reading at what it cannot read on from
    let _ = check.stdin.take().unwrap().write_all(bytes);
    let output = check.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The bytes that a vector describes.
fn source(part: &Value) -> Vec<u8> {
    let digits = |hex: &str| {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    };
    match (&part["input"], &part["text"], &part["hex"], &part["repeat"]) {
        (Value::String(text), ..) | (_, Value::String(text), ..) => text.clone().into_bytes(),
        (_, _, Value::String(hex), _) => digits(hex),
        (.., Value::String(text)) => {
            text.repeat(part["times"].as_u64().unwrap() as usize).into_bytes()
        }
        _ => part["parts"].as_array().expect("a source").iter().flat_map(source).collect(),
    }
}

/// The verdict on one object, as the vectors write it.
fn verdict(outcome: &Value, expected: &Value) -> Value {
    if expected.get("message_lengths").is_none() {
        let key = if outcome.get("error").is_some() { "error" } else { "message" };
        return json!({key: outcome[key]});
    }
    let message = &outcome["message"];
    let length = |text: &Value| text.as_str().map(str::len);
    json!({"message_lengths": {
        "name": length(&message["from"]["name"]), "ip": length(&message["from"]["ip"]),
        "to": length(&message["to"]), "msg": length(&message["msg"]),
    }})
}

#[test]
fn every_vector_gets_the_verdict_that_it_states() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chatproto/vectors");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the vectors are there") {
        let file = std::fs::read(entry.unwrap().path()).unwrap();
        let file: Value = serde_json::from_slice(&file).unwrap();
        let vectors = file["vectors"].as_array().unwrap();
        for vector in vectors.iter().filter(|_| file["kind"] == "decode") {
            count += 1;
            assert_vector(vector);
        }
    }
    assert!(count >= 200, "only {count} vectors");
}

#[track_caller]
fn assert_vector(vector: &Value) {
    let id = &vector["id"];
    let max_frame = vector["max_frame"].as_u64().unwrap_or(65_536).to_string();
    let mut options = vec!["--json", "--max-frame", &max_frame];
    if vector["strict"] == true {
        options.push("--strict");
    }
    let (code, report, errors) = judge(&source(vector), &options);
    let report = crate::report(report.as_bytes());
    let expected = vector["expect"].as_array().unwrap();
    let outcomes = report["outcomes"].as_array().unwrap();
    // that the end came too early is an error here, and stands in `end` there
    let is_cut = vector["end"] == "incomplete";
    assert_eq!(outcomes.len(), expected.len() + usize::from(is_cut), "{id}: {report}");
    for (outcome, expected) in outcomes.iter().zip(expected) {
        assert_eq!(verdict(outcome, expected), *expected, "{id}");
    }
    assert_eq!(report["end"], vector["end"], "{id}");
    let is_good = !is_cut && expected.iter().all(|outcome| outcome.get("error").is_none());
    assert_eq!(code, Some(i32::from(!is_good)), "{id}: {errors}");
}

#[test]
fn what_is_wrong_is_shown_where_it_is() {
    let good = r#"{"from":{"name":"a","ip":"b"},"to":"c","msg":"d"}"#;
    let bytes = format!("{good}\n{}\nhello\n", good.replace("\"c\"", "5"));
    let (code, report, errors) = judge(bytes.as_bytes(), &["--verbose"]);
    assert_eq!(code, Some(1));
    let expected = "\
bytes 0 to 49: a → c: \"d\"
byte 85 (line 2, column 36): `to` must be a string (byte 35 of the object)
    schema error, wrong-type: what is behind it is read on
    {\"from\":{\"name\":\"a\",\"ip\":\"b\"},\"to\":5,\"msg\":\"d\"}
                                       ^
byte 98 (line 3, column 1): an object must begin with '{', found 'h' (byte 0 of the object)
    framing error, unexpected-byte: nothing behind it is read
    hello
    ^
1 message, 2 errors
";
    assert_eq!(report, expected);
    assert_eq!(errors, "server-example: -: 2 errors, the first at byte 85\n");
}

#[test]
fn what_a_client_sent_begins_with_its_name() {
    let object = r#"{"from":{"name":"a","ip":"b"},"to":"c","msg":"d"}"#;
    let (code, report, _) = judge(format!("alice{object}{{").as_bytes(), &["--named", "--json"]);
    let report = crate::report(report.as_bytes());
    assert_eq!(report["outcomes"][0], json!({"name": "alice", "end": "none"}));
    assert_eq!(report["outcomes"][1]["offset"], 5);
    assert_eq!(report["outcomes"][2]["error"]["kind"], "unexpected-end");
    assert_eq!(report["outcomes"][2]["error"]["offset"], 55);
    assert_eq!((code, &report["end"]), (Some(1), &json!("incomplete")));

    for (bytes, why) in [("/alice\n", "must not begin"), ("", "no name"), ("SSH-2.0-x\r\n", "SSH")]
    {
        let (code, report, _) = judge(bytes.as_bytes(), &["--named"]);
        assert!(report.contains(why), "{report}");
        assert_eq!(code, Some(1));
        let (_, report, _) = judge(bytes.as_bytes(), &["--named", "--json"]);
        let refused = &crate::report(report.as_bytes())["outcomes"][0]["refused"];
        assert!(refused.as_str().unwrap().contains(why), "{refused}");
    }
}

#[test]
fn a_long_stream_is_judged_in_little_memory_and_its_lines_are_counted() {
    let line = "{\"from\":{\"name\":\"a\",\"ip\":\"b\"},\"to\":\"c\",\"msg\":\"d\"}\n";
    let bytes = line.repeat(20_000) + "  x";
    let (code, report, _) = judge(bytes.as_bytes(), &[]);
    assert_eq!(code, Some(1));
    assert!(report.starts_with("byte 1000002 (line 20001, column 3): "), "{report}");
    assert!(report.ends_with("20000 messages, 1 error\n"), "{report}");
}

#[test]
fn a_file_that_is_not_there_is_a_sentence() {
    let output = Command::new(env!("CARGO_BIN_EXE_server-example"))
        .args(["check", "--bytes", "/no/such/file"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "server-example: cannot read /no/such/file: no such file or directory\n");
}

#[test]
fn frames_longer_than_can_be_judged_are_refused() {
    let outcome = crate::check(&["--bytes", "-", "--max-frame", "18446744073709551615"]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.errors.contains("more than 16 MiB"), "{}", outcome.errors);
}
