"""The echo page: a service over WebSocket."""

from __future__ import annotations

import pytest

from tests.browser.chromium import Chromium
from tests.browser.test_chat import SOCKETS

pytestmark = [pytest.mark.live, pytest.mark.program("chromium")]


def test_what_is_sent_comes_back(browser: Chromium, site: str) -> None:
    with browser.tab(f"{site}/echo") as tab:
        tab.fill("#message", "héllo")
        tab.press("Enter")
        tab.wait_for("document.querySelectorAll('.message').length === 2")
        assert tab.text(".message.received .text") == "héllo"
        assert tab.text(".message.received .hex") == "68 c3 a9 6c 6c 6f"
        assert "text, 6 bytes" in tab.text(".message.received .about")
        tab.choose("#form", "hex")
        tab.fill("#message", "00 ff")
        tab.press("Enter")
        tab.wait_for("document.querySelectorAll('.message').length === 4")
        assert tab.text(".message:last-child .hex") == "00 ff"
        assert "binary, 2 bytes" in tab.text(".message:last-child .about")
        tab.fill("#message", "0")
        tab.press("Enter")
        tab.wait_for_text("That is no hex", "#error")
        assert tab.complaints() == []


def test_who_sends_at_once_has_one_connection(browser: Chromium, site: str) -> None:
    with browser.tab(f"{site}/echo") as tab:
        tab.evaluate(
            "for (let times = 0; times < 5; times++) document.querySelector('#send').requestSubmit()"
        )
        tab.wait_for("document.querySelectorAll('.message').length === 10")
        assert len(tab.sockets()) == 1


def test_the_newest_message_is_seen_whatever_opens_above_it(browser: Chromium, site: str) -> None:
    with browser.tab(f"{site}/echo", height=500) as tab:
        assert "appears here" in tab.evaluate(
            "getComputedStyle(document.querySelector('#messages'), '::before').content"
        )
        tab.fill("#message", "W" * 2000)
        tab.press("Enter")
        tab.wait_for("document.querySelectorAll('.message').length === 2")
        tab.choose("#form", "hex")
        assert tab.evaluate("document.querySelector('#newline').disabled")
        tab.press("Enter")
        tab.wait_for_text("That is no hex", "#error")
        tab.wait_for(
            "(({scrollHeight, scrollTop, clientHeight}) => scrollHeight - scrollTop - clientHeight < 2)"
            "(document.querySelector('#messages'))"
        )


def test_every_running_stream_service_can_be_talked_to(browser: Chromium, site: str) -> None:
    with browser.tab(f"{site}/echo") as tab:
        tab.wait_for("document.querySelector('#service option[value=timestamp]') !== null")
        options = tab.evaluate("[...document.querySelector('#service').options].map((one) => one.value)")
        assert set(options) == {"echo", "timestamp", "receiver", "clients", "chat"}
        tab.choose("#service", "timestamp")
        tab.fill("#message", "hello")
        tab.press("Enter")
        tab.wait_for_text("] hello", ".message.received .text")


def test_another_service_gets_what_is_sent_next(browser: Chromium, site: str) -> None:
    with browser.tab(f"{site}/echo") as tab:
        tab.wait_for("document.querySelector('#service option[value=timestamp]') !== null")
        tab.evaluate(f"{SOCKETS}; null")
        tab.fill("#message", "for echo")
        tab.press("Enter")
        tab.wait_for("sockets.length === 1")
        tab.choose("#service", "timestamp")
        tab.evaluate("sockets[0].open()")
        tab.fill("#message", "for timestamp")
        tab.press("Enter")
        tab.wait_for("sockets.length === 2")
        tab.evaluate("sockets[1].open(); sockets[0].end()")
        tab.wait_for_text("for timestamp", "#messages")
        sent = tab.evaluate("sockets.map(({path, sent}) => [path, sent.map((text) => text.trim())])")
        assert sent == [["/ws/echo", []], ["/ws/timestamp", ["for timestamp"]]]
        assert "not sent" in tab.text("#messages")
        assert tab.evaluate("document.querySelector('#state').dataset.state") == "live"
