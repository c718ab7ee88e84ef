"""Greets everybody who connects, and closes."""

import socket
import sys

host, port = sys.argv[1:] or ("127.0.0.1", 12345)

with socket.create_server((host, int(port))) as server:
    print("waiting for connection on", server.getsockname())
    while True:
        client, address = server.accept()
        print("Got connection from", address)
        with client:
            try:
                client.sendall(b"Thank you for connecting\r\n")
            except ConnectionError as error:
                print(address, error)
