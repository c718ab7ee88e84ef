"""Where exploring begins: inputs that mean something, and words that inputs may be made of."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from netsvc.journal.query import FILTER_KEYS, PAGE_KEYS
from netsvc.settings import TABLES, Limits, settings_of
from tests.fuzz import plays
from tests.fuzz.corpora import MESSAGES, PROXY, WHERES
from tests.fuzz.guided.hellos import small_hello
from tests.web.frames import KEY, PING, frame, opening

_TREE = Path(__file__).parents[3]

#: Bytes of a message that still is one piece of an input.
_PIECE = 200

_REQUESTS = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /api/facts?contains=hello&limit=1 HTTP/1.1\r\nHost: a\r\nAccept: application/x-ndjson\r\n\r\n",
    b"GET /api/wait?count=2&timeout=1 HTTP/1.1\r\nHost: b\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    b"DELETE /api/facts HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n\r\n",
    b"GET /api/clients HTTP/1.0\r\nHost: [::1]:8080\r\nConnection: close\r\n\r\n",
    b"POST /api/facts HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET http://localhost/metrics HTTP/1.1\r\nHost: other\r\nExpect: 100-continue\r\n\r\n",
    b"HEAD /api/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /api/listeners?token=a HTTP/1.1\r\nHost: [::1]\r\nCookie: token=b\r\nAuthorization: Bearer\r\n\r\n",
    b"POST /api/poll/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nA: \xfe\xffx",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: \xfe\x20x\r\n" * 8 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: x\r\n" * 120 + b"\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\xfe\xff0",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3fc0\r\n\xfe\xffx\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n\xfe\xffx",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2001\r\n\r\n\xfe\x40x",
    b"GET /metrics?token=a-token-for-tests HTTP/1.1\r\nHost: 192.0.2.5\r\n\r\n",
    b"GET /api/facts HTTP/1.1\r\nHost: 192.0.2.5\r\nAuthorization: Bearer a-token-for-tests\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 192.0.2.5\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\n\r\n",
    opening("/ws/echo"),
    opening("/ws/chat") + b"\x81\x80\0\0\0\0",
    opening("/ws/facts?after=last"),
    opening("/ws/canvas", Origin="http://elsewhere.example"),
)

_SAID = (
    b'0{"type":"join","name":"ann"}\n1{"type":"join","name":"bob"}\n2eve\n0{"type":"say","text":"hi"}\n2hello',
    b'\x00{"type":"join","name":"ANN"}\n\x01{"type":"join","name":"ann"}\n\x02ann\n\x02* b left\n{"type":1}',
    b'0{"type":"stroke","points":[[0,0.5],[0.25,1]],"color":"#AABBCC","width":3}\n1{"type":"clear"}\n0{}',
    b"\n".join(
        b'0{"type":"stroke","points":[[0,.%d]],"color":"#aabbcc","width":3}' % number for number in range(9)
    ).replace(b",.", b",0."),
)

_QUERIES = (
    b"service=echo&kind=received&contains=hello&limit=5&after=last&order=newest",
    b"contains=hex:68656c6c6f&contains=python&connection=1&connection=2",
    b"peer=127.0.0.1:40312&peer=%5B2001:db8::7%5D:1&peer=/run/client.sock&name=alice",
    b"listener=tcp://127.0.0.1:50000&after=3&limit=10000&wait=0.5&count=3",
    b"contains=%ff%E2%82%AC&order=oldest",
    b"since=30m&until=1970-01-01T00:40:00Z&before=9&order=newest",
)


def _pieces(*steps: tuple[int, bytes]) -> bytes:
    """Steps with a piece behind each."""
    return b"".join(bytes([step, len(piece)]) + piece for step, piece in steps)


def _where() -> Iterable[bytes]:
    services = len(plays.registry().services)
    for at, text in enumerate(WHERES):
        yield bytes([at % services, 0, at % 4, 0]) + text.encode()


def _settings() -> Iterable[bytes]:
    whole = (_TREE / "etc" / "netsvc.toml").read_bytes()
    # Without its comments, each of its tables alone.
    lines = [line[1:] for line in whole.splitlines() if line[:1] == b"#" and line[1:2].strip()]
    yield from (b"[" + table for table in b"\n".join(lines).lstrip(b"[").split(b"\n["))
    yield b"[echo]\nlisten = " + b"[" * 1500
    yield b'[echo]\nlisten = ["tcp://:0?idle-timeout=5", 8009]\n[service.shout]\nstream = "a.B"\nport = 7\n'


def _proxy() -> Iterable[bytes]:
    for header in PROXY:
        yield header
        if header[:1] == b"\r":
            # One byte less, which its length says too; and one byte more.
            for length in (len(header) - 17, len(header) - 15):
                if length >= 0:
                    yield (header[:14] + length.to_bytes(2, "big") + header[16:] + b"\0")[: 16 + length]
    yield b"PROXY " + b"x" * 200


def _hello() -> Iterable[bytes]:
    for name in (None, "a.example"):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.minimum_version = context.maximum_version = version
            outgoing = ssl.MemoryBIO()
            client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                yield outgoing.read()
    yield small_hello(b"a")


def _stream() -> Iterable[bytes]:
    for service in range(16):
        for proxy in (0, 2):
            header = _pieces((11, PROXY[0])) if proxy else b""
            said = _pieces(*((0, message) for message in MESSAGES if len(message) <= _PIECE))
            yield (
                bytes([service, proxy, service % 4, 0, 0]) + header + said + bytes([6, 1, 4, 3, 10, 1, 9, 1])
            )


def _split() -> Iterable[bytes]:
    for service in range(5):
        for message in (*MESSAGES, *PROXY[:3]):
            yield bytes([service, len(message) % 3, 0]) + message[:300]
        for header in (PROXY[0], b"PROXY UNKNOWN\r\n"):
            yield bytes([service, 1, 0]) + header + b"hello\nthere"


def _datagram() -> Iterable[bytes]:
    said = b"".join(bytes([0, len(one)]) + one + b"\0" for one in MESSAGES if len(one) <= _PIECE)
    for service in range(9):
        for bound in range(7):
            yield bytes([service, 0, 0, bound, 2, 8, 1, 8, 3, 9]) + said + bytes([8, 1, 5, 4, 9, 0])


def _websocket() -> Iterable[bytes]:
    for bounds in (0, 1):
        for offer in (0, 1, 2):
            yield (
                bytes([bounds, offer, 0, 0])
                + _pieces(
                    (0, b"hello"),
                    (1, b"\xff"),
                    (8, b"hel"),
                    (2, b"lo"),
                    (3, b"ping"),
                    (0x20, b"deflated" * 9),
                )
                + _pieces((5, b"\x03\xe8bye"))
            )
    yield bytes([0, 0, 1, 0]) + frame(PING) * 300 + frame(1, b"behind")
    yield bytes([0, 0, 1, 0]) + b"\x81\x85\0\0\0\0hello\x88\x80\0\0\0\0"


def _bridge() -> Iterable[bytes]:
    """Services with one action or two, by the bytes that `tests.fuzz.wild.make_actions` makes them of."""
    for kind in range(0, 256, 12):
        for argument in (0, 80, 160, 240):
            actions = bytes([64, kind, argument, 0, kind, 0, argument]) + bytes([255, 250, 0])
            frames = b"\0\0\5hello\4\1\1\2\xff\xfe\5\0\3\1x"
            yield actions + frames + bytes([6, 1, 0, 4, 2, 3, 232, 7, 8, 1])


_SEEDS: Mapping[str, Callable[[], Iterable[bytes]]] = {
    "where": _where,
    "settings": _settings,
    "proxy": _proxy,
    "hello": _hello,
    "query": lambda: _QUERIES,
    "stream": _stream,
    "split": _split,
    "datagram": _datagram,
    "http": lambda: (bytes([door, 0]) + request for request in _REQUESTS for door in range(4)),
    "websocket": _websocket,
    "bridge": _bridge,
    "vocabulary": lambda: (bytes([number // 2]) + said for number, said in enumerate(_SAID)),
}


def seeds(target: str) -> list[bytes]:
    """Where exploring a target begins."""
    return list(_SEEDS[target]())


def words(target: str) -> list[bytes]:
    """What an input of a target may well have in it."""
    if target in ("where", "settings"):
        names = [*TABLES, *(one.name for table in TABLES.values() for one in settings_of(table))]
        names += [one.name for one in settings_of(Limits)]
        names += [one.name for service in plays.registry().services.values() for one in service.settings]
        signs = ["= true", '"', "'''", "[[", "0.0.0.0/0", "://", "%25", "?", "&", "inf", "\n[service.a]\n"]
        return [name.encode() for name in (*dict.fromkeys(names), *signs)]
    if target in ("proxy", "split", "stream"):
        return [b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b"\r\n", b"\r\n\r\n\0\r\nQUIT\n", b"::1", b"\n"]
    if target == "query":
        return [name.encode() + b"=" for name in (*FILTER_KEYS, *PAGE_KEYS)] + [
            b"hex:",
            b"&",
            b"%ff",
            b"last",
        ]
    if target == "http":
        heads = [b"Host: ", b"Connection: ", b"Upgrade: websocket\r\n", b"Content-Length: ", b"Origin: "]
        heads += [
            b"Transfer-Encoding: chunked\r\n",
            b"Sec-WebSocket-Key: " + KEY,
            b"Cookie: ",
            b"Accept: ",
            b"a-token-for-tests",
        ]
        paths = [b"/api/facts", b"/api/wait?", b"/ws/", b"/metrics", b"/api/poll/", b"/api/clients"]
        return [*heads, *paths, b"\r\n\r\n", b" HTTP/1.1\r\n", b"GET ", b"POST ", b"DELETE ", b"0\r\n\r\n"]
    if target == "vocabulary":
        return [b'{"type":"', b'"join"', b'"say"', b'"stroke"', b'"clear"', b'"points":[[0,1]]', b'"\\ud800"']
    return []


def dictionary(target: str) -> str:
    """The same as a dictionary of libFuzzer's; "" where there are none."""
    lines = ("".join(f"\\x{byte:02X}" for byte in word) for word in words(target))
    return "".join(f'"{line}"\n' for line in lines)
