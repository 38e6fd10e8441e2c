//! The library as C sees it: the programs of this folder are compiled as C11 and as C++17, with
//! every warning an error, linked with the static and with the shared library, and run plain and
//! under the address and undefined-behaviour sanitizers.
//!
//! Needs a C compiler, and takes a C++ one if there is one: `cc` and `c++`, or what `CC` and `CXX`
//! name.

#![cfg(unix)]

#[path = "../../chatproto/tests/support/gateway.rs"]
mod gateway;

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use chatproto::{Client, Server};
use serde_json::Value;

#[test]
fn core() {
    everywhere("core", &[]);
}

#[test]
fn vectors() {
    let path = scratch().join("vectors.txt");
    fs::write(&path, vectors_as_text()).unwrap();
    everywhere("vectors", &[path.into()]);
}

#[test]
fn utils() {
    everywhere("utils", &[]);
}

/// The header twice, and every macro of it in an expression.
#[test]
fn the_header_stands_twice_and_every_macro_compiles() {
    let header = fs::read_to_string(header_dir().join("chatproto.h")).unwrap();
    let macros: Vec<&str> = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define "))
        .map(|definition| definition.split([' ', '(']).next().unwrap())
        .filter(|&name| name != "CHATPROTO_H")
        .collect();
    assert!(macros.len() > 8, "{macros:?}");
    let (comment, _) = header.split_once("#ifndef CHATPROTO_H").unwrap();
    let is_comment = comment.matches("*/").count() == 1 && comment.trim_end().ends_with("*/");
    assert!(is_comment, "no declaration is before the include guard");
    assert!(header.trim_end().ends_with("#endif /* CHATPROTO_H */"), "none is behind it");
    let mut program =
        "#include <chatproto.h>\n#include <chatproto.h>\n\nint main(void) {\n".to_owned();
    for name in macros {
        writeln!(program, "    (void)({name});").unwrap();
    }
    program.push_str("    return chatproto_str_of(\"x\").len == 1 ? 0 : 1;\n}\n");
    let source = scratch().join("twice.c");
    fs::write(&source, program).unwrap();
    for language in languages() {
        let path = source.with_extension("");
        run(&mut Command::new(compile(path.to_str().unwrap(), language, Link::Shared, false)));
    }
}

#[test]
fn network() {
    everywhere("network", &[]);
}

#[test]
fn strange_servers() {
    everywhere("strange_servers", &[]);
}

#[test]
fn tls() {
    let own = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["chat.test".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let files = [(".pem", certificate.pem()), (".key", key.serialize_pem())];
        let [certificate_file, key_file] = files.map(|(end, text)| {
            let path = scratch().join(format!("{name}{end}"));
            fs::write(&path, text).unwrap();
            OsString::from(path)
        });
        let fingerprint = chatproto::tls::Fingerprint::of_der(certificate.der()).to_string();
        (certificate_file, key_file, fingerprint)
    };
    let (certificate, key, fingerprint) = own("own");
    let (_, other_key, _) = own("other");
    everywhere("tls", &[certificate, key, other_key, fingerprint.into()]);
}

#[test]
fn websocket() {
    let mut limits = chatproto::Limits::default();
    (limits.rate, limits.rate_bytes) = (None, None);
    let server = Server::builder().limits(limits).bind(([127, 0, 0, 1], 0)).unwrap();
    let handle = server.handle();
    let running = thread::spawn(move || server.run());
    let url = gateway::url(gateway::start(&handle));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let strange = format!("ws://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || behave_strangely(stream));
        }
    });
    everywhere("websocket", &[url.into(), strange.into()]);
    wait_until(|| handle.online() == 0);
    handle.stop();
    running.join().unwrap().unwrap();
}

/// Behaves as the path of the request says: see websocket.c.
fn behave_strangely(mut stream: TcpStream) -> Option<()> {
    let (head, _) = gateway::read_head(&mut stream)?;
    let opening = gateway::opening(&head)?;
    let frame = |first: u8, payload: &[u8]| {
        assert!(payload.len() < 126);
        [&[first, payload.len() as u8], payload].concat()
    };
    let said = |msg: &str| {
        let message = chatproto::Message::new("SERVER", "", "alice", msg);
        frame(0x81, message.to_json().as_bytes())
    };
    let path = head.split(' ').nth(1)?;
    let (answer, frames) = match path {
        "/200" => ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n<html>\n".into(), vec![]),
        "/403" => ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".into(), vec![]),
        "/421" => ("HTTP/1.1 421 Odd\r\nContent-Length: 0\r\n\r\n".into(), vec![]),
        "/503" => ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".into(), vec![]),
        "/mail" => ("220 mail\r\n".into(), vec![]),
        "/half" => (opening[..40].to_owned(), vec![]),
        "/nothing" => (String::new(), vec![]),
        "/other-key" => (opening.replace("Accept: ", "Accept: x"), vec![]),
        "/endless" => (format!("HTTP/1.1 101 x\r\nx: {}", "y".repeat(9000)), vec![]),
        "/unwelcome" => (opening, frame(0x88, &1013_u16.to_be_bytes())),
        "/masked-first" => (opening, vec![0x81, 0x80]),
        "/text" => (opening, frame(0x81, b"hello")),
        "/silent" => (opening, vec![]),
        "/ping" => (opening, [said("Welcome"), frame(0x89, b"there?")].concat()),
        _ => {
            let end = match path.strip_prefix("/hi/")? {
                "masked" => vec![0x81, 0x80],
                "binary" => frame(0x82, b"{}"),
                "long-ping" => vec![0x89, 126],
                "too-large" => [[0x81, 127], [0xFF; 2], [0xFF; 2], [0xFF; 2], [0xFF; 2]].concat(),
                "unfinished" => frame(0x81, b"{"),
                "spam" => frame(0x88, &[&1008_u16.to_be_bytes(), &b"spam"[..]].concat()),
                "no-code" => frame(0x88, b""),
                "cut" => said("x")[..20].to_vec(),
                _ => Vec::new(),
            };
            (opening, [said("Welcome"), said("hi"), end].concat())
        }
    };
    // all in one write
    stream.write_all(&[answer.as_bytes(), &frames].concat()).ok()?;
    match path {
        "/ping" => {
            // a masked frame with the name, and one with the answer to the ping
            let mut frames = [0; 2 * 6 + "alice".len() + "there?".len()];
            stream.read_exact(&mut frames).ok()?;
            stream.write_all(&said("thanks")).ok()?;
            // the close frame, which it answers
            stream.read_exact(&mut [0; 8]).ok()?;
            return stream.write_all(&frame(0x88, &1000_u16.to_be_bytes())).ok();
        }
        "/half" | "/nothing" | "/hi/cut" | "/hi/end" => {
            stream.shutdown(std::net::Shutdown::Write).ok()?;
        }
        _ => {}
    }
    // a client that has heard enough closes
    stream.read_to_end(&mut Vec::new()).ok().map(drop)
}

#[test]
fn c_python_and_rust_in_one_conversation() {
    let server = Server::builder().bind(([127, 0, 0, 1], 0)).unwrap();
    let (address, handle) = (server.local_addr(), server.handle());
    let running = thread::spawn(move || server.run());
    for (language, link) in [(Language::C11, Link::Shared), (Language::Cpp17, Link::Static)] {
        let mut rust = Client::connect(address, "rust").unwrap();
        let mut c = Command::new(compile("talk", language, link, false));
        let mut c = c.args([&address.to_string(), "c", "python"]).spawn().unwrap();
        let mut python = Command::new(env::var_os("PYTHON").unwrap_or_else(|| "python3".into()));
        python.arg(tests_dir().join("talk.py")).arg(address.ip().to_string());
        python.args([&address.port().to_string(), "python", "rust"]);
        let mut python = python.spawn().expect("please install Python 3");
        wait_until(|| {
            let ended = [&mut c, &mut python].map(|child| child.try_wait().unwrap());
            assert_eq!(ended, [None, None], "one of them could not join");
            handle.online() == 3
        });
        rust.send("c", "žluť 漢字 😀").unwrap();
        let message = rust.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!(message.msg, "žluť 漢字 😀, C, Python");
        assert_eq!(message.from.name, "python");
        assert!(c.wait().unwrap().success() && python.wait().unwrap().success());
        wait_until(|| handle.online() == 1);
        rust.close().unwrap();
        wait_until(|| handle.online() == 0);
    }
    handle.stop();
    running.join().unwrap().unwrap();
}

#[test]
fn the_examples_compile() {
    for example in ["client", "poll", "server", "decode"] {
        for language in languages() {
            compile(&format!("../examples/{example}"), language, Link::Shared, false);
        }
    }
}

/// The README's programs, in the languages of this test.
#[test]
fn the_readmes_programs_compile() {
    let readme = fs::read_to_string(tests_dir().join("../README.md")).unwrap();
    let programs: Vec<&str> =
        readme.split("```c\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    assert_eq!(programs.len(), 2);
    for (number, program) in programs.into_iter().enumerate() {
        let source = scratch().join(format!("readme-{number}.c"));
        fs::write(&source, program).unwrap();
        for language in languages() {
            compile(source.with_extension("").to_str().unwrap(), language, Link::Shared, false);
        }
    }
}

/// Waits for what nobody tells, and not for ever.
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it did not come about in a minute");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn nothing_else_is_exported() {
    let output = Command::new("nm")
        .args(if cfg!(target_os = "macos") { &["-gU"][..] } else { &["-D", "--defined-only"] })
        .arg(library_dir().join(shared_library()))
        .output();
    let Ok(output) = output else {
        println!("not tested: there is no nm");
        return;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let mut symbols: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .map(|symbol| symbol.trim_start_matches('_'))
        .filter(|symbol| *symbol != "chatproto_test_panic")
        .collect();
    symbols.sort_unstable();
    let header = fs::read_to_string(header_dir().join("chatproto.h")).unwrap();
    let mut declared: Vec<&str> = header
        .lines()
        .filter(|line| !line.starts_with([' ', '#', '}']) && !line.starts_with("static"))
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next())
        .filter(|name| name.starts_with("chatproto_"))
        .collect();
    declared.sort_unstable();
    assert!(declared.len() > 15);
    assert_eq!(symbols, declared, "the library exports what the header declares, and that alone");
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Language {
    C11,
    Cpp17,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Link {
    Static,
    Shared,
}

/// Compiles and runs a program in every way.
fn everywhere(program: &str, arguments: &[OsString]) {
    let sanitizers: &[bool] = if can_sanitize() { &[false, true] } else { &[false] };
    for language in languages() {
        for link in [Link::Static, Link::Shared] {
            for &sanitized in sanitizers {
                let executable = compile(program, language, link, sanitized);
                let mut command = Command::new(&executable);
                // what the system's own library keeps is no leak of ours
                command.args(arguments).env("ASAN_OPTIONS", "detect_leaks=1");
                run(&mut command);
            }
        }
    }
}

fn compile(program: &str, language: Language, link: Link, sanitized: bool) -> PathBuf {
    let source = tests_dir().join(format!("{program}.c"));
    let name = source.file_stem().expect("it ends in .c").to_string_lossy();
    let name = format!("{name}-{language:?}-{link:?}-{sanitized}");
    let executable = scratch().join(name);
    let mut command = compiler(language);
    command.args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-g", "-O1", "-pthread"]);
    command.arg("-DCHATPROTO_TEST_PANIC").arg("-I").arg(header_dir());
    if sanitized {
        command.args(SANITIZE);
    }
    command.arg(&source).arg("-o").arg(&executable);
    let libraries = library_dir();
    match link {
        Link::Static => {
            // what lies behind it must not be taken for C++
            command.args(["-x", "none"]).arg(libraries.join("libchatproto_c.a"));
            command.args(SYSTEM_LIBRARIES);
        }
        Link::Shared => {
            command.args(["-x", "none"]).arg(libraries.join(shared_library()));
            command.arg(format!("-Wl,-rpath,{}", libraries.display()));
        }
    }
    run(&mut command);
    executable
}

const SANITIZE: [&str; 3] =
    ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"];

/// What the Rust library needs of the system.
const SYSTEM_LIBRARIES: &[&str] = if cfg!(target_os = "macos") {
    &["-lSystem", "-lc", "-lm"]
} else {
    &["-lpthread", "-ldl", "-lm"]
};

fn compiler(language: Language) -> Command {
    let (variable, default, options): (_, _, &[&str]) = match language {
        Language::C11 => ("CC", "cc", &["-std=c11", "-D_POSIX_C_SOURCE=200809L"]),
        Language::Cpp17 => ("CXX", "c++", &["-x", "c++", "-std=c++17"]),
    };
    let mut command = Command::new(env::var_os(variable).unwrap_or_else(|| default.into()));
    command.args(options);
    command
}

/// C, and C++ where there is a compiler of it.
fn languages() -> Vec<Language> {
    let has_cpp = compiler(Language::Cpp17).arg("--version").output().is_ok();
    if !has_cpp {
        println!("not compiled as C++: there is no c++ here");
    }
    let all = [Language::C11, Language::Cpp17];
    all.into_iter().filter(|&language| has_cpp || language != Language::Cpp17).collect()
}

/// Whether this machine's compiler has the sanitizers.
fn can_sanitize() -> bool {
    static CAN: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *CAN.get_or_init(|| {
        let (source, executable) = (scratch().join("sanitize.c"), scratch().join("sanitize"));
        fs::write(&source, "int main(void) { return 0; }\n").unwrap();
        let mut compile = compiler(Language::C11);
        compile.args(SANITIZE).arg(&source).arg("-o").arg(&executable);
        let works = |command: &mut Command| command.output().is_ok_and(|o| o.status.success());
        let can = works(&mut compile) && works(&mut Command::new(&executable));
        if !can {
            println!("not run under sanitizers: the compiler here does not have them");
        }
        can
    })
}

/// Runs a command, whose output is shown if it fails.
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn tests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn header_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("include")
}

/// Cargo built the libraries for this test, beside it.
fn library_dir() -> PathBuf {
    let test = env::current_exe().unwrap();
    test.parent().expect("a file is in a folder").to_owned()
}

fn shared_library() -> String {
    format!("{}chatproto_c{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX)
}

fn scratch() -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c");
    fs::create_dir_all(&path).unwrap();
    path
}

/// The vectors in the form that `vectors.c` reads.
fn vectors_as_text() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chatproto/vectors");
    let mut text = String::new();
    for entry in fs::read_dir(folder).expect("the vectors are beside the crate") {
        let file = fs::read(entry.unwrap().path()).unwrap();
        let file: Value = serde_json::from_slice(&file).unwrap();
        for vector in file["vectors"].as_array().unwrap() {
            match file["kind"].as_str().unwrap() {
                "decode" => decode_vector(&mut text, vector),
                "encode" => encode_vector(&mut text, vector),
                _ => {}
            }
        }
    }
    text
}

fn decode_vector(text: &mut String, vector: &Value) {
    let id = vector["id"].as_str().unwrap();
    let max_frame = vector["max_frame"].as_u64().unwrap_or(65536);
    let (strict, end) = (vector["strict"] == true, vector["end"].as_str().unwrap());
    writeln!(text, "decode {id} {max_frame} {strict} {end} {}", hex(&bytes(vector))).unwrap();
    for expected in vector["expect"].as_array().unwrap() {
        if let Some(message) = expected.get("message") {
            writeln!(text, "message {}", strings(message)).unwrap();
        } else if let Some(lengths) = expected.get("message_lengths") {
            let [name, ip, to, msg] = ["name", "ip", "to", "msg"].map(|key| &lengths[key]);
            writeln!(text, "lengths {name} {ip} {to} {msg}").unwrap();
        } else {
            let error = &expected["error"];
            let field = error["field"].as_str().unwrap_or("-");
            let (kind, offset) = (error["kind"].as_str().unwrap(), &error["offset"]);
            writeln!(text, "error {kind} {offset} {field}").unwrap();
        }
    }
    text.push_str("done\n");
}

fn encode_vector(text: &mut String, vector: &Value) {
    let form = |key: &str| hex(vector[key].as_str().unwrap().as_bytes());
    let (id, message) = (vector["id"].as_str().unwrap(), strings(&vector["message"]));
    writeln!(text, "encode {id} {message} {} {}", form("compact"), form("python")).unwrap();
}

fn strings(message: &Value) -> String {
    let from = &message["from"];
    let strings = [&from["name"], &from["ip"], &message["to"], &message["msg"]];
    strings.map(|string| hex(string.as_str().unwrap().as_bytes())).join(" ")
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn bytes(part: &Value) -> Vec<u8> {
    if let Some(text) = part["text"].as_str().or(part["input"].as_str()) {
        text.as_bytes().to_vec()
    } else if let Some(text) = part["hex"].as_str() {
        let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(digit).collect()
    } else if let Some(text) = part["repeat"].as_str() {
        text.repeat(part["times"].as_u64().unwrap() as usize).into_bytes()
    } else {
        part["parts"].as_array().expect("a source of bytes").iter().flat_map(bytes).collect()
    }
}
