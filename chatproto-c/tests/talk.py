"""One of a ring, with nothing but Python: takes a message and hands it on.

python3 talk.py HOST PORT NAME NEXT
"""

import json
import socket
import sys

host, port, name, to = sys.argv[1:]
with socket.create_connection((host, int(port)), timeout=30) as server:
    server.sendall(name.encode())
    assert "Welcome" in json.loads(server.recv(1024))["msg"]
    message = json.loads(server.recv(1024))
    message = {
        "from": {"name": name, "ip": server.getsockname()[0]},
        "to": to,
        "msg": message["msg"] + ", Python",
    }
    server.sendall(json.dumps(message).encode())
