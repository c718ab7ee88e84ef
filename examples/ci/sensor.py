"""
Tells a collector a reading over UDP, again and again until it is acknowledged.

    python sensor.py HOST PORT NAME VALUE

This is the program that the tests beside it are for. A datagram can be lost, so the sensor repeats it; the
exit status says whether anybody has answered.
"""

import socket
import sys

#: How often it is sent, and how many seconds each time waits for an answer.
TRIES = 3
SECONDS = 0.5


def tell(host: str, port: int, name: str, value: str) -> bool:
    """Send a reading; gives whether it was acknowledged."""
    message = f"{name} {value}\n".encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SECONDS)
        sock.connect((host, port))
        for _ in range(TRIES):
            sock.send(message)
            try:
                sock.recv(2048)
            except (TimeoutError, ConnectionRefusedError):
                continue
            return True
    return False


if __name__ == "__main__":
    host, port, name, value = sys.argv[1:]
    sys.exit(0 if tell(host, int(port), name, value) else 1)
