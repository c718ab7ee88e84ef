"""From a configuration to what is opened and serves: what is refused, and in which words."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, cast

import pytest

from twisted.internet.task import Clock

from netsvc.assembly.common import Common
from netsvc.assembly.opening import Opening
from netsvc.assembly.planning import wanted_by
from netsvc.assembly.running import Running
from netsvc.assembly.serving import Serving
from netsvc.configuration import CommandLine, configuration_of
from netsvc.interfaces import IDaemonView
from netsvc.net.sockets import close_sockets
from netsvc.registry import discover
from netsvc.settings import SettingError


def _opened(owner: tuple[int, int] | None = None, descriptors: int = 1000, **tables: Any) -> list[Running]:
    """What a configuration with such tables has opened; the sockets are closed again."""
    configuration = configuration_of(CommandLine(), discover(), tables, "netsvc.toml")
    common = Common(configuration, Clock(), owner)
    common.descriptors = descriptors
    # No service that is opened here asks for it.
    common.view = cast(IDaemonView, None)
    opening = Opening(configuration, common, Serving(configuration, common))
    try:
        return [
            running
            for wanted in wanted_by(configuration, common)
            for running in opening.open(wanted.service, wanted.bindings)
        ]
    finally:
        close_sockets(opening.opened)


def test_a_socket_file_that_cannot_be_given_to_its_user_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(path: str, uid: int, gid: int) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), path)

    monkeypatch.setattr(os, "chown", fail)
    where = f"unix://{tmp_path}/s"
    with pytest.raises(SettingError) as refused:
        _opened((65534, 65534), echo={"listen": where})
    assert str(refused.value) == (
        f"netsvc.toml: echo.listen {where}: {tmp_path}/s cannot be given to the user that twistd becomes: "
        "Operation not permitted"
    )
    assert not (tmp_path / "s").exists()


def test_an_origin_that_is_none_is_refused_by_the_key_that_says_it() -> None:
    where = "ws://127.0.0.1:0?origin=foo"
    with pytest.raises(SettingError) as refused:
        _opened(daytime={"listen": where})
    assert str(refused.value) == (
        f"netsvc.toml: daytime.listen {where}: origin 'foo': expected such as https://app.example.org, "
        "without a path; or *"
    )


@pytest.mark.parametrize("scheme", ["tcp", "ws"])
def test_what_a_listener_shows_of_max_connections_fits_the_descriptors(scheme: str) -> None:
    (running,) = _opened(echo={"listen": f"{scheme}://127.0.0.1:0", "max_connections": 100_000})
    listening = running.listener.listening
    assert listening is not None
    assert listening.limits.max_connections == 1000 - 64
