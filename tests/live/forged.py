"""Datagrams with a source of one's choosing, for which one must be root."""

from __future__ import annotations

import os
import socket
import struct

import pytest

#: For a test that forges datagrams.
forging = pytest.mark.skipif(os.geteuid() != 0, reason="only root can send what others seem to have sent")


def forge(source: tuple[str, int], target: tuple[str, int], data: bytes, count: int = 1) -> None:
    """
    Send IPv4 datagrams in somebody else's name.

    @param source: whose.
    @param target: where to.
    @param count: how many.
    @raise OSError: the system refuses, for want of rights or because it knows better.
    """
    (source_host, source_port), (target_host, target_port) = source, target
    # A checksum of 0 says that there is none (RFC 768); the system fills in the IP header's (raw(7)).
    udp = struct.pack("!HHHH", source_port, target_port, 8 + len(data), 0) + data
    head = struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 64, socket.IPPROTO_UDP, 0)
    packet = head + socket.inet_aton(source_host) + socket.inet_aton(target_host) + udp
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        for _ in range(count):
            sock.sendto(packet, (target_host, 0))
