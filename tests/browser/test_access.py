"""The page where a token is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.chromium import Chromium
from tests.browser.test_timeline import rows_with, send
from tests.live.daemon import running

pytestmark = [pytest.mark.live, pytest.mark.program("chromium")]


def test_who_opens_the_url_with_the_token_sees_everything(browser: Chromium, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("let-me-in\n")
    directory = tmp_path / "daemon"
    directory.mkdir()
    services = [
        "--web=0.0.0.0:0",
        "--receiver=127.0.0.1:0",
        "--chat=127.0.0.1:0",
        f"--set=web.token_file={token}",
    ]
    with running(directory, *services) as daemon:
        site = f"http://127.0.0.1:{daemon.port('web')}"
        with browser.tab(f"{site}/?token=let-me-in#contains=secret") as tab:
            tab.wait_for("document.querySelector('#state').dataset.state === 'live'")
            assert tab.evaluate("location.search") == ""
            send(daemon, "secret message")
            tab.wait_for(rows_with("secret message"))
            assert tab.complaints() == []
        with browser.tab(site) as stranger:
            stranger.wait_for_text("token")
            assert stranger.count("#facts") == 0
