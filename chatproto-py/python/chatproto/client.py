"""The blocking client: a ``Session`` and a socket, which any number of threads may share.

How threads share it. Everything but waiting happens under one lock, and nobody holds it while
waiting. Of the threads that wait for something to come, one waits for the socket and hands out what
comes; the others wait for that one, which is replaced when it has what it wanted. Whoever sends
writes at once. If the socket takes nothing, the sender waits for it, and reads meanwhile unless
somebody else does, so that two sides which both write do not wait for each other for ever. There
are no threads in here, and nothing is polled.

What Ctrl-C interrupts. ``KeyboardInterrupt`` can come between any two bytecodes of the main thread.
Bytes are therefore written and counted, and read and kept, within one call into C each: the stream
stays whole, and the client usable, wherever it came.
"""

from __future__ import annotations

import math
import os
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import repeat
from operator import methodcaller
from types import TracebackType
from typing import Literal, Self, TypeVar

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
    exhaust,
    taken,
)
from ._socket import HOST, KEEP_ALIVE, ServerAddress, check_keep_alive, configure
from ._tls import BLOCKED, ENDED, Channel, Trust, refused, sentence
from .exceptions import ChatProtoError, ConnectionClosed, Timeout

__all__ = ["Client"]

_READ = 64 * 1024
_RELEASE = methodcaller("release")
_LONGEST = 1e6
"""Seconds, as the system cannot wait for any time."""

_T = TypeVar("_T")


class Client:
    """A connection to a server, registered under a name. Threads may share it.

    Connects and registers at once, within ``timeout`` seconds (looking up the host's name is not
    bounded by it)::

        with Client("alice") as client:
            client.send("/shout", "hello, everybody")
            for message in client:
                print(f"{message.sender}: {message.msg}")

    With ``url`` instead of ``host`` and ``port``, the connection is a WebSocket:
    ``ws://HOST:PORT/PATH``, or ``wss://HOST:PORT/PATH`` with TLS. Default port: 80, with TLS 443.
    Default path: ``/ws``.

    ``max_frame`` is the longest message in bytes, in either direction, by default 64 KiB. A longer
    one from the server ends the connection with DecodeError.

    Messages that arrive during ``request``, ``send`` or ``close`` are queued for ``recv``. With
    ``max_queue`` queued messages, by default 10,000, ``send`` reads no more. ``max_queue_bytes`` is
    the limit of the queue in bytes of memory, by default 16 MiB. At that limit, the client reads
    nothing until ``recv`` takes messages. Until then, ``request`` raises LimitExceeded, ``send``
    waits only for the server to read, and ``close`` does not wait for the server. One read of
    64 KiB may exceed the limits. ``max_answer`` is the limit of the answer to one ``request`` in
    bytes of memory, by default 4 MiB.

    The connection is lost when the server's system is silent for ``keep_alive`` seconds, by default
    90 (TCP keep-alive, and the user time-out on Linux); None leaves that to the system. With
    ``ping_interval``, in seconds, a call that waits for messages sends ``/ping`` to a silent server.
    The connection is lost if nothing comes for another interval. Default: None.

    With ``tls=True``, the client speaks TLS and trusts the authorities of the system. ``tls`` may
    also be an ``ssl.SSLContext``. ``tls_ca`` is a PEM file of the authority to trust, or of a
    self-signed certificate. ``tls_fingerprint`` is the SHA-256 of the one certificate to trust,
    whatever its names and dates. Each of the two turns on TLS. ``tls_name`` is the name in the
    certificate, if it is not ``host``. A ``wss://`` URL turns on TLS too.

    Raises NameRefused if the server, or the protocol, does not allow the name. Raises Timeout after
    ``timeout``. Raises ConnectionClosed if the server closes before the welcome, and DecodeError if
    the server does not answer with a message. Raises TlsError if the handshake fails, and
    WebSocketError if the server does not open the WebSocket. Raises OSError, such as
    ConnectionRefusedError, if there is no server.
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
        address = ServerAddress.of(host, port, url)
        check_keep_alive(keep_alive)
        limits = Limits(max_queue, max_queue_bytes, max_answer)
        trust = Trust.of(tls, tls_ca, tls_fingerprint, tls_name, address)
        deadline = Deadline(timeout)
        # what cannot be used is refused before there is a connection
        Session(name, max_frame=max_frame, ping_interval=ping_interval)
        self._lock = threading.Lock()
        # threads that wait for another one; whoever changes something wakes them all
        self._sleepers: deque[threading.Lock] = deque()
        self._is_sending = False
        self._is_reading = False
        # how many threads wait for the socket; by the waker one that sends learns that nobody reads
        self._waiting = 0
        self._waker: _Waker | None = None
        self._is_writer_waiting = False
        self._is_closing = False
        self._is_closed = False
        self._received: deque[bytes] = deque()
        self._socket: socket.socket | Channel = _connect(address, timeout, deadline)
        try:
            if trust is not None:
                self._socket = _secured(self._socket, trust, address, timeout, deadline)
            self._recv, self._send = self._socket.recv, self._socket.send
            self._socket.setblocking(False)
            configure(self._socket, keep_alive)
            server = self._socket.getpeername()
            self._address: tuple[str, int] = (server[0], server[1])
            self._session = Session(
                name,
                self._socket.getsockname()[0],
                url=url,
                max_frame=max_frame,
                ping_interval=ping_interval,
            )
            self._inbox = Inbox(self._session.name, limits)
            with self._lock:
                self._register(deadline, address, timeout)
        except BaseException:
            self._socket.close()
            raise

    @property
    def name(self) -> str:
        """The name under which the server knows the client; follows ``/nick`` and ``/login``."""
        return self._inbox.name

    @property
    def welcome(self) -> Message:
        """The server's welcome, which says who else is there."""
        assert self._inbox.welcome is not None
        return self._inbox.welcome

    @property
    def address(self) -> tuple[str, int]:
        """The server's address and port."""
        return self._address

    @property
    def server_kind(self) -> Literal["stream", "one-read"]:
        """How the server reads. Messages to a ``"one-read"`` server are at most 1024 bytes long and
        written at least 20 ms apart."""
        with self._lock:
            return self._session.server_kind or "one-read"

    def send(self, to: str, msg: str, timeout: float | None = None) -> None:
        """Sends ``msg`` to a user, a room such as ``#tea``, or a command such as ``/join``.

        Returns when the system has taken the message. Waits while the server does not read, and for
        the pace of a one-read server, for ``timeout`` seconds at most, or for ever if that is None.
        Meanwhile it reads incoming messages, up to ``max_queue``. After a time-out, or an
        interruption by Ctrl-C, the message was sent, or is sent with the next one.

        Raises Timeout, FrameTooLong, ConnectionClosed, and ValueError if the text has half of a
        surrogate pair. After ConnectionClosed, ``recv`` still returns what the server sent before.
        """
        deadline = Deadline(timeout)
        with self._lock:
            try:
                self._write(lambda: self._inbox.send(self._session, to, msg), deadline)
            except _OutOfTime:
                raise _inbox.not_sent(timeout) from None

    def recv(self, timeout: float | None = None) -> Message:
        """Waits for the next message, for ``timeout`` seconds at most, or for ever if that is None.
        With 0 it gives what has come already.

        Objects of the server's that are no messages are skipped, with a warning in the log
        ``chatproto``.

        Raises Timeout. Raises ConnectionClosed when everything that came was received and nothing more
        will come. Raises DecodeError if that is because the server sent something that is not JSON,
        and WebSocketError if it violated the rules of WebSocket.
        """
        messages, deadline = self._inbox.messages, Deadline(timeout)
        with self._lock:
            if not self._wait(lambda: bool(messages), deadline):
                raise _inbox.no_message(timeout)
            return messages.popleft()

    def request(self, command: str, msg: str = "", timeout: float | None = 10.0) -> list[Message]:
        """Sends a command and gives the whole answer to it: the messages that the server itself
        wrote to this user because of it, in order; often one.

        All other messages stay for ``recv``. ``timeout`` is in seconds, None for ever; an answer
        that comes too late, or after Ctrl-C, is given by ``recv``. The server must offer ``/ping``.

        Raises Timeout, FrameTooLong, ValueError and ConnectionClosed, and ChatProtoError if the
        server does not offer ``/ping``. Raises LimitExceeded if the answer takes more than
        ``max_answer`` bytes, and then throws all of it away; or if ``max_queue_bytes`` bytes of other
        messages wait to be received, and then ``recv`` gives the answer when it comes.
        """
        deadline = Deadline(timeout)
        with self._lock:
            while (probe := self._inbox.probe()) is not None:
                self._ask(probe, deadline, command, timeout)
            return self._ask(Request((command, msg)), deadline, command, timeout)

    def close(self, timeout: float | None = CLOSE) -> None:
        """Closes the connection, so that nothing that was sent is lost: waits until the server has
        taken it, for ``timeout`` seconds at most (None: for ever), tells the server that nothing
        more comes, and waits for the server to close, for 2 of these seconds at most.

        Threads that wait raise ConnectionClosed. ``recv`` still returns what came before the end.
        Closing again does nothing.
        """
        deadline = Deadline(timeout)
        with self._lock:
            while self._is_closing and not self._is_closed:
                self._sleep(None)
            if self._is_closed:
                return
            self._is_closing = True
            try:
                self._finish(deadline)
            finally:
                self._cut()

    def abort(self) -> None:
        """Closes the connection at once: what the system has not sent yet may be lost.

        Threads that wait, also in ``close``, return or raise ConnectionClosed. ``recv`` still returns
        what was read before. Any thread may call it.
        """
        with self._lock:
            if self._is_closed:
                return
            if self._is_closing:
                # the thread that closes has nothing more to wait for
                self._end()
            else:
                self._is_closing = True
                self._cut()

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        """The next message. The iteration ends when the connection is closed by either side."""
        try:
            return self.recv()
        except ConnectionClosed:
            if self._inbox.is_orderly:
                raise StopIteration from None
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        host, port = self._address
        state = "closed" if self._inbox.has_ended else "open"
        return f"<chatproto.Client {self.name!r} at {host}:{port}, {state}>"

    # From here on the lock is held; it is given up only while waiting.

    def _register(self, deadline: Deadline, address: ServerAddress, timeout: float | None) -> None:
        """Waits for the server's verdict on the name, and until it is known how it reads."""
        inbox, session = self._inbox, self._session
        try:
            is_registered = self._wait(inbox.check_registration, deadline)
        except ConnectionClosed:
            raise _inbox.not_welcomed(address, session) from None
        if not is_registered:
            raise _inbox.not_registered_in_time(address, timeout)
        self._wait(lambda: session.server_kind is not None or inbox.has_ended, Deadline(None))

    def _ask(
        self, request: Request, deadline: Deadline, command: str, timeout: float | None
    ) -> list[Message]:
        try:
            self._write(lambda: self._inbox.send_request(self._session, request), deadline)
            if not self._wait(lambda: request.is_done, deadline):
                raise _OutOfTime
        except _OutOfTime:
            raise _inbox.no_answer(command, timeout) from None
        finally:
            if not request.is_done:
                self._inbox.abandon(request)
                self._wake()
        return self._inbox.result(request)

    def _wait(self, is_ready: Callable[[], bool], deadline: Deadline) -> bool:
        """Waits until it is ready; false if it is not in time. Raises what ended the connection, and
        LimitExceeded if nothing more is to be read."""
        while not is_ready():
            self._inbox.check_end()
            self._inbox.check_room()
            if deadline.is_over():
                return False
            if self._is_reading:
                self._sleep(deadline.left())
            else:
                self._read(deadline, self._write_rest())
        return True

    def _read(self, deadline: Deadline, is_refused: bool | None) -> None:
        """Waits once for the socket, as the one thread that reads, and takes what came. What an
        interrupt has left to be taken comes first.

        It waits also until the socket takes bytes again, if it has refused some, and else, unless
        that is None, until more may be written.
        """
        events, at = select.POLLIN, self._session.silence()
        if is_refused:
            events |= select.POLLOUT
        elif is_refused is not None:
            at = _earlier(at, self._session.timeout())
        self._is_reading = True
        try:
            if not self._take():
                if self._poll(events, _sooner(deadline.left(), at)):
                    self._receive()
                now = time.monotonic()
                self._session.handle_timeout(now)
                if not self._take():
                    self._session.handle_silence(now)
                    self._take()
            if self._session.has_outgoing:
                # the server of a WebSocket waits for the answers to its control frames
                self._write_rest()
        finally:
            self._is_reading = False
            self._wake()
            if self._is_writer_waiting and self._waker is not None:
                self._waker.wake()

    def _receive(self) -> None:
        """Reads what has come, if anything has."""
        try:
            self._received.extend(map(self._recv, (_READ,)))
        except BLOCKED:
            pass
        except ENDED:
            self._received.append(b"")
        except ssl.SSLError as error:
            self._inbox.end(refused(error) if self._inbox.welcome is None else _inbox.lost(error))
        except OSError as error:
            self._inbox.end(_inbox.lost(error))

    def _take(self) -> bool:
        """Takes what was read; whether there was anything."""
        pieces = len(self._received)
        has_ended = pieces > 0 and not self._received[-1]
        now = repeat(time.monotonic())
        exhaust(map(self._session.receive, taken(self._received), now))
        if has_ended:
            self._session.receive_end()
        has_events = self._inbox.take(self._session)
        if has_ended or self._session.has_ended:
            self._inbox.end(_inbox.closed_by_server(self._session), is_orderly=True)
        return has_events or pieces > 0

    def _write(self, queue: Callable[[], None], deadline: Deadline) -> None:
        """Queues something when it is this thread's turn, and waits until it is written."""
        while self._is_sending:
            if deadline.is_over():
                raise _OutOfTime
            self._sleep(deadline.left())
        self._is_sending = True
        try:
            self._check_open()
            queue()
            self._flush(deadline)
        finally:
            self._is_sending = False
            self._wake()

    def _check_open(self) -> None:
        if self._is_closing:
            raise _inbox.closed_by_client()
        self._inbox.check_end()

    def _flush(self, deadline: Deadline) -> None:
        """Writes everything that is queued. Nobody else queues meanwhile."""
        while True:
            is_refused = self._transmit()
            if not self._session.has_outgoing:
                return
            self._inbox.check_end()
            if deadline.is_over():
                raise _OutOfTime
            if not self._is_reading and not self._inbox.has_many:
                self._read(deadline, is_refused)
            elif is_refused:
                self._wait_to_write(deadline)
            else:
                self._sleep(_sooner(deadline.left(), self._session.timeout()))

    def _transmit(self) -> bool:
        """Writes what may be written; whether the socket refused some of it."""
        now = time.monotonic()
        self._session.handle_timeout(now)
        while data := self._session.transmit(now):
            try:
                exhaust(map(self._session.transmitted, map(self._send, (data,)), (now,)))
            except BLOCKED:
                return True
            except OSError as error:
                # what the server said last may still be there to be read
                raise _inbox.lost(error) from None
        return False

    def _write_rest(self) -> bool | None:
        """Writes what an interrupted send has left, and returns what ``_transmit`` does; None if
        there is somebody else who writes, or nothing can be written any more."""
        try:
            return None if self._is_sending else self._transmit()
        except ConnectionClosed:
            return None

    def _wait_to_write(self, deadline: Deadline) -> None:
        """Waits until the socket takes bytes, or the thread that reads does so no longer."""
        if self._waker is None:
            self._waker = _Waker()
        self._is_writer_waiting = True
        try:
            self._poll(select.POLLOUT, deadline.left(), self._waker)
        finally:
            self._is_writer_waiting = False
            self._waker.rest()

    def _poll(self, events: int, timeout: float | None, waker: _Waker | None = None) -> bool:
        """Waits for the socket, or the waker, without the lock; whether something happened."""
        poll = select.poll()
        poll.register(self._socket, events)
        if waker is not None:
            poll.register(waker, select.POLLIN)
        milliseconds = None if timeout is None else math.ceil(min(timeout, _LONGEST) * 1000)
        self._waiting += 1
        try:
            ready = self._away(lambda: poll.poll(milliseconds))
        finally:
            self._waiting -= 1
            if self._is_closing:
                self._wake()
        return bool(ready)

    def _sleep(self, timeout: float | None) -> None:
        """Waits, without the lock, until another thread has changed something."""
        sleeper = threading.Lock()
        sleeper.acquire()
        self._sleepers.append(sleeper)
        seconds = -1 if timeout is None else min(timeout, _LONGEST)
        try:
            self._away(lambda: sleeper.acquire(timeout=seconds))
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    def _wake(self) -> None:
        """Has everybody who sleeps look again."""
        exhaust(map(_RELEASE, taken(self._sleepers)))

    def _away(self, wait: Callable[[], _T]) -> _T:
        """Waits without the lock. (That of a Condition can lose the lock to Ctrl-C.)"""
        has_lock: list[bool] = []
        interrupt: BaseException | None = None
        try:
            self._lock.release()
            return wait()
        finally:
            # no call may stand before this `try`, nor the lock be had without being noted
            while not has_lock:
                try:
                    has_lock.extend(map(self._lock.acquire, (True,)))
                except BaseException as error:
                    interrupt = error
            if interrupt is not None:
                raise interrupt

    def _finish(self, deadline: Deadline) -> None:
        """Says that nothing more will be sent, and lets the server end the connection."""
        if self._inbox.has_ended:
            return
        try:
            while self._is_sending:
                if deadline.is_over():
                    return
                self._sleep(deadline.left())
            self._is_sending = True
            try:
                is_told = self._session.finish()
                self._flush(deadline)
                if not is_told:
                    self._socket.shutdown(socket.SHUT_WR)
            except (ConnectionClosed, OSError):
                # the server takes nothing more; what it said last is still read
                pass
            self._wait(lambda: self._inbox.has_ended, deadline.sooner(LINGER))
        except (ChatProtoError, OSError):
            # it is closed in any case
            pass

    def _end(self) -> None:
        """Ends the connection, so that nobody waits for it any more."""
        self._inbox.end(_inbox.closed_by_client(), is_orderly=True)
        self._is_sending = False
        self._wake()
        try:
            # wakes those who wait for the socket
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _cut(self) -> None:
        """Ends the connection for good, for everybody."""
        try:
            self._end()
            while self._waiting:
                self._sleep(None)
        finally:
            self._socket.close()
            self._is_closed = True
            self._wake()


class _OutOfTime(Timeout):
    """Something could not be written, or was not answered, in time."""


class _Waker:
    """Wakes a thread that waits for a socket."""

    def __init__(self) -> None:
        self._inside, self._outside = socket.socketpair()
        self._inside.setblocking(False)
        self._outside.setblocking(False)

    def fileno(self) -> int:
        return self._inside.fileno()

    def wake(self) -> None:
        try:
            self._outside.send(b"\0")
        except BlockingIOError:
            # it is about to wake anyhow
            pass

    def rest(self) -> None:
        """Forgets that it was woken."""
        try:
            self._inside.recv(_READ)
        except BlockingIOError:
            pass

    def __del__(self) -> None:
        # it goes with its client, of whose own socket Python warns
        self._inside.close()
        self._outside.close()


def _connect(server: ServerAddress, timeout: float | None, deadline: Deadline) -> socket.socket:
    """Tries the addresses of the host one after the other."""
    failure = OSError(f"cannot connect to {server}: the host has no address")
    try:
        addresses = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _inbox.cannot_connect(server, error) from None
    for family, kind, protocol, _, address in addresses:
        connection = socket.socket(family, kind, protocol)
        try:
            left = deadline.left()
            connection.settimeout(None if left is None else min(max(left, 0.001), _LONGEST))
            connection.connect(address)
            return connection
        except TimeoutError as error:
            connection.close()
            if error.errno is None:
                raise _inbox.not_registered_in_time(server, timeout) from None
            failure = _inbox.cannot_connect(server, error)
        except OSError as error:
            connection.close()
            failure = _inbox.cannot_connect(server, error)
        except BaseException:
            connection.close()
            raise
    raise failure


def _secured(
    connection: socket.socket | Channel,
    trust: Trust,
    server: ServerAddress,
    timeout: float | None,
    deadline: Deadline,
) -> Channel:
    """The same connection with TLS over it."""
    assert isinstance(connection, socket.socket)
    left = deadline.left()
    connection.settimeout(None if left is None else min(max(left, 0.001), _LONGEST))
    try:
        return Channel(connection, trust, server.host)
    except TimeoutError:
        raise _inbox.not_registered_in_time(server, timeout) from None
    except OSError as error:
        raise sentence(error, trust, server.host) from error


def _earlier(one: float | None, other: float | None) -> float | None:
    """The earlier of two times; None is never."""
    return min((at for at in (one, other) if at is not None), default=None)


def _sooner(left: float | None, at: float | None) -> float | None:
    """The seconds until the sooner of the two: in so many seconds, or at this time."""
    if at is None:
        return left
    until = max(0.0, at - time.monotonic())
    return until if left is None else min(left, until)
