"""A configuration, checked: the same refusals as the daemon's, and nothing opened."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from netsvc.commands.check import refuse_collisions
from netsvc.net.binding import Binding, bindings_of
from netsvc.net.machine import Machine
from netsvc.net.where import endpoint_prefixes, parse_where
from netsvc.service import NetService
from netsvc.settings import TLS, Limits, Net, SettingError
from tests.certificates import Certificates
from tests.commands.programs import in_terminal, netsvc, usage
from tests.live.conftest import certificates as certificates
from tests.live.daemon import refused

ECHO = NetService("echo", "", stream="none", datagram="none")


def planned(*wheres: str) -> list[tuple[str, Binding]]:
    """What would listen at some WHEREs."""
    machine = Machine("here", lambda name: ["127.0.0.1"], lambda name: [])
    return [
        ("echo", binding)
        for where in wheres
        for binding in bindings_of(
            parse_where(where, endpoint_prefixes()),
            service=ECHO,
            transports=ECHO.transports,
            settings={},
            limits=Limits(),
            net=Net(),
            tls=TLS(),
            origin="--echo",
            machine=machine,
        )
    ]


# -- two for one address ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wheres",
    [
        ["tcp://127.0.0.1:7", "udp://127.0.0.1:7"],
        ["tcp://127.0.0.1:7", "tcp://127.0.0.2:7"],
        ["tcp://0.0.0.0:7", "tcp://[::1]:7"],
        ["0", "0"],
        ["tcp:7", "tcp:7:interface=127.0.0.1"],
        ["unix:///a", "unix:///b"],
    ],
)
def test_what_can_be_open_at_once_is_let_pass(wheres: list[str]) -> None:
    refuse_collisions(planned(*wheres))


@pytest.mark.parametrize(
    ("wheres", "text"),
    [
        (["7", "tcp://127.0.0.1:7"], "--echo tcp://127.0.0.1:7: port 7 of 127.0.0.1 is in use"),
        (["udp://0.0.0.0:7", "udp://127.0.0.1:7"], "UDP port 7 of 127.0.0.1 is in use"),
        (["tcp://127.0.0.1:7", "tcp://[::]:7"], "port 7 of :: is in use"),
        (["unix:///a", "unix:///a"], "/a is in use; choose another path with --echo"),
    ],
)
def test_two_for_one_address_are_refused_as_the_system_would(wheres: list[str], text: str) -> None:
    with pytest.raises(SettingError) as caught:
        refuse_collisions(planned(*wheres))
    assert text in str(caught.value)


# -- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration with a listener of each kind."""
    path = tmp_path / "netsvc.toml"
    path.write_text(
        f"""
        [echo]
        listen = ["unix://{tmp_path}/echo.sock", "tcp:0", "udp://127.0.0.1:7007"]
        [receiver]
        listen = "127.0.0.1:6667"
        """
    )
    return path


@pytest.mark.live
def test_it_says_what_would_listen_where_and_opens_nothing(file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        # A port in use shows only at the start.
        number = taken.getsockname()[1]
        status, output, errors = netsvc("check", "--config", str(file), "--time", f"tcp://127.0.0.1:{number}")
    assert (status, errors) == (0, "")
    rows = [line.split(maxsplit=3) for line in output.decode().splitlines()[1:]]
    listen = f"{file}: echo.listen"
    assert sorted(rows) == sorted(
        [
            ["receiver", "tcp://127.0.0.1:6667", "tcp", f"{file}: receiver.listen"],
            ["receiver", "udp://127.0.0.1:6667", "udp", f"{file}: receiver.listen"],
            ["echo", f"unix://{file.parent}/echo.sock", "unix", listen],
            ["echo", "tcp:0", "endpoint", listen],
            ["echo", "udp://127.0.0.1:7007", "udp", listen],
            ["time", f"tcp://127.0.0.1:{number}", "tcp", "--time"],
        ]
    )
    assert [path.name for path in file.parent.iterdir()] == ["netsvc.toml"]


@pytest.mark.live
def test_json_has_the_keys_of_ready(file: Path) -> None:
    status, output, _ = netsvc("check", "--json", "--config", str(file))
    assert status == 0
    assert json.loads(output)[-1] == {
        "service": "echo",
        "listener": "udp://127.0.0.1:7007",
        "transport": "udp",
        "address": "127.0.0.1",
        "port": 7007,
        "origin": f"{file}: echo.listen",
        "optional": False,
    }


@pytest.mark.live
def test_without_options_it_is_the_default_set() -> None:
    with in_terminal("check") as terminal:
        status, shown = terminal.end()
    assert status == 0
    for name in ("timestamp", "receiver", "clients"):
        assert name in shown


@pytest.mark.live
@pytest.mark.parametrize(
    "arguments",
    [
        ["--config", "/no/such/file"],
        ["--config", "{broken}"],
        ["--config", "{unknown}"],
        ["--tcp", "nowhere.invalid:0"],
        ["--tcp", "systemd://nothing"],
        ["--tcp", "tls://:0?certificate=/no/such/file"],
        ["--tcp", "tls://:0?certificate={certificate}"],
        ["--tcp", "tcp:0:nonsense=1"],
        ["--udp", "0", "--set", "receiver.ack=recorded"],
        ["--config", "{factory}"],
        ["--set", "limits.idle_timeout=soon"],
    ],
)
def test_what_the_daemon_refuses_is_refused_in_its_words(
    tmp_path: Path, certificates: Certificates, arguments: list[str]
) -> None:
    files = {
        "broken": "[echo",
        "unknown": "[echo]\nlisten = 0\ntest = 1\n",
        "factory": "[service.mine]\nstream = 'no.such.Factory'\nlisten = 0\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    names = {name: str(tmp_path / name) for name in files}
    given = [one.format(**names, certificate=certificates.server_certificate) for one in arguments]
    status, _, line = refused(tmp_path, *given)
    assert netsvc("check", *given) == (1, b"", line)
    assert status == 1


@pytest.mark.live
def test_two_listeners_for_one_port_are_refused_in_the_daemons_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        number = sock.getsockname()[1]
    given = ["--echo", f"tcp://127.0.0.1:{number}", "--time", f"tcp://127.0.0.1:{number}"]
    status, _, line = refused(tmp_path, *given)
    assert netsvc("check", *given) == (status, b"", line)
    assert "is in use" in line


@pytest.mark.live
def test_warnings_and_left_out_plugins_are_lines_on_standard_error(
    tmp_path: Path, certificates: Certificates
) -> None:
    plugins = tmp_path / "site" / "twisted" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "netsvc_broken.py").write_text("1 / 0\n")
    path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH")]))
    status, output, errors = netsvc(
        "check", "--echo", "tcp://127.0.0.1:0?max_connections=1000000", environment={"PYTHONPATH": path}
    )
    assert status == 0
    assert b"tcp://127.0.0.1:0" in output
    first, second = errors.splitlines()
    assert first == "netsvc: plugin netsvc_broken is left out: ZeroDivisionError: division by zero"
    assert second.startswith("netsvc: tcp://127.0.0.1:0: max_connections is 1000000, but")


def test_wrong_usage_is_status_2() -> None:
    assert usage("check", "--config") == 2


@pytest.mark.live
@pytest.mark.parametrize("arguments", [["--bogus"], ["--echo"]])
def test_wrong_usage_of_the_daemons_options_is_status_2_too(arguments: list[str]) -> None:
    status, output, errors = netsvc("check", *arguments)
    assert (status, output, errors.count("\n")) == (2, b"", 1)
    assert errors.startswith("netsvc: ")
