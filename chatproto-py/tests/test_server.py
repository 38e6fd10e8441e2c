"""The server: endpoints written in Python, its life, and what goes wrong."""

import errno
import logging
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

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
        assert "in fail\n    raise KeyError(" in caplog.text, "the log has the traceback"
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


def test_an_endpoint_cannot_stop_its_own_server() -> None:
    server, other = Server(port=0), Server(port=0)
    refusals: list[str] = []

    @server.endpoint("/stop")
    def stop(request: Request) -> str:
        other.stop()
        try:
            server.stop()
        except ChatProtoError as error:
            refusals.append(str(error))
        return "still here"

    with server, other, Client("alice", port=server.address[1]) as client:
        assert client.request("/stop")[0].msg == "still here"
        with pytest.raises(OSError):
            socket.create_connection(other.address, timeout=5).close()
    assert len(refusals) == 1 and "stop it in another thread" in refusals[0]


def test_any_thread_may_use_it_at_any_time() -> None:
    """Threads start, stop and ask: none sees a server that is half started or half stopped."""
    server = Server(port=0, threads=1)
    server.endpoint("/dice")(lambda request: "5")
    rounds, is_over = 20, threading.Event()

    def start_and_stop() -> None:
        for _ in range(rounds):
            try:
                server.start()
            except ChatProtoError as error:
                assert "running already" in str(error)
            server.stop()

    def ask() -> None:
        while not is_over.is_set():
            host, port = server.address
            assert host == "127.0.0.1" and 0 <= port <= 65535
            assert server.users() == [] and server.tls_fingerprint is None
            try:
                server.endpoint("/list")(lambda request: "")
            except (ValueError, ChatProtoError):
                pass

    with ThreadPoolExecutor(6) as pool:
        asking = [pool.submit(ask) for _ in range(3)]
        for future in [pool.submit(start_and_stop) for _ in range(3)]:
            future.result(120)
        is_over.set()
        for future in asking:
            future.result(60)
    with server, Client("alice", port=server.address[1]) as client:
        assert client.request("/dice")[0].msg == "5"


def test_it_can_be_asked_while_it_stops() -> None:
    server = Server(port=0)
    is_called, may_end = threading.Event(), threading.Event()

    @server.endpoint("/slow")
    def slow(request: Request) -> str:
        is_called.set()
        assert may_end.wait(60)
        return "done"

    server.start()
    with Client("alice", port=server.address[1]) as client, ThreadPoolExecutor(2) as pool:
        client.send("/slow", "")
        assert is_called.wait(60)
        stopping = [pool.submit(server.stop) for _ in range(2)]
        while not any(message.msg.startswith("The server") for message in client):
            pass
        assert server.address[1] > 0 and isinstance(server.users(), list)
        may_end.set()
        for future in stopping:
            future.result(60)
    assert server.users() == []


FORK = """
import os, sys, warnings
from chatproto import Client, Server

# the child uses nothing of other threads
warnings.simplefilter("ignore", DeprecationWarning)
server = Server(port=0)
server.endpoint("/dice")(lambda request: "5")
server.start()
port = server.address[1]
with Client("alice", port=port) as client:
    if (child := os.fork()) == 0:
        code = 1
        try:
            assert server.users() == [] and server.address[1] == 0
            server.stop()
            with server:
                own = server.address[1]
                assert own != port
                with Client("bob", port=own) as other:
                    assert other.request("/dice")[0].msg == "5"
                    assert server.users() == ["bob"]
            assert server.users() == []
            del server
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert client.request("/dice")[0].msg == "5" and server.users() == ["alice"]
server.stop()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_the_child_of_a_fork_has_no_server_and_can_have_one() -> None:
    command = [sys.executable, "-c", FORK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


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
    with pytest.raises(OSError, match="cannot listen on no-such-host.invalid:0: unknown host"):
        Server("no-such-host.invalid", 0).start()
    for host in ("0", "1.2", "127.1", "0x7f000001", "010.0.0.1", "1.2.3.4.5"):
        with pytest.raises(ValueError, match=f"host \"{host}\" .*an IPv4 address of four numbers"):
            Server(host, 0)
    for host in ("", " ", "*", "[::1]", "127.0.0.1:7000"):
        with pytest.raises(ValueError, match="cannot be used"):
            Server(host, 0)
    with pytest.raises(ChatProtoError, match="limits"):
        Server(port=0, max_frame=1).start()
    for port in (-1, 65536, 10**20):
        with pytest.raises(ValueError, match=f"port is a number from 0 to 65535, not {port}"):
            Server(port=port)
    with pytest.raises(ValueError, match="drop-oldest"):
        Server(slow_reader="wait")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seconds"):
        Server(registration=-1.0)


def test_errors_of_the_system_have_no_number_of_rust() -> None:
    with Server(port=0) as server, pytest.raises(OSError) as caught:
        Server(port=server.address[1]).start()
    assert caught.value.errno == errno.EADDRINUSE
    assert "os error" not in str(caught.value)


def test_a_name_stands_for_all_its_addresses() -> None:
    with Server("localhost", 0) as server:
        assert server.address[0] in ("127.0.0.1", "::1")
        with Client("alice", "localhost", server.address[1]) as alice:
            assert alice.welcome


def test_its_options() -> None:
    with Server(port=0, admin_token="correct horse battery", announce=True, rate=None) as server:
        port = server.address[1]
        with Client("alice", port=port) as alice:
            assert alice.request("/admin", "correct horse battery")[0].msg.startswith("You are")
            with Client("bob", port=port):
                notice = alice.recv(timeout=60)
                assert (notice.to, notice.msg) == ("Everyone", "bob joined.")
