"""
Who may ask: by which name the page is reached, from where, and with which token.

Three doors, in this order. The Host must be one of ours, or a page elsewhere could make a name of its own
lead here and read everything through its visitor's browser (DNS rebinding). No page of another origin may
ask: it could change something, and where its browser keeps an answer from it, it would still learn from the
time that the answer takes. And who is not on this machine must show the token.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from netsvc.interfaces import Arrival, IArrivalTransport
from netsvc.settings import IPAddress, Networks
from netsvc.web.answers import HTTPError

#: What is answered whatever the Host and without a token: those who ask are load balancers and supervisors.
OPEN_PATHS = frozenset({b"/healthz", b"/readyz"})

#: What is no service below ``/ws``, but shows others' traffic: `web.origins` does not open it.
_NO_SERVICES = frozenset({b"", b"facts", b"canvas"})

#: First parts of paths to which no link of another site's leads: how long they take tells what is there.
_TELLING = frozenset({b"api", b"metrics", b"ws"})

#: What browsers say of a request that a page of another origin made (Fetch Metadata, ``Sec-Fetch-Site``).
_FOREIGN_SITES = frozenset({b"cross-site", b"same-site"})

#: Bytes of a token, and more than a header has room for beside others.
MAX_TOKEN = 4096

_SAFE_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS"})
#: Apps have schemes of their own; what has no origin at all is ``null``.
_ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://(?:\[[0-9a-f:.]+\]|[a-z0-9_][a-z0-9._-]*)(?::[0-9]{1,5})?|null|\*"
)
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Access:
    """The doors of one listener."""

    def __init__(
        self,
        *,
        hosts: Iterable[str],
        origins: Iterable[str],
        proxies: Networks,
        token: str,
        beyond_loopback: Callable[[], bool],
        addresses: Iterable[str] = (),
        machine: str = "",
    ) -> None:
        """
        @param hosts: names by which the page may be reached, beside loopback's and the listener's addresses.
        @param origins: of pages that may use services over WebSocket; ``*`` is every one.
        @param proxies: whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed.
        @param token: what whoever is not on this machine must show.
        @param beyond_loopback: whether the listener can be reached from elsewhere.
        @param addresses: where it listens.
        @param machine: this machine's name, or ``""``.
        @raise ValueError: one of the hosts or origins is none; the text names the setting.
        """
        self._hosts = {one.lower().rstrip(".") for one in (*addresses, machine, "localhost") if one}
        self._hosts |= {read_host(one) for one in hosts}
        self._origins = frozenset(map(read_origin, origins))
        self._proxies = proxies
        self._token = token.encode("ascii")
        self._beyond_loopback = beyond_loopback

    def check(self, request: Any) -> None:
        """
        Let a request in.

        @param request: a `netsvc.web.request.Request`. Its ``trusted`` says afterwards whether it may be told
            everything.
        @raise HTTPError: it may not come in; or the token of its URL has become a cookie, and it may come
            again.
        """
        host_is_ours = self._is_ours(host_name(request), _arrival(request))
        request.trusted = host_is_ours and (not self.needs_token(request) or self._shows_token(request))
        if request.path in OPEN_PATHS:
            return
        if not host_is_ours:
            raise HTTPError(403, "this Host is not known here; web.hosts names those that are")
        self._check_origin(request)
        self._check_token(request)

    # -- where from --------------------------------------------------------------------------------------

    def client_address(self, request: Any) -> str | None:
        """
        The client's address, as its connection has it or as a proxy that is believed says.

        @return: an IP address, a UNIX socket's path or ``""``; None where a proxy that is believed says
            something that is no address.
        """
        address = _arrival(request).address
        forwarded = request.requestHeaders.getRawHeaders(b"X-Forwarded-For") or []
        said = [one.strip() for value in forwarded for one in value.decode("latin-1").split(",")]
        # Each proxy adds at the end what it saw: believe from there on, as long as one of ours says it.
        while said and self._is_proxy(address):
            read = _address(said.pop())
            if read is None:
                return None
            address = str(read)
        return address

    def is_secure(self, request: Any) -> bool:
        """Whether the client speaks TLS, with us or with a proxy that is believed."""
        arrival = _arrival(request)
        said = request.getHeader(b"X-Forwarded-Proto")
        if said is not None and self._is_proxy(arrival.address):
            return bool(said.lower() == b"https")
        return arrival.tls is not None or bool(request.isSecure())

    def needs_token(self, request: Any) -> bool:
        """Whether it comes from beyond loopback, or could."""
        if self._beyond_loopback():
            return True
        address = self.client_address(request)
        return address is None or not is_local(address)

    def _is_proxy(self, address: str) -> bool:
        read = _address(address)
        # A UNIX socket's clients are on this machine, as those are whose PROXY header it believes.
        return read in self._proxies if read is not None else bool(self._proxies)

    # -- the doors ---------------------------------------------------------------------------------------

    def _is_ours(self, host: str, arrival: Arrival) -> bool:
        if host in self._hosts or host.endswith(".localhost"):
            return True
        address, here = _address(host), _address(arrival.local_address)
        if address is None:
            return False
        # A Host has no scope, which a link-local address of a socket has (RFC 6874 section 1).
        return address.is_loopback or (here is not None and address.packed == here.packed)

    def _check_origin(self, request: Any) -> None:
        origins = request.requestHeaders.getRawHeaders(b"Origin")
        if origins is None:
            # A program sends none, and neither does a page's browser with some of its requests.
            if _follows_a_link(request) or request.getHeader(b"Sec-Fetch-Site") not in _FOREIGN_SITES:
                return
        elif len(origins) == 1:
            # A browser never lets a page write another.
            origin = origins[0].decode("latin-1").lower()
            asked = _authority(origin)
            if asked is not None and asked == _authority(_own_origin(request, origin)):
                return
            if is_websocket(request) and _names_service(request) and self.is_welcome(origin):
                return
        raise HTTPError(403, "a page of another origin asks; web.origins names those that may use services")

    def is_welcome(self, origin: str) -> bool:
        """Whether pages of an origin, as browsers write it, may use services over WebSocket."""
        return bool(self._origins & {"*", origin})

    def _check_token(self, request: Any) -> None:
        given = request.args.get(b"token")
        if given is None or is_websocket(request):
            if not request.trusted:
                raise _no_token()
            return
        headers = {}
        if self._is_token(given[-1]):
            headers[b"Set-Cookie"] = self._cookie(request)
        elif self.needs_token(request):
            raise _no_token()
        again = "come again without the token, which is a cookie now"
        if _may_follow_a_foreign_link(request):
            # A redirection would still be the other site's doing, with which no SameSite=Strict cookie goes.
            raise HTTPError(200, again, {**headers, b"Refresh": b"0; url=" + _without_token(request)})
        raise HTTPError(303, again, {**headers, b"Location": _without_token(request)})

    def _shows_token(self, request: Any) -> bool:
        authorization = (request.getHeader(b"Authorization") or b"").split(None, 1)
        if len(authorization) == 2 and authorization[0].lower() == b"bearer":
            return self._is_token(authorization[1].strip())
        if is_websocket(request) and b"token" in request.args:
            return self._is_token(request.args[b"token"][-1])
        return self._is_token(request.getCookie(_cookie_name(request)) or b"")

    def _is_token(self, given: bytes) -> bool:
        return hmac.compare_digest(given, self._token)

    def _cookie(self, request: Any) -> bytes:
        secure = b"; Secure" if self.is_secure(request) else b""
        return b"%b=%b; Path=/; HttpOnly; SameSite=Strict%b" % (_cookie_name(request), self._token, secure)


def is_websocket(request: Any) -> bool:
    """Whether it asks to become a WebSocket (RFC 6455 section 4.1)."""
    upgrade = request.requestHeaders.getRawHeaders(b"Upgrade") or []
    return any(b"websocket" in value.lower() for value in upgrade)


def _names_service(request: Any) -> bool:
    """Whether a path is of a service over WebSocket, by what its parts stand for, as resources are found."""
    parts = request.postpath
    return len(parts) == 2 and parts[0] == b"ws" and parts[1] not in _NO_SERVICES


def _follows_a_link(request: Any) -> bool:
    """Whether somebody goes to one of our pages, perhaps from another site's."""
    return (
        request.getHeader(b"Sec-Fetch-Mode") == b"navigate"
        and request.method in _SAFE_METHODS
        and request.postpath[0] not in _TELLING
    )


def _may_follow_a_foreign_link(request: Any) -> bool:
    """Whether a browser goes to a page, and does not say that the user typed where."""
    accepted = request.getHeader(b"Accept") or b""
    typed = request.getHeader(b"Sec-Fetch-Site") in (b"none", b"same-origin")
    return b"text/html" in accepted and not typed and request.postpath[0] not in _TELLING


def is_local(address: str) -> bool:
    """Whether an address is on this machine; a UNIX socket's path, or ``""``, is."""
    read = _address(address)
    return read is None or read.is_loopback


def read_token(file: str) -> str:
    """
    The token in a file.

    @raise ValueError: it cannot be read, or no token is in it; the text names the setting and the file.
    """
    try:
        with open(file, encoding="utf-8") as opened:
            token = opened.read(MAX_TOKEN).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "expected UTF-8"
        raise ValueError(f"web.token_file {file!r}: cannot read it: {reason}") from None
    if not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", token) or len(token) == MAX_TOKEN:
        # What a Bearer header (RFC 6750 section 2.1) and a cookie can hold both.
        raise ValueError(f"web.token_file {file!r}: expected one line of letters, digits and -._~+/=")
    return token


def read_host(text: str) -> str:
    """
    A name or an address by which the page may be reached, in the form in which `host_name` gives it.

    @raise ValueError: it is none; the text names the setting.
    """
    host = text.lower().rstrip(".")
    if not re.fullmatch(r"[a-z0-9_][a-z0-9._-]*", host) and _address(host.strip("[]")) is None:
        raise ValueError(f"web.hosts {text!r}: expected a name or an address, without a port")
    return host.strip("[]")


def read_origin(text: str) -> str:
    """
    Whose pages may use services: an origin as browsers write it (RFC 6454 section 6.2), or ``*``.

    @raise ValueError: it is none; one line.
    """
    origin = text.lower().rstrip("/")
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        raise ValueError(f"origin {text!r}: expected such as https://app.example.org, without a path; or *")
    return origin.removesuffix(f":{_DEFAULT_PORTS.get(found[1])}")


def outward_address() -> str:
    """
    The address by which others reach this machine, as far as it knows; nothing is sent to find out.

    @return: 127.0.0.1 where there is no other.
    """
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.connect((elsewhere, 9))
                return str(sock.getsockname()[0])
        except OSError:
            # No route of that kind.
            continue
    return "127.0.0.1"


def _no_token() -> HTTPError:
    text = "a token is needed; netsvc's log has it at start, or it is in web.token_file"
    return HTTPError(403, text, asks_for_token=True)


def local_address(request: Any) -> str:
    """The address of this machine at which a request arrived."""
    return _arrival(request).local_address


def _arrival(request: Any) -> Arrival:
    transport: Any = IArrivalTransport(request.transport, None)
    if transport is None:
        # Not behind a guard: something stands in for it.
        peer, host = request.client, request.host
        return Arrival(
            "tcp", getattr(peer, "host", ""), getattr(peer, "port", None), getattr(host, "host", ""), None
        )
    arrival: Arrival = transport.arrival()
    return arrival


def _host(request: Any) -> str:
    # Of HTTP/1.0 there may be none, see `netsvc.web.request`.
    return str((request.getHeader(b"Host") or b"").decode("ascii").lower())


def host_name(request: Any) -> str:
    """The Host that a request names, without its port; an address without its brackets."""
    host = re.sub(r":[0-9]*\Z", "", _host(request))
    return host.strip("[]").rstrip(".")


def _own_origin(request: Any, like: str) -> str:
    """The site's own origin, with the scheme of another: a proxy in between may speak TLS where we do not."""
    return f"{like.partition(':')[0]}://{_host(request)}"


def _authority(origin: str) -> tuple[str, int | None] | None:
    """Name and port of an origin (RFC 6454); None where it is none, such as ``null``."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.scheme not in _DEFAULT_PORTS:
        return None
    return parts.hostname.rstrip("."), port if port is not None else _DEFAULT_PORTS[parts.scheme]


def _address(text: str) -> IPAddress | None:
    """An IP address, perhaps with a port, as a proxy writes it; None where it is none."""
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::\d+)?", text)
    with_port = re.fullmatch(r"([0-9.]+):\d+", text)
    found = bracketed or with_port
    try:
        read = ipaddress.ip_address(found[1] if found else text)
    except ValueError:
        return None
    return (read.ipv4_mapped if isinstance(read, ipaddress.IPv6Address) else None) or read


def _cookie_name(request: Any) -> bytes:
    # A browser sends a cookie to every port of a host: two daemons on one would take each other's away.
    port = getattr(request.host, "port", None)
    return b"netsvc_token" if port is None else b"netsvc_token_%d" % port


def _without_token(request: Any) -> bytes:
    """The path and query of a request, without its token."""
    path, _, query = request.uri.partition(b"?")
    kept = [
        part for part in query.split(b"&") if part and unquote_to_bytes(part.partition(b"=")[0]) != b"token"
    ]
    # Two slashes at its begin, or what some take for such, would lead to another server.
    where: bytes = b"/" + path.lstrip(b"/\\")
    return where + (b"?" + b"&".join(kept) if kept else b"")
