"""A bot on asyncio: it answers whoever writes to it, and whoever says its name in the room #tea.

Usage: `python examples/bot.py [NAME [HOST [PORT]]]`
"""

import asyncio
import sys

from chatproto import PORT, Message
from chatproto.aio import Client


def answer(message: Message) -> str:
    """What the bot has to say to a message."""
    words = len(message.msg.split())
    return f"that is {words} word{'' if words == 1 else 's'}."


async def main(name: str = "robot", host: str = "127.0.0.1", port: str = str(PORT)) -> None:
    async with Client(name, host, int(port)) as client:
        print(client.welcome.msg, flush=True)
        for message in await client.request("/join", "#tea"):
            print(message.msg, flush=True)
        async for message in client:
            if message.is_from_server or message.to == "Everyone":
                print(f"{message.sender}: {message.msg}", flush=True)
            elif message.to == client.name:
                await client.send(message.sender, answer(message))
            elif client.name in message.msg:
                # to the room from which it came
                await client.send(message.to, answer(message))


try:
    asyncio.run(main(*sys.argv[1:]))
except KeyboardInterrupt:
    pass
