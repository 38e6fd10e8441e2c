"""The programs in the README run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from chatproto import Server

README = Path(__file__).resolve().parents[1] / "README.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_there_are_programs() -> None:
    assert len(PROGRAMS) == 5


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program: str) -> None:
    with Server(port=0) as server:
        # the programs speak to the default port, which somebody else may have here
        port = server.address[1]
        other = program.replace('Client("alice")', f'Client("alice", port={port})')
        other = other.replace('Client("robot")', f'Client("robot", port={port})')
        command = [sys.executable, "-W", "error", "-c", other]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 and not done.stderr, done.stderr
