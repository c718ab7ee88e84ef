"""A site for one service alone: its one path, and whose pages may open it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from netsvc.settings import Limits, SettingError
from netsvc.web.site import WebSite
from netsvc.web.sole import sole_site
from netsvc.websettings import Web
from tests.web.frames import opening
from tests.web.service_rig import ServiceRig
from tests.web.siterig import Answer, Connection, read_answer

URL = "ws://127.0.0.1:9001/path"


@pytest.fixture
def rig() -> Iterator[ServiceRig]:
    rig = ServiceRig()
    yield rig
    rig.end()


def site_of(rig: ServiceRig, path: str = "/path", origins: Sequence[str] = ()) -> WebSite:
    return sole_site(
        rig.bridges.factory("echo", URL),
        path=path,
        origins=origins,
        address="127.0.0.1",
        web=Web(),
        limits=Limits(),
        reactor=rig.clock,
    )


def open_at(rig: ServiceRig, site: WebSite, path: str = "/path", **headers: str) -> Answer:
    """Ask for a WebSocket, and hang up."""
    connection = Connection(site, rig.clock)
    connection.send(opening(path, **headers))
    head, _, rest = connection.wire.value().partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 101 "):
        wire: Any = connection.wire
        wire.protocol.connectionLost(Failure(ConnectionDone()))
        return Answer(101, {}, rest)
    answer, _ = read_answer(connection.wire.value())
    connection.lose()
    return answer


@pytest.mark.parametrize("path", ["/path", "/path?with=query", "/%70ath", "/path?token=x"])
def test_there_is_one_path_whatever_the_host(rig: ServiceRig, path: str) -> None:
    assert open_at(rig, site_of(rig), path, Host="any.name.example").status == 101
    for other in ("/", "/path/", "/pathes", "/healthz", "/metrics", "//path"):
        assert open_at(rig, site_of(rig), other).status == 404
        assert open_at(rig, site_of(rig, path=""), other).status == 101


@pytest.mark.parametrize("path", ["/path", "/healthz", "/api/facts", "/"])
def test_nothing_but_a_websocket_is_served(rig: ServiceRig, path: str) -> None:
    for method, status in (("GET", 426), ("HEAD", 405), ("POST", 405), ("DELETE", 405)):
        connection = Connection(site_of(rig), rig.clock)
        assert connection.ask(path, method).status == status
        connection.lose()


def test_pages_may_open_it_where_their_origin_was_named_and_those_of_its_own_host(rig: ServiceRig) -> None:
    site = site_of(rig, origins=["https://App.example:443"])
    for origin in ("https://app.example", "http://localhost", "https://localhost"):
        assert open_at(rig, site, Origin=origin).status == 101
    for origin in ("https://evil.example", "http://app.example", "null", "http://localhost:1"):
        answer = open_at(rig, site, Origin=origin)
        assert answer.status == 403
        assert answer.json() == {
            "error": "a page of another origin asks; this listener's origin= names those that may"
        }


def test_a_name_that_somebody_made_lead_here_is_no_host_of_its_own(rig: ServiceRig) -> None:
    answer = open_at(rig, site_of(rig), Origin="http://evil.example", Host="evil.example")
    assert answer.status == 403
    assert open_at(rig, site_of(rig, origins=["*"]), Origin="http://evil.example").status == 101


@pytest.mark.parametrize("first", ["https://app.example", "https://evil.example"])
def test_two_origins_are_none_that_was_named(rig: ServiceRig, first: str) -> None:
    second = "https://evil.example" if "app" in first else "https://app.example"
    both = f"{first}\r\nOrigin: {second}"
    assert open_at(rig, site_of(rig, origins=["https://app.example"]), Origin=both).status == 403


def test_an_origin_that_is_none_is_refused_at_start(rig: ServiceRig) -> None:
    with pytest.raises(SettingError, match=r"^origin 'app\.example': expected such as https://app"):
        site_of(rig, origins=["app.example"])
