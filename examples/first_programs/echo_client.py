"""Sends one message and prints the echo, all of it."""

import socket
import sys

host, port = sys.argv[1:3] or ("127.0.0.1", 50000)
message = " ".join(sys.argv[3:]) or "Hello, world"

with socket.create_connection((host, int(port))) as server:
    server.sendall(message.encode())
    # We send no more, and tell so: the server then closes after its answer, and we can read to the end.
    server.shutdown(socket.SHUT_WR)
    received = b""
    while data := server.recv(1024):
        received += data

print("Received", repr(received.decode()))
