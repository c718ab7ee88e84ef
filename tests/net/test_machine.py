"""What is asked of the machine: names, and the sockets that the process was started with."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from netsvc.net.machine import (
    Inherited,
    beyond_loopback,
    describe,
    first_environment,
    inherited_sockets,
    resolve,
    this_machine,
)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def environment(count: str, names: str | None = None, pid: int = 7) -> dict[str, str]:
    found = {"LISTEN_PID": str(pid), "LISTEN_FDS": count}
    return found if names is None else {**found, "LISTEN_FDNAMES": names}


def test_several_descriptors_may_have_one_name() -> None:
    assert inherited_sockets(environment("3", "echo:web:echo"), 7) == {"echo": [3, 5], "web": [4]}


def test_descriptors_without_a_name_are_unknown() -> None:
    assert inherited_sockets(environment("2"), 7) == {"unknown": [3, 4]}
    assert inherited_sockets(environment("2", "a"), 7) == {"a": [3], "unknown": [4]}


def test_descriptors_for_another_process_are_not_ours() -> None:
    assert inherited_sockets(environment("1", "echo"), 8) == {}
    assert inherited_sockets({}, 7) == {}


@pytest.mark.parametrize("count", ["", "-1", "x", "٣", "9" * 5000])
def test_a_count_that_is_none_gives_nothing(count: str) -> None:
    assert inherited_sockets(environment(count, "echo"), 7) == {}


def test_the_first_environment_is_the_one_the_process_was_started_with() -> None:
    script = (
        "import os; del os.environ['LISTEN_FDS'];"
        "from netsvc.net.machine import first_environment; print(first_environment()['LISTEN_FDS'])"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "LISTEN_FDS": "4"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "4\n"
    assert "PATH" in first_environment()


def test_a_stream_that_listens_is_described(stack: ExitStack) -> None:
    sock = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
    port = sock.getsockname()[1]
    assert describe(sock.fileno()) == Inherited(sock.fileno(), "stream", socket.AF_INET6, "::1", port)
    assert sock.getsockname()[1] == port, "the descriptor itself stays open"


def test_datagram_and_unix_sockets_are_described(stack: ExitStack, tmp_path: Path) -> None:
    udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    udp.bind(("127.0.0.1", 0))
    assert describe(udp.fileno()).kind == "datagram"
    unix = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    unix.bind(str(tmp_path / "a"))
    assert describe(unix.fileno()) == Inherited(
        unix.fileno(), "datagram", socket.AF_UNIX, str(tmp_path / "a"), None
    )
    abstract = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    abstract.bind(f"\0netsvc-test-{os.getpid()}")
    abstract.listen()
    assert describe(abstract.fileno()).host == f"@netsvc-test-{os.getpid()}"


def test_what_nobody_can_listen_on_is_refused(stack: ExitStack) -> None:
    reading, writing = os.pipe()
    stack.callback(os.close, reading)
    stack.callback(os.close, writing)
    connected, other = socket.socketpair()
    stack.enter_context(connected)
    stack.enter_context(other)
    packets, other_packets = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stack.enter_context(packets)
    stack.enter_context(other_packets)
    with pytest.raises(ValueError, match="is no socket"):
        describe(reading)
    with pytest.raises(ValueError, match="does not listen; its unit needs Accept=no"):
        describe(connected.fileno())
    with pytest.raises(ValueError, match="neither a stream nor a datagram"):
        describe(packets.fileno())


def test_a_name_without_a_socket_is_refused_with_those_there_are() -> None:
    machine = this_machine(environment("2", "web:echo"), 7)
    with pytest.raises(ValueError, match="no inherited socket is named nope; there is echo, web"):
        machine.inherited("nope")
    with pytest.raises(ValueError, match="there is none"):
        this_machine({}, 7).inherited("nope")


def test_no_child_of_this_process_takes_its_sockets_for_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        monkeypatch.setenv(name, "1")
    this_machine({}, 7)
    assert [name for name in os.environ if name.startswith("LISTEN_")] == []


def test_names_and_addresses_resolve_to_addresses() -> None:
    assert "127.0.0.1" in resolve("localhost")
    assert resolve("::1") == ["::1"]


@pytest.mark.parametrize("name", ["no-such-name.invalid", "a" * 64 + ".example", "a..b"])
def test_a_name_without_an_address_is_an_os_error(name: str) -> None:
    with pytest.raises(OSError):
        resolve(name)


@pytest.mark.parametrize(
    ("host", "beyond"),
    [
        ("127.0.0.1", False),
        ("127.0.1.1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("0.0.0.0", True),
        ("::", True),
        ("192.0.2.1", True),
        ("fe80::1%eth0", True),
        ("/run/a.sock", False),
        ("", False),
    ],
)
def test_only_loopback_and_paths_stay_on_the_machine(host: str, beyond: bool) -> None:
    assert beyond_loopback(host) is beyond
