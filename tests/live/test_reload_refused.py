"""A bad configuration is refused when it is read again, and nothing changes."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.live.daemon import eventually
from tests.live.reloads import (
    ECHO,
    configured,
    said,
)

pytestmark = pytest.mark.live


def _bad(name: str, text: str, expected: str) -> object:
    return pytest.param(text, expected, id=name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        _bad("syntax", "[echo", "netsvc.toml: expected TOML"),
        _bad("unknown key", ECHO + "colour = 1\n", "echo.colour: no such setting"),
        _bad("unknown table", ECHO + "[eco]\n", "eco: no such table or service"),
        _bad("wrong type", ECHO + "idle_timeout = 'soon'\n", "echo.idle_timeout: expected a number"),
        _bad("no service", "[echo]\nlisten = []\n[net]\n", "no service is left to start"),
        _bad("WHERE", "[echo]\nlisten = 'nothing://1'\n", "echo.listen 'nothing://1': unknown scheme"),
        _bad(
            "certificate",
            ECHO + "[tls]\ncertificate = '/missing.pem'\n",
            "tls.certificate: certificate '/missing.pem': No such file",
        ),
        _bad(
            "certificate of one listener",
            ECHO + "[daytime]\nlisten = 'tls://127.0.0.1:0?certificate=/missing.pem'\n",
            "certificate '/missing.pem': No such file",
        ),
        _bad("port in use", ECHO + "[daytime]\nlisten = 'tcp://127.0.0.1:{taken}'\n", "is in use"),
        _bad(
            "port in use, after others were opened",
            ECHO + "[daytime]\nlisten = ['tcp://127.0.0.1:0', 'tcp://127.0.0.1:{taken}']\n",
            "is in use",
        ),
        _bad(
            "port in use, after a file was made",
            ECHO + "[daytime]\nlisten = ['unix://{directory}/made', 'tcp://127.0.0.1:{taken}']\n",
            "is in use",
        ),
        _bad("port twice", ECHO + "[daytime]\nlisten = 'tcp://127.0.0.1:{echo}'\n", "is in use"),
        _bad("endpoint", ECHO + "[daytime]\nlisten = 'tcp:{taken}:interface=127.0.0.1'\n", "in use"),
        _bad(
            "no address of the machine",
            ECHO + "[daytime]\nlisten = 'tcp://192.0.2.1:0'\n",
            "192.0.2.1 is no address of this machine",
        ),
        _bad(
            "no such directory",
            ECHO + "[daytime]\nlisten = 'unix:///missing/socket'\n",
            "there is no directory /missing",
        ),
        _bad(
            "no such factory",
            ECHO + "[service.x]\nstream = 'missing.Factory'\nlisten = 0\n",
            "cannot import missing.Factory",
        ),
        _bad(
            "factory that cannot start",
            ECHO + "[service.x]\nstream = 'failing.Fails'\nlisten = 0\n",
            "cannot start today",
        ),
    ],
)
def test_a_bad_configuration_is_refused_with_one_line_and_changes_nothing(
    tmp_path: Path, text: str, expected: str
) -> None:
    (tmp_path / "failing.py").write_text(
        "from twisted.internet.protocol import Factory\n"
        "class Fails(Factory):\n"
        "    def startFactory(self):\n"
        "        raise OSError('cannot start today')\n"
    )
    environment = {"PYTHONPATH": str(tmp_path)}
    text_before = ECHO + "[timestamp]\nlisten = 0\n"
    with configured(tmp_path, text_before, environment=environment) as house:
        daemon = house.daemon
        places = daemon.places
        with socket.create_server(("127.0.0.1", 0)) as other, daemon.connect("echo") as sock:
            assert said(sock, b"x") == b"x\n"
            bad = text.replace("{taken}", str(other.getsockname()[1])).replace("{directory}", str(tmp_path))
            outcome = house.again(bad.replace("{echo}", str(daemon.port("echo"))))
            assert outcome.startswith("the configuration is refused, the one before goes on: ")
            assert expected in outcome
            assert said(sock, b"x") == b"x\n"
            assert daemon.places == places
            assert not (tmp_path / "made").exists()
            # The second time nothing is made for the first time, and all that was made is gone again.
            descriptors = daemon.descriptors()
            assert expected in house.again()
            eventually(lambda: daemon.descriptors() == descriptors)
            with daemon.connect("timestamp") as stamped:
                assert said(stamped, b"x").endswith(b"x\n")
        assert "0 opened, 1 closed, 0 changed, 2 as they were" in house.again(ECHO)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can drop privileges")
def test_what_the_user_that_it_became_may_not_open_is_refused(tmp_path: Path) -> None:
    above = tmp_path
    while above != above.parent:
        above.chmod(above.stat().st_mode | 0o011)
        above = above.parent
    tmp_path.chmod(0o777)
    with configured(tmp_path, ECHO, twistd=("--uid", "65534", "--gid", "65534")) as house:
        house.file.chmod(0o644)
        outcome = house.again(ECHO + "[daytime]\nlisten = 'tcp://127.0.0.1:13'\n")
        assert "port 13 of 127.0.0.1 needs more rights than this user has" in outcome
        assert "1 opened" in house.again(ECHO + f"[daytime]\nlisten = 'unix://{tmp_path}/daytime'\n")
        assert (tmp_path / "daytime").stat().st_uid == 65534
