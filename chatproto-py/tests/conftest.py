"""What the tests of the clients share: a server, servers that follow a script, and both clients
behind one face.

Everything listens on a free port of loopback, and every wait is for something and has a limit.
"""

import asyncio
import faulthandler
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

import chatproto.aio
from chatproto import Client, Decoder, Message, Server, encode

LIMIT = 20.0
"""Seconds that anything may take."""

Address = tuple[str, int]
T = TypeVar("T")


@pytest.fixture(autouse=True)
def no_test_hangs() -> Iterator[None]:
    """A test that waits for ever ends the run, and shows where every thread was."""
    faulthandler.dump_traceback_later(300, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server without a limit of messages a second."""
    with Server(port=0, rate=None) as server:
        yield server


class Peer:
    """The server's side of a connection, by hand."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.name = ""
        self._decoder = Decoder()

    def welcome(self, end: bytes = b"\n") -> None:
        """Reads the name, and welcomes it."""
        self.name = self.socket.recv(1024).decode().rstrip("\n")
        self.say(f"Welcome, {self.name}!", end=end)

    def say(self, msg: str, to: str | None = None, end: bytes = b"\n") -> None:
        message = Message("SERVER", self.name if to is None else to, msg)
        self.socket.sendall(encode(message).rstrip(b"\n") + end)

    def read(self) -> Message | None:
        """The next message; None at the end."""
        for message in self._decoder:
            return message
        while data := self.socket.recv(65536):
            self._decoder.push(data)
            for message in self._decoder:
                return message
        return None

    def answer(self, answers: Callable[[Message], list[str]]) -> None:
        """Answers every message, until the end."""
        while (message := self.read()) is not None:
            for msg in answers(message):
                self.say(msg)


Script = Callable[[Peer], None]


@pytest.fixture
def scripted() -> Iterator[Callable[[Script], Address]]:
    """Makes servers: each runs a function for every connection, and closes it."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []
    failures: list[BaseException] = []

    def connection(peer: socket.socket, script: Script) -> None:
        with peer:
            peer.settimeout(LIMIT)
            try:
                script(Peer(peer))
                # the last words must not be destroyed by a reset
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(65536):
                    pass
            except OSError:
                # the client is gone
                pass
            except BaseException as error:
                failures.append(error)

    def accept(listener: socket.socket, script: Script) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            start(connection, peer, script)

    def start(function: Callable[..., None], *arguments: object) -> None:
        threads.append(threading.Thread(target=function, args=arguments))
        threads[-1].start()

    def make(script: Script) -> Address:
        listener = socket.create_server(("127.0.0.1", 0))
        # little is on the way to a server that does not read
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listeners.append(listener)
        start(accept, listener, script)
        address: Address = listener.getsockname()
        return address

    yield make
    for listener in listeners:
        # wakes the thread that accepts
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


class AnyClient(Protocol):
    """What both clients can do."""

    @property
    def name(self) -> str: ...
    @property
    def welcome(self) -> Message: ...
    @property
    def address(self) -> Address: ...
    @property
    def server_kind(self) -> str: ...
    def send(self, to: str, msg: str, timeout: float | None = None) -> None: ...
    def recv(self, timeout: float | None = None) -> Message: ...
    def request(
        self, command: str, msg: str = "", timeout: float | None = 10.0
    ) -> list[Message]: ...
    def close(self, timeout: float | None = 12.0) -> None: ...
    def abort(self) -> None: ...
    def __iter__(self) -> Iterator[Message]: ...


class Driven:
    """The asyncio client, driven call by call."""

    def __init__(self, runner: asyncio.Runner, *arguments: Any, **options: Any) -> None:
        self._runner = runner
        self.client = self._run(chatproto.aio.Client.connect(*arguments, **options))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def send(self, to: str, msg: str, timeout: float | None = None) -> None:
        self._run(self.client.send(to, msg, timeout))

    def recv(self, timeout: float | None = None) -> Message:
        return self._run(self.client.recv(timeout))

    def request(self, command: str, msg: str = "", timeout: float | None = 10.0) -> list[Message]:
        return self._run(self.client.request(command, msg, timeout))

    def close(self, timeout: float | None = 12.0) -> None:
        self._run(self.client.close(timeout))

    def __iter__(self) -> Iterator[Message]:
        while True:
            try:
                yield self._run(self.client.__anext__())
            except StopAsyncIteration:
                return

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)


Connect = Callable[..., AnyClient]


@pytest.fixture(params=["blocking", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes clients, of either kind."""
    clients: list[AnyClient] = []

    def make(name: str, address: Address | tuple[()] = (), **options: Any) -> AnyClient:
        if request.param == "asyncio":
            client: AnyClient = Driven(runner, name, *address, **options)
        else:
            client = Client(name, *address, **options)
        clients.append(client)
        return client

    with asyncio.Runner() as runner:
        yield make
        for client in clients:
            client.close()


class Certificate:
    """A certificate that signed itself, for localhost, in files."""

    def __init__(self, folder: Path, name: str) -> None:
        self.cert = str(folder / f"{name}.pem")
        self.key = str(folder / f"{name}.key")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
            + ["-nodes", "-keyout", self.key, "-out", self.cert, "-subj", f"/CN={name}"]
            + ["-addext", "subjectAltName=DNS:localhost,DNS:chat.test", "-days", "2"],
            check=True,
            capture_output=True,
        )


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("tls"), "own")


def without_ping(message: Message) -> list[str]:
    """What a server answers that offers only /time."""
    if message.to == "/time":
        return ["Server time: 14:03:27 (2026-11-20)"]
    return [f'❌ Unknown command "{message.to}". Send /help to see the commands.']


def one_read(peer: Peer) -> None:
    """A server as there are: no line feed, and every read is one message, which is repeated."""
    peer.welcome(end=b"")
    while data := peer.socket.recv(1024):
        message = json.loads(data)
        if message["to"] == "/ping":
            peer.say(message["msg"], end=b"")
        else:
            peer.say(f"{message['to']} {message['msg']}", end=b"")


def wait_until(is_so: Callable[[], bool]) -> None:
    """Waits for what nobody tells."""
    deadline = time.monotonic() + LIMIT
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def is_waiting(pid: int) -> bool:
    """Whether the main thread of a process sleeps. (What cannot be known is assumed.)"""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "S"


def python(*arguments: str, **options: Any) -> "subprocess.Popen[str]":
    """A Python process, with pipes."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1", "PYTHONWARNINGS": "error"},
        **options,
    )
