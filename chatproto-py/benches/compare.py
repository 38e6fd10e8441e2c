"""Decoding and encoding beside msgspec, orjson and json, in one run.

Each candidate turns the same bytes into an object and reads its four strings, or the other way
round. Rounds alternate between the candidates; the table shows medians in nanoseconds and their
ratio to ours. ``pip install './chatproto-py[bench]'``, then ``python benches/compare.py``.
"""

import json
import statistics
import timeit

import msgspec
import orjson

import chatproto

ROUNDS = 15
TEXTS = {
    "64": "x" * 64,
    "1024": "x" * 1024,
    "16384": "x" * 16384,
    "utf8-64": "Perché no? 晚上好，大家好 😀 " * 2,
}


class From(msgspec.Struct):
    """``from``, as msgspec knows it."""

    name: str
    ip: str


class Typed(msgspec.Struct, rename={"from_": "from"}):
    """A message, as msgspec knows it."""

    from_: From
    to: str
    msg: str


TYPED_DECODE = msgspec.json.Decoder(Typed).decode
TYPED_ENCODE = msgspec.json.Encoder().encode


# what is timed, with the names that stand in the table
DECODE = {
    "chatproto": "m = decode(data); m.sender; m.ip; m.to; m.msg",
    "msgspec": "m = typed_decode(data); f = m.from_; f.name; f.ip; m.to; m.msg",
    "orjson": "m = orjson.loads(data); f = m['from']; f['name']; f['ip']; m['to']; m['msg']",
    "json": "m = json.loads(data); f = m['from']; f['name']; f['ip']; m['to']; m['msg']",
}
ENCODE = {
    "chatproto": "encode(message)",
    "msgspec": "typed_encode(typed)",
    "orjson": "orjson.dumps(shape)",
    "json": "json.dumps(shape)",
}
STREAM = {
    "chatproto": "chatproto.Decoder().feed(stream)",
    "msgspec": "for line in lines: typed_decode(line)",
    "orjson": "for line in lines: orjson.loads(line)",
    "json": "for line in lines: json.loads(line)",
}


def compare(title: str, works: dict[str, str], names: dict[str, object], count: int) -> float:
    """Prints one row: the candidates in turn, several times. Returns our median in ns."""
    scope = {"chatproto": chatproto, "orjson": orjson, "json": json, **names}
    scope |= {"decode": chatproto.decode, "encode": chatproto.encode}
    timers = {name: timeit.Timer(work, globals=scope) for name, work in works.items()}
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, timer in timers.items():
            times[name].append(timer.timeit(count) / count * 1e9)
    medians = {name: statistics.median(values) for name, values in times.items()}
    own = medians.pop("chatproto")
    cells = [f"{own:.0f}"]
    cells += [f"{median:.0f} ({own / median:.2f} ×)" for median in medians.values()]
    print(f"| {title} | {' | '.join(cells)} |", flush=True)
    return own


def check(data: bytes, expected: chatproto.Message) -> None:
    """Every candidate reads the same from the same bytes."""
    typed = TYPED_DECODE(data)
    found = chatproto.decode(data)
    same = (
        found == expected
        and chatproto.Message(typed.from_.name, typed.to, typed.msg, typed.from_.ip) == expected
        and chatproto.Message.from_dict(orjson.loads(data)) == expected
        and chatproto.Message.from_dict(json.loads(data)) == expected
    )
    if not same:
        raise SystemExit(f"the candidates differ on {data!r}")


def main() -> None:
    """Prints the table."""
    print("| ns (ratio: chatproto / other) | chatproto | msgspec | orjson | json |")
    print("|---|---|---|---|---|")
    for case, text in TEXTS.items():
        message = chatproto.Message("alice", "bob", text, "192.0.2.7")
        typed = Typed(From("alice", "192.0.2.7"), "bob", text)
        data = chatproto.encode(message)[:-1]
        check(data, message)
        names = {
            "data": data,
            "message": message,
            "typed": typed,
            "shape": message.to_dict(),
            "typed_decode": TYPED_DECODE,
            "typed_encode": TYPED_ENCODE,
        }
        count = 20_000 if len(data) < 4096 else 2_000
        compare(f"decode and read, {case}", DECODE, names, count)
        compare(f"encode, {case}", ENCODE, names, count)
    line = chatproto.encode(chatproto.Message("alice", "bob", "x" * 64, "192.0.2.7"))
    names = {"stream": line * 10_000, "lines": [line] * 10_000, "typed_decode": TYPED_DECODE}
    taken = compare("10,000 frames at once", STREAM, names, 3)
    print(f"\nDecoder.feed of 10,000 frames at once: {10_000 / taken * 1e3:.1f} M messages/s")


if __name__ == "__main__":
    main()
