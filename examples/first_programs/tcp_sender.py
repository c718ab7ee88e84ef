"""Connects, sends one message, closes."""

import socket
import sys

host, port = sys.argv[1:3] or ("127.0.0.1", 6667)
message = " ".join(sys.argv[3:]) or "Hello you there!"

with socket.create_connection((host, int(port))) as receiver:
    # send() may take a part only; sendall() sends the rest too.
    receiver.sendall(message.encode())
