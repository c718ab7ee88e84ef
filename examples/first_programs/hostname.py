"""Prints this machine's own name, and its addresses if the name has any."""

import socket

name = socket.gethostname()
print(name)
try:
    print(*socket.gethostbyname_ex(name)[2])
except socket.gaierror:
    print("has no address")
