"""``chatproto.utils``: what existing programs import, compared with Python's own ``json``."""

import ipaddress
import json
import math
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatproto import Client, Server, decode, utils

# lone surrogates included, as in Python's own strings
ANY_TEXT = st.text(st.characters())
MESSAGE = {"from": {"name": "a", "ip": "b"}, "to": "c", "msg": "d"}
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
)


def outcome(function: Any, data: Any) -> object:
    """What a call comes to, in a form that can be compared."""
    try:
        value = function(data)
    except (ValueError, RecursionError) as error:
        return type(error)
    # NaN is not equal to itself
    return repr(value)


def loads(data: Any) -> Any:
    """The rule of A12: ``json.loads`` of the text, None for malformed JSON, an error for bad UTF-8."""
    text = data if isinstance(data, str) else bytes(data).decode("utf-8")
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_it_prints_what_json_prints_and_reads_it_back(
    name: str, ip: str, to: str, msg: str
) -> None:
    message = {"from": {"name": name, "ip": ip}, "to": to, "msg": msg}
    text = utils.create_json_msg(name, ip, to, msg)
    assert text == json.dumps(message)
    # two halves of a pair that stand side by side become one character
    assert utils.decode_json_msg(text.encode(utils.ENCODING)) == json.loads(text)
    assert utils.decode_json_msg(text) == json.loads(text)


@given(VALUES)
def test_any_value_is_read(value: object) -> None:
    text = json.dumps(value)
    for data in (text, text.encode(), json.dumps(value, ensure_ascii=True, indent=1).encode()):
        assert outcome(utils.decode_json_msg, data) == outcome(json.loads, data)


@given(st.binary())
@example(b"\xff")
@example(b"\xff\xfe")
@example(b"\xef\xbb\xbf{}")
@example("{}".encode("utf-16"))
@example("{}".encode("utf-16-le"))
@example("{}".encode("utf-32-be"))
@example(b"\xed\xa0\x80")
@example(b'"caf\xc3"')
def test_bytes_are_read_as_json_reads_them(data: bytes) -> None:
    assert outcome(utils.decode_json_msg, data) == outcome(loads, data)


@given(VALUES, st.data())
def test_damaged_json_is_read_as_json_reads_it(value: object, data: st.DataObject) -> None:
    """Bytes are removed, doubled or replaced in the text of a value."""
    text = bytearray(json.dumps(value, ensure_ascii=data.draw(st.booleans())).encode("utf-8", "replace"))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1)) if text else 0
        text[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    assert outcome(utils.decode_json_msg, bytes(text)) == outcome(loads, bytes(text))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"5 6",
        b"[1, 2",
        json.dumps(MESSAGE).encode() * 2,
        json.dumps(MESSAGE).encode()[:-1],
        json.dumps(MESSAGE).encode("utf-16-le"),
        b"\xef\xbb\xbf" + json.dumps(MESSAGE).encode(),
        b'{"msg":"a\tb"}',
        b'{"msg":"\\x41"}',
        b"[1,]",
        b"01",
    ],
    ids=range(12),
)
def test_what_is_not_json_is_none(data: bytes) -> None:
    assert utils.decode_json_msg(data) is None


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"5", 5),
        (b"-0.5e1", -5.0),
        (b"[]", []),
        (b"{}", {}),
        (b'"text"', "text"),
        (b"true", True),
        (b'{"to":5}', {"to": 5}),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b"Infinity", math.inf),
        (b"1e999", math.inf),
        (b"[" * 100 + b"]" * 100, eval("[" * 100 + "]" * 100)),
        (b'"\\ud800"', "\ud800"),
        (b"1" * 4000, int("1" * 4000)),
    ],
    ids=range(13),
)
def test_any_json_is_a_value(data: bytes, value: object) -> None:
    assert utils.decode_json_msg(data) == value
    assert utils.decode_json_msg(b" \t\r\n" + data + b" \t\r\n") == value


@pytest.mark.parametrize(
    "data",
    [b"\xff", b'{"msg":"caf\xc3"}', b"\xed\xa0\x80", b"{}\xc0\x80", "{}".encode("utf-16")],
)
def test_bytes_that_are_not_utf_8_are_an_error(data: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        utils.decode_json_msg(data)


def test_other_keys_stay() -> None:
    more = {**MESSAGE, "id": 5, "from": {"name": "a", "ip": "b", "age": [1.5]}}
    assert utils.decode_json_msg(json.dumps(more).encode()) == more


@pytest.mark.parametrize("wrapped", [bytes, bytearray, memoryview])
def test_what_counts_as_data(wrapped: type) -> None:
    assert utils.decode_json_msg(wrapped(json.dumps(MESSAGE).encode())) == MESSAGE


def test_the_limits_are_those_of_json() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    for function in (json.loads, utils.decode_json_msg):
        with pytest.raises(RecursionError):
            function(deep)
        with pytest.raises(ValueError, match="digits"):
            function("1" * (sys.get_int_max_str_digits() + 1))


def test_the_shape_is_what_a_server_answers(server: Server) -> None:
    with Client("alice", *server.address) as client:
        assert client.request("/standard")[0].msg == utils.get_standard_json()
    assert utils.get_standard_json() == (
        '{"from": {"name": "string", "ip": "string"}, "to": "string", "msg": "string"}'
    )


def test_there_are_six_names() -> None:
    assert sorted(utils.__all__) == [
        "ENCODING",
        "PORT",
        "create_json_msg",
        "decode_json_msg",
        "get_local_ip",
        "get_standard_json",
    ]
    assert (utils.PORT, utils.ENCODING) == (65432, "utf-8")


def test_the_address_of_this_machine() -> None:
    assert ipaddress.ip_address(utils.get_local_ip()).version == 4


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_decoder_reads_what_it_prints(msg: str) -> None:
    assert decode(utils.create_json_msg("a", "b", "c", msg).encode()).msg == msg
