//! The Python package as its users get it: a wheel is built and installed into a fresh virtual
//! environment under `target/`, and the package's own tests run there, with its types checked. Then
//! it talks with a program in C and one in Rust.
//!
//! Needs Python 3.11 or later with `venv`, and a C compiler; what else the tests use is installed by
//! pip.

#[path = "../../chatproto/tests/support/gateway.rs"]
mod gateway;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// The package from the index that builds the wheel.
const BUILDER: [&str; 1] = ["maturin>=1.16,<2"];
/// The packages from the index that the tests use. They are installed while the wheel is built.
const TOOLS: [&str; 5] = [
    "pytest>=9,<10",
    "pytest-xdist>=3.8,<4",
    "hypothesis>=6,<7",
    "mypy>=2,<3",
    "websockets>=17,<18",
];
const OLDEST: (u32, u32) = (3, 11);

#[test]
fn the_package_works_in_a_fresh_environment() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let build = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let environment = build.join("venv");
    // nothing of an earlier run may hide what is missing now
    let _ = std::fs::remove_dir_all(&environment);
    let python = find_python();
    run(Command::new(&python).args(["-m", "venv"]).arg(&environment), INSTALL);
    let python = in_environment(&environment, "python");
    let pip = || {
        let mut command = Command::new(&python);
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        command
    };
    let reachable = "the package index must be reachable";
    run(pip().args(BUILDER), reachable);

    let wheels = build.join("wheels");
    let _ = std::fs::remove_dir_all(&wheels);
    let mut maturin = Command::new(in_environment(&environment, "maturin"));
    maturin
        .args(["build", "--profile", "dev", "--locked", "--quiet", "--interpreter"])
        .arg(&python);
    maturin.arg("--out").arg(&wheels).arg("--target-dir").arg(build.join("target"));
    at_once(
        || run(maturin.current_dir(package), "the wheel must build"),
        || run(pip().args(TOOLS), reachable),
    );
    let wheel = std::fs::read_dir(&wheels).unwrap().next().expect("a wheel").unwrap().path();
    run(pip().arg(wheel), "the wheel must install");
    let mut maturin = Command::new(in_environment(&environment, "maturin"));
    maturin.args(["sdist", "--out"]).arg(&wheels);
    run(maturin.current_dir(package), "the source distribution must build");

    // from another directory, so that what is installed is what is imported
    let python = |arguments: &[&str]| {
        let mut command = Command::new(&python);
        command.args(arguments).current_dir(&build).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    };
    let path = |name: &str| package.join(name).to_str().expect("a path in UTF-8").to_owned();
    let tests = path("tests");
    let options = format!("--rootdir={}", package.display());
    // tests/test_package.py looks into it
    let sdist = std::fs::read_dir(&wheels)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "gz"))
        .expect("a source distribution");
    let pytest = [
        "-m",
        "pytest",
        "--quiet",
        // most tests wait for something, so several processes run them in a third of the time
        "--numprocesses=4",
        "-p",
        "no:cacheprovider",
        "-c",
        &path("pyproject.toml"),
        &options,
        &tests,
    ];
    let mut pytest = python(&pytest);
    pytest.env("CHATPROTO_SDIST", sdist);
    at_once(
        || run(&mut pytest, "the package's own tests must pass"),
        || check_types(&path, &build.join("mypy"), &python),
    );
    talk(python);
}

/// Checks the stubs against the module, and the types of the package and its examples.
fn check_types(path: &impl Fn(&str) -> String, cache: &Path, python: &impl Fn(&[&str]) -> Command) {
    let config = path("pyproject.toml");
    run(
        &mut python(&["-m", "mypy.stubtest", "chatproto", "--mypy-config-file", &config]),
        "the stubs must say what the module is",
    );
    let (source, examples) = (path("python/chatproto"), path("examples"));
    let (config, cache) =
        (format!("--config-file={config}"), format!("--cache-dir={}", cache.display()));
    run(
        &mut python(&["-m", "mypy", "--strict", &config, &cache, &source, &examples]),
        "the package and its examples must have the right types",
    );
}

/// Runs two steps at the same time, because each of them leaves a core idle.
fn at_once(first: impl FnOnce(), second: impl FnOnce() + Send) {
    thread::scope(|scope| {
        scope.spawn(second);
        first();
    });
}

/// Asks the Rust client for a word with both kinds of Python's, and has a word go round.
const TALK: &str = r##"
import asyncio, sys
import chatproto, chatproto.aio

port, url = int(sys.argv[1]), sys.argv[2]
with chatproto.Client("python", port=port) as client:
    client.send("rust", "h\u00e9 \U0001f600")
    answer = client.recv(timeout=60)
    assert (answer.sender, answer.msg) == ("rust", "python: h\u00e9 \U0001f600"), answer
    client.send("c", "\u017elu\u0165, Python")
    answer = client.recv(timeout=60)
    assert (answer.sender, answer.msg) == ("rust", "\u017elu\u0165, Python, C, Rust"), answer

async def talk():
    async with chatproto.aio.Client("snake", url=url) as client:
        await client.request("/join", "#tea")
        await client.send("rust", "join")
        answer = await client.recv(timeout=60)
        assert answer.msg == "rust joined." and answer.to == "#tea", answer
        answer = await client.recv(timeout=60)
        assert (answer.sender, answer.to, answer.msg) == ("rust", "#tea", "hello"), answer

asyncio.run(talk())

with chatproto.Client("python", url=url) as client:
    assert client.request("/whoami")[0].msg.startswith("You are python")
    client.send("python", "\u017elu\u0165 " * 5_000)
    assert len(client.recv(timeout=60).msg) == 25_000
"##;

/// A Python program, one in C and one in Rust in one conversation, on a server in Rust, over TCP and WebSocket.
fn talk(python: impl Fn(&[&str]) -> Command) {
    let server = chatproto::Server::builder().bind(([127, 0, 0, 1], 0)).unwrap();
    let (address, handle) = (server.local_addr(), server.handle());
    let running = thread::spawn(move || server.run());
    let url = gateway::url(gateway::start(&handle));
    let mut rust = chatproto::Client::connect(address, "rust").unwrap();
    let mut c = Command::new(compile_c_program())
        .args([&*url, "c", "rust"])
        .spawn()
        .expect("it was just compiled");
    while handle.online() < 2 {
        assert_eq!(c.try_wait().unwrap(), None, "the program in C could not join");
        thread::sleep(Duration::from_millis(5));
    }
    let port = address.port().to_string();
    let mut talk = python(&["-W", "error", "-c", TALK, &port, &url]);
    let program = thread::scope(|scope| {
        let ended = scope.spawn(move || run(&mut talk, "they must understand each other"));
        let patience = Duration::from_secs(60);
        let message = rust.recv_timeout(patience).unwrap();
        rust.send("python", &format!("{}: {}", message.from.name, message.msg)).unwrap();
        let message = rust.recv_timeout(patience).unwrap();
        assert_eq!(message.from.name, "c");
        rust.send("python", &format!("{}, Rust", message.msg)).unwrap();
        assert_eq!(rust.recv_timeout(patience).unwrap().msg, "join");
        rust.send("/join", "#tea").unwrap();
        rust.send("#tea", "hello").unwrap();
        ended.join()
    });
    let c = c.wait();
    handle.stop();
    running.join().unwrap().unwrap();
    program.unwrap();
    assert!(c.unwrap().success());
}

/// The program with which the C library's own tests talk, linked with the library, which Cargo built
/// beside this test.
fn compile_c_program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let libraries = test.parent().expect("a file is in a folder");
    let c = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chatproto-c");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("talk");
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-pthread", "-I"]);
    compiler.arg(c.join("include")).arg(c.join("tests/talk.c"));
    compiler.arg(libraries.join("libchatproto_c.a")).args(["-ldl", "-lm", "-o"]).arg(&program);
    run(&mut compiler, "please install a C compiler");
    program
}

const INSTALL: &str = "please install Python 3.11 or later with its venv module (Debian and Ubuntu: \
    apt install python3 python3-venv)";

/// The first interpreter that is new enough.
fn find_python() -> PathBuf {
    let is_new_enough = |name: &&str| {
        let program = format!("import sys; sys.exit(sys.version_info < {OLDEST:?})");
        let status = Command::new(name).args(["-c", &program]).status();
        status.is_ok_and(|status| status.success())
    };
    let names = ["python3", "python", "python3.14", "python3.13", "python3.12", "python3.11"];
    names.into_iter().find(is_new_enough).map(PathBuf::from).unwrap_or_else(|| panic!("{INSTALL}"))
}

fn in_environment(environment: &Path, program: &str) -> PathBuf {
    if cfg!(windows) {
        environment.join("Scripts").join(program).with_extension("exe")
    } else {
        environment.join("bin").join(program)
    }
}

/// Runs a command, whose output is shown if it fails.
fn run(command: &mut Command, sentence: &str) {
    // what this test runs under is not what it tests
    for variable in ["PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX"] {
        command.env_remove(variable);
    }
    let output = command.output().unwrap_or_else(|error| panic!("{sentence}: {error}"));
    assert!(
        output.status.success(),
        "{sentence}: {command:?} failed\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
