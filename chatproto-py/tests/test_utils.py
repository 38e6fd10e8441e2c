"""``chatproto.utils``: what programs that speak the protocol already rely on."""

import ipaddress
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatproto import decode, utils

# lone surrogates included, as in Python's own strings
ANY_TEXT = st.text(st.characters())
MESSAGE = {"from": {"name": "a", "ip": "b"}, "to": "c", "msg": "d"}


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_it_prints_what_json_prints_and_reads_it_back(
    name: str, ip: str, to: str, msg: str
) -> None:
    message = {"from": {"name": name, "ip": ip}, "to": to, "msg": msg}
    text = utils.create_json_msg(name, ip, to, msg)
    assert text == json.dumps(message)
    assert utils.decode_json_msg(text.encode(utils.ENCODING)) == message
    assert utils.decode_json_msg(text) == message


def test_lone_surrogates_are_among_the_texts() -> None:
    text = utils.create_json_msg("a", "b", "c", "\ud83d \ude00 \ud83d\ude00")
    assert text.endswith('"\\ud83d \\ude00 \\ud83d\\ude00"}')
    read = utils.decode_json_msg(text.encode())
    assert read is not None
    assert read["msg"] == "\ud83d \ude00 \U0001f600"


@given(st.binary())
def test_any_bytes_are_a_message_or_none(data: bytes) -> None:
    assert utils.decode_json_msg(data) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | ANY_TEXT,
        lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
    )
)
def test_json_of_another_shape_is_none(value: object) -> None:
    assert utils.decode_json_msg(json.dumps(value).encode()) is None


@pytest.mark.parametrize("wrapped", [bytes, bytearray, memoryview])
def test_what_counts_as_data(wrapped: type) -> None:
    assert utils.decode_json_msg(wrapped(json.dumps(MESSAGE).encode())) == MESSAGE


@pytest.mark.parametrize("key", ["from", "to", "msg"])
@pytest.mark.parametrize("value", [None, 1, True, [], {}, {"name": "a"}, {"name": 1, "ip": "b"}])
def test_a_leaf_of_another_type_is_none(key: str, value: object) -> None:
    assert utils.decode_json_msg(json.dumps({**MESSAGE, key: value}).encode()) is None


@pytest.mark.parametrize("key", ["from", "to", "msg"])
def test_a_missing_key_is_none(key: str) -> None:
    rest = {each: value for each, value in MESSAGE.items() if each != key}
    assert utils.decode_json_msg(json.dumps(rest).encode()) is None


def test_other_keys_are_ignored_and_not_passed_on() -> None:
    more = {**MESSAGE, "id": 10**6000, "from": {"name": "a", "ip": "b", "age": [1.5e999]}}
    digits = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        text = json.dumps(more).replace("Infinity", "1e999")
    finally:
        sys.set_int_max_str_digits(digits)
    assert utils.decode_json_msg(text.encode()) == MESSAGE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        json.dumps(MESSAGE).encode() * 2,
        json.dumps(MESSAGE).encode()[:-1],
        json.dumps(MESSAGE).encode("utf-16"),
        b"\xef\xbb\xbf" + json.dumps(MESSAGE).encode(),
        b'{"from":{"name":"a","ip":"b"},"to":"c","msg":"caf\xc3"}',
        b'{"from":{"name":"a","ip":"b"},"to":"c","msg":"d","x":NaN}',
        b'{"from":{"name":"a","ip":"b"},"to":"c","msg":"a\tb"}',
        b'{"from":{"name":"a","ip":"b"},"to":"c","msg":"d","x":' + b"[" * 100_000,
        b'{"from":{"name":"a","ip":"b"},"to":"c","msg":"d","x":%b}' % (b"[" * 99999 + b"]" * 99999),
    ],
    ids=range(11),
)
def test_what_is_not_json_is_none(data: bytes) -> None:
    assert utils.decode_json_msg(data) is None


def test_white_space_and_another_order_of_keys() -> None:
    data = b' {"msg":"d",\r\n"to":"c","from":{"ip":"b","name":"a"}} \n'
    assert utils.decode_json_msg(data) == MESSAGE


def test_the_shape_as_text() -> None:
    assert utils.get_standard_json() == (
        '{"from": {"name": "string", "ip": "string"}, "to": "string", "msg": "string"}'
    )


def test_the_constants() -> None:
    assert (utils.PORT, utils.ENCODING) == (65432, "utf-8")


def test_the_address_of_this_machine() -> None:
    assert ipaddress.ip_address(utils.get_local_ip()).version == 4


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_decoder_reads_what_it_prints(msg: str) -> None:
    assert decode(utils.create_json_msg("a", "b", "c", msg).encode()).msg == msg
