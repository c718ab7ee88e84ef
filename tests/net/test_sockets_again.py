"""Sockets that are open, and what becomes of them when the configuration is read again."""

from __future__ import annotations

import os
import resource
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from twisted.logger import capturedLogs, formatEvent

from netsvc.net.sockets import OpenSocket, adjusted, close_sockets, open_where, second
from netsvc.settings import SettingError
from tests.net.test_sockets import bindings
from tests.ports import free_port


@pytest.fixture
def opened() -> Iterator[list[OpenSocket]]:
    found: list[OpenSocket] = []
    yield found
    close_sockets(found)


def test_a_second_descriptor_goes_on_when_the_first_is_closed(opened: list[OpenSocket]) -> None:
    (first,) = open_where(bindings("tcp://127.0.0.1:0"))
    with socket.create_connection(first.sock.getsockname()) as client:
        other = second(first, replace(first.binding, origin="--other"))
        opened.append(other)
        close_sockets([first])
        accepted, _ = other.sock.accept()
        with accepted, socket.create_connection(client.getpeername()):
            assert other.binding.origin == "--other"
    assert not other.sock.get_inheritable()
    assert not other.sock.getblocking()


def test_the_file_of_a_second_descriptor_stays_the_first_ones(
    opened: list[OpenSocket], tmp_path: Path
) -> None:
    (first,) = open_where(bindings(f"unix://{tmp_path}/a"))
    opened.append(first)
    close_sockets([second(first, first.binding)])
    assert (tmp_path / "a").is_socket()


def test_without_a_descriptor_there_is_no_second_one(opened: list[OpenSocket]) -> None:
    (first,) = open_where(bindings("tcp://127.0.0.1:0"))
    opened.append(first)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with closing(socket.socket()) as lowest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest.fileno(), hard))
    try:
        with pytest.raises(SettingError, match="cannot be opened: Too many open files"):
            second(first, first.binding)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_mode_and_backlog_change_while_it_is_open(opened: list[OpenSocket], tmp_path: Path) -> None:
    (first,) = open_where(bindings(f"unix://{tmp_path}/a?mode=600"))
    opened.append(first)
    (wanted,) = bindings(f"unix://{tmp_path}/a?mode=660&backlog=1")
    after = adjusted(first, wanted)
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o660
    assert (after.binding, after.sock) == (wanted, first.sock)
    # With a backlog of one, two wait and the third has no room.
    clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for client in clients:
        client.setblocking(False)
    assert [client.connect_ex(f"{tmp_path}/a") == 0 for client in clients] == [True, True, False]
    for client in clients:
        client.close()


def test_what_cannot_change_stays_and_is_told_and_tried_again(
    opened: list[OpenSocket], tmp_path: Path
) -> None:
    (first,) = open_where(bindings(f"unix://{tmp_path}/a?mode=600"))
    opened.append(first)
    (tmp_path / "a").rename(tmp_path / "aside")
    (wanted,) = bindings(f"unix://{tmp_path}/a?mode=660")
    wanted = replace(wanted, origin="--other")
    with capturedLogs() as events:
        after = adjusted(first, wanted)
    assert [formatEvent(event) for event in events] == [
        f"unix://{tmp_path}/a stays as it was: No such file or directory"
    ]
    assert after.sock is first.sock
    assert (after.binding.mode, after.binding.origin) == (0o600, "--other")
    (tmp_path / "aside").rename(tmp_path / "a")
    assert adjusted(after, wanted).binding == wanted
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o660


@pytest.mark.parametrize("scheme", ["tcp", "udp"])
@pytest.mark.parametrize(
    ("old", "new"),
    [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "[::]"), ("[::]", "[::1]")],
)
def test_beside_one_that_leaves_its_port_can_be_opened_on_other_addresses(
    opened: list[OpenSocket], scheme: str, old: str, new: str
) -> None:
    # None that the system gives to clients: one of those on any address would be in the way.
    port = free_port()
    (leaving,) = open_where(bindings(f"{scheme}://{old}:{port}"))
    opened.append(leaving)
    wanted = bindings(f"{scheme}://{new}:{port}")
    with pytest.raises(SettingError, match="is in use"):
        open_where(wanted)
    opened += open_where(wanted, None, False, [leaving])
    assert len(opened) == 2
    for one in opened:
        assert not one.sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)


def test_of_sockets_beside_others_all_may_be_left_out() -> None:
    (missing,) = bindings("tcp://192.0.2.1:0")
    missing = replace(missing, optional=True)
    with pytest.raises(SettingError, match="no address of this machine"):
        open_where([missing])
    assert open_where([missing], None, True) == []
