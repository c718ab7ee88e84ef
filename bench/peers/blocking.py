"""The tutorials' server of datagrams: a loop around recvfrom."""

from __future__ import annotations

from bench.peers.answers import ACKNOWLEDGEMENT
from bench.peers.asked import receiving, work


def serve(acknowledge: bool) -> None:
    """Serve for ever."""
    with receiving() as sock:
        while True:
            _, address = sock.recvfrom(65536)
            if acknowledge:
                sock.sendto(ACKNOWLEDGEMENT, address)


if __name__ == "__main__":
    serve(work().kind == "udp-ack")
