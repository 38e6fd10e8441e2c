"""The compiled part of chatproto."""

import os
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar, final

_F = TypeVar("_F", bound=Callable[[Request], str])
_Data = bytes | bytearray | memoryview | str

__all__ = [
    "PORT",
    "Decoder",
    "Message",
    "Queue",
    "Request",
    "Server",
    "Session",
    "__version__",
    "arguments",
    "as_argument",
    "check_host",
    "decode",
    "encode",
    "parse_url",
]

PORT: Final[int]
__version__: Final[str]

@final
class Message:
    """A message: a sender, a recipient and a text. It is immutable.

    ``sender`` is ``from.name`` of the wire, and ``ip`` is ``from.ip``. A server replaces both by
    the sender's registered name and the address that it sees.
    """

    __match_args__: Final = ("sender", "to", "msg", "ip")

    def __new__(cls, sender: str, to: str, msg: str, ip: str | None = None) -> Self: ...
    @property
    def sender(self) -> str:
        """The sender's name."""

    @property
    def ip(self) -> str:
        """The sender's address. Default: ``0.0.0.0``."""

    @property
    def to(self) -> str:
        """A user, a room such as ``#tea``, a command such as ``/list``, or ``Everyone``."""

    @property
    def msg(self) -> str:
        """The text."""

    @property
    def is_from_server(self) -> bool:
        """Whether the server itself wrote the message."""

    def to_dict(self) -> dict[str, Any]:
        """The message as a dictionary of the wire's shape,
        ``{"from": {"name", "ip"}, "to", "msg"}``."""

    @classmethod
    def from_dict(cls, data: object) -> Message:
        """The message of a dictionary of the wire's shape. Other keys are ignored.

        Raises DecodeError, with the field, for any other shape.
        """

    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __getnewargs__(self) -> tuple[str, str, str, str]: ...

def arguments(text: str) -> list[str]:
    """Reads a text as arguments.

    White space separates them. An argument with white space is in double quotes, inside which
    ``""`` stands for one. Raises ValueError if a quote is not closed or text follows a closing
    quote.
    """

def check_host(host: str) -> None:
    """Checks a host, which is a name or an IP address without brackets.

    Raises ValueError if it cannot be one, or is an incomplete IP address.
    """

def parse_url(url: str) -> tuple[str, int, bool]:
    """The host, the port and whether there is TLS, of the URL of a WebSocket.

    Raises ValueError if the URL is invalid, or has a parameter ``name``.
    """

def as_argument(name: str) -> str:
    """Writes a name as one argument of a command.

    It is in double quotes if it is empty or has white space or a double quote, which is doubled.
    """

def encode(message: Message) -> bytes:
    """The message as bytes of the wire: one line of compact JSON in UTF-8, with LF at the end.

    Raises ValueError if a string has half of a surrogate pair.
    """

def decode(data: _Data) -> Message:
    """The message of exactly one frame of at most 64 KiB. White space around it is ignored.

    Raises DecodeError for anything else, and for two frames. ``Decoder`` is for streams.
    """

@final
class Decoder:
    """Finds and checks the frames of one stream, however its bytes are split.

    ``max_frame`` is the longest frame in bytes, by default 64 KiB. With ``strict``, keys that the
    schema does not have are an error. Otherwise they are ignored.
    """

    def __new__(cls, *, max_frame: int | None = None, strict: bool = False) -> Self: ...
    def feed(self, data: _Data) -> list[Message]:
        """Takes bytes of the stream and returns the messages that are complete now.

        Raises DecodeError. Its ``messages`` are those that came before it in this call. If
        ``is_framing`` is true, every later call raises the error again. Otherwise the bytes behind
        the object stay pending, and the next call goes on there, also ``feed(b"")``.

        Raises BufferError, and takes nothing, if the pending bytes and ``data`` are more than
        1 MiB. Call ``feed(b"")`` until it raises no DecodeError, then feed ``data`` again.
        """

    def push(self, data: _Data) -> None:
        """Takes bytes of the stream. Iterate over the decoder for the messages.

        Raises BufferError, and takes nothing, if the pending bytes and ``data`` are more than
        1 MiB. Iterate over the decoder first.
        """

    def finish(self) -> None:
        """Tells the decoder that the stream has ended. Raises DecodeError if it ended inside an
        object."""

    def __iter__(self) -> Iterator[Message]: ...
    def __next__(self) -> Message: ...

@final
class Queue:
    """Messages in order, with their size in memory. The clients queue received messages in it."""

    def __new__(cls) -> Self: ...
    @property
    def bytes(self) -> int:
        """The bytes that the messages take."""

    def extend(self, messages: Iterable[Message]) -> None:
        """Appends all messages of an iterator."""

    def popleft(self) -> Message:
        """Takes the first message. Raises IndexError if there is none."""

    def take(self) -> list[Message]:
        """Takes all messages."""

    def __len__(self) -> int: ...

@final
class Session:
    """The client's side of a connection: bytes and time in, bytes and events out.

    With ``url``, the bytes are those of a WebSocket: first its opening handshake, then its frames. The
    caller adds TLS if the URL asks for it.

    Times are seconds of ``time.monotonic()``. ``max_frame`` is the longest frame in bytes, in
    either direction, by default 64 KiB. With ``ping_interval``, in seconds, the session sends
    ``/ping`` to a silent server, and ends if nothing comes for another interval.

    A session holds at most one incomplete frame, and the events of ``receive``. Take the events
    before the next ``receive``, which then bounds the memory. ``send`` queues without a bound: send
    when ``has_outgoing`` is false.
    """

    def __new__(
        cls,
        name: str,
        ip: str = "0.0.0.0",
        *,
        url: str | None = None,
        max_frame: int | None = None,
        ping_interval: float | None = None,
    ) -> Self: ...
    @property
    def name(self) -> str:
        """The name under which the server knows the client: at first the registered one."""

    @property
    def is_registered(self) -> bool:
        """Whether the server took the name."""

    @property
    def server_kind(self) -> Literal["stream", "one-read"] | None:
        """How the server reads; None if it is not known yet."""

    @property
    def has_outgoing(self) -> bool:
        """Whether queued bytes were not written yet."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes from the server: it closed the WebSocket, or violated a rule. The last
        bytes of ``transmit`` answer it."""

    @property
    def close_frame(self) -> str | None:
        """How the server closed the WebSocket, such as ``close code 1013, try again later``; None before,
        for a close frame without a code, and without a WebSocket."""

    def receive(self, data: bytes, now: float) -> None:
        """Takes bytes from the server. No bytes are a sign of life too, after a pause of the reader."""

    def receive_end(self) -> None:
        """Takes the end of the stream: the server sends nothing more."""

    def handle_timeout(self, now: float) -> None:
        """Takes the time. Call it at the time that ``timeout`` returned."""

    def handle_silence(self, now: float) -> None:
        """Takes the time after an attempt to read that found nothing. Call it at the time that
        ``silence`` returned."""

    def silence(self) -> float | None:
        """When to call ``handle_silence``, if nothing comes before."""

    def timeout(self) -> float | None:
        """When to call ``handle_timeout`` and ``transmit`` again, if nothing comes before."""

    def send(self, to: str, msg: str) -> None:
        """Queues a message. Raises FrameTooLong if it is longer than the server accepts."""

    def transmit(self, now: float) -> bytes:
        """The bytes to write now; empty if there are none."""

    def transmitted(self, count: int, now: float) -> None:
        """Takes the number of bytes of ``transmit`` that were written."""

    def finish(self) -> bool:
        """Nothing more will be sent. True if ``transmit`` says that to the server, which then closes the
        connection. False if the caller is to shut down its side when all is written."""

    def next_event(
        self,
    ) -> tuple[Literal["registered", "refused", "message"], Message] | tuple[
        Literal["bad"], Exception
    ] | None:
        """The next event: its kind, and the message or the error. None if there is no event."""

@final
class Request:
    """A command that a user sent to an endpoint."""

    @property
    def user(self) -> str:
        """The user who sent it."""

    @property
    def endpoint(self) -> str:
        """The endpoint's name, such as ``/dice``."""

    @property
    def msg(self) -> str:
        """The text, without a leading endpoint's name."""

    @property
    def arguments(self) -> list[str]:
        """The text as arguments.

        White space separates them. An argument with white space is in double quotes, inside which
        ``""`` stands for one. Raises Refuse if the quotes are wrong.
        """

@final
class Server:
    """A chat server on its own threads. Any thread may call its methods.

    ``host`` is a name or an IP address. If a name has several addresses, the server listens on the
    first usable one. ``port`` 0 takes any free port. ``threads`` is the number of event loops, by
    default one a core and at most four. ``rate`` is the number of messages a second that one
    connection may send. Above it, the server reads more slowly. ``None`` turns off this limit and
    the limit of bytes (192 KiB a second). ``slow_reader`` is the policy for connections that do not
    read: ``"disconnect"`` or ``"drop-oldest"``. ``admin_token`` is the token for ``/admin``. With
    ``announce``, all users are told about users who join and leave. ``registration`` is the time
    limit for a client's name, in seconds. ``tls_cert`` and ``tls_key`` are PEM files of a
    certificate and its key. With them, the server also speaks TLS, on the same port. With
    ``tls_only``, it speaks only TLS. The files are read at the start. As a context manager, the
    server starts and stops.

    The child of a fork has no server: in it, ``users()`` is empty, ``stop()`` does nothing, and
    ``start()`` starts another server.
    """

    def __new__(
        cls,
        host: str = "127.0.0.1",
        port: int = 65432,
        *,
        threads: int | None = None,
        rate: int | None = 100,
        max_frame: int | None = None,
        max_connections: int | None = None,
        slow_reader: Literal["disconnect", "drop-oldest"] = "disconnect",
        admin_token: str | None = None,
        announce: bool = False,
        registration: float = 10.0,
        tls_cert: str | os.PathLike[str] | None = None,
        tls_key: str | os.PathLike[str] | None = None,
        tls_only: bool = False,
    ) -> Self: ...
    def endpoint(self, name: str, *, help: str = "") -> Callable[[_F], _F]:
        """Registers a function as an endpoint: ``@server.endpoint("/dice", help="Rolls dice.")``.

        The function takes a Request and returns the text of the answer. It runs on a thread of the
        server. If it raises Refuse, the user receives the reason. Any other exception is logged with
        its traceback by the logger ``chatproto``, and the user is told that the command failed.

        Raises ValueError if the name is not ``/`` and 1 to 32 letters, digits, ``-`` or ``_``, or
        if another endpoint has it.
        """

    def start(self) -> None:
        """Starts to listen. Returns when clients can connect.

        Raises OSError if the address cannot be listened on, and ChatProtoError if the server is
        running already or its options are not valid.
        """

    def stop(self) -> None:
        """Sends a notice to all users, flushes for at most 5 s, and ends. Does nothing if the server
        is not running. It can start again.

        Any thread may call it, also several at once: each returns when the server has ended. Raises
        ChatProtoError in an endpoint of this server, which the server waits for.
        """

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port of the listening socket; before the start, those asked for."""

    @property
    def tls_fingerprint(self) -> str | None:
        """The SHA-256 of the certificate, for the clients' ``tls_fingerprint``; None without TLS."""

    def users(self) -> list[str]:
        """The names of the users who are connected, in no particular order."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
