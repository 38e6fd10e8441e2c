"""What only the asyncio client does: cancellation, back-pressure, many clients in one thread."""

import asyncio
import gc
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from conftest import LIMIT, Address, Peer, Script, one_read

import chatproto.aio
from chatproto import ChatProtoError, ConnectionClosed, NameRefused, Server, Timeout
from chatproto._inbox import Request
from chatproto.aio import Client

Scripted = Callable[[Script], Address]


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10 * LIMIT):
            await coroutine

    asyncio.run(bounded())


async def turns(count: int = 3) -> None:
    """Lets the other tasks and the event loop do what they can."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_it_connects_when_it_is_entered(server: Server) -> None:
    async def main() -> None:
        client = Client("alice", *server.address)
        assert repr(client) == (
            "<chatproto.aio.Client 'alice' at {}:{}, not connected>".format(*server.address)
        )
        assert client.name == "alice"
        with pytest.raises(ChatProtoError, match="is not connected: use `async with"):
            await client.recv()
        async with client:
            assert client.welcome.msg.startswith("Welcome, alice!")
            assert repr(client).endswith(", open>")
        assert repr(client).endswith(", closed>")
        with pytest.raises(ConnectionClosed):
            await client.__aenter__()

    run(main())


def test_one_that_was_never_connected_can_be_closed(server: Server) -> None:
    async def main() -> None:
        client = Client("alice", *server.address)
        await client.close()
        with pytest.raises(ConnectionClosed):
            await client.send("alice", "x")

    run(main())


def test_names_are_refused_before_connecting() -> None:
    with pytest.raises(NameRefused):
        Client("a,b")
    with pytest.raises(ValueError):
        Client("alice", timeout=-1)


def test_a_cancelled_recv_loses_no_message(server: Server) -> None:
    count = 300

    async def main() -> None:
        async with Client("alice", *server.address) as client:
            received = []
            for number in range(count):
                task = asyncio.create_task(client.recv())
                await turns(number % 3)
                await client.send("alice", str(number))
                await turns(number % 50)
                task.cancel()
                try:
                    received.append((await task).msg)
                except asyncio.CancelledError:
                    pass
            while len(received) < count:
                received.append((await client.recv(LIMIT)).msg)
            assert received == [str(number) for number in range(count)]

    run(main())


def test_a_recv_that_is_cancelled_as_its_message_comes(scripted: Scripted) -> None:
    can_begin = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        assert can_begin.wait(LIMIT)
        peer.say("one")
        peer.read()

    async def main() -> None:
        async with Client("alice", *scripted(script)) as client:
            first, second = (asyncio.create_task(client.recv()) for _ in range(2))
            await turns()
            connection = client._open()
            can_begin.set()
            while not connection.inbox.messages:
                await asyncio.sleep(0)
            # it was woken, and did not run yet
            first.cancel()
            assert (await second).msg == "one"
            with pytest.raises(asyncio.CancelledError):
                await first

    run(main())


async def cancelled(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_cancelled_request_leaves_its_answer_to_recv(scripted: Scripted) -> None:
    may_answer = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        while (message := peer.read()) is not None:
            if message.to == "/slow":
                peer.say("half of it")
                assert may_answer.wait(LIMIT)
            peer.say(message.msg)

    async def main() -> None:
        async with Client("alice", *scripted(script)) as client:
            await client.request("/fast", "x")
            task = asyncio.create_task(client.request("/slow", "0"))
            slow = Request(("/slow", "0"))
            fences = client._open().inbox._fences
            while not slow.answer:
                await asyncio.sleep(0)
                slow = next(
                    (f.request for f in fences if f.request.messages == slow.messages), slow
                )
            # in the middle of its answer, before it was sent, and after
            await cancelled(task)
            for steps in range(4):
                task = asyncio.create_task(client.request("/slow", str(steps)))
                await turns(steps)
                await cancelled(task)
            may_answer.set()
            assert [message.msg for message in await client.request("/fast", "mine")] == ["mine"]
            await client.send("alice", "the end")
            left: list[str] = []
            while not left or left[-1] != "the end":
                left.append((await client.recv(LIMIT)).msg)
            half = "half of it"
            assert left == [half, "0", half, "1", half, "2", half, "3", "the end"]

    run(main())


def test_a_cancelled_send_was_not_sent(scripted: Scripted) -> None:
    can_read = threading.Event()
    received: list[str] = []

    def script(peer: Peer) -> None:
        peer.welcome()
        assert can_read.wait(LIMIT)
        while (message := peer.read()) is not None:
            received.append(message.msg[:10].rstrip("x"))

    async def main() -> None:
        client = await Client.connect("alice", *scripted(script))
        sent = 0
        while True:
            task = asyncio.create_task(client.send("bob", f"{sent} ".ljust(60_000, "x")))
            await turns()
            if not task.done():
                break
            sent += 1
        # the system takes no more
        waiting = [asyncio.create_task(client.send("bob", f"{name} ")) for name in "abc"]
        await turns()
        task.cancel()
        waiting[1].cancel()
        await turns()
        can_read.set()
        await asyncio.gather(waiting[0], waiting[2])
        assert task.cancelled() and waiting[1].cancelled()
        await client.send("bob", "the end ")
        await client.close()
        assert received == [*(f"{number} " for number in range(sent)), "a ", "c ", "the end "]

    run(main())


def test_a_cancelled_connect_leaves_nothing(scripted: Scripted) -> None:
    has_ended = threading.Event()

    def script(peer: Peer) -> None:
        while peer.socket.recv(1024):
            pass
        has_ended.set()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await Client.connect("alice", *scripted(script))
        assert await asyncio.to_thread(has_ended.wait, LIMIT)

    run(main())


def test_a_cancelled_close_closes_at_once(scripted: Scripted) -> None:
    has_ended = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        assert has_ended.wait(LIMIT)

    async def main() -> None:
        client = await Client.connect("alice", *scripted(script))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await client.close()
        await client.close()
        with pytest.raises(ConnectionClosed):
            await client.recv()
        has_ended.set()

    run(main())


def test_tasks_request_and_receive_at_a_time(server: Server) -> None:
    async def main() -> None:
        async def ask(asker: int) -> None:
            for number in range(50):
                text = f"{asker} {number}"
                assert [each.msg for each in await client.request("/ping", text)] == [text]
                await client.send("alice", text)

        async def receive() -> list[str]:
            return [(await client.recv(LIMIT)).msg for _ in range(100)]

        async with Client("alice", *server.address) as client:
            asking = asyncio.gather(*(ask(asker) for asker in range(8)))
            received = await asyncio.gather(*(receive() for _ in range(4)))
            await asking
        texts = [text for texts in received for text in texts]
        assert Counter(texts) == Counter(f"{a} {n}" for a in range(8) for n in range(50))

    run(main())


def test_tasks_keep_a_one_read_servers_pace_together(scripted: Scripted) -> None:
    async def main() -> None:
        async with Client("alice", *scripted(one_read)) as client:
            await asyncio.gather(*(client.send("bob", str(number)) for number in range(15)))
            received = [(await client.recv(LIMIT)).msg for _ in range(15)]
            assert received == [f"bob {number}" for number in range(15)], (
                "in the order of the calls"
            )

    run(main())


def test_reading_pauses_when_nobody_receives(scripted: Scripted) -> None:
    total, said = 20_000, 0

    def script(peer: Peer) -> None:
        nonlocal said
        peer.welcome()
        for number in range(total):
            peer.say(f"{number} ".ljust(1000, "x"))
            said += 1
        peer.answer(lambda message: [message.msg])

    async def main() -> None:
        address, bounds = scripted(script), {"max_queue": 100, "max_queue_bytes": 64 << 20}
        async with Client("alice", *address, **bounds) as client:
            connection = client._open()
            while not connection._is_reading_paused:
                await asyncio.sleep(0.001)
            queued = len(connection.inbox.messages)
            assert 100 <= queued < 2000
            await asyncio.sleep(0.01)
            assert len(connection.inbox.messages) == queued
            for number in range(5000):
                message = await client.recv(LIMIT)
                assert message.msg.split()[0] == str(number)
                assert len(connection.inbox.messages) < 2000
            assert said < total
            # who waits for an answer must get it, however much comes before it
            assert [each.msg for each in await client.request("/echo", "x")] == ["x"]
            for number in range(5000, total):
                assert (await client.recv(LIMIT)).msg.split()[0] == str(number)

    run(main())


def test_loops_of_calls_let_other_tasks_run(server: Server) -> None:
    count = 200

    async def main() -> None:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with Client("alice", *server.address) as client:
            task = asyncio.create_task(others())
            await asyncio.sleep(0)
            begun = turns
            for number in range(count):
                await client.send("alice", str(number))
            assert turns - begun >= count // 20, "while sending"
            while len(client._open().inbox.messages) < count:
                await asyncio.sleep(0.001)
            begun = turns
            for number in range(count):
                assert (await client.recv()).msg == str(number)
            assert turns - begun >= count // 20, "while receiving"
            task.cancel()

    run(main())


def test_a_pause_of_reading_is_not_taken_for_a_dead_server(scripted: Scripted) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        for number in range(1000):
            peer.say(f"{number} ".ljust(10_000, "x"))
        peer.answer(lambda message: [message.msg])

    async def main() -> None:
        address = scripted(script)
        async with Client("alice", *address, max_queue=10, ping_interval=0.2) as client:
            while not client._open()._is_reading_paused:
                await asyncio.sleep(0.001)
            # some intervals, in which the server cannot be heard
            await asyncio.sleep(1)
            for number in range(1000):
                assert (await client.recv(LIMIT)).msg.split()[0] == str(number)

    run(main())


def test_a_write_that_fails_loses_nothing_that_has_come(scripted: Scripted) -> None:
    may_speak, has_spoken = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        assert may_speak.wait(LIMIT)
        peer.say("⛔ You were kicked.")
        peer.socket.close()
        has_spoken.set()

    async def main() -> None:
        async with Client("alice", *scripted(script)) as client:
            may_speak.set()
            # the event loop does not run meanwhile, so that it writes before it reads
            assert has_spoken.wait(LIMIT)
            transport = client._open()._transport
            while not transport.is_closing():
                await client.send("bob", "are you there?")
            assert (await client.recv(LIMIT)).msg == "⛔ You were kicked."
            with pytest.raises(ConnectionClosed, match="the connection was lost"):
                await client.recv(LIMIT)

    run(main())


def test_many_clients_in_one_thread(server: Server) -> None:
    async def main() -> None:
        threads = threading.active_count()
        clients = await asyncio.gather(
            *(Client.connect(f"user{number}", *server.address) for number in range(200))
        )
        assert threading.active_count() == threads
        answer = await clients[0].request("/shout", "hi")
        assert answer[0].msg == "Delivered to 199 users."
        received = await asyncio.gather(*(client.recv(LIMIT) for client in clients[1:]))
        assert {message.msg for message in received} == {"hi"}
        await asyncio.gather(*(client.close() for client in clients))

    run(main())


def test_closing_ends_what_other_tasks_wait_for(server: Server) -> None:
    async def main() -> None:
        client = await Client.connect("alice", *server.address)

        async def iterate() -> int:
            return len([message async for message in client])

        receiving = asyncio.create_task(client.recv())
        iterating = asyncio.create_task(iterate())
        await turns()
        await asyncio.gather(client.close(), client.close())
        with pytest.raises(ConnectionClosed):
            await receiving
        assert await iterating == 0

    run(main())


def test_a_client_that_is_left_open_is_closed_with_a_warning(scripted: Scripted) -> None:
    has_ended = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        assert peer.read() is None
        has_ended.set()

    async def main() -> None:
        client = await Client.connect("alice", *scripted(script))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del client
            gc.collect()
        assert [str(warning.message)[:40] for warning in caught] == [
            "unclosed <chatproto.aio.Client 'alice' a"
        ]
        assert caught[0].category is ResourceWarning
        assert await asyncio.to_thread(has_ended.wait, LIMIT)

    run(main())


def test_a_timeout_of_the_callers_own(server: Server) -> None:
    async def main() -> None:
        async with Client("alice", *server.address) as client:
            for _ in range(20):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.recv(), 0.001)
                with pytest.raises(Timeout):
                    await client.recv(0.001)
            await client.send("alice", "x")
            assert (await client.recv(LIMIT)).msg == "x"

    run(main())
