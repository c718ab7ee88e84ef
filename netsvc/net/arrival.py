"""How a client arrived, put together from what the transport, the PROXY header and TLS say."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress

from netsvc.facts import NO_DETAIL, Detail
from netsvc.interfaces import Arrival, IArrivalTransport, ProxyArrival, TLSArrival
from netsvc.net.addresses import fold
from netsvc.net.source import path_of


def arrival_at(transport: Any, name: str) -> Arrival:
    """
    What the transport alone tells.

    @param transport: a connected `ITransport`.
    @param name: ``tcp``, ``tls``, ``unix`` …, or ``endpoint`` where only the transport knows. One that
        knows how its client arrived, as a WebSocket does, tells that in full.
    """
    knowing: Any = IArrivalTransport(transport, None)
    if knowing is not None:
        told: Arrival = knowing.arrival()
        return replace(told, transport=name)
    address, port = host_and_port(transport.getPeer())
    local_address, local_port = host_and_port(transport.getHost())
    if name == "endpoint":
        name = "unix" if local_port is None else "tcp"
    return Arrival(name, address, port, local_address, local_port)


def behind_proxy(arrival: Arrival, header: ProxyArrival | None) -> Arrival:
    """
    The same arrival as a PROXY header tells it.

    @param header: with `via` not filled in yet; None, or one without a source, changes no address.
    """
    if header is None:
        return arrival
    header = replace(header, via=arrival.address)
    if header.source is None:
        return replace(arrival, proxy=header)
    return replace(
        arrival,
        address=fold(header.source),
        port=header.source_port,
        local_address=fold(header.destination or ""),
        local_port=header.destination_port,
        proxy=header,
    )


def with_tls(arrival: Arrival, tls: TLSArrival) -> Arrival:
    """The same arrival with what TLS said."""
    return replace(arrival, transport="tls", tls=tls)


def tls_below(transport: Any) -> TLSArrival:
    """
    What Twisted's own TLS layer says, for listeners made from an endpoint description.

    @param transport: an `ISSLTransport` of Twisted's, its handshake over.
    """
    connection = transport.getHandle()
    certificate = transport.getPeerCertificate()
    subject = certificate and certificate.to_cryptography().subject.rfc4514_string()
    name = connection.get_servername()
    return TLSArrival(
        version=connection.get_protocol_version_name(),
        cipher=connection.get_cipher_name() or "",
        server_name=name.decode("ascii", "backslashreplace") if name else None,
        client_subject=subject or None,
    )


def details_of(arrival: Arrival) -> Detail:
    """What an ``opened`` fact says of TLS and PROXY."""
    if arrival.tls is None and arrival.proxy is None:
        return NO_DETAIL
    found = (("tls", arrival.tls), ("proxy", arrival.proxy))
    return tuple((key, tuple(asdict(value).items())) for key, value in found if value is not None)


def host_and_port(address: IAddress) -> tuple[str, int | None]:
    """An address as text and port: IPv4 never as ``::ffff:…``; a UNIX socket's path or ``""``, and None."""
    if isinstance(address, IPv4Address | IPv6Address):
        return fold(address.host), address.port
    if isinstance(address, UNIXAddress):
        return path_of(address.name), None
    return str(address), None


def address_of(host: str, port: int | None) -> IAddress:
    """The other way round."""
    if port is None:
        return UNIXAddress(host.encode("utf-8", "surrogateescape") or None)
    if ":" in host:
        return IPv6Address("TCP", host, port)
    return IPv4Address("TCP", host, port)
