"""
HTTP/1.1 with our limits: Twisted's channel and request, made strict.

With twisted.web each byte renews the time for a head, a body can fill the disk, a missing Host is no mistake,
and what follows a malformed header may still be acted upon. Here a head and a body each have one time from
their first byte to their last; a body has a size and stays in memory; and the first thing that is wrong with
a request is answered and ends the connection (RFC 9112, sections 2.2, 3.2, 5 and 6).
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from zope.interface import implementer

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.error import UnsupportedMethod
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from twisted.web.server import Request as TwistedRequest

from netsvc.web import refusal
from netsvc.web.access import OPEN_PATHS
from netsvc.web.answers import JSON_TYPE, HTTPError

#: Bytes of a head: twice what browsers send with many cookies.
MAX_HEAD = 16_384

#: Header lines of a head; browsers send about twenty.
MAX_HEADERS = 100

#: Digits of a Content-Length that are looked at; more is more than any body may have.
_MAX_LENGTH_DIGITS = 15

#: A host name or an address, and perhaps a port (RFC 9110 section 7.2).
#: It does not begin like an option of a program, for the page shows lines with it to paste into a terminal.
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][A-Za-z0-9._-]*)(?::[0-9]{0,5})?\Z")

#: A request target with its server in it (RFC 9112 section 3.2.2).
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)\Z", re.IGNORECASE)


@implementer(IHalfCloseableProtocol)
class Channel(http.HTTPChannel):
    """
    One connection.

    @ivar site: the `netsvc.web.site.WebSite` that it belongs to.
    """

    site: Any = None
    MAX_LENGTH = MAX_HEAD
    totalHeadersSize = MAX_HEAD
    maxHeaders = MAX_HEADERS
    # Ours are other times, see `_wait`.
    timeOut = None

    _refused = False
    _input_ended = False
    _receiving = False
    _begun = False
    _head_size = 0
    _timer: IDelayedCall | None = None
    # Begins with the next of several requests that came together, while we are `paused`.
    _resting: IDelayedCall | None = None

    # -- time ------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """The first head is due."""
        super().connectionMade()
        self._wait(self.site.head_timeout, self._late)

    def _wait(self, seconds: float, late: Any) -> None:
        self._stop_waiting()
        clock: IReactorTime = self.site.reactor
        self._timer = clock.callLater(seconds, late)

    def _stop_waiting(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _late(self) -> None:
        self._timer = None
        self.refuse(HTTPError(408, f"the request was not complete within {self.site.head_timeout:g} seconds"))

    def _unused(self) -> None:
        self._timer = None
        self.loseConnection()

    # -- the head --------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """See `IProtocol`."""
        if self._refused:
            return
        if not (self._handlingRequest or self._begun or self.paused):
            self._begun = True
            self._wait(self.site.head_timeout, self._late)
        # What an answered request left is played back from within, and looked at by whoever called first.
        outermost, self._receiving = not self._receiving, True
        try:
            super().dataReceived(data)
        finally:
            self._receiving = not outermost
        if outermost and self.line_mode and not (self._refused or self.paused) and self.transport is not None:
            # A line that is not complete yet. Waiting for its end would be waiting for ever.
            rest = self._buffer
            if b"\n" in rest or b"\r" in rest[:-1]:
                self._refuse_line_end()

    def lineReceived(self, line: bytes) -> None:
        """See `LineReceiver`."""
        self._head_size += len(line) + 2
        if b"\r" in line or b"\n" in line:
            self._refuse_line_end()
        elif self._head_size > MAX_HEAD:
            self.lineLengthExceeded(line)
        elif line[:1] in (b" ", b"\t"):
            self.refuse(HTTPError(400, "a line of the head begins with a blank (RFC 9112 section 5.2)"))
        else:
            super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """See `LineReceiver`."""
        self.refuse(HTTPError(431, f"the head is longer than {MAX_HEAD} bytes"))

    def _refuse_line_end(self) -> None:
        self.refuse(HTTPError(400, "a line of the head ends otherwise than in CR LF (RFC 9112 section 2.2)"))

    def headerReceived(self, line: bytes) -> bool:
        """See `http.HTTPChannel`; False ends the request."""
        if self._refused:
            return False
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and len(value.strip()) > _MAX_LENGTH_DIGITS:
            self._refuse_body()
            return False
        return bool(super().headerReceived(line))

    def allHeadersReceived(self) -> None:
        """The head is complete: see that it can be answered before anything is done for it."""
        self._head_size = 0
        request = self.requests[-1]
        problem = _problem(request.requestHeaders, self._version, self._path)
        if problem is not None:
            self.refuse(HTTPError(400, problem))
        elif self.length is not None and self.length > self.site.web.max_body:
            self._refuse_body()
        else:
            if self.length != 0:
                self._wait(self.site.head_timeout, self._late)
            super().allHeadersReceived()

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        """Whether the connection stays open behind the answer (RFC 9112 section 9.3)."""
        values = request.requestHeaders.getRawHeaders(b"Connection") or []
        options = {option.strip().lower() for value in values for option in value.split(b",")}
        if version == b"HTTP/1.1" and b"close" not in options:
            return True
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        return False

    # -- the body and the answer -------------------------------------------------------------------------

    def rawDataReceived(self, data: bytes) -> None:
        """See `LineReceiver`."""
        if not self._refused:
            super().rawDataReceived(data)

    def body_is_too_large(self) -> None:
        """More came than may be kept."""
        self._refuse_body()

    def _refuse_body(self) -> None:
        self.refuse(HTTPError(413, f"a body has at most {self.site.web.max_body} bytes"))

    def allContentReceived(self) -> None:
        """The request is complete."""
        if self._refused:
            return
        self._stop_waiting()
        # Trailers mean nothing here, but where they end must not be a matter of opinion.
        trailers = getattr(self._transferDecoder, "_trailerHeaders", ())
        if any(b"\r" in one or b"\n" in one for one in trailers):
            self._refuse_line_end()
        else:
            super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """
        The answer is written: the next request may come.

        One that has come already is answered in another turn of the reactor, for there may be a thousand of
        them in what is read at once, and not before there is room for its answer.
        """
        self._begun = False
        self.paused = bool(self.persistent)
        super().requestDone(request)
        if not self.persistent:
            return
        if self._buffer:
            self._rest()
        else:
            self.paused = False
            self._wait(self.site.web.keep_alive, self._unused)
            if self._input_ended:
                self.loseConnection()

    def resumeProducing(self) -> None:
        """There is room for more; see `IPushProducer`."""
        super().resumeProducing()
        if self.paused and self._resting is None:
            self._rest()

    def _rest(self) -> None:
        self._stop_waiting()
        self._networkProducer.pauseProducing()
        clock: IReactorTime = self.site.reactor
        self._resting = clock.callLater(0, self._go_on)

    def _go_on(self) -> None:
        self._resting = None
        if self._waitingForTransport:
            return
        self.paused = False
        self._networkProducer.resumeProducing()
        self.dataReceived(b"")
        if self._input_ended and self._begun and not (self._handlingRequest or self._refused):
            # The rest of it will never come.
            self.loseConnection()

    def _stop_resting(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None

    # -- the end ---------------------------------------------------------------------------------------

    def refuse(self, error: HTTPError) -> None:
        """
        Answer what cannot become a request, and close: where the next one would begin is not known.

        @param error: the answer.
        """
        if self._refused or self.transport is None:
            return
        self._refused = True
        self.clearLineBuffer()
        body = error.body()
        reason = http.RESPONSES.get(error.status, b"Unknown")
        head = [b"HTTP/1.1 %d %b" % (error.status, reason), b"Content-Length: %d" % len(body)]
        headers = {**self.site.headers, **error.headers, b"Content-Type": JSON_TYPE, b"Connection": b"close"}
        head += [b"%b: %b" % header for header in headers.items()]
        self.transport.write(b"\r\n".join(head) + b"\r\n\r\n" + body)
        self.site.count(error.status)
        self.loseConnection()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(HTTPError(400, "the request is malformed"))

    def loseConnection(self) -> None:
        """Close behind what was written."""
        self._stop_waiting()
        self._stop_resting()
        if self.transport is not None:
            super().loseConnection()

    def readConnectionLost(self) -> None:
        """The client sends no more: what it has asked for is still answered; see `IHalfCloseableProtocol`."""
        self._input_ended = True
        if not (self._handlingRequest or self.paused):
            self.loseConnection()

    def writeConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol`."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See `IProtocol`."""
        self._stop_waiting()
        self._stop_resting()
        super().connectionLost(reason)


def _problem(headers: Any, version: bytes, target: bytes) -> str | None:
    """What is wrong with a head, beyond the form of its lines."""
    hosts = headers.getRawHeaders(b"Host") or []
    # Probes that speak plain HTTP/1.0 send none, and where any Host will do, none will.
    needed = version != b"HTTP/1.0" or target.partition(b"?")[0] not in OPEN_PATHS
    if len(hosts) > 1 or (needed and not hosts):
        return f"expected one Host header, got {len(hosts)} (RFC 9112 section 3.2)"
    if hosts and not _HOST.match(hosts[0]):
        return "the Host header is malformed (RFC 9110 section 7.2)"
    codings = headers.getRawHeaders(b"Transfer-Encoding")
    if codings is None:
        return None
    if headers.hasHeader(b"Content-Length"):
        return "both Content-Length and Transfer-Encoding (RFC 9112 section 6.3)"
    if version != b"HTTP/1.1" or [one.lower() for one in codings] != [b"chunked"]:
        return "the only transfer coding is chunked, from HTTP/1.1 on (RFC 9112 section 6.1)"
    return None


def _arguments(uri: bytes) -> dict[bytes, list[bytes]]:
    """
    The query of a URL as browsers and programs write it (URL Standard, section 5.1).

    Twisted's own reading takes a semicolon for an ampersand, and leaves out a key without a value.
    """
    found: dict[bytes, list[bytes]] = {}
    for part in uri.partition(b"?")[2].replace(b"+", b" ").split(b"&"):
        if part:
            key, _, value = part.partition(b"=")
            found.setdefault(unquote_to_bytes(key), []).append(unquote_to_bytes(value))
    return found


class Request(TwistedRequest):
    """One request; its body, in memory, is in ``content``."""

    channel: Any
    content: Any
    # The `netsvc.web.site.WebSite`.
    site: Any = None
    # Whether it may be told everything, see `netsvc.web.access.Access.check`.
    trusted = False
    defaultContentType = JSON_TYPE

    # -- what comes in -----------------------------------------------------------------------------------

    def gotLength(self, length: int | None) -> None:
        """A body is kept in memory, and nowhere else."""
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """A part of the body."""
        if self.content.tell() + len(data) > self.channel.site.web.max_body:
            self.channel.body_is_too_large()
        else:
            self.content.write(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The request is complete."""
        absolute = _ABSOLUTE.match(path)
        if absolute:
            # Its server is the one that is meant (RFC 9112 section 3.2.2).
            authority, path = absolute[1], absolute[2]
            if not _HOST.match(authority):
                self.channel.refuse(
                    HTTPError(400, "the request target is malformed (RFC 9112 section 3.2.2)")
                )
                return
            self.requestHeaders.setRawHeaders(b"Host", [authority])
            path = path if path[:1] == b"/" else b"/" + path
        super().requestReceived(command, path, version)

    # -- the answer --------------------------------------------------------------------------------------

    def process(self) -> None:
        """Find the answer."""
        site = self.site = self.channel.site.newest
        for name, value in site.headers.items():
            self.setHeader(name, value)
        self.setHeader(b"Date", http.datetimeToString())
        self.args = _arguments(self.uri)
        self.prepath = []
        self.postpath = [unquote_to_bytes(part) for part in self.path[1:].split(b"/")]
        try:
            if self.path[:1] != b"/":
                raise HTTPError(400, "expected a path that begins with /")
            site.access.check(self)
            self.render(site.getResourceFor(self))
        except HTTPError as error:
            self.fail(error)
        except Exception:  # noqa: BLE001 - whatever a resource fails with ends its request only
            self.failed(Failure())

    def render(self, resrc: IResource) -> None:
        """
        Have a resource answer.

        @raise HTTPError: that is its answer.
        """
        try:
            body = resrc.render(self)
        except UnsupportedMethod as error:
            allowed = b", ".join(sorted(error.allowedMethods))
            raise HTTPError(
                405, f"expected the method {allowed.decode('ascii')}", {b"Allow": allowed}
            ) from None
        if body is not NOT_DONE_YET:
            self.end(body)

    def end(self, body: bytes) -> None:
        """Send the answer's body, which ends it."""
        if self.code not in http.NO_BODY_CODES:
            self.setHeader(b"Content-Length", b"%d" % len(body))
        self.write(body)
        self.finish()

    def fail(self, error: HTTPError) -> None:
        """Answer with an error; where an answer has begun already, break it off."""
        if self.finished or self._disconnected:
            return
        if self.startedWriting:
            self.unregisterProducer()
            self.channel.transport.abortConnection()
            return
        self.setResponseCode(error.status)
        page = error.status >= 400 and refusal.wants_page(self)
        headers = refusal.HEADERS if page else {b"Content-Type": JSON_TYPE}
        for name, value in (*headers.items(), *error.headers.items()):
            self.setHeader(name, value)
        self.end(refusal.page_of(error, self.path) if page else error.body())

    def failed(self, failure: Failure) -> None:
        """Answer an exception, which is a defect of ours."""
        self.site.say_failed(failure)
        self.fail(HTTPError(500, "netsvc failed to answer; its log says why"))

    def finish(self) -> None:
        """The answer is complete."""
        if self.site is not None and not self.finished:
            self.site.count(self.code)
        super().finish()
