"""Sockets that are open, and what becomes of them when the configuration is read again."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

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


def test_what_cannot_change_stays_and_is_told(opened: list[OpenSocket], tmp_path: Path) -> None:
    (first,) = open_where(bindings(f"unix://{tmp_path}/a?mode=600"))
    opened.append(first)
    (tmp_path / "a").unlink()
    (wanted,) = bindings(f"unix://{tmp_path}/a?mode=660")
    assert adjusted(first, wanted).sock is first.sock


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
