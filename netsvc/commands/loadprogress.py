"""How far a load has come, on a terminal; elsewhere nothing."""

from __future__ import annotations

import sys
from typing import Any

from netsvc.commands.loadtally import Tally


class Progress:
    """
    A line on standard error that is gone when the load is over.

    It is drawn only when `show` is called, by no thread of its own, so that it costs little.
    """

    def __init__(self, tally: Tally, seconds: float | None, count: int | None) -> None:
        """
        @param tally: what is shown.
        @param seconds: how long it takes, if that is when it ends.
        @param count: how many messages are to be answered, else.
        """
        self._tally = tally
        self._seconds = seconds
        self._count = count
        self._bar: Any = None
        self._before = 0

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._bar = self._make_bar()
            self._bar.start()
        return self

    def __exit__(self, *ignored: object) -> None:
        self.close()

    def show(self, seconds: float) -> None:
        """
        Draw it, at most every other time that it is called.

        @param seconds: since the begin.
        """
        if self._bar is None:
            return
        self._before += 1
        if self._before % 2:
            return
        answered = self._tally.latencies.count
        text = f"{answered:,} answers, {answered / max(seconds, 0.001):,.0f}/s"
        if self._tally.lost:
            text += f", {self._tally.lost:,} lost"
        done = seconds if self._seconds is not None else answered
        self._bar.update(self._bar.task_ids[0], completed=done, description=text, refresh=True)

    def close(self) -> None:
        """Take it from the screen."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _make_bar(self) -> Any:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Bars

        columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
        bar = Bars(*columns, console=Console(stderr=True), auto_refresh=False, transient=True)
        bar.add_task("", total=self._count if self._seconds is None else self._seconds)
        return bar
