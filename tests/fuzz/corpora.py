"""What clients and users really say, for `netsvc` to be given nearly that."""

from __future__ import annotations

import socket
import struct

from netsvc.net.proxy import crc32c

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(command: int, family: int, body: bytes) -> bytes:
    """A header of version 2 whose length is right, whatever else is."""
    return _SIGNATURE + struct.pack(">BBH", 0x20 | command, family, len(body)) + body


def _extension(kind: int, value: bytes) -> bytes:
    return struct.pack(">BH", kind, len(value)) + value


def _checked(header: bytes) -> bytes:
    """The header with a right checksum behind it."""
    length = len(header) - 16 + 7
    whole = header[:14] + struct.pack(">H", length) + header[16:] + _extension(3, bytes(4))
    return whole[:-4] + struct.pack(">I", crc32c(whole))


_V4 = socket.inet_aton("198.51.100.7") + socket.inet_aton("192.0.2.1") + struct.pack(">HH", 40_000, 8009)
_V6 = bytes(range(32)) + struct.pack(">HH", 0, 65_535)
_MAPPED = (bytes(10) + b"\xff\xff\xc6\x33\x64\x07") * 2 + struct.pack(">HH", 1, 2)
_PATHS = b"/run/\xff\n\x1b[2J.sock".ljust(108, b"\0") + b"\0abstract\xe2\x80\xae".ljust(108, b"\0")
_NAME = _extension(2, "b\u00fccher.example\x1b\u2028".encode())
_TLS = _extension(0x20, b"\x01\0\0\0\0" + _extension(0x21, b"TLSv1.3"))

#: PROXY headers, each whole.
PROXY = (
    b"PROXY TCP4 198.51.100.7 192.0.2.1 40000 8009\r\n",
    b"PROXY TCP6 2001:db8::7 ::1 0 65535\r\n",
    b"PROXY TCP6 ::ffff:198.51.100.7 ::ffff:192.0.2.1 1 2\r\n",
    b"PROXY TCP4 127.0.0.1 255.255.255.255 1 1\r\n",
    b"PROXY TCP4 198.51.100.7 192.0.2.1 65536 99999\r\n",
    b"PROXY UNKNOWN\r\n",
    b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535 \x1b\0\xff\r\n",
    v2(0, 0, b""),
    v2(0, 0x11, _V4),
    v2(1, 0x11, _V4),
    v2(1, 0x12, _V4 + _NAME + _TLS),
    v2(1, 0x21, _V6 + _NAME),
    v2(1, 0x21, _MAPPED),
    v2(1, 0x31, _PATHS),
    v2(1, 0x31, bytes(216)),
    v2(1, 0x32, _PATHS + _NAME),
    v2(1, 0x00, b"whatever"),
    v2(1, 0x11, _V4 + _extension(4, bytes(4096 - 15))),
    _checked(v2(1, 0x11, _V4 + _NAME)),
    _checked(v2(1, 0x21, _V6)),
)

#: What stands in those of version 2 behind their first 16 bytes.
PROXY_BODIES = tuple(header[16:] for header in PROXY if header.startswith(_SIGNATURE))

#: What clients of the services send.
MESSAGES = (
    b"hello python",
    b"Hello you there!\r\n",
    b"\n",
    b"\r\n\r\n",
    b"alice\n",
    b"alice\r\nhi\r\nthere\n",
    b"ALICE\n",
    b"\xef\xac\x81sh\nfish\n",
    b"bob: hello\n",
    b"* bob left\n",
    b" carol \nlast words",
    "\u00e9\u4e00\u202e\u2028 \U0001f600\n".encode(),
    b"\xff\xfe\xed\xa0\x80\n",
    b"\x1b[31mred\x1b]0;title\x07\x9b\x00\n",
    b"%s {data} {peer} {0} {log_level} \\n\n",
    b"x" * 300 + b"\n",
    b"y" * 70_000,
    b'{"name": "alice"}',
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"quit",
    b"a" * 255 + b"\n",
    b"",
)

#: Sources of TCP connections, as accept gives them, and of UNIX ones.
TCP_PEERS = (
    ("127.0.0.1", 55_378),
    ("127.0.0.1", 1),
    ("198.51.100.7", 40_000),
    ("198.51.100.8", 65_535),
    ("10.0.0.9", 40_000),
    ("::1", 40_000, 0, 0),
    ("::ffff:198.51.100.7", 40_000, 0, 0),
    ("2001:db8::1", 40_000, 0, 0),
    ("fe80::1%eth0", 40_000, 0, 2),
)
UNIX_PEERS = ("", None, "/run/client.sock", "/tmp/\udcff\n\x1b[2J\u202e", b"\0abstract\xff\n")

#: What a user writes where a service shall listen.
WHERES = (
    "8009",
    ":8009",
    "0",
    "127.0.0.1:8009",
    "localhost:http",
    "localhost:0",
    "[2001:db8::1]:8009",
    "[fe80::1%eth0]:8009",
    "bench-7.example.:65535",
    "tcp://127.0.0.1:8009",
    "tcp://:8009",
    "tcp://[::1]:8009?backlog=5&idle-timeout=60&proxy=optional",
    "tcp://[fe80::1%25eth0]:8009",
    "tcp://:9999?text=Hello%20there%0d%0a&max-connections=3&trusted=10.0.0.0/8,::1",
    "tcp://:8009?style=plain&framing=line&max_line=80&clock=iso&data=repr",
    "udp://:6667",
    "udp://0.0.0.0:6668?ack=received&ack_text=got%20it&reply-factor=3",
    "unix:///run/netsvc/echo.sock?mode=660",
    "unix-datagram:///run/netsvc/echo.sock?mode=0600",
    "unix://@abstract",
    "unix:///" + "p" * 110,
    "tls://:2007",
    "tls://:2007?certificate=server.pem&key=server.key&client-ca=ca.pem&ciphers=ECDHE+AESGCM:@SECLEVEL=2",
    "tls://localhost:2007?handshake-timeout=0.05&first_line_timeout=1e3",
    "ws://:9001/path?origin=*",
    "wss://:9001/",
    "systemd://echo",
    "systemd://both?proxy=required",
    "systemd://none",
    "systemd://path?certificate=server.pem",
    "systemd://both?certificate=server.pem",
    "tcp://:8009?certificate=server.pem",
    "tcp://:8009?mode=600",
    "udp://:6667?proxy=off",
    "unix:///run/a.sock?mode=1000",
    "unix:///run/a%00b.sock",
    "unix:///run/%FF.sock",
    "tcp:8009",
    "tcp:8009:interface=\\:\\:",
    "ssl:443:privateKey=key.pem:certKey=cert.pem",
    "unix:/run/a.sock:mode=660",
    "haproxy:tcp:8009",
    "haproxy:haproxy:tcp:8009",
    "systemd:domain=INET:name=echo",
    "http://example.org:80/",
    "tcp://user@host:1/",
    "127.1:80",
    "0x7f.1:80",
    "256.0.0.1:80",
    "::1:80",
    "tcp://\u0661\u0662\u0663:\u0668\u0660",
    "name.with-a-label-that-is-far-too-long-for-the-resolver-to-take-" + "x" * 64 + ".example:80",
    "a..b:80",
)
