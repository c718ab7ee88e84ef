"""Prints the addresses that a connection to a host and a service would use."""

import socket
import sys

host, service = sys.argv[1:] or ("localhost", "8009")

try:
    found = socket.getaddrinfo(host, service, type=socket.SOCK_STREAM)
except socket.gaierror as error:
    sys.exit(f"{host} {service}: {error.strerror}")
for family, _, _, _, address in found:
    print(family.name, *address[:2])
