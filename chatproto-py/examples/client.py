"""Says hello to everybody, then prints what comes until the server closes.

Usage: `python examples/client.py [NAME [HOST [PORT]]]`
"""

import sys

from chatproto import PORT, Client


def main(name: str = "alice", host: str = "127.0.0.1", port: str = str(PORT)) -> None:
    with Client(name, host, int(port)) as client:
        print(client.welcome.msg, flush=True)
        client.send("/shout", "hello, everybody")
        for message in client:
            print(f"{message.sender}: {message.msg}", flush=True)


try:
    main(*sys.argv[1:])
except KeyboardInterrupt:
    pass
