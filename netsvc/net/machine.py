"""
What a listener has to ask of the machine: the addresses of names, and the sockets that systemd opened.

`netsvc.net.binding` is handed a `Machine` and asks nothing else, so that it can be tried on any machine there
might be.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from netsvc.net.addresses import parse

#: The first descriptor that systemd passes (sd_listen_fds(3)).
FIRST_INHERITED = 3


@dataclass(frozen=True)
class Inherited:
    """
    A socket that this process was started with.

    @ivar fd: its descriptor, which stays open as long as the process.
    @ivar kind: ``stream`` (it listens already) or ``datagram``.
    @ivar family: AF_INET, AF_INET6 or AF_UNIX.
    @ivar host: the IP address or path that it is bound to; ``@name`` for an abstract one.
    @ivar port: None for a UNIX socket.
    """

    fd: int
    kind: str
    family: socket.AddressFamily
    host: str
    port: int | None


@dataclass(frozen=True)
class Machine:
    """
    What is asked of the machine.

    @ivar name: the machine's own name.
    @ivar resolve: takes a host name, returns its IP addresses; raises OSError where it has none.
    @ivar inherited: takes a name, returns the inherited sockets that have it; raises ValueError, with a text
        for the user, where there is none or one cannot be listened on.
    """

    name: str
    resolve: Callable[[str], Sequence[str]]
    inherited: Callable[[str], Sequence[Inherited]]


def this_machine(environ: Mapping[str, str] | None = None, pid: int | None = None) -> Machine:
    """
    The machine that this process runs on, and what it was started with.

    Make one at start and keep it: a daemon that has forked no longer has the process id that its inherited
    sockets were meant for.

    @param environ: None stands for the environment that the process was started with.
    @param pid: None stands for this process.
    """
    descriptors = inherited_sockets(
        first_environment() if environ is None else environ, os.getpid() if pid is None else pid
    )
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        # They are nothing for child processes.
        os.environ.pop(name, None)

    def inherited(name: str) -> Sequence[Inherited]:
        if name not in descriptors:
            names = ", ".join(sorted(descriptors)) or "none"
            raise ValueError(f"no inherited socket is named {name}; there is {names}")
        return [describe(fd) for fd in descriptors[name]]

    return Machine(socket.gethostname(), resolve, inherited)


def resolve(name: str) -> list[str]:
    """
    The IP addresses of a name, each once, as the system's resolver orders them; it may wait.

    @raise OSError: it has none.
    """
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except UnicodeError:
        # Python's IDNA codec, for a label that is empty or too long.
        raise OSError("it is no valid host name") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def beyond_loopback(host: str) -> bool:
    """
    Whether somebody on another machine might reach a listener.

    @param host: the IP address that it is bound to, or, for a UNIX socket, its path or ``""``.
    """
    address = parse(host)
    return address is not None and not address.is_loopback


def first_environment() -> Mapping[str, str]:
    """
    The environment that this process was started with.

    ``os.environ`` will not do: importing `twisted.internet.endpoints` takes LISTEN_PID and LISTEN_FDS out of
    it, and keeps one descriptor per name only.
    """
    try:
        raw = Path("/proc/self/environ").read_bytes()
    except OSError:
        return os.environ
    pairs = (os.fsdecode(line).partition("=") for line in raw.split(b"\0") if line)
    return {name: value for name, _, value in pairs}


def inherited_sockets(environ: Mapping[str, str], pid: int) -> dict[str, list[int]]:
    """
    The descriptors that systemd passed, by name (sd_listen_fds_with_names(3)).

    @param environ: with LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES.
    @param pid: of this process; descriptors meant for another one are not ours.
    @return: several may have one name; where the environment has no names all are ``unknown``.
    """
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(pid) or not (count.isascii() and count.isdigit()) or len(count) > 6:
        return {}
    descriptors = range(FIRST_INHERITED, FIRST_INHERITED + int(count))
    names = environ["LISTEN_FDNAMES"].split(":") if "LISTEN_FDNAMES" in environ else []
    found: dict[str, list[int]] = {}
    for index, fd in enumerate(descriptors):
        found.setdefault(names[index] if index < len(names) else "unknown", []).append(fd)
    return found


def inherited_names() -> list[str]:
    """The names of the sockets that systemd passed to this process, each once."""
    return list(inherited_sockets(first_environment(), os.getpid()))


def describe(fd: int) -> Inherited:
    """
    Find out what an inherited descriptor is.

    @raise ValueError: it is nothing that a service can listen on; the text says what it is.
    """
    try:
        # A copy, because a socket object closes its descriptor when it goes.
        sock = socket.socket(fileno=os.dup(fd))
    except OSError as error:
        raise ValueError(f"inherited descriptor {fd} is no socket ({error.strerror})") from None
    with sock:
        if sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
            raise ValueError(f"inherited descriptor {fd} is no IP or UNIX socket")
        if sock.type == socket.SOCK_DGRAM:
            kind = "datagram"
        elif sock.type != socket.SOCK_STREAM:
            raise ValueError(f"inherited descriptor {fd} is neither a stream nor a datagram socket")
        elif not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ValueError(f"inherited descriptor {fd} does not listen; its unit needs Accept=no")
        else:
            kind = "stream"
        family = socket.AddressFamily(sock.family)
        return Inherited(fd, kind, family, *bound_to(sock))


def bound_to(sock: socket.socket) -> tuple[str, int | None]:
    """The IP address and port that a socket is bound to; of a UNIX socket its path, ``@name`` or ``""``."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        path = os.fsdecode(name)
        return ("@" + path[1:] if path.startswith("\0") else path), None
    return name[0], name[1]
