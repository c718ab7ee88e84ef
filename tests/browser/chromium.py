"""
A real browser for tests: Chromium without a window, driven through a pair of pipes.

The Chrome DevTools Protocol is JSON, each message ended by a NUL byte where it goes through pipes
(``--remote-debugging-pipe``): nothing listens on a port, and nothing is needed but a program that is a
Debian package. Each tab has a browser context of its own, as if another person had opened it. Whatever a
page complains of on its console (errors, exceptions, violations of its Content-Security-Policy) is kept for
the test to look at.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.live.daemon import PATIENCE

PROGRAM = "chromium"

_ARGUMENTS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-gpu",
    # /dev/shm is small in containers.
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A tab that is behind another one goes on all the same.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "about:blank",
)

#: Keys that are no characters, by their names: code and Windows' number, which DevTools wants.
_KEYS = {
    "Enter": 13,
    "Escape": 27,
    "Tab": 9,
    "Home": 36,
    "End": 35,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    " ": 32,
}

#: A program that runs another, which finds two pipes where the browser looks for them: it reads
#: descriptor 3 and writes 4.
_EXEC = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(pipe), fcntl.F_DUPFD, 10) for pipe in sys.argv[1:3]]
for descriptor, pipe in enumerate(pipes, 3):
    os.dup2(pipe, descriptor)
    os.close(pipe)
os.execvp(sys.argv[3], sys.argv[3:])
"""

Message = dict[str, Any]


class ProtocolError(Exception):
    """The browser would not do what it was asked for; its text says why."""


class Chromium:
    """
    A running browser.

    @ivar process: the process.
    """

    def __init__(self, directory: Path) -> None:
        """@param directory: an empty one, for its profile."""
        from_us, self._to = os.pipe()
        self._from, to_us = os.pipe()
        # Its sandbox does not work for root.
        sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-c", _EXEC, str(from_us), str(to_us), PROGRAM),
                *(f"--user-data-dir={directory}", *sandbox, *_ARGUMENTS),
            ],
            pass_fds=(from_us, to_us),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(from_us)
        os.close(to_us)
        self._changed = threading.Condition()
        self._calls = 0
        self._answers: dict[int, Message] = {}
        self._events: defaultdict[str, list[Message]] = defaultdict(list)
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def call(
        self, method: str, params: Mapping[str, Any] | None = None, session: str | None = None
    ) -> Message:
        """
        Ask the browser for something, and wait until it is done.

        @param session: of a tab; None is the browser itself.
        @raise ProtocolError: it will not.
        @raise AssertionError: it did not answer, or has ended.
        """
        with self._changed:
            self._calls += 1
            number = self._calls
        message: Message = {"id": number, "method": method, "params": params or {}}
        if session is not None:
            message["sessionId"] = session
        _write_all(self._to, json.dumps(message).encode() + b"\0")
        with self._changed:
            self._changed.wait_for(lambda: number in self._answers or self._ended, PATIENCE)
            assert number in self._answers, f"no answer to {method}"
            answer = self._answers.pop(number)
        if "error" in answer:
            raise ProtocolError(f"{method}: {answer['error']['message']}")
        result: Message = answer["result"]
        return result

    def events(self, session: str) -> list[Message]:
        """What has happened in a tab so far."""
        with self._changed:
            return list(self._events[session])

    @contextmanager
    def tab(
        self, url: str, *, width: int = 1280, height: int = 800, dark: bool = False, zone: str = "UTC"
    ) -> Iterator[Tab]:
        """Open a page in a tab of its own, as nobody who was here before; see `Tab`."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        try:
            yield Tab(self, context, url, width, height, dark, zone)
        finally:
            self.call("Target.disposeBrowserContext", {"browserContextId": context})

    def stop(self) -> None:
        """End it."""
        with suppress(AssertionError, ProtocolError, OSError):
            self.call("Browser.close")
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._to)
        self._reader.join(PATIENCE)
        os.close(self._from)

    def _read(self) -> None:
        waiting = b""
        while data := os.read(self._from, 1 << 20):
            *messages, waiting = (waiting + data).split(b"\0")
            with self._changed:
                for text in messages:
                    self._take(json.loads(text))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self, message: Message) -> None:
        if "id" in message:
            self._answers[message["id"]] = message
        elif "sessionId" in message:
            self._events[message["sessionId"]].append(message)


class Tab:
    """A page in the browser."""

    def __init__(
        self, browser: Chromium, context: str, url: str, width: int, height: int, dark: bool, zone: str
    ) -> None:
        """
        @param context: the browser's context that it belongs to.
        @param url: the page.
        @param width: of what is seen of it, in CSS pixels.
        @param height: the same.
        @param dark: whether its reader likes it dark.
        @param zone: the time zone that its reader is in.
        """
        self._browser = browser
        self._context = context
        target = browser.call("Target.createTarget", {"url": "about:blank", "browserContextId": context})
        attached = browser.call("Target.attachToTarget", {"targetId": target["targetId"], "flatten": True})
        self._session: str = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.call("Emulation.setTimezoneOverride", {"timezoneId": zone})
        # A tab counts as seen and has the focus whichever is in front.
        self.call("Emulation.setFocusEmulationEnabled", {"enabled": True})
        self.call("Page.navigate", {"url": url})
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def resize(self, width: int, height: int) -> None:
        """Let so much of it be seen, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )

    def call(self, method: str, params: Mapping[str, Any] | None = None) -> Message:
        """Ask the browser for something about this tab; see `Chromium.call`."""
        return self._browser.call(method, params, self._session)

    def evaluate(self, expression: str) -> Any:
        """
        The value of a JavaScript expression in the page; a promise is waited for.

        @raise AssertionError: it throws.
        """
        answer = self.call(
            "Runtime.evaluate", {"expression": expression, "awaitPromise": True, "returnByValue": True}
        )
        thrown = answer.get("exceptionDetails")
        assert thrown is None, f"{expression}: {thrown}"
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> Any:
        """
        Wait until a JavaScript expression is true.

        @return: its value then.
        @raise AssertionError: it is not in time, or throws; with the page's text.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(ProtocolError):  # between two documents
                if value := self.evaluate(expression):
                    return value
            if time.monotonic() >= deadline:
                text = self.evaluate("document.body.innerText.slice(0, 2000)")
                raise AssertionError(f"never: {expression}; complaints {self.complaints()}; the page: {text}")
            time.sleep(0.02)

    def wait_for_text(self, text: str, selector: str = "body") -> None:
        """Wait until an element shows a text."""
        self.wait_for(
            f"document.querySelector({json.dumps(selector)})?.innerText.includes({json.dumps(text)})"
        )

    def text(self, selector: str) -> str:
        """What an element shows."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def count(self, selector: str) -> int:
        """How many elements there are."""
        return int(self.evaluate(f"document.querySelectorAll({json.dumps(selector)}).length"))

    def click(self, selector: str) -> None:
        """Click on the middle of an element, wherever on the page it is."""
        place = self.wait_for(
            "(() => {"
            f"const found = document.querySelector({json.dumps(selector)});"
            "if (!found || found.disabled || !found.getClientRects().length) return null;"
            "found.scrollIntoView({block: 'nearest', behavior: 'instant'});"
            "const {left, top, width, height} = found.getBoundingClientRect();"
            "return [left + width / 2, top + height / 2];"
            "})()"
        )
        self.drag([place])

    def drag(self, points: list[list[float]]) -> None:
        """Press the mouse's button at a point, move through others and let go; a single one is a click."""
        for kind, (x, y) in [
            ("mouseMoved", points[0]),
            ("mousePressed", points[0]),
            *(("mouseMoved", point) for point in points[1:]),
            ("mouseReleased", points[-1]),
        ]:
            button = "none" if kind == "mouseMoved" and points[0] == [x, y] else "left"
            self.call(
                "Input.dispatchMouseEvent",
                {
                    "type": kind,
                    "x": x,
                    "y": y,
                    "button": button,
                    "buttons": int(button == "left"),
                    "clickCount": 1,
                },
            )

    def fill(self, selector: str, text: str) -> None:
        """Type a text into a field, in place of what is there."""
        self.wait_for(f"document.querySelector({json.dumps(selector)}) !== null")
        self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        self.evaluate("document.activeElement.select?.()")
        if text:
            self.call("Input.insertText", {"text": text})
        else:
            self.evaluate("document.execCommand('delete')")

    def choose(self, selector: str, value: str) -> None:
        """Choose an option of a list."""
        self.evaluate(
            f"(() => {{ const list = document.querySelector({json.dumps(selector)});"
            f"list.value = {json.dumps(value)};"
            "list.dispatchEvent(new Event('input', {bubbles: true}));"
            "list.dispatchEvent(new Event('change', {bubbles: true})); })()"
        )

    def press(self, key: str, shift: bool = False) -> None:
        """Press a key and let it go."""
        event: Message = {"key": key, "code": key, "modifiers": 8 if shift else 0}
        event["windowsVirtualKeyCode"] = _KEYS[key]
        text = {"Enter": "\r", " ": " "}.get(key)
        self.call(
            "Input.dispatchKeyEvent",
            {**event, "type": "keyDown" if text else "rawKeyDown", **({"text": text} if text else {})},
        )
        self.call("Input.dispatchKeyEvent", {**event, "type": "keyUp"})

    def keep_downloads(self, directory: Path) -> None:
        """Let the page save files, and have them in a directory."""
        self._browser.call(
            "Browser.setDownloadBehavior",
            {"behavior": "allow", "browserContextId": self._context, "downloadPath": str(directory)},
        )

    def allow_clipboard(self) -> None:
        """Let the page, and the test, use the clipboard."""
        permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
        self._browser.call(
            "Browser.grantPermissions", {"permissions": permissions, "browserContextId": self._context}
        )

    def picture(self) -> bytes:
        """What is seen, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def sockets(self) -> list[str]:
        """The URLs of all WebSockets that the page has opened, in their order."""
        return [one["url"] for one in self._seen("Network.webSocketCreated")]

    def open_sockets(self) -> int:
        """How many of them are not closed."""
        return len(self.sockets()) - len(self._seen("Network.webSocketClosed"))

    def requests(self) -> list[str]:
        """The URLs of whatever the page has asked for, WebSockets aside."""
        return [one["request"]["url"] for one in self._seen("Network.requestWillBeSent")]

    def _seen(self, method: str) -> list[Message]:
        events = self._browser.events(self._session)
        return [one["params"] for one in events if one["method"] == method]

    def complaints(self) -> list[str]:
        """What the page or the browser complained of: errors, exceptions, violations of the page's policy."""
        found = []
        for event in self._browser.events(self._session):
            params = event["params"]
            match event["method"]:
                case "Runtime.exceptionThrown":
                    details = params["exceptionDetails"]
                    found.append(details.get("exception", {}).get("description", details["text"]))
                case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                    found.append(" ".join(str(one.get("value")) for one in params["args"]))
                case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                    found.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        return found


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
