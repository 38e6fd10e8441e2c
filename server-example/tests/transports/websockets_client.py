"""A member of the room that speaks WebSocket through Python's `websockets`.

Arguments: the URL, the own name, the names of all other members, and how many messages each member sends.
It joins the room, waits for "go", sends its messages, and counts those of the others. Each must come once and in
order. It prints "counted" and the sum.
"""

import asyncio
import json
import sys

import websockets


async def main(url, name, others, each):
    async with websockets.connect(f"{url}?name={name}", compression=None) as socket:

        def message(to, msg):
            return json.dumps({"from": {"name": name, "ip": ""}, "to": to, "msg": msg}, ensure_ascii=False)

        async def send_all():
            for number in range(each):
                await socket.send(message("#tea", f"{number} žluť \U0001f600"))

        await socket.send(message("/join", "#tea"))
        heard = dict.fromkeys(others, 0)
        sending = None
        async for text in socket:
            received = json.loads(text)
            sender = received["from"]["name"]
            if received["msg"] == "go":
                sending = asyncio.create_task(send_all())
            elif sender in heard and received["to"] == "#tea":
                assert received["msg"] == f"{heard[sender]} žluť \U0001f600", received
                heard[sender] += 1
                if all(count == each for count in heard.values()):
                    break
        if sending is not None:
            await sending
        print("counted", sum(heard.values()), flush=True)


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3].split(","), int(sys.argv[4])))
