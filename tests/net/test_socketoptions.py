"""`netsvc.net.socketoptions`: what is done with a datagram socket that is not receiving and sending."""

from __future__ import annotations

import socket

import pytest

from netsvc.net.socketoptions import receive_no_more


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_what_waits_can_be_received_and_nothing_new_comes(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    loopback = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    with socket.socket(family, socket.SOCK_DGRAM) as sock, socket.socket(family, socket.SOCK_DGRAM) as client:
        sock.bind((host, 0))
        place = (loopback, sock.getsockname()[1])
        client.bind((loopback, 0))
        client.sendto(b"before", place)
        receive_no_more(sock)
        client.sendto(b"after", place)
        sock.setblocking(False)
        data, source = sock.recvfrom(99)
        assert data == b"before"
        with pytest.raises(BlockingIOError):
            sock.recvfrom(99)
        sock.sendto(b"answer", source)
        assert client.recv(99) == b"answer"
