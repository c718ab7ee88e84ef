"""Keeps books of facts while a made input is played, and finds what does not add up."""

from __future__ import annotations

import json
from collections.abc import Callable

from zope.interface import implementer

from netsvc.facts import CLOSED, OPENED, RECEIVED, REFUSED, SENT, Fact, Row
from netsvc.interfaces import IFactSink


class _Account:
    """What was noted of one connection."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.received = bytearray()
        self.sent = bytearray()
        self.end = ""


@implementer(IFactSink)
class Books:
    """
    The accounts of all connections, by their numbers, which begin at 1.

    @ivar problems: what does not add up; empty where everything does.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._accounts: dict[int, _Account] = {}
        self._last: dict[str, Row] = {}
        self._seq = 0

    def note(self, row: Row) -> None:
        """Enter a fact; see `IFactSink`. Only complete messages can be entered: capture must be large."""
        seq, _, kind, origin, length, data, reason, detail = row
        account = self._accounts.setdefault(origin[6], _Account())
        self._expect(seq > self._seq, "seq rises", row)
        self._seq = seq
        self._last[kind] = row
        before = account.kinds
        if kind == OPENED:
            self._expect(not before, "opened comes first", row)
        elif kind == REFUSED:
            self._expect(not before and reason, "refused comes alone", row)
        else:
            self._expect(before[:1] == [OPENED] and CLOSED not in before, "it is open", row)
        account.end = reason or ""
        if kind == RECEIVED:
            account.received += data
        elif kind == SENT:
            account.sent += data
        elif kind == CLOSED:
            totals = dict(detail)
            self._expect(totals["bytes_in"] == len(account.received), "bytes in", row)
            self._expect(totals["bytes_out"] == len(account.sent), "bytes out", row)
            self._expect(reason, "closed has a reason", row)
        if kind in (RECEIVED, SENT):
            self._expect(type(data) is bytes and length == len(data), "length", row)
        if not before or kind != before[-1]:
            account.kinds.append(kind)

    def settle(self, name_of: Callable[[str], str | None]) -> None:
        """
        Everything has ended: look whether all of it is told and can be shown.

        @param name_of: see `Fact.as_json`.
        """
        for number, account in self._accounts.items():
            if OPENED in account.kinds and account.kinds[-1] != CLOSED:
                self.problems.append(f"connection {number} was never closed: {account.kinds}")
        for row in self._last.values():
            document = json.loads(json.dumps(Fact.of(row).as_json(name_of)))
            if document["kind"] != row[2]:
                self.problems.append(f"{document} for {row}")

    def ends(self) -> list[list[str]]:
        """For each connection whether it was let in, and how it ended."""
        return [[*account.kinds[:1], account.end] for account in self._accounts.values()]

    def received(self, number: int) -> bytes:
        """What the service got on a connection."""
        account = self._accounts.get(number)
        return bytes(account.received) if account else b""

    def sent(self, number: int) -> bytes:
        """What it wrote."""
        account = self._accounts.get(number)
        return bytes(account.sent) if account else b""

    def _expect(self, holds: object, what: str, row: Row) -> None:
        if not holds:
            self.problems.append(f"{what}: not so with {row[:7]} after {self._accounts[row[3][6]].kinds}")
