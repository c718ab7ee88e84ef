"""Daemons with a web service, for tests of the commands that ask one, and clients of their services."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.commands.programs import Running
from tests.live.daemon import Daemon


def url_of(daemon: Daemon) -> str:
    """Where its web service is."""
    return f"http://127.0.0.1:{daemon.port('web')}"


def asking(daemon: Daemon, **more: str) -> Mapping[str, str]:
    """An environment in which commands ask a daemon."""
    return {"NETSVC_URL": url_of(daemon), **more}


def facts_after(daemon: Daemon, seq: str) -> list[dict[str, Any]]:
    """What the API has."""
    facts: list[dict[str, Any]] = _answer(daemon, seq)["facts"]
    return facts


def mark(daemon: Daemon) -> str:
    """The seq behind which a test's facts begin."""
    return str(_answer(daemon, "last")["last"])


def _answer(daemon: Daemon, after: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url_of(daemon)}/api/facts?after={after}") as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def say(daemon: Daemon, *pieces: bytes, service: str = "echo") -> tuple[str, int]:
    """
    Send pieces to a service that answers each with as many bytes, one after the other, and hang up.

    @return: the address and port from which.
    """
    with daemon.connect(service) as sock:
        here: tuple[str, int] = sock.getsockname()
        for piece in pieces:
            sock.sendall(piece)
            missing = len(piece)
            while missing:
                missing -= len(sock.recv(missing))
    return here


def datagram(daemon: Daemon, data: bytes) -> tuple[str, int]:
    """Send a datagram to echo and wait for its answer; gives the address and port from which."""
    with daemon.datagrams("echo") as sock:
        sock.send(data)
        assert sock.recv(65_536) == data
        here: tuple[str, int] = sock.getsockname()
        return here


def register(daemon: Daemon, name: str) -> None:
    """Enter a name into the client list."""
    with daemon.connect("clients") as sock:
        sock.sendall(name.encode() + b"\n")
        while sock.recv(65_536):
            continue


def lines_until(command: Running, text: str) -> list[str]:
    """The lines of a command up to the first with some text in it."""
    lines = [command.line()]
    while text not in lines[-1]:
        lines.append(command.line())
    return lines


def directory(base: Path, name: str) -> Path:
    """An empty directory."""
    made = base / name
    made.mkdir()
    return made
