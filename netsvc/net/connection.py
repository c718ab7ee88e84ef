"""
A connection's way out: what holds it back while its client does not read, and how it ends.

Reading stops while the transport's buffer is full, and so does the service's producer, which is what bounds
the memory of a connection. Closing means: what was written leaves, then our side closes, then what the client
still sends is read and thrown away for a moment, because closing a socket with unread bytes in it makes the
system send a reset that can destroy the answer on its way. Whatever does not get any further is aborted.

`netsvc.net.guard` builds on this what comes in, and the service.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from twisted.internet.interfaces import IDelayedCall, IProducer, IPushProducer, ISSLTransport

from netsvc.net.listening import Listening
from netsvc.net.progress import Progress, lowest, outstanding
from netsvc.net.pull import PulledProducer


@implementer(IPushProducer)
class _Pressure:
    """What the transport asks to pause while its buffer is full."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def pauseProducing(self) -> None:
        self._connection.stall()

    def resumeProducing(self) -> None:
        self._connection.flow()

    def stopProducing(self) -> None:
        """The transport is gone; connectionLost follows and does what is to do."""


class Connection:
    """
    One connection, as far as it goes out.

    @ivar bytes_in: bytes that the service received.
    @ivar bytes_out: bytes that it wrote.
    @ivar messages_in: pieces in which they came.
    @ivar messages_out: pieces in which they went.
    @ivar seen: the sum of both when somebody last looked.
    @ivar quiet_since: when the sum was last seen to have changed, by the reactor's clock.
    """

    __slots__ = (
        "_close_wanted",
        "_ending",
        "_held",
        "_listening",
        "_overrun",
        "_producer",
        "_progress",
        "_read_ended",
        "_reason",
        "_stalled",
        "_timer",
        "_transport",
        "_write_closed",
        "_write_ended",
        "bytes_in",
        "bytes_out",
        "messages_in",
        "messages_out",
        "quiet_since",
        "seen",
    )

    def __init__(self, listening: Listening) -> None:
        """
        @param listening: what all connections of the listener share.
        """
        self._listening = listening
        self._transport: Any = None
        self._timer: IDelayedCall | None = None
        self._progress: Progress | None = None
        self._producer: Any = None
        # Why it ends, by whoever wanted that first; None where it is the client.
        self._reason: str | None = None
        # Nothing more will be written, and what comes in does not matter any more.
        self._ending = False
        # The client, and the service, have finished sending.
        self._read_ended = False
        self._write_ended = False
        # Everything has left and our side is closed.
        self._write_closed = False
        # Why it ends when the producer has finished; None where it does not end then.
        self._close_wanted: str | None = None
        # Reading is paused because the client does not read, because the service wants it so.
        self._stalled = False
        self._held = False
        self._overrun = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.messages_in = 0
        self.messages_out = 0
        self.seen = -1
        self.quiet_since = 0.0

    @property
    def reason(self) -> str | None:
        """Why it ends, where that is not the client's doing; None while it does not."""
        return self._reason

    # -- for the layers above ------------------------------------------------------------------------

    def close_layers(self) -> None:
        """Nothing more will be written: what lies between service and transport has its last word."""

    def ignore_input(self) -> None:
        """What comes in from now on is thrown away."""

    # -- pressure ------------------------------------------------------------------------------------

    def press(self, transport: Any) -> None:
        """Begin: the transport tells when its buffer is full."""
        self._transport = transport
        transport.registerProducer(_Pressure(self), True)

    def stall(self) -> None:
        """The transport's buffer is full."""
        if self._stalled or self._ending:
            return
        self._stalled = True
        self._listening.admission.stall()
        self._transport.pauseProducing()
        if self._producer is not None:
            self._producer.pauseProducing()
        self._watch()

    def flow(self) -> None:
        """The transport's buffer is empty again."""
        if not self._stalled or self._ending:
            return
        self._end_stall()
        self._overrun = 0
        self._unwatch()
        self._read_again()
        if self._producer is not None:
            self._producer.resumeProducing()
        self._close_if_done()

    def overrun(self, size: int) -> bool:
        """
        Count bytes that the service writes although the client does not read.

        @return: whether the budget for that is used up; the connection has been aborted then.
        """
        self._overrun += size
        if self._overrun <= self._listening.admission.write_budget():
            return False
        self._abort("write_budget")
        return True

    def pauseProducing(self) -> None:
        """The service wants to read nothing for now; see `IPushProducer`."""
        self._held = True
        if self._transport is not None and not self._ending:
            self._transport.pauseProducing()

    def resumeProducing(self) -> None:
        """The service wants to read again; see `IPushProducer`."""
        self._held = False
        self._read_again()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Let a producer write as fast as the client reads; see `IConsumer`."""
        if self._producer is not None:
            raise RuntimeError(f"cannot register producer {producer!r}: {self._producer!r} is registered")
        if self._ending or self._transport is None:
            producer.stopProducing()
            return
        if not streaming:
            clock = self._listening.clock
            producer = PulledProducer(
                producer,  # type: ignore[arg-type]
                lambda call: clock.callLater(0, call),
                lambda: self.fail("failed to produce"),
            )
        self._producer = producer
        if self._stalled:
            self._producer.pauseProducing()
        elif not streaming:
            self._producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """The producer has finished; see `IConsumer`."""
        producer, self._producer = self._producer, None
        if isinstance(producer, PulledProducer):
            producer.pauseProducing()
        self._close_if_done()

    def _end_stall(self) -> None:
        if self._stalled:
            self._stalled = False
            self._listening.admission.flow()

    def _read_again(self) -> None:
        if self._transport is not None and not (
            self._held or self._stalled or self._read_ended or self._ending
        ):
            self._transport.resumeProducing()

    # -- the end -------------------------------------------------------------------------------------

    def loseConnection(self) -> None:
        """Close once everything written has left, and once the producer has finished; see `ITransport`."""
        self._close_wanted = "service"
        self._close_if_done()

    def stopProducing(self) -> None:
        """The service wants nothing more; see `IPushProducer`."""
        self.loseConnection()

    def abortConnection(self) -> None:
        """Reset the connection; see `ITCPTransport`."""
        self._abort("service")

    def loseWriteConnection(self) -> None:
        """Send what was written and then the end of our side; see `ITCPTransport`."""
        if self._ending or self._write_ended or self._transport is None:
            return
        if self._close_wanted:
            self._finish(self._close_wanted)
            return
        self._write_ended = True
        self._stop_producer()
        self.close_layers()
        if self._can_half_close():
            self._transport.unregisterProducer()
            self._watch()
            self._transport.loseWriteConnection()

    def close_after_answer(self, reason: str) -> None:
        """
        The client has finished sending: close once what is being answered has been.

        A push producer does not tell whether it still has something to say: some are registered for the whole
        life of their connection. Where one has written nothing for `close_timeout`, it has not.
        """
        if self._producer is None:
            self._finish(reason)
        else:
            self._close_wanted = reason
            if not isinstance(self._producer, PulledProducer):
                self._close_when_silent(reason, -1)

    def fail(self, what: str) -> None:
        """
        The service raised, which ends its connection; called where the exception is caught.

        @param what: for the log, behind the service's name.
        """
        self._say_failed(what)
        self._abort("error")

    def time_out_idle(self) -> None:
        """No byte has moved for the idle time."""
        self._finish("idle")

    def drain(self) -> None:
        """The daemon stops: produce no more, send what is buffered, close."""
        if self._ending:
            # With bytes to read, closing now would reset what is on its way; close_timeout ends that anyhow.
            if self._transport is not None and not Progress.unread(self._transport):
                self._transport.loseConnection()
        elif self._stalled or Progress.unread(self._transport):
            self._finish("shutdown")
        else:
            # Nothing that could reset the connection waits to be read: no need to linger.
            transport, below = self._transport, lowest(self._transport)
            self._end_output("shutdown")
            self._watch()
            transport.loseConnection()
            if below is not transport:
                # A TLS layer of Twisted's would wait for the client's close_notify.
                below.loseConnection()

    def abort(self) -> None:
        """The daemon's patience is over."""
        self._abort("shutdown")

    def output_closed(self) -> None:
        """Everything has left and our side is closed."""
        if self._transport is None:
            # The service, told of it first, has closed the rest, which a transport then does at once.
            return
        self._unwatch()
        self._write_closed = True
        self._end_stall()
        if self._ending:
            self._linger()
        elif self._read_ended:
            self._finish("fin")
        else:
            self._read_again()

    def let_go(self) -> None:
        """The transport is gone."""
        self._ending = True
        self._end_stall()
        self._cancel_timer()
        self._unwatch()
        self._transport = None
        self._stop_producer()

    def _close_if_done(self) -> None:
        """Close, if that is wanted and the producer has nothing in hand."""
        reason, producer = self._close_wanted, self._producer
        # As Twisted's own transports have it, a push producer that is not paused has nothing in hand.
        pushed = producer is not None and not isinstance(producer, PulledProducer) and not self._stalled
        if reason is not None and (producer is None or (pushed and reason == "service")):
            self._finish(reason)

    def _close_when_silent(self, reason: str, seen: int) -> None:
        if seen == self.bytes_out and not self._stalled:
            self._finish(reason)
            return
        now = self.bytes_out
        self._wait(self._listening.limits.close_timeout, lambda: self._close_when_silent(reason, now))

    def _say_failed(self, what: str) -> None:
        listening = self._listening
        listening.log.failure(
            what, "{service} on {listener} " + what, service=listening.service, listener=listening.listener
        )

    def _finish(self, reason: str) -> None:
        """Send what was written, close our side, and linger."""
        if self._ending or self._transport is None:
            return
        transport = self._transport
        self._end_output(reason)
        self._watch()
        if not self._can_half_close():
            self._wait(self._listening.limits.close_timeout, self._drop_if_sent)
            transport.loseConnection()
        elif self._read_ended:
            transport.loseConnection()
        elif self._write_closed:
            self._linger()
        else:
            # Lingering begins when everything has left; where the service has closed our side, that is on its
            # way already.
            transport.resumeProducing()
            if not self._write_ended:
                transport.loseWriteConnection()

    def _linger(self) -> None:
        """Give the client a moment to close its own side."""
        self._unwatch()
        self._transport.resumeProducing()
        self._wait(self._listening.limits.close_timeout, self._transport.loseConnection)

    def _drop_if_sent(self) -> None:
        """A TLS layer of Twisted's waits for the client's close_notify: no longer than others linger."""
        if any(outstanding(lowest(self._transport))):
            self._wait(self._listening.limits.close_timeout, self._drop_if_sent)
        else:
            self._transport.abortConnection()

    def _end_output(self, reason: str) -> None:
        """Nothing more will be written: let what was written go."""
        self._reason = self._reason or reason
        self._ending = True
        self._cancel_timer()
        self.ignore_input()
        self._stop_producer()
        # A transport that has paused its producer would wait for it before closing.
        self._transport.unregisterProducer()
        if not self._write_ended:
            self.close_layers()

    def _abort(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._ending = True
        self._cancel_timer()
        self._unwatch()
        self.ignore_input()
        # A transport may take its time to go, in which nothing of it would arrive.
        self._stop_producer()
        if self._transport is not None:
            self._transport.abortConnection()

    def _stop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            producer.stopProducing()
        except Exception:  # noqa: BLE001 - it may be anybody's; the end of a connection goes on to its end
            self._say_failed("failed to stop producing")

    def _can_half_close(self) -> bool:
        # A TLS layer of Twisted's own, under this or begun by the service, cannot close one side.
        transport = self._transport
        return not getattr(transport, "TLS", False) and not (
            self._listening.over_endpoint and ISSLTransport.providedBy(transport)
        )

    # -- time ----------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Abort the connection when nothing of what was written gets any further."""
        if self._progress is None:
            limits, clock = self._listening.limits, self._listening.clock
            self._progress = Progress(
                self._transport, clock, limits.write_timeout, lambda: self._abort("write_timeout")
            )

    def _unwatch(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _wait(self, seconds: float, call: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = self._listening.clock.callLater(seconds, call)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
