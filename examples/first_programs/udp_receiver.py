"""Prints every datagram that comes."""

import socket
import sys

host, port = sys.argv[1:] or ("127.0.0.1", 6667)

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
    receiver.bind((host, int(port)))
    print("waiting for messages on", receiver.getsockname())
    while True:
        # What is longer than this number is cut; no datagram is.
        message, address = receiver.recvfrom(65535)
        print("Got message from", address, message)
