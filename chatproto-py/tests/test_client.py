"""What both clients do, on a server and on servers that follow a script."""

import copy
import gc
import json
import logging
import pickle
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from conftest import (
    LIMIT,
    Address,
    AnyClient,
    Connect,
    Driven,
    Peer,
    Script,
    one_read,
    wait_until,
    without_ping,
)

import chatproto.aio
import chatproto.client
from chatproto import (
    ChatProtoError,
    Client,
    ConnectionClosed,
    DecodeError,
    FrameTooLong,
    Message,
    NameRefused,
    Server,
    Timeout,
    WebSocketError,
    encode,
)

Scripted = Callable[[Script], Address]


def test_it_is_welcomed(server: Server, connect: Connect) -> None:
    client = connect(" alice ", server.address)
    assert client.name == "alice"
    assert client.welcome.msg.startswith("Welcome, alice!")
    assert client.welcome.is_from_server
    assert client.address == server.address
    assert client.server_kind == "stream"
    assert server.users() == ["alice"]


def test_messages_come_in_order(server: Server, connect: Connect) -> None:
    alice, bob = connect("alice", server.address), connect("bob", server.address)
    for number in range(100):
        alice.send("bob", f"{number} grüße 👋")
    received = [bob.recv(LIMIT) for _ in range(100)]
    assert [message.msg for message in received] == [f"{n} grüße 👋" for n in range(100)]
    assert {(message.sender, message.to, message.ip) for message in received} == {
        ("alice", "bob", "127.0.0.1")
    }


def test_recv_waits_no_longer_than_it_is_told(server: Server, connect: Connect) -> None:
    client = connect("alice", server.address)
    for timeout in (0, 0.01):
        with pytest.raises(Timeout, match=f"within {timeout} s: call recv"):
            client.recv(timeout)
    with pytest.raises(TimeoutError):
        client.recv(0)
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="at least 0"):
            client.recv(wrong)
    client.send("alice", "still there")
    assert client.recv(float("inf")).msg == "still there"


def test_recv_of_zero_gives_what_has_come(scripted: Scripted, connect: Connect) -> None:
    has_come = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        peer.say("one")
        has_come.set()
        peer.read()

    client = connect("alice", scripted(script))
    assert has_come.wait(LIMIT)
    assert client.recv(0).msg == "one"


def test_a_request_is_answered_and_the_rest_stays(server: Server, connect: Connect) -> None:
    alice, bob = connect("alice", server.address), connect("bob", server.address)
    alice.send("bob", "first")
    bob.send("nobody", "this is answered too, but nobody asked")
    assert [each.msg for each in bob.request("/list")] == ["Connected users (1): alice"]
    alice.send("bob", "second")
    assert alice.request("bob", "third") == []
    assert alice.request("/foo")[0].msg.startswith('❌ Unknown command "/foo"')
    received = [bob.recv(LIMIT).msg for _ in range(4)]
    assert [text for text in received if not text.startswith("❌")] == ["first", "second", "third"]
    assert sum(text.startswith('❌ User "nobody"') for text in received) == 1


def test_an_answer_is_everything_between_the_nonces(scripted: Scripted, connect: Connect) -> None:
    def answers(message: Message) -> list[str]:
        return [message.msg] if message.to == "/ping" else ["a (1/2)", "b (2/2)"]

    def script(peer: Peer) -> None:
        peer.welcome()
        while (message := peer.read()) is not None:
            peer.say("bob joined.", to="#tea")
            for msg in answers(message):
                peer.say(msg)
            peer.say("12 joined.", to="Everyone")

    client = connect("alice", scripted(script))
    assert [message.msg for message in client.request("/list")] == ["a (1/2)", "b (2/2)"]
    assert {client.recv(LIMIT).to for _ in range(8)} == {"#tea", "Everyone"}
    with pytest.raises(Timeout):
        client.recv(0)


def test_a_state_line_is_no_part_of_an_answer(server: Server, connect: Connect) -> None:
    alice, bob = connect("alice", server.address), connect("bob", server.address)
    assert [each.msg for each in alice.request("/state", "on")] == [
        "Reporting on name=alice role=user login=false"
    ]
    bob.request("/join", "#tea")
    assert [each.msg for each in alice.request("/join", "#tea")] == [
        "Joined #tea. Other members (1): bob"
    ]
    assert [alice.recv(LIMIT).msg for _ in range(2)] == [
        "State moved room=#tea member=true reason=joined",
        'State members room=#tea count=2 names="bob,alice"',
    ]
    # what only looks like one is an answer
    assert alice.request("/ping", "State of affairs")[0].msg == "State of affairs"


def test_an_answer_that_comes_too_late_is_received(scripted: Scripted, connect: Connect) -> None:
    late = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()

        def answers(message: Message) -> list[str]:
            if message.to == "/slow":
                assert late.wait(LIMIT)
            return [message.msg]

        peer.answer(answers)

    client = connect("alice", scripted(script))
    with pytest.raises(Timeout, match="/slow was not answered within 0.05 s"):
        client.request("/slow", "one", timeout=0.05)
    late.set()
    assert [message.msg for message in client.request("/fast", "two")] == ["two"]
    assert client.recv(0).msg == "one"
    with pytest.raises(Timeout):
        client.recv(0)


def test_a_part_that_the_server_dropped_is_told(scripted: Scripted, connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        pings = 0

        def answers(message: Message) -> list[str]:
            nonlocal pings
            pings += message.to == "/ping"
            # of probe, opening and closing fence, the second is lost
            return [] if message.to == "/ping" and pings == 2 else [message.msg]

        peer.answer(answers)

    client = connect("alice", scripted(script))
    with pytest.raises(ChatProtoError, match="a part of the answer is lost"):
        client.request("/list", "half")
    assert client.recv(0).msg == "half"
    assert client.request("/list", "whole")[0].msg == "whole"


@pytest.mark.parametrize("sent", [[], ["bob"], ["bob", "/time", "/foo"]])
def test_a_server_without_ping(scripted: Scripted, connect: Connect, sent: list[str]) -> None:
    commands: list[str] = []

    def script(peer: Peer) -> None:
        peer.welcome()
        while (message := peer.read()) is not None:
            commands.append(message.to)
            for msg in without_ping(message):
                peer.say(msg)

    client = connect("alice", scripted(script))
    for to in sent:
        client.send(to, "hi")
    for _ in range(2):
        with pytest.raises(ChatProtoError, match="does not offer /ping") as caught:
            client.request("/time", timeout=LIMIT)
        assert not isinstance(caught.value, Timeout)
    client.send("/time", "")
    texts = [client.recv(LIMIT).msg for _ in [*sent, ""]]
    assert texts[-1].startswith("Server time")
    assert not any("/ping" in text for text in texts)
    others = [command for command in commands if command != "/ping"]
    assert others == [*sent, "/time"], "the commands of the requests were not sent"


@pytest.mark.parametrize("refusal", ["❌ What?", "❌ No. Send /help"])
@pytest.mark.parametrize("sent", [0, 3])
def test_a_server_without_ping_that_does_not_say_so(
    scripted: Scripted, connect: Connect, refusal: str, sent: int
) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        peer.answer(lambda message: [] if message.to == "bob" else [refusal])

    client = connect("alice", scripted(script))
    for number in range(sent):
        client.send("/foo" if number % 2 else "bob", "hi")
    with pytest.raises(ChatProtoError, match="does not offer /ping") as caught:
        client.request("/time", timeout=LIMIT)
    assert not isinstance(caught.value, Timeout)


def test_refusals_of_earlier_messages_are_not_taken_for_that_of_ping(
    server: Server, connect: Connect
) -> None:
    client = connect("alice", server.address)
    for number in range(20):
        client.send("/foo" if number % 2 else "bob", "hi")
    assert len(client.request("/time")) == 1
    assert all(client.recv(LIMIT).msg.startswith("❌") for _ in range(20))


def test_what_is_too_long_is_not_sent(server: Server, connect: Connect) -> None:
    client = connect("alice", server.address)
    with pytest.raises(FrameTooLong) as caught:
        client.send("alice", "x" * 65536)
    assert caught.value.length > caught.value.limit == 65536
    assert "send less text" in str(caught.value)
    with pytest.raises(FrameTooLong):
        client.request("/shout", "x" * 65536)
    with pytest.raises(ValueError, match="surrogate"):
        client.send("alice", "\ud83d")
    with pytest.raises(TypeError):
        client.send("alice", 5)  # type: ignore[arg-type]
    assert len(client.request("/time")) == 1
    with pytest.raises(Timeout):
        client.recv(0)


def test_nick(server: Server, connect: Connect) -> None:
    alice, bob = connect("alice", server.address), connect("bob", server.address)
    assert alice.request("/nick", "alice smith")[0].to == alice.name == "alice smith"
    assert alice.request("/nick", "bob")[0].msg.startswith("❌ Your name stays")
    assert alice.name == "alice smith"
    alice.send("bob", "hi")
    assert bob.recv(LIMIT).sender == "alice smith"
    bob.send("alice smith", "You are now carol.")
    assert alice.recv(LIMIT).msg == "You are now carol."
    assert alice.name == "alice smith"
    alice.send("/nick", "carol")
    alice.recv(LIMIT)
    assert alice.name == "carol"


def test_the_name_is_what_the_server_says(scripted: Scripted, connect: Connect) -> None:
    def script(peer: Peer) -> None:
        assert peer.socket.recv(1024) == b"alice\n"
        peer.name = "alice~7"
        peer.say("Welcome, alice~7! Send /help to see the commands.")
        peer.answer(lambda message: [message.msg] if message.to == "/ping" else login(peer))

    def login(peer: Peer) -> list[str]:
        peer.name = "alice"
        return ["You are logged in as alice, a moderator."]

    client = connect("alice", scripted(script))
    assert client.name == "alice~7"
    assert client.request("/login", '"correct horse"')[0].to == "alice"
    assert client.name == "alice"


@pytest.mark.parametrize("name", ["", "a,b", "/list", "Everyone", "x" * 65])
def test_a_name_that_no_server_takes_needs_no_server(connect: Connect, name: str) -> None:
    with pytest.raises(NameRefused, match="choose another name"):
        connect(name, ("127.0.0.1", 1))


def test_a_name_that_the_server_refuses(server: Server, connect: Connect) -> None:
    connect("alice", server.address)
    with pytest.raises(NameRefused) as caught:
        connect("alice", server.address)
    assert caught.value.reason.startswith("⛔ Error: the name")
    assert str(caught.value) == f"not registered: {caught.value.reason}"


def test_a_server_that_refuses_without_advice(scripted: Scripted, connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.socket.recv(1024)
        peer.say("⛔ Error: no.", to="Guest", end=b"")

    with pytest.raises(NameRefused) as caught:
        connect("alice", scripted(script))
    assert str(caught.value) == (
        "not registered: ⛔ Error: no. (choose another name, or ask who runs the server)"
    )


def test_nobody_listens(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(ConnectionRefusedError, match="is a server running there"):
            connect("alice", (host, address[1]))
    with pytest.raises(OSError, match="is the host's name right"):
        connect("alice", ("a..b", 1))


def test_a_server_that_closes_at_once(scripted: Scripted, connect: Connect) -> None:
    with pytest.raises(ConnectionClosed, match="without a welcome: is that a chatproto server"):
        connect("alice", scripted(lambda peer: None))


def test_a_server_that_says_nothing(scripted: Scripted, connect: Connect) -> None:
    def listen(peer: Peer) -> None:
        while peer.socket.recv(1024):
            pass

    with pytest.raises(Timeout, match="did not connect and register within 0.1 s"):
        connect("alice", scripted(listen), timeout=0.1)


def test_a_server_of_something_else(scripted: Scripted, connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.socket.sendall(b"220 mail.example.org ESMTP\r\n")

    with pytest.raises(DecodeError) as caught:
        connect("alice", scripted(script))
    assert (caught.value.kind, caught.value.offset) == ("unexpected-byte", 0)


def test_a_one_read_server(scripted: Scripted, connect: Connect) -> None:
    client = connect("alice", scripted(one_read))
    assert client.server_kind == "one-read"
    for number in range(5):
        client.send("bob", f"è {number}")
    assert [client.recv(LIMIT).msg for _ in range(5)] == [f"bob è {n}" for n in range(5)]
    assert [message.msg for message in client.request("/list", "x")] == ["/list x"]
    with pytest.raises(FrameTooLong) as caught:
        client.send("bob", "x" * 1024)
    assert caught.value.limit == 1024


def test_an_object_that_is_no_message_is_skipped(
    scripted: Scripted, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        peer.socket.sendall(b'{"from":{"name":"a","ip":""},"to":5,"msg":"x"}\n')
        peer.say("behind it")

    client = connect("alice", scripted(script))
    with caplog.at_level(logging.WARNING, logger="chatproto"):
        assert client.recv(LIMIT).msg == "behind it"
    assert "`to` must be a string" in caplog.text


@pytest.mark.parametrize("end", [b"hello\n", b'{"from":'])
def test_what_is_not_json_ends_the_connection(
    scripted: Scripted, connect: Connect, end: bytes
) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        peer.say("before it")
        peer.socket.sendall(end)

    client = connect("alice", scripted(script))
    assert client.recv(LIMIT).msg == "before it"
    for _ in range(2):
        with pytest.raises(DecodeError) as caught:
            client.recv(LIMIT)
        assert caught.value.is_framing
    with pytest.raises(DecodeError):
        list(client)
    with pytest.raises(DecodeError):
        client.request("/time")


def test_iterating_ends_when_the_server_closes(scripted: Scripted, connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        for number in range(3):
            peer.say(str(number))

    client = connect("alice", scripted(script))
    assert [message.msg for message in client] == ["0", "1", "2"]
    with pytest.raises(ConnectionClosed, match="the server has closed the connection"):
        client.recv()
    with pytest.raises(ConnectionClosed):
        client.request("/time")


def test_a_lost_connection_is_no_end(scripted: Scripted, connect: Connect) -> None:
    is_connected = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        assert is_connected.wait(LIMIT)
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.socket.close()

    client = connect("alice", scripted(script))
    is_connected.set()
    with pytest.raises(ConnectionClosed, match="the connection was lost"):
        list(client)


def test_closing(server: Server, connect: Connect) -> None:
    client = connect("alice", server.address)
    client.send("alice", "to myself")
    client.send("/time", "")
    client.close()
    client.close()
    assert client.recv().msg == "to myself", "what came before the end"
    assert client.recv().msg.startswith("Server time")
    assert list(client) == []
    for call in (client.recv, lambda: client.send("alice", "x"), lambda: client.request("/time")):
        with pytest.raises(ConnectionClosed, match="make a new Client"):
            call()
    assert client.name == "alice"


def test_closing_loses_nothing(server: Server, connect: Connect) -> None:
    alice, bob = connect("alice", server.address), connect("bob", server.address)
    text = "x" * 10_000
    for _ in range(50):
        alice.send("bob", text)
    alice.close()
    assert [bob.recv(LIMIT).msg for _ in range(50)] == [text] * 50


def test_a_server_that_does_not_close_is_left(
    scripted: Scripted, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chatproto.client, "LINGER", 0.05)
    monkeypatch.setattr(chatproto.aio, "LINGER", 0.05)
    is_over = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        assert is_over.wait(LIMIT)

    client = connect("alice", scripted(script))
    client.close()
    is_over.set()


def test_both_sides_write_more_than_the_system_takes(scripted: Scripted, connect: Connect) -> None:
    rounds, text = 120, "x" * 60_000

    def script(peer: Peer) -> None:
        peer.welcome()
        for number in range(rounds):
            peer.say(f"{number} {text}")
        for number in range(rounds):
            message = peer.read()
            assert message is not None and message.msg == f"{number} {text}"
        peer.say("all came")

    client = connect("alice", scripted(script))
    for number in range(rounds):
        client.send("bob", f"{number} {text}")
    for number in range(rounds):
        assert client.recv(LIMIT).msg == f"{number} {text}"
    assert client.recv(LIMIT).msg == "all came"


def test_a_server_that_reads_nothing_holds_up_no_request_for_ever(
    scripted: Scripted, connect: Connect
) -> None:
    is_over = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        assert (ping := peer.read()) is not None
        peer.say(ping.msg)
        assert is_over.wait(LIMIT)

    client = connect("alice", scripted(script))
    try:
        with pytest.raises(Timeout):
            for _ in range(10_000):
                client.request("bob", "x" * 60_000, timeout=0.02)
                raise AssertionError("nobody has answered")
        for _ in range(200):
            with pytest.raises(Timeout):
                client.request("bob", "x" * 60_000, timeout=0)
        client.close(timeout=0.05)
    finally:
        is_over.set()


def test_ten_clients_at_a_time(server: Server, connect: Connect) -> None:
    clients = [connect(f"user{number}", server.address) for number in range(10)]
    assert clients[0].request("/shout", "hi")[0].msg == "Delivered to 9 users."
    assert {client.recv(LIMIT).msg for client in clients[1:]} == {"hi"}


@pytest.fixture
def stuck(scripted: Scripted) -> Iterator[Address]:
    """A server that welcomes, and then reads nothing."""
    is_over = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        assert is_over.wait(LIMIT)

    yield scripted(script)
    is_over.set()


def test_a_send_waits_no_longer_than_it_is_told(stuck: Address, connect: Connect) -> None:
    client = connect("alice", stuck)
    with pytest.raises(Timeout, match="not sent within 0.05 s, because the server does not read"):
        for _ in range(10_000):
            client.send("bob", "x" * 60_000, timeout=0.05)
    with pytest.raises(ValueError, match="at least 0"):
        client.send("bob", "x", timeout=-1)
    begun = time.monotonic()
    client.close(timeout=0.05)
    assert time.monotonic() - begun < 5, "what is left is given up"


@pytest.mark.parametrize("timeout", [1e10, 1e300, float("inf"), None])
def test_a_timeout_may_be_longer_than_the_system_knows(
    server: Server, connect: Connect, timeout: float | None
) -> None:
    client = connect("alice", server.address, timeout=timeout)
    client.send("/time", "", timeout=timeout)
    assert client.recv(timeout).msg.startswith("Server time")
    assert len(client.request("/time", timeout=timeout)) == 1
    client.close(timeout=timeout)


def test_abort_waits_for_nothing(stuck: Address, connect: Connect) -> None:
    client = connect("alice", stuck)
    with pytest.raises(Timeout):
        for _ in range(10_000):
            client.send("bob", "x" * 60_000, timeout=0.05)
    begun = time.monotonic()
    client.abort()
    client.abort()
    client.close()
    assert time.monotonic() - begun < 5
    with pytest.raises(ConnectionClosed, match="this client is closed"):
        client.recv()


def test_what_came_before_an_abort_can_be_received(server: Server, connect: Connect) -> None:
    client = connect("alice", server.address)
    client.send("alice", "to myself")
    client.request("/time")
    client.abort()
    assert [message.msg for message in client] == ["to myself"]
    wait_until(lambda: server.users() == [])


@pytest.mark.parametrize("port", [0, -1, 65536, 65432 + 65536, 10**20])
def test_a_port_that_is_none_is_an_error(connect: Connect, port: int) -> None:
    with pytest.raises(ValueError, match=f"port is a number from 1 to 65535, not {port}"):
        connect("alice", ("127.0.0.1", port))


@pytest.mark.parametrize("host", ["0", "1.2", "127.1", "0x7f000001", "010.0.0.1", "1.2.3.4.5"])
def test_an_incomplete_address_is_an_error(connect: Connect, host: str) -> None:
    with pytest.raises(ValueError, match=f"host \"{host}\" .*an IPv4 address of four numbers"):
        connect("alice", (host, 65432))


@pytest.mark.parametrize("host", ["", "a b", "*", "[::1]", "127.0.0.1:7000"])
def test_a_host_that_is_none_is_an_error(connect: Connect, host: str) -> None:
    with pytest.raises(ValueError, match="cannot be used"):
        connect("alice", (host, 65432))


def test_a_port_is_a_number(connect: Connect) -> None:
    for port in ("65432", 1.5, None, True):
        with pytest.raises(TypeError, match="port is a number"):
            connect("alice", ("127.0.0.1", port))  # type: ignore[arg-type]


def test_tls_of_none_is_off(server: Server, connect: Connect) -> None:
    assert connect("alice", server.address, tls=None).name == "alice"
    with pytest.raises(TypeError, match="tls is True, False, None or an SSLContext, not 'yes'"):
        connect("bob", server.address, tls="yes")


PAGE = [
    ("SERVER", "alice", "history #tea count=3 ids=1-3 epoch=9f more=false first=… last=…"),
    ("bob", "#tea", "one"),
    ("alice", "#tea", "end of history #tea"),
    ("bob", "#tea", "three"),
    ("SERVER", "alice", "end of history #tea"),
]


@pytest.mark.parametrize("room", ["#tea", '"#tea time"', '"a ""b"" c"'])
@pytest.mark.parametrize("end", ["", ": 2 of them were too long for you"])
def test_a_page_of_history_is_whole(
    scripted: Scripted, connect: Connect, room: str, end: str
) -> None:
    page = [(sender, to, msg.replace("#tea", room)) for sender, to, msg in PAGE]
    page[-1] = (*page[-1][:2], page[-1][2] + end)

    def say(peer: Peer, sender: str, to: str, msg: str) -> None:
        peer.socket.sendall(encode(Message(sender, to, msg)))

    def script(peer: Peer) -> None:
        peer.welcome()
        while (message := peer.read()) is not None:
            if message.to == "/ping":
                peer.say(message.msg)
                continue
            say(peer, "bob", "#tea", "before it")
            if message.to == "/join":
                peer.say("Joined.")
            for each in page:
                say(peer, *each)
            say(peer, "bob", "#tea", "behind it")

    client = connect("alice", scripted(script))
    for command, first in (("/history", []), ("/join", [("SERVER", "alice", "Joined.")])):
        answer = client.request(command, f"{room} 3")
        assert [(each.sender, each.to, each.msg) for each in answer] == first + page
        assert [client.recv(LIMIT).msg for _ in range(2)] == ["before it", "behind it"]


def test_a_text_that_begins_like_a_page_begins_none(scripted: Scripted, connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()

        def answers(message: Message) -> list[str]:
            if message.to == "/ping":
                return [message.msg]
            peer.say("history of tea count=3, a book")
            peer.socket.sendall(encode(Message("bob", "alice", "hi")))
            return ["history is not kept"]

        peer.answer(answers)

    client = connect("alice", scripted(script))
    assert len(client.request("/history", "#tea")) == 2
    assert client.recv(LIMIT).msg == "hi"


def test_a_page_that_comes_too_late_is_received_whole(scripted: Scripted, connect: Connect) -> None:
    late = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        while (message := peer.read()) is not None:
            if message.to == "/ping":
                peer.say(message.msg)
                continue
            for at, each in enumerate(PAGE):
                peer.socket.sendall(encode(Message(*each)))
                if at == 1:
                    assert late.wait(LIMIT)

    client = connect("alice", scripted(script))
    with pytest.raises(Timeout):
        client.request("/history", "#tea", timeout=0.1)
    late.set()
    received = [client.recv(LIMIT) for _ in PAGE]
    assert [(each.sender, each.to, each.msg) for each in received] == PAGE


def test_a_message_above_the_limit_names_the_option(scripted: Scripted, connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        peer.say("x" * 1000)

    address = scripted(script)
    assert len(connect("alice", address, max_frame=2000).recv(LIMIT).msg) == 1000
    client = connect("alice", address, max_frame=1000)
    with pytest.raises(DecodeError) as caught:
        client.recv(LIMIT)
    assert caught.value.kind == "too-long" and caught.value.is_framing
    assert "more than 1000 bytes, the limit of this client: raise `max_frame`" in str(caught.value)
    for wrong in (127, 0, -1, (1 << 30) + 1):
        with pytest.raises(ValueError, match=f"max_frame is a number of bytes .*, not {wrong}"):
            connect("alice", address, max_frame=wrong)


def test_max_frame_is_the_limit_of_what_is_sent_too(server: Server, connect: Connect) -> None:
    client = connect("alice", server.address, max_frame=1000)
    with pytest.raises(FrameTooLong, match=r"limit of 1000 bytes \(`max_frame`\)"):
        client.send("alice", "x" * 1000)
    client.send("alice", "x" * 900)
    assert len(client.recv(LIMIT).msg) == 900


def test_the_last_words_are_read_behind_a_send_that_failed(
    scripted: Scripted, connect: Connect
) -> None:
    """A server that expels a client says why, closes, and resets what the client still sends."""
    is_connected = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        assert is_connected.wait(LIMIT)
        # at once: the system would discard a second write that it has not sent yet
        words = [Message("SERVER", "alice", msg) for msg in ("⛔ You were kicked.", "Goodbye.")]
        peer.socket.sendall(b"".join(map(encode, words)))
        peer.socket.close()

    client = connect("alice", scripted(script))
    is_connected.set()
    with pytest.raises(ConnectionClosed):
        while True:
            # a driven client's event loop reads nothing in between
            time.sleep(0.001)
            client.send("bob", "are you there?")
    assert [client.recv(LIMIT).msg for _ in range(2)] == ["⛔ You were kicked.", "Goodbye."]


def test_the_last_words_are_read_by_close_behind_a_send_that_failed(
    scripted: Scripted, connect: Connect
) -> None:
    may_speak, has_spoken = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        assert may_speak.wait(LIMIT)
        peer.say("⛔ You were kicked.")
        peer.socket.close()
        has_spoken.set()

    client = connect("alice", scripted(script))
    may_speak.set()
    assert has_spoken.wait(LIMIT)
    client.send("bob", "are you there?")
    client.close()
    assert client.recv(LIMIT).msg == "⛔ You were kicked."


def socket_of(client: AnyClient) -> socket.socket:
    connection: Any = client
    if isinstance(client, Driven):
        connection = client.client._open()
        found: socket.socket = connection._transport.get_extra_info("socket")
        return found
    return cast(socket.socket, connection._socket)


@pytest.mark.skipif(sys.platform != "linux", reason="the options have other names elsewhere")
def test_a_dead_link_is_noticed_by_default(server: Server, connect: Connect) -> None:
    def options(client: AnyClient) -> list[int]:
        names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_USER_TIMEOUT", "TCP_NODELAY")
        connection = socket_of(client)
        values = [connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names]
        return [connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), *values]

    assert options(connect("alice", server.address)) == [1, 45, 15, 90_000, 1]
    assert options(connect("bob", server.address, keep_alive=12)) == [1, 6, 2, 12_000, 1]
    off = options(connect("carol", server.address, keep_alive=None))
    assert (off[0], off[3], off[4]) == (0, 0, 1)
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="keep_alive is a number of seconds above 0"):
            connect("dave", server.address, keep_alive=wrong)


def test_a_server_that_hangs_is_noticed(scripted: Scripted, connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        peer.say("last words")
        pings = peer.read()
        assert pings is not None and pings.to == "/ping"
        assert peer.read() is None

    client = connect("alice", scripted(script), ping_interval=0.1)
    assert client.recv(LIMIT).msg == "last words"
    for _ in range(2):
        with pytest.raises(ConnectionClosed, match="did not answer /ping within 0.1 s"):
            client.recv(LIMIT)
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="ping_interval is a number of seconds above 0"):
            connect("bob", ("127.0.0.1", 1), ping_interval=wrong)


@pytest.mark.parametrize("offers_ping", [True, False])
def test_a_server_that_answers_pings_stays(
    scripted: Scripted, connect: Connect, offers_ping: bool
) -> None:
    pings = 0

    def script(peer: Peer) -> None:
        nonlocal pings
        peer.welcome()
        while (message := peer.read()) is not None:
            pings += 1
            if pings == 3:
                peer.say("three")
            elif offers_ping:
                peer.say(message.msg)
            else:
                for msg in without_ping(message):
                    peer.say(msg)

    client = connect("alice", scripted(script), ping_interval=0.4)
    assert client.recv(LIMIT).msg == "three", "the answers to the pings are no messages"


def test_with(server: Server) -> None:
    with Client("alice", *server.address) as client:
        assert repr(client) == "<chatproto.Client 'alice' at {}:{}, open>".format(*server.address)
        assert next(iter(client.request("/list"))).is_from_server
    assert repr(client).endswith("closed>")
    with pytest.raises(ConnectionClosed, match="this client is closed|closed the connection"):
        client.recv()


def test_a_client_that_is_left_open_is_closed_with_a_warning(scripted: Scripted) -> None:
    has_ended = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        assert peer.read() is None
        has_ended.set()

    threads = threading.active_count()
    address = scripted(script)
    client = Client("alice", *address)
    assert threading.active_count() == threads + 2, "those of the server of this test"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del client
        gc.collect()
    assert [warning.category for warning in caught] == [ResourceWarning]
    assert has_ended.wait(LIMIT)


@pytest.mark.parametrize(
    "error",
    [
        ChatProtoError("x"),
        DecodeError("x", 5, "to", "wrong-type", True),
        NameRefused("x"),
        ConnectionClosed("x"),
        Timeout("x"),
        FrameTooLong("x", 2, 1),
        WebSocketError("x", 503),
    ],
)
def test_errors_can_be_pickled_and_copied(error: Exception) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)


def test_what_errors_are() -> None:
    assert issubclass(DecodeError, ValueError)
    assert issubclass(ConnectionClosed, ConnectionError)
    assert issubclass(Timeout, TimeoutError)
    assert issubclass(FrameTooLong, ValueError)
    error = DecodeError("`to` must be a string (byte 6 of the object)", 6, "to", "wrong-type")
    assert "`to` must be a string" in str(error) and "all strings" in str(error)
    assert json.dumps(vars(error)["messages"]) == "[]"
