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


def forge_ipv6(source: tuple[str, int], target: tuple[str, int], data: bytes) -> None:
    """The same over IPv6, once."""
    (source_host, source_port), (target_host, target_port) = source, target
    addresses = socket.inet_pton(socket.AF_INET6, source_host) + socket.inet_pton(
        socket.AF_INET6, target_host
    )
    size = 8 + len(data)
    # Here the checksum must be right, and is over a head of its own too (RFC 8200 section 8.1).
    summed = addresses + struct.pack("!IxxxB", size, socket.IPPROTO_UDP)
    summed += struct.pack("!HHHH", source_port, target_port, size, 0) + data + bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(summed) // 2}H", summed))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    udp = struct.pack("!HHHH", source_port, target_port, size, (~total & 0xFFFF) or 0xFFFF) + data
    packet = struct.pack("!IHBB", 6 << 28, size, socket.IPPROTO_UDP, 64) + addresses + udp
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        sock.sendto(packet, (target_host, 0))
