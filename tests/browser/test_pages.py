"""What all pages have in common."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from tests.browser.chromium import Chromium

PAGES = {"index": "/", "chat": "/chat", "canvas": "/canvas", "echo": "/echo"}


def head_of(page: str) -> str:
    """A page from its first line to the end of its head, without what is its own."""
    text = (resources.files("netsvc.web") / "static" / f"{page}.html").read_text()
    text = text.partition("<noscript>")[0].replace(' aria-current="page"', "")
    for own in (
        r"<title>.*?</title>",
        r'src="/static/\w+\.js"',
        r'<body class="\w+">',
        r"Skip to the \w+",
        r'data-state="\w+">[^<]+',
    ):
        text, times = re.subn(own, "", text)
        assert times == 1, own
    return text


def test_their_heads_are_the_same() -> None:
    heads = {head_of(page) for page in PAGES}
    assert len(heads) == 1


@pytest.mark.live
@pytest.mark.program("chromium")
@pytest.mark.parametrize("path", PAGES.values())
def test_nothing_comes_from_elsewhere(browser: Chromium, site: str, path: str) -> None:
    with browser.tab(f"{site}{path}") as tab:
        tab.wait_for("document.readyState === 'complete'")
        assert {url for url in tab.requests() if not url.startswith((f"{site}/", "data:", "blob:"))} == set()
        assert any(url.endswith(".js") for url in tab.requests())
        assert tab.evaluate("document.querySelectorAll('nav [aria-current=page]').length") == 1
        assert tab.evaluate("document.querySelector('nav [aria-current=page]').pathname") == path
        assert tab.complaints() == []
