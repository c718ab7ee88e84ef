"""What peers send is data: nothing of it becomes part of a page, or runs."""

from __future__ import annotations

import pytest

from tests.browser.chromium import Chromium, Tab
from tests.browser.conftest import site_of
from tests.browser.test_chat import join
from tests.live.daemon import Daemon

pytestmark = [pytest.mark.live, pytest.mark.program("chromium")]

MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


def assert_untouched(tab: Tab) -> None:
    """Nothing of it ran, or was put into the page as anything but text."""
    assert tab.evaluate("document.title.includes('owned')") is False
    assert tab.count("img, iframe, object, embed, style") == 0
    assert tab.count("script:not([type=module][src])") == 0
    assert tab.complaints() == []


def test_a_clients_name_is(browser: Chromium, fresh: Daemon) -> None:
    with fresh.connect("clients") as sock:
        sock.sendall(MARKUP.encode() + b"\n")
        sock.recv(4096)
    with browser.tab(site_of(fresh)) as tab:
        tab.wait_for_text("<img src=x", "#clients")
        tab.wait_for("document.querySelector('#facts').textContent.includes('<img src=x')")
        tab.click("#clients button")
        tab.wait_for("document.querySelector('.fact') !== null")
        tab.click(".fact")
        tab.wait_for_text("<img src=x", "#detail")
        assert_untouched(tab)


def test_every_byte_value_is(browser: Chromium, fresh: Daemon) -> None:
    with browser.tab(site_of(fresh)) as tab, fresh.datagrams("receiver") as sock:
        tab.wait_for("document.querySelector('#state').dataset.state === 'live'")
        sock.send(bytes(range(256)))
        sock.send(MARKUP.encode())
        # Override, isolate, separator: what would turn around, or break, the text beside it.
        sock.send("\u202egnp.exe\u2066\u2028\ufeff".encode())
        tab.wait_for("document.querySelectorAll('.fact').length === 3")
        for row, shown in [(1, "00f0  f0 f1 f2"), (2, "<img src=x"), (3, "gnp.exe")]:
            tab.click(f".fact:nth-child({row})")
            tab.wait_for_text(shown, "#detail pre")
        text = tab.evaluate("document.querySelector('.fact:nth-child(3) .text').textContent")
        assert text == "\ufffdgnp.exe\ufffd\ufffd\ufffd"
        controls = r"[\u0000-\u0008\u000e-\u001f\u007f-\u009f\u202e]"
        assert tab.evaluate(f"/{controls}/.test(document.querySelector('#facts').textContent)") is False
        assert_untouched(tab)


def test_what_chatters_say_is(browser: Chromium, fresh: Daemon) -> None:
    with browser.tab(f"{site_of(fresh)}/chat") as tab, fresh.connect("chat") as sock:
        join(tab, "ann")
        sock.sendall(b"<b onclick=1>\n" + MARKUP.encode() + b"\n")
        tab.wait_for_text("<img src=x", "#messages")
        tab.wait_for_text("<b onclick=1>", "#people")
        assert tab.count("#messages b, #people b") == 0
        assert_untouched(tab)


def test_what_a_service_answers_is(browser: Chromium, fresh: Daemon) -> None:
    with browser.tab(f"{site_of(fresh)}/echo") as tab:
        tab.fill("#message", MARKUP)
        tab.press("Enter")
        tab.wait_for_text("<img src=x", ".message.received .text")
        assert_untouched(tab)
