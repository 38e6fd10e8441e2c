"""An echo for `server-example check --client`, with nothing but a socket: run it with a port.

It connects three times, and sends to each user what that user wrote.
"""

import json
import socket
import sys


def messages(connection):
    """The messages that come, however many a read brings."""
    text, decoder = b"", json.JSONDecoder()
    while data := connection.recv(4096):
        text += data
        while True:
            try:
                start = text.decode("utf-8").lstrip(" \t\r\n")
                message, end = decoder.raw_decode(start)
            except ValueError:  # more of it has to come
                break
            text = start[end:].encode("utf-8")
            yield message


for _ in range(3):
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        connection.sendall(b"echo")
        for message in messages(connection):
            if message["from"]["name"] == "SERVER":
                continue
            answer = {"from": {"name": "echo", "ip": ""}, "to": message["from"]["name"], "msg": message["msg"]}
            connection.sendall(json.dumps(answer).encode())
