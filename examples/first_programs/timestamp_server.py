"""Answers every message with the time and the message; one client after the other."""

import socket
import sys
import time

host, port = sys.argv[1:] or ("127.0.0.1", 8009)

with socket.create_server((host, int(port))) as server:
    print("waiting for connection on", server.getsockname())
    while True:
        client, address = server.accept()
        print("...connected from:", address)
        with client:
            try:
                while data := client.recv(1024):
                    client.sendall(b"[%s] %s" % (time.ctime().encode(), data))
            except ConnectionError as error:
                print(address, error)
