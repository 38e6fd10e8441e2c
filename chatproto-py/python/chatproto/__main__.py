"""``python -m chatproto``: a server, and a simple line client.

What a typed line means is in ``_Place``, the rest is wiring. Exit codes: 0 done, 1 it did not work
out, 2 it was not asked for as it can be. Every error is one sentence on standard error.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import errno
import logging
import os
import queue
import re
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
    NameRefused,
    Server,
    __version__,
    arguments,
    as_argument,
)
from ._socket import reason

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
        raise _Mistake(_sentence(error)) from None
    return 0


def _read_token(path: str | None) -> str | None:
    if path is None:
        return None
    option = "--admin-token-file"
    try:
        # some editors begin a text with a byte order mark, which is no part of it
        with open(path, encoding="utf-8-sig") as file:
            token = file.read().strip()
    except OSError as error:
        raise _Mistake(
            f"{option}: cannot read the admin token in {path}: {reason(error)}"
        ) from None
    except UnicodeDecodeError:
        raise _Mistake(f"{option}: the admin token in {path} is not UTF-8") from None
    if not token:
        raise _Mistake(f"{option}: there is no admin token in {path}: write one into it")
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
            url=options.url,
            tls=options.tls,
            tls_ca=options.tls_ca,
            tls_fingerprint=options.tls_fingerprint,
            tls_name=options.tls_name,
            max_frame=options.max_frame,
        )
    except ValueError as error:
        if isinstance(error, ChatProtoError):
            raise
        raise _Mistake(_sentence(error)) from None
    refused = 0
    with client:
        print(_line(client.welcome), flush=True)
        typing = _Typing(client)
        # it may wait for standard input for ever: the process ends without it
        threading.Thread(target=typing.run, daemon=True).start()
        for message in client:
            refused += message.is_from_server and message.msg.startswith(("❌", "⛔"))
            print(_line(message), flush=True)
        if not typing.has_left:
            # raises the reason
            client.recv(0)
    if refused:
        lines = "one line" if refused == 1 else f"{refused} lines"
        return _complain(f"the server answered {lines} with an error", 1)
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
            self._send_lines()
        except ConnectionClosed:
            # the main thread says why
            return
        except _Mistake as error:
            self.is_unsent = True
            _complain(str(error), 1)
        self.has_left = True
        with contextlib.suppress(ChatProtoError):
            self._client.request("/ping", timeout=_ANSWERS)
        self._client.close()

    def _send_lines(self) -> None:
        for number, line in enumerate(_lines(), start=1):
            if line.strip() == "/quit":
                break
            try:
                self._send(line)
            except (_Mistake, FrameTooLong) as error:
                self.is_unsent = True
                _complain(f"line {number} was not sent: {_sentence(error)}", 1)

    def _send(self, line: str) -> None:
        message = self._place.typed(line)
        if message is not None:
            self._client.send(*message)


class _Place:
    """Where plain text goes: to a room from ``/join`` to ``/leave``, to where ``/to`` says, and else
    to everybody.

    The typed lines alone decide it. Text for a place that cannot be had goes to nobody else. After a
    ``/join`` of a room that the server refuses, plain text goes to that room, and is refused too.
    After a ``/join`` or ``/to`` that names no place, or is mistyped, plain text is not sent until one
    of them names a place.
    """

    def __init__(self) -> None:
        self._room: str | None = None
        self._is_known = True

    def typed(self, line: str) -> tuple[str, str] | None:
        """To whom the line goes, and what; None if there is nothing to send."""
        text = line.strip()
        if not text:
            return None
        if text.startswith("@"):
            return self._addressed(text[1:])
        if text.startswith("//"):
            return self._here(), text[1:]
        if text.startswith("/"):
            return self._command(text)
        return self._here(), line

    def _here(self) -> str:
        if not self._is_known:
            raise _Mistake(
                "where it goes is not known, because a /join or /to before it was refused: choose "
                "with /join #ROOM or /to everyone"
            )
        return self._room or "/shout"

    def _addressed(self, text: str) -> tuple[str, str]:
        if text.startswith('"'):
            to, msg = _quoted_name(text)
        else:
            to, msg = _first_word(text)
        if to.strip() in ("", "#") or not msg.strip():
            raise _Mistake("a message to one user or room has a name and a text: @NAME TEXT")
        return to.strip(), msg.strip()

    def _command(self, text: str) -> tuple[str, str] | None:
        command, msg = _first_word(text)
        if command == "/join":
            return command, self._join(msg)
        if command == "/to":
            self._go(msg)
            return None
        if chosen := _MISTYPED.match(text):
            self._lose()
            raise _Mistake(f"write /{chosen[1].lower()}, in lower case and with a space behind it")
        if command == "/":
            raise _Mistake("a command has a name: /help lists them")
        if command == "/leave":
            return command, self._leave(msg)
        return command, msg

    def _join(self, msg: str) -> str:
        numbered = _NUMBERED.fullmatch(msg)
        name, number = (numbered[1], f" {numbered[2]}") if numbered else (msg, "")
        room = _room(name)
        if room is None:
            self._lose()
            # the server says what is wrong with it
            return msg
        self._room, self._is_known = room, True
        return as_argument(room) + number

    def _go(self, msg: str) -> None:
        is_everybody = not msg or msg.lower() == "everyone"
        room = None if is_everybody else _room(msg)
        if room is None and not is_everybody:
            self._lose()
            raise _Mistake("there is no such place: /to #ROOM or /to everyone")
        self._room, self._is_known = room, True

    def _leave(self, msg: str) -> str:
        room, behind = _quoted_name(msg) if msg.startswith('"') else (msg, "")
        room = room or self._room or ""
        if room == self._room:
            self._room = None
        return as_argument(room) + behind if room else ""

    def _lose(self) -> None:
        self._room, self._is_known = None, False


_MISTYPED = re.compile(r"/\s*(join|to)(?![a-z0-9_-])", re.IGNORECASE)
"""A mistyped command that was to choose where plain text goes. No server has one of these."""

_NUMBERED = re.compile(r"(.*\S)\s+(\+?[0-9]+)", re.DOTALL)
"""A room, and how many of its last messages are to be shown."""


def _room(text: str) -> str | None:
    """The room that is the one argument of a command. A name with spaces may stand without quotes."""
    if text.startswith('"'):
        try:
            names = arguments(text)
        except ValueError:
            return None
        text = names[0] if len(names) == 1 else ""
    elif '"' in text and len(text.split()) > 1:
        return None
    return text if text.startswith("#") and len(text) > 1 else None


def _first_word(text: str) -> tuple[str, str]:
    """The text before the first white space, and the text behind it."""
    word = text[:1].strip() and text.split(None, 1)[0]
    return word, text[len(word) :].strip()


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
    """The lines of standard input, without their ends, and without a byte order mark before them.

    The lines come in batches. The first batch is all that comes without a pause, such as a file. A
    batch with bytes that are not UTF-8 is dropped: a part of it would mean something else. Raises
    _Mistake then, with the number of the line.
    """
    chunks: queue.Queue[bytes | OSError] = queue.Queue(_CHUNKS)
    threading.Thread(target=_read, args=(chunks,), daemon=True).start()
    rest, given, is_begun, is_over = b"", 0, False, False
    while not is_over:
        data = [_taken(chunks.get())]
        with contextlib.suppress(queue.Empty):
            while not is_begun and data[-1] and sum(map(len, data)) < _CHECKED:
                data.append(_taken(chunks.get(timeout=_PAUSE)))
        is_over = not data[-1]
        rest += b"".join(data)
        if not is_begun:
            is_begun, rest = True, rest.removeprefix(codecs.BOM_UTF8)
        end = len(rest) if is_over else rest.rfind(b"\n") + 1
        batch, rest = rest[:end], rest[end:]
        try:
            lines = batch.decode().split("\n")
        except UnicodeDecodeError as error:
            number = given + batch.count(b"\n", 0, error.start) + 1
            is_utf16 = given == 0 and batch.startswith(_UTF_16)
            advice = " (it looks like UTF-16: save it as UTF-8)" if is_utf16 else ""
            raise _Mistake(
                f"standard input was not sent from here on: line {number} is not UTF-8{advice}"
            ) from None
        if not lines[-1]:
            lines.pop()
        given += len(lines)
        yield from (line.removesuffix("\r") for line in lines)


_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CHUNKS = 4
"""Chunks of standard input that were read and wait."""
_PAUSE = 0.1
"""Seconds without input after which the first lines are sent."""
_CHECKED = 64 << 20
"""Bytes of the first lines that are checked together, at most."""


def _read(chunks: queue.Queue[bytes | OSError]) -> None:
    """Reads standard input to the end, which is no bytes.

    Past ``sys.stdin``, whose lock a thread that waits would hold when the process ends.
    """
    data = b""
    try:
        while sys.stdin is not None and (data := os.read(sys.stdin.fileno(), 64 * 1024)):
            chunks.put(data)
        chunks.put(b"")
    except OSError as error:
        # a terminal that is gone is an end
        chunks.put(b"" if error.errno == errno.EIO else error)


def _taken(chunk: bytes | OSError) -> bytes:
    if isinstance(chunk, OSError):
        raise _Mistake(f"cannot read standard input: {reason(chunk)}")
    return chunk


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
    """The text of an error, without its number, and with the options as they are named here."""
    text = (isinstance(error, OSError) and error.strerror) or str(error)
    if isinstance(error, NameRefused):
        # the server's own words
        return text
    text = text.replace("make a new Client", "start again to go on")
    return _OPTION.sub(lambda option: "--" + option[1].replace("_", "-"), text)


_OPTION = re.compile(
    r"(?<![^\s(`])`?(max_frame|tls_(?:ca|cert|fingerprint|key|name|only))\b`?(?!\.?[\w/-])"
)


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
        "Everything else goes to everybody, or to a room from `/join #tea` to `/leave`; `/to #tea` "
        "and `/to everyone` change that. The exit code is 1 if a line was not sent, or if the server "
        "answered one with an error.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    chat.set_defaults(run=_chat)
    add = chat.add_argument
    add("name", metavar="NAME", help="your name")
    add("--host", default="127.0.0.1", help="the server's host")
    add("--port", type=_number(1, 65535), default=PORT, help="the server's port")
    add(
        "--url",
        help="the server's WebSocket instead of host and port, such as ws://127.0.0.1:8080/ws, or "
        "wss:// with TLS",
    )
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
