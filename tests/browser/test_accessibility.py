"""
Each page, wide and narrow, light and dark: axe-core finds nothing wrong, nothing is wider than the screen,
and nobody complains.
"""

from __future__ import annotations

from importlib import resources

import pytest

from tests.browser.chromium import Chromium, Tab
from tests.browser.conftest import site_of
from tests.browser.test_chat import join
from tests.browser.test_timeline import send
from tests.live.daemon import Daemon

pytestmark = [pytest.mark.live, pytest.mark.program("chromium")]

AXE = (resources.files("axe_core_python") / "axe.min.js").read_text()

#: WCAG 2.1 A and AA, and what axe-core's authors hold for good practice; and that who speaks to the page can
#: say what a button shows, which became part of the former only later.
RULES = (
    "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'],"
    "rules: {'label-content-name-mismatch': {enabled: true}}}"
)


def violations(tab: Tab) -> list[str]:
    """What is wrong with a page as it is now: the rule, and the elements that break it."""
    tab.evaluate(f"{AXE};0")
    found: list[str] = tab.evaluate(
        f"axe.run(document, {RULES}).then(({{violations}}) => violations.map("
        "({id, nodes}) => `${id}: ${nodes.map((node) => node.html.slice(0, 200)).join(' ')}`))"
    )
    return found


def complaints(tab: Tab) -> list[str]:
    """What the page complained of; axe-core looks at drawn letters, which the browser has an opinion on."""
    return [one for one in tab.complaints() if not one.startswith("Canvas2D: Multiple readback")]


def overlap(tab: Tab) -> bool:
    """Whether what is in the page's main part lies over what is beside it, or below it."""
    return bool(
        tab.evaluate(
            "(() => { const [detail, aside] = ['#detail', 'aside'].map("
            "(selector) => document.querySelector(selector).getBoundingClientRect());"
            "return detail.bottom > aside.top && detail.right > aside.left; })()"
        )
    )


def is_too_wide(tab: Tab) -> bool:
    """Whether one would have to scroll sideways."""
    return bool(tab.evaluate("document.documentElement.scrollWidth > innerWidth"))


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (360, True)])
def test_the_timeline_is_for_everybody(browser: Chromium, fresh: Daemon, width: int, dark: bool) -> None:
    with fresh.connect("clients") as sock:
        sock.sendall(b"a client with a name that is so long that it does not fit into a line of this page\n")
        sock.recv(4096)
    with browser.tab(site_of(fresh), width=width, dark=dark) as tab, fresh.connect("echo") as sock:
        sock.sendall(b"W" * 3000)
        send(fresh, "to look at")
        tab.wait_for("document.querySelectorAll('.fact').length > 2")
        tab.wait_for("document.querySelector('#connections li') !== null")
        tab.wait_for("document.querySelector('#clients li') !== null")
        tab.click("#listeners > li > button")
        tab.click(".fact:last-child")
        tab.wait_for("!document.querySelector('#detail').hidden")
        assert violations(tab) == []
        assert not overlap(tab)
        assert not is_too_wide(tab)
        assert complaints(tab) == []


@pytest.mark.parametrize("width", [320, 640, 769, 1000, 1199, 1200, 1920])
def test_text_has_room_at_any_width(browser: Chromium, daemon: Daemon, site: str, width: int) -> None:
    send(daemon, "some text to read")
    with browser.tab(f"{site}/#contains=to+read", width=width) as tab:
        tab.wait_for("document.querySelector('.fact .text') !== null")
        assert tab.evaluate("document.querySelector('.fact .text').clientWidth") >= 140
        assert not is_too_wide(tab)


@pytest.mark.parametrize(("width", "dark"), [(1280, True), (360, False)])
def test_a_timeline_that_is_looked_back_in_is(
    browser: Chromium, fresh: Daemon, width: int, dark: bool
) -> None:
    send(fresh, *(f"some {number}" for number in range(250)))
    with browser.tab(site_of(fresh), width=width, dark=dark) as tab:
        tab.wait_for("document.querySelectorAll('.fact').length === 200")
        if width < 640:
            assert not tab.evaluate("document.querySelector('#filters').checkVisibility()")
            tab.click("#filters-toggle")
        tab.evaluate("document.querySelector('#facts').scrollTop = 0")
        assert violations(tab) == []
        tab.click("#earlier button")
        tab.wait_for_text("earlier facts", "#earlier .note")
        tab.fill("[name=contains]", "hex:0")
        tab.wait_for_text("Content: expected", "#filters-error")
        assert violations(tab) == []
        assert not is_too_wide(tab)


@pytest.mark.parametrize(("width", "dark"), [(1280, True), (360, False)])
def test_an_empty_timeline_is(browser: Chromium, site: str, width: int, dark: bool) -> None:
    with browser.tab(f"{site}/#contains=of-nothing", width=width, dark=dark) as tab:
        tab.wait_for_text("Nothing fits the filter")
        assert violations(tab) == []
        assert not is_too_wide(tab)
        assert complaints(tab) == []


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (360, True)])
@pytest.mark.parametrize("page", ["chat", "canvas", "echo"])
def test_the_other_pages_are(browser: Chromium, site: str, page: str, width: int, dark: bool) -> None:
    with browser.tab(f"{site}/{page}", width=width, dark=dark) as tab:
        if page == "chat":
            assert violations(tab) == []
            join(tab, f"somebody with a rather long name {width}")
            tab.fill("#text", "W" * 500)
            tab.press("Enter")
            tab.wait_for("document.querySelector('.said') !== null")
        if page == "echo":
            tab.fill("#message", "W" * 500)
            tab.press("Enter")
            tab.wait_for("document.querySelectorAll('.message').length === 2")
        if page == "canvas":
            tab.wait_for("document.querySelector('#state').dataset.state === 'live'")
        assert violations(tab) == []
        assert not is_too_wide(tab)
        assert complaints(tab) == []


def test_what_is_wrong_is_found(browser: Chromium, site: str) -> None:
    with browser.tab(f"{site}/echo") as tab:
        tab.evaluate("document.querySelector('main').append(document.createElement('input'))")
        tab.evaluate("document.querySelector('#send button').setAttribute('aria-label', 'Something else')")
        found = {one.partition(":")[0] for one in violations(tab)}
        assert found >= {"label", "label-content-name-mismatch"}
