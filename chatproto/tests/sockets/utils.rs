//! `utils`: the names that existing programs import, compared with Python's own `json`.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use crate::support::TestServer;
use chatproto::utils::{self, Value};
use chatproto::{Client, Message};

/// Reads texts in hexadecimal digits, one a line, and says what `json.loads` makes of each.
const ORACLE: &str = r#"
import json, math, sys

def fits(value, depth=0):
    """Whether serde_json's values can hold it."""
    if isinstance(value, str):
        return not any(0xD800 <= ord(c) < 0xE000 for c in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if depth > 126 and isinstance(value, (list, dict)):
        return False
    if isinstance(value, list):
        return all(fits(each, depth + 1) for each in value)
    if isinstance(value, dict):
        return all(fits(each, depth + 1) and fits(key) for key, each in value.items())
    return not isinstance(value, int) or abs(value) < 10**308

for line in sys.stdin:
    try:
        text = bytes.fromhex(line).decode("utf-8")
    except UnicodeDecodeError:
        print("not UTF-8")
        continue
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        print("none")
        continue
    # values of dropped keys count too, as they were read
    every = []
    json.loads(text, object_pairs_hook=lambda pairs: every.extend(pairs) or dict(pairs))
    fit = fits(value) and all(fits(key) and fits(each) for key, each in every)
    print("value " + json.dumps(value) if fit else "too much")
"#;

#[test]
fn it_reads_what_pythons_json_reads() {
    let inputs = inputs();
    let mut lines = String::new();
    for input in &inputs {
        input.iter().for_each(|byte| write!(lines, "{byte:02x}").unwrap());
        lines.push('\n');
    }
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let mut oracle = Command::new(python)
        .args(["-c", ORACLE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("please install Python 3");
    let mut stdin = oracle.stdin.take().unwrap();
    let writing = std::thread::spawn(move || {
        std::io::Write::write_all(&mut stdin, lines.as_bytes()).unwrap();
    });
    let output = oracle.wait_with_output().unwrap();
    writing.join().unwrap();
    let verdicts = String::from_utf8(output.stdout).unwrap();
    assert_eq!(verdicts.lines().count(), inputs.len());
    let mut counts = [0; 4];
    for (input, verdict) in inputs.iter().zip(verdicts.lines()) {
        let decoded = utils::decode_json_msg(input);
        let shown = String::from_utf8_lossy(input);
        counts[match verdict {
            "not UTF-8" => {
                assert!(decoded.is_err(), "{shown:?}");
                0
            }
            "none" => {
                assert_eq!(decoded, Ok(None), "{shown:?}");
                1
            }
            "too much" => {
                assert_eq!(decoded, Ok(None), "{shown:?}");
                2
            }
            _ => {
                let text = verdict.strip_prefix("value ").unwrap();
                let value: Value = serde_json::from_str(text).unwrap();
                let decoded = decoded.unwrap().unwrap_or_else(|| panic!("{shown:?} is {text}"));
                assert!(is_same(&decoded, &value), "{shown:?}: {decoded} is not {value}");
                3
            }
        }] += 1;
    }
    assert!(counts.iter().all(|&count| count >= 5), "every verdict occurs: {counts:?}");
}

/// Equal but for the last digit of a number, which Python prints in another form.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            (one - other).abs() <= one.abs() * 1e-15
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_same(a, b))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same =
                |(a, b): ((&String, &Value), (&String, &Value))| a.0 == b.0 && is_same(a.1, b.1);
            one.len() == other.len() && one.iter().zip(other).all(same)
        }
        _ => one == other,
    }
}

/// Texts of every kind, and each of them with random damage.
fn inputs() -> Vec<Vec<u8>> {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let mut seeds: Vec<Vec<u8>> = [
        r#"{"from": {"name": "alice", "ip": "192.0.2.7"}, "to": "bob", "msg": "caf\u00e9 \ud83d\ude00"}"#,
        r#"{"from":{"name":"žluť","ip":""},"to":"tea","msg":"漢字 😀 \"\\\/\b\f\n\r\t"}"#,
        r#"[null, true, false, 0, -0, 1.5, -2e10, 1E-5, 12345678901234567890, ""]"#,
        r#"{"a": {"b": [{"c": {}}, []]}, "a": "twice", "": 1}"#,
        "1e999", "-1e999", "1e-999", "NaN", "-Infinity", "Infinity", "01", "1.", ".5", "+1", "--1",
        r#""\ud800""#, r#""\udc00\ud800""#, r#""\ud83d\ud83d\ude00""#, r#"{"\ud800": 1}"#,
        r#"{"x": "\ud800", "x": 1}"#, r#"{"x": 1e999, "x": 1}"#,
        "", " ", "\u{feff}{}", "{}{}", "{} {}", "[1,]", "{\"a\":1,}", "'a'", "\"\t\"", "\"\u{7f}\"",
        "\u{a0}1", "1\u{2028}", "tru", "nul", "truefalse", "123abc", "{\"a\" 1}", "{1: 2}", "// 1",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    for levels in [1, 100, 126, 127, 128, 129, 500] {
        seeds.push(nested(levels).into_bytes());
    }
    for bytes in
        [&b"\xff"[..], b"\xff\xfe", b"\xed\xa0\x80", b"\"caf\xc3\"", b"\xc0\x80", b"\xef\xbb\xbf1"]
    {
        seeds.push(bytes.to_vec());
    }
    let mut random = fastrand::Rng::with_seed(14);
    let mut inputs = seeds.clone();
    for seed in &seeds {
        for _ in 0..100 {
            let mut damaged = seed.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(0..=damaged.len());
                let end = (at + random.usize(0..3)).min(damaged.len());
                let with = random.choice(&seeds).unwrap();
                let from = random.usize(0..=with.len());
                let piece = with[from..(from + random.usize(0..4)).min(with.len())].to_vec();
                damaged.splice(at..end, piece);
            }
            inputs.push(damaged);
        }
    }
    inputs
}

#[test]
fn it_prints_what_the_python_form_is() {
    let line = utils::create_json_msg("al\"ice", "::1", "bob", "žluť 😀");
    assert_eq!(line, Message::new("al\"ice", "::1", "bob", "žluť 😀").to_python_json());
    let value = utils::decode_json_msg(line.as_bytes()).unwrap().unwrap();
    assert_eq!(value["from"]["name"], "al\"ice");
    assert_eq!(value["msg"], "žluť 😀");
}

#[test]
fn the_shape_is_what_a_server_answers() {
    let server = TestServer::start();
    let mut alice = Client::connect(server.address, "alice").unwrap();
    alice.send("/standard", "").unwrap();
    assert_eq!(alice.recv().unwrap().msg, utils::get_standard_json());
}

#[test]
fn the_constants_and_the_address() {
    assert_eq!((utils::PORT, utils::ENCODING), (65432, "utf-8"));
    assert!(utils::get_local_ip().parse::<IpAddr>().unwrap().is_ipv4());
}
