"""Sockets that are really opened, on loopback and in a directory of the test's own."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from twisted.logger import ILogObserver, globalLogPublisher

from netsvc.net import sockets
from netsvc.net.binding import Binding, bindings_of
from netsvc.net.machine import Inherited, Machine, describe, this_machine
from netsvc.net.sockets import OpenSocket, close_sockets, open_where, unlink_path
from netsvc.net.where import parse_where
from netsvc.service import NetService
from netsvc.settings import TLS, Limits, Net, SettingError
from tests.ports import free_port

ECHO = NetService(name="echo", summary="", stream="a.b", datagram="a.c")
STREAM = frozenset({"stream"})
BOTH = frozenset({"stream", "datagram"})
NO_MACHINE = this_machine({}, 0)

Open = Callable[..., list[OpenSocket]]


def bindings(
    text: str, transports: frozenset[str] = BOTH, machine: Machine = NO_MACHINE
) -> tuple[Binding, ...]:
    return bindings_of(
        parse_where(text, frozenset()),
        service=ECHO,
        transports=transports,
        settings={},
        limits=Limits(),
        net=Net(),
        tls=TLS(),
        origin="--echo",
        machine=machine,
    )


@pytest.fixture
def open_() -> Iterator[Open]:
    """`open_where` for a text or bindings; what it opens is closed after the test."""
    opened: list[OpenSocket] = []

    def open_(where: str | tuple[Binding, ...], *arguments: Any) -> list[OpenSocket]:
        found = open_where(bindings(where) if isinstance(where, str) else where, *arguments)
        opened.extend(found)
        return found

    yield open_
    close_sockets(opened)


@pytest.fixture
def logged() -> Iterator[list[Mapping[str, Any]]]:
    events: list[Mapping[str, Any]] = []
    observer = cast(ILogObserver, events.append)
    globalLogPublisher.addObserver(observer)
    yield events
    globalLogPublisher.removeObserver(observer)


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """The test runs as nobody, also where the tests run as root."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


def refused(*arguments: Any) -> str:
    with pytest.raises(SettingError) as caught:
        open_where(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# TCP and UDP


def test_port_0_is_one_number_for_all_sockets(open_: Open) -> None:
    opened = open_("0")
    ports = {one.binding.port for one in opened}
    assert len(ports) == 1
    assert ports != {0}
    kinds = [(one.binding.transport, one.sock.family) for one in opened]
    assert ("tcp", socket.AF_INET) in kinds
    assert ("udp", socket.AF_INET6) in kinds
    assert {one.sock.getsockname()[1] for one in opened} == ports
    assert str(opened[0].binding.port) in opened[0].binding.url


def test_sockets_do_not_block_and_are_not_inherited(open_: Open, tmp_path: Path) -> None:
    for one in [*open_("0"), *open_(f"unix://{tmp_path}/a")]:
        assert not one.sock.getblocking()
        assert not one.sock.get_inheritable()


def test_a_stream_accepts_as_soon_as_it_is_open(open_: Open) -> None:
    (one,) = open_("tcp://127.0.0.1:0")
    with socket.create_connection(one.sock.getsockname()):
        pass
    assert one.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    assert one.sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


def free_for_tcp_and_taken_for_udp(open_: Open) -> OpenSocket:
    """A TCP socket whose number somebody has for UDP; open, so that no other program can have its number."""
    (one,) = open_("tcp://127.0.0.1:0")
    with contextlib.suppress(SettingError):
        open_(f"udp://127.0.0.1:{one.binding.port}")
    return one


def test_a_number_that_is_taken_on_one_address_is_given_up(
    open_: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlucky = free_for_tcp_and_taken_for_udp(open_)
    really, asked = sockets._open, []

    def first_the_unlucky_one(binding: Binding) -> OpenSocket:
        asked.append(binding.port)
        return unlucky if len(asked) == 1 else really(binding)

    monkeypatch.setattr(sockets, "_open", first_the_unlucky_one)
    tcp, udp = open_((*bindings("tcp://127.0.0.1:0"), *bindings("udp://127.0.0.1:0")))
    assert asked[:3] == [0, unlucky.binding.port, 0]
    assert tcp.binding.port == udp.binding.port != unlucky.binding.port


def test_looking_for_a_number_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(binding: Binding) -> OpenSocket:
        raise OSError(errno.EADDRINUSE, "in use")

    monkeypatch.setattr(sockets, "_open", never)
    assert refused(bindings("0")) == (
        "--echo 0: no port was free on every address in 64 tries; choose one with --echo"
    )


def test_a_port_in_use_is_one_line_with_the_option_and_nothing_stays_open(open_: Open) -> None:
    taken = open_("udp://[::1]:0")[0].binding.port
    before = descriptors()
    assert refused(bindings(str(taken))) == (
        f"--echo {taken}: UDP port {taken} of ::1 is in use; choose another with --echo"
    )
    assert descriptors() == before
    open_(f"tcp://127.0.0.1:{taken}")
    assert refused(bindings(f"127.0.0.1:{taken}", STREAM)) == (
        f"--echo 127.0.0.1:{taken}: port {taken} of 127.0.0.1 is in use; choose another with --echo"
    )


def test_a_port_is_free_again_at_once(open_: Open) -> None:
    (one,) = open_where(bindings("tcp://127.0.0.1:0"))
    client = socket.create_connection(one.sock.getsockname())
    accepted, _ = one.sock.accept()
    accepted.close()
    close_sockets([one])
    client.close()
    (again,) = open_(f"tcp://127.0.0.1:{one.binding.port}")
    assert again.binding.port == one.binding.port


def test_a_wildcard_is_both_families_and_tells_where_datagrams_went(open_: Open) -> None:
    (udp,) = open_("udp://[::]:0")
    assert not udp.sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    assert udp.sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"hello", ("127.0.0.1", udp.sock.getsockname()[1]))
    data, ancillary, _, address = udp.sock.recvmsg(10, 100)
    assert (data, address[0]) == (b"hello", "::ffff:127.0.0.1")
    assert ancillary[0][:2] == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)
    (udp4,) = open_("udp://0.0.0.0:0")
    assert udp4.sock.getsockopt(socket.IPPROTO_IP, sockets._IP_PKTINFO)


def test_an_ipv6_address_is_ipv6_alone(open_: Open) -> None:
    (one,) = open_("tcp://[::1]:0")
    assert one.sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def test_a_datagram_socket_has_the_largest_buffers_that_the_system_allows(open_: Open) -> None:
    (one,) = open_("udp://127.0.0.1:0")
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        assert one.sock.getsockopt(socket.SOL_SOCKET, option) >= sockets._allowed(option)


def test_a_buffer_that_was_larger_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_allowed", lambda option: 100_000)
    monkeypatch.setattr(sockets, "DATAGRAM_BUFFER", 50_000)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 150_000)
        before = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        sockets._enlarge(sock, socket.SO_RCVBUF, sockets._SO_RCVBUFFORCE)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == before


def test_an_address_that_is_not_ours_is_refused() -> None:
    assert (
        refused(bindings("203.0.113.1:0"))
        == "--echo 203.0.113.1:0: 203.0.113.1 is no address of this machine"
    )


def test_a_scope_that_is_no_interface_is_refused() -> None:
    assert "--echo [fe80::1%nope]:1: port 1 of fe80::1%nope cannot be opened: " in refused(
        bindings("[fe80::1%nope]:1")
    )


def test_a_link_local_address_needs_its_interface() -> None:
    assert "needs its interface, such as [fe80::1%eth0]" in refused(bindings("[fe80::1]:0"))


def without_ipv6(binding: Binding) -> OpenSocket:
    if binding.family == socket.AF_INET6:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    return sockets._open_ip(binding)


def test_a_default_interface_that_the_machine_lacks_is_left_out_and_said_once(
    open_: Open, monkeypatch: pytest.MonkeyPatch, logged: list[Mapping[str, Any]]
) -> None:
    monkeypatch.setattr(sockets, "_open", without_ipv6)
    left_out: set[str] = set()
    for _ in range(2):
        opened = open_(bindings("0"), left_out)
        assert {one.binding.host for one in opened} == {"127.0.0.1"}
    assert left_out == {"::1"}
    assert [(one["address"], one["reason"]) for one in logged] == [
        ("::1", "::1 is no address of this machine")
    ]


def test_an_interface_that_was_asked_for_is_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_open", without_ipv6)
    assert "::1 is no address of this machine" in refused(bindings("[::1]:0"))


def test_the_last_default_interface_is_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_at_all(binding: Binding) -> OpenSocket:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))

    monkeypatch.setattr(sockets, "_open", none_at_all)
    assert refused(bindings("0")) == "--echo 0: this machine has no IPv4"


def lowest_free_port() -> int:
    return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())


@pytest.mark.usefixtures("unprivileged")
@pytest.mark.skipif(lowest_free_port() < 2, reason="this system reserves no ports for the privileged")
def test_a_low_port_without_the_right_to_it_is_explained() -> None:
    assert refused(bindings("tcp://127.0.0.1:1")) == (
        "--echo tcp://127.0.0.1:1: port 1 of 127.0.0.1 needs more rights than this user has; "
        "choose a higher one with --echo"
    )


@pytest.mark.usefixtures("unprivileged")
def test_without_privileges_the_buffers_are_as_large_as_the_limit(open_: Open) -> None:
    (one,) = open_("udp://127.0.0.1:0")
    allowed = sockets._allowed(socket.SO_RCVBUF)
    assert one.sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == allowed


# UNIX sockets


@pytest.mark.parametrize("scheme", ["unix", "unix-datagram"])
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o777])
def test_a_unix_socket_has_its_permissions_whatever_the_umask(
    open_: Open, tmp_path: Path, scheme: str, mode: int
) -> None:
    before = os.umask(0o027)
    try:
        open_(f"{scheme}://{tmp_path}/a?mode={mode:o}")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    found = os.lstat(tmp_path / "a").st_mode
    assert stat.S_ISSOCK(found)
    assert stat.S_IMODE(found) == mode


@pytest.mark.parametrize("scheme", ["unix", "unix-datagram"])
def test_a_socket_that_a_killed_daemon_left_is_replaced(open_: Open, tmp_path: Path, scheme: str) -> None:
    (left,) = open_where(bindings(f"{scheme}://{tmp_path}/a"))
    left.sock.close()
    (one,) = open_(f"{scheme}://{tmp_path}/a")
    with socket.socket(socket.AF_UNIX, one.sock.type) as client:
        client.connect(str(tmp_path / "a"))
    unlink_path(left)
    assert (tmp_path / "a").exists(), "who comes after is not robbed of its file"


@pytest.mark.parametrize("scheme", ["unix", "unix-datagram"])
@pytest.mark.parametrize("living", ["unix", "unix-datagram"])
def test_a_socket_that_somebody_listens_on_is_in_use(
    open_: Open, tmp_path: Path, scheme: str, living: str
) -> None:
    open_(f"{living}://{tmp_path}/a")
    before = descriptors()
    assert refused(bindings(f"{scheme}://{tmp_path}/a")) == (
        f"--echo {scheme}://{tmp_path}/a: {tmp_path}/a is in use; choose another path with --echo"
    )
    assert descriptors() == before


def test_a_socket_with_a_full_backlog_is_in_use(open_: Open, tmp_path: Path) -> None:
    (one,) = open_(f"unix://{tmp_path}/a?backlog=1")
    waiting = [socket.socket(socket.AF_UNIX) for _ in range(4)]
    for client in waiting:
        client.setblocking(False)
        client.connect_ex(one.binding.host)
    assert "is in use" in refused(bindings(f"unix://{tmp_path}/a"))
    for client in waiting:
        client.close()


def test_what_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "directory").mkdir()
    for name in ("file", "link", "directory"):
        assert refused(bindings(f"unix://{tmp_path}/{name}")) == (
            f"--echo unix://{tmp_path}/{name}: {tmp_path}/{name} exists and is no socket; "
            "choose another path with --echo"
        )
    assert (tmp_path / "file").read_text() == "precious"


def test_a_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    assert refused(bindings(f"unix://{tmp_path}/no/a")).endswith(f": there is no directory {tmp_path}/no")
    (tmp_path / "file").touch()
    assert refused(bindings(f"unix://{tmp_path}/file/a")).endswith(f"no directory {tmp_path}/file")


def test_a_directory_that_may_not_be_written_is_named(unprivileged: None) -> None:
    assert (
        refused(bindings("unix:///proc/a"))
        == "--echo unix:///proc/a: /proc/a cannot be opened: No such file or directory"
    )
    assert refused(bindings("unix:///a")) == "--echo unix:///a: this user may not make a socket in /"


def test_two_that_replace_a_stale_socket_at_once_do_not_take_each_others(tmp_path: Path) -> None:
    (left,) = open_where(bindings(f"unix://{tmp_path}/a"))
    left.sock.close()
    with sockets._alone_in(str(tmp_path)):
        assert refused(bindings(f"unix://{tmp_path}/a")).endswith(
            f"is opening a socket in {tmp_path}; try again"
        )


def test_closing_removes_the_file_and_nothing_else(tmp_path: Path) -> None:
    opened = open_where(bindings(f"unix://{tmp_path}/a"))
    close_sockets(opened)
    assert list(tmp_path.iterdir()) == []
    close_sockets(opened)
    (tmp_path / "a").write_text("somebody else's")
    close_sockets(opened)
    assert (tmp_path / "a").exists()


def test_a_file_that_took_the_place_of_ours_stays(tmp_path: Path) -> None:
    opened = open_where(bindings(f"unix://{tmp_path}/a"))
    (tmp_path / "a").unlink()
    (tmp_path / "a").write_text("somebody else's")
    close_sockets(opened)
    assert (tmp_path / "a").read_text() == "somebody else's"


def test_a_failure_removes_the_files_of_those_opened_before(tmp_path: Path) -> None:
    both = (*bindings(f"unix://{tmp_path}/a"), *bindings(f"unix://{tmp_path}/no/b"))
    refused(both)
    assert list(tmp_path.iterdir()) == []


# Inherited sockets


def machine_with(*socks: socket.socket) -> Machine:
    def inherited(name: str) -> list[Inherited]:
        return [describe(one.fileno()) for one in socks]

    return Machine("here", NO_MACHINE.resolve, inherited)


def test_inherited_sockets_are_copied_and_stay(tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as unix,
    ):
        udp.bind(("::", 0))
        unix.bind(path)
        unix.listen()
        tcp.set_inheritable(True)
        opened = open_where(bindings("systemd://echo", machine=machine_with(tcp, udp, unix)))
        assert [one.sock.getsockname() for one in opened] == [
            tcp.getsockname(),
            udp.getsockname(),
            path,
        ]
        assert not any(one.sock.getblocking() or one.sock.get_inheritable() for one in opened)
        assert not tcp.get_inheritable()
        assert opened[1].sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO)
        close_sockets(opened)
        with socket.create_connection(tcp.getsockname()):
            pass
        assert os.path.exists(path)


#: Importing Twisted's endpoints first is the point: it takes the variables out of os.environ. The child then
#: answers one message on each of its sockets.
CHILD = """
import json, socket, sys
import twisted.internet.endpoints
from tests.net.test_sockets import bindings
from netsvc.net.machine import this_machine
from netsvc.net.sockets import close_sockets, open_where
opened = open_where(bindings("systemd://echo", machine=this_machine()))
print(json.dumps([one.binding.url for one in opened]), flush=True)
for one in opened:
    one.sock.setblocking(True)
    if one.binding.kind == "stream":
        connection, _ = one.sock.accept()
        connection.sendall(connection.recv(100))
        connection.close()
    else:
        one.sock.sendto(*one.sock.recvfrom(100))
close_sockets(opened)
"""


@pytest.mark.live
@pytest.mark.program("systemd-socket-activate")
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["stream", "datagram"])
def test_several_sockets_of_one_name_from_systemd_answer(kind: socket.SocketKind, tmp_path: Path) -> None:
    address, path = ("127.0.0.1", free_port()), str(tmp_path / "echo.sock")
    command = ["systemd-socket-activate", f"--listen=127.0.0.1:{address[1]}", f"--listen={path}"]
    if kind == socket.SOCK_DGRAM:
        command.append("--datagram")
    command += ["--fdname=echo:echo", f"--setenv=PYTHONPATH={Path(__file__).parents[2]}"]
    process = subprocess.Popen(
        [*command, sys.executable, "-c", CHILD], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with (
        process,
        socket.socket(socket.AF_INET, kind) as ip,
        socket.socket(socket.AF_UNIX, kind) as unix,
    ):
        assert process.stderr is not None
        assert process.stdout is not None
        try:
            # It says so on standard error when it listens; the first to come then starts the child.
            for _ in range(2):
                process.stderr.readline()
            unix.bind(str(tmp_path / "client"))
            for client, server in ((ip, address), (unix, path)):
                client.settimeout(20)
                client.connect(server)
                client.send(b"hello")
            assert [ip.recv(100), unix.recv(100)] == [b"hello", b"hello"]
        except BaseException:
            process.kill()
            raise
        found, complaint = process.stdout.read(), process.stderr.read()
    assert process.returncode == 0, complaint
    schemes = ("tcp", "unix") if kind == socket.SOCK_STREAM else ("udp", "unix-datagram")
    assert json.loads(found) == [f"{schemes[0]}://127.0.0.1:{address[1]}", f"{schemes[1]}://{path}"]
    assert os.path.exists(path), "the file is systemd's"
