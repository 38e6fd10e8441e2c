//! What fuzzing begins with: the conformance vectors as inputs of the targets, and for the hub, of
//! which there are none, its commands and random lives.

use std::path::Path;

use serde_json::Value;

/// Longer ones would only slow the fuzzer down.
const MOST: usize = 4096;

/// A target, the name of an input, the input.
pub type Seed = (&'static str, String, Vec<u8>);

/// All there is to begin with.
pub fn all() -> Vec<Seed> {
    [from_vectors(), commands(), accounts(), lives(), frames()].concat()
}

/// Frames of clients and servers, right and wrong, and answers of servers to the opening handshake.
fn frames() -> Vec<Seed> {
    let name = |target, inputs: Vec<Vec<u8>>| {
        let name = move |(number, input)| (target, format!("frames-{number}"), input);
        inputs.into_iter().enumerate().map(name)
    };
    let frames = name("websocket_frames", crate::websocket::seeds());
    frames.chain(name("websocket_client", crate::websocket_client::seeds())).collect()
}

/// Lives of a hub, the same ones every time.
fn lives() -> Vec<Seed> {
    let life = |number: u8| {
        let bytes = crate::stream::random(number).map(|number| (number >> 8) as u8);
        ("hub_operations", format!("life-{number}"), bytes.take(1 + 5 * 60).collect())
    };
    (0..64).map(life).collect()
}

/// Names and their owners: every command of theirs, decided at once and late.
fn accounts() -> Vec<Seed> {
    #[rustfmt::skip]
    const COMMANDS: &[&str] = &[
        "/login|open", "/login|alice open", "/login|\"b\u{f6}b\" open", "/login|wrong", "/login|",
        "/register|open", "/register|a b", "/passwd|open shut", "/passwd|open", "/unregister|open",
        "/unregister|no", "/nick|alice", "/nick|zoe", "/whoami|", "/list|", "/kick|alice", "/ban|alice 2h",
        "/mute|alice 1h", "/role|alice admin", "alice|hello", "\u{f}", "\u{9}", "\u{b}",
    ];
    let end = [crate::commands::END];
    let mut seeds = Vec::new();
    for (index, command) in COMMANDS.iter().enumerate() {
        for (kind, policy, is_slow) in
            [("optional", 0, false), ("required", 1, false), ("slow", 0, true), ("late", 1, true)]
        {
            let first = ["A+alice", "B+bob", "C+b\u{f6}b", "A/login|open", "B/register|open"];
            let slow = is_slow.then_some("A\u{0}");
            let asked = [format!("A{command}"), format!("B{command}"), "D+alice".to_owned()];
            let done = ["A\u{1}", "A\u{1}", "A\u{5}", "A\u{1}", "D/login|open", "A~\u{11}", "A-"];
            let lines = first.into_iter().chain(slow).map(str::to_owned).chain(asked);
            let lines = lines.chain(done.map(str::to_owned));
            let mut bytes = lines.map(String::into_bytes).collect::<Vec<_>>().join(&end[..]);
            for byte in bytes.iter_mut().filter(|byte| **byte == b'|') {
                *byte = crate::commands::THEN;
            }
            bytes.insert(0, policy);
            seeds.push(("hub_accounts", format!("{kind}-{index}"), bytes));
        }
    }
    seeds
}

/// Every command of the hub, with arguments that make sense, from moderators and from others.
fn commands() -> Vec<Seed> {
    #[rustfmt::skip]
    const COMMANDS: &[&str] = &[
        "/admin|sesame", "/admin|guess", "/away|gone fishing", "/away|", "/ban|bob 2h spam",
        "/ban|192.0.2.0/24 30min", "/ban|2001:db8::/32", "/ban|\"b\u{f6}b\"", "/bans|",
        "/close|#tea late", "/help|", "/help|/ban", "/help|x", "/join|/join #tea", "/join|#tea",
        "/join|\"#green tea\"", "/join|tea", "/kick|bob spam", "/leave|#tea", "/leave|#no",
        "/list|/list", "/mute|bob 10min", "/mute|\"ann lee\" 7d", "/nick|\u{ff22}ob",
        "/nick|Server", "/nick|zoe\u{308}", "/notice|all of you", "/ping|", "/ping|n-17",
        "/role|bob moderator", "/role|bob king", "/roll|", "/roll|#tea 2d6", "/roll|100d1000",
        "/rooms|", "/shout|tea is ready", "/standard|", "/time|/time", "/unban|bob",
        "/unban|192.0.2.0/24", "/unmute|bob", "/who|#tea", "/who|", "/whoami|", "#tea|hello",
        "#green tea|hello", "#no|hello", "bob|hello", "Bob|hello", " bob |\u{202e}hello\u{1b}[2J",
        "Everyone|beat", "SERVER|hello", "/nothing|x", "|", "bob|\\\"\u{0}\n", "ann lee|\u{1f600}",
        "/kick|\"ann lee\" \"x", "/mute|bob 99999999999999999999d", "/ban|bob 0s", "/roll|0d0",
        "/echo|hello", "\u{0}", "\u{1}", "\u{2}", "\u{3}", "\u{4}", "\u{5}", "\u{6}", "\u{7}",
        "\u{8}", "\u{9}", "\u{a}", "\u{b}", "\u{c}", "\u{d}", "\u{e}",
    ];
    let end = [crate::commands::END];
    let life = |admin: &str, command: &str| {
        let first = ["A+alice", "B+bob", "C+ann lee", "E+eve", "A/join|#tea", "E/join|#tea", admin];
        let command = [format!("A{command}"), format!("E{command}"), "A~\u{a}".into(), "B-".into()];
        let lines = first.into_iter().map(str::to_owned).chain(command);
        lines.map(|line| line.into_bytes()).collect::<Vec<_>>().join(&end[..])
    };
    let mut seeds = Vec::new();
    for (index, command) in COMMANDS.iter().enumerate() {
        for (kind, admin) in [("admin", "A/admin|sesame"), ("user", "A/whoami|")] {
            let mut bytes = life(admin, command);
            for byte in bytes.iter_mut().filter(|byte| **byte == b'|') {
                *byte = crate::commands::THEN;
            }
            seeds.push(("hub_commands", format!("{kind}-{index}"), bytes));
        }
    }
    seeds
}

/// Every vector for every target that can use it.
fn from_vectors() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (kind, vector) in vectors() {
        let id = vector["id"].as_str().expect("every vector has an id");
        let mut add = |target, bytes: Vec<u8>| {
            if bytes.len() <= MOST {
                seeds.push((target, id.to_owned(), bytes));
            }
        };
        match &*kind {
            "decode" => {
                let stream = bytes(&vector);
                if stream.len() > MOST {
                    continue;
                }
                let first = u8::from(vector["strict"] == true);
                add("decode_differential", [&[first], &stream[..]].concat());
                add("decode_splits", [&[first, 4], &stream[..]].concat());
                add("c_abi", crate::c::seed(&stream));
                // the name, a read, and then two messages, which may go every 4 ms
                let wait_and_write = b"\xfe\x10\xfe\x03".repeat(14);
                let writes = [b"\xfe\x05\xfe\x05", &wait_and_write[..]].concat();
                add("session", [&[3], &stream[..], &writes].concat());
                add("round_trip", stream);
            }
            "encode" => {
                let message = &vector["message"];
                let from = &message["from"];
                let strings = [&from["name"], &from["ip"], &message["to"], &message["msg"]];
                let strings = strings.map(|text| text.as_str().expect("a string").as_bytes());
                add("round_trip", strings.join(&0xff));
            }
            "name" => add("handshake", [&bytes(&vector)[..], b"\n"].concat()),
            "registration" => {
                let events = vector["events"].as_array().expect("a list");
                add("handshake", events.iter().flat_map(event).collect());
            }
            other => panic!("vectors of the kind {other:?} are not known here"),
        }
    }
    seeds
}

fn vectors() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chatproto/vectors");
    let mut vectors = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the vectors are beside the crate") {
        let path = entry.expect("a file").path();
        let text = std::fs::read(&path).expect("it can be read");
        let file: Value = serde_json::from_slice(&text).expect("it is JSON");
        let kind = file["kind"].as_str().expect("every file has a kind");
        let list = file["vectors"].as_array().expect("every file has vectors");
        vectors.extend(list.iter().map(|vector| (kind.to_owned(), vector.clone())));
    }
    vectors
}

fn event(event: &Value) -> Vec<u8> {
    if event["silence"] == true {
        vec![0xfe]
    } else if event["eof"] == true {
        vec![0xff]
    } else {
        [&bytes(event)[..], &[0xfd]].concat()
    }
}

fn bytes(part: &Value) -> Vec<u8> {
    let text = ["text", "input", "bytes"].iter().find_map(|key| part[key].as_str());
    if let Some(text) = text {
        text.as_bytes().to_vec()
    } else if let Some(hex) = part["hex"].as_str() {
        let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
        (0..hex.len()).step_by(2).map(digits).collect()
    } else if let Some(text) = part["repeat"].as_str() {
        let times = part["times"].as_u64().expect("a number");
        text.as_bytes().repeat(times as usize)
    } else {
        part["parts"].as_array().expect("a source of bytes").iter().flat_map(bytes).collect()
    }
}
