"""The canvas page: one picture for all."""

from __future__ import annotations

import pytest

from tests.browser.chromium import Chromium, Tab
from tests.browser.conftest import site_of
from tests.live.daemon import Daemon

pytestmark = [pytest.mark.live, pytest.mark.program("chromium")]

LIVE = "document.querySelector('#state').dataset.state === 'live'"


def ink(tab: Tab, x: float, y: float) -> str:
    """An expression: whether something is drawn at a place, given as fractions."""
    return (
        "(() => { const canvas = document.querySelector('#picture');"
        "const pixel = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});"
        f"pixel.drawImage(canvas, {x} * canvas.width, {y} * canvas.height, 1, 1, 0, 0, 1, 1);"
        "const [r, g, b] = pixel.getImageData(0, 0, 1, 1).data;"
        "return r + g + b < 700; })()"
    )


def at(tab: Tab, x: float, y: float) -> list[float]:
    """Where a place of the picture is seen."""
    found: list[float] = tab.evaluate(
        "(() => { const picture = document.querySelector('#picture');"
        "const {left, top, width, height} = picture.getBoundingClientRect();"
        f"return [left + {x} * width, top + {y} * height]; }})()"
    )
    return found


def test_two_share_a_picture_and_a_third_gets_it(browser: Chromium, fresh: Daemon) -> None:
    page = f"{site_of(fresh)}/canvas"
    with browser.tab(page) as ann, browser.tab(page, width=800) as bob:
        for tab in (ann, bob):
            tab.wait_for(LIVE)
        ann.drag([at(ann, 0.2, 0.2), at(ann, 0.4, 0.2), at(ann, 0.6, 0.2)])
        for tab in (ann, bob):
            tab.wait_for(ink(tab, 0.3, 0.2))
            tab.wait_for(ink(tab, 0.5, 0.2))
        bob.drag([at(bob, 0.5, 0.8)])
        ann.wait_for(ink(ann, 0.5, 0.8))
        with browser.tab(page, width=360, height=740) as eve:
            eve.wait_for(ink(eve, 0.5, 0.2))
            assert eve.evaluate(ink(eve, 0.5, 0.8))
            assert not eve.evaluate(ink(eve, 0.1, 0.5))
            eve.click("#clear")
            for tab in (ann, bob, eve):
                tab.wait_for(f"!{ink(tab, 0.5, 0.2)}")
                assert tab.complaints() == []


def test_a_second_finger_draws_nothing(browser: Chromium, fresh: Daemon) -> None:
    with browser.tab(f"{site_of(fresh)}/canvas") as tab:
        tab.wait_for(LIVE)

        def touch(kind: str, *points: tuple[float, float]) -> None:
            places = [(number, at(tab, *point)) for number, point in enumerate(points)]
            touched = [{"x": x, "y": y, "id": number} for number, (x, y) in places]
            tab.call("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})

        touch("touchStart", (0.2, 0.2))
        touch("touchMove", (0.3, 0.2))
        touch("touchStart", (0.3, 0.2), (0.8, 0.8))
        touch("touchMove", (0.4, 0.2), (0.7, 0.8))
        touch("touchEnd")
        tab.wait_for(ink(tab, 0.35, 0.2))
        # Neither where the second finger was, nor between the two.
        for place in ((0.75, 0.8), (0.5, 0.4), (0.55, 0.5)):
            assert not tab.evaluate(ink(tab, *place))
        tab.drag([at(tab, 0.1, 0.9), at(tab, 0.2, 0.9)])
        tab.wait_for(ink(tab, 0.15, 0.9))
        assert tab.complaints() == []


def test_keys_draw(browser: Chromium, fresh: Daemon) -> None:
    with browser.tab(f"{site_of(fresh)}/canvas") as tab:
        tab.wait_for(LIVE)
        tab.evaluate("document.querySelector('#picture').focus()")
        for _ in range(5):
            tab.press("ArrowLeft")
        tab.press(" ")
        tab.wait_for(ink(tab, 0.45, 0.5))
        assert not tab.evaluate(ink(tab, 0.5, 0.5))
        for _ in range(10):
            tab.press("ArrowRight", shift=True)
        tab.wait_for(ink(tab, 0.54, 0.5))
        assert tab.evaluate("!document.querySelector('#cursor').hidden")
        assert tab.complaints() == []
