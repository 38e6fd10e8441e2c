"""A server with two commands of its own, until Ctrl-C.

Usage: `python examples/server.py [HOST [PORT]]`

`/ticket` gives everybody the next number, and `/dice 20` rolls a die.
"""

import itertools
import random
import sys
import threading

from chatproto import PORT, Refuse, Request, Server

numbers = itertools.count(1)


# endpoints run on threads of the server's: what they share must be safe to share, as this is
def ticket(request: Request) -> str:
    return f"{request.user}, you are number {next(numbers)}."


def dice(request: Request) -> str:
    sides = request.arguments[0] if request.arguments else "6"
    if not sides.isdecimal() or int(sides) == 0:
        raise Refuse("a die has at least one side: /dice 20")
    return f"{request.user} rolls {random.randint(1, int(sides))}."


def main(host: str = "127.0.0.1", port: str = str(PORT)) -> None:
    server = Server(host, int(port))
    server.endpoint("/ticket", help="Gives you the next number.")(ticket)
    server.endpoint("/dice", help="/dice [SIDES]: rolls a die.")(dice)
    with server:
        print("listening on {}:{}".format(*server.address), flush=True)
        threading.Event().wait()


try:
    main(*sys.argv[1:])
except KeyboardInterrupt:
    pass
