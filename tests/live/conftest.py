"""Fixtures for live tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Certificates, make_authority
from tests.live.daemon import Daemon, running
from tests.live.streams import Dial


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A private authority with a server's and a client's certificate."""
    return make_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Daemon]:
    """A daemon with every built-in service on every kind of socket, at ports that the system chose."""
    directory = tmp_path_factory.mktemp("daemon")
    with running(directory, *every_service(directory, certificates)) as started:
        yield started


@pytest.fixture(scope="module")
def dial(daemon: Daemon, certificates: Certificates) -> Dial:
    """Connects to its stream services."""
    return Dial(daemon, certificates.ca)


def every_service(directory: Path, certificates: Certificates) -> list[str]:
    """Options for every built-in service on every transport."""
    both = ["echo", "discard", "daytime", "chargen", "time", "whoami", "receiver"]
    streams = ["timestamp", "clients", "greeting", "chat"]
    options = [
        f"--tls-certificate={certificates.server_certificate}",
        f"--tls-key={certificates.server_key}",
    ]
    for name in both + streams:
        options += [f"--{name}=0", f"--{name}=tls://:0", f"--{name}=unix://{directory}/{name}.sock"]
    for name in both:
        options.append(f"--{name}=unix-datagram://{directory}/{name}.dgram")
    return options
