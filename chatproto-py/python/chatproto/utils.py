"""The contract module that existing programs import as ``utils`` (A12): same names, same results.

It is plain Python on ``json``, for programs that take one read for one message. Programs that read a
stream use ``chatproto.Decoder`` or a client. These check every rule of the protocol, and their errors
name the first wrong byte.
"""

from __future__ import annotations

import json
import socket
from typing import Any, Final

from ._chatproto import PORT

__all__ = [
    "ENCODING",
    "PORT",
    "create_json_msg",
    "decode_json_msg",
    "get_local_ip",
    "get_standard_json",
]

ENCODING: Final = "utf-8"
"""The encoding of all text."""


def get_local_ip() -> str:
    """The IPv4 address of this machine in its network; ``127.0.0.1`` if it has none. Nothing is
    sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # an address for documentation (RFC 5737): the source is that of the default route
            probe.connect(("192.0.2.1", PORT))
            address: str = probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"
    return address


def create_json_msg(sender_name: str, sender_ip: str, target: str, text: str) -> str:
    """A message as text: what ``json.dumps`` prints, byte for byte, without a line feed (A5)."""
    message = {"from": {"name": sender_name, "ip": sender_ip}, "to": target, "msg": text}
    return json.dumps(message)


def decode_json_msg(data: bytes | bytearray | memoryview | str) -> Any:
    """The JSON value of the data, of any shape, as ``json.loads`` reads it; None if the data is not
    JSON.

    Bytes are decoded as UTF-8, and a byte order mark is an error in the JSON: the result is None.
    (``json.loads`` of bytes also takes the mark, UTF-16 and UTF-32.) Raises UnicodeDecodeError if
    bytes are not UTF-8. Like ``json.loads``, it raises RecursionError for
    values that are nested too deeply, and ValueError for integers of too many digits.
    """
    text = data if isinstance(data, str) else str(data, ENCODING)
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


def get_standard_json() -> str:
    """The shape of a message as text: what a server answers to ``/standard``."""
    return create_json_msg("string", "string", "string", "string")
