"""echo, RFC 862: what comes goes back. The first thing to try when a connection is in doubt."""

from __future__ import annotations

from twisted.internet.interfaces import IAddress, ITCPTransport, ITransport, IUDPTransport
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol


class Echo(Protocol):
    """Sends every chunk back, byte for byte."""

    transport: ITransport

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class ResettingEcho(Echo):
    """
    The same, but a first message that contains a certain text has the connection reset.

    The first message is what the first read brought. A client that asks for the reset sends the text in
    one piece; looking further would reset somebody who merely quotes it later.
    """

    transport: ITCPTransport

    def __init__(self, text: bytes) -> None:
        """@param text: what asks for the reset; not empty."""
        self._text = text
        self._first = True

    def dataReceived(self, data: bytes) -> None:
        first, self._first = self._first, False
        if first and self._text in data:
            self.transport.abortConnection()
        else:
            super().dataReceived(data)


class EchoFactory(Factory[Echo]):
    """Makes the echo of each connection."""

    noisy = False

    def __init__(self, disconnect: str = "") -> None:
        """
        @param disconnect: a first message that contains this text has the connection reset; empty resets
            none. Bytes that are not UTF-8 may come as surrogates (`os.fsdecode`).
        """
        self._disconnect = disconnect.encode("utf-8", "surrogateescape")

    def buildProtocol(self, addr: IAddress | None) -> Echo:
        echo = ResettingEcho(self._disconnect) if self._disconnect else Echo()
        echo.factory = self
        return echo


class EchoDatagram(DatagramProtocol):
    """Sends every datagram back to where it came from, an empty one too."""

    noisy = False
    transport: IUDPTransport

    def __init__(self, disconnect: str = "") -> None:
        """@param disconnect: has no meaning here, for there is no connection to reset."""

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.transport.write(datagram, addr)
