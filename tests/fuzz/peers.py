"""The other end of a connection in a play, with and without TLS."""

from __future__ import annotations

import ssl

from tests.fuzz.wires import Wire
from tests.net.tls_client import Client


class Peer:
    """
    The client of one connection.

    @ivar wire: the socket that the server has.
    @ivar number: the connection's number in facts.
    """

    def __init__(self, wire: Wire, number: int) -> None:
        self.wire = wire
        self.number = number

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.raw(data)

    def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        arriving = self.wire.arriving
        if data and not (arriving and arriving[-1] == b""):
            arriving.append(data)

    def end(self, argument: object) -> None:
        """Send no more."""
        arriving = self.wire.arriving
        if not (arriving and arriving[-1] == b""):
            arriving.append(b"")

    def take(self, size: int) -> None:
        """Be ready to take so many bytes."""
        self.wire.room = size

    def fail(self, number: int) -> None:
        """The connection breaks, with an error of the system's."""
        self.wire.broken = number

    def shake(self, argument: object) -> None:
        """Nothing to agree on."""

    def spoil(self, argument: tuple[int, int]) -> None:
        """Nothing to spoil that `raw` would not do."""

    def compare(self, received: bytes, sent: bytes) -> None:
        """
        Everything has ended: compare what the facts say with what really went over the wire.

        @param received: what the service got.
        @param sent: what it wrote.
        """
        assert received in self.wire.read, "the service got what was not sent"
        assert sent.startswith(self.wire.sent), "the client got what the service did not write"


class TLSPeer(Peer):
    """The same with TLS."""

    def __init__(self, wire: Wire, number: int, context: ssl.SSLContext) -> None:
        super().__init__(wire, number)
        self._client = Client(context)
        self._said = bytearray()
        self._taken = 0
        self._got = b""
        self._over = False
        self._spoilt: tuple[int, int] | None = None

    def shake(self, argument: object) -> None:
        """Read what has come, and go on with the handshake."""
        fresh, self._taken = self.wire.sent[self._taken :], len(self.wire.sent)
        self._client.feed(bytes(fresh))
        try:
            if self._client.shake():
                self._got += self._client.read()
        except ssl.SSLError:
            # An alert.
            self._over = True
        self._post()

    def send(self, data: bytes) -> None:
        """Send bytes in records, or what the handshake needs."""
        if not self._client.shaken:
            self.shake(None)
        if self._client.shaken and not self._over and data:
            self._said += data
            self._client.tls.write(data)
        self._post()

    def end(self, argument: object) -> None:
        """Say close_notify, or end without."""
        # First what has come: an alert that unwrap finds there becomes the next session's error.
        self.shake(None)
        if argument and self._client.shaken and not self._over:
            self._over = True
            try:
                self._client.tls.unwrap()
            except ssl.SSLError:
                # It wants the server's too.
                self._post()
        else:
            super().end(argument)

    def spoil(self, argument: tuple[int, int]) -> None:
        """Have one byte of what is sent next be another: its place, and what is added to it."""
        self._spoilt = argument

    def compare(self, received: bytes, sent: bytes) -> None:
        """See `Peer`."""
        assert self._said.startswith(received), "the service got what was not sent"
        self.shake(None)
        assert sent.startswith(self._got), "the client got what the service did not write"

    def _post(self) -> None:
        data = self._client.sent()
        if self._spoilt is not None and data:
            place, by = self._spoilt
            self._spoilt = None
            place %= len(data)
            data = data[:place] + bytes([(data[place] + by) % 256]) + data[place + 1 :]
        self.raw(data)
