"""greeting: says one sentence and closes, so that a client's reading can be tried before its writing."""

from __future__ import annotations

from twisted.internet.interfaces import IAddress, ITransport
from twisted.internet.protocol import Factory, Protocol


class Greeting(Protocol):
    """Sends the greeting and closes once it has left; whatever the client sends is of no interest."""

    transport: ITransport

    def __init__(self, text: bytes) -> None:
        """@param text: what is sent."""
        self._text = text

    def connectionMade(self) -> None:
        self.transport.write(self._text)
        self.transport.loseConnection()


class GreetingFactory(Factory[Greeting]):
    """Makes the greeting of each connection."""

    noisy = False

    def __init__(self, text: str = "Thank you for connecting\r\n") -> None:
        """
        @param text: what is sent, in UTF-8, as it stands: nothing is added, no escape is read. Bytes that
            are not UTF-8 may come as surrogates (`os.fsdecode`).
        """
        self._text = text.encode("utf-8", "surrogateescape")

    def buildProtocol(self, addr: IAddress | None) -> Greeting:
        greeting = Greeting(self._text)
        greeting.factory = self
        return greeting
