"""Messages, their encoding, and the decoder, beside ``json`` and on every split."""

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

import chatproto
from chatproto import DecodeError, Decoder, Message, decode, encode

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LINE = b'{"from":{"name":"alice","ip":"192.0.2.7"},"to":"bob","msg":"hi"}'


def test_a_message_is_its_four_strings() -> None:
    message = Message("alice", "bob", "hi", ip="192.0.2.7")
    assert (message.sender, message.to, message.msg, message.ip) == (
        "alice",
        "bob",
        "hi",
        "192.0.2.7",
    )
    assert Message(sender="a", to="b", msg="c").ip == "0.0.0.0"
    assert message == Message("alice", "bob", "hi", "192.0.2.7")
    assert message != Message("alice", "bob", "hi") and message != "hi"
    assert len({message, copy.deepcopy(message), pickle.loads(pickle.dumps(message))}) == 1
    assert repr(message) == "Message(sender='alice', to='bob', msg='hi', ip='192.0.2.7')"
    assert eval(repr(message), {"Message": Message}) == message  # noqa: S307
    assert message.to_dict() == json.loads(LINE)
    assert not message.is_from_server and Message("SERVER", "bob", "").is_from_server
    with pytest.raises(AttributeError):
        message.msg = "no"  # type: ignore[misc]
    with pytest.raises(TypeError):
        Message("alice", "bob", 5)  # type: ignore[arg-type]


def test_it_can_be_matched() -> None:
    match Message("alice", "#tea", "hi"):
        case Message(sender, to="#tea", msg=text):
            assert (sender, text) == ("alice", "hi")
        case _:
            pytest.fail("it does not match")


@pytest.mark.parametrize(
    ("data", "field", "kind"),
    [
        (5, None, "wrong-type"),
        ({}, "from", "missing-key"),
        ({"from": []}, "from", "wrong-type"),
        ({"from": {"name": "a"}}, "from.ip", "missing-key"),
        ({"from": {"name": "a", "ip": 1}}, "from.ip", "wrong-type"),
        ({"from": {"name": "a", "ip": ""}, "msg": ""}, "to", "missing-key"),
        ({"from": {"name": "a", "ip": ""}, "to": "b", "msg": None}, "msg", "wrong-type"),
    ],
)
def test_a_dictionary_of_another_shape_is_refused(
    data: object, field: str | None, kind: str
) -> None:
    with pytest.raises(DecodeError) as caught:
        Message.from_dict(data)
    assert (caught.value.field, caught.value.kind) == (field, kind)


@given(TEXT, TEXT, TEXT, TEXT)
def test_what_is_encoded_is_decoded(sender: str, to: str, msg: str, ip: str) -> None:
    message = Message(sender.replace("\0", ""), to, msg, ip)
    line = encode(message)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert json.loads(line) == message.to_dict()
    assert decode(line) == message == Message.from_dict(message.to_dict())
    assert decode(json.dumps(message.to_dict())) == message
    for kind in (bytearray, memoryview):
        assert decode(kind(line)) == message
    assert decode(line.decode()) == message


def test_what_no_message_can_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        encode(Message("alice", "bob", "\ud800"))
    with pytest.raises(DecodeError) as caught:
        decode('{"from":{"name":"a","ip":"\ud800"},"to":"","msg":""}')
    assert (caught.value.kind, caught.value.offset) == ("invalid-utf8", 26)
    with pytest.raises(TypeError, match="bytes-like or str, not int"):
        decode(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", range(1, len(LINE) * 2))
def test_however_it_is_split(size: int) -> None:
    stream = LINE + b"\n" + LINE + b" " + LINE
    decoder = Decoder()
    parts = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert [message for part in parts for message in decoder.feed(part)] == [decode(LINE)] * 3
    decoder.finish()
    other = Decoder()
    found = []
    for part in parts:
        other.push(part)
        found += list(other)
    assert found == [decode(LINE)] * 3


def test_behind_an_object_that_is_no_message_it_goes_on() -> None:
    decoder = Decoder()
    with pytest.raises(DecodeError) as caught:
        decoder.feed(LINE + b'{"to":5}' + LINE + b'{"from":')
    error = caught.value
    assert error.messages == [decode(LINE)]
    assert (error.field, error.kind, error.is_framing) == ("to", "wrong-type", False)
    assert error.offset == len(LINE) + 6
    assert decoder.feed(b"") == [decode(LINE)]
    assert decoder.feed(LINE[len(b'{"from":') :]) == [decode(LINE)]

    decoder.push(LINE + b"{}" + LINE)
    assert next(decoder) == decode(LINE)
    with pytest.raises(DecodeError):
        next(decoder)
    assert list(decoder) == [decode(LINE)]


def test_a_framing_error_is_the_end() -> None:
    decoder = Decoder()
    for _ in range(2):
        with pytest.raises(DecodeError) as caught:
            decoder.feed(b"[" + LINE)
        assert caught.value.is_framing and caught.value.offset == 0
    decoder = Decoder()
    decoder.feed(LINE[:-1])
    with pytest.raises(DecodeError, match="ended inside an object"):
        decoder.finish()


def test_limits_and_strictness() -> None:
    with pytest.raises(DecodeError, match="within 50 bytes"):
        Decoder(max_frame=50).feed(LINE)
    assert Decoder(max_frame=len(LINE)).feed(LINE)
    extra = LINE[:-1] + b',"x":1}'
    assert Decoder().feed(extra) == [decode(LINE)]
    with pytest.raises(DecodeError) as caught:
        Decoder(strict=True).feed(extra)
    assert caught.value.kind == "unknown-key"


def test_short_strings_are_shared_and_never_mixed_up() -> None:
    names = [prefix + "x" * length for prefix in ("", "a", "ab") for length in range(40)]
    for _ in range(2):
        for name in names:
            message = decode(encode(Message(name, name[::-1], "", name)))
            assert (message.sender, message.to, message.ip) == (name, name[::-1], name)
    assert decode(LINE).sender is decode(LINE).sender


def test_a_decode_error_can_be_pickled() -> None:
    with pytest.raises(DecodeError) as caught:
        decode("{}")
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.kind, error.field, error.offset) == ("missing-key", "from", 1)


def test_the_version_is_the_packages() -> None:
    from importlib.metadata import version

    assert chatproto.__version__ == version("chatproto")
    assert all(hasattr(chatproto, name) for name in chatproto.__all__)
