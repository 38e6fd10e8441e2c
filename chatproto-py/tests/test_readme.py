"""The programs in the README, and the one in the project's that needs the package, run as they
stand there.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from chatproto import Server

PACKAGE = Path(__file__).resolve().parents[1]


def programs(readme: Path) -> list[str]:
    """The programs in a README that use the package."""
    text = readme.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return [block for block in blocks if "chatproto" in block and "import socket" not in block]


PROGRAMS = programs(PACKAGE / "README.md") + programs(PACKAGE.parent / "README.md")


READMES = [PACKAGE.parent / name for name in ("README.md", "chatproto/README.md")]
READMES += [PACKAGE / "README.md", PACKAGE.parent / "chatproto-c" / "README.md"]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nobody_is_sent_to_the_package_of_another_project(readme: Path) -> None:
    """What is installed by its name alone is somebody else's. Ours is installed from a path."""
    text = readme.read_text(encoding="utf-8")
    installed = re.findall(r"\b(?:pip3? install|cargo add|cargo install)((?: +[^\s`]+)+)", text)
    paths = 0
    for arguments in installed:
        if "chatproto" in arguments or "server-example" in arguments:
            assert re.search(r" '?\./| --path | dist/", arguments), arguments
            paths += 1
    assert paths > 0 or readme.parent.name == "chatproto-c"


def test_there_are_programs() -> None:
    assert len(PROGRAMS) == 6


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
