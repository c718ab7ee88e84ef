"""Clients of TLS in memory, and what carries their handshakes with a session."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from OpenSSL import SSL

from netsvc.net.tls import TLSFailure, TLSSession

VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


def client_context(ca: Path, version: str = "TLSv1.3") -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=ca)
    made.minimum_version = made.maximum_version = VERSIONS[version]
    return made


class Client:
    """A client in memory: what it sends is taken with `sent`, what it receives is given to `feed`."""

    def __init__(
        self, context: ssl.SSLContext, name: str = "localhost", session: ssl.SSLSession | None = None
    ) -> None:
        self._bio_in, self._bio_out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._bio_in, self._bio_out, server_hostname=name, session=session)
        self.shaken = False

    def shake(self) -> bool:
        """Go on with the handshake; True once it is over."""
        if not self.shaken:
            try:
                self.tls.do_handshake()
                self.shaken = True
            except ssl.SSLWantReadError:
                return False
        return True

    def sent(self) -> bytes:
        return self._bio_out.read()

    def feed(self, ciphertext: bytes) -> None:
        self._bio_in.write(ciphertext)

    def seal(self, *messages: bytes) -> bytes:
        """One record for each message."""
        for message in messages:
            self.tls.write(message)
        return self.sent()

    def read(self) -> bytes:
        """All the plaintext that has come; `ended` tells whether it ended in close_notify."""
        pieces = []
        try:
            while piece := self.tls.read(65536):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            self.ended = False
        except ssl.SSLZeroReturnError:
            self.ended = True
        else:
            self.ended = True
        return b"".join(pieces)

    def end(self) -> bytes:
        """Say close_notify."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self.sent()


def whole(data: bytes) -> Iterable[bytes]:
    return [data]


def singly(data: bytes) -> Iterable[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


def shake_hands(
    client: Client, session: TLSSession, cut: Callable[[bytes], Iterable[bytes]] = whole
) -> list[bytes]:
    """Carry a handshake to its end, in pieces; the plaintext that came with it is returned."""
    plaintext: list[bytes] = []
    while not (client.shake() and session.handshaken):
        for piece in cut(client.sent()):
            plaintext += session.receive(piece)
        client.feed(session.outgoing())
    return plaintext


def connect(context: ssl.SSLContext, client: ssl.SSLContext) -> tuple[Client, TLSSession]:
    made, session = Client(client), TLSSession(context)
    shake_hands(made, session)
    return made, session


def fail(context: ssl.SSLContext, client: Client) -> str:
    """Carry a handshake to its failure at the server, give the client the alert, return the reason."""
    session = TLSSession(context)
    with pytest.raises(TLSFailure) as caught:  # noqa: PT012 - which of the messages it is, TLS's version decides
        for _ in range(5):
            with suppress(ssl.SSLError):
                # Where it raises, the client's alert is on its way.
                client.shake()
            session.receive(client.sent())
            client.feed(session.outgoing())
    client.feed(session.outgoing())
    assert session.receive(b"more") == []
    session.send(b"more")
    session.close()
    assert session.outgoing() == b""
    return str(caught.value)


def step(act: Callable[[], object]) -> None:
    """Let a pyOpenSSL client go on as far as it can."""
    try:
        act()
    except SSL.WantReadError:
        return
