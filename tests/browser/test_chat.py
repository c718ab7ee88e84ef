"""The chat page: one room with everybody else."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.browser.chromium import Chromium, Tab
from tests.browser.conftest import site_of
from tests.browser.relay import Relay
from tests.live.daemon import PATIENCE, Daemon

pytestmark = [pytest.mark.live, pytest.mark.program("chromium")]


#: WebSockets that do what the test says, and note what is sent.
SOCKETS = """
globalThis.sockets = [];
globalThis.WebSocket = class {
    static CONNECTING = 0;
    static OPEN = 1;
    readyState = 0;
    sent = [];
    constructor(url) {
        this.path = new URL(url).pathname;
        sockets.push(this);
    }
    send(data) { this.sent.push(data); }
    close() { this.readyState = 2; }
    open() {
        this.readyState = 1;
        this.onopen?.();
    }
    hear(message) { this.onmessage?.({data: JSON.stringify(message)}); }
    end() {
        this.readyState = 3;
        this.onclose?.({code: 1000, reason: ""});
    }
};
"""


def join(tab: Tab, name: str) -> None:
    """Enter the room."""
    tab.fill("#join input", name)
    tab.click("#join button")
    tab.wait_for("!document.querySelector('#room').hidden")


def say(tab: Tab, text: str) -> None:
    """Say something, as one does: by Enter."""
    tab.fill("#text", text)
    tab.press("Enter")
    tab.wait_for("document.querySelector('#text').value === ''")


@contextmanager
def netcat(daemon: Daemon) -> Iterator[subprocess.Popen[bytes]]:
    """A terminal with ``nc``, as the page says; its pipes have no buffers."""
    command = ["nc", "127.0.0.1", str(daemon.port("chat"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.program("nc")
def test_two_browsers_and_nc_chat(browser: Chromium, daemon: Daemon, site: str) -> None:
    with browser.tab(f"{site}/chat") as ann, browser.tab(f"{site}/chat") as bob, netcat(daemon) as eve:
        assert eve.stdin is not None
        assert eve.stdout is not None
        ann.wait_for_text(f"nc 127.0.0.1 {daemon.port('chat')}", "#elsewhere")
        join(ann, "ann")
        join(bob, "bob")
        eve.stdin.write(b"eve\n")
        ann.wait_for_text("eve joined", "#messages")
        assert ann.text("#people").split("\n") == ["ann (you)", "bob", "eve"]
        say(ann, "hello from a page")
        bob.wait_for_text("hello from a page", "#messages")
        while b"hello from a page" not in (line := eve.stdout.readline()):
            assert line
        assert line == b"ann: hello from a page\n"
        eve.stdin.write(b"hello from a terminal\n")
        for tab in (ann, bob):
            tab.wait_for_text("hello from a terminal", "#messages")
        said = ann.evaluate("[...document.querySelectorAll('.said .words')].map((one) => one.innerText)")
        assert said == ["hello from a page", "hello from a terminal"]
        eve.kill()
        bob.wait_for_text("eve left", "#messages")
        bob.click("#leave")
        ann.wait_for_text("bob left", "#messages")
        assert ann.complaints() == bob.complaints() == []


def test_a_name_that_is_taken_is_told_so(browser: Chromium, daemon: Daemon, site: str) -> None:
    with daemon.connect("chat") as sock, browser.tab(f"{site}/chat") as tab:
        sock.settimeout(PATIENCE)
        sock.sendall(b"first\nhere\n")
        tab.fill("#join input", "first")
        tab.click("#join button")
        tab.wait_for_text("name taken", "#error")
        join(tab, "second")
        assert tab.text("#error") == ""


def test_whoever_was_cut_off_comes_back(browser: Chromium, fresh: Daemon) -> None:
    with Relay(fresh.port("web")) as relay, browser.tab(f"{relay.site}/chat") as tab:
        join(tab, "ann")
        relay.go_away()
        tab.wait_for("document.querySelector('#state').dataset.state === 'lost'")
        relay.come_back()
        tab.wait_for_text("You are back", "#messages")
        with browser.tab(f"{site_of(fresh)}/chat") as other:
            join(other, "bob")
            say(tab, "still here")
            other.wait_for_text("still here", "#messages")


def test_who_leaves_and_joins_at_once_can_speak(browser: Chromium, site: str) -> None:
    with browser.tab(f"{site}/static/icon.svg") as tab:
        told = tab.evaluate(
            SOCKETS
            + """
            import('/static/room.js').then(async ({Room}) => {
                const turn = () => new Promise((resolve) => setTimeout(resolve));
                const room = new Room(() => room.send("join"), () => {}, () => {});
                const told = [];
                room.enter();
                sockets[0].open();
                room.leave();
                told.push(room.send("to nobody"));
                room.enter();
                sockets[1].open();
                sockets[0].end();
                await turn();
                told.push(room.send("hello"));
                room.enter();
                told.push(room.send("too early"), sockets[1].readyState);
                return [told, sockets.map(({sent}) => sent)];
            })
            """
        )
        assert told == [[False, True, False, 2], [['"join"'], ['"join"', '"hello"'], []]]


def test_who_is_back_does_not_join_once_more(browser: Chromium, site: str) -> None:
    with browser.tab(f"{site}/chat") as tab:
        tab.evaluate(f"{SOCKETS}; null")
        # What waits for two seconds is to do so until the test says otherwise.
        tab.evaluate(
            "globalThis.late = []; globalThis.setTimeout = ((real) => (call, wait, ...rest) =>"
            " wait === 2000 ? -late.push(call) : real(call, wait, ...rest))(setTimeout);"
            "globalThis.clearTimeout = ((real) => (timer) =>"
            " timer < 0 ? void (late[-timer - 1] = null) : real(timer))(clearTimeout); null"
        )
        tab.fill("#join input", "ann")
        tab.click("#join button")
        here = 'hear({type: "here", names: ["ann"]})'
        # It is no WebSocket that does not last.
        later = "Date.now = ((now) => () => now() + 10_000)(Date.now)"
        tab.evaluate(f"sockets[0].open(); sockets[0].{here}; {later}; sockets[0].end()")
        tab.wait_for("sockets.length === 2")
        # The name is still that of the connection that was lost, for a moment.
        tab.evaluate('sockets[1].open(); sockets[1].hear({type: "error", reason: "name taken"})')
        tab.evaluate(f"{later}; sockets[1].end()")
        tab.wait_for("sockets.length === 3")
        tab.evaluate(f"sockets[2].open(); sockets[2].{here}")
        assert tab.evaluate("late.length") == 1
        tab.evaluate("late[0]?.()")
        assert tab.evaluate("sockets[2].sent.length") == 1
        say(tab, "hello")
        assert tab.evaluate("sockets[2].sent.map((text) => JSON.parse(text).type)") == ["join", "say"]
        assert tab.text("#error") == ""
