"""What a TLS listener agrees to, judged by somebody else: sslyze, by Mozilla's "intermediate" profile."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.daemon import PATIENCE, Daemon, running
from tests.live.streams import client_context, encrypted, exchange

pytestmark = pytest.mark.live

#: It has an environment of its own, see setup/sslyze.sh.
SSLYZE = Path(sys.prefix) / "sslyze" / "bin" / "sslyze"

NETSVC = Path(sys.executable).parent / "netsvc"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with certificates as netsvc's own command makes them."""
    directory = tmp_path_factory.mktemp("certs") / "made"
    command = [str(NETSVC), "certs", str(directory), "localhost", "127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
    return directory


@pytest.fixture(scope="module")
def daemon(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Echo as it comes, and with a CBC suite that somebody has asked for."""
    where = f"tls://127.0.0.1:0?certificate={made}/server.pem&key={made}/server.key"
    options = [f"--echo={where}", f"--discard={where}&ciphers=ECDHE-ECDSA-AES128-SHA256"]
    with running(tmp_path_factory.mktemp("daemon"), *options) as started:
        yield started


@pytest.mark.program(str(SSLYZE))
def test_a_listener_as_it_comes_passes_the_intermediate_profile(daemon: Daemon, made: Path) -> None:
    status, complaints = _scan(daemon.port("echo", "tls"), made)
    assert complaints == []
    assert status == 0
    assert "Traceback" not in daemon.log()
    with encrypted(_dial(daemon), client_context(made / "ca.pem")) as sock:
        assert exchange(sock, b"hello", 5) == b"hello"


@pytest.mark.program(str(SSLYZE))
def test_one_with_a_suite_of_cbc_does_not(daemon: Daemon, made: Path) -> None:
    status, complaints = _scan(daemon.port("discard", "tls"), made)
    assert any(line.startswith("* ciphers: ") for line in complaints)
    assert status == 1


def _dial(daemon: Daemon) -> socket.socket:
    return socket.create_connection(("127.0.0.1", daemon.port("echo", "tls")), PATIENCE)


def _scan(port: int, made: Path) -> tuple[int, list[str]]:
    """sslyze's exit status, which is 0 where the profile is kept, and what it says is against it."""
    command = [str(SSLYZE), "--mozilla_config=intermediate", f"--certinfo_ca_file={made}/ca.pem"]
    done = subprocess.run(
        [*command, f"127.0.0.1:{port}"], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    _, _, verdict = done.stdout.partition("COMPLIANCE AGAINST")
    assert verdict, done.stdout + done.stderr
    return done.returncode, [line.strip() for line in verdict.splitlines() if line.strip().startswith("* ")]
