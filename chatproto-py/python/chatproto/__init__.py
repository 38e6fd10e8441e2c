"""A chat protocol that programs in any language share.

One immutable JSON message, ``{"from":{"name","ip"},"to","msg"}``, over TCP. ``Client`` and
``chatproto.aio.Client`` talk to a server, ``Server`` is one; ``encode``, ``decode`` and ``Decoder``
are the messages alone. ``chatproto.utils`` stands in for the module of programs that speak the
protocol already.
"""

from ._chatproto import (
    PORT,
    Decoder,
    Message,
    Request,
    Server,
    __version__,
    arguments,
    as_argument,
    decode,
    encode,
)
from .client import Client
from .exceptions import (
    ChatProtoError,
    ConnectionClosed,
    DecodeError,
    FrameTooLong,
    LimitExceeded,
    NameRefused,
    Refuse,
    Timeout,
    TlsError,
    WebSocketError,
)

__all__ = [
    "PORT",
    "ChatProtoError",
    "Client",
    "ConnectionClosed",
    "DecodeError",
    "Decoder",
    "FrameTooLong",
    "LimitExceeded",
    "Message",
    "NameRefused",
    "Refuse",
    "Request",
    "Server",
    "Timeout",
    "TlsError",
    "WebSocketError",
    "__version__",
    "arguments",
    "as_argument",
    "decode",
    "encode",
]
