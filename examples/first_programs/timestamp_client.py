"""Sends each line that is typed and prints its answer, until an empty line."""

import socket
import sys

host, port = sys.argv[1:] or ("127.0.0.1", 8009)

with socket.create_connection((host, int(port))) as server, server.makefile("rb") as answers:
    while True:
        try:
            line = input(">>> ")
        except EOFError:
            break
        if not line:
            break
        server.sendall(line.encode() + b"\n")
        # TCP knows no messages: the newline that we sent, and get back, is the end of one.
        answer = answers.readline()
        if not answer:
            print("the server has closed the connection")
            break
        print(answer.decode().rstrip("\n"))
