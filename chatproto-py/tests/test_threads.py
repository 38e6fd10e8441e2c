"""Threads that share one blocking client, and Ctrl-C at any point of it."""

import gc
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from conftest import LIMIT, Address, Peer, Script, is_waiting, one_read, python, wait_until

import chatproto.client
from chatproto import Client, ConnectionClosed, DecodeError, Message, Server, Timeout

Scripted = Callable[[Script], Address]


class Interrupt(BaseException):
    """What Ctrl-C would raise."""


@pytest.fixture
def interrupted() -> Iterator[Callable[[Callable[[], None]], int]]:
    """Runs a function until it returns, and interrupts it again and again, a little later each
    time; returns how often."""
    is_armed = False

    def interrupt(*_: Any) -> None:
        nonlocal is_armed
        if is_armed:
            is_armed = False
            raise Interrupt

    def run(function: Callable[[], None]) -> int:
        nonlocal is_armed
        interrupts = 0
        while True:
            try:
                is_armed = True
                signal.setitimer(signal.ITIMER_REAL, 1e-5 + interrupts % 200 * 5e-6)
                function()
                is_armed = False
                return interrupts
            except Interrupt:
                interrupts += 1

    before = signal.signal(signal.SIGALRM, interrupt)
    # a callback of the collector's would swallow the interrupt
    gc.disable()
    yield run
    is_armed = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    gc.enable()


def in_threads(*functions: Callable[[], Any]) -> list[Any]:
    """Runs all of them at a time; their results in order."""
    with ThreadPoolExecutor(len(functions)) as pool:
        futures: list[Future[Any]] = [pool.submit(function) for function in functions]
        return [future.result(timeout=10 * LIMIT) for future in futures]


@pytest.mark.parametrize("receivers", [1, 4])
def test_16_threads_send_10000_messages_each_and_none_is_lost(
    server: Server, receivers: int
) -> None:
    senders, each = 16, 10_000
    # no more on the way than a server keeps for a reader that does not keep up
    on_the_way = threading.Semaphore(1000)
    left = threading.Semaphore(senders * each)

    def send(sender: int) -> None:
        for number in range(each):
            assert on_the_way.acquire(timeout=LIMIT)
            client.send("alice", f"{sender} {number}")

    def receive() -> list[tuple[int, int]]:
        received = []
        while left.acquire(blocking=False):
            sender, number = client.recv(LIMIT).msg.split()
            on_the_way.release()
            received.append((int(sender), int(number)))
        return received

    with Client("alice", *server.address) as client:
        results = in_threads(
            *[lambda sender=sender: send(sender) for sender in range(senders)],
            *[receive] * receivers,
        )
    received = [messages for messages in results if messages is not None]
    counted = Counter(message for messages in received for message in messages)
    assert counted == Counter((s, n) for s in range(senders) for n in range(each))
    for messages in received:
        for sender in range(senders):
            numbers = [number for by, number in messages if by == sender]
            assert numbers == sorted(numbers), "a thread's messages come in order"


def test_threads_request_and_receive_at_a_time(server: Server) -> None:
    def ask(asker: int) -> None:
        for number in range(50):
            text = f"{asker} {number}"
            answer = client.request("/ping", text)
            assert [message.msg for message in answer] == [text]
            client.send("alice", text)

    def receive() -> list[str]:
        return [client.recv(LIMIT).msg for _ in range(100)]

    with Client("alice", *server.address) as client:
        results = in_threads(*[lambda n=n: ask(n) for n in range(8)], *[receive] * 4)
    received = [text for texts in results if texts is not None for text in texts]
    assert Counter(received) == Counter(f"{a} {n}" for a in range(8) for n in range(50))


def test_a_send_does_not_wait_for_a_thread_that_receives(server: Server) -> None:
    with Client("alice", *server.address) as client:
        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(client.recv, LIMIT) for _ in range(3)]
            wait_until(lambda: client._is_reading)
            for future in waiting:
                assert not future.done()
            for number in range(3):
                client.send("alice", str(number))
            assert {future.result(LIMIT).msg for future in waiting} == {"0", "1", "2"}


def test_closing_wakes_everybody(server: Server) -> None:
    client = Client("alice", *server.address)
    with ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(client.recv) for _ in range(4)]
        iterating = pool.submit(list, client)
        wait_until(lambda: client._is_reading)
        client.close()
        for future in waiting:
            with pytest.raises(ConnectionClosed):
                future.result(LIMIT)
        assert iterating.result(LIMIT) == []


def test_several_threads_close(server: Server) -> None:
    client = Client("alice", *server.address)
    in_threads(*[client.close] * 4)
    assert client._socket.fileno() == -1


def test_the_reader_leaves_while_a_sender_waits(scripted: Scripted) -> None:
    """The server reads nothing before it has written more than the system takes: somebody must go
    on reading for the thread that is in the middle of a send."""
    can_begin, rounds, text = threading.Event(), 120, "x" * 60_000

    def script(peer: Peer) -> None:
        peer.welcome()
        assert can_begin.wait(LIMIT)
        for number in range(rounds):
            peer.say(f"{number} {text}")
        for number in range(rounds):
            message = peer.read()
            assert message is not None and message.msg == f"{number} {text}"

    def send() -> None:
        for number in range(rounds):
            client.send("bob", f"{number} {text}")

    def receive_one() -> Message:
        return client.recv(LIMIT)

    with Client("alice", *scripted(script)) as client:
        with ThreadPoolExecutor(2) as pool:
            one = pool.submit(receive_one)
            wait_until(lambda: client._is_reading)
            sending = pool.submit(send)
            wait_until(lambda: client._is_writer_waiting)
            can_begin.set()
            assert one.result(LIMIT).msg == f"0 {text}"
            sending.result(LIMIT)
        for number in range(1, rounds):
            assert client.recv(LIMIT).msg == f"{number} {text}"


def test_closing_ends_a_send_that_the_server_does_not_read(scripted: Scripted) -> None:
    is_over = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        assert is_over.wait(LIMIT)

    def send() -> None:
        while True:
            client.send("bob", "x" * 60_000)

    client = Client("alice", *scripted(script))
    for has_reader in (False, True):
        with ThreadPoolExecutor(4) as pool:
            if has_reader:
                client = Client("alice", *client.address)
                pool.submit(client.recv)
                wait_until(lambda: client._is_reading)
            sending = [pool.submit(send) for _ in range(3)]
            wait_until(lambda: client._waiting == 1 + has_reader)
            client.close(timeout=0.05)
            for future in sending:
                with pytest.raises(ConnectionClosed):
                    future.result(LIMIT)
    is_over.set()


def test_abort_ends_a_close_of_another_thread(scripted: Scripted) -> None:
    is_over = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        assert is_over.wait(LIMIT)

    client = Client("alice", *scripted(script))
    with pytest.raises(Timeout):
        while True:
            client.send("bob", "x" * 60_000, timeout=0.05)
    with ThreadPoolExecutor(2) as pool:
        closing = [pool.submit(client.close, None) for _ in range(2)]
        wait_until(lambda: client._is_closing)
        client.abort()
        for future in closing:
            future.result(LIMIT)
    is_over.set()


def test_a_pace_is_kept_by_threads_together(scripted: Scripted) -> None:
    def send(sender: int) -> None:
        for number in range(5):
            client.send("bob", f"{sender} {number}")

    def receive() -> list[str]:
        return [client.recv(LIMIT).msg for _ in range(20)]

    # the server takes each read for one message, and fails on two
    with Client("alice", *scripted(one_read)) as client:
        results = in_threads(*[lambda n=n: send(n) for n in range(4)], receive)
    assert Counter(results[-1]) == Counter(f"bob {s} {n}" for s in range(4) for n in range(5))


@pytest.mark.parametrize("end", [b"", b"\n"], ids=["one-read", "stream"])
def test_waiting_costs_nothing(scripted: Scripted, end: bytes) -> None:
    """Whatever is waited for: a message, another thread, or a server that reads nothing."""
    is_over = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome(end=end)
        assert (ping := peer.read()) is not None
        peer.say(ping.msg, end=end)
        assert is_over.wait(LIMIT)

    def wait(call: Callable[[], Any]) -> None:
        with pytest.raises(Timeout):
            call()

    text = "x" * (900 if end == b"" else 60_000)
    client = Client("alice", *scripted(script))
    client._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    try:
        wait(lambda: client.request("bob", "x", timeout=0.1))
        while not client._transmit():
            wait(lambda: client.request("bob", text, timeout=0.02))
        before = time.process_time()
        in_threads(
            *[lambda: wait(lambda: client.recv(0.5))] * 2,
            *[lambda: wait(lambda: client.request("bob", "x", timeout=0.4))] * 2,
        )
        wait(lambda: client.recv(0.2))
        assert time.process_time() - before < 0.1
    finally:
        is_over.set()
        client.close()


def test_everybody_is_told_what_ended_the_connection(scripted: Scripted) -> None:
    are_waiting = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        assert are_waiting.wait(LIMIT)
        peer.socket.sendall(b"hello")

    with Client("alice", *scripted(script)) as client, ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(client.recv, LIMIT) for _ in range(2)]
        waiting += [pool.submit(client.request, "/time") for _ in range(2)]  # type: ignore[arg-type]
        wait_until(lambda: client._is_reading)
        are_waiting.set()
        errors = []
        for future in waiting:
            with pytest.raises(DecodeError) as caught:
                future.result(LIMIT)
            errors.append(caught.value)
        assert len({id(error) for error in errors}) == 4, "each has a traceback of its own"


def test_timeouts_of_threads_that_wait_for_another(server: Server) -> None:
    with Client("alice", *server.address) as client, ThreadPoolExecutor(2) as pool:
        forever = pool.submit(client.recv, LIMIT)
        wait_until(lambda: client._is_reading)
        with pytest.raises(Timeout):
            pool.submit(client.recv, 0.01).result(LIMIT)
        client.send("alice", "x")
        assert forever.result(LIMIT).msg == "x"


def test_ctrl_c_ends_a_recv(server: Server) -> None:
    program = f"""
import time
from chatproto import Client
with Client("alice", "{server.address[0]}", {server.address[1]}) as client:
    client.send("alice", "ready")
    print(client.recv().msg, flush=True)
    try:
        print("receiving", flush=True)
        client.recv()
    except KeyboardInterrupt:
        print(time.time(), flush=True)
    client.send("alice", "still usable")
    print(client.recv().msg, flush=True)
"""
    with python("-c", program) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        assert child.stdout.readline() == "receiving\n"
        wait_until(lambda: is_waiting(child.pid))
        sent = time.time()
        child.send_signal(signal.SIGINT)
        assert float(child.stdout.readline()) - sent < 1
        assert child.stdout.readline() == "still usable\n"
        assert child.wait(LIMIT) == 0


def test_interrupts_at_any_point_leave_the_stream_whole(
    server: Server, interrupted: Callable[[Callable[[], None]], int]
) -> None:
    count, sent = 3000, 0
    received: list[str] = []

    def chat() -> None:
        nonlocal sent
        while sent < count:
            client.send("alice", str(sent))
            sent += 1
            try:
                received.append(client.recv(0).msg)
            except Timeout:
                pass

    client = Client("alice", *server.address)
    interrupts = interrupted(chat)
    assert client.request("/whoami")[0].msg.startswith("You are alice")
    client.close()
    received += [message.msg for message in client]
    numbers = [int(text) for text in received]
    # a message in hand is lost with the interrupt, and one that was sent may be sent again
    assert numbers == sorted(numbers)
    assert len(set(numbers)) >= count - interrupts
    assert interrupts > 10


def test_ctrl_c_ends_a_recv_that_waits_for_another_thread(server: Server) -> None:
    program = f"""
import signal, threading
from chatproto import Client, ConnectionClosed
def receive():
    try:
        client.recv()
    except ConnectionClosed:
        pass
with Client("alice", "{server.address[0]}", {server.address[1]}) as client:
    other = threading.Thread(target=receive)
    other.start()
    try:
        print("receiving", flush=True)
        client.recv()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
other.join(10)
"""
    with python("-c", program) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "receiving\n"
        wait_until(lambda: is_waiting(child.pid))
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "interrupted\n"
        assert child.wait(LIMIT) == 0


def test_interrupts_of_the_main_thread_harm_no_other(
    server: Server, interrupted: Callable[[Callable[[], None]], int]
) -> None:
    count, sent = 1000, 0
    is_over = threading.Event()

    def chat() -> None:
        nonlocal sent
        while sent < count:
            client.send("alice", str(sent))
            sent += 1
            client.request("/ping", "y", LIMIT)

    def ask() -> None:
        while not is_over.is_set():
            assert client.request("/ping", "x", LIMIT)[0].msg == "x"

    def receive() -> list[str]:
        texts = []
        while (text := client.recv(LIMIT).msg) != "the end":
            texts.append(text)
        return texts

    with Client("alice", *server.address) as client, ThreadPoolExecutor(3) as pool:
        receiving = pool.submit(receive)
        asking = [pool.submit(ask) for _ in range(2)]
        try:
            interrupts = interrupted(chat)
        finally:
            is_over.set()
        for future in asking:
            future.result(LIMIT)
        client.send("alice", "the end")
        numbers = [int(text) for text in receiving.result(LIMIT) if text.isdecimal()]
    # what was interrupted may have been sent, and was then sent again
    assert numbers == sorted(numbers)
    assert set(numbers) >= set(range(count))
    assert interrupts > 10


def test_there_are_no_threads_of_its_own(server: Server) -> None:
    before = threading.active_count()
    with Client("alice", *server.address) as client:
        client.request("/time")
        assert threading.active_count() == before
        assert isinstance(client._socket, socket.socket)
