"""Sends back what comes; one client after the other."""

import socket
import sys

host, port = sys.argv[1:] or ("127.0.0.1", 50000)

with socket.create_server((host, int(port))) as server:
    print("waiting for connection on", server.getsockname())
    while True:
        client, address = server.accept()
        print("Connected by", address)
        with client:
            try:
                while data := client.recv(1024):
                    client.sendall(data)
            except ConnectionError as error:
                print(address, error)
