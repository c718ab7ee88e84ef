"""What becomes of the journal, and of everything else, when something is wrong with its disk or its file."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from tests.live.acknowledged import ACKNOWLEDGEMENT, Load, open_journal
from tests.live.crashes import RECEIVERS
from tests.live.daemon import TWISTD, Daemon, eventually, refused, running
from tests.live.small_disk import small_disk

pytestmark = pytest.mark.live

#: Whether a file system can be mounted for a test alone.
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare(1) to mount"
)


def may_trace() -> bool:
    """Whether system calls of a process can be made to fail."""
    strace = shutil.which("strace")
    return strace is not None and subprocess.run([strace, "-o/dev/null", "true"], check=False).returncode == 0


#: Lengths of messages of which many fit on a small disk.
SHORT = (40, 400)


def health(daemon: Daemon) -> tuple[int, list[str]]:
    """What ``/healthz`` says: status and reasons."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port("web"), timeout=30)
    with closing(connection):
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())["reasons"]


def said(daemon: Daemon, text: str) -> int:
    """How many lines of the log have a text."""
    return sum(text in line for line in daemon.lines)


def wait_until_said(daemon: Daemon, text: str, times: int) -> None:
    """Wait until the log has a text so many times, and no more often."""
    eventually(lambda: said(daemon, text) >= times)
    assert said(daemon, text) == times, daemon.log()


def wait_for_acknowledgements(load: Load) -> None:
    """Wait until some more messages are acknowledged."""
    before = load.acknowledged
    eventually(lambda: load.acknowledged > before + 20)


def acknowledged(daemon: Daemon, content: bytes) -> bool:
    """Whether a datagram is acknowledged, after a while at most."""
    with daemon.datagrams("receiver") as sock:
        sock.settimeout(0.3)
        sock.send(content)
        try:
            return sock.recv(100) == ACKNOWLEDGEMENT
        except TimeoutError:
            return False


def contents(journal: Path) -> list[bytes]:
    with open_journal(journal) as connection:
        rows = connection.execute("SELECT data FROM fact WHERE kind = 'received' ORDER BY seq")
        return [data for (data,) in rows]


# -- the disk ---------------------------------------------------------------------------------------------


@needs_root
def test_a_disk_that_fills_and_is_freed_under_load(tmp_path: Path) -> None:
    load = Load(Random(1), lengths=SHORT)
    with small_disk(tmp_path / "disk", 4 << 20) as disk:
        options = [
            f"--journal={disk.directory}/journal.db",
            "--set=journal.size=3000000",
            "--echo=0",
            "--web=127.0.0.1:0",
            "--set=receiver.log_rate=0",
        ]
        with running(tmp_path, *options, *RECEIVERS, preexec_fn=disk.enter) as daemon:
            for times in (1, 2):
                with load.on(daemon.port("receiver", "udp"), daemon.port("receiver"), 2):
                    wait_for_acknowledgements(load)
                    disk.fill()
                    wait_until_said(daemon, "nothing is recorded any more", times)
                    status, reasons = health(daemon)
                    assert (status, len(reasons)) == (503, 1)
                    assert "nothing is recorded" in reasons[0]
                    with daemon.connect("echo") as sock:
                        sock.sendall(b"still here")
                        assert sock.recv(100) == b"still here"
                    disk.free()
                    wait_until_said(daemon, "recording again", times)
                    wait_for_acknowledgements(load)
                assert health(daemon) == (200, [])
        copied = disk.copy(tmp_path / "copied")
    load.assert_recorded(copied / "journal.db", oldest_may_be_gone=True)


@needs_root
def test_a_journal_that_may_take_less_than_there_is_never_fills_the_disk(tmp_path: Path) -> None:
    load = Load(Random(2))
    with small_disk(tmp_path / "disk", 4 << 20) as disk:
        options = [f"--journal={disk.directory}/journal.db", "--set=journal.size=2000000"]
        options.append("--set=receiver.log_rate=0")
        with running(tmp_path, *options, *RECEIVERS, preexec_fn=disk.enter) as daemon:
            with load.on(daemon.port("receiver", "udp"), daemon.port("receiver")):
                # Several times what there is room for.
                eventually(lambda: load.acknowledged > 1500)
            assert said(daemon, "recorded") == 0
        copied = disk.copy(tmp_path / "copied")
    assert (copied / "journal.db").stat().st_size < 2_000_000
    assert load.assert_recorded(copied / "journal.db", oldest_may_be_gone=True) < load.acknowledged


@needs_root
def test_a_disk_that_is_full_at_start_is_told_of_and_waited_for(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        options = [f"--journal={disk.directory}/journal.db", "--web=127.0.0.1:0", *RECEIVERS]
        with running(tmp_path, *options, preexec_fn=disk.enter) as daemon:
            assert acknowledged(daemon, b"before")
        disk.fill()
        with running(tmp_path, *options, preexec_fn=disk.enter) as daemon:
            assert not acknowledged(daemon, b"while there is no room")
            daemon.wait_for_line("nothing is recorded any more: .*full")
            assert health(daemon)[0] == 503
            disk.free()
            # Nothing has to come in for it.
            daemon.wait_for_line("recording again")
            assert health(daemon) == (200, [])
            assert acknowledged(daemon, b"after")
        copied = disk.copy(tmp_path / "copied")
    # What was not promised was not lost either.
    assert contents(copied / "journal.db") == [b"before", b"while there is no room", b"after"]


# -- the file ---------------------------------------------------------------------------------------------


def test_a_second_daemon_on_the_same_file_is_refused(tmp_path: Path) -> None:
    journal, link = tmp_path / "journal.db", tmp_path / "link.db"
    with running(tmp_path, f"--journal={journal}", *RECEIVERS) as daemon:
        link.symlink_to(journal)
        for name in (journal, link):
            status, _, err = refused(tmp_path, f"--journal={name}", "--echo=0")
            assert (status, err) == (
                1,
                f"netsvc: --journal {journal}: another netsvc writes to it; expected a journal of its own\n",
            )
        assert acknowledged(daemon, b"the first one goes on")


def test_a_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    journal = tmp_path / "journal.db"
    with running(tmp_path, f"--journal={journal}", *RECEIVERS):
        pass
    with closing(sqlite3.connect(journal)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = journal.read_bytes()
    status, _, err = refused(tmp_path, f"--journal={journal}", "--echo=0")
    assert status == 1
    assert err.startswith(f"netsvc: --journal {journal}: its schema is version 99")
    assert err.count("\n") == 1
    assert journal.read_bytes() == before


@pytest.mark.parametrize("where", ["/nowhere/at/all", "directory"])
def test_a_file_that_cannot_be_is_refused(tmp_path: Path, where: str) -> None:
    (tmp_path / "directory").mkdir()
    status, _, err = refused(tmp_path, f"--journal={where}", "--echo=0")
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("netsvc: --journal ")


def test_what_is_no_database_is_moved_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    journal = tmp_path / "journal.db"
    journal.write_bytes(b"notes of mine, not of netsvc's\n" * 1000)
    with running(tmp_path, f"--journal={journal}", *RECEIVERS) as daemon:
        line = daemon.wait_for_line("is no journal, or a damaged one")
        assert acknowledged(daemon, b"in the new one")
    (aside,) = tmp_path.glob("journal.db.damaged-????-??-??T*")
    assert str(aside) in line
    assert aside.read_bytes() == b"notes of mine, not of netsvc's\n" * 1000
    assert contents(journal) == [b"in the new one"]


@pytest.mark.parametrize("pages", [range(2, 10), range(12, 13)], ids=["at its beginning", "deep inside"])
def test_a_damaged_one_is_moved_aside_and_a_new_one_begun(tmp_path: Path, pages: range) -> None:
    journal = tmp_path / "journal.db"
    with running(tmp_path, f"--journal={journal}", *RECEIVERS) as daemon:
        for number in range(100):
            assert acknowledged(daemon, b"%d" % number * 500)
    damaged = bytearray(journal.read_bytes())
    # The first page, by which it is known, is as it was.
    damaged[pages.start * 4096 : pages.stop * 4096] = Random(3).randbytes(4096 * len(pages))
    journal.write_bytes(damaged)
    with running(tmp_path, f"--journal={journal}", *RECEIVERS) as daemon:
        daemon.wait_for_line(r"damaged .*\): it was moved to .*, and a new journal begun")
        eventually(lambda: acknowledged(daemon, b"in the new one"))
    (aside,) = tmp_path.glob("journal.db.damaged-*")
    assert aside.read_bytes() == damaged
    assert contents(journal)[-1] == b"in the new one"


@pytest.mark.skipif(not may_trace(), reason="needs strace(1), and that it may trace")
def test_a_read_that_fails_once_is_no_damage(tmp_path: Path) -> None:
    journal = tmp_path / "journal.db"
    with running(tmp_path, f"--journal={journal}", *RECEIVERS) as daemon:
        for number in range(100):
            assert acknowledged(daemon, b"%d" % number * 500)
    # Once in each thread: in the one that looks through it, in the middle of that.
    fault = ("--trace=pread64", f"--trace-path={journal}", "--inject=pread64:error=EIO:when=8")
    program = ("strace", "-D", "-f", "-o/dev/null", *fault, TWISTD, "-n", "--pidfile=", "netsvc")
    with running(tmp_path, f"--journal={journal}", *RECEIVERS, program=program) as daemon:
        daemon.wait_for_line("nothing is recorded any more")
        daemon.wait_for_line("recording again")
        assert acknowledged(daemon, b"after")
    assert list(tmp_path.glob("journal.db.damaged-*")) == []
    assert contents(journal) == [*(b"%d" % number * 500 for number in range(100)), b"after"]


def ask_for_all(daemon: Daemon) -> None:
    """Have the daemon read its journal, which it goes on to have open."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port("web"), timeout=30)
    with closing(connection):
        connection.request("GET", "/api/facts?service=receiver")
        assert connection.getresponse().status == 200


@pytest.mark.parametrize("asked", [False, True], ids=["", "read before"])
@pytest.mark.parametrize("gone", ["moved", "deleted", "log deleted"])
def test_one_that_loses_its_name_under_the_daemon_begins_anew(tmp_path: Path, gone: str, asked: bool) -> None:
    journal = tmp_path / "journal.db"
    with running(tmp_path, f"--journal={journal}", "--web=127.0.0.1:0", *RECEIVERS) as daemon:
        assert acknowledged(daemon, b"before")
        if asked:
            ask_for_all(daemon)
        if gone == "moved":
            journal.rename(tmp_path / "old.db")
        else:
            Path(f"{journal}-wal" if gone == "log deleted" else journal).unlink()
        with daemon.datagrams("receiver") as sock:
            sock.send(b"after")
            assert sock.recv(100) == ACKNOWLEDGEMENT
        daemon.signal(signal.SIGKILL)
        daemon.wait()
    assert contents(journal)[-1] == b"after"
    if gone == "log deleted":
        assert contents(journal) == [b"before", b"after"]
    if gone == "moved":
        assert contents(tmp_path / "old.db") == [b"before"]


@pytest.mark.parametrize("asked", [False, True], ids=["", "read before"])
def test_a_backup_that_takes_its_name_under_the_daemon_is_gone_on_with(tmp_path: Path, asked: bool) -> None:
    journal, backup = tmp_path / "journal.db", tmp_path / "backup.db"
    with running(tmp_path, f"--journal={journal}", "--web=127.0.0.1:0", *RECEIVERS) as daemon:
        assert acknowledged(daemon, b"in the backup")
        with open_journal(journal) as connection, closing(sqlite3.connect(backup)) as copy:
            connection.backup(copy)
        assert acknowledged(daemon, b"in the log")
        if asked:
            ask_for_all(daemon)
        log = Path(f"{journal}-wal").read_bytes()
        backup.rename(journal)
        with daemon.datagrams("receiver") as sock:
            sock.send(b"after")
            assert sock.recv(100) == ACKNOWLEDGEMENT
        wait_until_said(daemon, "was replaced by another file: the log before it was moved to", 1)
        daemon.signal(signal.SIGKILL)
        daemon.wait()
    assert contents(journal) == [b"in the backup", b"after"]
    (aside,) = tmp_path.glob("journal.db.replaced-*-wal")
    assert aside.read_bytes() == log


# -- the order of things ----------------------------------------------------------------------------------


def test_numbers_rise_although_the_clock_was_set_back(tmp_path: Path) -> None:
    journal = tmp_path / "journal.db"
    with running(tmp_path, f"--journal={journal}", *RECEIVERS) as daemon:
        assert acknowledged(daemon, b"first")
    with closing(sqlite3.connect(journal)) as connection, connection:
        # As if the clock had been a century fast.
        connection.execute("UPDATE fact SET seq = seq + 3155760000000000 WHERE data = ?", (b"first",))
    with running(tmp_path, f"--journal={journal}", *RECEIVERS) as daemon:
        assert acknowledged(daemon, b"second")
    assert contents(journal) == [b"first", b"second"]


def test_what_happened_last_is_recorded_before_the_end(tmp_path: Path) -> None:
    journal = tmp_path / "journal.db"
    options = [f"--journal={journal}", "--echo=127.0.0.1:0"]
    with running(tmp_path, *options) as daemon, daemon.connect("echo") as sock:
        sock.sendall(b"hello")
        assert sock.recv(100) == b"hello"
        daemon.signal(signal.SIGTERM)
        daemon.wait()
    with open_journal(journal) as connection:
        rows = connection.execute("SELECT kind, reason FROM fact ORDER BY seq").fetchall()
    assert rows == [("opened", None), ("received", None), ("sent", None), ("closed", "shutdown")]
    assert not Path(f"{journal}-wal").exists()


def test_the_file_is_for_its_user_alone(tmp_path: Path) -> None:
    journal = tmp_path / "journal.db"
    with running(tmp_path, f"--journal={journal}", *RECEIVERS) as daemon:
        assert acknowledged(daemon, b"secret")
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("journal.db*")}
    assert modes == {f"journal.db{ending}": 0o600 for ending in ("", "-wal", "-shm", ".lock")}
