"""A journal read by the command: shown, and exported."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from netsvc.commands.complaints import NotDone
from netsvc.commands.journal.facts import Asked, asked_options, parts
from netsvc.commands.journal.file import looking, told
from netsvc.commands.journal.output import writing
from netsvc.facts import CLOSED, OPENED, RECEIVED, SENT, Row
from netsvc.journal.disk.database import Database
from netsvc.journal.disk.schema import SCHEMA, JournalError, Schema
from netsvc.journal.query import Filter
from tests.commands.journalrig import BEGAN, TCP, UDP6, fact, journal
from tests.commands.programs import NETSVC, in_terminal, interrupt, netsvc, started, usage
from tests.live.daemon import PATIENCE, eventually

ROWS = [
    fact(1, b"hello"),
    fact(2, b"hello", SENT),
    fact(3, None, OPENED, TCP),
    fact(4, b"\x1b]0;forged\x07 temper", RECEIVED, TCP),
    fact(5, b"ature 21", RECEIVED, TCP),
    fact(6, None, CLOSED, TCP, reason="fin"),
    fact(7, b"six", origin=UDP6),
    fact(8, b"cut", length=5000),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal with a few facts."""
    return journal(tmp_path_factory.mktemp("journal") / "netsvc.db", ROWS)


def shown(file: Path, *arguments: str) -> list[dict[str, Any]]:
    """The facts that are shown."""
    status, output, errors = netsvc("journal", "show", str(file), "--json", *arguments)
    assert (status, errors) == (0, "")
    return [json.loads(line) for line in output.splitlines()]


def seqs(file: Path, *arguments: str) -> list[int]:
    """The numbers of those."""
    return [one["seq"] for one in shown(file, *arguments)]


def read(file: Path, asked: Asked) -> Iterator[Row]:
    """The same without a process."""
    with looking(file) as connection:
        for rows in parts(connection, asked):
            yield from rows


# -- show ---------------------------------------------------------------------------------------------------


def test_each_fact_is_a_line_as_tail_prints_it(file: Path) -> None:
    status, output, errors = netsvc("journal", "show", str(file), environment={"TZ": "UTC"})
    assert (status, errors) == (0, "")
    assert output.decode().splitlines() == [
        r"2026-11-20 12:27:47.000000  received  echo  udp 192.0.2.7:4000  b'hello'",
        r"2026-11-20 12:27:48.000000  sent      echo  udp 192.0.2.7:4000  b'hello'",
        r"2026-11-20 12:27:49.000000  opened    echo  tcp 192.0.2.7:4001  #7",
        r"2026-11-20 12:27:50.000000  received  echo  tcp 192.0.2.7:4001  #7 b'\x1b]0;forged\x07 temper'",
        r"2026-11-20 12:27:51.000000  received  echo  tcp 192.0.2.7:4001  #7 b'ature 21'",
        r"2026-11-20 12:27:52.000000  closed    echo  tcp 192.0.2.7:4001  #7 fin",
        r"2026-11-20 12:27:53.000000  received  echo  udp [2001:db8::7]:4000  b'six'",
        r"2026-11-20 12:27:54.000000  received  echo  udp 192.0.2.7:4000  b'cut' and 4,997 bytes more",
    ]


def test_lines_of_json_are_what_the_api_has(file: Path) -> None:
    assert shown(file, "--limit", "1") == [
        {
            "seq": 1,
            "time": str(BEGAN + 10**9),
            "kind": "received",
            "service": "echo",
            "listener": "udp://127.0.0.1:50000",
            "transport": "udp",
            "address": "192.0.2.7",
            "port": 4000,
            "local": "127.0.0.1:50000",
            "connection": None,
            "name": None,
            "length": 5,
            "data": "aGVsbG8=",
            "reason": None,
        }
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--contains", "temperature"], [5]),
        (["--hex", "--contains", "1b 5d"], [4]),
        (["--from", "2001:db8::7"], [7]),
        (["--from", "192.0.2.7:4001", "--kind", "received"], [4, 5]),
        (["--listener", "tcp://127.0.0.1:50000"], [3, 4, 5, 6]),
        (["--connection", "7", "--kind", "closed"], [6]),
        (["--service", "discard"], []),
        (["--since", str(BEGAN + 6 * 10**9), "--until", str(BEGAN + 8 * 10**9)], [6, 7]),
        (["--since", "2026-11-20T12:27:53Z"], [7, 8]),
        (["--after", "6"], [7, 8]),
        (["--limit", "2", "--kind", "received"], [1, 4]),
        (["--last", "2", "--kind", "received"], [7, 8]),
        (["--last", "1", "--contains", "temperature"], [5]),
        (["--last", "3", "--after", "6"], [7, 8]),
    ],
)
def test_options_say_which_facts(file: Path, arguments: list[str], expected: list[int]) -> None:
    found: list[int] = []

    @click.command()
    @asked_options
    def command(asked: Asked, **_: object) -> None:
        found.extend(row[0] for row in read(file, asked))

    done = CliRunner().invoke(command, arguments)
    assert (done.output, found) == ("", expected)


@pytest.mark.parametrize(
    "arguments",
    [
        ["show"],
        ["show", "f", "--from", "ann"],
        ["show", "f", "--limit", "1", "--last", "1"],
        ["show", "f", "--last", "0"],
        ["show", "f", "--after", "last"],
        ["show", "f", "--since", "yesterday"],
        ["show", "f", "--contains", "x" * 2000],
        ["export", "f", "--tcp"],
        ["export", "f", "--format", "pcapng", "--json"],
        ["export", "f", "--format", "pcap"],
        ["lose", "f"],
    ],
)
def test_what_means_nothing_is_wrong_usage(arguments: list[str]) -> None:
    assert usage("journal", *arguments) == 2


def test_more_facts_than_one_part_has_are_all_there_in_their_order(tmp_path: Path) -> None:
    file = journal(tmp_path / "netsvc.db", (fact(seq, b"%d" % seq) for seq in range(1, 3501)))
    everything = list(range(1, 3501))
    for asked, expected in (
        (Asked(Filter(), 0, None, None), everything),
        (Asked(Filter(), 0, 2345, None), everything[:2345]),
        (Asked(Filter(), 0, None, 2345), everything[-2345:]),
        (Asked(Filter(), 1000, None, 5000), everything[1000:]),
    ):
        assert [row[0] for row in read(file, asked)] == expected


def test_what_is_written_meanwhile_does_not_keep_it_from_ending(tmp_path: Path) -> None:
    growing = journal(tmp_path / "netsvc.db", map(fact, range(1, 1002)))
    # As long as somebody has it open, what is new is in the log.
    with closing(Database(growing, print).open()):
        rows = read(growing, Asked(Filter(), 0, None, None))
        assert next(rows)[0] == 1
        journal(growing, map(fact, range(1002, 2000)))
        assert [row[0] for row in rows] == list(range(2, 1002))
        assert [row[0] for row in read(growing, Asked(Filter(), 1990, None, None))] == list(range(1991, 2000))


# -- export -------------------------------------------------------------------------------------------------


def test_lines_of_json_are_the_same_in_a_file(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "facts.ndjson"
    out.write_text("what was there before")
    assert netsvc("journal", "export", str(file), "-o", str(out), "--kind", "sent") == (0, b"", "")
    assert [json.loads(line) for line in out.read_text().splitlines()] == shown(file, "--kind", "sent")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["facts.ndjson"]


@pytest.mark.program("tshark")
def test_tshark_reads_packets_from_a_pipe(file: Path) -> None:
    exporting = subprocess.Popen(
        [NETSVC, "journal", "export", str(file), "--format", "pcapng", "--tcp"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    reading = subprocess.run(
        ["tshark", "-r", "-", "-d", "udp.port==50000,data", "-d", "tcp.port==50000,data", "-Tfields"]
        + [argument for field in ("frame.time_epoch", "ip.src", "data.data") for argument in ("-e", field)],
        stdin=exporting.stdout,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert exporting.communicate(timeout=PATIENCE) == (b"", b"")
    lines = [line.split("\t") for line in reading.stdout.splitlines()]
    assert lines[:2] == [
        ["1795177667.000000000", "192.0.2.7", b"hello".hex()],
        ["1795177668.000000000", "127.0.0.1", b"hello".hex()],
    ]
    # The handshake, two chunks and the end of the connection, and two datagrams.
    assert [bytes.fromhex(data) for _, _, data in lines[2:]] == [
        *[b""] * 3,
        ROWS[3][5],
        ROWS[4][5],
        *[b""] * 3,
        b"six",
        b"cut",
    ]


def test_what_is_no_packet_is_said(file: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out.pcapng")
    assert netsvc("journal", "export", str(file), "--format", "pcapng", "-o", out) == (
        0,
        b"",
        "netsvc: 4 packets; left out of all messages: 2 of connections (--tcp writes these too)\n",
    )
    assert netsvc("journal", "export", str(file), "--format", "pcapng", "-o", out, "--service", "x") == (
        0,
        b"",
        "netsvc: 0 packets\n",
    )


def test_a_file_that_cannot_be_written_is_one_line_and_nothing_is_left(file: Path, tmp_path: Path) -> None:
    for out, why in (
        (tmp_path / "none" / "out", "no such file or directory"),
        (Path("/dev/full"), "no space left on device"),
    ):
        status, output, errors = netsvc("journal", "export", str(file), "-o", str(out))
        assert (status, output, errors) == (1, b"", f"netsvc: {out}: cannot write to it: {why}\n")
    assert os.listdir(tmp_path) == []


def test_a_file_is_there_when_it_is_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def interrupted() -> None:
        with writing(str(out)) as write:
            write(b"a part")
            raise KeyboardInterrupt

    for before in (None, b"what was there before"):
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert [path.read_bytes() for path in tmp_path.iterdir()] == ([] if before is None else [before])
        with writing(str(out)) as write:
            write(b"what was ")
            write(b"there before")
        assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"what was there before"]


def test_a_file_that_is_a_link_is_written_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with writing(str(tmp_path / "link")) as write:
        write(b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "out").read_bytes() == b"x"


@pytest.mark.parametrize("ending", ["", "-wal", ".lock"])
def test_a_journal_is_not_written_over_itself(tmp_path: Path, ending: str) -> None:
    file = journal(tmp_path / "netsvc.db", ROWS)
    (tmp_path / "link").symlink_to(f"{file}{ending}")
    assert usage("journal", "export", str(file), "-o", str(tmp_path / "link")) == 2
    assert len(seqs(file)) == len(ROWS)


def test_packets_are_not_for_a_terminal(file: Path) -> None:
    with in_terminal("journal", "export", str(file), "--format", "pcapng") as terminal:
        status, said = terminal.end()
    assert status == 2
    assert "packets are for a file or a pipe; give -o OUT" in said


@pytest.mark.parametrize("arguments", [["show"], ["export"], ["export", "--format=pcapng"]])
def test_nobody_reading_is_no_failure_with_a_text(tmp_path: Path, arguments: list[str]) -> None:
    file = journal(tmp_path / "netsvc.db", (fact(seq, bytes(500)) for seq in range(1, 3000)))
    with started("journal", *arguments, str(file)) as command:
        stdout = command.process.stdout
        assert stdout is not None
        stdout.read(1)
        stdout.close()
        command.process.stdout = None
        status, _, errors = command.end()
    assert (status, errors) == (1, "")


@pytest.mark.parametrize("arguments", [["show"], ["export"], ["export", "--format=pcapng"], ["check"]])
def test_a_full_disk_is_one_line(file: Path, arguments: list[str]) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >/dev/full', "sh", NETSVC, "journal", *arguments, str(file)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "netsvc: standard output: no space left on device\n")


def has_open(process: subprocess.Popen[bytes], file: Path) -> bool:
    """Whether a process has a file open."""
    with suppress(FileNotFoundError):
        return any(os.path.samefile(one, file) for one in Path(f"/proc/{process.pid}/fd").iterdir())
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_while_the_pipe_that_it_writes_to_is_full(
    tmp_path: Path, number: signal.Signals
) -> None:
    file = journal(tmp_path / "netsvc.db", (fact(seq, bytes(500)) for seq in range(1, 3000)))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = started("journal", "export", str(file), "-o", str(pipe))
    with command as exporting, pipe.open("rb", buffering=0) as reading:
        assert reading.read(1) == b"{"
        exporting.process.send_signal(number)
        status, _, errors = exporting.end()
    assert (status, errors) == (128 + number, "")


def test_ctrl_c_ends_it_while_nobody_opens_the_pipe_that_it_is_to_write_to(
    file: Path, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with in_terminal("journal", "export", str(file), "-o", str(pipe)) as terminal:
        eventually(lambda: has_open(terminal.process, file))
        interrupt(terminal.process)
        assert terminal.end() == (130, "")


def test_of_a_damaged_journal_what_can_be_read_is_shown(tmp_path: Path) -> None:
    file = journal(tmp_path / "netsvc.db", (fact(seq, bytes(2000)) for seq in range(1, 3000)))
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        opened.write(bytes(400_000))
    status, output, errors = netsvc("journal", "show", str(file))
    assert status == 1
    assert output.count(b"\n") > 500
    assert errors == f"netsvc: {file}: database disk image is malformed\n"
    out = tmp_path / "out"
    assert netsvc("journal", "export", str(file), "-o", str(out)) == (1, b"", errors)
    assert not out.exists()


# -- files that are none ------------------------------------------------------------------------------------


def test_what_is_no_journal_is_one_line(file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("Once upon a time there was a text of some length, as texts are." * 100)
    with closing(sqlite3.connect(tmp_path / "other")) as other:
        other.execute("CREATE TABLE fact (seq)")
    newer = tmp_path / "newer"
    Database(newer, print, schema=Schema(SCHEMA.version + 7, SCHEMA.tables)).open().close()
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA.version + 7}")
    for name, why in (
        ("missing", "no such file"),
        ("x" * 300, "file name too long"),
        (".", "expected a file"),
        ("empty", "no journal: there are no facts in it"),
        ("text", "no journal, or a damaged one (file is not a database)"),
        ("other", "it is another program's database; expected a file of its own"),
        (
            "newer",
            f"its schema is version {SCHEMA.version + 7}, a newer netsvc's; this one reads versions up to ",
        ),
    ):
        path = tmp_path / name
        with pytest.raises(NotDone, match=re.escape(f"{path}: {why}")), told(path), looking(path):
            pass
    for action in (["show"], ["export"], ["check"], ["prune", "--count=1"]):
        said = f"netsvc: {tmp_path / 'missing'}: no such file\n"
        assert netsvc("journal", *action, str(tmp_path / "missing")) == (1, b"", said)
    assert sorted(os.listdir(tmp_path)) == ["empty", "newer", "other", "text"]


def test_what_an_older_netsvc_has_written_is_said(tmp_path: Path) -> None:
    file = journal(tmp_path / "netsvc.db", [fact(1)])
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 1")
    with pytest.raises(
        JournalError, match="its schema is version 1, an older netsvc's; a daemon that is started"
    ):
        list(read(file, Asked(Filter(), 0, None, None)))
    status, _, errors = netsvc("journal", "show", str(file))
    assert (status, errors[: errors.index(" schema")]) == (1, f"netsvc: {file}: its")


def test_one_that_is_written_to_meanwhile_is_not_read_on(tmp_path: Path) -> None:
    many = [fact(number, b"x" * 100) for number in range(1, 3001)]
    file = journal(tmp_path / "netsvc.db", many)
    rows = read(file, Asked(Filter(), 0, None, None))
    next(rows)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM fact WHERE seq > 500")
    with pytest.raises(JournalError, match="a daemon has begun to write to it; ask again"):
        list(rows)
    assert len(seqs(file)) == 500


def test_nor_is_it_called_damaged(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "netsvc.db"
    copy.write_bytes(file.read_bytes())

    def look() -> None:
        with told(copy), looking(copy):
            os.truncate(copy, 4096)
            raise sqlite3.DatabaseError("database disk image is malformed")

    with pytest.raises(NotDone, match="a daemon has begun to write to it"):
        look()


def test_looking_leaves_no_trace(file: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in file.parent.iterdir()}
    netsvc("journal", "show", str(file))
    netsvc("journal", "check", str(file))
    assert {path: path.stat().st_mtime_ns for path in file.parent.iterdir()} == before


def test_a_name_that_means_something_in_urls_is_a_name(tmp_path: Path) -> None:
    file = journal(tmp_path / "a b?mode=rw#50%é.db", [fact(1)])
    assert seqs(file) == [1]
    assert netsvc("journal", "prune", str(file), "--count", "1")[0] == 0
