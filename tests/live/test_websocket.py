"""WebSocket against a real daemon: services, chat, canvas, timeline, and clients that mean no good."""

from __future__ import annotations

import base64
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateResponseAccept

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString

from tests.certificates import Certificates
from tests.live.daemon import PATIENCE, Daemon, eventually, read_exactly, running
from tests.live.streams import client_context
from tests.live.websockets import WebSocketClient
from tests.web.conformance import MIB, Case, cases
from tests.web.frames import BINARY, CLOSE, CONTINUATION, TEXT, Frame, close_code, frame

pytestmark = pytest.mark.live

#: What is sent in one case, at the most, where each is tried over a socket of its own.
_SMALL = 70_000

PLUGIN = """
from netsvc.service import NetService
capitals = NetService(name="capitals", summary="Answers in capitals", stream="capitals.Capitals")
"""

CAPITALS = """
from twisted.internet.protocol import Protocol

class Capitals(Protocol):
    def dataReceived(self, data):
        self.transport.write(data.upper())
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("websocket")
    plugins = directory / "twisted" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "capitals_plugin.py").write_text(PLUGIN)
    (directory / "capitals.py").write_text(CAPITALS)
    options = [
        "--web=0",
        "--chat=0",
        "--capitals=0",
        "--greeting=ws://:0/one/path?origin=https://app.example",
        f"--echo=wss://:0?certificate={certificates.server_both}",
        "--whoami=ws://:0",
        f"--set=timeline.timeline_memory={MIB}",
    ]
    with running(directory, *options, environment={"PYTHONPATH": str(directory)}) as started:
        yield started


# -- services --------------------------------------------------------------------------------------------


def test_echo_is_there_though_it_has_no_such_listener(daemon: Daemon) -> None:
    with WebSocketClient.to(daemon, "echo") as client:
        client.send(frame(TEXT, b"hello"))
        assert client.close() == [Frame(TEXT, b"hello"), Frame(CLOSE, b"\x03\xe8")]


def test_a_third_partys_service_is_there(daemon: Daemon) -> None:
    with WebSocketClient.to(daemon, "capitals") as client:
        client.send(frame(BINARY, b"hello"))
        assert client.next() == Frame(BINARY, b"HELLO")


@pytest.mark.parametrize(
    "case", [one for one in cases() if len(b"".join(one.sent)) < _SMALL], ids=lambda one: one.name
)
def test_it_conforms(daemon: Daemon, case: Case) -> None:
    case = case.within(MIB)
    with WebSocketClient(daemon.connect("web"), "/ws/echo", Sec_WebSocket_Extensions=case.offer) as client:
        client.send(b"".join(case.sent))
        frames = client.rest()
    assert (tuple(frames[:-1]), close_code(frames)) == (case.answers, case.code)


class AutobahnClient(WebSocketClientProtocol):
    """A client that others made: sends its messages and collects the answers."""

    messages: list[tuple[bytes, bool]]
    answers: list[tuple[bytes, bool]]
    done: Deferred[None]

    def onOpen(self) -> None:
        self.answers = []
        for payload, binary in self.messages:
            self.sendMessage(payload, binary)  # type: ignore[no-untyped-call]

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.answers.append((payload, isBinary))
        if len(self.answers) == len(self.messages):
            self.sendClose(1000)

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:
        self.done.callback(None)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
@pytest.mark.parametrize("compressed", [False, True])
async def test_another_implementation_understands_it(
    daemon: Daemon, compressed: bool, started_reactor: Any
) -> None:
    messages = [
        (b"", False),
        ("κόσμε ".encode() * 1000, False),
        (bytes(range(256)) * 300, True),
        (b"end", False),
    ]
    factory = WebSocketClientFactory(f"ws://127.0.0.1:{daemon.port('web')}/ws/echo", reactor=started_reactor)
    if compressed:
        factory.setProtocolOptions(
            perMessageCompressionOffers=[PerMessageDeflateOffer()],
            perMessageCompressionAccept=PerMessageDeflateResponseAccept,
        )
    client = AutobahnClient()
    client.messages, client.done = messages, Deferred()
    factory.protocol = lambda: client  # type: ignore[assignment]
    await clientFromString(started_reactor, f"tcp:127.0.0.1:{daemon.port('web')}").connect(factory)
    client.done.addTimeout(PATIENCE, started_reactor)
    await client.done
    assert client.answers == messages
    assert client.wasClean
    assert (client._perMessageCompress is not None) == compressed


# -- a listener of its own --------------------------------------------------------------------------------


def test_a_listener_of_its_own_has_its_path_and_its_origins(daemon: Daemon) -> None:
    def status(path: str, **headers: str) -> int:
        sock = socket.create_connection(("127.0.0.1", daemon.port("greeting", "ws")), PATIENCE)
        with WebSocketClient(sock, path, **headers) as client:
            return client.status

    assert status("/one/path") == 101
    assert status("/one/path?with=query", Host="any.name.example") == 101
    assert status("/one/path", Origin="https://app.example") == 101
    assert status("/one/path", Origin="http://localhost") == 101
    assert status("/one/path", Origin="https://evil.example") == 403
    assert status("/one/path", Origin="http://evil.example", Host="evil.example") == 403
    assert status("/other") == 404
    assert status("/one/path", Upgrade="") == 426


def test_over_tls_a_service_is_told_so(daemon: Daemon, certificates: Certificates) -> None:
    sock = socket.create_connection(("127.0.0.1", daemon.port("echo", "wss")), PATIENCE)
    context = client_context(certificates.ca)
    with WebSocketClient(context.wrap_socket(sock, server_hostname="localhost"), "/any/path") as client:
        client.send(frame(TEXT, b"*" * 500_000))
        assert client.next() == Frame(TEXT, b"*" * 500_000)
        assert client.close() == [Frame(CLOSE, b"\x03\xe8")]


def test_a_client_is_told_how_it_arrived(daemon: Daemon) -> None:
    sock = socket.create_connection(("127.0.0.1", daemon.port("whoami", "ws")), PATIENCE)
    with WebSocketClient(sock, "/") as client:
        told = client.hear()
        assert (told["transport"], told["port"]) == ("ws", sock.getsockname()[1])


# -- people ----------------------------------------------------------------------------------------------


def test_two_browsers_and_a_stream_chat_together(daemon: Daemon) -> None:
    with (
        WebSocketClient.to(daemon, "chat") as ann,
        WebSocketClient.to(daemon, "chat") as bob,
        daemon.connect("chat") as nc,
        nc.makefile("rb") as lines,
    ):
        ann.say(type="join", name="ann")
        assert ann.hear() == {"type": "here", "names": ["ann"]}
        bob.say(type="join", name="bob")
        assert bob.hear() == {"type": "here", "names": ["ann", "bob"]}
        assert ann.hear() == {"type": "joined", "name": "bob"}
        nc.sendall(b"nc\nhello all\n")
        for one in (ann, bob):
            assert one.hear() == {"type": "joined", "name": "nc"}
            said = one.hear()
            assert (said["name"], said["text"]) == ("nc", "hello all")
        ann.say(type="say", text="<img src=x onerror=alert(1)>")
        assert bob.hear()["text"] == "<img src=x onerror=alert(1)>"
        assert lines.readline() == b"ann: <img src=x onerror=alert(1)>\n"
        # One vanishes without a goodbye.
        ann.sock.close()
        assert bob.hear() == {"type": "left", "name": "ann"}
        assert lines.readline() == b"* ann left\n"


def test_a_newcomer_gets_the_picture_as_it_is(daemon: Daemon) -> None:
    stroke = {"type": "stroke", "points": [[0.5, 0.5], [1.0, 0.0]], "color": "#102030", "width": 2.0}
    with WebSocketClient.to(daemon, "canvas") as ann, WebSocketClient.to(daemon, "canvas") as bob:
        assert ann.hear()["strokes"] == bob.hear()["strokes"] == []
        ann.say(**stroke)
        assert bob.hear() == stroke
        with WebSocketClient.to(daemon, "canvas") as eve:
            assert eve.hear() == {"type": "picture", "strokes": [stroke]}
        bob.say(type="clear")
        assert ann.hear() == {"type": "clear"}


# -- the timeline ----------------------------------------------------------------------------------------


def test_the_timeline_is_live_and_goes_on_where_it_was(daemon: Daemon) -> None:
    path = "facts?service=capitals&kind=received&rate=all&after="
    with WebSocketClient.to(daemon, path + "last") as watcher:
        last = watcher.hear()["last"]
        with daemon.connect("capitals") as sock:
            sock.sendall(b"one")
            assert sock.recv(3) == b"ONE"
            batch = watcher.hear()
            assert [base64.b64decode(fact["data"]) for fact in batch["facts"]] == [b"one"]
            watcher.close()
            sock.sendall(b"two")
            assert sock.recv(3) == b"TWO"
    assert batch["last"] > last
    with WebSocketClient.to(daemon, f"{path}{batch['last']}") as again:
        assert again.hear()["facts"] == []
        assert [base64.b64decode(fact["data"]) for fact in again.hear()["facts"]] == [b"two"]


def test_of_200_watchers_one_stops_reading_and_the_others_miss_nothing(tmp_path: Path) -> None:
    options = ("--web=tcp://127.0.0.1:0?write_timeout=1", "--echo=127.0.0.1:0", "--timestamp=127.0.0.1:0")
    with running(tmp_path, *options) as daemon, ExitStack() as stack:

        def watcher(service: str) -> WebSocketClient:
            client = WebSocketClient.to(daemon, f"facts?service={service}&kind=received&rate=all&after=last")
            assert client.hear()["facts"] == []
            return stack.enter_context(client)

        # More goes to the one than its socket's buffers take, and little to each of the others.
        slow, *others = [watcher("echo"), *(watcher("timestamp") for _ in range(199))]
        before = daemon.memory()
        wanted = [b"%d" % n for n in range(100)]
        with daemon.connect("echo") as bulk, daemon.connect("timestamp") as sock:
            for message in wanted:
                for _ in range(50):
                    bulk.sendall(bytes(4096))
                    assert len(read_exactly(bulk, 4096)) == 4096
                sock.sendall(message)
                assert sock.recv(100).endswith(message)
        for one in others:
            found: list[bytes] = []
            while len(found) < len(wanted):
                found += [base64.b64decode(fact["data"]) for fact in one.hear()["facts"]]
            assert found == wanted
        eventually(lambda: _is_gone(slow.sock))
        assert not any(_is_gone(one.sock) for one in others)
        assert daemon.memory() - before < 64 * MIB


def _is_gone(sock: socket.socket) -> bool:
    """Whether the other side has dropped the connection, whatever still waits to be read."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    return info[0] != 1  # TCP_ESTABLISHED


# -- clients that mean no good ------------------------------------------------------------------------------


def test_300_mb_of_unfinished_fragments_end_in_1009_and_take_less_than_4_mib(daemon: Daemon) -> None:
    more = frame(CONTINUATION, b"*" * 65_536, fin=False)
    with WebSocketClient.to(daemon, "echo") as client:
        daemon.forget_peak()
        before = daemon.memory()
        client.send(frame(BINARY, b"*", fin=False))
        sent = 0
        try:
            while sent < 300 * 1000 * 1000:
                client.send(more)
                sent += len(more)
        except (BrokenPipeError, ConnectionResetError):
            # It need not hear all of it.
            assert sent > MIB
        assert daemon.peak_memory() - before < 4 * MIB


def test_a_message_that_is_too_large_is_told_so(daemon: Daemon) -> None:
    with WebSocketClient.to(daemon, "echo") as client:
        client.send(frame(BINARY, b"*" * 1000, fin=False) + frame(CONTINUATION, b"", length=MIB))
        (one,) = client.rest()
        assert one.payload[:2] == b"\x03\xf1"


def test_a_client_that_never_reads_is_dropped_and_costs_little(tmp_path: Path) -> None:
    with running(tmp_path, "--web=tcp://127.0.0.1:0?write_timeout=1") as daemon:
        with WebSocketClient.to(daemon, "echo") as client:
            client.send(frame(BINARY, b"*" * MIB))
            assert client.next() == Frame(BINARY, b"*" * MIB)
            before = daemon.memory()
            daemon.forget_peak()
            with pytest.raises(OSError):
                _send_for_ever(client, frame(BINARY, b"*" * MIB))
        assert daemon.peak_memory() - before < 24 * MIB


def _send_for_ever(client: WebSocketClient, data: bytes) -> None:
    while True:
        client.send(data)


def test_many_small_frames_do_not_keep_others_waiting(daemon: Daemon) -> None:
    with WebSocketClient.to(daemon, "echo") as busy, WebSocketClient.to(daemon, "capitals") as other:
        busy.send(frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"", fin=False) * 50_000)
        for _ in range(20):
            other.send(frame(TEXT, b"hello"))
            assert other.next() == Frame(TEXT, b"HELLO")
        busy.send(frame(CONTINUATION, b"y"))
        assert busy.next() == Frame(TEXT, b"xy")


# -- the end ---------------------------------------------------------------------------------------------


def test_a_daemon_that_stops_says_goodbye(tmp_path: Path) -> None:
    with running(tmp_path, "--web=0", "--greeting=0", "--echo=ws://:0") as daemon:
        own = WebSocketClient(
            socket.create_connection(("127.0.0.1", daemon.port("echo", "ws")), PATIENCE), "/"
        )
        with (
            own,
            WebSocketClient.to(daemon, "echo") as echo,
            WebSocketClient.to(daemon, "facts?after=last") as facts,
        ):
            assert facts.hear()["facts"] == []
            daemon.signal(signal.SIGTERM)
            for client in (own, echo, facts):
                assert close_code(client.rest()) == 1001
        assert daemon.wait() == -signal.SIGTERM
