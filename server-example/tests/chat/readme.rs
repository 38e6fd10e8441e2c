//! The programs in the README run as they are printed there.

use std::path::Path;
use std::process::Command;

use crate::common::{Program, TestServer};

/// The fenced blocks of that language in the project's README.
fn blocks(language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let start = format!("```{language}\n");
    text.split(&start).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_python_program_talks_to_the_server() {
    let server = TestServer::start(&[]);
    // the second one needs the package, whose own tests run it
    let [program, _, _] = &blocks("python")[..] else { panic!("three Python programs") };
    let printed = run_ten_lines(program, server.address.port());
    let [welcome, delivered] = &printed.lines().collect::<Vec<_>>()[..] else {
        panic!("{printed}")
    };
    assert!(welcome.contains("Welcome, robot!"), "{welcome}");
    assert_eq!(*delivered, "Delivered to 0 users.");
}

/// The output of a program of at most ten lines, which connects to that port instead of its own.
fn run_ten_lines(program: &str, port: u16) -> String {
    assert!(program.contains("65432"));
    let program = program.replace("65432", &port.to_string());
    let lines = program.lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= 10, "ten lines, not {lines}");
    let ran = Command::new("python3").arg("-c").arg(program).output().expect("Python 3 is there");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn the_echo_in_python_passes_the_trials_of_a_client() {
    let [_, _, program] = &blocks("python")[..] else { panic!("three Python programs") };
    let mut check = Program::start(&["check", "--client", "--listen", "127.0.0.1:0"]);
    let line = check.error_with("listening on ");
    let port = line.rsplit(':').next().unwrap().parse().unwrap();
    for _ in 0..3 {
        assert_eq!(run_ten_lines(program, port), "");
    }
    let (code, output, errors) = check.end();
    assert_eq!(code, Some(0), "{output:?} {errors:?}");
    let last = output.last().unwrap();
    assert!(last.contains(" 0 failed, 1 noted, ") && last.ends_with(" 0 untried"), "{last}");
}

#[test]
fn the_rust_program_is_the_one_that_the_library_compiles() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chatproto/README.md");
    let compiled = std::fs::read_to_string(path).unwrap();
    let [program] = &blocks("rust")[..] else { panic!("one Rust program") };
    assert!(compiled.contains(program.as_str()), "{program}");
}

#[test]
fn the_shell_line_is_one_that_works() {
    let server = TestServer::start(&[]);
    let mut chat = server.chat("robot", &[]);
    chat.type_line("@bob hi");
    chat.type_line("/time");
    chat.close_input();
    chat.line_with("Server time: ");
}
