"""What a hostile server can have a client hold: every flood ends at a limit, with a sentence, and the
client goes on."""

import json
import logging
import sys
import threading
import time
from collections.abc import Callable

import pytest
from conftest import LIMIT, Address, Connect, Peer, Script, python

import chatproto._inbox
from chatproto._chatproto import Session
from chatproto import (
    ChatProtoError,
    Client,
    Decoder,
    DecodeError,
    LimitExceeded,
    Message,
    Timeout,
    encode,
)

Scripted = Callable[[Script], Address]

MOST = 48 << 10
"""KiB by which a client with default limits may grow: 16 MiB of messages, 4 MiB of an answer, the
buffers of the connection, and what the allocator does not give back."""

PROGRAM = """
import asyncio, resource, sys
import chatproto, chatproto.aio

def largest():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

kind, port, patience = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
before = largest()

def blocking():
    with chatproto.Client("alice", port=port) as client:
        try:
            client.request("/list", timeout=patience)
        except chatproto.ChatProtoError as error:
            print(type(error).__name__, getattr(error, "option", ""))

async def with_asyncio():
    async with chatproto.aio.Client("alice", port=port) as client:
        try:
            await client.request("/list", timeout=patience)
        except chatproto.ChatProtoError as error:
            print(type(error).__name__, getattr(error, "option", ""))

blocking() if kind == "blocking" else asyncio.run(with_asyncio())
print(largest() - before)
"""


def objects(to: str, msg: str, count: int, sender: str = "SERVER") -> bytes:
    return encode(Message(sender, to, msg)) * count


FLOODS = {
    "messages": objects("Everyone", "x" * 16_000, 16, "bob"),
    "tiny-messages": objects("Everyone", "", 1000, "b"),
    "objects-that-are-no-messages": b"{}" * 50_000,
    "white-space": b" " * 100_000,
    "wide-characters": objects("Everyone", "x" * 60_000 + "\U0001f600", 4, "bob"),
    # the welcome, and then parts of an answer without end
    "answers": objects("alice", "x" * 16_000, 16),
}


def flood(kind: str, most_bytes: int) -> Script:
    """Welcomes, says what ``/ping`` is answered with, and then sends for as long as it can."""

    def script(peer: Peer) -> None:
        peer.welcome()
        # the first nonces come back, so that the answer begins
        for _ in range(2):
            message = peer.read()
            assert message is not None and message.to == "/ping"
            peer.say(message.msg)
        data = FLOODS[kind]
        for _ in range(most_bytes // len(data)):
            peer.socket.sendall(data)

    return script


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
@pytest.mark.parametrize("what", list(FLOODS))
def test_a_flood_during_a_request_takes_bounded_memory(
    scripted: Scripted, kind: str, what: str
) -> None:
    _, port = scripted(flood(what, 256 << 20))
    reaches_no_limit = what in ("objects-that-are-no-messages", "white-space")
    process = python("-c", PROGRAM, kind, str(port), str(3 if reaches_no_limit else 4 * LIMIT))
    output, errors = process.communicate(timeout=5 * LIMIT)
    error, grown = output.splitlines()
    if reaches_no_limit:
        assert error.split()[0] == "Timeout" or "ConnectionClosed" in error
    else:
        expected = "max_answer" if what == "answers" else "max_queue_bytes"
        assert error == f"LimitExceeded {expected}", errors
    unit = 1024 if sys.platform == "darwin" else 1
    assert int(grown) // unit < MOST, errors[-500:]


def test_the_rest_of_an_answer_that_is_too_long_is_thrown_away(
    scripted: Scripted, connect: Connect
) -> None:
    def answers(message: Message) -> list[str]:
        return ["x" * 1000] * 100 if message.to == "/help" else [message.msg]

    def script(peer: Peer) -> None:
        peer.welcome()
        peer.answer(answers)

    client = connect("alice", scripted(script), max_answer=50_000)
    with pytest.raises(LimitExceeded) as caught:
        client.request("/help")
    assert (caught.value.option, caught.value.limit) == ("max_answer", 50_000)
    assert str(caught.value).startswith("the answer to /help takes more than max_answer=50000 bytes")
    assert [message.msg for message in client.request("/time", "now")] == ["now"]
    with pytest.raises(Timeout):
        client.recv(0)


def test_a_request_waits_for_no_answer_when_too_much_waits_to_be_received(
    scripted: Scripted, connect: Connect
) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        ping = peer.read()
        assert ping is not None
        peer.say(ping.msg)
        peer.socket.sendall(objects("Everyone", "x" * 1000, 1000, "bob"))
        peer.answer(lambda message: [message.msg])

    client = connect("alice", scripted(script), max_queue_bytes=100_000)
    with pytest.raises(LimitExceeded) as caught:
        client.request("/time", "late")
    assert (caught.value.option, caught.value.limit) == ("max_queue_bytes", 100_000)
    received = [client.recv(LIMIT) for _ in range(1000)]
    assert all(message.sender == "bob" for message in received)
    assert [message.msg for message in client.request("/time", "now")] == ["now"]


@pytest.mark.parametrize("what", ["messages", "tiny-messages"])
def test_close_takes_bounded_memory_and_time(
    scripted: Scripted, connect: Connect, what: str
) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        while True:
            peer.socket.sendall(FLOODS[what])

    client = connect("alice", scripted(script), max_queue_bytes=1 << 20)
    begun = time.monotonic()
    client.close()
    assert time.monotonic() - begun < 10
    queued = 0
    with pytest.raises(ChatProtoError):
        while True:
            message = client.recv(0)
            queued += len(message.msg) + 200
    assert queued < 4 << 20


def test_requests_without_an_answer_are_bounded(
    scripted: Scripted, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chatproto._inbox, "MAX_FENCES", 10)

    def script(peer: Peer) -> None:
        peer.welcome()
        ping = peer.read()
        assert ping is not None
        peer.say(ping.msg)
        while peer.read() is not None:
            pass

    client = connect("alice", scripted(script))
    for _ in range(30):
        with pytest.raises(ChatProtoError) as caught:
            client.request("/list", timeout=0.01)
        if not isinstance(caught.value, Timeout):
            break
    assert "/ping of earlier requests have no answer yet" in str(caught.value)


def test_objects_that_are_no_messages_are_logged_a_few_times(
    scripted: Scripted, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        peer.socket.sendall(b"{}" * 10_000)
        peer.say("last")

    client = connect("alice", scripted(script))
    with caplog.at_level(logging.WARNING, logger="chatproto"):
        assert client.recv(LIMIT).msg == "last"
    assert 10 < len(caplog.records) < 30
    assert "the 8192th of this connection" in caplog.text


def test_a_limit_is_above_zero(connect: Connect) -> None:
    for option, unit in (
        ("max_queue", "messages"),
        ("max_queue_bytes", "bytes"),
        ("max_answer", "bytes"),
    ):
        with pytest.raises(ValueError, match=f"{option} is a number of {unit} above 0, not 0"):
            connect("alice", ("127.0.0.1", 1), **{option: 0})


def test_a_send_waits_for_the_server_to_read_and_reads_no_more_than_the_limit(
    scripted: Scripted,
) -> None:
    may_read = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        while not may_read.is_set():
            peer.socket.settimeout(0.05)
            try:
                peer.socket.sendall(FLOODS["messages"])
            except TimeoutError:
                # an object that was cut off ends the stream: nothing follows it
                break
        may_read.wait(LIMIT)
        peer.socket.settimeout(LIMIT)
        while peer.socket.recv(65536):
            pass

    with Client("alice", *scripted(script), max_queue_bytes=1 << 20) as client:
        threading.Timer(1.0, may_read.set).start()
        for _ in range(300):
            client.send("bob", "x" * 60_000)
        assert client._inbox.messages.bytes < 3 << 20


def test_bytes_behind_an_error_are_bounded() -> None:
    decoder = Decoder()
    half = b"{}" * (300 << 10)
    with pytest.raises(DecodeError):
        decoder.feed(half)
    with pytest.raises(BufferError, match=r"bytes wait to be decoded, .* then give these bytes"):
        decoder.feed(half)
    decoder = Decoder()
    line = encode(Message("a", "b", "c"))
    decoder.push(line * 20_000)
    with pytest.raises(BufferError, match="iterate over the decoder"):
        decoder.push(line * 20_000)
    assert sum(1 for _ in decoder) == 20_000
    decoder.push(line)
    assert json.loads(line)["msg"] == next(iter(decoder)).msg


@pytest.mark.parametrize("now", [-1.0, 1e18, 1.5e19, 1e300, float("inf"), float("nan")])
def test_no_time_of_a_clock_is_too_much_for_a_session(now: float) -> None:
    session = Session("alice", ping_interval=1e18)
    session.receive(encode(Message("SERVER", "alice", "Welcome")), now)
    session.handle_timeout(now)
    session.handle_silence(now)
    assert session.next_event() is not None
    assert session.transmit(now) == b"alice\n"
