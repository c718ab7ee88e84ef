"""What a page from elsewhere, in the browser of somebody who uses netsvc, can do to the daemon and learn."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.browser.chromium import Chromium
from tests.browser.conftest import site_of
from tests.browser.test_timeline import send
from tests.live.daemon import Daemon, running

pytestmark = [pytest.mark.live, pytest.mark.program("chromium")]

#: It asks in every way that a page has; what waits for an answer tells by the time that it takes.
ATTEMPTS = """(async (site) => {
  const image = new Promise((done) => {
    const made = new Image();
    made.onload = made.onerror = () => done();
    made.src = `${site}/api/wait?contains=never&timeout=300`;
  });
  const asked = [
    fetch(`${site}/api/wait?contains=never&timeout=300`, { mode: "no-cors" }),
    fetch(`${site}/api/wait?contains=never&timeout=300`),
    fetch(`${site}/api/facts`, { mode: "no-cors", method: "POST" }),
    fetch(`${site}/api/facts`, { method: "DELETE" }),
    fetch(`${site}/api/chat`, { mode: "no-cors", method: "POST" }),
    image,
  ];
  const socket = new WebSocket(`${site.replace("http", "ws")}/ws/%66acts`);
  asked.push(new Promise((done, failed) => {
    socket.onclose = () => done("closed");
    socket.onmessage = () => failed("heard");
  }));
  const frame = document.createElement("iframe");
  frame.src = `${site}/api/wait?contains=never&timeout=300`;
  asked.push(new Promise((done) => { frame.onload = done; }));
  document.body.append(frame);
  return (await Promise.allSettled(asked)).map(({ status, value }) => `${status} ${value?.status ?? ""}`);
})"""


class Page(BaseHTTPRequestHandler):
    """A page with nothing in it."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Elsewhere</title>")

    def log_message(self, format: str, *arguments: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def elsewhere() -> Iterator[int]:
    """The port of a site that is not netsvc's."""
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_it_changes_nothing_and_learns_nothing(
    browser: Chromium, fresh: Daemon, elsewhere: int, host: str
) -> None:
    """From another site, and from another port of the same host."""
    send(fresh, "secret")
    site = site_of(fresh)
    with browser.tab(f"http://{host}:{elsewhere}/") as tab:
        # Every one is answered at once, though most would wait five minutes.
        outcomes = tab.evaluate(f"{ATTEMPTS}({json.dumps(site)})")
        assert [one for one in outcomes if one.endswith("200")] == []
    with urllib.request.urlopen(f"{site}/api/facts?contains=secret") as answer:
        assert len(json.load(answer)["facts"]) == 1
    with urllib.request.urlopen(f"{site}/api/listeners") as answer:
        assert "api/chat" not in answer.read().decode()


def test_a_link_from_it_leads_to_the_page(browser: Chromium, fresh: Daemon, elsewhere: int) -> None:
    with browser.tab(f"http://localhost:{elsewhere}/") as tab:
        tab.evaluate(f"location.assign({json.dumps(site_of(fresh))})")
        tab.wait_for("document.querySelector('#state')?.dataset.state === 'live'")
        assert tab.complaints() == []


def test_a_link_with_the_token_leads_to_the_page_too(
    browser: Chromium, tmp_path: Path, elsewhere: int
) -> None:
    """Such as one in a log that is shown by a page."""
    token = tmp_path / "token"
    token.write_text("let-me-in\n")
    directory = tmp_path / "daemon"
    directory.mkdir()
    with running(directory, "--web=0.0.0.0:0", f"--set=web.token_file={token}") as daemon:
        link = f"{site_of(daemon)}/?token=let-me-in"
        with browser.tab(f"http://localhost:{elsewhere}/") as tab:
            tab.evaluate(f"location.assign({json.dumps(link)})")
            tab.wait_for("document.querySelector('#state')?.dataset.state === 'live'")
            assert tab.evaluate("location.pathname + location.search") == "/"
            assert "token" not in tab.evaluate("document.referrer")
            # Nor is it in what the browser remembers.
            tab.evaluate("history.back()")
            tab.wait_for("document.title === 'Elsewhere'")
