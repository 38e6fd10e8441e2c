"""The server: endpoints written in Python, its life, and what goes wrong."""

import logging
import socket
import threading

import pytest

from chatproto import ChatProtoError, Client, Refuse, Request, Server


def test_it_starts_stops_and_starts_again() -> None:
    server = Server(port=0)
    assert server.users() == []
    for _ in range(2):
        server.start()
        host, port = server.address
        assert host == "127.0.0.1" and port > 0
        with pytest.raises(ChatProtoError, match="running already"):
            server.start()
        with Client("alice", port=port):
            assert server.users() == ["alice"]
        server.stop()
        server.stop()
        assert server.users() == []
        with pytest.raises(OSError):
            socket.create_connection((host, port), timeout=5).close()


def test_an_endpoint_answers() -> None:
    server = Server(port=0)

    @server.endpoint("/echo", help="Says it again.")
    def echo(request: Request) -> str:
        assert (request.user, request.endpoint) == ("alice", "/echo")
        return f"{request.msg}|{'|'.join(request.arguments)}"

    assert callable(echo)
    with server, Client("alice", port=server.address[1]) as client:
        assert client.request("/echo", '/echo a "b c"')[0].msg == 'a "b c"|a|b c'
        assert client.request("/help", "/echo")[0].msg == "/echo: Says it again."


def test_one_that_refuses_or_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(port=0)

    @server.endpoint("/refuse")
    def refuse(request: Request) -> str:
        raise Refuse("not today.")

    @server.endpoint("/fail")
    def fail(request: Request) -> str:
        raise KeyError("what only the log is to say")

    @server.endpoint("/number")
    def number(request: Request) -> str:
        return 5  # type: ignore[return-value]

    with server, Client("alice", port=server.address[1]) as client:
        assert client.request("/refuse")[0].msg == "❌ not today."
        with caplog.at_level(logging.ERROR, "chatproto"):
            for endpoint in ("/fail", "/number"):
                answer = client.request(endpoint)[0].msg
                assert answer == "❌ The command failed. Try again later."
        texts = [f"{record.getMessage()} {record.exc_info}" for record in caplog.records]
        assert "/fail" in texts[0] and "what only the log is to say" in texts[0]
        assert "/number" in texts[1] and "answers with a str, not int" in texts[1]
        assert client.request("/ping", "still here")[0].msg == "still here"


def test_a_slow_endpoint_holds_up_nobody_else() -> None:
    server = Server(port=0)
    go_on = threading.Event()

    @server.endpoint("/slow")
    def slow(request: Request) -> str:
        assert go_on.wait(60)
        return "done"

    with server:
        port = server.address[1]
        with Client("alice", port=port) as alice, Client("bob", port=port) as bob:
            alice.send("/slow", "")
            assert bob.request("/ping", "x")[0].msg == "x"
            go_on.set()
            assert alice.recv(timeout=60).msg == "done"


def test_an_endpoint_may_stand_in_the_way_of_a_stop() -> None:
    server = Server(port=0)
    began = threading.Event()

    @server.endpoint("/slow")
    def slow(request: Request) -> str:
        began.set()
        return "done"

    server.start()
    with Client("alice", port=server.address[1]) as client:
        client.send("/slow", "")
        assert began.wait(60)
        server.stop()


def test_what_cannot_be_an_endpoint() -> None:
    server = Server(port=0)
    for name in ("dice", "/", "/di ce", "/list"):
        with pytest.raises(ValueError, match="endpoint"):
            server.endpoint(name)(lambda request: "")
    server.endpoint("/dice")(lambda request: "")
    with pytest.raises(ValueError, match="there is one of that name"):
        server.endpoint("/dice")(lambda request: "")
    with pytest.raises(TypeError, match="function of the request"):
        server.endpoint("/x")("no function")  # type: ignore[type-var]
    with server, pytest.raises(ChatProtoError, match="before the server is started"):
        server.endpoint("/late")(lambda request: "")


def test_what_it_cannot_listen_on() -> None:
    with Server(port=0) as server:
        with pytest.raises(OSError, match="choose another port"):
            Server(port=server.address[1]).start()
    with pytest.raises(OSError, match="no such host"):
        Server("no-such-host.invalid", 0).start()
    with pytest.raises(ChatProtoError, match="limits"):
        Server(port=0, max_frame=1).start()
    with pytest.raises(ValueError, match="drop-oldest"):
        Server(slow_reader="wait")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seconds"):
        Server(registration=-1.0)


def test_its_options() -> None:
    with Server(port=0, admin_token="correct horse battery", announce=True, rate=None) as server:
        port = server.address[1]
        with Client("alice", port=port) as alice:
            assert alice.request("/admin", "correct horse battery")[0].msg.startswith("You are")
            with Client("bob", port=port):
                notice = alice.recv(timeout=60)
                assert (notice.to, notice.msg) == ("Everyone", "bob joined.")
