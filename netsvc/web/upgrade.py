"""
From an HTTP request to a WebSocket: the opening handshake (RFC 6455 section 4.2) over twisted.web.

twisted.web has read the head of the request already, and its limits held. What of it belongs to the
handshake is looked at here, once, so that a request that is none is answered like every other; Autobahn
then gets a head made anew of that alone, and cannot read anything into it that twisted.web did not.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Any

from twisted.web.http import Request
from twisted.web.server import NOT_DONE_YET

from netsvc.web.answers import HTTPError, Leaf
from netsvc.web.conversation import Conversation
from netsvc.web.websocket import WebSockets

#: The only version that there is (RFC 6455 section 4.1).
VERSION = b"13"

#: The nonce of a client: 16 bytes in base64.
_KEY = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")

#: What names a subprotocol: a token (RFC 9110 section 5.6.2).
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,255}")

#: Bytes of an offer of extensions that are looked at; browsers' have a tenth of it.
_LONGEST_OFFER = 1024

#: The values that each parameter of permessage-deflate may have in an offer that can be met (RFC 7692 section
#: 7.1); ``b""`` is none. zlib has no window of 8 bits to write with.
_WINDOWS = frozenset(b"%d" % bits for bits in range(9, 16))
_PARAMETERS = {
    b"server_no_context_takeover": frozenset({b""}),
    b"client_no_context_takeover": frozenset({b""}),
    b"server_max_window_bits": _WINDOWS,
    b"client_max_window_bits": _WINDOWS | {b"", b"8"},
}


def check_upgrade(request: Request) -> bytes:
    """
    See that a request is an opening handshake.

    @return: the head for `upgrade`.
    @raise HTTPError: it is none.
    """
    if request.method != b"GET":
        raise HTTPError(405, "a WebSocket is opened by GET", {b"Allow": b"GET"})
    if b"websocket" not in _listed(request, b"upgrade") or b"upgrade" not in _listed(request, b"connection"):
        raise HTTPError(
            426, "this is for WebSocket: the request asks for no upgrade", {b"Upgrade": b"websocket"}
        )
    if request.clientproto != b"HTTP/1.1":
        raise HTTPError(400, "a WebSocket is opened by HTTP/1.1")
    if _only(request, b"sec-websocket-version") != VERSION:
        raise HTTPError(
            426,
            "this is WebSocket version 13",
            {b"Upgrade": b"websocket", b"Sec-WebSocket-Version": VERSION},
        )
    key = _only(request, b"sec-websocket-key")
    if key is None or not _KEY.fullmatch(key):
        raise HTTPError(400, "the request needs one Sec-WebSocket-Key: 16 bytes in base64")
    lines = [
        b"GET / HTTP/1.1",
        b"Host: netsvc",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Version: " + VERSION,
        b"Sec-WebSocket-Key: " + key,
    ]
    subprotocols = _listed(request, b"sec-websocket-protocol", lower=False)
    if subprotocols and _TOKEN.fullmatch(subprotocols[0]):
        # A client that offers some wants one of them chosen, and whatever it is, the bytes are the same to
        # us.
        lines.append(b"Sec-WebSocket-Protocol: " + subprotocols[0])
    offers = b",".join(request.requestHeaders.getRawHeaders(b"sec-websocket-extensions", []))
    met = [one for one in map(_met, offers.split(b",")) if one]
    if met and len(offers) <= _LONGEST_OFFER:
        lines.append(b"Sec-WebSocket-Extensions: " + met[0])
    return b"\r\n".join([*lines, b"", b""])


def upgrade(request: Request, head: bytes, sockets: WebSockets, conversation: Conversation) -> None:
    """
    Make a WebSocket of a request's connection.

    The request is not to be touched any more; its resource returns NOT_DONE_YET.

    @param head: what `check_upgrade` gave.
    @param conversation: what the WebSocket is for.
    """
    channel: Any = request.channel
    transport = channel.transport
    socket = sockets.build(conversation)
    # The channel has no more to do, and what it has read behind the head is ours.
    channel.transport = None
    channel.rawDataReceived = socket.dataReceived
    transport.unregisterProducer()
    transport.protocol = socket
    socket.makeConnection(transport)
    socket.shake_hands(head)


class WebSocketResource(Leaf, ABC):
    """A path at which a WebSocket can be opened."""

    #: See `Resource`, which would add HEAD.
    allowedMethods = (b"GET",)

    def __init__(self, sockets: WebSockets) -> None:
        """@param sockets: what makes them."""
        super().__init__()
        self._sockets = sockets

    @abstractmethod
    def conversation(self, request: Any) -> Conversation:
        """
        What a client's WebSocket is to be used for.

        @raise HTTPError: the request asks for what is not to be had.
        """

    def render_GET(self, request: Any) -> object:
        """Open it."""
        head = check_upgrade(request)
        conversation = self.conversation(request)
        request.site.count(101)
        upgrade(request, head, self._sockets, conversation)
        return NOT_DONE_YET


def _met(offer: bytes) -> bytes | None:
    """
    An offer of permessage-deflate as Autobahn takes it, which would refuse the connection for any other.

    @return: None for what is to be declined (RFC 7692 section 7): another extension, or an unknown parameter.
    """
    name, *parameters = (part.strip() for part in offer.lower().split(b";"))
    if name != b"permessage-deflate":
        return None
    found: dict[bytes, bytes] = {}
    for parameter in parameters:
        key, value = (part.strip(b' \t"') for part in parameter.partition(b"=")[::2])
        if key in found or value not in _PARAMETERS.get(key, ()):
            return None
        found[key] = value
    # How small a window the client could have for itself is nothing that we ask of it.
    found.update({key: b"" for key in found if key.startswith(b"client_")})
    return b"; ".join([name, *(key + b"=" + value if value else key for key, value in found.items())])


def _listed(request: Request, name: bytes, lower: bool = True) -> list[bytes]:
    """The members of a header that is a list (RFC 9110 section 5.6.1)."""
    text = b",".join(request.requestHeaders.getRawHeaders(name, []))
    members = (member.strip() for member in (text.lower() if lower else text).split(b","))
    return [member for member in members if member]


def _only(request: Request, name: bytes) -> bytes | None:
    """The value of a header that may be there once; None where it is not."""
    values = request.requestHeaders.getRawHeaders(name, [])
    return values[0].strip() if len(values) == 1 else None
