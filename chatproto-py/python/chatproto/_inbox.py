"""What both clients share, without a socket or a clock of its own: which message is an answer to
which request and which one is queued, how a connection ended, deadlines, and the sentences of
errors.

An answer is fenced (B15): before and behind its command a client sends ``/ping`` with a nonce.
What the server itself writes to the user between the two nonces is the answer. What comes before
the first nonce answers earlier messages, so it is queued like everything else. So are state lines
(B21), wherever they come.

``KeyboardInterrupt`` can come between any two bytecodes. What happened is therefore moved to where
it belongs within one call into C, or removed when it was dealt with; to deal with it twice is like
once.
"""

from __future__ import annotations

import copy
import logging
import re
import secrets
import socket
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter, methodcaller
from typing import Protocol, TypeVar

from ._chatproto import Message, Queue, Session
from ._socket import ServerAddress, reason
from .exceptions import (
    ChatProtoError,
    ConnectionClosed,
    DecodeError,
    LimitExceeded,
    NameRefused,
    Timeout,
    WebSocketError,
)

_log = logging.getLogger("chatproto")

CLOSE = 12.0
"""Seconds that closing takes at most, by default: for the server to take what was sent, and then to
close."""

LINGER = 2.0
"""Seconds of these that closing waits for the server to close (B16)."""

MAX_FRAME = 64 << 10
"""Bytes of one message, in either direction, by default."""

MAX_QUEUE = 10_000
"""Messages in the queue from which reading may pause, by default."""

MAX_QUEUE_BYTES = 16 << 20
"""Bytes of the queue from which nothing is read, by default. A server with default limits holds
1 MiB for a slow reader."""

MAX_ANSWER_BYTES = 4 << 20
"""Bytes of one answer, if the user says no other number. A server with default limits sends 256 KiB,
which Python may hold as four times that: a string takes up to four bytes for each character."""

MAX_FENCES = 10_000
"""Nonces on their way above which nothing is requested."""

_OPENING = re.compile(r'history ("(?:[^"]|"")*"|\S+) count=\d+( \S+=\S*)*')
"""The line of the server before a page of history, with the name of the conversation."""

_AT_ONCE = 64
"""Events that are taken from a session at a time: an exception takes a hundred times the bytes of the
object that it is about."""

_LOGGED = 10
"""Objects that are no messages, of one connection, of which each is logged."""

_PING = "/ping"
_REFUSAL = "❌"
_NONCE = "fence-"

_STATE = re.compile(r'State [a-z]+(?: [a-z0-9-]+=(?:[^\s"=]+|"(?:[^"]|"")*"))*')
"""A state line, which is no part of an answer (B21)."""

_WHAT = itemgetter(1)
_POP_LEFT = methodcaller("popleft")

_T = TypeVar("_T")
_O = TypeVar("_O", covariant=True)


def exhaust(iterable: Iterable[object]) -> None:
    """Takes everything of an iterator, without a bytecode in between if it is one of C's."""
    deque(iterable, maxlen=0)


class _Items(Protocol[_O]):
    def popleft(self) -> _O: ...
    def __len__(self) -> int: ...


def taken(items: _Items[_T]) -> Iterable[_T]:
    """Iterates over what is there now, and removes it on the way, without a bytecode in between."""
    return map(_POP_LEFT, [items] * len(items))


def _is_answer(message: Message) -> bool:
    """Whether the server wrote it to this user alone, and not to a room or to all (B15)."""
    is_to_many = message.to == "Everyone" or message.to.startswith("#")
    return message.is_from_server and not is_to_many


class Request:
    """A command that is on its way, and what came of it so far."""

    def __init__(self, *messages: tuple[str, str]) -> None:
        self.messages = messages
        self.answer = Queue()
        self.error: ChatProtoError | None = None
        self.is_done = False
        self.is_abandoned = False


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of an inbox, as the options of the clients have them.

    Raises ValueError if one is not above 0.
    """

    max_queue: int = MAX_QUEUE
    max_queue_bytes: int = MAX_QUEUE_BYTES
    max_answer: int = MAX_ANSWER_BYTES

    def __post_init__(self) -> None:
        for option, unit in (
            ("max_queue", "messages"),
            ("max_queue_bytes", "bytes"),
            ("max_answer", "bytes"),
        ):
            limit = getattr(self, option)
            if limit < 1:
                raise ValueError(f"{option} is a number of {unit} above 0, not {limit!r}")


@dataclass(slots=True)
class _Fence:
    nonce: str
    request: Request
    is_closing: bool
    has_passed: bool = False


class Inbox:
    """Where the messages of one connection go.

    Attributes:
        name: the name under which the server knows the client.
        welcome: the server's welcome, or None as long as there is none.
        messages: what ``recv`` is to give, in order.
        offers_ping: whether the server answers ``/ping``; None as long as that is not known.
        has_ended: whether nothing more comes.
        is_orderly: whether it ended as connections do, and not by an error.
        limits: the bounds of ``messages`` and of answers.
    """

    def __init__(self, name: str, limits: Limits) -> None:
        self.limits = limits
        self.name = name
        self.welcome: Message | None = None
        self.messages = Queue()
        # objects that were no messages
        self._bad = 0
        self.offers_ping: bool | None = None
        self.has_ended = False
        self.is_orderly = False
        self._refusal: Message | None = None
        self._end: ChatProtoError | None = None
        self._fences: deque[_Fence] = deque()
        self._events: deque[Message | Exception] = deque()
        # how many messages were sent, and how many ❌ came, before it was known whether the server
        # offers /ping
        self._sent = 0
        self._refused = 0
        # how many refused /ping are still to be answered
        self._refused_pings = 0
        # the page of history inside the first answer: how it ends
        self._page_end: str | None = None

    @property
    def is_full(self) -> bool:
        """Whether nothing more is to be read before messages are received."""
        return self.messages.bytes >= self.limits.max_queue_bytes

    @property
    def has_many(self) -> bool:
        """Whether nothing more is to be read before messages are received, unless somebody waits for
        something else."""
        return self.is_full or len(self.messages) >= self.limits.max_queue

    def check_room(self) -> None:
        """Raises LimitExceeded if nothing more is to be read."""
        if self.is_full:
            limit = self.limits.max_queue_bytes
            raise LimitExceeded(
                f"{self.messages.bytes} bytes of messages wait to be received, and the limit is "
                f"max_queue_bytes={limit}: call recv() until none is left, then ask again",
                "max_queue_bytes",
                limit,
            )

    def take(self, session: Session) -> bool:
        """Sorts what has happened to the session; whether anything has."""
        has_events = False
        while True:
            self._events.extend(islice(map(_WHAT, iter(session.next_event, None)), _AT_ONCE))
            self.name = session.name
            if not self._events:
                return has_events
            has_events = True
            while self._events:
                event = self._events[0]
                if isinstance(event, Message):
                    self._sort(event, session)
                    continue
                if isinstance(event, (ConnectionClosed, WebSocketError)) or (
                    isinstance(event, DecodeError) and event.is_framing
                ):
                    self.end(event)
                else:
                    self._complain(event)
                self._events.popleft()

    def _complain(self, error: Exception) -> None:
        """Logs that an object was no message: each of the first ones, then fewer and fewer."""
        self._bad += 1
        if self._bad <= _LOGGED:
            _log.warning("the server sent an object that is no message: %s", error)
        elif self._bad & (self._bad - 1) == 0:
            _log.warning(
                "the server sent an object that is no message, the %dth of this connection: %s",
                self._bad,
                error,
            )

    def check_registration(self) -> bool:
        """Whether the server took the name. Raises NameRefused if it refused it."""
        if self._refusal is not None:
            raise NameRefused(self._refusal.msg)
        return self.welcome is not None

    def end(self, error: ChatProtoError, *, is_orderly: bool = False) -> None:
        """Nothing more comes; the first reason stays."""
        if not self.has_ended:
            self.has_ended = True
            self.is_orderly = is_orderly
            self._end = error

    def check_end(self) -> None:
        """Raises why nothing more comes, if so."""
        if self._end is not None:
            # a traceback of its own for everybody who is told
            raise copy.copy(self._end)

    def send(self, session: Session, to: str, msg: str) -> None:
        """Queues a message that nobody waits for the answer of. Raises FrameTooLong."""
        session.send(to, msg)
        if self.offers_ping is None:
            self._sent += 1

    def probe(self) -> Request | None:
        """A request that may find out whether the server offers ``/ping``, as long as that is not
        known.

        Raises ChatProtoError if the server does not.
        """
        if self.offers_ping is None:
            return Request()
        if not self.offers_ping:
            raise no_ping()
        return None

    def send_request(self, session: Session, request: Request) -> None:
        """Queues a request with its fences. Raises FrameTooLong, LimitExceeded, and ChatProtoError
        if too many requests have no answer."""
        self.check_room()
        if len(self._fences) >= MAX_FENCES:
            raise unanswered(len(self._fences))
        if request.messages:
            session.send(_PING, self._fence(request, is_closing=False))
        try:
            for to, msg in request.messages:
                session.send(to, msg)
        finally:
            session.send(_PING, self._fence(request, is_closing=True))

    def abandon(self, request: Request) -> None:
        """Nobody waits for the request any more: what answers it is queued like the rest."""
        if not request.is_done:
            request.is_abandoned = True
            self.messages.extend(taken(request.answer))
            if self._fences and self._fences[0].request is request:
                self._page_end = None

    def result(self, request: Request) -> list[Message]:
        """The answer of a request that is done."""
        if request.error is not None:
            raise request.error
        return request.answer.take()

    def _fence(self, request: Request, *, is_closing: bool) -> str:
        nonce = f"{_NONCE}{secrets.token_hex(8)}"
        self._fences.append(_Fence(nonce, request, is_closing))
        return nonce

    def _sort(self, message: Message, session: Session) -> None:
        """Deals with the first event, which is this message."""
        if self.welcome is None:
            if session.is_registered:
                self.welcome = message
            else:
                self._refusal = message
            self._events.popleft()
        elif _is_answer(message):
            self._sort_answer(message.msg)
        elif self._page_end is not None:
            self._add_to_answer(self._fences[0].request)
        else:
            self._queue()

    def _sort_answer(self, msg: str) -> None:
        while self._fences and self._fences[0].has_passed:
            self._fences.popleft()
        is_refused_ping = msg.startswith(_REFUSAL) and _PING in msg
        if self._refused_pings and is_refused_ping:
            self._events.popleft()
            self._refused_pings -= 1
        elif not self._fences or _STATE.fullmatch(msg):
            self._queue()
        elif msg.startswith(_NONCE) and any(fence.nonce == msg for fence in self._fences):
            self._pass(msg)
        elif self.offers_ping is None:
            if is_refused_ping:
                self._refused_pings = len(self._fences) - 1
                self._refuse_ping()
            else:
                self._suspect(msg.startswith(_REFUSAL))
        else:
            fence = self._fences[0]
            if fence.is_closing and fence.request.messages and not fence.request.is_abandoned:
                self._turn_page(msg)
                self._add_to_answer(fence.request)
            else:
                self._queue()

    def _turn_page(self, msg: str) -> None:
        """Notes where a page of history begins and ends. Between its lines, the messages of all users
        are part of the answer, and nothing else comes there (B15)."""
        if self._page_end is None:
            if opening := _OPENING.fullmatch(msg):
                self._page_end = f"end of history {opening[1]}"
        elif msg == self._page_end or msg.startswith(f"{self._page_end}:"):
            self._page_end = None

    def _add_to_answer(self, request: Request) -> None:
        """The first event is a part of the answer. Those behind the limit are thrown away."""
        if request.is_done:
            self._events.popleft()
            return
        request.answer.extend(map(_POP_LEFT, (self._events,)))
        if request.answer.bytes > self.limits.max_answer:
            request.error = answer_too_long(request.messages[0][0], self.limits.max_answer)
            request.is_done = True
            request.answer.take()

    def _queue(self) -> None:
        self.messages.extend(map(_POP_LEFT, (self._events,)))

    def _pass(self, nonce: str) -> None:
        """A nonce came back. The fences before it were passed too: if the server dropped their
        nonces, as it may for a reader that is too slow, so it may have parts of the answers."""
        self.offers_ping = True
        self._page_end = None
        for fence in self._fences:
            request = fence.request
            if fence.nonce == nonce:
                request.is_done = request.is_done or fence.is_closing
            elif not (fence.has_passed or request.is_abandoned or request.is_done):
                self.abandon(request)
                request.error = lost_answer()
                request.is_done = True
            fence.has_passed = True
            if fence.nonce == nonce:
                break
        self._events.popleft()

    def _suspect(self, is_refusal: bool) -> None:
        """What came may refuse ``/ping`` without naming it, or refuse an earlier message. It is
        certain when there were more refusals than earlier messages; until then, ask again."""
        if is_refusal and self._refused >= self._sent:
            self._refuse_ping()
            return
        if is_refusal:
            for fence in self._fences:
                fence.request.is_done = True
        self._queue()
        self._refused += is_refusal

    def _refuse_ping(self) -> None:
        """The server does not offer ``/ping``: what waits for one is told so."""
        self.offers_ping = False
        for fence in self._fences:
            fence.request.error = no_ping()
            fence.request.is_done = True
            fence.has_passed = True
        self._events.popleft()


def no_ping() -> ChatProtoError:
    """Requests cannot be told from other messages on this server."""
    return ChatProtoError(
        "the server does not offer /ping, without which the answer of a request cannot be told "
        "from other messages: use send() and recv() instead (the command was not sent)"
    )


def lost_answer() -> ChatProtoError:
    """The server dropped a part of an answer."""
    return ChatProtoError(
        "a part of the answer is lost, because the server dropped messages that were not read fast "
        "enough: call recv() more often, and ask again"
    )


def unanswered(fences: int) -> ChatProtoError:
    """The server does not answer ``/ping``, or not as fast as it is asked."""
    return ChatProtoError(
        f"{fences} /ping of earlier requests have no answer yet: wait for those requests, or make a "
        "new Client (the command was not sent)"
    )


def answer_too_long(command: str, limit: int) -> LimitExceeded:
    """The server sends more than anybody asked for."""
    return LimitExceeded(
        f"the answer to {command} takes more than max_answer={limit} bytes, and was thrown away: "
        "make the Client with a larger max_answer if the server is to be trusted",
        "max_answer",
        limit,
    )


def closed_by_server(session: Session) -> ConnectionClosed:
    """The server has closed the connection."""
    text = f"the server has closed the connection{_close_frame(session)}: make a new Client"
    return ConnectionClosed(text)


def closed_by_client() -> ConnectionClosed:
    """The client was closed."""
    return ConnectionClosed("this client is closed: make a new Client")


def lost(error: OSError) -> ConnectionClosed:
    """The connection broke."""
    return ConnectionClosed(f"the connection was lost ({reason(error)}): make a new Client")


def _close_frame(session: Session) -> str:
    return f" ({session.close_frame})" if session.close_frame else ""


def not_welcomed(server: ServerAddress, session: Session) -> ConnectionClosed:
    """The server closed instead of registering the client."""
    is_right = "is that a chatproto server?"
    if server.url:
        is_right = "is that the URL of a chatproto server, with wss:// if it speaks TLS?"
    return ConnectionClosed(
        f"{server} closed the connection without a welcome{_close_frame(session)}: {is_right}"
    )


def not_registered_in_time(server: ServerAddress, timeout: float | None) -> Timeout:
    """Nobody said welcome."""
    return Timeout(
        f"{server} did not connect and register within {_seconds(timeout)}: is that a "
        "chatproto server? A longer timeout= waits longer"
    )


def no_message(timeout: float | None) -> Timeout:
    """Nothing came."""
    return Timeout(f"no message came within {_seconds(timeout)}: call recv() again, or wait longer")


def not_sent(timeout: float | None) -> Timeout:
    """The server did not take a message in time."""
    return Timeout(
        f"the message was not sent within {_seconds(timeout)}, because the server does not read or "
        "other messages are sent before it: wait longer, or abort()"
    )


def no_answer(command: str, timeout: float | None) -> Timeout:
    """A request was not answered in time."""
    return Timeout(
        f"{command} was not answered within {_seconds(timeout)}: ask again with a longer timeout=; "
        "an answer that comes late is given by recv()"
    )


def cannot_connect(server: ServerAddress, error: OSError | UnicodeError) -> OSError:
    """The same error with a sentence that says what to do; what it is an instance of stays."""
    if isinstance(error, UnicodeError):
        # what cannot be the name of a host
        error = socket.gaierror(socket.EAI_NONAME, "no such name")
    if isinstance(error, ConnectionRefusedError) and server.url:
        advice = f"is a server running there, with its listener for HTTP at port {server.port}?"
    elif isinstance(error, ConnectionRefusedError):
        advice = "is a server running there? `python -m chatproto serve` starts one here"
    elif isinstance(error, socket.gaierror):
        advice = "is the host's name right?"
    else:
        advice = "are host and port right, and is there a network?"
    text = f"cannot connect to {server} ({reason(error)}): {advice}"
    if isinstance(error, socket.gaierror):
        return socket.gaierror(error.errno, text)
    return OSError(error.errno, text) if error.errno else OSError(text)


def _seconds(timeout: float | None) -> str:
    return "any time" if timeout is None else f"{timeout:g} s"


class Deadline:
    """A point in time by which something is to happen. Seconds; None is never."""

    def __init__(self, timeout: float | None) -> None:
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"a timeout is a number of seconds of at least 0, not {timeout!r}")
        self._at = None if timeout is None else time.monotonic() + timeout
        self._was_late = False

    def left(self) -> float | None:
        """The seconds left, 0 at least."""
        return None if self._at is None else max(0.0, self._at - time.monotonic())

    def sooner(self, timeout: float) -> Deadline:
        """The sooner one of this and one in so many seconds."""
        left = self.left()
        return Deadline(timeout if left is None else min(left, timeout))

    def is_over(self) -> bool:
        """Whether the time is up. It is not before it was asked for the second time: what has come
        already is to be seen even if there is no time to wait."""
        if self.left() != 0.0:
            return False
        was_late, self._was_late = self._was_late, True
        return was_late
