"""Where WebSocket does not pass, or does not last, timeline and chat go on by long polling, by themselves."""

from __future__ import annotations

import pytest

from tests.browser.chromium import Chromium
from tests.browser.relay import Relay
from tests.browser.test_chat import join, say
from tests.browser.test_timeline import rows_with, send
from tests.live.daemon import Daemon

pytestmark = [pytest.mark.live, pytest.mark.program("chromium")]

POLLING = "document.querySelector('#state').dataset.state === 'polling'"


@pytest.mark.parametrize("websocket", ["refused", "cut"])
def test_the_timeline_goes_on(browser: Chromium, daemon: Daemon, relay: Relay, websocket: str) -> None:
    relay.websocket = websocket
    marker = f"without {websocket}"
    with browser.tab(f"{relay.site}/#contains={marker}") as tab:
        tab.wait_for(POLLING)
        numbers = range(5)
        for number in numbers:
            send(daemon, f"{marker} {number}")
            tab.wait_for(rows_with(f"{marker} {number}"))
        found = tab.evaluate("[...document.querySelectorAll('.fact .text')].map((cell) => cell.textContent)")
        assert found == [f"{marker} {number}" for number in numbers]


@pytest.mark.parametrize("websocket", ["refused", "cut"])
def test_the_chat_goes_on(browser: Chromium, daemon: Daemon, site: str, relay: Relay, websocket: str) -> None:
    relay.websocket = websocket
    with browser.tab(f"{relay.site}/chat") as ann, browser.tab(f"{site}/chat") as bob:
        join(bob, f"bob-{websocket}")
        ann.fill("#join input", f"ann-{websocket}")
        ann.click("#join button")
        ann.wait_for(POLLING)
        ann.wait_for(f"document.querySelector('#people').innerText.includes('ann-{websocket}')")
        say(bob, "can you hear me?")
        ann.wait_for_text("can you hear me?", "#messages")
        for number in range(3):
            say(ann, f"yes {number}")
        bob.wait_for_text("yes 2", "#messages")
        said = bob.evaluate("[...document.querySelectorAll('.said .words')].map((one) => one.innerText)")
        assert said == ["can you hear me?", "yes 0", "yes 1", "yes 2"]
        ann.click("#leave")
        bob.wait_for_text(f"ann-{websocket} left", "#messages")
