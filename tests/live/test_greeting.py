"""greeting through real sockets: its text, its clean end, its line in the log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.live.daemon import Daemon, read_all, running
from tests.live.streams import Dial, unix_stream

pytestmark = pytest.mark.live

#: A listener for each, by the name of its UNIX socket.
TEXTS = {
    "hello": "Hello",
    "lines": "one\ntwo\r\n",
    "utf-8": "Grüß Gott €",
    "format": "{x} %s & + = ?",
    "empty": "",
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the listeners of `TEXTS` are."""
    return tmp_path_factory.mktemp("greeting")


@pytest.fixture(scope="module")
def set_otherwise(directory: Path) -> Iterator[Daemon]:
    """Greetings with texts of their own, and one from a configuration file."""
    (directory / "netsvc.toml").write_text(
        '[greeting]\nlisten = "tcp://127.0.0.1:0"\ntext = "from the file\\n"\nclose_timeout = 30\n'
    )
    texts = [f"--greeting=unix://{directory}/{name}?text={quote(text)}" for name, text in TEXTS.items()]
    texts.append("--greeting=tcp://127.0.0.1:0")
    with running(directory, f"--config={directory}/netsvc.toml", *texts) as daemon:
        yield daemon


@pytest.mark.parametrize(
    ("transport", "host"), [("tcp", "127.0.0.1"), ("tcp", "::1"), ("tls", "127.0.0.1"), ("unix", "")]
)
def test_a_client_is_greeted_and_the_connection_ends(dial: Dial, transport: str, host: str) -> None:
    with dial("greeting", transport, host) as sock:
        assert read_all(sock) == b"Thank you for connecting\r\n"


def test_a_client_that_talks_meanwhile_is_not_reset(set_otherwise: Daemon) -> None:
    # Nobody wants what it sends, but a reset could destroy the greeting on its way.
    for _ in range(20):
        with set_otherwise.connect("greeting") as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n")
            assert read_all(sock) == b"from the file\n"
            for _ in range(3):
                sock.sendall(b"Still: talking\r\n")


@pytest.mark.parametrize("name", TEXTS)
def test_the_text_is_sent_as_it_stands(set_otherwise: Daemon, directory: Path, name: str) -> None:
    with unix_stream(directory / name) as sock:
        assert read_all(sock) == TEXTS[name].encode()


def test_the_text_can_be_in_the_file(set_otherwise: Daemon) -> None:
    with set_otherwise.connect("greeting") as sock:
        assert read_all(sock) == b"from the file\n"


@pytest.mark.parametrize(("transport", "host"), [("tcp", "127.0.0.1"), ("tls", "127.0.0.1"), ("tcp", "::1")])
def test_the_log_tells_of_each_connection(daemon: Daemon, dial: Dial, transport: str, host: str) -> None:
    with dial("greeting", transport, host) as sock:
        port = sock.getsockname()[1]
    line = daemon.wait_for_line(rf", {port}\)$")
    assert line.endswith(f"] Got connection from ('{host}', {port})\n")
