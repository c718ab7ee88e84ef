"""
The chat room: who is in it, and who is told what. No bytes, no connections, no I/O.

Members of every kind (a stream, a WebSocket) are in one room, so what could harm one kind is kept out here:
a text is made one plain line before anybody gets it, and a name is one by which nobody can seem to be
somebody else. Names are the same when they differ only in case or in the way that Unicode writes them.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from time import time_ns
from unicodedata import normalize

from twisted.logger import Logger

from netsvc.services.clock import Now
from netsvc.services.plain import InvalidNameError, check_name, plain_line

#: Bytes that a name may have; it stands before every line.
LONGEST_NAME = 64


class JoinError(ValueError):
    """Somebody cannot come in; the text says why, in a few words for that person."""


class Member(typing.Protocol):
    """
    Somebody in the room, as the room sees them. A member that raises is out of the room.

    A member is told of others only, never of what it does itself.
    """

    def here(self, names: list[str]) -> None:
        """
        You are in.

        @param names: everybody's, in the order of their coming; the last is your own.
        """

    def joined(self, name: str) -> None:
        """Another has come."""

    def left(self, name: str) -> None:
        """Another has gone."""

    def said(self, name: str, text: str, time: int) -> None:
        """
        Another has said something.

        @param text: on one line, without control characters.
        @param time: when, in nanoseconds since the epoch.
        """


class Room:
    """The members, by name."""

    _log = Logger()

    def __init__(self, now: Now = time_ns) -> None:
        """@param now: gives nanoseconds since the epoch."""
        self._now = now
        self._names: dict[Member, str] = {}
        self._taken: set[str] = set()

    def join(self, name: str, member: Member, max_members: int) -> str:
        """
        Let somebody in, tell the others, and tell the newcomer who is here.

        @param name: 1 to 64 bytes as UTF-8; blanks around it are left out.
        @param member: who is not in the room yet.
        @param max_members: the most that there may be after this one.
        @return: the name that others see.
        @raise InvalidNameError: the name cannot be taken, whoever else is here.
        @raise JoinError: ``name taken``, ``room full``, or ``already here``.
        """
        name = _room_name(name)
        if member in self._names:
            raise JoinError("already here")
        if _same(name) in self._taken:
            raise JoinError("name taken")
        if len(self._names) >= max_members:
            raise JoinError("room full")
        self._names[member] = name
        self._taken.add(_same(name))
        here = list(self._names.values())
        failed = self._tell([member], lambda newcomer: newcomer.here(here))
        failed += self._tell(self._others(member), lambda other: other.joined(name))
        self._drop(failed)
        return name

    def say(self, member: Member, text: str) -> None:
        """Tell the others what a member says; who is not in the room says nothing."""
        name = self._names.get(member)
        if name is not None:
            line, time = plain_line(text), self._now()
            self._drop(self._tell(self._others(member), lambda other: other.said(name, line, time)))

    def leave(self, member: Member) -> None:
        """Let a member go and tell the others; nothing happens when it is not in the room."""
        name = self._names.pop(member, None)
        if name is not None:
            self._taken.discard(_same(name))
            self._drop(self._tell(self._others(member), lambda other: other.left(name)))

    def _others(self, member: Member) -> list[Member]:
        return [other for other in self._names if other is not member]

    def _tell(self, members: list[Member], tell: Callable[[Member], None]) -> list[Member]:
        """Tell each of them; return those that failed, which are still in the room."""
        failed = []
        for member in members:
            # Telling one can make another leave.
            if member in self._names:
                try:
                    tell(member)
                except Exception:  # noqa: BLE001 - a member may be anybody's; its fault is not the others'
                    self._log.failure("a chat member of type {kind} failed", kind=type(member).__name__)
                    failed.append(member)
        return failed

    def _drop(self, members: list[Member]) -> None:
        for member in members:
            self.leave(member)


def _room_name(name: str) -> str:
    name = check_name(name.strip(" "), LONGEST_NAME)
    # "bob: hello" as a name would make bob say hello; "* bob left" would make him leave.
    if ":" in name or name.startswith("*"):
        raise InvalidNameError("the name has a colon in it, or a star before it")
    return name


def _same(name: str) -> str:
    """What is equal for names that are the same to a reader (Unicode 3.13, compatibility caseless match)."""
    return normalize("NFKC", normalize("NFKD", normalize("NFD", name).casefold()).casefold())
