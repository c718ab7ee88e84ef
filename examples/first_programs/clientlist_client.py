"""Registers under a name and prints who is there."""

import json
import socket
import sys

host, port = sys.argv[1:3] or ("127.0.0.1", 5000)
name = " ".join(sys.argv[3:]) or socket.gethostname()

with socket.create_connection((host, int(port))) as server:
    server.sendall(name.encode() + b"\n")
    # One recv() gives what has come so far, which is not the whole list: it ends where the stream ends.
    text = b""
    while data := server.recv(1024):
        text += data

for client in json.loads(text).values():
    print(client["name"], client["address"], client["port"])
