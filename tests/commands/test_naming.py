"""Names that are looked up: what is refused, and a name server that does not answer."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from zope.interface.verify import verifyObject

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock

from netsvc.commands.address import parse_address
from netsvc.commands.complaints import NotDone
from netsvc.commands.dialing import TLSOptions, dial
from netsvc.commands.naming import LOOKUP_TIMEOUT, Names, in_thread, look_up
from tests.commands.programs import interrupt, started


class Reactor(Clock):
    """Time in memory; what threads have to say is not heard."""

    def callFromThread(self, *ignored: object) -> None:
        """Nothing comes of it."""


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A system that answers no question for a name, until the test is over."""
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: over.wait())
    yield
    over.set()


@pytest.fixture
def names(started_reactor: Any) -> Iterator[Names]:
    """Our resolver, where endpoints find it."""
    made = Names(started_reactor)
    before = started_reactor.installNameResolver(made)
    yield made
    started_reactor.installNameResolver(before)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_what_a_thread_returns_or_raises_arrives(started_reactor: Any) -> None:
    assert await in_thread(started_reactor, divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await in_thread(started_reactor, divmod, 7, 0)


@pytest.mark.usefixtures("silence")
def test_the_system_has_its_time_and_no_more() -> None:
    reactor = Reactor()
    failures: list[Any] = []
    Deferred.fromCoroutine(look_up(reactor, "slow.example", 80)).addErrback(failures.append)
    reactor.advance(LOOKUP_TIMEOUT - 0.1)
    assert failures == []
    reactor.advance(0.1)
    assert failures[0].check(NotDone)
    assert str(failures[0].value).startswith("slow.example: no answer in time")


@pytest.mark.usefixtures("silence", "names")
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_connection_waits_no_longer_for_a_name_than_for_an_answer(started_reactor: Any) -> None:
    address = parse_address("slow.example:80")
    with pytest.raises(NotDone, match="^tcp://slow.example:80: no answer in time$"):
        await dial(started_reactor, address, Factory.forProtocol(Protocol), TLSOptions(), 0.05)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_connections_find_names(started_reactor: Any, names: Names) -> None:
    verifyObject(IHostnameResolver, names)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = parse_address(f"localhost:{server.getsockname()[1]}")
        protocol = await dial(started_reactor, address, Factory.forProtocol(Protocol), TLSOptions())
        protocol.transport.abortConnection()
    with pytest.raises(NotDone, match="the name has no address"):
        await dial(
            started_reactor, parse_address("no.invalid:1"), Factory.forProtocol(Protocol), TLSOptions()
        )


@pytest.mark.parametrize("service", ["65536", "99999", "", "-1", "+80", " 80", "4294967297"])
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_number_that_is_no_port_is_not_made_one(started_reactor: Any, service: str) -> None:
    with pytest.raises(NotDone, match="this host knows no such service or port$"):
        await look_up(started_reactor, "127.0.0.1", service)


@pytest.mark.live
@pytest.mark.parametrize(
    "arguments",
    [
        ("send", "slow.example:1", "x"),
        ("talk", "udp://slow.example:1"),
        ("resolve", "slow.example"),
        ("listen", "slow.example:0"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_ctrl_c_does_not_wait_for_a_name(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    # Python imports it before anything else.
    (tmp_path / "sitecustomize.py").write_text(
        "import socket, sys, time\n"
        "def getaddrinfo(host, *ignored, **options):\n"
        "    print('asked for', host, file=sys.stderr, flush=True)\n"
        "    time.sleep(1000)\n"
        "socket.getaddrinfo = getaddrinfo\n"
    )
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    with started(*arguments, environment={"PYTHONPATH": path}) as command:
        assert command.error_line() == "asked for slow.example\n"
        interrupt(command.process)
        assert command.end() == (130, b"", "")
