"""The conformance vectors, which every implementation passes."""

import json
from pathlib import Path
from typing import Any

import pytest

import chatproto
from chatproto import DecodeError, Decoder, Message, NameRefused
from chatproto._chatproto import Session

VECTORS = Path(__file__).resolve().parents[2] / "chatproto" / "vectors"


def vectors(kind: str) -> list[Any]:
    """The vectors of a kind, as parameters of a test."""
    files = [json.loads(path.read_text(encoding="utf-8")) for path in VECTORS.glob("*.json")]
    of_kind = [vector for file in files if file["kind"] == kind for vector in file["vectors"]]
    return [pytest.param(vector, id=vector["id"]) for vector in of_kind]


def input_of(vector: dict[str, Any]) -> bytes:
    """The bytes that a vector is about."""
    if "parts" not in vector:
        return part_of({"text": vector["input"]} if "input" in vector else vector)
    return b"".join(part_of(part) for part in vector["parts"])


def part_of(part: dict[str, Any]) -> bytes:
    if "repeat" in part:
        text: str = part["repeat"]
        return text.encode() * int(part["times"])
    if "hex" in part:
        return bytes.fromhex(part["hex"])
    return str(part["text"]).encode()


def outcomes(decoder: Decoder, parts: list[bytes]) -> tuple[list[Any], str]:
    """What a decoder makes of a stream, as the vectors spell it."""
    found: list[Any] = []
    for part in parts:
        decoder.push(part)
        while True:
            try:
                message = next(decoder)
            except StopIteration:
                break
            except DecodeError as error:
                found.append(error)
                if error.is_framing:
                    return found, "failed"
            else:
                found.append(message)
    try:
        decoder.finish()
    except DecodeError:
        return found, "incomplete"
    return found, "complete"


def is_as_expected(found: Any, expected: dict[str, Any]) -> bool:
    if "error" in expected:
        error = expected["error"]
        spelled = (error["class"], error["kind"], error["offset"], error["field"])
        return isinstance(found, DecodeError) and spelled == (
            "framing" if found.is_framing else "schema",
            found.kind,
            found.offset,
            found.field,
        )
    if not isinstance(found, Message):
        return False
    if "message" in expected:
        return bool(found.to_dict() == expected["message"])
    strings = {"name": found.sender, "ip": found.ip, "to": found.to, "msg": found.msg}
    lengths = {key: len(text.encode()) for key, text in strings.items()}
    return bool(lengths == expected["message_lengths"])


@pytest.mark.parametrize("vector", vectors("decode"))
def test_decode(vector: dict[str, Any]) -> None:
    data = input_of(vector)
    options = {"max_frame": vector.get("max_frame"), "strict": vector.get("strict", False)}
    whole = [data]
    halves = [data[: len(data) // 2], data[len(data) // 2 :]]
    bytewise = [data[at : at + 1] for at in range(len(data))] if len(data) < 2_000 else []
    for parts in (whole, halves, bytewise):
        if parts:
            found, end = outcomes(Decoder(**options), parts)
            assert end == vector["end"]
            assert len(found) == len(vector["expect"]), found
            for outcome, expected in zip(found, vector["expect"], strict=True):
                assert is_as_expected(outcome, expected), (outcome, expected)


@pytest.mark.parametrize("vector", vectors("encode"))
def test_encode(vector: dict[str, Any]) -> None:
    made = Message.from_dict(vector["message"])
    assert chatproto.encode(made).decode() == vector["compact"] + "\n"
    assert json.dumps(made.to_dict()) == vector["python"]


@pytest.mark.parametrize("vector", vectors("name"))
def test_name(vector: dict[str, Any]) -> None:
    try:
        name = input_of(vector).decode()
    except UnicodeDecodeError:
        assert vector["refused"] == "invalid-utf8"
        return
    if "refused" in vector:
        with pytest.raises(NameRefused):
            Session(name)
    else:
        assert Session(name).name == vector["name"]


def test_there_are_vectors() -> None:
    assert len(vectors("decode")) > 400
