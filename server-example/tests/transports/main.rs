//! One room with members of every transport: TCP, and WebSocket as Python's `websockets`, npm's `ws` and Chromium
//! speak it. Every message is counted by every member.
//!
//! The peers are found through the environment, as `.ci/run` installs them: `WEBSOCKETS_PYTHON` is a Python with
//! `websockets`, and `NODE_PATH` a directory with `ws` and `playwright-core`. Without them, their part is skipped.

#[path = "../common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Program, Raw, TestServer, eventually, skip};

/// Messages of each member.
const EACH: usize = 200;
const CHROMIUM: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transports")
}

/// The path of Chromium, if it is installed.
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let programs = std::env::split_paths(&path)
        .flat_map(|folder| CHROMIUM.map(|program| folder.join(program)));
    programs.into_iter().find(|program| program.is_file())
}

/// The members over WebSocket that this machine has programs for: a name, and the command without arguments.
fn members() -> Vec<(&'static str, Vec<String>)> {
    let mut members = Vec::new();
    let script = |name: &str| folder().join(name).to_string_lossy().into_owned();
    let works = |command: &str, arguments: &[&str]| {
        let mut command = Command::new(command);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let python = std::env::var("WEBSOCKETS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    if works(&python, &["-c", "import websockets.asyncio.client"]) {
        members.push(("python", vec![python, script("websockets_client.py")]));
    } else {
        skip("Python has no module websockets: pip install websockets");
    }
    let node_path = std::env::var("NODE_PATH").unwrap_or_default();
    let has = |package: &str| !node_path.is_empty() && Path::new(&node_path).join(package).is_dir();
    let has_node = works("node", &["--version"]);
    if has_node && has("ws") {
        members.push(("node", vec!["node".to_owned(), script("ws_client.mjs")]));
    } else {
        skip("Node.js or its package ws is missing: npm install ws, and set NODE_PATH");
    }
    if chromium().is_some() && has_node && has("playwright-core") {
        members.push(("browser", vec!["node".to_owned(), script("chromium_client.mjs")]));
    } else {
        skip(
            "Chromium or npm's playwright-core is missing: apt install chromium, npm install playwright-core",
        );
    }
    members
}

#[test]
fn every_member_of_a_room_counts_every_message_whatever_it_speaks() {
    let members = members();
    let mut server = TestServer::start(&["--http", "127.0.0.1:0", "--rate", "off"]);
    let line = server.program.error_with("http://");
    let url = line.split_whitespace().find_map(|word| word.strip_prefix("http://"));
    let url = format!("ws://{}/ws", url.expect("an address").trim_end_matches('/'));

    let mut names = vec!["tcp"];
    names.extend(members.iter().map(|(name, _)| *name));
    let mut tcp = Raw::connect_at_once(server.address, "tcp");
    tcp.join("#tea");
    let mut programs = Vec::new();
    for (name, command) in &members {
        let others: Vec<&str> = names.iter().copied().filter(|other| other != name).collect();
        let mut process = Command::new(&command[0]);
        process.args(&command[1..]).args([&url, *name, &others.join(","), &EACH.to_string()]);
        if *name == "browser" {
            process.arg(chromium().expect("it was found before"));
        }
        programs.push((*name, Program::spawn_as_is(process)));
    }
    // (several who join at once are told in one message)
    let all = format!("Members of #tea ({})", names.len());
    eventually(|| tcp.ask("/who", "#tea").contains(&all).then_some(()));
    tcp.send("#tea", "go");
    for number in 0..EACH {
        tcp.send("#tea", &format!("{number} žluť \u{1f600}"));
    }
    let mut heard = vec![0; names.len()];
    for _ in 0..EACH * members.len() {
        let message = tcp.receive_from_user();
        let member = names.iter().position(|name| *name == message.from.name).expect("a member");
        assert_eq!(message.msg, format!("{} žluť \u{1f600}", heard[member]));
        heard[member] += 1;
    }
    for (name, mut program) in programs {
        let (code, output, errors) = program.end();
        assert_eq!(code, Some(0), "{name}: {errors:?}");
        assert_eq!(output, [format!("counted {}", EACH * members.len())], "{name}");
    }
}
