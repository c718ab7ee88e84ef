"""Connects and prints all that the server says until it closes."""

import socket
import sys

host, port = sys.argv[1:] or ("127.0.0.1", 12345)

with socket.create_connection((host, int(port))) as server:
    while data := server.recv(1024):
        print(data.decode(), end="")
