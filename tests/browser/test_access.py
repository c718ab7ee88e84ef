"""The page where a token is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.chromium import Chromium
from tests.browser.test_accessibility import complaints, is_too_wide, violations
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
        with browser.tab(f"{site}/chat", width=360, dark=True) as stranger:
            stranger.wait_for_text("A token is needed")
            assert stranger.count("#messages") == 0
            assert violations(stranger) == []
            assert not is_too_wide(stranger)
            stranger.fill("[name=token]", "not-this-one")
            stranger.press("Enter")
            stranger.wait_for("location.search.includes('not-this-one')")
            stranger.wait_for_text("A token is needed")
            stranger.fill("[name=token]", "let-me-in")
            stranger.press("Enter")
            stranger.wait_for("document.querySelector('#join') !== null")
            assert stranger.evaluate("location.pathname + location.search") == "/chat"
            # That the page was not given at first is what the browser itself says.
            assert [one for one in complaints(stranger) if "403 (Forbidden)" not in one] == []
