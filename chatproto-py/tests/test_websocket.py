"""Both clients over WebSocket: on a server behind a gateway, which speaks it through Python's
``websockets``, and on servers that follow a script.
"""

import base64
import contextlib
import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import LIMIT, Address, Certificate, Connect, Peer, Script, python, wait_until
from websockets.exceptions import ConnectionClosed as PeerClosed
from websockets.sync.server import ServerConnection, serve

import chatproto.aio
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
    TlsError,
    WebSocketError,
    encode,
)

Scripted = Callable[[Script], Address]


@contextlib.contextmanager
def gateway(server: Server, **options: Any) -> Iterator[str]:
    """The address of a listener for WebSockets, whose messages go to this server, and back."""

    def relay(websocket: ServerConnection) -> None:
        with socket.create_connection(server.address) as tcp:
            back = threading.Thread(target=relay_back, args=(tcp, websocket))
            back.start()
            with contextlib.suppress(PeerClosed):
                for text in websocket:
                    assert isinstance(text, str)
                    tcp.sendall(f"{text}\n".encode())
            with contextlib.suppress(OSError):
                tcp.shutdown(socket.SHUT_WR)
            back.join()

    def relay_back(tcp: socket.socket, websocket: ServerConnection) -> None:
        with contextlib.suppress(PeerClosed, OSError), tcp.makefile("rb") as objects:
            for one in objects:
                websocket.send(one.decode())
            tcp.shutdown(socket.SHUT_WR)
            websocket.close(1001, "the chat ended")

    with serve(relay, "127.0.0.1", 0, **options) as listener:
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        host, port = listener.socket.getsockname()
        yield f"{host}:{port}"
        listener.shutdown()
        thread.join()


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    """The URL of the server's WebSocket."""
    with gateway(server) as address:
        yield f"ws://{address}/ws"


def at(address: Address) -> str:
    return f"ws://{address[0]}:{address[1]}/chat"


def read_head(peer: socket.socket) -> str:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += peer.recv(1)
    return head.decode()


def opening(head: str) -> bytes:
    """The answer that opens a WebSocket."""
    key = head.partition("Sec-WebSocket-Key: ")[2].partition("\r\n")[0]
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
    accept = base64.b64encode(digest).decode()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ).encode()


def frame(first: int, payload: bytes) -> bytes:
    """A frame of a server."""
    if len(payload) < 126:
        return bytes([first, len(payload)]) + payload
    return bytes([first, 126]) + len(payload).to_bytes(2) + payload


def said(msg: str) -> bytes:
    return frame(0x81, encode(Message("SERVER", "alice", msg)))


WELCOME = said("Welcome, alice!")


def opened(*frames: bytes, ends: bool = True) -> tuple[Script, list[tuple[int, bytes]]]:
    """A server that opens a WebSocket and sends these frames. Then come the frames of the client."""
    came: list[tuple[int, bytes]] = []

    def script(peer: Peer) -> None:
        answer = opening(read_head(peer.socket))
        # all in one write
        peer.socket.sendall(answer + b"".join(frames))
        if ends:
            peer.socket.shutdown(socket.SHUT_WR)
        with peer.socket.makefile("rb") as stream:
            while head := stream.read(2):
                assert 0x80 <= head[1] < 0x80 + 126, "masked and short"
                mask, payload = stream.read(4), stream.read(head[1] & 0x7F)
                plain = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
                came.append((head[0], plain))

    return script, came


def test_users_of_both_transports_talk(server: Server, url: str, connect: Connect) -> None:
    alice, bob = connect("alice", url=url), connect("bob", server.address)
    assert alice.welcome.msg.startswith("Welcome, alice!")
    assert (alice.name, alice.server_kind) == ("alice", "stream")
    assert alice.address == ("127.0.0.1", int(url.split(":")[2].partition("/")[0]))
    # of each length of a frame's header
    for length in (1, 100, 200, 60_000):
        text = "ü" * (length // 2 + 1)
        alice.send("bob", text)
        assert bob.recv(LIMIT).msg == text
        bob.send("alice", text)
        received = alice.recv(LIMIT)
        assert (received.sender, received.msg) == ("bob", text)
    assert alice.request("/list")[0].msg == "Connected users (1): bob"
    with pytest.raises(FrameTooLong, match="65536"):
        alice.send("bob", "x" * 70_000)
    assert [message.msg for message in alice.request("/nick", "Alice")]
    assert alice.name == "Alice"


def test_much_goes_both_ways(server: Server, url: str, connect: Connect) -> None:
    alice, bob = connect("alice", url=url), connect("bob", url=url)
    text = "y" * 10_000
    for number in range(50):
        alice.send("bob", f"{number} {text}")
        bob.send("alice", f"{number} {text}")
    for number in range(50):
        assert bob.recv(LIMIT).msg.startswith(f"{number} ")
        assert alice.recv(LIMIT).msg.startswith(f"{number} ")


def test_threads_share_it(server: Server, url: str) -> None:
    count = 500
    with Client("alice", url=url) as alice, Client("bob", url=url) as bob:

        def send(sender: Client, to: str) -> None:
            for number in range(count):
                sender.send(to, str(number))

        threads = [
            threading.Thread(target=send, args=pair) for pair in ((alice, "bob"), (bob, "alice"))
        ]
        for thread in threads:
            thread.start()
        for client in (alice, bob):
            assert [client.recv(LIMIT).msg for _ in range(count)] == [str(n) for n in range(count)]
        for thread in threads:
            thread.join()


def test_a_name_is_refused_and_free_again_as_over_tcp(
    server: Server, url: str, connect: Connect
) -> None:
    alice = connect("alice", url=url)
    for options in ({"url": url}, {}):
        address = () if options else server.address
        with pytest.raises(NameRefused, match="alice"):
            connect("alice", address, **options)
    with pytest.raises(NameRefused, match="choose another name"):
        connect("a,b", url=url)
    alice.close()
    wait_until(lambda: not server.users())
    again = connect("alice", url=url)
    again.close()
    wait_until(lambda: not server.users())
    assert connect("alice", server.address).welcome


def test_what_was_sent_before_the_end_arrives(server: Server, url: str, connect: Connect) -> None:
    alice, bob = connect("alice", url=url), connect("bob", server.address)
    for number in range(100):
        alice.send("bob", str(number))
    alice.close()
    assert [bob.recv(LIMIT).msg for _ in range(100)] == [str(n) for n in range(100)]
    with pytest.raises(ConnectionClosed, match="make a new Client"):
        alice.send("bob", "late")


def test_an_end_of_the_server_is_told(server: Server, url: str, connect: Connect) -> None:
    alice = connect("alice", url=url)
    server.stop()
    assert ["Goodbye" in message.msg for message in alice] == [True]
    for _ in range(2):
        with pytest.raises(ConnectionClosed) as caught:
            alice.recv()
        assert str(caught.value) == (
            "the server has closed the connection (close code 1001: the chat ended): make a new Client"
        )


def test_control_frames_are_answered(scripted: Scripted, connect: Connect) -> None:
    script, came = opened(
        WELCOME,
        frame(0x89, b"one"),
        said("hi"),
        frame(0x89, b"two"),
        frame(0x88, b"\x03\xe9"),
        ends=False,
    )
    client = connect("alice", url=at(scripted(script)))
    assert client.recv(LIMIT).msg == "hi"
    with pytest.raises(
        ConnectionClosed, match=r"\(close code 1001, the server stops\): make a new"
    ):
        client.recv(LIMIT)
    wait_until(lambda: len(came) == 3)
    assert came == [(0x81, b"alice"), (0x8A, b"two"), (0x88, b"\x03\xe9")]


def test_a_ping_is_answered_while_nothing_else_comes(scripted: Scripted, connect: Connect) -> None:
    def pinging(peer: Peer) -> None:
        peer.socket.sendall(opening(read_head(peer.socket)) + WELCOME)
        # the name comes first
        assert len(peer.socket.recv(100)) == 6 + len("alice")
        peer.socket.sendall(frame(0x89, b"there?"))
        assert len(peer.socket.recv(100)) == 6 + len("there?")
        peer.socket.sendall(said("thanks"))

    assert connect("alice", url=at(scripted(pinging))).recv(LIMIT).msg == "thanks"


def test_a_client_says_that_it_goes(scripted: Scripted, connect: Connect) -> None:
    script, came = opened(WELCOME, ends=False)
    client = connect("alice", url=at(scripted(script)))
    client.send("bob", "last")
    client.close(timeout=0.05)
    wait_until(lambda: len(came) == 3)
    assert [first for first, _ in came] == [0x81, 0x81, 0x88]
    assert came[2][1] == b"\x03\xe8"


ANSWERS = [
    (
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n<html>\n",
        200,
        "200 OK: <html> .check the path",
    ),
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, "404 Not Found .check the path"),
    (b"HTTP/1.1 403 Forbidden\r\n\r\nno way", 403, "with 403 Forbidden: no way$"),
    (b"HTTP/1.1 403 Forbidden\r\n\r\n", 403, "403 Forbidden .ask the server's operator"),
    (
        b"HTTP/1.1 421 Odd\r\nContent-Length: 0\r\n\r\n",
        421,
        "421 Odd .check the host name of the URL",
    ),
    (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 503, "503 Busy .try again later"),
    (b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n", None, "no header `Connection: Upgrade`"),
    (
        b"220 mail.example ESMTP\r\n",
        None,
        "this port does not speak WebSocket .it answered: 220 mail",
    ),
    (
        b"HTTP/1.1 101 Switch",
        None,
        "closed the connection during the WebSocket handshake: check the",
    ),
    (b"", None, "closed the connection during the WebSocket handshake: check the port"),
    (b"HTTP/1.1 101 x\r\nx: " + b"y" * 9000, None, "has more than 8192 bytes"),
]


@pytest.mark.parametrize(("answer", "status", "text"), ANSWERS, ids=[text for *_, text in ANSWERS])
def test_a_server_that_does_not_open_it_is_explained(
    scripted: Scripted, connect: Connect, answer: bytes, status: int | None, text: str
) -> None:
    heard: list[bytes] = []

    def script(peer: Peer) -> None:
        assert read_head(peer.socket).startswith("GET /chat HTTP/1.1\r\nHost: 127.0.0.1:")
        peer.socket.sendall(answer)
        peer.socket.shutdown(socket.SHUT_WR)
        heard.append(peer.socket.recv(100))

    with pytest.raises(WebSocketError, match=text) as caught:
        connect("alice", url=at(scripted(script)))
    assert caught.value.status == status
    assert isinstance(caught.value, (ChatProtoError, ConnectionError))
    wait_until(lambda: bool(heard))
    assert heard == [b""], "the name was not sent"


def test_a_plain_server_is_no_websocket_server(server: Server, connect: Connect) -> None:
    with pytest.raises(WebSocketError, match="the WebSocket handshake with 400 ") as caught:
        connect("alice", url=at(server.address))
    assert caught.value.status == 400
    assert server.users() == []


HOSTILE = [
    (b"\x81\x80\0\0\0\0", b"\x03\xea", "a server must not mask its WebSocket frames"),
    (frame(0x82, b"{}"), b"\x03\xeb", "must be a text frame"),
    (frame(0xC1, b"{}"), b"\x03\xea", "a reserved bit"),
    (frame(0x89, b"x" * 126), b"\x03\xea", "at most 125 bytes"),
    (b"\x81\x7f" + b"\xff" * 8, b"\x03\xea", "less than 2.63"),
    (frame(0x80, b"{}"), b"\x03\xea", "needs a message to continue"),
    (frame(0x81, b'{"from":'), b"\x03\xef", "ended inside an object"),
    (frame(0x88, b"\x03\xed"), b"\x03\xea", "an invalid code"),
]


@pytest.mark.parametrize("is_welcomed", [True, False])
@pytest.mark.parametrize(("bad", "code", "text"), HOSTILE, ids=[text for *_, text in HOSTILE])
def test_a_violation_ends_the_connection_and_is_told(
    scripted: Scripted, connect: Connect, bad: bytes, code: bytes, text: str, is_welcomed: bool
) -> None:
    script, came = opened(*([WELCOME, said("hi")] if is_welcomed else []), bad, ends=False)
    address = scripted(script)
    if is_welcomed:
        client = connect("alice", url=at(address))
        assert client.recv(LIMIT).msg == "hi"
        for _ in range(2):
            with pytest.raises(
                WebSocketError, match=f"the rules of WebSocket: .*{text}.*: tell the"
            ):
                client.recv(LIMIT)
        with pytest.raises(WebSocketError):
            client.send("bob", "x")
    else:
        with pytest.raises(WebSocketError, match=text) as caught:
            connect("alice", url=at(address))
        assert caught.value.status is None
    wait_until(lambda: bool(came) and came[-1][0] == 0x88)
    assert came[-1] == (0x88, code)


def test_a_close_frame_before_the_welcome_is_told(scripted: Scripted, connect: Connect) -> None:
    for payload, text in [
        (b"\x03\xf5", r"without a welcome \(close code 1013, try again later\): is that the URL"),
        (b"\x03\xf0too many", r"without a welcome \(close code 1008: too many\): is that"),
        (b"", "without a welcome: is that"),
    ]:
        script, _ = opened(frame(0x88, payload), ends=False)
        with pytest.raises(ConnectionClosed, match=f"^ws://127.0.0.1:[0-9]+/chat .*{text}"):
            connect("alice", url=at(scripted(script)))


def test_what_is_no_message_is_told_as_over_tcp(scripted: Scripted, connect: Connect) -> None:
    for frames, text in [
        ([frame(0x81, b"hello")], "an object must begin with"),
        ([said("x" * 200)], "raise `max_frame`"),
        # the connection ends inside a frame
        ([said("x")[:-5]], "ended inside an object"),
    ]:
        script, _ = opened(WELCOME, *frames)
        client = connect("alice", url=at(scripted(script)), max_frame=200)
        with pytest.raises(DecodeError, match=text):
            client.recv(LIMIT)


def test_who_is_silent_is_noticed(scripted: Scripted, connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(
            Timeout, match=r"^ws://127.0.0.1:[0-9]+/chat did not connect and register"
        ):
            connect("alice", url=at(silent.getsockname()), timeout=0.05)
    script, came = opened(WELCOME, ends=False)
    client = connect("alice", url=at(scripted(script)), ping_interval=0.05)
    with pytest.raises(ConnectionClosed, match="did not answer /ping within 0.05 s"):
        client.recv(LIMIT)
    assert b'"to":"/ping"' in came[1][1]


def test_nobody_listens(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    with pytest.raises(
        ConnectionRefusedError, match=f"cannot connect to {at(address)} .*HTTP at port"
    ):
        connect("alice", url=at(address))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"url": "http://localhost"},
            'url "http://localhost" cannot be used: expected a URL such as ws',
        ),
        ({"url": "localhost:8080"}, "expected a URL such as ws://127.0.0.1:8080/ws"),
        ({"url": ""}, "expected a URL"),
        ({"url": "ws://localhost:0"}, "a port is a number from 1 to 65535"),
        ({"url": "ws://1.2"}, "expected an IPv4 address"),
        (
            {"url": "ws://localhost?name=bob"},
            "the client sends its name itself: remove the parameter",
        ),
        ({"url": "ws://localhost", "port": 7000}, "give a URL, or a host and a port, and not both"),
        (
            {"url": "ws://localhost", "host": "::1"},
            "give a URL, or a host and a port, and not both",
        ),
        ({"host": "ws://localhost"}, "host 'ws://localhost' is a URL: give it as url"),
        ({"url": "ws://localhost", "tls": True}, "ws:// is without TLS: write wss://"),
        (
            {"url": "ws://localhost", "tls_fingerprint": "aa" * 32},
            "ws:// is without TLS: write wss://",
        ),
    ],
)
def test_what_cannot_be_a_url_is_refused(options: dict[str, Any], text: str) -> None:
    for kind in (Client, chatproto.aio.Client):
        with pytest.raises(ValueError) as caught:
            kind("alice", **options)
        assert text in str(caught.value)


@pytest.fixture
def secure(server: Server, own: Certificate) -> Iterator[str]:
    """The server's WebSocket over TLS, without a scheme."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.cert, own.key)
    with gateway(server, ssl=context) as address:
        yield f"localhost:{address.rpartition(':')[2]}"


def test_tls_is_under_it(server: Server, secure: str, connect: Connect, own: Certificate) -> None:
    alice = connect("alice", url=f"wss://{secure}", tls_ca=own.cert)
    bob = connect("bob", server.address)
    for number in range(20):
        bob.send("alice", f"{number} {'x' * 60_000}")
    for number in range(20):
        assert alice.recv(LIMIT).msg.startswith(f"{number} ")
    alice.send("bob", "y" * 60_000)
    assert len(bob.recv(LIMIT).msg) == 60_000
    alice.close()
    wait_until(lambda: server.users() == ["bob"])


def test_a_server_over_tls_must_be_trusted(
    server: Server, secure: str, connect: Connect, own: Certificate
) -> None:
    for options, text in [
        # as the URL alone asks for TLS
        ({}, "not from an authority that is trusted here"),
        ({"tls_fingerprint": "aa" * 32}, "another fingerprint"),
        ({"tls_ca": own.cert, "tls_name": "other.test"}, "is not for 'other.test'"),
    ]:
        with pytest.raises(TlsError, match=text):
            connect("alice", url=f"wss://{secure}", **options)
    with pytest.raises(TlsError, match="it offers none on this port"):
        connect("alice", url=f"wss://localhost:{server.address[1]}", tls_ca=own.cert)
    # the server may reset the connection
    with pytest.raises(ConnectionError, match="wss:// URL is used|with wss:// if it speaks TLS"):
        connect("alice", url=f"ws://{secure}")
    assert server.users() == []


def test_the_command_line(server: Server, url: str, scripted: Scripted) -> None:
    def chat(*arguments: str, typed: str = "") -> tuple[int, str, str]:
        with python("-m", "chatproto", "chat", *arguments) as process:
            out, err = process.communicate(typed, timeout=LIMIT)
            return process.returncode, out, err

    code, out, err = chat("alice", "--url", url, typed="/list\n")
    assert (code, err) == (0, "")
    assert "Connected users (0)" in out or "Nobody else" in out
    for arguments, code, text in [
        (("--url", "http://localhost"), 2, "expected a URL such as ws://"),
        (("--url", url, "--port", "7000"), 2, "give a URL, or a host and a port, and not both"),
        (("--url", at(server.address)), 1, "the WebSocket handshake with 400"),
        (("--url", url, "--tls-fingerprint", "aa" * 32), 2, "ws:// is without TLS: write wss://"),
    ]:
        actual, out, err = chat("alice", *arguments)
        assert (actual, out) == (code, "")
        assert err.startswith("chatproto: ") and text in err and len(err.splitlines()) == 1
    script, _ = opened(WELCOME, frame(0x88, b"\x03\xf0spam"), ends=False)
    with python("-m", "chatproto", "chat", "alice", "--url", at(scripted(script))) as process:
        assert process.wait(LIMIT) == 1
        assert process.stderr is not None
        assert process.stderr.read() == (
            "chatproto: the server has closed the connection (close code 1008: spam): start again to "
            "go on\n"
        )
