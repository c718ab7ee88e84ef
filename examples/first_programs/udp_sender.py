"""Sends one datagram and does not wait for anything."""

import socket
import sys

host, port = sys.argv[1:3] or ("127.0.0.1", 6667)
message = " ".join(sys.argv[3:]) or "Hello you there!"

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    sender.sendto(message.encode(), (host, int(port)))
