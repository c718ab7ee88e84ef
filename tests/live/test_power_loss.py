"""
Power loss: whatever a sync has not finished is gone, and what was acknowledged by then is there.

The daemon's system calls are recorded while it is loaded; then its files are made again as they stood after
each sync, without what had been written since, and once more with some of that; and each is opened.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.live.acknowledged import ACKNOWLEDGEMENT, message, recorded
from tests.live.daemon import PATIENCE, TWISTD, eventually
from tests.live.power import STRACE, Disk, calls

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace(1), Debian's package strace"),
]

#: Messages, enough for the log to be copied into the database a few times where the journal is to be small.
MESSAGES = 120
OPTIONS = ("--udp=udp://127.0.0.1:0?ack=recorded", "--set=journal.size=2000000", "--set=receiver.log_rate=0")


@contextmanager
def traced(directory: Path, journal: Path, record: Path) -> Iterator[int]:
    """A daemon whose system calls are recorded; gives its UDP port, and kills it in the end."""
    ready = directory / "ready.json"
    command = [*STRACE, f"-o{record}", TWISTD, "-n", "--pidfile=", "netsvc", f"--journal={journal}"]
    with subprocess.Popen(
        [*command, *OPTIONS, f"--ready={ready}"],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            eventually(lambda: ready.exists() or process.poll() is not None)
            if process.poll() is not None:
                pytest.skip("strace(1) may not trace here")
            yield int(json.loads(ready.read_text())[0]["port"])
        finally:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            for child in children:
                os.kill(int(child), signal.SIGKILL)


def test_what_was_acknowledged_before_the_power_went_is_there(tmp_path: Path) -> None:
    directory, record = tmp_path / "journal", tmp_path / "calls"
    directory.mkdir()
    with (
        traced(tmp_path, directory / "journal.db", record) as port,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        sock.settimeout(PATIENCE)
        sock.connect(("127.0.0.1", port))
        for number in range(MESSAGES):
            sock.send(message("one", number, 5000 if number % 10 == 0 else 100))
            assert sock.recv(100) == ACKNOWLEDGEMENT
    random = Random(1)
    disk = Disk(directory)
    acknowledged = syncs = 0
    text = "".join(f"\\x{byte:02x}" for byte in ACKNOWLEDGEMENT)
    with record.open(errors="replace") as lines:
        for name, arguments, result in calls(lines):
            if name.startswith("send"):
                acknowledged += arguments.count(text)
                assert_there(disk, tmp_path / "left", acknowledged, None)
                assert_there(disk, tmp_path / "left", acknowledged, random)
            elif disk.replay(name, arguments, result):
                syncs += 1
                assert_there(disk, tmp_path / "left", acknowledged, None)
    assert acknowledged == MESSAGES
    assert syncs > MESSAGES


def assert_there(disk: Disk, directory: Path, acknowledged: int, random: Random | None) -> None:
    """See that what a loss of power leaves is a journal, and has the messages acknowledged until then."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    disk.leave(directory, random)
    if acknowledged:
        there = recorded(directory / "journal.db")["one"]
        assert there[:acknowledged] == list(range(acknowledged))
