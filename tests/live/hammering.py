"""Clients that ask as fast as they are answered, to find what is lost while something changes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.live.daemon import PATIENCE, read_exactly


class Client(threading.Thread):
    """
    One that asks until it is told to end.

    @ivar answered: how often it was.
    @ivar failures: what went wrong; nothing may.
    """

    def __init__(self, address: tuple[str, int], begin: Callable[[], None] = lambda: None) -> None:
        """
        @param address: of an echo.
        @param begin: called in the thread, before anything else.
        """
        super().__init__(daemon=True)
        self._address = address
        self._begin = begin
        self._ending = threading.Event()
        self.answered = 0
        self.failures: list[str] = []

    def run(self) -> None:
        """See `threading.Thread`."""
        self._begin()
        while not self._ending.is_set() and not self.failures:
            asked = b"%x %d" % (id(self), self.answered)
            try:
                answer = self.ask(asked)
            except OSError as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            else:
                if answer == asked:
                    self.answered += 1
                else:
                    self.failures.append(f"{asked!r} was answered with {answer!r}")

    def ask(self, asked: bytes) -> bytes:
        """Ask once, on a connection or a socket of its own."""
        raise NotImplementedError

    def end(self) -> None:
        """Stop asking; what is asked is still answered."""
        self._ending.set()
        self.join(PATIENCE)


class Connecting(Client):
    """A connection for every question."""

    def ask(self, asked: bytes) -> bytes:
        """See `Client`."""
        with socket.create_connection(self._address, PATIENCE) as sock:
            sock.sendall(asked)
            return read_exactly(sock, len(asked))


class Sending(Client):
    """A datagram for every question, never sent again."""

    def ask(self, asked: bytes) -> bytes:
        """See `Client`."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(self._address)
            sock.send(asked)
            return sock.recv(1 << 16)


@contextmanager
def asking(clients: Sequence[Client]) -> Iterator[None]:
    """Clients for the time of a with statement."""
    for one in clients:
        one.start()
    try:
        yield
    finally:
        for one in clients:
            one.end()


def wait_for_answers(clients: Sequence[Client]) -> None:
    """
    Wait until each has been answered twice more, the second time for what was asked after now.

    A client that has failed is not waited for.
    """
    before = [one.answered for one in clients]
    for one, number in zip(clients, before, strict=True):
        while one.answered <= number + 1 and not one.failures:
            one.join(0.01)
