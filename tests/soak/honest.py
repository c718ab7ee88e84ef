"""
Loads that do what a well-behaved client does, at a steady rate, and keep books of it.

Whatever goes wrong for one of them is a difference: they connect to listeners of their own, whose counters
must agree with their books to the byte when they have ended.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from http.client import HTTPConnection
from random import Random
from typing import Any

from tests.live.daemon import PATIENCE, read_all, read_exactly
from tests.live.streams import encrypted, end_sending, unix_stream
from tests.soak.tally import Tally

#: Messages on one connection, after which a load makes another: both are then exercised.
_PER_CONNECTION = 100

#: Seconds after which a load that failed goes on, so that a daemon that is gone does not spin it.
_PAUSE = 1.0

#: What `timestamp` puts before a message: ``[``, 24 characters, ``] ``.
_STAMP = re.compile(rb"\[.{24}\] ")
_STAMP_LENGTH = 27

Connect = Callable[[], socket.socket]


class Honest(ABC):
    """One load, which runs in a thread of its own."""

    def __init__(self, name: str, random: Random, interval: float) -> None:
        """
        @param name: what it is.
        @param interval: seconds between two exchanges.
        """
        self.tally = Tally(name)
        self.random = random
        self._interval = interval

    def run(self, stop: threading.Event) -> None:
        """Exchange until told to stop."""
        while not stop.is_set():
            try:
                self.exchange_until(lambda: stop.wait(self._interval))
            except (OSError, AssertionError, ValueError) as error:
                self.tally.differ(f"{type(error).__name__}: {error}")
                stop.wait(_PAUSE)

    @abstractmethod
    def exchange_until(self, ended: Callable[[], bool]) -> None:
        """Do some of the work; `ended` waits for the next exchange and says whether there is to be none."""

    def payload(self, most: int) -> bytes:
        """Bytes of a random length, mostly short, and each time others: a loop would be taken for one."""
        length = min(most, 8 + int(self.random.expovariate(1 / 300)))
        if self.random.random() < 0.01:
            length = self.random.randint(1, most)
        return self.random.randbytes(length)


class Stream(Honest):
    """Messages over a connection, each answered before the next one; now and then a new connection."""

    def __init__(self, name: str, random: Random, interval: float, connect: Connect, most: int) -> None:
        """
        @param connect: makes a connection.
        @param most: bytes of the longest message.
        """
        super().__init__(name, random, interval)
        self._connect = connect
        self._most = most

    def exchange_until(self, ended: Callable[[], bool]) -> None:
        with self._connect() as sock:
            sock.settimeout(PATIENCE)
            self.tally.opened += 1
            for _ in range(_PER_CONNECTION):
                if ended():
                    break
                data = self.payload(self._most)
                self.tally.send(data)
                sock.sendall(data)
                answer = self.answer(sock, data)
                self.tally.receive(answer)
            end_sending(sock)
            self.tally.expect("bytes behind the last answer", read_all(sock), b"")

    def answer(self, sock: socket.socket, data: bytes) -> bytes:
        """The answer to a message; here the same bytes."""
        answer = read_exactly(sock, len(data))
        self.tally.expect("an answer", answer, data)
        return answer


class Stamped(Stream):
    """The same with a time-stamping echo, whose answers are short enough to be made of one chunk."""

    def answer(self, sock: socket.socket, data: bytes) -> bytes:
        answer = read_exactly(sock, len(data) + _STAMP_LENGTH)
        stamp = _STAMP.match(answer)
        self.tally.expect("a stamped answer", stamp and answer[stamp.end() :], data)
        return answer


class Datagrams(Honest):
    """Datagrams that are echoed; on loopback none may be lost, one being under way at a time."""

    def __init__(self, name: str, random: Random, interval: float, port: int, most: int) -> None:
        """@param most: bytes of the longest datagram."""
        super().__init__(name, random, interval)
        self._port = port
        self._most = most

    def exchange_until(self, ended: Callable[[], bool]) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(("127.0.0.1", self._port))
            while not ended():
                data = self.payload(self._most)
                self.tally.send(data)
                sock.send(data)
                answer = sock.recv(65_536)
                self.tally.receive(answer)
                self.tally.expect("a datagram's echo", answer, data)


class Registrations(Honest):
    """Clients that register and read the list, out of a fixed number of names."""

    _NAMES = 100

    def __init__(self, name: str, random: Random, interval: float, port: int) -> None:
        super().__init__(name, random, interval)
        self._port = port

    def exchange_until(self, ended: Callable[[], bool]) -> None:
        while not ended():
            name = f"client {self.random.randrange(self._NAMES)}"
            data = f"{name}\n".encode()
            with socket.create_connection(("127.0.0.1", self._port), PATIENCE) as sock:
                self.tally.opened += 1
                self.tally.send(data)
                sock.sendall(data)
                answer = read_all(sock)
                own = sock.getsockname()[1]
            self.tally.receive(answer)
            entry = json.loads(answer).get(name, {})
            self.tally.expect("the own entry's port", entry.get("port"), own)


class Sightings(Honest):
    """Datagrams to a receiver that must turn up in the timeline, asked for as a test would: ``/api/wait``."""

    def __init__(self, name: str, random: Random, interval: float, port: int, web: int) -> None:
        """@param web: the port of the web service."""
        super().__init__(name, random, interval)
        self._port = port
        self._web = web

    def exchange_until(self, ended: Callable[[], bool]) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", self._port))
            connection = HTTPConnection("127.0.0.1", self._web, timeout=PATIENCE)
            try:
                while not ended():
                    self._see(sock, connection)
            finally:
                connection.close()

    def _see(self, sock: socket.socket, connection: HTTPConnection) -> None:
        after = _asked(connection, "/api/facts?limit=1&order=newest")["last"]
        data = b"seen " + self.random.randbytes(16).hex().encode()
        self.tally.send(data)
        sock.send(data)
        found = _asked(
            connection, f"/api/wait?after={after}&contains={data.decode().replace(' ', '+')}&kind=received"
        )
        self.tally.expect("facts found", len(found.get("facts", ())), 1)


class Scrapes(Honest):
    """What a monitoring system asks for."""

    def __init__(self, name: str, random: Random, interval: float, web: int) -> None:
        super().__init__(name, random, interval)
        self._web = web

    def exchange_until(self, ended: Callable[[], bool]) -> None:
        while not ended():
            connection = HTTPConnection("127.0.0.1", self._web, timeout=PATIENCE)
            try:
                for path in ("/metrics", "/healthz", "/api/listeners", "/"):
                    connection.request("GET", path)
                    response = connection.getresponse()
                    body = response.read()
                    self.tally.expect(f"{path}, which answers {body[:100]!r}", response.status, 200)
            finally:
                connection.close()


def _asked(connection: HTTPConnection, path: str) -> Any:
    connection.request("GET", path)
    return json.loads(connection.getresponse().read())


def plain(port: int) -> Connect:
    """TCP to a port of 127.0.0.1."""
    return lambda: socket.create_connection(("127.0.0.1", port), PATIENCE)


def over_tls(port: int, context: ssl.SSLContext) -> Connect:
    """TLS to a port of 127.0.0.1."""
    return lambda: encrypted(plain(port)(), context)


def over_unix(path: str) -> Connect:
    """A UNIX stream socket."""
    return lambda: unix_stream(path)
