"""
Lines to paste into a terminal, for each listener, with the address by which the page was reached.

A listener on every address is reached as the page was; any other by its own address.
"""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

#: A line: which program it is for, and the line.
Line = tuple[str, str]

_WILDCARDS = frozenset({"0.0.0.0", "::", ""})


def lines_for(listener: Mapping[str, Any], page: str, local: str) -> list[dict[str, str]]:
    """
    The lines for one listener.

    @param listener: a row of `IDaemonView.listeners`.
    @param page: the name or address by which the page was reached, IPv6 without brackets; it has no character
        that means anything to a shell.
    @param local: the address of this machine at which it arrived.
    @return: ``{"program": …, "line": …}`` for each.
    """
    service, transport = listener["service"], listener["transport"]
    address, port = listener["address"], listener["port"]
    host = page if address in _WILDCARDS or address == local else address
    if transport in ("ws", "wss"):
        found = _websocket(listener["listener"], page)
    elif service == "web":
        found = _web(transport, host, port, address)
    elif transport == "unix":
        found = _unix(address)
    elif transport == "unix-datagram":
        found = _unix_datagram(address)
    elif transport == "udp":
        found = _udp(host, port)
    elif transport == "tls" or listener["listener"].startswith(("ssl:", "tls:")):
        found = _tls(host, port)
    else:
        found = _tcp(service, host, port)
    return [{"program": program, "line": line} for program, line in found]


def in_url(host: str) -> str:
    """A host as a URL has it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def _tcp(service: str, host: str, port: int) -> Iterator[Line]:
    at = f"{in_url(host)}:{port}"
    yield "nc", f"nc {host} {port}"
    yield "socat", f"socat - TCP{_version(host)}:{at}"
    yield (
        "Python",
        f"python3 -c \"import socket; s = socket.create_connection(('{host}', {port})); "
        "s.sendall(b'hello\\n'); print(s.recv(65536))\"",
    )
    yield (
        "PowerShell",
        f"$c = [Net.Sockets.TcpClient]::new('{host}', {port}); $s = $c.GetStream(); "
        '$b = [Text.Encoding]::UTF8.GetBytes("hello`n"); $s.Write($b, 0, $b.Length); '
        "$a = [byte[]]::new(65536); $n = $s.Read($a, 0, $a.Length); "
        "[Text.Encoding]::UTF8.GetString($a, 0, $n); $c.Close()",
    )
    if service == "clients":
        yield "netsvc", f"netsvc clients {at} -n me"
    elif service == "chat":
        yield "netsvc", f"netsvc chat {at} -n me"
    elif service == "greeting":
        yield "netsvc", f"netsvc greet {at}"
    else:
        yield "netsvc", f"netsvc talk {at}"


def _tls(host: str, port: int) -> Iterator[Line]:
    at = f"{in_url(host)}:{port}"
    yield "openssl", f"openssl s_client -quiet -connect {at}{_server_name(host)}"
    yield "socat", f"socat - OPENSSL:{at},verify=0"
    yield (
        "Python",
        f'python3 -c "import socket, ssl; c = ssl._create_unverified_context(); '
        f"s = c.wrap_socket(socket.create_connection(('{host}', {port})), server_hostname='{host}'); "
        "s.sendall(b'hello\\n'); print(s.recv(65536))\"",
    )
    yield (
        "PowerShell",
        f"$c = [Net.Sockets.TcpClient]::new('{host}', {port}); "
        "$s = [Net.Security.SslStream]::new($c.GetStream(), $false, {$true}); "
        f"$s.AuthenticateAsClient('{host}'); "
        '$b = [Text.Encoding]::UTF8.GetBytes("hello`n"); $s.Write($b, 0, $b.Length); '
        "$a = [byte[]]::new(65536); $n = $s.Read($a, 0, $a.Length); "
        "[Text.Encoding]::UTF8.GetString($a, 0, $n); $c.Close()",
    )
    yield "netsvc", f"netsvc talk tls://{at} --insecure"


def _udp(host: str, port: int) -> Iterator[Line]:
    at = f"{in_url(host)}:{port}"
    family = "AF_INET6" if ":" in host else "AF_INET"
    yield "nc", f"echo hello | nc -u -w1 {host} {port}"
    yield "socat", f"echo hello | socat -t1 - UDP{_version(host)}:{at}"
    yield (
        "Python",
        f'python3 -c "import socket; s = socket.socket(socket.{family}, socket.SOCK_DGRAM); '
        f"s.sendto(b'hello', ('{host}', {port}))\"",
    )
    yield (
        "PowerShell",
        f"$u = [Net.Sockets.UdpClient]::new('{host}', {port}); "
        "$b = [Text.Encoding]::UTF8.GetBytes('hello'); [void]$u.Send($b, $b.Length); $u.Close()",
    )
    yield "netsvc", f"netsvc send udp://{at} hello"


def _unix(path: str) -> Iterator[Line]:
    yield "nc", f"nc -U {shlex.quote(path)}"
    yield "socat", f"socat - {shlex.quote('UNIX-CONNECT:' + path)}"
    yield "netsvc", f"netsvc talk {shlex.quote('unix://' + path)}"


def _unix_datagram(path: str) -> Iterator[Line]:
    yield "socat", f"echo hello | socat -u - {shlex.quote('UNIX-SENDTO:' + path)}"
    yield "netsvc", f"netsvc send {shlex.quote('unix-datagram://' + path)} hello"


def _web(transport: str, host: str, port: int | None, address: str) -> Iterator[Line]:
    if transport == "unix":
        yield "curl", f"curl --unix-socket {shlex.quote(address)} http://localhost/api/facts"
        return
    url = f"{'https' if transport == 'tls' else 'http'}://{in_url(host)}:{port}"
    yield "curl", f"curl '{url}/api/facts?order=newest&limit=10'"
    yield "netsvc", f"netsvc tail --at {url}"


def _websocket(url: str, page: str) -> Iterator[Line]:
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    if authority.startswith(("0.0.0.0:", "[::]:")):
        authority = f"{in_url(page)}:{authority.rpartition(':')[2]}"
    here = f"{scheme}://{authority}{slash}{path}"
    yield "netsvc", f"netsvc talk {shlex.quote(here)}"
    yield (
        "browser",
        f"s = new WebSocket({here!r}); s.onmessage = m => console.log(m.data); "
        "s.onopen = () => s.send('hello')",
    )


def _version(host: str) -> str:
    """The digit by which socat tells the families apart; none for a name, which may have either."""
    try:
        return str(ipaddress.ip_address(host).version)
    except ValueError:
        return ""


def _server_name(host: str) -> str:
    # openssl sends none for an address, and must be told for a name.
    return f" -servername {host}" if not _version(host) else ""
