"""``python -m chatproto``: a server, and a simple line client.

What a typed line means is in ``_Place``, the rest is wiring. Exit codes: 0 done, 1 it did not work
out, 2 it was not asked for as it can be. Every error is one sentence on standard error.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import logging
import os
import signal
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from . import (
    PORT,
    ChatProtoError,
    Client,
    ConnectionClosed,
    FrameTooLong,
    Message,
    Server,
    __version__,
    as_argument,
)

_ANSWERS = 600.0
"""Seconds that the end of input waits for the answers to what was sent."""


class _Mistake(Exception):
    """Something that cannot be done as it was asked for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line (that of the process if none is given); returns the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="chatproto: %(message)s", level=logging.WARNING)
    for stream in (sys.stdout, sys.stderr):
        # names and texts may hold characters that a terminal of another encoding cannot show
        reconfigure: Callable[..., None] | None = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    try:
        code: int = options.run(options)
        return code
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _Mistake as error:
        return _complain(str(error), 2)
    except (ChatProtoError, OSError) as error:
        return _complain(_sentence(error), 1)


def _serve(options: argparse.Namespace) -> int:
    token = _read_token(options.admin_token_file)
    try:
        server = Server(
            options.host,
            options.port,
            threads=options.threads,
            rate=options.rate,
            max_frame=options.max_frame,
            max_connections=options.max_connections,
            slow_reader=options.slow_reader,
            admin_token=token,
            announce=options.announce,
            registration=options.registration,
            tls_cert=options.tls_cert,
            tls_key=options.tls_key,
            tls_only=options.tls_only,
        )
        _stop_at_signals()
        with contextlib.suppress(KeyboardInterrupt), server:
            host, port = server.address
            print(f"listening on {f'[{host}]' if ':' in host else host}:{port}", flush=True)
            threading.Event().wait()
    except (ChatProtoError, ValueError, OverflowError) as error:
        raise _Mistake(str(error)) from None
    return 0


def _read_token(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            token = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _Mistake(f"cannot read the admin token in {path}: {_sentence(error)}") from None
    if not token:
        raise _Mistake(f"there is no admin token in {path}: write one into it")
    return token


def _stop_at_signals() -> None:
    """Has SIGINT and SIGTERM end the process's wait, once."""

    def stop(number: int, _: Any) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, stop)


def _chat(options: argparse.Namespace) -> int:
    try:
        client = Client(
            options.name,
            options.host,
            options.port,
            tls=options.tls,
            tls_ca=options.tls_ca,
            tls_fingerprint=options.tls_fingerprint,
            tls_name=options.tls_name,
            max_frame=options.max_frame,
        )
    except ValueError as error:
        if isinstance(error, ChatProtoError):
            raise
        raise _Mistake(str(error)) from None
    with client:
        print(_line(client.welcome), flush=True)
        typing = _Typing(client)
        # it may wait for standard input for ever: the process ends without it
        threading.Thread(target=typing.run, daemon=True).start()
        for message in client:
            print(_line(message), flush=True)
        if not typing.has_left:
            return _complain("the server has closed the connection: start again to go on", 1)
    return 1 if typing.is_unsent else 0


class _Typing:
    """What comes from standard input, on a thread of its own."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._place = _Place()
        self.is_unsent = False
        self.has_left = False

    def run(self) -> None:
        """Sends line by line; then waits for the answers, and closes."""
        try:
            for number, line in enumerate(_lines(), start=1):
                if line.strip() == "/quit":
                    break
                try:
                    self._send(line)
                except (_Mistake, FrameTooLong) as error:
                    self.is_unsent = True
                    _complain(f"line {number} was not sent: {error}", 1)
        except ConnectionClosed:
            # the main thread says why
            return
        self.has_left = True
        with contextlib.suppress(ChatProtoError):
            self._client.request("/ping", timeout=_ANSWERS)
        self._client.close()

    def _send(self, line: str) -> None:
        message = self._place.typed(line)
        if message is not None:
            self._client.send(*message)


class _Place:
    """Where plain text goes: to a room from ``/join`` to ``/leave``, else to everybody.

    The typed lines alone decide it: if a room cannot be joined, what is for it goes to nobody else.
    """

    def __init__(self) -> None:
        self._room: str | None = None

    def typed(self, line: str) -> tuple[str, str] | None:
        """To whom the line goes, and what; None if there is nothing in it."""
        text = line.strip()
        if not text:
            return None
        if text.startswith("@"):
            return self._addressed(text[1:])
        if text.startswith("//"):
            return self._room or "/shout", text[1:]
        if text.startswith("/"):
            return self._command(text)
        return self._room or "/shout", line

    def _addressed(self, text: str) -> tuple[str, str]:
        if text.startswith('"'):
            to, msg = _quoted_name(text)
        else:
            to, _, msg = text.partition(" ")
        if not to.strip() or not msg.strip():
            raise _Mistake("a message to one user or room has a name and a text: @NAME TEXT")
        return to.strip(), msg.strip()

    def _command(self, text: str) -> tuple[str, str]:
        command, _, msg = text.partition(" ")
        msg = msg.strip()
        room, behind = _quoted_name(msg) if msg.startswith('"') else (msg, "")
        if command == "/":
            raise _Mistake("a command has a name: /help lists them")
        if command == "/join" and room.startswith("#"):
            self._room, msg = room, as_argument(room) + behind
        elif command == "/leave":
            room = room or self._room or ""
            msg = as_argument(room) if room else ""
            if room == self._room:
                self._room = None
        return command, msg


def _quoted_name(text: str) -> tuple[str, str]:
    """The name in double quotes with which the text begins, and what follows it."""
    end = text.find('"', 1)
    while text.startswith('""', end):
        end = text.find('"', end + 2)
    behind = text[end + 1 :]
    # a quote in the text may belong to a name with a quote that is not doubled
    if end < 0 or (behind and not behind[0].isspace()) or behind.count('"') % 2:
        raise _Mistake('a double quote is not closed; inside double quotes, write "" for one')
    return text[1:end].replace('""', '"'), behind


def _lines() -> Iterator[str]:
    """The lines of standard input, without their ends.

    Read past ``sys.stdin``, whose lock a thread that waits would hold when the process ends.
    """
    if sys.stdin is None:
        return
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    rest = ""
    while data := _read(sys.stdin.fileno()):
        *lines, rest = (rest + decoder.decode(data)).split("\n")
        yield from (line.removesuffix("\r") for line in lines)
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 64 * 1024)
    except OSError:
        # the terminal is gone
        return b""


def _line(message: Message) -> str:
    return f"{_visible(message.sender)} → {_visible(message.to)}: {_visible(message.msg)}"


def _visible(text: str) -> str:
    """The text as one line that a terminal shows as it is: ``\\n`` and ``\\u{1b}`` stand for the
    characters that would do something else than show."""
    if text.isprintable():
        return text
    return "".join(
        _escaped(c) if _is_invisible(c) and not _is_shaping(text, at) else c
        for at, c in enumerate(text)
    )


def _is_invisible(c: str) -> bool:
    return unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _is_shaping(text: str, at: int) -> bool:
    """Whether this is a joiner inside an emoji or a word of a script that needs it."""
    around = text[max(0, at - 1) : at], text[at + 1 : at + 2]
    return text[at] in "\u200c\u200d" and all(
        c and not c.isascii() and not _is_invisible(c) for c in around
    )


def _escaped(c: str) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(c, f"\\u{{{ord(c):x}}}")


def _sentence(error: BaseException) -> str:
    """What an error says, without its number."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _complain(sentence: str, code: int) -> int:
    with contextlib.suppress(OSError):
        print(f"chatproto: {_visible(sentence)}", file=sys.stderr, flush=True)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chatproto", description="A chat server and a simple line client."
    )
    parser.add_argument("--version", action="version", version=f"chatproto {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="run a server",
        description="Runs a server until SIGINT or SIGTERM. Prints `listening on HOST:PORT` when "
        "it is ready.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    serve.set_defaults(run=_serve)
    add = serve.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 opens it to others")
    add("--port", type=_number(0, 65535), default=PORT, help="port; 0 takes any free one")
    add("--announce", action="store_true", help="tell everybody who comes and goes")
    add(
        "--admin-token-file",
        metavar="FILE",
        help="file with the token that makes an admin of whoever sends it to /admin",
    )
    add(
        "--threads",
        type=_number(1, 256),
        metavar="N",
        help="event loops; if not said, one a core and four at most",
    )
    add(
        "--rate",
        type=_rate,
        default=100,
        metavar="N|off",
        help="messages a second of one connection, past which it is read more slowly",
    )
    add(
        "--max-frame",
        type=_number(128, 1 << 30),
        default=65536,
        metavar="BYTES",
        help="longest message",
    )
    add("--max-connections", type=_number(1), metavar="N", help="most connections at a time")
    add(
        "--slow-reader",
        choices=("disconnect", "drop-oldest"),
        default="disconnect",
        help="what happens to a connection that does not read",
    )
    add(
        "--registration",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="time from connecting to a complete name",
    )
    add("--tls-cert", metavar="FILE", help="certificate, in PEM, to speak TLS too on the same port")
    add("--tls-key", metavar="FILE", help="private key of the certificate, in PEM")
    add("--tls-only", action="store_true", help="refuse those who do not speak TLS")
    chat = commands.add_parser(
        "chat",
        help="chat, a line a message",
        description="Reads lines and prints a line for each message, `FROM → TO: TEXT`. `@bob "
        'text` is for bob (`@"alice smith" text` if the name has spaces), `/list` and the like '
        "are commands to the server (`/help` lists them), `//text` says a text that begins with a "
        "slash, `/quit` or the end of input leaves. "
        "Everything else goes to everybody, or to a room from `/join #tea` to `/leave`.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    chat.set_defaults(run=_chat)
    add = chat.add_argument
    add("name", metavar="NAME", help="your name")
    add("--host", default="127.0.0.1", help="the server's host")
    add("--port", type=_number(1, 65535), default=PORT, help="the server's port")
    add(
        "--max-frame",
        type=_number(128, 1 << 30),
        default=65536,
        metavar="BYTES",
        help="longest message, in either direction",
    )
    add("--tls", action="store_true", help="speak TLS, and trust what the system trusts")
    add("--tls-ca", metavar="FILE", help="speak TLS, and trust the authority in a PEM file")
    add("--tls-fingerprint", metavar="HEX", help="speak TLS, and trust this certificate (SHA-256)")
    add("--tls-name", metavar="NAME", help="name that the certificate must be for")
    return parser


def _number(least: int, most: int = sys.maxsize) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not from {least} to {most}")
        return value

    return number


def _rate(text: str) -> int | None:
    return None if text == "off" else _number(1, (1 << 32) - 1)(text)


if __name__ == "__main__":
    sys.exit(main())
