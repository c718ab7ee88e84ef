"""The commands over WebSocket, with a real daemon."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Certificates
from tests.commands.programs import answering, in_terminal, netsvc, serving, started, usage
from tests.commands.webrig import directory
from tests.live.conftest import certificates as certificates
from tests.live.daemon import Daemon, running

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Daemon]:
    """A daemon with a web service, plain and over TLS."""
    tls = f"certificate={certificates.server_certificate}&key={certificates.server_key}"
    with running(
        tmp_path_factory.mktemp("daemon"),
        "--web=127.0.0.1:0",
        f"--web=tls://127.0.0.1:0?{tls}",
        "--chat=127.0.0.1:0",
        "--clients=127.0.0.1:0",
        "--greeting=127.0.0.1:0",
        "--timestamp=127.0.0.1:0",
    ) as started_daemon:
        yield started_daemon


@pytest.fixture
def web(daemon: Daemon) -> str:
    """Where its services are over WebSocket."""
    return f"ws://127.0.0.1:{daemon.port('web')}"


# -- talk and send ------------------------------------------------------------------------------------------


def test_messages_are_answered_one_by_one(web: str) -> None:
    status, output, errors = netsvc("talk", f"{web}/ws/timestamp", given=b"a\nb\n")
    assert (status, errors) == (0, "")
    # Each is a message of its own, and has no end.
    assert [line[-3:] for line in output.splitlines()] == [b"] a", b"] b"]


def test_there_is_a_prompt(web: str) -> None:
    with in_terminal("talk", f"{web}/ws/timestamp") as terminal:
        terminal.wait_for(">>> ")
        terminal.type("hello python\r")
        terminal.wait_for("] hello python\n")
        terminal.wait_for(">>> ")
        terminal.type("\x04")
        assert terminal.end()[0] == 0


@pytest.mark.parametrize("data", ["00 ff 41", "68 c3 a9"])
def test_bytes_of_any_kind_come_back(web: str, data: str) -> None:
    assert netsvc("send", f"{web}/ws/echo", "--hex", data, "--wait") == (0, f"{data}\n".encode(), "")


def test_an_empty_message_is_one_too(web: str) -> None:
    # The answer to it has no bytes, but it is one.
    assert netsvc("send", f"{web}/ws/echo", "", "--wait", "20") == (0, b"", "")
    status, output, errors = netsvc("send", f"{web}/ws/timestamp", "", "--wait")
    assert (status, output[-2:], errors) == (0, b"] ", "")


def test_a_file_larger_than_a_message_may_be_comes_back(web: str, tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000
    (tmp_path / "file").write_bytes(data)
    status, output, errors = netsvc("send", f"{web}/ws/echo", "--file", str(tmp_path / "file"), "--wait")
    assert (status, output == data, errors) == (0, True, "")


def test_over_tls_the_server_is_verified(daemon: Daemon, certificates: Certificates) -> None:
    place = f"127.0.0.1:{daemon.port('web', 'tls')}"
    url = f"wss://{place}/ws/echo"
    assert netsvc("send", url, "x", "--wait", "--ca", str(certificates.ca)) == (0, b"x", "")
    status, output, errors = netsvc("send", url, "x", "--wait")
    assert (status, output) == (1, b"")
    assert errors.startswith(f"netsvc: certificate of {place} is not trusted")
    status, output, errors = netsvc("send", url, "x", "--wait", "--insecure")
    assert (status, output) == (0, b"x")
    assert f"the certificate of {url} is NOT VERIFIED" in errors
    assert usage("send", f"ws://{place}/ws/echo", "x", "--insecure") == 2


# -- the other commands -------------------------------------------------------------------------------------


def test_a_greeting_is_heard(web: str) -> None:
    assert netsvc("greet", f"{web}/ws/greeting") == (0, b"Thank you for connecting\r\n", "")


def test_the_client_list_is_shown(web: str) -> None:
    status, output, errors = netsvc("clients", f"{web}/ws/clients", "-n", "over websocket", "--json")
    assert (status, errors) == (0, "")
    assert json.loads(output)["over websocket"]["address"] == "127.0.0.1"


def test_load_is_refused(web: str) -> None:
    assert usage("bench", f"{web}/ws/echo") == 2
    assert usage("listen", f"{web}/ws/echo") == 2


# -- chat ---------------------------------------------------------------------------------------------------


def test_both_sides_of_the_room_hear_each_other(daemon: Daemon, web: str) -> None:
    stream = f"127.0.0.1:{daemon.port('chat')}"
    with started("chat", web, "-n", "ann") as ann:
        assert ann.line() == "* here: ann\n"
        with started("chat", stream, "-n", "bob") as bob:
            assert ann.line() == "* bob joined\n"
            ann.type("hello from ann\n")
            assert bob.line() == "ann: hello from ann\n"
            bob.type("hello from bob\n")
            assert ann.line() == "bob: hello from bob\n"
            assert bob.end() == (0, b"", "")
        assert ann.line() == "* bob left\n"
        assert ann.end() == (0, b"", "")


def test_a_name_that_is_taken_is_one_line(web: str) -> None:
    with started("chat", f"{web}/ws/chat", "-n", "eve") as eve:
        assert eve.line() == "* here: eve\n"
        for given in (b"", b"hello\n"):
            expected = (1, b"", f"netsvc: {web}/ws/chat: name taken\n")
            assert netsvc("chat", web, "-n", "eve", given=given) == expected


def test_what_is_not_taken_is_told_and_nothing_more(web: str) -> None:
    with started("chat", web, "-n", "tom") as tom:
        assert tom.line() == "* here: tom\n"
        tom.type("x" * 9000 + "\n")
        assert tom.line() == "* not taken: the text is longer than 8192 bytes\n"
        assert tom.end() == (0, b"", "")


def test_others_cannot_forge_a_line_nor_drive_the_terminal(web: str) -> None:
    with in_terminal("chat", web, "-n", "tim") as tim:
        tim.wait_for("* here: tim\n")
        with started("chat", web, "-n", "eve") as eve:
            assert eve.line() == "* here: tim, eve\n"
            eve.type("one\x1b[2J\u2028* bob joined\n")
            tim.wait_for("eve: one\\x1b[2J\\u2028* bob joined\n")
            tim.type("\x04")
            assert tim.end()[0] == 0


# -- what does not work -------------------------------------------------------------------------------------


def test_what_is_not_there_is_one_line(web: str) -> None:
    status, output, errors = netsvc("send", f"{web}/ws/nothing", "x", "--wait")
    assert (status, output) == (1, b"")
    assert errors.startswith(f"netsvc: {web}/ws/nothing: 404 ")
    assert errors.count("\n") == 1


def test_another_server_is_one_line() -> None:
    with serving(answering([b"220 smtp.example\r\n"])) as place:
        expected = (1, b"", f"netsvc: ws://{place}: what answers there does not speak HTTP\n")
        assert netsvc("send", f"ws://{place}", "x", "--wait") == expected


def test_nobody_there_is_one_line() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{sock.getsockname()[1]}/ws/echo"
        assert netsvc("send", url, "x") == (1, b"", f"netsvc: {url}: connection refused\n")


def test_a_token_that_is_none_is_one_line(web: str) -> None:
    environment = {"NETSVC_TOKEN": "my token!", "NETSVC_URL": web.replace("ws", "http", 1)}
    expected = (1, b"", "netsvc: NETSVC_TOKEN: expected letters, digits and -._~+/= only\n")
    assert netsvc("send", f"{web}/ws/echo", "x", "--wait", environment=environment) == expected
    # Nobody else is shown it, so it may be anything.
    environment["NETSVC_URL"] = "http://elsewhere:1"
    assert netsvc("send", f"{web}/ws/echo", "x", "--wait", environment=environment) == (0, b"x", "")


def test_a_daemon_beyond_loopback_gets_its_token_and_nobody_else_does(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("letmein\n")
    options = ["--web=tcp://0.0.0.0:0", f"--set=web.token_file={tmp_path}/token"]
    with running(directory(tmp_path, "daemon"), *options) as daemon:
        place = f"127.0.0.1:{daemon.port('web')}"
        ask = ["send", f"ws://{place}/ws/echo", "x", "--wait"]
        environment = {"NETSVC_TOKEN": "letmein"}
        assert netsvc(*ask, environment={**environment, "NETSVC_URL": f"http://{place}"}) == (0, b"x", "")
        status, _, errors = netsvc(*ask, environment={**environment, "NETSVC_URL": "http://elsewhere:1"})
        assert (status, "403 a token is needed" in errors) == (1, True)
        ask[1] += "?token=letmein"
        assert netsvc(*ask, environment={"NETSVC_TOKEN": ""}) == (0, b"x", "")
