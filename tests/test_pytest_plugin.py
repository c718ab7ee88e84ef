"""The pytest plugin, used by suites that run in a pytest of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from textwrap import dedent

import pytest

from netsvc.testing.daemon import SERVICES, arguments_of
from tests.live.daemon import PATIENCE, eventually

pytestmark = pytest.mark.live

#: What every suite here may use.
_HEAD = """
import os, signal, socket, sys, tempfile
from pathlib import Path
import pytest

def say(netsvc, *pieces, service="echo"):
    with socket.create_connection(netsvc.service(service).address) as sock:
        for piece in pieces:
            sock.sendall(piece)
            assert sock.recv(100)
        return sock.getsockname()

def pid_of(netsvc):
    return netsvc._daemon._process.pid
"""


@dataclass(frozen=True)
class Run:
    """
    A run of pytest.

    @ivar status: its exit status.
    @ivar output: what it printed.
    @ivar left: files that its processes left where temporary files go.
    """

    status: int
    output: str
    left: list[str]


class Suite:
    """A directory with tests."""

    def __init__(self, directory: Path) -> None:
        """@param directory: an empty one."""
        self.directory = directory
        self._temporary = directory / "temporary"
        self._temporary.mkdir()

    def write(self, source: str, name: str = "test_it.py") -> None:
        """Write a file of tests."""
        (self.directory / name).write_text(_HEAD + dedent(source))

    def command(self, *arguments: str) -> tuple[list[str], Mapping[str, str]]:
        """The command that runs it, and its environment: without the plugins of netsvc's own tests."""
        command = [sys.executable, "-m", "pytest", "-p", "netsvc.pytest_plugin", "-p", "no:cacheprovider"]
        more = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TMPDIR": str(self._temporary)}
        environment = {**os.environ, **more}
        environment.pop("PYTEST_ADDOPTS", None)
        return [*command, "-W", "error", "--strict-markers", *arguments], environment

    def run(self, *arguments: str) -> Run:
        """Run it to its end."""
        command, environment = self.command(*arguments)
        done = subprocess.run(
            command,
            cwd=self.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=4 * PATIENCE,
            check=False,
        )
        left = [path.name for path in self._temporary.iterdir() if path.name.startswith("netsvc-")]
        return Run(done.returncode, done.stdout, left)

    def passes(self, *arguments: str) -> None:
        """Run it; every test must pass and nothing stay behind."""
        run = self.run(*arguments)
        assert run.status == 0, run.output
        assert run.left == []


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """An empty one."""
    return Suite(tmp_path)


def gone(pid: int) -> bool:
    """Whether there is no such process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


# -- in a suite ---------------------------------------------------------------------------------------------


def test_pytest_finds_it_by_itself() -> None:
    [found] = entry_points(group="pytest11", name="netsvc")
    assert found.value == "netsvc.pytest_plugin"


def test_a_test_sees_what_it_did(suite: Suite) -> None:
    suite.write("""
        def test_services(netsvc):
            assert netsvc.echo.address == (netsvc.echo.host, netsvc.echo.port)
            assert netsvc.url.startswith("http://127.0.0.1:")
            assert netsvc.echo.websocket == netsvc.url.replace("http", "ws") + "/ws/echo"
            assert netsvc.service("time").port not in (netsvc.echo.port, 37)
            with pytest.raises(AttributeError, match="no service 'nothing'; there are chargen, chat"):
                netsvc.nothing

        def test_one(netsvc):
            peer = say(netsvc, b"hel", b"lo")
            [fact] = netsvc.wait(contains="hello", service="echo", kind="received", peer=peer)
            assert (fact.kind, fact.data, fact.length, fact.transport) == ("received", b"lo", 2, "tcp")
            assert (fact.address, fact.port) == peer
            [closed] = netsvc.wait(kind="closed", connection=fact.connection)
            assert (closed.reason, closed.details["bytes_in"]) == ("fin", 5)
            assert [one.kind for one in netsvc.facts()] == "opened received sent received sent closed".split()
            assert netsvc.facts(contains=b"hel", after=fact) == []
            assert netsvc.wait(count=6, timeout=0) == netsvc.facts()

        def test_each_begins_anew(netsvc):
            assert netsvc.facts() == []
            say(netsvc, b"hex:41")
            assert len(netsvc.wait(contains="hex:41", count=2)) == 2
            assert netsvc.facts(contains=b"A") == []

        def test_datagrams_and_names(netsvc):
            with socket.create_connection(netsvc.clients.address) as sock:
                sock.sendall(b"me\\n")
                while sock.recv(1000):
                    pass
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(bytes(range(256)), netsvc.receiver.address)
                [fact] = netsvc.wait(name="me", service="receiver")
            assert fact.data == bytes(range(256))
            assert fact.connection is None

        def test_wrong_questions(netsvc):
            with pytest.raises(ValueError, match="kind="):
                netsvc.facts(kind="heard")
            with pytest.raises(ValueError, match="contains="):
                netsvc.wait(contains="")

        def test_it_is_one_daemon_and_no_twisted(netsvc):
            assert not [name for name in sys.modules if name.startswith("twisted")]
            assert "netsvc.commands" not in sys.modules
            assert len(netsvc.log()) > 0
    """)
    suite.passes()


def test_many_facts_come_whole(suite: Suite) -> None:
    suite.write("""
        def test_many(netsvc):
            with socket.create_connection(netsvc.discard.address) as sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.sendall(b"x" * 3_000_000)
            netsvc.wait(kind="closed", timeout=60)
            received = netsvc.facts(kind="received")
            assert sum(fact.length for fact in received) == 3_000_000
            assert max(len(fact.data) for fact in received) <= 4096
    """)
    suite.passes()


def test_what_did_not_happen_is_a_failure_that_says_what_did(suite: Suite) -> None:
    suite.write("""
        def test_wait(netsvc):
            say(netsvc, b"\\x1b[31mother")
            netsvc.wait(contains="never", service="echo", count=2, timeout=0.1)

        def test_something_else(netsvc):
            say(netsvc, b"something")
            assert False

        def test_nothing(netsvc):
            assert False
    """)
    run = suite.run("--no-header")
    assert run.status == 1
    assert (
        "0 of 2 with service 'echo', contains b'never' within 0.1 s; what happened in this test:"
        in run.output
    )
    assert "received echo tcp 127.0.0.1:" in run.output
    assert r"b'\x1b[31mother'" in run.output
    # Where the failure itself tells what happened, it is not told again.
    first, second, third = run.output.split("What happened at netsvc")
    assert "test_something_else" in first
    assert "b'something'" in second
    assert "nothing happened" in third
    # Of interest is the line of the test.
    assert "netsvc/testing" not in run.output.replace("netsvc.testing", "")


# -- options ------------------------------------------------------------------------------------------------


def test_options_come_from_a_fixture_or_a_marker(suite: Suite) -> None:
    suite.write("""
        @pytest.fixture(scope="session")
        def netsvc_options():
            # A socket's path must be short.
            with tempfile.TemporaryDirectory(dir="/tmp") as short:
                yield ["--greeting=tcp://127.0.0.1:0?text=mine", f"--echo=unix://{short}/s"]

        def greeting(netsvc):
            with socket.create_connection(netsvc.greeting.address) as sock:
                return sock.recv(100)

        def test_fixture(netsvc):
            assert greeting(netsvc) == b"mine"
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(netsvc.echo.path)
            with pytest.raises(ValueError, match="echo listens on unix://"):
                netsvc.echo.port
            with pytest.raises(ValueError, match="greeting listens on tcp://"):
                netsvc.greeting.path

        @pytest.mark.netsvc("--greeting=tcp://127.0.0.1:0?text=marked", "--without", "chat")
        def test_marker(netsvc):
            assert greeting(netsvc) == b"marked"
            assert netsvc.echo.port
            assert not hasattr(netsvc, "chat")

        def test_fixture_again(netsvc):
            assert greeting(netsvc) == b"mine"

        @pytest.mark.parametrize("number", range(4))
        def test_many(request, number):
            request.applymarker(pytest.mark.netsvc(f"--set=greeting.text={number}"))
            netsvc = request.getfixturevalue("netsvc")
            assert greeting(netsvc) == str(number).encode()
    """)
    suite.passes()


def test_a_daemon_that_does_not_start_says_why(suite: Suite) -> None:
    suite.write("""
        @pytest.mark.netsvc("--set=limits.idle_timeout=soon")
        def test_it(netsvc):
            pass
    """)
    run = suite.run()
    assert run.status == 1
    assert "the daemon did not start:" in run.output
    assert "limits.idle_timeout" in run.output
    assert run.left == []


def test_a_daemon_without_its_web_service_is_of_no_use_and_says_so(suite: Suite) -> None:
    suite.write("""
        @pytest.mark.netsvc("--without", "web")
        def test_it(netsvc):
            pass
    """)
    run = suite.run("--no-header")
    assert run.status == 1
    assert "the daemon runs without its web service" in run.output
    assert "StopIteration" not in run.output
    assert run.left == []


def test_a_daemon_that_has_ended_is_told_and_replaced(suite: Suite) -> None:
    suite.write("""
        def test_end(netsvc):
            os.kill(pid_of(netsvc), signal.SIGKILL)
            netsvc._daemon._process.wait()
            netsvc.wait(timeout=5)

        def test_next(netsvc):
            say(netsvc, b"x")
    """)
    run = suite.run("-rA", "--no-header")
    assert "the daemon has ended with status -9; the end of its log:" in run.output
    assert "PASSED test_it.py::test_next" in run.output
    assert run.left == []


def test_a_service_listens_where_the_options_say_and_nowhere_else() -> None:
    default = arguments_of([])
    assert default == ["--web=127.0.0.1:0", *(f"--{name}=127.0.0.1:0" for name in SERVICES)]
    options = ["--echo", "unix:///s", "--udp=0", "--without", "chat", "--without=time", "--set=limits.x=1"]
    changed = arguments_of(options)
    assert changed[-len(options) :] == options
    missing = {name for name in SERVICES if f"--{name}=127.0.0.1:0" not in changed}
    assert missing == {"echo", "receiver", "chat", "time"}


# -- what stays behind --------------------------------------------------------------------------------------


def test_nothing_stays_behind(suite: Suite) -> None:
    suite.write("""
        def test_it(netsvc):
            Path("pid").write_text(str(pid_of(netsvc)))
            # It stays connected.
            netsvc.kept = socket.create_connection(netsvc.echo.address)
            assert False
    """)
    run = suite.run("-W", "ignore")
    assert (run.status, run.left) == (1, [])
    assert gone(int((suite.directory / "pid").read_text()))


def test_no_daemon_outlives_a_run_that_was_killed(suite: Suite) -> None:
    suite.write("""
        def test_it(netsvc):
            Path("pid.new").write_text(str(pid_of(netsvc)))
            os.rename("pid.new", "pid")
            signal.pause()
    """)
    command, environment = suite.command()
    with subprocess.Popen(
        command, cwd=suite.directory, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        eventually((suite.directory / "pid").exists)
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)
    pid = int((suite.directory / "pid").read_text())
    eventually(lambda: gone(pid))


def test_every_worker_has_its_own(suite: Suite) -> None:
    suite.write("""
        @pytest.mark.parametrize("number", range(8))
        def test_it(netsvc, number):
            worker = os.environ["PYTEST_XDIST_WORKER"]
            Path(f"{worker}-{netsvc.echo.port}").touch()
            say(netsvc, b"%d" % number)
            netsvc.wait(kind="closed")
            assert len(netsvc.facts()) == 4
    """)
    suite.passes("-p", "xdist", "-n", "2")
    seen = [path.name.split("-") for path in suite.directory.glob("gw*-*")]
    assert sorted(worker for worker, _ in seen) == ["gw0", "gw1"]
    assert len({port for _, port in seen}) == 2
