"""
Opens the sockets of one WHERE: all of them, or none and an error that a user can act on.

Sockets are opened before the daemon forks and drops its privileges, and not by Twisted, because its ports
choose their numbers one by one, cut datagrams' buffers short, leave a moment in which a UNIX socket has the
wrong permissions, and fail when the daemon already runs.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace

from twisted.logger import Logger

from netsvc.net.addresses import parse
from netsvc.net.binding import Binding
from netsvc.net.machine import bound_to
from netsvc.settings import SettingError

#: How often one port number is looked for that is free on all sockets of a WHERE; one time is enough unless
#: most numbers are taken.
TRIES = 64

#: Bytes of datagrams that may wait where we may go beyond the system's limit (CAP_NET_ADMIN): a burst of
#: 10,000 small ones, or of 250 of the largest.
DATAGRAM_BUFFER = 16 * 1024 * 1024

#: More than any system allows; it is cut to the system's limit (net.core.rmem_max and wmem_max).
_AS_MUCH_AS_ALLOWED = 1 << 30

# Linux's numbers of socket options that Python's socket module does not name before 3.14, or at all.
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)

#: What the system says of an address or a family of addresses that it does not have.
_LACKING = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

_log = Logger()


@dataclass(frozen=True)
class OpenSocket:
    """
    A socket that is bound and, for a stream, listens.

    @ivar binding: what was asked for, with the port that it got.
    @ivar sock: not blocking, closed on exec; whoever takes it over closes it.
    @ivar unlink: the path of the socket's file where it is ours to remove at the end, see `unlink_path`.
    @ivar inode: device and inode of that file; nobody else's as long as the socket is open.
    """

    binding: Binding
    sock: socket.socket
    unlink: str | None = None
    inode: tuple[int, int] | None = None


class _PortTakenError(Exception):
    """The number that the system chose for one socket of a WHERE is in use for another one of its sockets."""


def open_where(
    bindings: Sequence[Binding],
    left_out: set[str] | None = None,
    beside: bool = False,
    leaving: Sequence[OpenSocket] = (),
) -> list[OpenSocket]:
    """
    Open all sockets of one WHERE.

    Port 0 becomes one number, chosen by the system, for all of them. A default address that the machine
    lacks is left out, with one line in the log, if another one remains.

    @param bindings: of one WHERE; endpoints are not opened here.
    @param left_out: addresses that the log has been told of; it is added to. One set for all WHEREs makes it
        one line for each address.
    @param beside: other sockets of the WHERE are open already, so that of these all may be left out.
    @param leaving: sockets of ours that will be closed in a moment; what is opened may be on their ports.
    @return: at least one unless others are open, in the order of the bindings.
    @raise SettingError: one of them cannot be opened; the others are closed again.
    """
    told = set() if left_out is None else left_out
    for _ in range(TRIES):
        try:
            with _sharing(leaving):
                return _open_all(bindings, told, beside, {one.binding.port for one in leaving})
        except _PortTakenError:
            continue
    first = bindings[0]
    raise SettingError(
        f"{first.origin} {first.where}: no port was free on every address in {TRIES} tries; "
        f"choose one with {first.origin}"
    )


def close_sockets(opened: Iterable[OpenSocket]) -> None:
    """Close sockets that nobody has taken over, and remove their files."""
    for one in opened:
        unlink_path(one)
        one.sock.close()


def second(opened: OpenSocket, binding: Binding) -> OpenSocket:
    """
    The same socket, for another listener: it goes on listening, whichever of both is closed.

    @param binding: to the same address.
    @return: a second descriptor; the file, if there is one, stays the first one's to remove.
    @raise SettingError: there is no descriptor left.
    """
    try:
        return OpenSocket(binding, opened.sock.dup())
    except OSError as error:
        raise refusal(binding, error) from None


def adjusted(opened: OpenSocket, binding: Binding) -> OpenSocket:
    """
    Make an open socket what is asked for now, in what can change while it is open: file mode and backlog.

    @param binding: to the same address.
    @return: the same socket; where it could not become so, with the mode and backlog from before, so that
        it is tried again the next time.
    """
    before = opened.binding
    try:
        if binding.backlog != before.backlog:
            opened.sock.listen(binding.backlog)
        if binding.mode is not None and binding.mode != before.mode:
            os.chmod(binding.host, binding.mode)
    except OSError as error:
        _log.error("{listener} stays as it was: {reason}", listener=binding.url, reason=error.strerror)
        binding = replace(binding, mode=before.mode, backlog=before.backlog)
    return replace(opened, binding=binding)


def unlink_path(opened: OpenSocket) -> None:
    """
    Remove the file of a UNIX socket, if it is ours and still the one that we made.

    Call it before the socket is closed; afterwards it does nothing, because the number of our inode may be
    another file's by then. A file that cannot be removed is logged; the next start takes its place.
    """
    if opened.unlink is None or opened.sock.fileno() == -1:
        return
    try:
        if _inode(opened.unlink) == opened.inode:
            os.unlink(opened.unlink)
    except FileNotFoundError:
        # Somebody tidied up.
        return
    except OSError as error:
        _log.warn("cannot remove the socket file {path}: {reason}", path=opened.unlink, reason=error.strerror)


def refusal(binding: Binding, error: OSError) -> SettingError:
    """
    What to tell a user of a binding that could not be opened.

    @param error: what the system said; of an endpoint, `CannotListenError.socketError`.
    """
    return SettingError(f"{binding.origin} {binding.where}: {_reason(binding, error)}")


@contextmanager
def _sharing(leaving: Sequence[OpenSocket]) -> Iterator[None]:
    """Let other sockets be bound to the ports of ours, for this moment (socket(7), SO_REUSEPORT)."""
    for one in leaving:
        _share(one.sock, True)
    try:
        yield
    finally:
        for one in leaving:
            _share(one.sock, False)


def _share(sock: socket.socket, share: bool) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, share)


def _open_all(
    bindings: Sequence[Binding], told: set[str], beside: bool, shared: set[int | None]
) -> list[OpenSocket]:
    opened: list[OpenSocket] = []
    lacking: list[tuple[Binding, OSError]] = []
    chosen: int | None = None
    try:
        for binding in bindings:
            any_port = binding.port == 0
            asked = replace(binding, port=chosen) if any_port and chosen else binding
            try:
                opened.append(_open_ip(asked, True) if asked.port in shared else _open(asked))
            except OSError as error:
                if binding.optional and error.errno in _LACKING:
                    lacking.append((binding, error))
                elif any_port and error.errno == errno.EADDRINUSE:
                    raise _PortTakenError from None
                else:
                    raise refusal(asked, error) from None
            else:
                if any_port:
                    chosen = opened[-1].binding.port
        if not opened and not beside:
            raise refusal(*lacking[0])
    except BaseException:
        close_sockets(opened)
        raise
    for missing in lacking:
        _tell_once(*missing, told)
    return opened


def _tell_once(binding: Binding, error: OSError, told: set[str]) -> None:
    if binding.host not in told:
        told.add(binding.host)
        _log.info(
            "not listening on {address}: {reason}", address=binding.host, reason=_reason(binding, error)
        )


def _open(binding: Binding) -> OpenSocket:
    if binding.fd is not None:
        return _open_inherited(binding, binding.fd)
    if binding.family == socket.AF_UNIX:
        return _open_unix(binding)
    return _open_ip(binding)


def _open_inherited(binding: Binding, fd: int) -> OpenSocket:
    # A copy: the descriptor itself stays open for the next reload. It is nothing for child processes.
    os.set_inheritable(fd, False)
    sock = socket.socket(fileno=os.dup(fd))
    with _closed_on_error(sock):
        sock.setblocking(False)
        if binding.kind == "datagram":
            _prepare_datagrams(sock, binding)
    return OpenSocket(binding, sock)


def _open_ip(binding: Binding, share: bool = False) -> OpenSocket:
    kind = socket.SOCK_STREAM if binding.kind == "stream" else socket.SOCK_DGRAM
    sock = socket.socket(binding.family, kind)
    with _closed_on_error(sock):
        sock.setblocking(False)
        if binding.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, binding.host != "::")
        if binding.kind == "stream":
            # For streams alone: for datagrams it would let another program bind the same port.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            _prepare_datagrams(sock, binding)
        if share:
            _share(sock, True)
        sock.bind(_socket_address(binding))
        if binding.kind == "stream":
            # At once, because two sockets with SO_REUSEADDR may be bound to one port until one listens.
            sock.listen(binding.backlog)
        if share:
            _share(sock, False)
        return OpenSocket(replace(binding, port=bound_to(sock)[1]), sock)


def _socket_address(binding: Binding) -> tuple[str, int] | tuple[str, int, int, int]:
    port = binding.port or 0
    if binding.family == socket.AF_INET:
        return binding.host, port
    host, _, scope = binding.host.partition("%")
    if not scope:
        return host, port, 0, 0
    return host, port, 0, int(scope) if scope.isdecimal() else socket.if_nametoindex(scope)


def _prepare_datagrams(sock: socket.socket, binding: Binding) -> None:
    _enlarge(sock, socket.SO_RCVBUF, _SO_RCVBUFFORCE)
    _enlarge(sock, socket.SO_SNDBUF, _SO_SNDBUFFORCE)
    # On a wildcard the system tells of each datagram which address it was sent to, so that the answer can
    # leave from there.
    if binding.host == "0.0.0.0":
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    elif binding.host == "::":
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)


def _enlarge(sock: socket.socket, option: int, force: int) -> None:
    """Make a buffer as large as the system allows, unless an administrator has made it larger still."""
    if sock.getsockopt(socket.SOL_SOCKET, option) < _allowed(option):
        sock.setsockopt(socket.SOL_SOCKET, option, _AS_MUCH_AS_ALLOWED)
    # The system doubles what it is asked for, to have room for its own notes (socket(7)).
    if sock.getsockopt(socket.SOL_SOCKET, option) < 2 * DATAGRAM_BUFFER:
        # Only the privileged may go beyond its limit; for others the limit itself it is.
        with suppress(PermissionError):
            sock.setsockopt(socket.SOL_SOCKET, force, DATAGRAM_BUFFER)


def _allowed(option: int) -> int:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as scratch:
        scratch.setsockopt(socket.SOL_SOCKET, option, _AS_MUCH_AS_ALLOWED)
        return scratch.getsockopt(socket.SOL_SOCKET, option)


def _open_unix(binding: Binding) -> OpenSocket:
    kind = socket.SOCK_STREAM if binding.kind == "stream" else socket.SOCK_DGRAM
    sock = socket.socket(socket.AF_UNIX, kind)
    with _closed_on_error(sock):
        sock.setblocking(False)
        if binding.kind == "datagram":
            _prepare_datagrams(sock, binding)
        try:
            _bind_with_mode(sock, binding)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            with _alone_in(os.path.dirname(binding.host)):
                _remove_stale(binding.host, kind)
                _bind_with_mode(sock, binding)
        opened = OpenSocket(binding, sock, binding.host, _inode(binding.host))
        if binding.kind == "stream":
            sock.listen(binding.backlog)
        return opened


def _bind_with_mode(sock: socket.socket, binding: Binding) -> None:
    # The file is born with its permissions; with a chmod afterwards there would be a moment without.
    mode = 0o600 if binding.mode is None else binding.mode
    before = os.umask(0o777 & ~mode)
    try:
        sock.bind(binding.host)
    finally:
        os.umask(before)


@contextmanager
def _alone_in(directory: str) -> Iterator[None]:
    """Keep two daemons that start at once from each taking the other's new socket for a stale one."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # It does not wait: whoever may read the directory could hold the lock for ever.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


def _remove_stale(path: str, kind: socket.SocketKind) -> None:
    """
    Remove a socket's file that a killed daemon has left.

    @raise OSError: EEXIST, it is no socket; EADDRINUSE, it is one that somebody listens on.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        # It went by itself.
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    with closing(socket.socket(socket.AF_UNIX, kind)) as probe:
        probe.setblocking(False)
        refused = probe.connect_ex(path) == errno.ECONNREFUSED
    if not refused:
        # Connected, another kind of socket, a full backlog, or not for us to know: somebody may be there.
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), path)
    os.unlink(path)


def _inode(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


@contextmanager
def _closed_on_error(sock: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        sock.close()
        raise


def _reason(binding: Binding, error: OSError) -> str:
    if binding.fd is not None:
        return f"inherited descriptor {binding.fd} cannot be used: {error.strerror or error}"
    if binding.family == socket.AF_UNIX:
        return _reason_of_path(binding, error)
    return _reason_of_address(binding, error)


def _reason_of_address(binding: Binding, error: OSError) -> str:
    port = f"{'UDP port' if binding.kind == 'datagram' else 'port'} {binding.port} of {binding.host}"
    address = parse(binding.host)
    match error.errno:
        case errno.EADDRINUSE:
            return f"{port} is in use; choose another with {binding.origin}"
        case errno.EACCES:
            return f"{port} needs more rights than this user has; choose a higher one with {binding.origin}"
        case errno.EADDRNOTAVAIL:
            return f"{binding.host} is no address of this machine"
        case errno.EAFNOSUPPORT:
            return f"this machine has no {'IPv6' if binding.family == socket.AF_INET6 else 'IPv4'}"
        case errno.EINVAL if address and address.is_link_local and "%" not in binding.host:
            return f"a link-local address needs its interface, such as [{binding.host}%eth0]"
    return f"{port} cannot be opened: {error.strerror or error}"


def _reason_of_path(binding: Binding, error: OSError) -> str:
    path, directory = binding.host, os.path.dirname(binding.host)
    match error.errno:
        case errno.EADDRINUSE:
            return f"{path} is in use; choose another path with {binding.origin}"
        case errno.EEXIST:
            return f"{path} exists and is no socket; choose another path with {binding.origin}"
        case errno.EWOULDBLOCK:
            return f"another program is opening a socket in {directory}; try again"
        case errno.ENOENT | errno.ENOTDIR if not os.path.isdir(directory):
            return f"there is no directory {directory}"
        case errno.EACCES | errno.EROFS | errno.EPERM:
            return f"this user may not make a socket in {directory}"
    return f"{path} cannot be opened: {error.strerror or error}"
