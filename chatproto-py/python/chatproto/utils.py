"""The module that programs of the protocol ``import utils`` for (A12): same names, same results.

It is plain Python on ``json``, for programs that take one read for one message. Those that read a
stream use ``chatproto.Decoder``, or a client, which also say what was wrong and where.

Where it differs from that module:

* ``decode_json_msg`` gives ``None`` for everything that is not a message: for JSON of any other
  shape too, and for bytes that are not UTF-8, for which the original raises. What it gives can
  therefore be used without another check.
* Keys that a message does not have are ignored, and are not in the result, so that nobody forwards
  them (B3).

It is less strict than ``chatproto.decode``: of a key that stands twice the last one counts, half of
a surrogate pair or U+0000 are characters like others, and there is no limit of length.
"""

from __future__ import annotations

import json
import socket
from typing import Any, Final, NoReturn

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
    """The address of this machine in its network, as text; ``127.0.0.1`` if it is in none.

    Nothing is sent.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # an address for documentation (RFC 5737): what would leave the machine leaves from here
            probe.connect(("192.0.2.1", PORT))
            address: str = probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"
    return address


def create_json_msg(sender_name: str, sender_ip: str, target: str, text: str) -> str:
    """A message as text, byte for byte what ``json.dumps`` prints, without a line end (A5).

    ``decode_json_msg`` gives it back whatever the strings are.
    """
    return json.dumps(_message(sender_name, sender_ip, target, text))


def decode_json_msg(data: bytes | bytearray | memoryview | str) -> dict[str, Any] | None:
    """The message that the data is, ``{"from": {"name", "ip"}, "to", "msg"}`` with four strings,
    or None if it is anything else, two messages included."""
    try:
        text = data if isinstance(data, str) else str(data, ENCODING)
        value = json.loads(text, parse_int=float, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    match value:
        case {
            "from": {"name": str(name), "ip": str(ip)},
            "to": str(to),
            "msg": str(msg),
        }:
            return _message(name, ip, to, msg)
    return None


def get_standard_json() -> str:
    """The shape of a message as text: what a server answers to ``/standard``."""
    return json.dumps(_message("string", "string", "string", "string"))


def _message(name: str, ip: str, to: str, msg: str) -> dict[str, Any]:
    return {"from": {"name": name, "ip": ip}, "to": to, "msg": msg}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
