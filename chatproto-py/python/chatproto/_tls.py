"""TLS for both clients: whom to trust, a socket that speaks it, and what went wrong in words."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any

from ._socket import ServerAddress, reason
from .exceptions import TlsError

__all__ = ["BLOCKED", "ENDED", "Channel", "Trust", "refused", "sentence"]

BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""What reading and writing raise when there is nothing, or no room, for now."""

ENDED = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""What reading raises at an end without a farewell: it is an end, and an object that it cuts off is
an error anyway."""


class Trust:
    """What a client was told about TLS: the context to use, and what to check beyond it."""

    def __init__(
        self,
        tls: bool | ssl.SSLContext | None,
        ca: str | os.PathLike[str] | None,
        fingerprint: str | None,
        name: str | None,
    ) -> None:
        if ca is not None and fingerprint is not None:
            raise ValueError("tls_ca and tls_fingerprint exclude each other: give the one to trust")
        if isinstance(tls, ssl.SSLContext):
            if ca is not None or fingerprint is not None:
                raise ValueError("an SSLContext says whom to trust: leave tls_ca and tls_fingerprint")
            self.context = tls
        elif fingerprint is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self.context.check_hostname = False
            self.context.verify_mode = ssl.CERT_NONE
        else:
            self.context = _trusting(ca)
        self.name = name
        self._fingerprint = None if fingerprint is None else _digits(fingerprint)

    @classmethod
    def of(
        cls,
        tls: bool | ssl.SSLContext | None,
        ca: str | os.PathLike[str] | None,
        fingerprint: str | None,
        name: str | None,
        server: ServerAddress,
    ) -> Trust | None:
        """None if TLS is not asked for, neither by an option nor by the URL."""
        if not (tls is None or isinstance(tls, (bool, ssl.SSLContext))):
            raise TypeError(f"tls is True, False, None or an SSLContext, not {tls!r}")
        is_asked = bool(tls) or ca is not None or fingerprint is not None or name is not None
        if is_asked and server.url is not None and not server.is_secure:
            raise ValueError("TLS was asked for, and ws:// is without TLS: write wss://")
        return cls(tls, ca, fingerprint, name) if is_asked or server.is_secure else None

    def check(self, certificate: bytes | None) -> None:
        """Raises TlsError if another certificate was shown than the one that is trusted."""
        if self._fingerprint is None:
            return
        shown = hashlib.sha256(certificate or b"").hexdigest()
        if shown != self._fingerprint:
            raise TlsError(
                f"the server's certificate has another fingerprint: expected "
                f"{_colons(self._fingerprint)}, got {_colons(shown)}: ask the operator whether it "
                "was renewed; if not, somebody is in between"
            )


def _trusting(ca: str | os.PathLike[str] | None) -> ssl.SSLContext:
    """A context that trusts the authorities in a file, or else those of the system."""
    if ca is None:
        return ssl.create_default_context()
    try:
        with open(ca, "rb") as file:
            # PEM is ASCII; what some editors put before it, and comments, are not
            pem = file.read().decode("ascii", "ignore")
    except OSError as error:
        text = f"tls_ca: cannot read {os.fspath(ca)}: {reason(error)}"
        raise (OSError(error.errno, text) if error.errno else OSError(text)) from None
    try:
        # without data, it would trust the system
        return ssl.create_default_context(cadata=pem or "nothing")
    except ssl.SSLError:
        raise ValueError(
            f"tls_ca: there is no certificate in {os.fspath(ca)}: it must be PEM, with a line BEGIN "
            "CERTIFICATE"
        ) from None


class Channel:
    """A connected socket with TLS over it, behind the part of a socket's face that a client uses.

    Reading and writing are one call into C each, as of a socket, so that an interrupt cannot come
    between what happened and its being told.
    """

    def __init__(self, connection: socket.socket, trust: Trust, host: str) -> None:
        """Shakes hands, within the time-out that the socket has."""
        self._socket = trust.context.wrap_socket(
            connection,
            server_hostname=trust.name or host,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=True,
        )
        try:
            self._socket.do_handshake()
            trust.check(self._socket.getpeercert(binary_form=True))
        except BaseException:
            self._socket.close()
            raise
        # what it wraps is written in C; without that, it is as good, but not as safe
        inner: Any = getattr(self._socket, "_sslobj", None) or self._socket
        self.recv: Callable[[int], bytes] = inner.read
        self.send: Callable[[bytes], int] = inner.write
        self._end: Callable[[], object] = getattr(inner, "shutdown", self._socket.unwrap)

    def shutdown(self, how: int) -> None:
        if how == socket.SHUT_WR:
            try:
                # says that nothing more comes; it does not wait for the server's answer
                self._end()
            except OSError:
                pass
        # that of an SSLSocket would forget the TLS, of which there is more to read
        socket.socket.shutdown(self._socket, how)

    def setblocking(self, flag: bool) -> None:
        self._socket.setblocking(flag)

    def setsockopt(self, level: int, name: int, value: int) -> None:
        self._socket.setsockopt(level, name, value)

    def getpeername(self) -> Any:
        return self._socket.getpeername()

    def getsockname(self) -> Any:
        return self._socket.getsockname()

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()


def sentence(error: OSError, trust: Trust, host: str) -> TlsError:
    """The error of the handshake, with what to do."""
    if isinstance(error, TlsError):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsError(_certificate(error, trust.name or host))
    if isinstance(error, (ssl.SSLEOFError, ConnectionError)):
        return TlsError(
            "the server closed the connection during the TLS handshake: it may not speak TLS on "
            "this port"
        )
    what = getattr(error, "reason", None) or ""
    if what in {"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}:
        return TlsError(
            "the server does not speak TLS on this port: connect without TLS, or ask its operator "
            "for the port"
        )
    if "HANDSHAKE_FAILURE" in what:
        return TlsError(
            "the server refused TLS (handshake failure): it offers none on this port, or nothing "
            "in common with us"
        )
    if "PROTOCOL_VERSION" in what or what == "UNSUPPORTED_PROTOCOL":
        return TlsError(_versions(trust.context))
    return TlsError(f"TLS failed ({what.replace('_', ' ').lower() or error})")


def refused(error: ssl.SSLError) -> TlsError:
    """What the server said of the client, after the handshake."""
    what = (error.reason or "").replace("_", " ").lower()
    if "certificate required" in what:
        return TlsError(
            "the server asks for a client certificate: give an SSLContext that has one "
            "(load_cert_chain)"
        )
    return TlsError(f"the server does not accept the client certificate ({what})")


def _versions(context: ssl.SSLContext) -> str:
    """Why the server has no version of TLS that suits the client."""
    oldest = {ssl.TLSVersion.TLSv1_2: "TLS 1.2", ssl.TLSVersion.TLSv1_3: "TLS 1.3"}.get(
        context.minimum_version
    )
    newest = (ssl.TLSVersion.MAXIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_3)
    if oldest is None or context.maximum_version not in newest:
        return "the server has no version of TLS in common with the SSLContext"
    return (
        "the server has no version of TLS in common with us: it speaks only versions older than "
        f"{oldest}"
    )


def _certificate(error: ssl.SSLCertVerificationError, host: str) -> str:
    match error.verify_code:
        case 10:
            return (
                "the server's certificate has expired: its operator has to renew it (or this "
                "machine's clock is wrong)"
            )
        case 9:
            return (
                "the server's certificate is not valid yet: this machine's clock may be wrong, or "
                "the server's was when it was made"
            )
        case 62 | 64:
            return (
                f"the server's certificate is not for {host!r}: connect to a name that it is for, "
                "or say with tls_name which one to expect"
            )
        case 18 | 19 | 20 | 21:
            return (
                "the server's certificate is not from an authority that is trusted here: give the "
                "file of the authority with tls_ca, or the certificate's fingerprint with "
                "tls_fingerprint"
            )
    return f"the server's certificate cannot be accepted: {error.verify_message}"


def _digits(fingerprint: str) -> str:
    """The 64 digits, however they were written."""
    text = fingerprint.strip().rpartition("=")[2]
    if text[:7].lower() == "sha256:":
        text = text[7:]
    digits = text.replace(":", "").replace(" ", "").lower()
    if len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise ValueError(
            f"{fingerprint!r} is no fingerprint: it must be 64 hexadecimal digits, with or without "
            "colons"
        )
    return digits


def _colons(digits: str) -> str:
    return ":".join(digits[at : at + 2] for at in range(0, 64, 2)).upper()
