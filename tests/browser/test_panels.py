"""What stands beside the timeline: listeners with what goes on there, connections, clients, lines to copy."""

from __future__ import annotations

import pytest

from tests.browser.chromium import Chromium
from tests.browser.conftest import site_of
from tests.live.daemon import Daemon

pytestmark = [pytest.mark.live, pytest.mark.program("chromium")]


def test_a_listener_counts_and_is_plotted(browser: Chromium, fresh: Daemon) -> None:
    with browser.tab(site_of(fresh)) as tab:
        card = "#listeners > li:nth-child(3)"
        tab.wait_for_text(f"udp://127.0.0.1:{fresh.port('receiver', 'udp')}", card)
        flat = tab.evaluate(f"document.querySelector('{card} polyline').getAttribute('points')")
        with fresh.datagrams("receiver") as sock:
            for _ in range(20):
                sock.send(b"12345")
        tab.wait_for(f"document.querySelector('{card} polyline').getAttribute('points').includes(',0.00')")
        assert ",0.00" not in flat
        tab.click(f"{card} > button")
        assert "20 messages in (100 B), 0 out (0 B)" in tab.text(f"{card} .totals")
        tab.click(f"{card} .panel > button")
        tab.wait_for("location.hash === '#service=receiver'")


def test_a_line_is_copied(browser: Chromium, daemon: Daemon, site: str) -> None:
    with browser.tab(site) as tab:
        tab.allow_clipboard()
        tab.click("#listeners > li > button")
        tab.click("#listeners > li .lines button")
        tab.wait_for_text("Copied", "#listeners > li .lines button")
        copied = tab.evaluate("navigator.clipboard.readText()")
        assert copied == f"nc 127.0.0.1 {daemon.port('timestamp')}"
        tab.wait_for("document.querySelector('#announcements').textContent === 'Copied'")


def test_a_line_is_copied_where_there_is_no_clipboard(browser: Chromium, daemon: Daemon, site: str) -> None:
    # As with pages over plain HTTP from another machine.
    with browser.tab(site) as tab:
        tab.allow_clipboard()
        tab.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined, configurable: true})")
        tab.click("#listeners > li > button")
        tab.click("#listeners > li .lines button")
        tab.wait_for_text("Copied", "#listeners > li .lines button")
        tab.evaluate("delete navigator.clipboard")
        assert tab.evaluate("navigator.clipboard.readText()") == f"nc 127.0.0.1 {daemon.port('timestamp')}"


def test_a_connection_is_shown_while_it_is_open(browser: Chromium, fresh: Daemon) -> None:
    with browser.tab(site_of(fresh)) as tab:
        tab.wait_for_text("None is open", "#connections-none")
        with fresh.connect("echo") as sock:
            sock.sendall(b"hello")
            sock.recv(5)
            tab.wait_for_text(f"127.0.0.1:{sock.getsockname()[1]}", "#connections")
            assert "5 B in, 5 B out" in tab.text("#connections")
            tab.click("#connections button")
            tab.wait_for("document.querySelectorAll('.fact').length === 3")
        tab.wait_for("document.querySelectorAll('.fact').length === 4")
        tab.wait_for_text("None is open", "#connections-none")


def test_clients_have_their_names_everywhere(browser: Chromium, fresh: Daemon) -> None:
    with browser.tab(site_of(fresh)) as tab:
        with fresh.connect("clients") as sock:
            sock.sendall(b"bench-7\n")
            sock.recv(4096)
        tab.wait_for_text("bench-7", "#clients")
        with fresh.datagrams("receiver") as sock:
            sock.send(b"from the bench")
        tab.wait_for(
            "[...document.querySelectorAll('.fact')].some("
            "(row) => row.textContent.includes('from the bench') && row.textContent.includes('bench-7'))"
        )
        tab.click("#clients button")
        tab.wait_for("location.hash === '#name=bench-7'")
        tab.wait_for("document.querySelector('.fact') !== null")
