"""The client list, as the command reads, shows and watches it."""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from netsvc.commands import clients
from netsvc.commands.address import parse_address
from netsvc.commands.clients import NoListError, changes, read_change, read_list, row_of
from netsvc.commands.dialing import TLSOptions
from tests.certificates import Certificates
from tests.commands.programs import (
    NETSVC,
    RESET,
    answering,
    in_terminal,
    interrupt,
    netsvc,
    serving,
    started,
    usage,
)
from tests.live.conftest import certificates as certificates
from tests.live.daemon import PATIENCE, Daemon, running
from tests.live.streams import unix_stream

ANN = {"name": "ann", "address": "192.0.2.1", "port": 1}
BOB = {"name": "bob", "address": "192.0.2.2", "port": 2}

#: More entries than any buffer on the way has room for.
MANY = {f"device {n}": {"name": f"device {n}", "address": "192.0.2.1", "port": n} for n in range(20_000)}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Daemon]:
    """A client list, over TLS too, and one on a UNIX socket whose clients linger."""
    directory = tmp_path_factory.mktemp("daemon")
    options = [
        f"--tls-certificate={certificates.server_both}",
        "--clients=127.0.0.1:0",
        "--clients=tls://127.0.0.1:0",
        f"--clients=unix://{directory}/linger.sock?linger=true",
    ]
    with running(directory, *options) as started:
        yield started


def address(daemon: Daemon) -> str:
    """Where the list is."""
    return f"127.0.0.1:{daemon.port('clients')}"


# -- what a server sends ------------------------------------------------------------------------------------


def test_a_list_is_read_with_or_without_entries() -> None:
    assert read_list(b"{}") == {}
    assert read_list(json.dumps({"ann": ANN}).encode()) == {"ann": ANN}


def test_a_client_may_be_named_error() -> None:
    assert read_list(json.dumps({"error": ANN}).encode()) == {"error": ANN}


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"", "closed without sending a client list"),
        (b'{"error": "name taken"}', "name taken"),
        (b'{"a": {"port": NaN}}', "no client list"),
        (b"hello", "no client list: b'hello'"),
        (b"[1]", "no client list"),
        (b'{"ann": 1}', "no client list"),
        (b"\xff", "no client list"),
        (b"[" * 100_000, r"no client list: b'\[+'\.\.\."),
        (b"9" * 5000, "no client list"),
    ],
)
def test_what_is_no_list_is_one_line(line: bytes, text: str) -> None:
    with pytest.raises(NoListError, match=text) as caught:
        read_list(line)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 100


def test_a_change_is_read() -> None:
    assert read_change(json.dumps({"joined": ANN}).encode()) == ("joined", ANN)
    assert read_change(json.dumps({"left": ANN}).encode()) == ("left", ANN)
    for line in (b"{}", b'{"joined": 1}', b"x"):
        with pytest.raises(NoListError, match="no change of the list"):
            read_change(line)


def test_changes_between_two_lists() -> None:
    assert list(changes({"ann": ANN}, {"bob": BOB})) == [("left", ANN), ("joined", BOB)]
    moved = {**ANN, "address": "192.0.2.9"}
    assert list(changes({"ann": ANN}, {"ann": moved})) == [("joined", moved)]


def test_a_renewal_from_another_port_is_no_change() -> None:
    assert list(changes({"ann": ANN}, {"ann": {**ANN, "port": 5}})) == []


def test_an_entry_may_lack_what_it_should_have() -> None:
    assert row_of("ann", ANN) == ("ann", "192.0.2.1", "1")
    assert row_of("ann", {"port": None}) == ("ann", "", "")


# -- the command --------------------------------------------------------------------------------------------


@pytest.mark.live
def test_it_registers_and_shows_columns(daemon: Daemon) -> None:
    status, output, errors = netsvc("clients", address(daemon), "-n", "first name")
    assert (status, errors) == (0, "")
    head, *rows = output.decode().splitlines()
    assert head.split() == ["name", "address", "port"]
    assert any(row.split()[:3] == ["first", "name", "127.0.0.1"] for row in rows)


@pytest.mark.live
def test_without_a_name_it_is_this_hosts(daemon: Daemon) -> None:
    status, output, errors = netsvc("clients", address(daemon), "--json")
    assert (status, errors) == (0, "")
    assert json.loads(output)[socket.gethostname()]["address"] == "127.0.0.1"


@pytest.mark.live
def test_a_terminal_gets_a_table(daemon: Daemon) -> None:
    with in_terminal("clients", address(daemon), "-n", "ann") as terminal:
        status, shown = terminal.end()
    assert status == 0
    assert "───" in shown
    assert "ann" in shown


@pytest.mark.live
def test_tls_is_verified(daemon: Daemon, certificates: Certificates) -> None:
    at = f"tls://localhost:{daemon.port('clients', 'tls')}"
    status, output, errors = netsvc("clients", at, "-n", "ann", "--json", "--ca", str(certificates.ca))
    assert (status, errors) == (0, "")
    assert json.loads(output)["ann"]["name"] == "ann"
    status, output, errors = netsvc("clients", at, "-n", "ann")
    assert (status, output, errors.count("\n")) == (1, b"", 1)


@pytest.mark.live
def test_a_lingering_server_is_left_after_its_list(daemon: Daemon) -> None:
    status, output, errors = netsvc("clients", f"unix://{daemon.path('clients')}", "-n", "short")
    assert (status, errors) == (0, "")
    assert b"short" in output


@pytest.mark.live
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_lingering_list_is_followed(daemon: Daemon, form: list[str]) -> None:
    path = daemon.path("clients")
    with started("clients", f"unix://{path}", "-n", "watcher", "--watch", *form) as running:
        while "watcher" not in running.line():
            continue
        with unix_stream(path) as other:
            other.sendall(b"other")
            joined = running.line()
            other.recv(100)
        left = running.line()
        interrupt(running.process)
        status, output, errors = running.end()
    assert (status, output, errors) == (130, b"", "")
    if form:
        entry = {"name": "other", "address": "", "port": None}
        assert (json.loads(joined), json.loads(left)) == ({"joined": entry}, {"left": entry})
    else:
        assert (joined.split(), left.split()) == (["joined", "other"], ["left", "other"])


@pytest.mark.live
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_any_other_server_is_asked_again(started_reactor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "ASK_AGAIN", 0.01)
    answers = iter([{"ann": ANN}, {"ann": {**ANN, "port": 7}}, {"error": "not now"}])
    both = {"ann": ANN, "bob": BOB}
    names: list[bytes] = []
    shown: list[object] = []

    def answer(connection: socket.socket) -> None:
        names.append(connection.recv(1000))
        connection.sendall(json.dumps(next(answers, both)).encode())

    seen: Deferred[clients.Change] = Deferred()

    def show_change(change: clients.Change) -> None:
        # Not at once, for the test would go on, and cancel, from within what it wants to cancel.
        started_reactor.callLater(0, seen.callback, change)

    with serving(answer) as at:
        watching = Deferred.fromCoroutine(
            clients.watch(started_reactor, parse_address(at), b"me", TLSOptions(), shown.append, show_change)
        )
        assert await seen == ("joined", BOB)
        # Not from within the call that showed it.
        await deferLater(started_reactor, 0)
        watching.cancel()
        with pytest.raises(CancelledError):
            await watching
    assert shown == [{"ann": ANN}]
    assert names[:4] == [b"me\n"] * 4


@pytest.mark.live
def test_a_long_list_is_complete() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(json.dumps(MANY).encode())

    with serving(answer) as at:
        status, output, errors = netsvc("clients", at, "--json")
        assert (status, errors) == (0, "")
        assert json.loads(output) == MANY
        status, output, errors = netsvc("clients", at)
        assert (status, errors) == (0, "")
        assert len(output.splitlines()) == 1 + len(MANY)


@pytest.mark.live
def test_a_name_from_the_list_does_nothing_to_a_terminal() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(json.dumps({"\x1b[2J": {"address": "\n[red]x"}}).encode())

    with serving(answer) as at:
        with in_terminal("clients", at) as terminal:
            _, shown = terminal.end()
            assert b"\x1b[2J" not in terminal.raw()
        assert r"\x1b[2J" in shown
        assert r"\n[red]x" in shown
        assert len(netsvc("clients", at)[1].splitlines()) == 2


@pytest.mark.live
def test_the_servers_refusal_is_told(daemon: Daemon) -> None:
    status, output, errors = netsvc("clients", address(daemon), "-n", "a\x1b")
    assert (status, output) == (1, b"")
    assert errors == f"netsvc: tcp://{address(daemon)}: the name has a control character in it\n"


@pytest.mark.live
@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ([], "closed without sending a client list"),
        ([b"hi\n"], "no client list: b'hi'"),
        ([b'{"a'], "no client list"),
        ([b'{"a', RESET], "the connection broke"),
    ],
)
def test_a_server_that_fails_is_one_line(answer: list[bytes], text: str) -> None:
    with serving(answering(answer)) as at:
        status, output, errors = netsvc("clients", at)
    assert (status, output) == (1, b"")
    assert errors.startswith(f"netsvc: tcp://{at}: ")
    assert text in errors
    assert errors.count("\n") == 1


@pytest.mark.live
def test_no_server_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{sock.getsockname()[1]}"
        assert netsvc("clients", at) == (1, b"", f"netsvc: tcp://{at}: connection refused\n")
        assert netsvc("clients", at, "--watch") == (1, b"", f"netsvc: tcp://{at}: connection refused\n")
    status, _, errors = netsvc("clients", f"unix://{tmp_path}/none")
    assert (status, errors.count("\n")) == (1, 1)


@pytest.mark.parametrize("arguments", [["udp://127.0.0.1:1"], ["-n", ""], ["-n", "a\nb"], ["nonsense"]])
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    assert usage("clients", *arguments) == 2


@pytest.mark.live
def test_a_change_that_cannot_be_written_is_a_failure() -> None:
    listed = json.dumps({"ann": ANN}).encode() + b"\n"

    def answer(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(listed + json.dumps({"joined": BOB}).encode() + b"\n")
        # Until the command hangs up.
        connection.recv(1000)

    with serving(answer) as at, tempfile.TemporaryFile() as output:
        done = subprocess.run(
            # For the list there is room.
            ["prlimit", f"--fsize={len(listed)}", NETSVC, "clients", at, "-n", "me", "--watch", "--json"],
            stdout=output,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
        )
        assert (done.returncode, done.stderr) == (1, b"netsvc: standard output: file too large\n")
        output.seek(0)
        assert output.read() == listed


@pytest.mark.live
def test_closed_output_ends_it_without_a_word(daemon: Daemon) -> None:
    path = daemon.path("clients")
    with started("clients", f"unix://{path}", "-n", "closed", "--watch") as running:
        while "closed" not in running.line():
            continue
        assert running.process.stdout is not None
        running.process.stdout.close()
        running.process.stdout = None
        with unix_stream(path) as other:
            other.sendall(b"other")
            running.process.wait(PATIENCE)
        status, _, errors = running.end()
    assert (status, errors) == (1, "")
