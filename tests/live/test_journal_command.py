"""A journal that a real daemon writes, read meanwhile by the command, and by Wireshark's reader."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.commands.programs import netsvc
from tests.live.daemon import PATIENCE, Daemon, eventually, read_exactly, running

pytestmark = pytest.mark.live

#: Bytes of a message that the daemon keeps where nothing was promised.
CAPTURE = 100

#: What a frame is asked for.
FIELDS = (
    "frame.time_epoch",
    "frame.cap_len",
    "frame.len",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "udp.srcport",
    "udp.dstport",
    "udp.checksum.status",
    "ip.checksum.status",
    "udp.payload",
)

#: What tshark says of a checksum.
GOOD = "1"


class Frame(NamedTuple):
    """A packet as tshark reads it."""

    time: int
    captured: int
    length: int
    source: tuple[str, int]
    target: tuple[str, int]
    checksums: set[str]
    payload: bytes


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of the daemon below."""
    return tmp_path_factory.mktemp("journal") / "netsvc.db"


@pytest.fixture(scope="module")
def daemon(file: Path) -> Iterator[Daemon]:
    """A daemon that writes a journal."""
    with running(
        file.parent,
        f"--journal={file}",
        f"--set=timeline.capture={CAPTURE}",
        "--set=journal.commit_delay=0.001",
        "--echo=0",
        "--receiver=udp://:0?ack=recorded",
    ) as started:
        yield started


def show(file: Path, *arguments: str) -> list[dict[str, Any]]:
    """The facts in the journal."""
    status, output, errors = netsvc("journal", "show", str(file), "--json", *arguments)
    assert (status, errors) == (0, "")
    return [json.loads(line) for line in output.splitlines()]


def wait_for(file: Path, count: int, *arguments: str) -> list[dict[str, Any]]:
    """The facts, once there are so many of them."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = show(file, *arguments)
        return len(found) >= count

    eventually(there)
    return found


def tshark(capture: Path, *arguments: str) -> str:
    """What tshark says, which checks all checksums."""
    checks = [f"-o{layer}.check_checksum:TRUE" for layer in ("ip", "udp", "tcp")]
    done = subprocess.run(
        ["tshark", "-r", str(capture), *checks, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    return done.stdout


def frames(capture: Path, port: int) -> list[Frame]:
    """The datagrams in a capture, none of which is taken for any protocol."""
    fields = [argument for field in FIELDS for argument in ("-e", field)]
    lines = tshark(capture, "-d", f"udp.port=={port},data", "-Tfields", *fields).splitlines()
    return [_frame(line.split("\t")) for line in lines]


def _frame(columns: Sequence[str]) -> Frame:
    moment, captured, length, v4_source, v4_target, v6_source, v6_target, *more = columns
    source_port, target_port, udp_checksum, ip_checksum, payload = more
    return Frame(
        # Seconds with nine digits behind the point.
        int(moment.replace(".", "")),
        int(captured),
        int(length),
        (v4_source or v6_source, int(source_port)),
        (v4_target or v6_target, int(target_port)),
        {udp_checksum, *filter(None, [ip_checksum])},
        bytes.fromhex(payload),
    )


def exported(file: Path, out: Path, *arguments: str) -> str:
    """Export packets; what was said."""
    command = ("journal", "export", str(file), "--format", "pcapng", "-o", str(out), *arguments)
    status, output, errors = netsvc(*command)
    assert (status, output) == (0, b"")
    return errors


@pytest.mark.program("tshark")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_tshark_finds_payloads_addresses_ports_and_times(
    daemon: Daemon, file: Path, tmp_path: Path, host: str
) -> None:
    messages = [b"Hello you there!", b"", bytes(range(CAPTURE)), b"\x00\xffodd"]
    began = time.time_ns()
    with daemon.datagrams("echo", host) as sock:
        here, there = sock.getsockname()[:2], sock.getpeername()[:2]
        for message in messages:
            sock.send(message)
            assert sock.recv(65_536) == message
    place = f"[{host}]:{here[1]}" if ":" in host else f"{host}:{here[1]}"
    facts = wait_for(file, 2 * len(messages), "--from", place)
    # What was sent is noted after it has left.
    ended = time.time_ns()
    assert exported(file, tmp_path / "out.pcapng", "--from", place) == ""
    found = frames(tmp_path / "out.pcapng", there[1])
    assert [(one.source, one.target, one.payload) for one in found] == [
        one for message in messages for one in ((here, there, message), (there, here, message))
    ]
    assert [one.time for one in found] == [int(one["time"]) for one in facts]
    for frame in found:
        assert began <= frame.time <= ended
        assert frame.checksums == {GOOD}
        assert frame.captured == frame.length
    assert tshark(tmp_path / "out.pcapng", "-Y", "_ws.malformed || udp.checksum.status == 0", "-d",
                  f"udp.port=={there[1]},data") == ""  # fmt: skip


@pytest.mark.program("tshark")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_datagram_that_was_not_kept_whole_is_a_packet_that_was_not_either(
    daemon: Daemon, file: Path, tmp_path: Path, host: str
) -> None:
    message = bytes(i % 251 for i in range(65_507))
    with daemon.datagrams("echo", host) as sock:
        sock.send(b"so that it is not the first")
        sock.recv(100)
        sock.send(message)
        assert sock.recv(65_536) == message
        here, there = sock.getsockname()[:2], sock.getpeername()[:2]
    place = f"[{host}]:{here[1]}" if ":" in host else f"{host}:{here[1]}"
    wait_for(file, 4, "--from", place)
    exported(file, tmp_path / "out.pcapng", "--from", place)
    headers = 48 if ":" in host else 28
    cut = [one for one in frames(tmp_path / "out.pcapng", there[1]) if one.length > 1000]
    assert [(one.source, one.length, one.captured) for one in cut] == [
        (here, headers + 65_507, headers + CAPTURE),
        (there, headers + 65_507, headers + CAPTURE),
    ]
    assert [one.payload for one in cut] == [message[:CAPTURE]] * 2


@pytest.mark.program("tshark")
def test_what_was_promised_is_there_whole_however_little_is_kept_otherwise(
    daemon: Daemon, file: Path, tmp_path: Path
) -> None:
    message = bytes(i % 251 for i in range(65_507))
    with daemon.datagrams("receiver") as sock:
        sock.send(message)
        assert sock.recv(100) == b"Got your message!"
        port = sock.getpeername()[1]
    exported(file, tmp_path / "out.pcapng", "--service", "receiver", "--kind", "received")
    (found,) = frames(tmp_path / "out.pcapng", port)
    assert (found.payload, found.captured, found.checksums) == (message, found.length, {GOOD})


@pytest.mark.program("tshark")
def test_a_connection_can_be_followed(daemon: Daemon, file: Path, tmp_path: Path) -> None:
    with daemon.connect("echo") as sock:
        address, port = sock.getsockname()
        for piece in (b"one, ", b"two and ", b"three"):
            sock.sendall(piece)
            assert read_exactly(sock, len(piece)) == piece
    place = f"{address}:{port}"
    wait_for(file, 1, "--from", place, "--kind", "closed")
    capture = tmp_path / "out.pcapng"
    assert "6 of connections (--tcp writes these too)" in exported(file, capture, "--from", place)
    assert exported(file, capture, "--from", place, "--tcp") == ""
    service = daemon.port("echo")
    data = ("-d", f"tcp.port=={service},data")
    # What each side has sent stands in lines of hexadecimal digits, netsvc's behind a tab.
    followed = tshark(capture, "-q", "-zfollow,tcp,raw,0").splitlines()
    digits = [line for line in followed if line.strip() and set(line.strip()) <= set("0123456789abcdef")]
    client = b"".join(bytes.fromhex(line) for line in digits if not line.startswith("\t"))
    local = b"".join(bytes.fromhex(line.strip()) for line in digits if line.startswith("\t"))
    assert client == local == b"one, two and three"
    wrong = "_ws.malformed || tcp.analysis.flags || tcp.checksum.status == 0 || ip.checksum.status == 0"
    assert tshark(capture, *data, "-Y", wrong) == ""
    assert tshark(capture, *data, "-Tfields", "-e", "tcp.stream").split() == ["0"] * 12


def test_it_is_read_and_found_whole_while_it_is_written_to(daemon: Daemon, file: Path) -> None:
    with daemon.datagrams("echo") as sock:
        for number in range(300):
            sock.send(b"%d" % number)
            assert sock.recv(100) == b"%d" % number
            if number % 100 == 50:
                status, output, _ = netsvc("journal", "check", str(file), "--json")
                known = json.loads(output)
                assert (status, known["whole"], known["written_to"]) == (0, True, True)
        port = sock.getsockname()[1]
    found = wait_for(file, 300, "--from", f"127.0.0.1:{port}", "--kind", "received")
    assert [one["length"] for one in found] == [len(str(number)) for number in range(300)]


def test_it_is_not_pruned_while_it_is_written_to(daemon: Daemon, file: Path) -> None:
    status, output, errors = netsvc("journal", "prune", str(file), "--count", "1")
    assert (status, output) == (1, b"")
    assert errors.startswith(f"netsvc: {file}: a daemon writes to it")


def test_it_is_pruned_when_the_daemon_has_ended_and_a_daemon_goes_on_with_it(tmp_path: Path) -> None:
    file = tmp_path / "netsvc.db"
    arguments = [f"--journal={file}", "--echo=127.0.0.1:0"]
    with running(tmp_path, *arguments) as daemon, daemon.datagrams("echo") as sock:
        for _ in range(50):
            sock.send(b"x")
            sock.recv(100)
    assert netsvc("journal", "prune", str(file), "--count", "10")[0] == 0
    left = show(file)
    assert len(left) == 10
    with running(tmp_path, *arguments) as daemon, daemon.datagrams("echo") as sock:
        sock.send(b"y")
        sock.recv(100)
    found = show(file)
    assert [one["seq"] for one in found[:10]] == [one["seq"] for one in left]
    assert [one["data"] for one in found[10:]] == ["eQ==", "eQ=="]


# -- as somebody else ---------------------------------------------------------------------------------------

#: A user without a name, and a group.
NOBODY = 54_321

_AS_NOBODY = """
import os, sys
os.setgroups([]); os.setgid({nobody}); os.setuid({nobody})
from netsvc.commands.main import main
main()
"""


def as_nobody(*arguments: str) -> tuple[int, str, str]:
    """Run the command as a user to whom nothing belongs; its modules are loaded before it becomes that."""
    program = "import netsvc.commands.main, netsvc.commands.journal.check, netsvc.commands.journal.show\n"
    program += "import netsvc.commands.journal.prune\nfrom twisted.internet import reactor, task\n"
    program += _AS_NOBODY.format(nobody=NOBODY)
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def readable(daemon: Daemon, file: Path) -> Iterator[Path]:
    """A copy of the journal as a daemon that was killed has left it, which everybody may read."""
    # Those of pytest are its user's alone.
    directory = Path(tempfile.mkdtemp(prefix="netsvc-test-"))
    directory.chmod(0o755)
    try:
        with daemon.datagrams("echo") as sock:
            sock.send(b"x")
            sock.recv(10)
        wait_for(file, 1)
        for ending in ("", "-wal"):
            shutil.copyfile(f"{file}{ending}", directory / f"netsvc.db{ending}")
        for path in directory.iterdir():
            path.chmod(0o644)
        yield directory / "netsvc.db"
    finally:
        shutil.rmtree(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_who_may_only_read_is_told_what_is_needed_and_leaves_nothing(readable: Path) -> None:
    before = sorted(os.listdir(readable.parent))
    status, output, errors = as_nobody("journal", "show", str(readable))
    assert (status, output) == (1, "")
    assert errors == (
        f"netsvc: {readable}: the files netsvc.db-wal and netsvc.db-shm, which belong to it, cannot be read "
        "or made; read it as its owner, or copy it with its -wal to a directory of your own\n"
    )
    assert sorted(os.listdir(readable.parent)) == before
    # As its owner.
    assert show(readable)
    # What belongs to it is there now, and may be read.
    for path in readable.parent.iterdir():
        path.chmod(0o644)
    assert as_nobody("journal", "check", str(readable))[0] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_journal_that_nobody_writes_to_is_read_by_who_may_only_read(readable: Path) -> None:
    assert netsvc("journal", "prune", str(readable), "--count", "1000000")[0] == 0
    before = sorted(os.listdir(readable.parent))
    assert before == ["netsvc.db", "netsvc.db.lock"]
    status, output, errors = as_nobody("journal", "show", str(readable), "--limit", "1")
    assert (status, output.count("\n"), errors) == (0, 1, "")
    assert "writer  not known to this user\n" in as_nobody("journal", "check", str(readable))[1]
    assert as_nobody("journal", "prune", str(readable), "--count", "1")[0] == 1
    assert sorted(os.listdir(readable.parent)) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_who_may_not_read_is_told_so(readable: Path) -> None:
    readable.chmod(0o600)
    said = (1, "", f"netsvc: {readable}: permission denied\n")
    assert as_nobody("journal", "show", str(readable)) == said
    readable.chmod(0o644)
    readable.parent.chmod(0o700)
    assert as_nobody("journal", "show", str(readable)) == said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_root_leaves_a_journal_to_whom_it_belongs(readable: Path) -> None:
    for path in (readable.parent, *readable.parent.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    assert netsvc("journal", "check", str(readable))[0] == 0
    assert netsvc("journal", "prune", str(readable), "--count", "1")[0] == 0
    assert {path.stat().st_uid for path in readable.parent.iterdir()} == {NOBODY}
    assert as_nobody("journal", "prune", str(readable), "--count", "1")[0] == 0
