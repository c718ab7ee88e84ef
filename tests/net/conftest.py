"""Fixtures for what stands between socket and protocol."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator

import pytest

from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from netsvc.net.tls import server_context
from netsvc.settings import TLS
from tests.certificates import Certificates, make_authority
from tests.net.tls_client import VERSIONS


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates, made once for the whole run."""
    return make_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def serving(certificates: Certificates) -> ssl.SSLContext:
    return server_context(TLS(str(certificates.server_certificate), str(certificates.server_key)))


@pytest.fixture(scope="session")
def demanding(certificates: Certificates) -> ssl.SSLContext:
    """A server that wants client certificates."""
    return server_context(TLS(str(certificates.server_both), client_ca=str(certificates.ca)))


@pytest.fixture(scope="session")
def trusting(certificates: Certificates) -> ssl.SSLContext:
    """A client that trusts the server's authority."""
    return ssl.create_default_context(cafile=certificates.ca)


@pytest.fixture(params=VERSIONS)
def tls_version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def flush_logged() -> Iterator[Callable[[], str]]:
    """Gives all that the log was told, with tracebacks."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)  # type: ignore[arg-type]
    yield lambda: "\n".join(
        f"{formatEvent(event)} {event['log_failure'].getTraceback() if 'log_failure' in event else ''}"
        for event in events
    )
    globalLogPublisher.removeObserver(events.append)  # type: ignore[arg-type]
