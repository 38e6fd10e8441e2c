"""What the wheel and the source distribution contain, beside the code."""

import os
import tarfile
from collections.abc import Callable
from importlib.metadata import distribution

import pytest

LICENCES = {"LICENSE-MIT": "MIT License", "LICENSE-APACHE": "Apache License"}


def in_wheel(name: str) -> str:
    found = distribution("chatproto").read_text(f"licenses/{name}")
    assert found is not None
    return found


def in_sdist(name: str) -> str:
    if (sdist := os.environ.get("CHATPROTO_SDIST")) is None:
        pytest.skip("there is no source distribution: cargo test -p chatproto-py makes one")
    with tarfile.open(sdist) as archive:
        root = archive.getnames()[0].partition("/")[0]
        file = archive.extractfile(f"{root}/{name}")
        assert file is not None
        return file.read().decode()


@pytest.mark.parametrize("read", [in_wheel, in_sdist])
@pytest.mark.parametrize("name", LICENCES)
def test_the_licences_are_in_the_package(read: Callable[[str], str], name: str) -> None:
    text = read(name)
    assert LICENCES[name] in text and len(text.splitlines()) > 15
    assert name in (distribution("chatproto").metadata.get_all("License-File") or [])
