"""Sends a datagram and prints the answer, if one comes within three seconds."""

import socket
import sys

host, port = sys.argv[1:3] or ("127.0.0.1", 6667)
message = " ".join(sys.argv[3:]) or "Hello you there!"

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    # Connected, it hears of nobody but the receiver, and when nobody is there.
    sender.connect((host, int(port)))
    sender.settimeout(3)
    sender.send(message.encode())
    try:
        print(sender.recv(65535).decode())
    except TimeoutError:
        sys.exit("no answer: lost on the way there or back, or nobody answers")
    except ConnectionRefusedError:
        sys.exit("nobody is there")
