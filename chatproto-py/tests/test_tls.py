"""TLS, by both clients and the server, with certificates that the openssl program makes."""

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import LIMIT, Address, Certificate, Connect, python

from chatproto import ChatProtoError, Client, NameRefused, Server, TlsError
from chatproto._socket import ServerAddress
from chatproto._tls import Trust


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("tls"), "other")


@pytest.fixture
def secure(own: Certificate) -> Iterator[Server]:
    with Server(port=0, rate=None, tls_cert=own.cert, tls_key=own.key) as server:
        yield server


def at(server: Server) -> Address:
    return "localhost", server.address[1]


def test_both_ends_talk_over_tls(secure: Server, connect: Connect, own: Certificate) -> None:
    alice = connect("alice", at(secure), tls_ca=own.cert)
    bob = connect("bob", secure.address)
    answer = alice.request("/whoami")[0].msg
    assert answer.startswith("You are alice from 127.0.0.1, a user, over TLS.")
    assert "TLS" not in bob.request("/whoami")[0].msg
    alice.send("bob", "hello")
    assert bob.recv(LIMIT).msg == "hello"
    bob.send("alice", "x" * 60_000)
    assert len(alice.recv(LIMIT).msg) == 60_000


def test_much_goes_both_ways(secure: Server, connect: Connect, own: Certificate) -> None:
    alice = connect("alice", at(secure), tls_ca=own.cert)
    bob = connect("bob", at(secure), tls_ca=own.cert)
    text = "y" * 10_000
    for number in range(50):
        alice.send("bob", f"{number} {text}")
        bob.send("alice", f"{number} {text}")
    for number in range(50):
        assert bob.recv(LIMIT).msg.startswith(f"{number} ")
        assert alice.recv(LIMIT).msg.startswith(f"{number} ")


def test_what_was_sent_before_the_end_arrives(
    secure: Server, connect: Connect, own: Certificate
) -> None:
    bob = connect("bob", secure.address)
    alice = connect("alice", at(secure), tls_ca=own.cert)
    for number in range(100):
        alice.send("bob", f"{number}")
    alice.close()
    assert [bob.recv(LIMIT).msg for _ in range(100)] == [f"{number}" for number in range(100)]


def test_a_fingerprint_is_enough(secure: Server, connect: Connect) -> None:
    fingerprint = secure.tls_fingerprint
    assert fingerprint is not None
    for number, text in enumerate(
        [fingerprint, fingerprint.replace(":", "").lower(), f"sha256 Fingerprint={fingerprint}"]
    ):
        # the address is none of the names
        assert connect(f"alice{number}", secure.address, tls_fingerprint=text).welcome


def test_another_fingerprint_is_not(secure: Server, connect: Connect) -> None:
    with pytest.raises(TlsError, match=f"expected (AA:)+AA, got {secure.tls_fingerprint}"):
        connect("alice", secure.address, tls_fingerprint="aa" * 32)
    assert secure.users() == []


def test_a_context_says_everything(secure: Server, connect: Connect, own: Certificate) -> None:
    context = ssl.create_default_context(cafile=own.cert)
    assert connect("alice", at(secure), tls=context).welcome
    with pytest.raises(ValueError, match="an SSLContext says whom to trust"):
        connect("bob", at(secure), tls=context, tls_ca=own.cert)


def test_which_check_failed_is_said(
    secure: Server, connect: Connect, own: Certificate, other: Certificate
) -> None:
    with pytest.raises(TlsError, match="not from an authority that is trusted here") as caught:
        connect("alice", at(secure), tls_ca=other.cert)
    assert isinstance(caught.value, ChatProtoError)
    assert isinstance(caught.value, ConnectionError)
    with pytest.raises(TlsError, match="not from an authority that is trusted here"):
        connect("alice", at(secure), tls=True)
    with pytest.raises(TlsError, match="is not for 'elsewhere.test'"):
        connect("alice", at(secure), tls_ca=own.cert, tls_name="elsewhere.test")
    assert connect("alice", secure.address, tls_ca=own.cert, tls_name="chat.test").welcome


def test_a_server_without_tls_is_named(connect: Connect, server: Server) -> None:
    with pytest.raises(TlsError, match="refused TLS"):
        connect("alice", server.address, tls=True)


def test_a_server_that_answers_in_text_is_named(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LIMIT)

        def answer() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.sendall(b'{"from":{"name":"SERVER","ip":""},"to":"","msg":""}')
                peer.recv(65536)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(TlsError, match="does not speak TLS on this port"):
            connect("alice", listener.getsockname(), tls=True)
        thread.join(LIMIT)


def test_text_is_refused_where_there_is_tls_only(connect: Connect, own: Certificate) -> None:
    with Server(port=0, tls_cert=own.cert, tls_key=own.key, tls_only=True) as server:
        with pytest.raises(NameRefused, match="this server speaks TLS only"):
            connect("alice", server.address)
        assert connect("alice", at(server), tls_ca=own.cert).welcome


def test_what_does_not_fit_together(own: Certificate, other: Certificate) -> None:
    with pytest.raises(ValueError, match="both tls_cert and tls_key"):
        Server(port=0, tls_cert=own.cert)
    with pytest.raises(ChatProtoError, match="^tls_cert and tls_key: .* not belong to the cert"):
        Server(port=0, tls_cert=own.cert, tls_key=other.key).start()
    for cert, key, said in [
        ("/nowhere", own.key, "tls_cert: cannot read /nowhere: no such file or directory"),
        (own.cert, "/nowhere", "tls_key: cannot read /nowhere: no such file or directory"),
    ]:
        server = Server(port=0, tls_cert=cert, tls_key=key)
        with pytest.raises(FileNotFoundError) as caught:
            server.start()
        assert caught.value.strerror == said
        with pytest.raises(FileNotFoundError) as caught:
            _ = server.tls_fingerprint
        assert caught.value.strerror == said
    for cert, key, said in [
        (own.key, own.key, f"tls_cert: there is no certificate in {own.key}"),
        (own.cert, own.cert, f"tls_key: there is no private key in {own.cert}"),
    ]:
        with pytest.raises(ChatProtoError, match=said):
            Server(port=0, tls_cert=cert, tls_key=key).start()
    with pytest.raises(ValueError, match="is no fingerprint"):
        Client("alice", tls_fingerprint="aa")
    with pytest.raises(ValueError, match="exclude each other"):
        Client("alice", tls_fingerprint="aa" * 32, tls_ca=own.cert)
    with pytest.raises(ValueError, match=f"^tls_ca: there is no certificate in {own.key}"):
        Client("alice", tls_ca=own.key)


def test_the_file_of_an_authority_is_named(
    connect: Connect, server: Server, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        connect("alice", server.address, tls_ca="nope")
    assert caught.value.strerror == "tls_ca: cannot read nope: no such file or directory"
    with pytest.raises(IsADirectoryError, match=f"tls_ca: cannot read {tmp_path}: is a directory"):
        connect("alice", server.address, tls_ca=tmp_path)
    empty = tmp_path / "empty.pem"
    empty.write_bytes(b"")
    with pytest.raises(ValueError, match=f"tls_ca: there is no certificate in {empty}"):
        connect("alice", server.address, tls_ca=empty)


def test_a_mark_before_an_authority_and_comments_are_no_part_of_it(
    secure: Server, connect: Connect, own: Certificate, other: Certificate, tmp_path: Path
) -> None:
    path = tmp_path / "authorities.pem"
    both = Path(other.cert).read_bytes() + "# für uns\n".encode() + Path(own.cert).read_bytes()
    path.write_bytes(b"\xef\xbb\xbf" + both)
    assert connect("alice", at(secure), tls_ca=path).welcome
    context = Trust.of(None, path, None, None, ServerAddress("localhost", 1))
    assert context is not None and len(context.context.get_ca_certs()) == 2


ALERT = bytes.fromhex("15 0301 0002 02 46")
"""The alert ``protocol_version``."""
HELLO = bytes.fromhex("16 0301 002a 02 000026 0301" + "00" * 32 + "00 002f 00")
"""A hello of a server that speaks TLS 1.0."""


@pytest.mark.parametrize("answer", [ALERT, HELLO], ids=["alert", "hello"])
def test_versions_that_are_too_old_are_named(connect: Connect, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LIMIT)

        def speak() -> None:
            for _ in range(2):
                peer, _ = listener.accept()
                with peer:
                    peer.recv(65536)
                    peer.sendall(answer)
                    peer.recv(65536)

        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(TlsError, match="it speaks only versions older than TLS 1.2"):
            connect("alice", listener.getsockname(), tls_fingerprint="aa" * 32)
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        with pytest.raises(TlsError, match="it speaks only versions older than TLS 1.3"):
            connect("alice", listener.getsockname(), tls=context)
        thread.join(LIMIT)


def test_the_command_line(own: Certificate) -> None:
    options = ["--tls-cert", own.cert, "--tls-key", own.key, "--tls-only"]
    serve = python("-m", "chatproto", "serve", "--port", "0", *options)
    assert serve.stdout is not None
    port = serve.stdout.readline().strip().rpartition(":")[2]
    chat = ["-m", "chatproto", "chat", "alice", "--host", "localhost", "--port", port]
    trusting = python(*chat, "--tls-ca", own.cert)
    output, errors = trusting.communicate("/whoami\n", timeout=LIMIT)
    assert "over TLS" in output, errors
    plain = python(*chat)
    _, errors = plain.communicate("", timeout=LIMIT)
    assert "this server speaks TLS only" in errors
    serve.terminate()
    serve.communicate(timeout=LIMIT)
