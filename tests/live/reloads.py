"""
Daemons whose configuration is read again, and clients that notice everything that goes wrong meanwhile.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.live.daemon import PATIENCE, Daemon, eventually, read_exactly, running
from tests.live.streams import encrypted, unix_stream
from tests.ports import free_ports

#: echo on a port of 127.0.0.1, for streams and datagrams.
ECHO = '[net]\ninterface = ["127.0.0.1"]\n[echo]\nlisten = 0\n'

#: How the log ends a reload, well or not.
OUTCOME = re.compile(r"configuration read again: .*|the configuration is refused, .*")

#: Messages on one connection before a client comes anew.
_PER_CONNECTION = 25

#: Messages that are answered between two reloads, at least.
_BETWEEN = 200

#: Datagrams that are under way at once; they fit into any receive buffer.
_WINDOW = 16


class Configured:
    """
    A daemon with a configuration file.

    @ivar daemon: the daemon.
    @ivar file: the file.
    """

    def __init__(self, daemon: Daemon, file: Path) -> None:
        self.daemon = daemon
        self.file = file
        self._ready = file.parent / "ready.json"

    def again(self, text: str | None = None) -> str:
        """
        Have it read again.

        @param text: what the file has then; None leaves it.
        @return: how the log tells what came of it.
        """
        if text is not None:
            self.file.write_text(text)
        before = len(self.outcomes())
        self.daemon.signal(signal.SIGHUP)
        eventually(lambda: len(self.outcomes()) > before or self.daemon.process.poll() is not None)
        outcomes = self.outcomes()
        assert len(outcomes) == before + 1, self.daemon.log()
        if self._ready.exists():
            self.daemon.places = json.loads(self._ready.read_text())
        return outcomes[-1]

    def outcomes(self) -> list[str]:
        """What the log has of every reload until now."""
        return [found[0] for found in map(OUTCOME.search, list(self.daemon.lines)) if found]


@contextmanager
def configured(directory: Path, text: str, *arguments: str, **options: Any) -> Iterator[Configured]:
    """
    A daemon with a configuration file for the time of a with statement.

    @param text: the file.
    @param arguments: more for the command line.
    @param options: for `Daemon`.
    """
    file = directory / "netsvc.toml"
    file.write_text(text)
    with running(directory, "--config", str(file), *arguments, **options) as daemon:
        yield Configured(daemon, file)
        assert "Traceback" not in daemon.log(), daemon.log()


def listening_inode(port: int) -> str:
    """The system's number of the socket that listens on 127.0.0.1 and a port; it is that socket's alone."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == f"0100007F:{port:04X}" and fields[3] == "0A":
            return fields[9]
    raise AssertionError(f"nobody listens on {port}")


class Hammering:
    """
    Clients that never rest, each in a thread, until they are told to.

    @ivar answered: messages that were answered.
    @ivar connections: connections that were made.
    @ivar wrong: what went wrong, in words.
    """

    def __init__(self) -> None:
        self.answered = 0
        self.connections = 0
        self.wrong: list[str] = []
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def stream(
        self, name: str, connect: Callable[[], socket.socket], expected: Callable[[bytes], bool]
    ) -> None:
        """
        Add a client that sends lines, waits for the answer to each, and reconnects now and then.

        @param connect: gives a connection.
        @param expected: whether a line is an answer to the one that is in it.
        """
        self._add(name, lambda: self._stream(connect, expected))

    def datagrams(self, name: str, place: tuple[str, int], acknowledgements: Sequence[bytes]) -> None:
        """
        Add a client that sends datagrams, several at once, and waits for an acknowledgement of each.

        @param acknowledgements: all that there may be.
        """
        self._add(name, lambda: self._datagrams(place, frozenset(acknowledgements)))

    def go_on(self) -> None:
        """Wait until some more messages are answered."""
        seen = self.answered
        eventually(lambda: self.answered > seen + _BETWEEN or bool(self.wrong))

    def finish(self) -> None:
        """Let each finish what it does."""
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _add(self, name: str, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                while not self._over.is_set():
                    work()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
                self.wrong.append(f"{name}: {error!r}")

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _stream(self, connect: Callable[[], socket.socket], expected: Callable[[bytes], bool]) -> None:
        with connect() as sock:
            sock.settimeout(PATIENCE)
            for number in range(_PER_CONNECTION):
                line = b"line %d of many\n" % number
                sock.sendall(line)
                answer = b""
                while not answer.endswith(line):
                    more = sock.recv(1 << 16)
                    if not more:
                        raise ConnectionResetError("closed")
                    answer += more
                assert expected(answer), answer
                self._count(answered=1)
        self._count(connections=1)

    def _datagrams(self, place: tuple[str, int], acknowledgements: frozenset[bytes]) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(place)
            sock.settimeout(PATIENCE)
            for turn in range(_PER_CONNECTION):
                for number in range(_WINDOW):
                    sock.send(b"datagram %d of turn %d, and some more" % (number, turn))
                for _ in range(_WINDOW):
                    answer = sock.recv(1 << 16)
                    assert answer in acknowledgements, answer
                self._count(answered=_WINDOW)

    def _count(self, answered: int = 0, connections: int = 0) -> None:
        with self._lock:
            self.answered += answered
            self.connections += connections


#: What the receiver says under one configuration, and under the other.
ACKNOWLEDGEMENTS = ("the first", "the second one")


def alternating(directory: Path, ports: dict[str, int], turn: int) -> str:
    """
    One of two configurations.

    echo stays as it is, timestamp and receiver have other settings, daytime comes and goes, and so do limits.
    """
    first = turn % 2 == 0
    daytime = "" if first else f'[daytime]\nlisten = "tcp://127.0.0.1:{ports["daytime"]}"\n'
    return f"""
[net]
interface = ["127.0.0.1"]
[tls]
certificate = "{directory}/server.pem"
[echo]
listen = ["tcp://127.0.0.1:{ports["echo"]}", "tls://127.0.0.1:{ports["tls"]}", "unix://{directory}/echo.sock"]
[timestamp]
listen = {ports["timestamp"]}
style = "{"bracket" if first else "plain"}"
idle_timeout = {60 if first else 30}
[receiver]
listen = "udp://127.0.0.1:{ports["receiver"]}?per_address={5 if first else 6}"
ack = "received"
ack_text = "{ACKNOWLEDGEMENTS[turn % 2]}"
{daytime}
"""


def reload_under_load(
    directory: Path, certificates: Sequence[bytes], context: ssl.SSLContext, count: int
) -> Hammering:
    """
    Read a configuration again and again, while clients come and go.

    @param certificates: two certificates with their keys, as PEM, that alternate.
    @param context: what a TLS client knows.
    @param count: how often.
    @return: the clients, which have finished.
    """
    ports = free_ports(("echo", "tls", "timestamp", "receiver", "daytime"))
    (directory / "server.pem").write_bytes(certificates[0])
    clients = Hammering()

    def over_tls() -> socket.socket:
        return encrypted(_to(ports["tls"]), context)

    with configured(directory, alternating(directory, ports, 0)) as house, ExitStack() as kept:
        clients.stream("echo", lambda: _to(ports["echo"]), _is_echo)
        clients.stream("echo, UNIX", lambda: unix_stream(directory / "echo.sock"), _is_echo)
        clients.stream("timestamp", lambda: _to(ports["timestamp"]), _is_stamped)
        clients.stream("echo, TLS", over_tls, _is_echo)
        acknowledgements = [one.encode() for one in ACKNOWLEDGEMENTS]
        for name in ("receiver", "receiver, another"):
            clients.datagrams(name, ("127.0.0.1", ports["receiver"]), acknowledgements)
        staying = [
            kept.enter_context(one) for one in (_to(ports["echo"]), _to(ports["timestamp"]), over_tls())
        ]
        for turn in range(1, count + 1):
            (directory / "new.pem").write_bytes(certificates[turn % 2])
            (directory / "new.pem").replace(directory / "server.pem")
            outcome = house.again(alternating(directory, ports, turn))
            changes = "1 opened, 0 closed" if turn % 2 else "0 opened, 1 closed"
            assert f"{changes}, 3 changed, 2 as they were" in outcome, outcome
            for sock in staying:
                assert said(sock, b"still here").endswith(b"still here\n")
            clients.go_on()
        clients.finish()
    return clients


def _to(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def _is_stamped(answer: bytes) -> bool:
    return b"line " in answer and not answer.startswith(b"line ")


def _is_echo(answer: bytes) -> bool:
    return answer.startswith(b"line ") and answer.count(b"\n") == 1


def read_line(sock: socket.socket) -> bytes:
    """Up to a newline."""
    line = b""
    while not line.endswith(b"\n"):
        byte = read_exactly(sock, 1)
        if not byte:
            break
        line += byte
    return line


def said(sock: socket.socket, data: bytes) -> bytes:
    """What a service answers to a line, which is a line too."""
    sock.sendall(data + b"\n")
    return read_line(sock)
