"""
Senders that remember what was acknowledged to them, and a look at a journal for whether it has all that.

Every message says who sent it, which one of that sender's it is and how long it is. Its bytes follow from
these, so that one that was torn, doubled or moved shows. A sender has one message under way at a time, as
acknowledgements are all alike; where one does not come it begins anew from another port.
"""

from __future__ import annotations

import re
import socket
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

#: Lengths of messages: what everybody sends, more than is captured of other services, the largest there is.
UDP_LENGTHS = (40, 200, 1400, 5000, 65_000)
TCP_LENGTHS = (40, 200, 1400, 5000, 9000)

ACKNOWLEDGEMENT = b"Got your message!"

_HEAD = re.compile(rb"<([\w-]+) (\d+) (\d+)>")

#: Seconds without an acknowledgement after which a sender begins anew.
_WAIT = 2.0

#: Seconds after which it does where its connection was closed.
_PAUSE = 0.1


def message(sender: str, number: int, length: int) -> bytes:
    """A sender's message of that number and length in bytes."""
    head = f"<{sender} {number} {length}>".encode()
    return (head + b"%d." % number * length)[:length]


@dataclass
class Sender:
    """
    One sender.

    @ivar name: unlike any other's.
    @ivar pause: seconds between two messages.
    @ivar acknowledged: the numbers of the messages that were acknowledged, in their order.
    @ivar sent: how many messages it has sent.
    """

    name: str
    random: Random
    lengths: Sequence[int]
    pause: float = 0.0
    acknowledged: list[int] = field(default_factory=list)
    sent: int = 0

    def run(self, kind: socket.SocketKind, port: int, stop: threading.Event) -> None:
        """Send until told to stop, or until nobody is there any more."""
        while not stop.is_set():
            try:
                with socket.socket(socket.AF_INET, kind) as sock:
                    sock.settimeout(_WAIT)
                    sock.connect(("127.0.0.1", port))
                    while not stop.is_set():
                        self._send(sock, self.random.choice(self.lengths))
                        stop.wait(self.pause)
            except TimeoutError:
                # Not acknowledged: whatever comes now would be taken for the acknowledgement of the next one.
                continue
            except OSError:
                # Where the daemon is gone the senders go too; where it has closed the connection they come
                # again, as honest ones do, after a while.
                if kind == socket.SOCK_DGRAM or not _answers(port):
                    return
                stop.wait(_PAUSE)

    def _send(self, sock: socket.socket, length: int) -> None:
        number, self.sent = self.sent, self.sent + 1
        sock.sendall(message(self.name, number, length))
        answer = sock.recv(100)
        if not answer:
            raise ConnectionResetError
        assert answer == ACKNOWLEDGEMENT, answer
        self.acknowledged.append(number)


@dataclass
class Load:
    """
    Several senders at once.

    @ivar lengths: of the messages; None: all lengths that there are.
    @ivar pause: seconds between two messages of one sender.
    @ivar senders: all that there ever were, each with what it knows.
    """

    random: Random
    lengths: Sequence[int] | None = None
    pause: float = 0.0
    senders: list[Sender] = field(default_factory=list)

    @property
    def acknowledged(self) -> int:
        """How many messages were acknowledged, to anybody."""
        return sum(len(sender.acknowledged) for sender in self.senders)

    @contextmanager
    def on(self, udp: int, tcp: int, count: int = 3) -> Iterator[None]:
        """
        Load a daemon for the time of a with statement.

        @param udp: the receiver's port for datagrams.
        @param tcp: and for streams.
        @param count: senders on each of them.
        """
        stop = threading.Event()
        threads = []
        for kind, port in [(socket.SOCK_DGRAM, udp), (socket.SOCK_STREAM, tcp)] * count:
            lengths = self.lengths or (UDP_LENGTHS if kind == socket.SOCK_DGRAM else TCP_LENGTHS)
            sender = Sender(
                f"{kind.name[5:]}-{len(self.senders)}", Random(self.random.random()), lengths, self.pause
            )
            self.senders.append(sender)
            threads.append(threading.Thread(target=sender.run, args=(kind, port, stop), daemon=True))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(3 * _WAIT)

    def assert_recorded(self, journal: Path, *, oldest_may_be_gone: bool = False) -> int:
        """
        See that each acknowledged message is there once, whole, and in its sender's order.

        @param journal: the database, which may be in use.
        @param oldest_may_be_gone: the journal may not have room for all.
        @return: how many messages are there, acknowledged or not.
        @raise AssertionError: one is not.
        """
        there = recorded(journal)
        for sender in self.senders:
            numbers = there.get(sender.name, [])
            missing = set(sender.acknowledged) - set(numbers)
            if oldest_may_be_gone and numbers:
                missing = {number for number in missing if number > numbers[0]}
            elif oldest_may_be_gone:
                missing = set()
            assert not missing, f"{sender.name}: acknowledged and lost: {sorted(missing)}"
            assert len(numbers) == len(set(numbers)), f"{sender.name}: twice there: {numbers}"
            assert numbers == sorted(numbers), f"{sender.name}: out of order: {numbers}"
        return sum(map(len, there.values()))


def recorded(journal: Path) -> dict[str, list[int]]:
    """
    The messages in a journal.

    @return: for each sender the numbers of its messages, as the journal has them in its order.
    @raise AssertionError: one of them is not whole, or not what was sent.
    """
    with open_journal(journal) as connection:
        rows = connection.execute(
            "SELECT data, length FROM fact WHERE kind = 'received' AND service = 'receiver' ORDER BY seq"
        )
        numbers = defaultdict(list)
        for data, length in rows:
            assert len(data) == length, f"torn: {length} bytes of which {len(data)} are there: {data[:80]!r}"
            head = _HEAD.match(data)
            assert head is not None, f"torn: {data[:80]!r}"
            name, number = head[1].decode(), int(head[2])
            assert data == message(name, number, int(head[3])), f"torn: {data[:80]!r}"
            numbers[name].append(number)
    return numbers


@contextmanager
def open_journal(journal: Path) -> Iterator[sqlite3.Connection]:
    """A journal to be read, whether a daemon writes to it or not."""
    connection = sqlite3.connect(journal, timeout=30)
    try:
        connection.execute("PRAGMA query_only = ON")
        yield connection
    finally:
        connection.close()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), _WAIT).close()
    except OSError:
        return False
    return True
