"""A chat server as one writes the first: a thread for each client, and one recv(1024) for each message.

It speaks part A of the protocol in good faith, and breaks what TCP does not promise and nobody
tells beginners. `server-example check --server` names what. Run it with a port, or with 0 for any.
"""

import json
import socket
import sys
import threading
import time

clients = {}


def server_message(to, text):
    return json.dumps({"from": {"name": "SERVER", "ip": "0.0.0.0"}, "to": to, "msg": text}).encode()


def answer(connection, name, message):
    to = message["to"]
    if to == "/list":
        others = [other for other in clients if other != name]
        text = f"Connected users ({len(others)}): {', '.join(others)}" if others else "Nobody else is here."
    elif to == "/time":
        text = time.strftime("It is %H:%M:%S.")
    elif to == "/help":
        text = "/list, /time, /help, /standard, /shout"
    elif to == "/standard":
        text = '{"from": {"name": "...", "ip": "..."}, "to": "...", "msg": "..."}'
    elif to == "/shout":
        others = [other for other in clients if other != name]
        for other in others:
            clients[other].sendall(json.dumps({**message, "to": "Everyone"}).encode())
        text = f"Sent to {len(others)} users."
    elif to in clients:
        clients[to].sendall(json.dumps(message).encode())
        return
    else:
        text = f"❌ {to} was not found. Send /list or /help."
    connection.sendall(server_message(name, text))


def serve(connection):
    name = connection.recv(1024).decode().strip()
    if "{" in name:
        name = name[:name.index("{")].strip()
    if name in clients:
        connection.sendall(server_message("Guest", f"⛔ Error: {name} is taken."))
        connection.close()
        return
    clients[name] = connection
    online = ", ".join(other for other in clients if other != name) or "nobody else"
    connection.sendall(server_message(name, f"Welcome {name}! Send /help for help. Online: {online}"))
    try:
        while data := connection.recv(1024):
            try:
                message = json.loads(data)
            except ValueError:
                continue
            answer(connection, name, message)
    except OSError:
        pass
    finally:
        del clients[name]
        connection.close()


def main():
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=100)
    print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


main()
