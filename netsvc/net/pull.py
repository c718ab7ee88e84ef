"""
A pull producer as a push producer.

The guard is what the transport asks to pause and to resume, so a service that produces one piece per request
(`IPullProducer`) is asked for a piece in every turn of the reactor until it is paused. A piece per turn, not
as many as fit: one client must not keep the others waiting.
"""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from twisted.internet.interfaces import IDelayedCall, IPullProducer, IPushProducer


@implementer(IPushProducer)
class PulledProducer:
    """Asks a pull producer for one piece in each turn of the reactor."""

    def __init__(
        self,
        producer: IPullProducer,
        next_turn: Callable[[Callable[[], None]], IDelayedCall],
        failed: Callable[[], None],
    ) -> None:
        """
        @param producer: what is asked.
        @param next_turn: calls a function in the reactor's next turn.
        @param failed: called, while the exception is being handled, when the producer raised.
        """
        self._producer = producer
        self._failed = failed
        self._next_turn = next_turn
        self._call: IDelayedCall | None = None
        self._paused = True

    def pauseProducing(self) -> None:
        """Ask for no more, for now."""
        self._paused = True
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def resumeProducing(self) -> None:
        """Ask again, from the next turn on."""
        self._paused = False
        if self._call is None:
            self._call = self._next_turn(self._pull)

    def stopProducing(self) -> None:
        """Ask no more, and tell the producer so."""
        self.pauseProducing()
        self._producer.stopProducing()

    def _pull(self) -> None:
        self._call = None
        try:
            self._producer.resumeProducing()
        except Exception:  # noqa: BLE001 - it may be anybody's; its fault ends its own connection only
            self._failed()
            return
        if not self._paused:
            self.resumeProducing()
