"""
A load of many connections, each with one message under way: it sends the next when it has its answer.

One thread and epoll, so that the load costs less than what is measured.
"""

from __future__ import annotations

import select
import socket
from time import perf_counter

#: Seconds in which something must happen.
_PATIENCE = 30.0


class ClosedLoop:
    """Connections to a time-stamping echo."""

    def __init__(self, port: int, connections: int, message: bytes = b"x" * 64, stamp: bool = True) -> None:
        """
        @param port: of 127.0.0.1.
        @param connections: how many.
        @param message: what each sends.
        @param stamp: whether a stamp comes before the message in its answer.
        """
        self._message = message
        self._answer = len("[Thu Sep 15 22:29:12 2016] ") * stamp + len(message)
        self._sockets = {}
        for _ in range(connections):
            sock = socket.create_connection(("127.0.0.1", port), _PATIENCE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[sock.fileno()] = sock

    def __enter__(self) -> ClosedLoop:
        return self

    def __exit__(self, *ignored: object) -> None:
        for sock in self._sockets.values():
            sock.close()

    def run(self, messages: int) -> list[float]:
        """
        Send so many messages, all connections together.

        @return: for each how many seconds its answer took.
        """
        waited: list[float] = []
        sent = {}
        message, size, sockets = self._message, self._answer, self._sockets
        missing = dict.fromkeys(sockets, size)
        with select.epoll() as poll:
            for fd, sock in sockets.items():
                poll.register(fd, select.EPOLLIN)
                sent[fd] = perf_counter()
                sock.send(message)
            under_way = len(sockets)
            while under_way:
                ready = poll.poll(_PATIENCE)
                if not ready:
                    raise TimeoutError("no answer came")
                for fd, _ in ready:
                    sock = sockets[fd]
                    data = sock.recv(65536)
                    if not data:
                        raise ConnectionError("the server has closed a connection")
                    missing[fd] -= len(data)
                    if missing[fd]:
                        continue
                    now = perf_counter()
                    waited.append(now - sent[fd])
                    if len(waited) + under_way > messages:
                        under_way -= 1
                        continue
                    missing[fd] = size
                    sent[fd] = now
                    sock.send(message)
        return waited

    def volleys(self, count: int) -> None:
        """
        Send a message on every connection, then read every answer, so many times.

        Sending costs less than answering, so the server always has many messages to choose from, as it has
        where it is what limits. With `run` it often has one, and sleeps and wakes for each.
        """
        message, size, sockets = self._message, self._answer, list(self._sockets.values())
        for _ in range(count):
            for sock in sockets:
                sock.send(message)
            for sock in sockets:
                missing = size
                while missing:
                    data = sock.recv(missing)
                    if not data:
                        raise ConnectionError("the server has closed a connection")
                    missing -= len(data)
