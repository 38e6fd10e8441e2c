"""The stub says what the compiled module is: to type checkers, and to ``help()``."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from chatproto import _chatproto

STUB = Path(_chatproto.__file__).parent / "_chatproto.pyi"


def docstrings(node: ast.Module | ast.ClassDef, path: str = "") -> dict[str, str]:
    """The docstring of everything in the stub that has one."""
    found = {}
    for each in node.body:
        if isinstance(each, (ast.ClassDef, ast.FunctionDef)):
            name = f"{path}{each.name}"
            if (text := ast.get_docstring(each)) is not None:
                found[name] = text
            if isinstance(each, ast.ClassDef):
                found.update(docstrings(each, f"{name}."))
    return found


DOCSTRINGS = docstrings(ast.parse(STUB.read_text(encoding="utf-8")))


def test_there_are_docstrings() -> None:
    assert len(DOCSTRINGS) > 40
    assert {"Server.stop", "Message.sender", "Decoder.feed", "encode"} <= set(DOCSTRINGS)


@pytest.mark.parametrize("name", DOCSTRINGS)
def test_help_shows_the_text_of_the_stub(name: str) -> None:
    found: object = _chatproto
    for part in name.split("."):
        found = getattr(found, part)
    assert inspect.getdoc(found) == DOCSTRINGS[name]


def test_everything_public_is_documented() -> None:
    def names(owner: ModuleType | type, path: str = "") -> set[str]:
        found = set()
        for name, value in vars(owner).items():
            is_documentable = callable(value) or inspect.isdatadescriptor(value)
            if is_documentable and not name.startswith("_"):
                found.add(f"{path}{name}")
                if isinstance(value, type):
                    found |= names(value, f"{path}{name}.")
        return found

    assert names(_chatproto) <= set(DOCSTRINGS)


PROGRAM = """
from pathlib import Path
from typing import assert_type

from chatproto import Client, Message, Server


def texts(message: Message) -> str:
    match message:
        case Message(sender, to, msg, ip):
            assert_type(sender, str)
            return sender + to + msg + ip


server = Server(tls_cert=Path("cert.pem"), tls_key=Path("key.pem"))
client = Client("alice", tls=None, tls_ca=Path("ca.pem"), max_frame=1 << 20, max_queue=100)
client.send("bob", "hi", timeout=1.5)
client.close(timeout=None)
client.abort()
"""


def test_a_type_checker_knows_patterns_and_paths(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_paths_are_taken(tmp_path: Path) -> None:
    from chatproto import Server

    server = Server(port=0, tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem")
    with pytest.raises(OSError, match="cert.pem"):
        server.start()
