"""The command as a whole: what it lists, and what holds for every command of it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from netsvc.commands.main import COMMANDS, Commands, main
from tests.commands.programs import NETSVC, in_terminal, netsvc, started
from tests.live.daemon import PATIENCE, Daemon, running

TREE = Path(__file__).parent.parent.parent

#: What sets a colour (SGR, ECMA-48 section 8.3.117): 30 to 38, 40 to 48, 90 to 97, 100 to 107.
_COLOUR = re.compile(rb"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;\d+)*m")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Something to ask."""
    options = ["--timestamp=127.0.0.1:0", "--clients=127.0.0.1:0"]
    with running(tmp_path_factory.mktemp("daemon"), *options) as started:
        yield started


def test_every_command_is_in_the_help_with_its_summary() -> None:
    done = CliRunner().invoke(main, ["--help"])
    assert done.exit_code == 0
    for name, summary in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(summary)}$", done.output, re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "serve"])
def test_every_command_explains_its_options(name: str) -> None:
    done = CliRunner().invoke(main, [name, "--help"])
    assert done.exit_code == 0
    assert done.output.startswith(f"Usage: main {name} ")
    # An option without a help text would end its line.
    assert not re.search(r"^  (-\w, )?--\S+( [A-Z]+)?$\n(?! {10})", done.output, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_and_its_page_show_a_session_of_every_command(name: str) -> None:
    session = re.compile(rf"^    \$ (.* \| )?netsvc {name}\b", re.MULTILINE)
    assert session.search((TREE / "README.md").read_text())
    page = (TREE / "docs" / "commands.md").read_text()
    (section,) = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert session.search(section)


def test_what_is_no_command_is_wrong_usage() -> None:
    done = CliRunner().invoke(main, ["tlak"])
    assert done.exit_code == 2
    assert "No such command 'tlak'" in done.stderr


def test_what_the_user_typed_does_nothing_to_the_terminal_either() -> None:
    done = CliRunner().invoke(main, ["greet", "localhost:1", "\x1b[31m"])
    assert done.exit_code == 2
    assert r"unexpected extra argument (\x1b[31m)" in done.stderr


def test_the_versions_are_told() -> None:
    done = CliRunner().invoke(main, ["--version"])
    assert re.fullmatch(r"netsvc \S+, Twisted \S+, Python \S+\n", done.output)


def test_ctrl_c_before_a_command_runs_ends_it_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Commands, ctx: click.Context, cmd_name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Commands, "get_command", interrupted)
    done = CliRunner().invoke(main, ["greet", "localhost:1"])
    assert (done.exit_code, done.output) == (130, "")


@pytest.mark.live
@pytest.mark.parametrize("no_colour", [False, True])
def test_there_is_no_colour_where_the_user_wants_none(daemon: Daemon, no_colour: bool) -> None:
    environment = {"TERM": "xterm-256color", "COLORTERM": "", "NO_COLOR": "1" if no_colour else ""}
    place = f"127.0.0.1:{daemon.port('timestamp')}"
    with in_terminal("bench", place, "--count=20000", environment=environment) as terminal:
        assert terminal.end()[0] == 0
        assert bool(_COLOUR.search(terminal.raw())) is not no_colour


@pytest.mark.live
def test_nothing_has_a_colour_at_the_prompt_or_in_a_table_either(daemon: Daemon) -> None:
    environment = {"TERM": "xterm-256color", "NO_COLOR": "1"}
    arguments = ("clients", f"127.0.0.1:{daemon.port('clients')}")
    with in_terminal(*arguments, environment=environment) as terminal:
        assert terminal.end()[0] == 0
        assert not _COLOUR.search(terminal.raw())
    place = f"127.0.0.1:{daemon.port('timestamp')}"
    with in_terminal("talk", place, environment=environment) as terminal:
        terminal.wait_for(">>> ")
        terminal.type("hello\r")
        terminal.wait_for("] hello\n")
        terminal.wait_for(">>> ")
        terminal.type("\x04")
        assert terminal.end()[0] == 0
        assert not _COLOUR.search(terminal.raw())


@pytest.mark.live
def test_elsewhere_than_on_a_terminal_everything_is_plain(daemon: Daemon) -> None:
    # Also where something asks for colour, as systems for CI do.
    environment = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    for arguments in (
        ("clients", f"127.0.0.1:{daemon.port('clients')}"),
        ("bench", f"127.0.0.1:{daemon.port('timestamp')}", "--count=100"),
        ("services",),
        ("resolve", "127.0.0.1"),
        ("--help",),
    ):
        status, output, errors = netsvc(*arguments, environment=environment)
        assert (status, errors) == (0, "")
        assert b"\x1b" not in output


@pytest.mark.live
def test_what_can_be_parsed_can_be_parsed_on_a_terminal_too(daemon: Daemon) -> None:
    with in_terminal("clients", f"127.0.0.1:{daemon.port('clients')}", "-n", "me", "--json") as terminal:
        status, shown = terminal.end()
    assert (status, json.loads(shown)["me"]["name"]) == (0, "me")


# -- standard streams that are closed, full, or read by nobody ----------------------------------------------


def in_shell(redirection: str, *arguments: str) -> tuple[int, str]:
    """Run the command with a redirection of a shell's; gives the exit status and standard error."""
    line = f"exec {shlex.join([NETSVC, *arguments])} {redirection}"
    done = subprocess.run(
        ["sh", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
    )
    return done.returncode, done.stderr


def one_of_each(daemon: Daemon) -> Iterator[tuple[str, ...]]:
    """A line for each command that writes of its own."""
    yield "clients", f"127.0.0.1:{daemon.port('clients')}"
    yield "bench", f"127.0.0.1:{daemon.port('timestamp')}", "--count=10"
    yield "resolve", "127.0.0.1"
    yield ("services",)
    yield "services", "--verbose"
    yield "check", "--echo=0"
    yield "resolve", "127.0.0.1", "--json"


@pytest.mark.live
def test_a_full_disk_is_one_line(daemon: Daemon) -> None:
    full = (1, "netsvc: standard output: no space left on device\n")
    for arguments in one_of_each(daemon):
        assert in_shell(">/dev/full", *arguments) == full
    assert in_shell(">/dev/full", "--help") == (1, "netsvc: no space left on device\n")


@pytest.mark.live
def test_closed_streams_read_and_write_nothing(daemon: Daemon) -> None:
    for arguments in one_of_each(daemon):
        assert in_shell("<&- >&-", *arguments) == (0, "")
    assert in_shell("<&- >&- 2>&-", *next(one_of_each(daemon))) == (0, "")
    place = f"127.0.0.1:{daemon.port('timestamp')}"
    assert in_shell("2>&-", "bench", place, "--count=10") == (0, "")
    assert in_shell("<&-", "talk", place) == (0, "")


@pytest.mark.live
def test_nobody_reading_a_table_is_no_failure_with_a_text() -> None:
    with started("services", "--verbose") as running_command:
        stdout = running_command.process.stdout
        assert stdout is not None
        stdout.close()
        running_command.process.stdout = None
        status, _, errors = running_command.end()
    assert (status, errors) == (1, "")


def test_a_defect_is_shown_though_a_command_leaves_tracebacks_out_of_the_log() -> None:
    program = (
        "from netsvc.commands.logged import warnings_to_stderr\n"
        "from netsvc.commands.running import run\n"
        "warnings_to_stderr()\n"
        "async def work(reactor): 1 / 0\n"
        "run(work)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert done.stderr.count("ZeroDivisionError: division by zero") == 1
