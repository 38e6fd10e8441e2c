"""The compiled part of chatproto."""

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, ClassVar, Final, Literal, Self, TypeVar, final

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
    "decode",
    "encode",
]

PORT: Final[int]
__version__: Final[str]

@final
class Message:
    """A message: who speaks, to whom, and what. It never changes.

    ``from.name`` of the wire is ``sender`` here, and ``from.ip`` is ``ip``: the address of the one
    who speaks, which a server replaces by the one that it sees.
    """

    __match_args__: ClassVar[tuple[str, str, str, str]] = ("sender", "to", "msg", "ip")

    def __new__(cls, sender: str, to: str, msg: str, ip: str | None = None) -> Self: ...
    @property
    def sender(self) -> str:
        """The name of the one who speaks."""

    @property
    def ip(self) -> str:
        """The address of the one who speaks; ``0.0.0.0`` if nothing else was said."""

    @property
    def to(self) -> str:
        """A user, a room such as ``#tea``, a command such as ``/list``, or ``Everyone``."""

    @property
    def msg(self) -> str:
        """The text."""

    @property
    def is_from_server(self) -> bool:
        """Whether the server itself wrote it."""

    def to_dict(self) -> dict[str, Any]:
        """``{"from": {"name", "ip"}, "to", "msg"}``, the shape that it has on the wire."""

    @classmethod
    def from_dict(cls, data: object) -> Message:
        """The message that a dictionary of the wire's shape is; other keys are ignored.

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

def as_argument(name: str) -> str:
    """Writes a name as one argument of a command.

    It is in double quotes if it is empty or has white space or a double quote, which is doubled.
    """

def encode(message: Message) -> bytes:
    """The message as it goes over the wire: one line of compact JSON in UTF-8, ended by LF.

    Raises ValueError if one of its strings holds half of a surrogate pair.
    """

def decode(data: _Data) -> Message:
    """The message that exactly one frame is, of at most 64 KiB, with white space around it at most.

    Raises DecodeError for anything else.
    """

@final
class Decoder:
    """Finds and judges the frames of one stream, however its bytes are split.

    ``max_frame`` is the longest frame in bytes, 64 KiB if not said. ``strict`` refuses keys that
    the schema does not have, which are ignored otherwise.
    """

    def __new__(cls, *, max_frame: int | None = None, strict: bool = False) -> Self: ...
    def feed(self, data: _Data) -> list[Message]:
        """Takes bytes of the stream and gives the messages that are complete now.

        Raises DecodeError; its ``messages`` are those that came before it in this call. Behind an
        object that is no message the next call goes on, ``feed(b"")`` too; where the stream cannot
        be trusted any more (``is_framing``), every later call raises the error again.

        What stands behind such an object waits for the next call. Raises BufferError, and takes
        nothing, if that and ``data`` are more than 1 MiB: call ``feed(b"")`` until it raises no
        DecodeError, then feed ``data`` again.
        """

    def push(self, data: _Data) -> None:
        """Takes bytes of the stream, whose messages come by iterating over the decoder.

        Raises BufferError, and takes nothing, if bytes wait from before and all would be more than
        1 MiB: iterate over the decoder first.
        """

    def finish(self) -> None:
        """Says that the stream has ended. Raises DecodeError if it ended inside an object."""

    def __iter__(self) -> Iterator[Message]: ...
    def __next__(self) -> Message: ...

@final
class Queue:
    """Messages in order, with the bytes that they take in memory: what the clients queue."""

    def __new__(cls) -> Self: ...
    @property
    def bytes(self) -> int:
        """The bytes that the messages take."""

    def extend(self, messages: Iterable[Message]) -> None:
        """Appends all that an iterator gives."""

    def popleft(self) -> Message:
        """Takes the first message. Raises IndexError if there is none."""

    def take(self) -> list[Message]:
        """Takes all messages."""

    def __len__(self) -> int: ...

@final
class Session:
    """The client's side of a connection: bytes and time in, bytes and events out.

    Times are seconds of ``time.monotonic()``. ``max_frame`` is the longest frame in bytes, in
    either direction, 64 KiB if not said.

    A session holds at most one incomplete frame, and what came of ``receive``: take the events
    before the next ``receive``, which then bounds the memory. What ``send`` queues has no bound:
    send when ``has_outgoing`` is false.
    """

    def __new__(cls, name: str, ip: str = "0.0.0.0", *, max_frame: int | None = None) -> Self: ...
    @property
    def name(self) -> str:
        """The name that it registers, as the server will know it."""

    @property
    def is_registered(self) -> bool:
        """Whether the server took the name."""

    @property
    def server_kind(self) -> Literal["stream", "one-read"] | None:
        """How the server reads, as far as is known."""

    @property
    def has_outgoing(self) -> bool:
        """Whether something is queued that was not written."""

    def receive(self, data: bytes, now: float) -> None:
        """Bytes came from the server."""

    def receive_end(self) -> None:
        """The server will send nothing more."""

    def handle_timeout(self, now: float) -> None:
        """Time has passed: to be called at the time that ``timeout`` gave."""

    def timeout(self) -> float | None:
        """When ``handle_timeout`` and ``transmit`` are to be called again, if nothing comes."""

    def send(self, to: str, msg: str) -> None:
        """Queues a message. Raises FrameTooLong if the server could not take it."""

    def transmit(self, now: float) -> bytes:
        """What may be written now; empty if nothing may."""

    def transmitted(self, count: int, now: float) -> None:
        """So many bytes of what ``transmit`` gave were written."""

    def next_event(
        self,
    ) -> tuple[Literal["registered", "refused", "message"], Message] | tuple[
        Literal["bad"], Exception
    ] | None:
        """The next thing that happened: its kind, and the message or the error."""

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
    """A chat server, on threads of its own.

    ``port`` 0 takes any free port. ``threads`` is the number of event loops, by default one a core
    and at most four. ``rate`` is the number of messages a second that one connection may send.
    Above it, the server reads more slowly. ``None`` turns off this limit and the limit of bytes
    (192 KiB a second). ``slow_reader`` is the policy for connections that do not read:
    ``"disconnect"`` or ``"drop-oldest"``. ``admin_token`` is the token for ``/admin``. With
    ``announce``, all users are told about users who join and leave. ``registration`` is the time
    limit for a client's name, in seconds. ``tls_cert`` and ``tls_key`` are PEM files of a
    certificate and its key. With them, the server also speaks TLS, on the same port. With
    ``tls_only``, it speaks only TLS. The files are read at the start. As a context manager, the
    server starts and stops.
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
        tls_cert: str | None = None,
        tls_key: str | None = None,
        tls_only: bool = False,
    ) -> Self: ...
    def endpoint(self, name: str, *, help: str = "") -> Callable[[_F], _F]:
        """Registers a function as an endpoint: ``@server.endpoint("/dice", help="Rolls dice.")``.

        The function takes a Request and returns the text of the answer. It runs on a thread of the
        server's. If it raises Refuse, the user reads why; any other exception is logged, with its
        traceback, by the logger ``chatproto``, and the user reads that the command failed.

        Raises ValueError if the name is not ``/`` and 1 to 32 letters, digits, ``-`` or ``_``, or
        is taken.
        """

    def start(self) -> None:
        """Begins to listen and serve; returns when clients can connect.

        Raises OSError if the address cannot be listened on, and ChatProtoError if the server is
        running already or cannot work under its options.
        """

    def stop(self) -> None:
        """Says goodbye to everybody, flushes for at most 5 s, and ends; it can start again."""

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port on which it listens."""

    @property
    def tls_fingerprint(self) -> str | None:
        """The SHA-256 of the certificate, for clients to trust; None without TLS."""

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
