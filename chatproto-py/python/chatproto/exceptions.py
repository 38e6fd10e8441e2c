"""The exceptions of the package. Each names the party at fault:

- the server: ``DecodeError`` (invalid bytes), ``NameRefused`` (the name), ``LimitExceeded`` (too
  many bytes), ``WebSocketError`` (no WebSocket);
- the network: ``ConnectionClosed``, ``TlsError``, ``Timeout``;
- the caller: ``FrameTooLong``.

An endpoint of an application raises ``Refuse``. All exceptions can be pickled and copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._chatproto import Message

__all__ = [
    "ChatProtoError",
    "ConnectionClosed",
    "DecodeError",
    "FrameTooLong",
    "LimitExceeded",
    "NameRefused",
    "Refuse",
    "Timeout",
    "TlsError",
    "WebSocketError",
]

_SHAPE = 'a message is {"from": {"name": "…", "ip": "…"}, "to": "…", "msg": "…"}, all strings'


class ChatProtoError(Exception):
    """The base class of all exceptions of this package except Refuse. The text says what to do."""


class DecodeError(ChatProtoError, ValueError):
    """Bytes are not a message. The attributes name the first wrong byte.

    Attributes:
        reason: what was wrong, in one sentence.
        offset: where, in bytes from the start of the stream or of the data.
        field: the field concerned (``"from"``, ``"from.name"``, ``"from.ip"``, ``"to"``,
            ``"msg"``), or None.
        kind: the kind of the error as the protocol names it, such as ``"missing-key"``.
        is_framing: whether the stream cannot be trusted any more. If not, decoding can go on
            behind the object.
        messages: what ``Decoder.feed`` decoded before it in the same call.
    """

    def __init__(
        self,
        reason: str,
        offset: int = 0,
        field: str | None = None,
        kind: str = "",
        is_framing: bool = False,
    ) -> None:
        super().__init__(reason, offset, field, kind, is_framing)
        self.reason = reason
        self.offset = offset
        self.field = field
        self.kind = kind
        self.is_framing = is_framing
        self.messages: list[Message] = []

    def __str__(self) -> str:
        return f"{self.reason}: {_SHAPE}"


class NameRefused(ChatProtoError):
    """The server did not register the client, or no server would take the name.

    Attributes:
        reason: why, in the words of the server or of the library.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        if "another" in self.reason:
            return f"not registered: {self.reason}"
        return f"not registered: {self.reason} (choose another name, or ask who runs the server)"


class ConnectionClosed(ChatProtoError, ConnectionError):
    """The connection has ended: the server closed it, it was lost, or the client was closed."""


class TlsError(ChatProtoError, ConnectionError):
    """The TLS handshake failed, or the certificate is not trusted. The name was not sent."""


class WebSocketError(ChatProtoError, ConnectionError):
    """The server did not open the WebSocket, or violated its rules.

    Attributes:
        status: the status of HTTP with which the server refused to open it, such as 503, or None.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        # a second argument would be the number and the text of an OSError
        super().__init__(message)
        self.status = status


class Timeout(ChatProtoError, TimeoutError):
    """An operation exceeded its timeout. The client stays usable."""


class FrameTooLong(ChatProtoError, ValueError):
    """A message is longer than the server can take. It was not sent.

    Attributes:
        length: the encoded length in bytes. The line feed counts only towards a one-read server.
        limit: the most bytes that this server can take.
    """

    def __init__(self, message: str, length: int, limit: int) -> None:
        super().__init__(message, length, limit)
        self.message = message
        self.length = length
        self.limit = limit

    def __str__(self) -> str:
        return self.message


class LimitExceeded(ChatProtoError):
    """The server sent more than the client holds. The client stays usable.

    Attributes:
        option: the option of the client that sets the limit, ``"max_queue_bytes"`` or
            ``"max_answer"``.
        limit: the limit, in bytes of memory.
    """

    def __init__(self, message: str, option: str, limit: int) -> None:
        super().__init__(message, option, limit)
        self.message = message
        self.option = option
        self.limit = limit

    def __str__(self) -> str:
        return self.message


class Refuse(Exception):
    """Raised by an endpoint. The user receives ``❌`` and the text."""
