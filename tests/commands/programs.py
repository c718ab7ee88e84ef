"""
The `netsvc` command as a process, in pipes and in a pseudo-terminal, and servers that misbehave.

Everything waits for an event with a deadline: for a text, for the end of the process.
"""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner

from netsvc.commands.main import main
from tests.live.daemon import PATIENCE

#: The command of the environment that runs the tests.
NETSVC = str(Path(sys.executable).parent / "netsvc")

#: Stands for the end of a connection by RST, see `answering`.
RESET = bytes(bytearray(b"RST"))

#: What a terminal is told, and does not show.
_CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")


def netsvc(
    *arguments: str, given: bytes = b"", environment: dict[str, str] | None = None
) -> tuple[int, bytes, str]:
    """
    Run the command to its end.

    @param given: its standard input.
    @param environment: added to the present one.
    @return: exit status, standard output, standard error.
    """
    done = subprocess.run(
        [NETSVC, *arguments],
        input=given,
        capture_output=True,
        timeout=PATIENCE,
        env={**os.environ, **(environment or {})},
        check=False,
    )
    return done.returncode, done.stdout, done.stderr.decode()


def usage(*arguments: str) -> int:
    """The exit status of a command line that comes to nothing, found out without a process."""
    return CliRunner().invoke(main, arguments).exit_code


class Running:
    """
    The command while it runs, between pipes.

    @ivar process: the process.
    """

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        """
        @param arguments: of the command.
        @param environment: added to the present one.
        """
        self.process = subprocess.Popen(
            [NETSVC, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        )

    def error_line(self) -> str:
        """The next line of standard error."""
        assert self.process.stderr is not None
        return _line_of(self.process.stderr.fileno()).decode()

    def line(self) -> str:
        """The next line of standard output."""
        assert self.process.stdout is not None
        return _line_of(self.process.stdout.fileno()).decode()

    def type(self, text: str) -> None:
        """Write to standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def end(self) -> tuple[int, bytes, str]:
        """Close its standard input and wait; gives what `netsvc` does, less what was read."""
        output, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, output, errors.decode()

    def stop(self) -> None:
        """End it by force, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        self.process.wait(PATIENCE)


@contextmanager
def started(*arguments: str, environment: dict[str, str] | None = None) -> Iterator[Running]:
    """The command, for the time of a with statement; the arguments are `Running`'s."""
    running = Running(*arguments, environment=environment)
    try:
        yield running
    finally:
        running.stop()


class Terminal:
    """
    The command in a terminal of its own.

    @ivar process: the process.
    """

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        """
        @param arguments: of the command.
        @param environment: added to the present one.
        """
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            # Its keys make signals only for those whose controlling terminal it is.
            ["setsid", "--ctty", NETSVC, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, **(environment or {})},
        )
        os.close(slave)
        self._shown = self._all = b""

    def wait_for(self, text: str) -> str:
        """
        Wait until a text has been shown, and forget what was shown up to it.

        @return: what was shown up to it, without what drives the terminal.
        """
        deadline = time.monotonic() + PATIENCE
        while text.encode() not in self._visible():
            assert time.monotonic() < deadline, (text, self._shown)
            assert self._more(deadline), (text, self._shown)
        before, wanted, after = self._visible().partition(text.encode())
        self._shown = after
        return (before + wanted).decode()

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def end(self) -> tuple[int, str]:
        """Wait for the end; gives the exit status and what was still shown."""
        deadline = time.monotonic() + PATIENCE
        while self._more(deadline):
            continue
        return self.process.wait(PATIENCE), self._visible().decode()

    def stop(self) -> None:
        """End it by force, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self._master)

    def raw(self) -> bytes:
        """All that was shown so far, with what drives the terminal."""
        return self._all

    def _visible(self) -> bytes:
        return _CONTROL.sub(b"", self._shown)

    def _more(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:
            # The terminal's other end is closed.
            return False
        self._shown += data
        self._all += data
        return bool(data)


@contextmanager
def in_terminal(*arguments: str, environment: dict[str, str] | None = None) -> Iterator[Terminal]:
    """The command in a terminal, for the time of a with statement; the arguments are `Terminal`'s."""
    terminal = Terminal(*arguments, environment=environment)
    try:
        yield terminal
    finally:
        terminal.stop()


@contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """
    A server of one's own, for one connection after the other.

    @param answer: called in a thread with each connection, which is closed afterwards.
    @return: its address, HOST:PORT.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(PATIENCE)
                    answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)


def answering(pieces: Sequence[bytes]) -> Callable[[socket.socket], None]:
    """
    What answers the first thing that it reads, for `serving`.

    @param pieces: what it sends; `RESET` among them ends the connection with RST.
    """

    def answer(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        for piece in pieces:
            if piece is RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            try:
                connection.sendall(piece)
            except ConnectionError:
                # The command has hung up, as it may.
                return

    return answer


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """What Ctrl-C does where no program reads the keys."""
    process.send_signal(signal.SIGINT)


def _line_of(fd: int) -> bytes:
    deadline = time.monotonic() + PATIENCE
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"no whole line in time: {line!r}"
        data = os.read(fd, 1)
        assert data, f"it ended after {line!r}"
        line += data
    return line
