"""Prints every datagram that comes and answers it."""

import socket
import sys

host, port = sys.argv[1:] or ("127.0.0.1", 6667)

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
    receiver.bind((host, int(port)))
    print("waiting for messages on", receiver.getsockname())
    while True:
        message, address = receiver.recvfrom(65535)
        print("Got message from", address, message)
        receiver.sendto(b"Got your message!", address)
