"""The timeline in a browser: what comes appears, once, whatever happens to the connection."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.browser.chromium import Chromium, Tab
from tests.browser.conftest import SERVICES, site_of
from tests.browser.relay import Relay
from tests.live.daemon import Daemon, eventually, running

pytestmark = [pytest.mark.live, pytest.mark.program("chromium")]

LIVE = "document.querySelector('#state').dataset.state === 'live'"


def send(daemon: Daemon, *texts: str) -> None:
    """Send datagrams."""
    with daemon.datagrams("receiver") as sock:
        for text in texts:
            sock.send(text.encode())


def rows_with(text: str) -> str:
    """An expression: how many rows of the timeline have a text."""
    return (
        f"[...document.querySelectorAll('.fact')].filter((row) => row.textContent.includes('{text}')).length"
    )


def row_with(text: str) -> str:
    """An expression: the first of them."""
    return f"[...document.querySelectorAll('.fact')].find((row) => row.textContent.includes('{text}'))"


def test_a_datagram_appears_as_text_beside_hex(browser: Chromium, daemon: Daemon, site: str) -> None:
    with browser.tab(site) as tab:
        tab.wait_for(LIVE)
        with daemon.datagrams("receiver") as sock:
            sock.send(b"seen at once\r\n")
            address = "{}:{}".format(*sock.getsockname())
        # As it is shown, which a row is a moment after it is there.
        tab.wait_for(f"{row_with('seen at once')}?.innerText.includes('seen at once')")
        row = tab.evaluate(
            f"[...{row_with('seen at once')}.cells]"
            ".map((cell) => cell.innerText.split(/\\s+/).join(' ').trim())"
        )
        assert row[0].endswith("→ received")
        assert row[1:] == [
            f"receiver udp {address}",
            "14",
            "seen at once⇤↵",
            "73 65 65 6e 20 61 74 20 6f 6e 63 65 0d 0a",
        ]
        assert tab.complaints() == []


def test_what_came_before_the_page_is_there_too(browser: Chromium, daemon: Daemon, site: str) -> None:
    send(daemon, "sent before")
    with browser.tab(site) as tab:
        tab.wait_for(rows_with("sent before"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("service", "receiver"),
        ("contains", "wanted"),
        ("contains", "hex:77616e746564"),
        ("peer", "127.0.0.1"),
        ("kind", "received"),
    ],
)
def test_a_filter_shows_what_fits_and_nothing_else(
    browser: Chromium, daemon: Daemon, site: str, field: str, value: str
) -> None:
    with browser.tab(site) as tab:
        tab.wait_for(LIVE)
        fill(tab, field, value)
        tab.wait_for(f"location.hash === '#{field}=' + encodeURIComponent('{value}')")
        tab.wait_for(LIVE)
        with daemon.connect("echo") as sock:
            sock.sendall(b"other")
            sock.recv(5)
        send(daemon, f"wanted for {field}")
        tab.wait_for(rows_with(f"wanted for {field}"))
        query = f"{field}={value}&limit=10000"
        with urlopen(f"{site}/api/facts?{query}") as answer:
            fitting = json.load(answer)["facts"]
        tab.wait_for(f"document.querySelectorAll('.fact').length === {min(len(fitting), 500)}")
        if field in ("service", "contains"):
            assert not tab.evaluate(rows_with("other"))


def fill(tab: Tab, field: str, value: str) -> None:
    """Set a field of the filter."""
    if field == "kind":
        tab.choose("#filters [name=kind]", value)
    else:
        tab.fill(f"#filters [name={field}]", value)


def test_a_filter_in_the_address_is_kept(browser: Chromium, daemon: Daemon, site: str) -> None:
    send(daemon, "kept one", "left one")
    with browser.tab(f"{site}/#kind=received&kind=sent&contains=kept") as tab:
        tab.wait_for(rows_with("kept one"))
        assert not tab.evaluate(rows_with("left one"))
        assert tab.evaluate("document.querySelector('[name=kind]').value") == "messages"
        tab.click("#filters-clear")
        tab.wait_for(rows_with("left one"))


def test_each_filter_leaves_the_one_before(browser: Chromium, daemon: Daemon, site: str) -> None:
    with browser.tab(site) as tab:
        for number in range(8):
            tab.fill("[name=contains]", f"filter {number}")
            tab.evaluate("document.querySelector('#filters').requestSubmit()")
        tab.wait_for(LIVE)
        send(daemon, "what filter 7 seeks")
        tab.wait_for(rows_with("what filter 7 seeks"))
        eventually(lambda: tab.open_sockets() == 1)


def test_a_link_with_several_kinds_that_are_no_messages_keeps_one(browser: Chromium, site: str) -> None:
    with browser.tab(f"{site}/#kind=opened&kind=closed") as tab:
        tab.wait_for(LIVE)
        assert tab.evaluate("document.querySelector('[name=kind]').value") == "opened"


def test_a_filter_that_cannot_be_is_told_so(browser: Chromium, site: str) -> None:
    with browser.tab(f"{site}/#contains=hex:0") as tab:
        tab.wait_for("!document.querySelector('#filters-error').hidden")
        assert tab.text("#filters-error").startswith("Content: expected two")
        tab.fill("[name=contains]", "hex:00")
        tab.wait_for("document.querySelector('#filters-error').hidden")
        tab.wait_for(LIVE)
    with browser.tab(f"{site}/#contains=hex:0", width=360) as narrow:
        narrow.wait_for("document.querySelector('#filters-error').checkVisibility()")
        assert narrow.evaluate("document.querySelector('[name=contains]').ariaInvalid") == "true"


def test_paused_nothing_moves_and_nothing_is_lost(browser: Chromium, daemon: Daemon, site: str) -> None:
    with browser.tab(f"{site}/#contains=while-paused") as tab:
        tab.wait_for(LIVE)
        tab.click("#pause")
        send(daemon, "while-paused 1", "while-paused 2")
        tab.wait_for_text("Paused; 2 new", "#facts-status")
        assert tab.count(".fact") == 0
        tab.click("#pause")
        tab.wait_for("document.querySelectorAll('.fact').length === 2")
        send(daemon, "while-paused 3")
        tab.wait_for("document.querySelectorAll('.fact').length === 3")


def test_whoever_scrolls_up_reads_on_undisturbed(browser: Chromium, daemon: Daemon, site: str) -> None:
    with browser.tab(f"{site}/#contains=scrolling") as tab:
        tab.wait_for(LIVE)
        send(daemon, *(f"scrolling {number}" for number in range(60)))
        tab.wait_for("document.querySelectorAll('.fact').length === 60")
        tab.evaluate("document.querySelector('#facts').scrollTop = 0")
        tab.wait_for("document.querySelector('#pause').innerText === 'Resume'")
        send(daemon, "scrolling on")
        tab.wait_for_text("Paused; 1 new", "#facts-status")
        tab.evaluate("document.querySelector('#facts').scrollTop = 1e6")
        tab.wait_for(rows_with("scrolling on"))
        assert tab.text("#pause") == "Pause"


def test_the_newest_fact_is_seen_however_small_its_place(
    browser: Chromium, daemon: Daemon, site: str
) -> None:
    send(daemon, *(f"beside {number}" for number in range(60)))
    with browser.tab(f"{site}/#contains=beside", width=360) as tab:
        tab.wait_for("document.querySelectorAll('.fact').length === 60")
        bottom = "document.querySelector('{}').getBoundingClientRect().bottom"
        seen = f"{bottom.format('.fact:last-child')} <= {bottom.format('#facts')} + 1"
        tab.wait_for(seen)
        tab.resize(360, 500)
        tab.wait_for(f"innerHeight === 500 && {seen}")
        tab.resize(1280, 800)
        tab.wait_for("innerHeight === 800")
        tab.evaluate("document.querySelector('.fact:last-child').click()")
        tab.wait_for("!document.querySelector('#detail').hidden")
        tab.wait_for(seen)
        assert tab.text("#pause") == "Pause"


def test_one_connection_is_followed_from_its_detail(browser: Chromium, daemon: Daemon, site: str) -> None:
    with browser.tab(site) as tab, daemon.connect("echo") as sock, daemon.connect("echo") as other:
        tab.wait_for(LIVE)
        sock.sendall(bytes(range(256)))
        sock.recv(256)
        tab.wait_for(rows_with("00 01 02 03"))
        tab.evaluate(f"{row_with('00 01 02 03')}.click()")
        tab.wait_for_text("00f0  f0 f1", "#detail")
        tab.click("#detail .actions button")
        tab.wait_for("location.hash.startsWith('#connection=')")
        tab.wait_for("document.querySelectorAll('.fact').length === 3")
        other.sendall(b"of another")
        sock.sendall(b"the next")
        tab.wait_for("document.querySelectorAll('.fact').length === 5")
        sock.close()
        tab.wait_for("document.querySelector('.fact:last-child').textContent.includes('closed')")
        assert not tab.evaluate(rows_with("of another"))


def test_cleared_is_what_was_not_what_comes(browser: Chromium, daemon: Daemon, site: str) -> None:
    with browser.tab(site) as tab:
        send(daemon, "to be cleared")
        tab.wait_for(rows_with("to be cleared"))
        tab.click("#clear")
        tab.wait_for("document.querySelectorAll('.fact').length === 0")
        send(daemon, "after clearing")
        tab.wait_for(rows_with("after clearing"))
        assert tab.count(".fact") == 1


def test_the_download_has_every_fact_that_fits(
    browser: Chromium, daemon: Daemon, site: str, tmp_path: Path
) -> None:
    send(daemon, *(f"to keep {number}" for number in range(3)), "not to keep")
    with browser.tab(f"{site}/#contains=to+keep+") as tab:
        tab.wait_for(rows_with("to keep 2"))
        tab.keep_downloads(tmp_path)
        tab.click("#download")
        eventually(lambda: any(path.suffix == ".ndjson" for path in tmp_path.iterdir()))
    (file,) = tmp_path.iterdir()
    asked = Request(f"{site}/api/facts?contains=to+keep+", headers={"Accept": "application/x-ndjson"})
    with urlopen(asked) as answer:
        assert file.read_bytes() == answer.read()
    assert len(file.read_text().splitlines()) == 3


#: The daemon answers a download in two parts, and loses two facts between them.
LOSING = """
globalThis.fetch = ((real) => async (path, options) => {
    const query = new URL(path, location).searchParams;
    if (query.get("limit") !== "10000") return real(path, options);
    const first = query.get("after") === "0";
    const headers = {"Netsvc-Last": first ? "3" : "9".repeat(16), "Netsvc-More": String(first)};
    if (!first) headers["Netsvc-Gap"] = '{"after":3,"until":5,"facts":2}';
    return new Response(first ? '{"seq":3}\\n' : '{"seq":6}\\n', {headers});
})(fetch)
"""


def test_a_download_says_what_is_lost_in_it(
    browser: Chromium, daemon: Daemon, site: str, tmp_path: Path
) -> None:
    send(daemon, "before the loss")
    with browser.tab(f"{site}/#contains=before+the+loss") as tab:
        tab.wait_for(rows_with("before the loss"))
        tab.evaluate(f"{LOSING}; null")
        tab.keep_downloads(tmp_path)
        tab.click("#download")
        tab.wait_for_text("Facts are missing in the downloaded file", "#facts-body")
        eventually(lambda: any(path.suffix == ".ndjson" for path in tmp_path.iterdir()))
    (file,) = tmp_path.iterdir()
    gap = '{"gap":{"after":3,"until":5,"facts":2}}'
    assert file.read_text().splitlines() == ['{"seq":3}', gap, '{"seq":6}']


def test_what_comes_while_the_connection_is_lost_appears_once(
    browser: Chromium, daemon: Daemon, relay: Relay
) -> None:
    with browser.tab(f"{relay.site}/#contains=around") as tab:
        tab.wait_for(LIVE)
        send(daemon, "around before")
        tab.wait_for(rows_with("around before"))
        relay.go_away()
        tab.wait_for("document.querySelector('#state').dataset.state === 'lost'")
        send(daemon, "around meanwhile 1", "around meanwhile 2")
        relay.come_back()
        tab.wait_for(LIVE)
        send(daemon, "around after")
        tab.wait_for(rows_with("around after"))
        found = tab.evaluate("[...document.querySelectorAll('.fact .text')].map((cell) => cell.textContent)")
        assert found == ["around before", "around meanwhile 1", "around meanwhile 2", "around after"]


def test_it_goes_on_with_the_daemon_that_was_started_anew(browser: Chromium, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with running(first, *SERVICES) as daemon:
        ports = {name: daemon.port(name) for name in ("web", "timestamp", "receiver")}
        with browser.tab(site_of(daemon)) as tab:
            tab.wait_for_text("Nothing has come yet")
            tab.wait_for_text(f"nc 127.0.0.1 {ports['timestamp']}", "#suggestions")
            send(daemon, "to the first")
            tab.wait_for(rows_with("to the first"))
            daemon.stop()
            tab.wait_for_text("Connection lost", "#state")
            tab.wait_for_text("As it was at ", "#stale")
            with running(second, *(f"--{name}=127.0.0.1:{port}" for name, port in ports.items())) as again:
                send(again, "to the second, before anybody looks")
                tab.wait_for(LIVE)
                tab.wait_for("document.querySelector('#stale').hidden")
                send(again, "to the second, live")
                tab.wait_for(rows_with("to the second, live"))
                marks = "[...document.querySelectorAll('.mark')].map((mark) => mark.textContent)"
                tab.wait_for(f"{marks}.includes('The daemon has been started anew.')")
                found = tab.evaluate(
                    "[...document.querySelectorAll('.fact .text')].map((cell) => cell.textContent)"
                )
                assert found == [
                    "to the first",
                    "to the second, before anybody looks",
                    "to the second, live",
                ]


def test_a_flood_is_sampled_and_that_is_said(browser: Chromium, fresh: Daemon) -> None:
    stop = threading.Event()

    def flood() -> None:
        with fresh.datagrams("receiver") as sock:
            while not stop.is_set():
                for _ in range(200):
                    sock.send(b"one of very many")
                stop.wait(0.01)

    thread = threading.Thread(target=flood)
    with browser.tab(site_of(fresh)) as tab:
        tab.wait_for(LIVE)
        thread.start()
        try:
            tab.wait_for_text("facts a second, drawn in samples", "#facts-status")
            tab.wait_for("/ more, not drawn/.test(document.querySelector('#facts-body').textContent)")
            tab.wait_for("document.querySelectorAll('#facts-body > tr').length === 500")
            tab.click("#pause")
            tab.wait_for_text("Paused", "#facts-status")
            tab.click("#pause")
            eventually(lambda: any("rate=120" in url for url in tab.sockets()))
        finally:
            stop.set()
            thread.join()
        assert tab.count("#facts-body > tr") <= 500
        send(fresh, "the very last")
        tab.wait_for(rows_with("the very last"))
        # When it is over, a burst comes whole again.
        eventually(lambda: "rate=4000" in tab.sockets()[-1])
        send(fresh, *(f"burst {number}" for number in range(100)))
        tab.wait_for(f"{rows_with('burst')} === 100")
        assert tab.complaints() == []


def test_keys_move_through_the_facts(browser: Chromium, daemon: Daemon, site: str) -> None:
    send(daemon, "by key 1", "by key 2", "by key 3")
    with browser.tab(f"{site}/#contains=by+key") as tab:
        tab.wait_for("document.querySelectorAll('.fact').length === 3")
        focused = "document.activeElement.closest('tr')?.rowIndex"
        tab.evaluate("document.querySelector('#facts').focus()")
        tab.press("Tab")
        tab.wait_for(f"{focused} === 3")
        tab.press("ArrowUp")
        tab.wait_for(f"{focused} === 2")
        tab.press("Home")
        tab.wait_for(f"{focused} === 1")
        tab.press("Enter")
        tab.wait_for_text("by key 1", "#detail")
        tab.press("Escape")
        tab.wait_for(f"{focused} === 1 && document.querySelector('#detail').hidden")


def test_a_socket_that_is_only_opened_appears(browser: Chromium, daemon: Daemon, site: str) -> None:
    with browser.tab(f"{site}/#kind=opened&service=echo") as tab:
        tab.wait_for(LIVE)
        with socket.create_connection(("127.0.0.1", daemon.port("echo"))) as sock:
            tab.wait_for(rows_with(f":{sock.getsockname()[1]}"))
