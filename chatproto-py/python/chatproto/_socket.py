"""Sockets for both clients: the address, and how a dead link is noticed."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Protocol, Self

from ._chatproto import PORT, check_host, parse_url

__all__ = ["HOST", "KEEP_ALIVE", "ServerAddress", "configure", "read_rest", "reason"]

HOST = "127.0.0.1"
"""Where a server is, by default."""

KEEP_ALIVE = 90.0
"""Seconds after which a silent link is lost, by default. The server has the same limit."""

_PIECE = 64 * 1024


class _Options(Protocol):
    def setsockopt(self, level: int, name: int, value: int, /) -> None: ...


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a server is. Its text is what the user gave.

    Attributes:
        url: the URL of a WebSocket, or None.
        is_secure: whether the URL asks for TLS.
    """

    host: str
    port: int
    url: str | None = None
    is_secure: bool = False

    @classmethod
    def of(cls, host: str, port: int, url: str | None) -> Self:
        """Raises ValueError if this is no address to connect to. (The system takes ports modulo 65536, and
        hosts such as ``1.2`` for addresses.)"""
        if url is not None:
            if (host, port) != (HOST, PORT):
                raise ValueError("give a URL, or a host and a port, and not both")
            host, port, is_secure = parse_url(url)
            return cls(host, port, url, is_secure)
        if isinstance(host, str) and "://" in host:
            raise ValueError(f"host {host!r} is a URL: give it as url")
        check_host(host)
        if isinstance(port, bool) or not isinstance(port, int):
            raise TypeError(f"port is a number from 1 to 65535, not {port!r}")
        if not 0 < port <= 65535:
            raise ValueError(f"port is a number from 1 to 65535, not {port!r}")
        return cls(host, port)

    def __str__(self) -> str:
        return self.url or f"{self.host}:{self.port}"


def configure(connection: _Options, keep_alive: float | None) -> None:
    """Sends small messages at once. Ends the connection when the other system was silent for
    ``keep_alive`` seconds: TCP keep-alive, and on Linux the TCP user time-out."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if keep_alive is None:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # the system counts whole seconds
    idle, interval = (max(1, round(keep_alive / part)) for part in (2, 6))
    milliseconds = max(1, round(keep_alive * 1000))
    for name, value in (
        ("TCP_KEEPIDLE", idle),
        # the same on macOS
        ("TCP_KEEPALIVE", idle),
        ("TCP_KEEPINTVL", interval),
        ("TCP_USER_TIMEOUT", milliseconds),
    ):
        option: int | None = getattr(socket, name, None)
        if option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def check_keep_alive(keep_alive: float | None) -> None:
    """Raises ValueError if this is no number of seconds."""
    if keep_alive is not None and not 0 < keep_alive < 2**31 / 1000:
        raise ValueError(f"keep_alive is a number of seconds above 0, or None, not {keep_alive!r}")


def read_rest(descriptor: int) -> bytes:
    """What has come to a socket that somebody else is about to close."""
    pieces = []
    with socket.socket(fileno=os.dup(descriptor)) as connection:
        connection.setblocking(False)
        try:
            while piece := connection.recv(_PIECE):
                pieces.append(piece)
        except OSError:
            # nothing more, or the reset behind it
            pass
    return b"".join(pieces)


def reason(error: OSError) -> str:
    """The words of the system, without its number."""
    if error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno).lower()
    return (error.strerror or str(error)).lower()
