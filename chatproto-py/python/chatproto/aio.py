"""The client for asyncio: a ``Session`` and a transport of the event loop's; no threads.

A client belongs to the event loop in which it connected; any number of its tasks may use it at a
time. Every method can be cancelled: what was not received stays for the next ``recv``, a send that
was cancelled was not sent, and the client is as usable as before.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
import time
import warnings
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self, cast

from . import _inbox
from ._chatproto import PORT, Message, Session
from ._inbox import (
    CLOSE,
    LINGER,
    MAX_ANSWER_BYTES,
    MAX_FRAME,
    MAX_QUEUE,
    MAX_QUEUE_BYTES,
    Deadline,
    Inbox,
    Limits,
    Request,
)
from ._socket import HOST, KEEP_ALIVE, ServerAddress, check_keep_alive, configure, read_rest
from ._tls import Trust, refused, sentence
from .exceptions import ChatProtoError, ConnectionClosed, TlsError

__all__ = ["Client"]

_PIECE = 64 * 1024
"""Bytes that a session takes at a time: it may hold fifty times as much for objects that are no
messages."""


_TURN = 16
"""Calls of ``send`` and ``recv`` after which other tasks run."""


class Client:
    """A connection to a server, registered under a name.

    Connects on ``async with``, or by ``await Client.connect(…)``::

        async with Client("alice") as client:
            await client.send("/shout", "hello, everybody")
            async for message in client:
                print(f"{message.sender}: {message.msg}")

    With ``url`` instead of ``host`` and ``port``, the connection is a WebSocket:
    ``ws://HOST:PORT/PATH``, or ``wss://HOST:PORT/PATH`` with TLS. Default port: 80, with TLS 443.
    Default path: ``/ws``.

    ``timeout`` is the limit for connecting and registering together, in seconds. None is no limit.
    ``max_frame`` is the longest message in bytes, in either direction, by default 64 KiB. A longer
    one from the server ends the connection with DecodeError.

    With ``max_queue`` queued messages, by default 10,000, the client reads no more until half of
    them are received, unless a task waits for an answer. The server then treats it as a slow
    reader. ``max_queue_bytes`` is the limit of queued messages in bytes of memory, by default
    16 MiB. At that limit, the client reads nothing until half of them are received. Until then,
    ``request`` raises LimitExceeded, and ``close`` does not wait for the server. One read of
    256 KiB may exceed the limits. ``max_answer`` is the limit of the answer to one ``request`` in
    bytes of memory, by default 4 MiB.

    The connection is lost when the server's system is silent for ``keep_alive`` seconds, by default
    90 (TCP keep-alive, and the user time-out on Linux); None leaves that to the system. With
    ``ping_interval``, in seconds, the client sends ``/ping`` to a silent server. The connection is
    lost if nothing comes for another interval. Default: None.

    With ``tls=True``, the client speaks TLS and trusts the authorities of the system. ``tls`` may
    also be an ``ssl.SSLContext``. ``tls_ca`` is a PEM file of the authority to trust, or of a
    self-signed certificate. ``tls_fingerprint`` is the SHA-256 of the one certificate to trust,
    whatever its names and dates. Each of the two turns on TLS. ``tls_name`` is the name in the
    certificate, if it is not ``host``. A ``wss://`` URL turns on TLS too.
    """

    def __init__(
        self,
        name: str,
        host: str = HOST,
        port: int = PORT,
        *,
        url: str | None = None,
        timeout: float | None = 10.0,
        tls: bool | ssl.SSLContext | None = False,
        tls_ca: str | os.PathLike[str] | None = None,
        tls_fingerprint: str | None = None,
        tls_name: str | None = None,
        max_frame: int = MAX_FRAME,
        max_queue: int = MAX_QUEUE,
        max_queue_bytes: int = MAX_QUEUE_BYTES,
        max_answer: int = MAX_ANSWER_BYTES,
        keep_alive: float | None = KEEP_ALIVE,
        ping_interval: float | None = None,
    ) -> None:
        self._server = ServerAddress.of(host, port, url)
        check_keep_alive(keep_alive)
        self._options = _Options(
            Limits(max_queue, max_queue_bytes, max_answer),
            Trust.of(tls, tls_ca, tls_fingerprint, tls_name, self._server),
            url,
            max_frame,
            keep_alive,
            ping_interval,
        )
        # what cannot be used is refused before there is a connection
        self._name = self._options.session(name).name
        self._timeout = timeout
        Deadline(timeout)
        self._connection: _Connection | None = None
        self._is_closed = False

    @classmethod
    async def connect(
        cls,
        name: str,
        host: str = HOST,
        port: int = PORT,
        *,
        url: str | None = None,
        timeout: float | None = 10.0,
        tls: bool | ssl.SSLContext | None = False,
        tls_ca: str | os.PathLike[str] | None = None,
        tls_fingerprint: str | None = None,
        tls_name: str | None = None,
        max_frame: int = MAX_FRAME,
        max_queue: int = MAX_QUEUE,
        max_queue_bytes: int = MAX_QUEUE_BYTES,
        max_answer: int = MAX_ANSWER_BYTES,
        keep_alive: float | None = KEEP_ALIVE,
        ping_interval: float | None = None,
    ) -> Self:
        """Connects and registers.

        Raises NameRefused if the server, or the protocol, does not allow the name. Raises Timeout and
        TlsError. Raises ConnectionClosed if the server closes instead of answering, and DecodeError
        if it answers something else. Raises WebSocketError if it does not open the WebSocket. Raises
        OSError, such as ConnectionRefusedError, if there is no server.
        """
        client = cls(
            name,
            host,
            port,
            url=url,
            timeout=timeout,
            tls=tls,
            tls_ca=tls_ca,
            tls_fingerprint=tls_fingerprint,
            tls_name=tls_name,
            max_frame=max_frame,
            max_queue=max_queue,
            max_queue_bytes=max_queue_bytes,
            max_answer=max_answer,
            keep_alive=keep_alive,
            ping_interval=ping_interval,
        )
        return await client.__aenter__()

    @property
    def name(self) -> str:
        """The name under which the server knows the client; follows ``/nick`` and ``/login``."""
        return self._name if self._connection is None else self._connection.inbox.name

    @property
    def welcome(self) -> Message:
        """The server's welcome, which says who else is there."""
        welcome = self._open().inbox.welcome
        assert welcome is not None
        return welcome

    @property
    def address(self) -> tuple[str, int]:
        """The server's address and port."""
        return self._open().address

    @property
    def server_kind(self) -> Literal["stream", "one-read"]:
        """How the server reads. Messages to a ``"one-read"`` server are at most 1024 bytes long and
        written at least 20 ms apart."""
        return self._open().session.server_kind or "one-read"

    async def send(self, to: str, msg: str, timeout: float | None = None) -> None:
        """Sends ``msg`` to a user, a room such as ``#tea``, or a command such as ``/join``.

        Waits while more is on its way than the system takes, and for the pace of a one-read server,
        for ``timeout`` seconds at most, or for ever if that is None. In a loop, it lets other tasks
        run.

        Raises Timeout if the message was not sent in time, FrameTooLong, ValueError if the text has
        half of a surrogate pair, and ConnectionClosed. After ConnectionClosed, ``recv`` still
        returns what the server sent before.
        """
        connection, deadline = self._open(), Deadline(timeout)
        await connection.take_turns()
        if not await connection.writable(deadline):
            raise _inbox.not_sent(timeout)
        connection.inbox.send(connection.session, to, msg)
        connection.pump()

    async def recv(self, timeout: float | None = None) -> Message:
        """Waits for the next message, for ``timeout`` seconds at most, or for ever if that is None.
        With 0 it gives what has come already. In a loop, it lets other tasks run.

        Objects of the server's that are no messages are skipped, with a warning in the log
        ``chatproto``.

        Raises Timeout. Raises ConnectionClosed when everything that came was received and nothing more
        will come. Raises DecodeError if that is because the server sent something that is not JSON,
        and WebSocketError if it violated the rules of WebSocket.
        """
        connection, deadline = self._open(), Deadline(timeout)
        messages = connection.inbox.messages
        await connection.take_turns()
        if not await connection.wait(lambda: bool(messages), deadline):
            raise _inbox.no_message(timeout)
        message = messages.popleft()
        connection.received()
        return message

    async def request(
        self, command: str, msg: str = "", timeout: float | None = 10.0
    ) -> list[Message]:
        """Sends a command and gives the whole answer to it: the messages that the server itself
        wrote to this user because of it, in order; often one.

        All other messages stay for ``recv``. ``timeout`` is in seconds, None for ever; an answer
        that comes too late, or after the request was cancelled, is given by ``recv``. The server
        must offer ``/ping``.

        Raises Timeout, FrameTooLong, ValueError and ConnectionClosed, and ChatProtoError if the
        server does not offer ``/ping``. Raises LimitExceeded if the answer takes more than
        ``max_answer`` bytes, and then throws all of it away; or if ``max_queue_bytes`` bytes of other
        messages wait to be received, and then ``recv`` gives the answer when it comes.
        """
        connection, deadline = self._open(), Deadline(timeout)
        while (probe := connection.inbox.probe()) is not None:
            if not await connection.ask(probe, deadline):
                raise _inbox.no_answer(command, timeout)
        request = Request((command, msg))
        if not await connection.ask(request, deadline):
            raise _inbox.no_answer(command, timeout)
        return connection.inbox.result(request)

    async def close(self, timeout: float | None = CLOSE) -> None:
        """Closes the connection, so that nothing that was sent is lost: waits until the server has
        taken it, for ``timeout`` seconds at most (None: for ever), tells the server that nothing
        more comes, and waits for the server to close, for 2 of these seconds at most. If it is
        cancelled, the connection is closed at once.

        Tasks that wait raise ConnectionClosed. ``recv`` still returns what came before the end.
        Closing again does nothing.
        """
        deadline = Deadline(timeout)
        self._is_closed = True
        if self._connection is not None:
            await self._connection.close(deadline)

    def abort(self) -> None:
        """Closes the connection at once: what the system has not sent yet may be lost.

        Tasks that wait, also in ``close``, return or raise ConnectionClosed. ``recv`` still returns
        what was read before.
        """
        self._is_closed = True
        if self._connection is not None:
            self._connection.cut()

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        """The next message. The iteration ends when the connection is closed by either side."""
        try:
            return await self.recv()
        except ConnectionClosed:
            if self._open().inbox.is_orderly:
                raise StopAsyncIteration from None
            raise

    async def __aenter__(self) -> Self:
        if self._is_closed:
            raise _inbox.closed_by_client()
        if self._connection is None:
            self._connection = await _connect(
                self._name,
                self._options,
                self._server,
                self._timeout,
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        # an object whose __init__ has failed has no connection
        connection: _Connection | None = getattr(self, "_connection", None)
        if connection is not None and not connection.has_gone:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            connection.abandon()

    def __repr__(self) -> str:
        host, port = self._server.host, self._server.port
        if self._connection is None:
            state = "not connected"
        else:
            host, port = self._connection.address
            state = "closed" if self._connection.inbox.has_ended else "open"
        return f"<chatproto.aio.Client {self.name!r} at {host}:{port}, {state}>"

    def _open(self) -> _Connection:
        if self._connection is None:
            if self._is_closed:
                raise _inbox.closed_by_client()
            raise ChatProtoError(
                "this client is not connected: use `async with Client(…) as client` or "
                "`client = await Client.connect(…)`"
            )
        return self._connection


@dataclass(frozen=True)
class _Options:
    """What a client was told, beside its name and the server's address."""

    limits: Limits
    trust: Trust | None
    url: str | None
    max_frame: int
    keep_alive: float | None
    ping_interval: float | None

    def session(self, name: str, ip: str = "0.0.0.0") -> Session:
        return Session(
            name, ip, url=self.url, max_frame=self.max_frame, ping_interval=self.ping_interval
        )


class _Connection(asyncio.Protocol):
    """What the event loop holds: it knows nothing of its client, which can therefore be collected.

    ``has_gone`` is whether the socket is closed.
    """

    def __init__(self, name: str, options: _Options) -> None:
        self.inbox = Inbox(name, options.limits)
        self._options = options
        self.session: Session
        self.address: tuple[str, int]
        self.has_gone = False
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._calls = 0
        # in the order in which they came
        self._waiters: dict[asyncio.Future[None], None] = {}
        # how many of them wait for something else than a message
        self._urgent = 0
        self._is_full = False
        self._is_unbuffered = False
        self._is_reading_paused = False
        self._is_closing = False
        self._gone: asyncio.Future[None] = self._loop.create_future()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        server = transport.get_extra_info("peername")
        self.address = (server[0], server[1])
        configure(transport.get_extra_info("socket"), self._options.keep_alive)
        if self._options.trust is not None:
            shown = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
            try:
                self._options.trust.check(shown)
            except TlsError as error:
                # before anything is sent
                self._end(error)
        ip = transport.get_extra_info("sockname")[0]
        self.session = self._options.session(self.inbox.name, ip)
        self.pump()

    def data_received(self, data: bytes) -> None:
        self._hear(data)
        self.pump()
        is_urgent = self._urgent or self._is_closing
        is_enough = self.inbox.is_full if is_urgent else self.inbox.has_many
        if is_enough and not self._is_reading_paused:
            self._is_reading_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        self.session.receive_end()
        self._take()
        self._end(_inbox.closed_by_server(self.session), is_orderly=True)

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None and not self.inbox.has_ended and self._options.trust is None:
            # it could not be written to; what the server said last may still be there
            socket = self._transport.get_extra_info("socket")
            self._hear(read_rest(socket.fileno()))
        self.has_gone = True
        if self._timer is not None:
            self._timer.cancel()
        if isinstance(error, ssl.SSLError) and self.inbox.welcome is None:
            self._end(refused(error))
        elif isinstance(error, OSError):
            self._end(_inbox.lost(error))
        else:
            self._end(_inbox.closed_by_server(self.session), is_orderly=True)
        self._gone.set_result(None)

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self.pump()
        self._wake()

    # What the client calls.

    def pump(self) -> None:
        """Writes what may be written, and comes back when more may."""
        if self.inbox.has_ended:
            return
        now = time.monotonic()
        self.session.handle_timeout(now)
        if self.session.server_kind == "one-read" and not self._is_unbuffered:
            # an object is written when the one before is with the system, so that they do not join
            self._is_unbuffered = True
            self._transport.set_write_buffer_limits(high=0)
        self._transmit(now)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        times = [self.session.silence()]
        if not self._is_full:
            times.append(self.session.timeout())
        at = min((at for at in times if at is not None), default=None)
        if at is not None:
            self._timer = self._loop.call_later(max(0.0, at - now), self._continue)

    async def take_turns(self) -> None:
        """Lets the event loop run once in so many calls: otherwise, a task that never has to wait
        would keep all others from running."""
        self._calls += 1
        if self._calls % _TURN == 0:
            await asyncio.sleep(0)

    async def wait(
        self,
        is_ready: Callable[[], bool],
        deadline: Deadline,
        *,
        is_urgent: bool = False,
        is_for_input: bool = False,
    ) -> bool:
        """Waits until it is ready; false if it is not in time. Raises what ended the connection.

        Reading does not pause during a wait that is urgent, unless too many bytes are queued. A wait
        for input other than a message then raises LimitExceeded.
        """
        while not is_ready():
            self.inbox.check_end()
            if is_for_input:
                self.inbox.check_room()
            if deadline.is_over():
                return False
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters[waiter] = None
            left = deadline.left()
            timer = None if left is None else self._loop.call_later(left, _release, waiter)
            self._urgent += is_urgent
            self._resume(is_urgent and not self.inbox.is_full)
            try:
                await waiter
            finally:
                self._urgent -= is_urgent
                del self._waiters[waiter]
                if timer is not None:
                    timer.cancel()
        return True

    async def writable(self, deadline: Deadline) -> bool:
        """Waits until something can be queued; false if it cannot in time."""
        if self._is_closing:
            raise _inbox.closed_by_client()
        self.inbox.check_end()
        is_in_time = await self.wait(self._can_write, deadline, is_urgent=True)
        if self._is_closing:
            raise _inbox.closed_by_client()
        self.inbox.check_end()
        return is_in_time

    async def ask(self, request: Request, deadline: Deadline) -> bool:
        """Sends a request and waits for its answer; false if it does not come in time."""
        try:
            if not await self.writable(deadline):
                return False
            try:
                self.inbox.send_request(self.session, request)
            finally:
                self.pump()
            return await self.wait(
                lambda: request.is_done, deadline, is_urgent=True, is_for_input=True
            )
        finally:
            if not request.is_done:
                self.inbox.abandon(request)
                self._wake()

    def received(self) -> None:
        """A message was taken from the queue."""
        if self._is_reading_paused:
            messages, limits = self.inbox.messages, self.inbox.limits
            is_half = len(messages) <= limits.max_queue // 2
            self._resume(is_half and messages.bytes <= limits.max_queue_bytes // 2)

    async def register(self, deadline: Deadline) -> bool:
        """Waits for the server's verdict on the name, and until it is known how it reads; false if
        that takes too long."""
        if not await self.wait(self.inbox.check_registration, deadline):
            return False
        await self.wait(self._is_known, Deadline(None))
        return True

    async def close(self, deadline: Deadline) -> None:
        """Ends the connection after what was sent has gone, and waits until it has ended."""
        if not self._is_closing:
            self._is_closing = True
            try:
                await self._finish(deadline)
            finally:
                self.cut()
        await asyncio.shield(self._gone)

    def cut(self) -> None:
        """Ends the connection at once."""
        self._is_closing = True
        self._end(_inbox.closed_by_client(), is_orderly=True)
        self._transport.abort()

    def abandon(self) -> None:
        """Ends the connection at once, from whatever thread collects the client."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._transport.abort)

    # What both come to.

    def _hear(self, data: bytes) -> None:
        now = time.monotonic()
        for at in range(0, len(data), _PIECE):
            self.session.receive(data[at : at + _PIECE], now)
            self._take()

    def _take(self) -> None:
        self.inbox.take(self.session)
        if self.session.has_ended:
            self.inbox.end(_inbox.closed_by_server(self.session), is_orderly=True)
        if self.inbox.has_ended:
            # nothing more can come; the server of a WebSocket waits for the close frame
            self._transmit(time.monotonic())
            self._transport.close()
        self._wake()

    def _transmit(self, now: float) -> None:
        while not self._is_full and (data := self.session.transmit(now)):
            self._transport.write(data)
            self.session.transmitted(len(data), now)

    def _end(self, error: ChatProtoError, *, is_orderly: bool = False) -> None:
        self.inbox.end(error, is_orderly=is_orderly)
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            _release(waiter)

    def _continue(self) -> None:
        self._timer = None
        now = time.monotonic()
        if self._is_reading_paused:
            # the silence is its own
            self.session.receive(b"", now)
        self.session.handle_silence(now)
        self._take()
        self.pump()

    def _resume(self, is_wanted: bool) -> None:
        if self._is_reading_paused and is_wanted:
            self._is_reading_paused = False
            self._transport.resume_reading()

    def _can_write(self) -> bool:
        return not self._is_full and not self.session.has_outgoing

    def _is_known(self) -> bool:
        return self.session.server_kind is not None or self.inbox.has_ended

    def _has_ended(self) -> bool:
        return self.inbox.has_ended

    async def _finish(self, deadline: Deadline) -> None:
        if self.inbox.has_ended:
            return
        try:
            if await self.wait(self._can_write, deadline, is_urgent=True):
                if self.session.finish():
                    self.pump()
                elif self._options.trust is None:
                    self._transport.write_eof()
                else:
                    # TLS has no half-closed connections here: what still comes is thrown away
                    self._transport.close()
                await self.wait(
                    self._has_ended, deadline.sooner(LINGER), is_urgent=True, is_for_input=True
                )
        except ChatProtoError:
            # it is closed all the same, and by whose fault is nobody's concern any more
            pass


async def _connect(
    name: str,
    options: _Options,
    server: ServerAddress,
    timeout: float | None,
) -> _Connection:
    """Tries the addresses of the host one after the other, and registers."""
    trust = options.trust
    deadline = Deadline(timeout)
    failure = OSError(f"cannot connect to {server}: the host has no address")
    loop = asyncio.get_running_loop()
    for address in await _resolve(server, timeout, deadline):
        try:
            async with asyncio.timeout(deadline.left()) as limit:
                _, connection = await loop.create_connection(
                    lambda: _Connection(name, options),
                    address,
                    server.port,
                    ssl=None if trust is None else trust.context,
                    server_hostname=None if trust is None else trust.name or server.host,
                    ssl_shutdown_timeout=None if trust is None else LINGER,
                )
        except OSError as error:
            if limit.expired():
                raise _inbox.not_registered_in_time(server, timeout) from None
            if trust is not None and isinstance(error, (ssl.SSLError, ConnectionResetError)):
                raise sentence(error, trust, server.host) from error
            failure = _inbox.cannot_connect(server, error)
            continue
        try:
            if not await connection.register(deadline):
                raise _inbox.not_registered_in_time(server, timeout)
        except BaseException as error:
            connection.cut()
            if isinstance(error, ConnectionClosed):
                raise _inbox.not_welcomed(server, connection.session) from None
            raise
        return connection
    raise failure


async def _resolve(server: ServerAddress, timeout: float | None, deadline: Deadline) -> list[str]:
    try:
        ipaddress.ip_address(server.host)
        # nothing to look up, and so no thread that does it
        return [server.host]
    except ValueError:
        pass
    try:
        async with asyncio.timeout(deadline.left()) as limit:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        if limit.expired():
            raise _inbox.not_registered_in_time(server, timeout) from None
        raise _inbox.cannot_connect(server, error) from None
    return [str(address[0]) for *_, address in found]


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
