"""``python -m chatproto``, as people start it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import LIMIT, Address, Peer, Script, is_waiting, python, wait_until

from chatproto import Client, Server, Timeout
from chatproto.__main__ import _Mistake, _Place, _read_token, _visible


def run(*arguments: str, typed: str = "") -> tuple[int, str, str]:
    """Exit code, output and errors."""
    with python("-m", "chatproto", *arguments) as process:
        out, err = process.communicate(typed, timeout=LIMIT)
        return process.returncode, out, err


def chat(server: Server, *arguments: str, typed: str = "") -> tuple[int, str, str]:
    return run("chat", *arguments, "--port", str(server.address[1]), typed=typed)


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_a_script_chats(server: Server) -> None:
    with Client("bob", *server.address) as bob:
        code, out, err = chat(
            server,
            "alice",
            typed="hello\n\n@bob hi there\r\n/ping pong\n/join #tea\nfor the room\n/who #tea\n"
            "/leave\nfor all\n@#tea x\n@alice \x1b[2J\n/quit\nunread\n",
        )
        assert (code, err) == (1, "chatproto: the server answered one line with an error\n")
        assert out.splitlines() == [
            "SERVER → alice: Welcome, alice! Send /help to see the commands. Online (1): bob",
            "SERVER → alice: Delivered to 1 user.",
            "SERVER → alice: pong",
            "SERVER → alice: Joined #tea. You are its only member.",
            "SERVER → alice: Members of #tea (1): alice",
            "SERVER → alice: Left #tea.",
            "SERVER → alice: Delivered to 1 user.",
            'SERVER → alice: ❌ You are not in "#tea". Send /join with its name first.',
            "alice → alice: \\u{1b}[2J",
        ]
        received = [(bob.recv(LIMIT).to, text) for text in ("hello", "hi there", "for all")]
        assert [to for to, _ in received] == ["Everyone", "bob", "Everyone"]


def test_the_end_of_input_waits_for_all_answers(server: Server) -> None:
    code, out, err = chat(server, "alice", typed="".join(f"@alice {n}\n" for n in range(2000)))
    assert (code, err) == (0, "")
    assert out.splitlines()[1:] == [f"alice → alice: {number}" for number in range(2000)]


def test_what_cannot_be_sent_is_told(server: Server) -> None:
    code, out, err = chat(server, "alice", typed=f"/time\n@bob\n@alice {'x' * 70_000}\n/time\n")
    assert code == 1
    assert out.count("Server time") == 2
    lines = err.splitlines()
    assert lines[0].startswith("chatproto: line 2 was not sent: a message to one user or room has")
    assert lines[1].startswith("chatproto: line 3 was not sent: a message of 70")
    assert lines[1].endswith(
        "is longer than the limit of 65536 bytes (--max-frame): send less text, or raise "
        "--max-frame on both sides"
    )
    assert len(lines) == 2


def test_a_terminal_of_another_encoding(server: Server) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = pipe(server, "@alice 👩\u200d💻 café".encode(), ascii_only)
    assert (done.returncode, done.stderr) == (0, b"")
    # a terminal that can show nothing but ASCII
    last = done.stdout.splitlines()[-1]
    assert last == rb"alice \u2192 alice: \U0001f469\u200d\U0001f4bb caf\xe9"


def pipe(
    server: Server, typed: bytes, environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "chatproto", "chat", "alice", "--port", str(server.address[1])],
        input=typed,
        capture_output=True,
        timeout=LIMIT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **(environment or {})},
    )


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (b"hello\r\nsecond\r\n@bob gr\xfc\xdfe\r\n", "line 3 is not UTF-8"),
        (b"\xff\n" + b"x\n" * 100_000, "line 1 is not UTF-8"),
        (b"x\n" * 100_000 + b"caf\xc3", "line 100001 is not UTF-8"),
        (b"\xef\xbb\xbf\n\xed\xa0\x80", "line 2 is not UTF-8"),
        (
            "@bob hi\n".encode("utf-16"),
            "line 1 is not UTF-8 (it looks like UTF-16: save it as UTF-8)",
        ),
    ],
    ids=range(5),
)
def test_a_file_in_another_encoding_is_not_sent(server: Server, typed: bytes, said: str) -> None:
    with Client("bob", *server.address) as bob:
        done = pipe(server, typed)
        expected = f"chatproto: standard input was not sent from here on: {said}\n"
        assert (done.returncode, done.stderr.decode()) == (1, expected)
        assert done.stdout.count(b"\n") == 1, "the welcome"
        with pytest.raises(Timeout):
            bob.recv(timeout=0)


def test_what_was_sent_before_bytes_that_are_not_utf_8_is_answered(server: Server) -> None:
    with python("-m", "chatproto", "chat", "alice", "--port", str(server.address[1])) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stderr is not None
        assert first_line(process).startswith("SERVER → alice: Welcome")
        process.stdin.write("/ping one\n")
        process.stdin.flush()
        assert first_line(process) == "SERVER → alice: one\n"
        os.write(process.stdin.fileno(), b"/ping two\n/ping \xff\n")
        process.stdin.close()
        assert process.wait(LIMIT) == 1
        assert process.stdout.read() == ""
        assert process.stderr.read() == (
            "chatproto: standard input was not sent from here on: line 3 is not UTF-8\n"
        )


def test_a_byte_order_mark_is_no_text(server: Server) -> None:
    with Client("bob", *server.address) as bob:
        done = pipe(server, "\ufeff@bob private\n\ufeff@bob is text\n".encode())
        assert (done.returncode, done.stderr) == (0, b"")
        received = [(message.to, message.msg) for message in (bob.recv(LIMIT), bob.recv(LIMIT))]
        assert received == [("bob", "private"), ("Everyone", "\ufeff@bob is text")]


def test_input_that_cannot_be_read_is_an_error(server: Server, tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    done = subprocess.run(
        [sys.executable, "-m", "chatproto", "chat", "alice", "--port", str(server.address[1])],
        stdin=folder,
        capture_output=True,
        timeout=LIMIT,
        text=True,
    )
    os.close(folder)
    # the interpreter itself may refuse to start
    assert done.returncode != 0
    assert "is a directory" in done.stderr.lower()


@pytest.mark.parametrize(
    "join",
    [
        "/join tea",
        "/join",
        "/JOIN #tea",
        '/join "#a b',
        '/join "#a" b',
        '/join #a "b"',
        "/join #",
        "/join#tea",
        "/ join #tea",
        "/to bob",
        "/TO #tea",
    ],
)
def test_what_is_for_a_place_that_cannot_be_had_goes_to_nobody(server: Server, join: str) -> None:
    with Client("bob", *server.address) as bob:
        code, _, err = chat(
            server, "alice", typed=f"{join}\nsecret\n//secret\n@bob seen\n/to everyone\nhello\n"
        )
        received = [(message.to, message.msg) for message in (bob.recv(LIMIT), bob.recv(LIMIT))]
        assert received == [("bob", "seen"), ("Everyone", "hello")]
    assert code == 1
    for line in (2, 3):
        assert f"line {line} was not sent: where it goes is not known" in err
    assert "line 5 was not sent" not in err


@pytest.mark.parametrize("join", ["/join\t#tea", "/join #tea 20", "/join #tea", '/join "#tea"\t+5'])
def test_what_is_for_a_room_goes_there(server: Server, join: str) -> None:
    with Client("bob", *server.address) as bob:
        bob.request("/join", "#tea")
        chat(server, "alice", typed=f"{join}\nhello\n")
        texts = [bob.recv(LIMIT) for _ in range(3)]
        assert [(each.to, each.msg) for each in texts][1] == ("#tea", "hello")


def test_a_room_that_the_server_refuses(server: Server) -> None:
    with Client("bob", *server.address) as bob:
        code, out, err = chat(server, "alice", typed="/join #a,b\nsecret\n")
        assert (code, err) == (1, "chatproto: the server answered 2 lines with an error\n")
        assert "❌ Not joined" in out
        with pytest.raises(Timeout):
            bob.recv(timeout=0)


def test_ctrl_c_leaves_quietly(server: Server) -> None:
    with python("-m", "chatproto", "chat", "alice", "--port", str(server.address[1])) as process:
        assert first_line(process).startswith("SERVER → alice: Welcome")
        wait_until(lambda: is_waiting(process.pid))
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT) == 0
        assert process.stderr is not None and process.stderr.read() == ""
    wait_until(lambda: server.users() == [])


def test_a_reader_that_has_seen_enough(server: Server) -> None:
    with python("-m", "chatproto", "chat", "alice", "--port", str(server.address[1])) as process:
        assert first_line(process).startswith("SERVER → alice: Welcome")
        assert process.stdout is not None and process.stdin is not None
        process.stdout.close()
        process.stdin.write("/time\n")
        process.stdin.flush()
        assert process.wait(LIMIT) == 0
        assert process.stderr is not None and process.stderr.read() == ""


def test_a_server_that_closes_is_told() -> None:
    with Server(port=0) as server:
        with python(
            "-m", "chatproto", "chat", "alice", "--port", str(server.address[1])
        ) as process:
            assert first_line(process).startswith("SERVER → alice: Welcome")
            server.stop()
            assert process.wait(LIMIT) == 1
            assert process.stderr is not None
            assert process.stderr.read() == (
                "chatproto: the server has closed the connection: start again to go on\n"
            )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["chat", "a,b"], 1, "choose another name"),
        (["chat", "alice", "--host", "a..b"], 1, "is the host's name right?"),
        (["chat", "alice", "--port", "0"], 2, "0 is not from 1 to 65535"),
        (["chat"], 2, "required: NAME"),
        ([], 2, "required: COMMAND"),
        (["sing"], 2, "invalid choice"),
        (["serve", "--rate", "x"], 2, "--rate"),
        (["serve", "--max-frame", "1"], 2, "1 is not from 128"),
        (["serve", "--registration", "-1"], 2, "a number of seconds"),
        (["serve", "--admin-token-file", "missing"], 2, "cannot read the admin token in missing"),
        (["chat", "alice", "--host", "1.2"], 2, "expected an IPv4 address of four numbers"),
        (["serve", "--host", "0", "--port", "0"], 2, "expected an IPv4 address of four numbers"),
        (["chat", "alice", "--tls-ca", "missing"], 1, "--tls-ca: cannot read missing: no such file"),
        (
            ["serve", "--tls-cert", "tls_cert.pem", "--tls-key", "x"],
            1,
            "--tls-cert: cannot read tls_cert.pem: no such file",
        ),
        (["chat", "alice", "--tls-ca", "a", "--tls-fingerprint", "b"], 2, "--tls-ca and --tls-fing"),
        (["serve", "--host", "192.0.2.1", "--port", "0"], 1, "cannot listen on 192.0.2.1"),
    ],
)
def test_mistakes_are_one_sentence(arguments: list[str], code: int, said: str) -> None:
    actual, out, err = run(*arguments)
    assert (actual, out) == (code, "")
    *_, sentence = err.splitlines()
    assert said in sentence
    assert "Traceback" not in err


def test_an_empty_admin_token_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" \n")
    code, _, err = run("serve", "--port", "0", "--admin-token-file", str(tmp_path / "token"))
    assert code == 2
    assert "there is no admin token in" in err


def test_an_admin_token_is_utf_8_with_or_without_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"\xef\xbb\xbflet me in\r\n")
    assert _read_token(str(path)) == "let me in"
    path.write_bytes(b"\xff\xfel\0")
    with pytest.raises(_Mistake, match=f"--admin-token-file: .* in {path} is not UTF-8"):
        _read_token(str(path))


def test_nobody_listens() -> None:
    with Server(port=0) as server:
        port = str(server.address[1])
        code, _, err = run("serve", "--port", port)
        assert code == 1
        assert "is another server running?" in err
    code, _, err = run("chat", "alice", "--port", port)
    assert code == 1
    assert "is a server running there? `python -m chatproto serve` starts one" in err


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Address]:
    (tmp_path / "token").write_text("let me in\n")
    options = ["--port", "0", "--announce", "--rate", "off", "--threads", "1"]
    token = ["--admin-token-file", str(tmp_path / "token")]
    with python("-m", "chatproto", "serve", *options, *token) as process:
        listening = re.fullmatch(r"listening on (\S+):(\d+)\n", first_line(process))
        assert listening is not None
        yield listening[1], int(listening[2])
        process.send_signal(request.param)
        assert process.wait(LIMIT) == 0
        assert process.stderr is not None and process.stderr.read() == ""


def test_serve(served: Address) -> None:
    with Client("alice", *served) as alice:
        assert alice.request("/admin", "let me in")[0].msg == "You are an admin now."
        with Client("bob", *served):
            assert alice.recv(LIMIT).msg == "bob joined."
        assert alice.recv(LIMIT).to == "Everyone"


def test_it_can_be_asked_for_help() -> None:
    for arguments in (["--help"], ["serve", "--help"], ["chat", "--help"], ["--version"]):
        code, out, err = run(*arguments)
        assert (code, err) == (0, "")
        assert "chatproto" in out


def test_where_lines_go() -> None:
    place = _Place()
    for line, sent in [
        ("hello ", ("/shout", "hello ")),
        ("  ", None),
        ("//list is a command", ("/shout", "/list is a command")),
        ("@bob  hi there ", ("bob", "hi there")),
        ('@"alice smith" hi', ("alice smith", "hi")),
        ('@"a"" b" "hi"', ('a" b', '"hi"')),
        ("@#tea hi", ("#tea", "hi")),
        ("/list", ("/list", "")),
        ("/kick bob  too loud", ("/kick", "bob  too loud")),
        ("/leave tea", ("/leave", "tea")),
        ("hello", ("/shout", "hello")),
        ('/shout "hi', ("/shout", '"hi')),
        ("@bob\thi", ("bob", "hi")),
        ("/to #tea", None),
        ("hello", ("#tea", "hello")),
        ("/to", None),
        ("hello", ("/shout", "hello")),
        ("/joinery", ("/joinery", "")),
        ("/to-do x", ("/to-do", "x")),
        ("hello", ("/shout", "hello")),
        ("/join #tea 20", ("/join", "#tea 20")),
        ("hello", ("#tea", "hello")),
        ("/join #tea 99999999999999999999999", ("/join", "#tea 99999999999999999999999")),
        ("hello", ("#tea", "hello")),
        ('/join "#tea 20"', ("/join", '"#tea 20"')),
        ("hello", ("#tea 20", "hello")),
        ("/join tea", ("/join", "tea")),
        ("/join #green tea", ("/join", '"#green tea"')),
        ("hello", ("#green tea", "hello")),
        ("/leave #other", ("/leave", "#other")),
        ("hello", ("#green tea", "hello")),
        ("/leave", ("/leave", '"#green tea"')),
        ("hello", ("/shout", "hello")),
        ("/leave", ("/leave", "")),
        ('/join "#tea"', ("/join", "#tea")),
        ("#work x", ("#tea", "#work x")),
        ("/leave #tea", ("/leave", "#tea")),
        ('/join "#a ""b""" 5', ("/join", '"#a ""b""" 5')),
        ("/leave", ("/leave", '"#a ""b"""')),
        ("hello", ("/shout", "hello")),
    ]:
        assert place.typed(line) == sent, line
    for line in ("@", "@bob", "@ hi", "@# hi", "/", '@"bob', '@"a" b" x', '@"a"b x', "/ list"):
        with pytest.raises(_Mistake):
            place.typed(line)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("grüße 你好 👋🏽 \u00a0", "grüße 你好 👋🏽 \u00a0"),
        ("👩\u200d💻 می\u200cخواهم", "👩\u200d💻 می\u200cخواهم"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31mred\x07\x9b\x7f\0", "\\u{1b}[31mred\\u{7}\\u{9b}\\u{7f}\\u{0}"),
        ("abc\u202efed\u2028\ufeff", "abc\\u{202e}fed\\u{2028}\\u{feff}"),
        ("ali\u200dce é\u200d\u200dé", "ali\\u{200d}ce é\\u{200d}\\u{200d}é"),
    ],
)
def test_nothing_controls_the_terminal(text: str, shown: str) -> None:
    assert _visible(text) == shown


def test_a_server_cannot_either(scripted: Callable[[Script], Address]) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        peer.say("\x1b]0;x\x07")

    _, port = scripted(script)
    code, out, _ = run("chat", "alice", "--port", str(port))
    assert out.splitlines()[1] == "SERVER → alice: \\u{1b}]0;x\\u{7}"
    assert "\x1b" not in out
    assert code in (0, 1), "whoever of the two closes first"
