"""The examples, run as they are."""

import signal
import subprocess
from pathlib import Path

from conftest import LIMIT, python

from chatproto import Client, Server

EXAMPLES = Path(__file__).parent.parent / "examples"


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def end(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT) == 0
    assert process.stderr is not None and process.stderr.read() == ""


def test_client(server: Server) -> None:
    host, port = server.address
    with Client("bob", host, port) as bob:
        with python(str(EXAMPLES / "client.py"), "carol", host, str(port)) as example:
            assert line(example).startswith("Welcome, carol!")
            message = bob.recv(LIMIT)
            assert (message.sender, message.msg) == ("carol", "hello, everybody")
            assert line(example) == "SERVER: Delivered to 1 user."
            bob.send("carol", "hi")
            assert line(example) == "bob: hi"
            end(example)


def test_bot(server: Server) -> None:
    host, port = server.address
    with python(str(EXAMPLES / "bot.py"), "robot", host, str(port)) as example:
        assert line(example).startswith("Welcome, robot!")
        assert line(example) == "Joined #tea. You are its only member."
        with Client("bob", host, port) as bob:
            bob.send("robot", "how long is this?")
            assert bob.recv(LIMIT).msg == "that is 4 words."
            bob.request("/join", "#tea")
            bob.send("#tea", "robot?")
            message = bob.recv(LIMIT)
            assert (message.sender, message.to, message.msg) == ("robot", "#tea", "that is 1 word.")
            end(example)


def test_server() -> None:
    with python(str(EXAMPLES / "server.py"), "127.0.0.1", "0") as example:
        _, _, port = line(example).rpartition(":")
        with Client("bob", "127.0.0.1", int(port)) as bob:
            assert bob.request("/ticket")[0].msg == "bob, you are number 1."
            assert bob.request("/ticket")[0].msg == "bob, you are number 2."
            assert bob.request("/dice", "1")[0].msg == "bob rolls 1."
            assert bob.request("/dice", "0")[0].msg.startswith("❌ a die has at least one side")
            assert "/dice" in bob.request("/help")[0].msg
        end(example)


def test_all_of_them_are_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"client.py", "bot.py", "server.py"}
