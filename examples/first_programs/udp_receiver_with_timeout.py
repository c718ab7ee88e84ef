"""Prints every datagram that comes, until none has come for three seconds."""

import socket
import sys

host, port = sys.argv[1:] or ("127.0.0.1", 6667)

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
    receiver.bind((host, int(port)))
    receiver.settimeout(3)
    print("waiting for messages on", receiver.getsockname())
    while True:
        try:
            message, address = receiver.recvfrom(65535)
        except TimeoutError:
            sys.exit("No connection between client and server")
        print("Got message from", address, message)
