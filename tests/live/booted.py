"""A systemd that has booted in namespaces of its own, for the tests that need the real one."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.live.daemon import PATIENCE, eventually
from tests.live.installation import make

_BOOT = Path(__file__).parent / "boot.sh"

#: setns(2): the network namespace.
_CLONE_NEWNET = 0x40000000

#: Where netsvc's dependencies and the tests' own modules are, inside. Its units see no home directory.
LIBRARIES = Path("/usr/local/lib/netsvc-tests")


class CannotBootError(Exception):
    """This machine does not allow it, or lacks something; the text says what."""


class Machine:
    """
    A machine with systemd on it.

    @ivar root: its files, seen from here.
    """

    def __init__(self, directory: Path) -> None:
        """
        Boot it.

        @param directory: an empty one.
        @raise CannotBootError: this is no place for that.
        """
        if os.geteuid() != 0:
            raise CannotBootError("only root may")
        self._group = _control_group()
        self._log = directory / "boot.log"
        place = directory / "machine"
        place.mkdir()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [_BOOT, place, self._group, sysconfig.get_path("purelib"), LIBRARIES / "dependencies"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: (self._group / "cgroup.procs").write_text(str(os.getpid())),
            )
        try:
            eventually(self._has_booted)
            self.root = Path(f"/proc/{self._init()}/root")
        except BaseException:
            self.end()
            raise

    def run(self, *command: str) -> str:
        """What a program inside writes; it must end well."""
        done = self.try_to_run(*command)
        if done.returncode:
            journal = self.try_to_run("journalctl", "--no-pager", "--output=cat", "--lines=30").stdout
            raise AssertionError(f"{command}: {done.stdout}{done.stderr}\n{journal}")
        return done.stdout

    def try_to_run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program inside."""
        return subprocess.run(
            ["nsenter", "--target", str(self._init()), "--all", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a file into it."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def enter_network(self) -> None:
        """Sockets that this thread makes from now on are of that machine."""
        self._set_network(f"/proc/{self._init()}/ns/net")

    @contextmanager
    def network(self) -> Iterator[None]:
        """The same for the time of a with statement."""
        self.enter_network()
        try:
            yield
        finally:
            self._set_network(f"/proc/{os.getpid()}/ns/net")

    def end(self) -> None:
        """Switch it off."""
        self._process.kill()
        self._process.wait()
        eventually(lambda: not _processes(self._group))
        for directory, _, _ in os.walk(self._group, topdown=False):
            with suppress(FileNotFoundError):
                os.rmdir(directory)

    def _has_booted(self) -> bool:
        if self._process.poll() is not None:
            raise CannotBootError(self._log.read_text(errors="replace").strip() or "systemd has ended")
        if self._init() == 0:
            return False
        return self.try_to_run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")

    def _init(self) -> int:
        """The process that is the first one inside; 0 where there is none yet."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0]) if children else 0

    @staticmethod
    def _set_network(path: str) -> None:
        fd = os.open(path, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(fd, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(fd)


def install(machine: Machine, directory: Path) -> None:
    """
    Put netsvc on a machine, by `make install`.

    @param directory: an empty one.
    @raise CannotBootError: its units could not read any Python that could run it.
    """
    make("install", DESTDIR=directory, PYTHON=_python())
    for top in directory.iterdir():
        shutil.copytree(top, machine.root / top.name, symlinks=True, dirs_exist_ok=True)
    machine.run("systemd-sysusers")
    for unit in ("netsvc.service", "netsvc-activated.service"):
        path = f"{LIBRARIES}:{LIBRARIES}/dependencies"
        machine.write(
            f"/etc/systemd/system/{unit}.d/path.conf", f"[Service]\nEnvironment=PYTHONPATH={path}\n"
        )
    machine.run("systemctl", "daemon-reload")


def _python() -> str:
    """An interpreter like this one, outside of every home directory."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    for found in (f"{sys.base_prefix}/bin/python{own}", f"/usr/bin/python{own}"):
        if Path(found).exists() and not os.path.realpath(found).startswith(("/root/", "/home/")):
            return found
    raise CannotBootError(f"there is no Python {own} but in a home directory, which the units cannot read")


def _control_group() -> Path:
    """A control group of its own, in the hierarchy that systemd takes."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    for _, place, kind, *_ in mounts:
        if kind == "cgroup2":
            group = Path(place) / f"netsvc-test-{os.getpid()}"
            try:
                group.mkdir()
            except OSError as error:
                raise CannotBootError(f"no control group can be made: {error}") from None
            return group
    raise CannotBootError("there is no cgroup2 file system")


def _processes(group: Path) -> list[str]:
    """The processes in a control group and those below it."""
    found: list[str] = []
    for procs in group.rglob("cgroup.procs"):
        with suppress(OSError):
            found += procs.read_text().split()
    return found
