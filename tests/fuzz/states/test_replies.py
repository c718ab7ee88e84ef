"""
What may be answered, beside books of what came and went: never more than earned, and not less than promised.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from netsvc.net.replies import HEADERS, OwnAddresses, Replies
from netsvc.settings import Limits, Networks
from tests.fuzz.states.examples import examples

_MINUTE = 60.0
_FACTOR, _RATE = 3.0, 20.0

#: Sources: two of one network, one that is trusted, and such as are never answered.
_PEERS = (
    ("198.51.100.7", 40_000),
    ("198.51.100.8", 40_000),
    ("127.0.0.1", 40_000),
)
_NEVER = (
    (("198.51.100.7", 1023), "source_port"),
    (("198.51.100.7", 0), "source_port"),
    (("224.0.0.1", 40_000), "multicast"),
    (("ff02::1", 40_000), "multicast"),
    (("255.255.255.255", 40_000), "broadcast"),
    (("0.0.0.0", 40_000), "unspecified"),
    (("192.0.2.1", 6667), "own_listener"),
    (("127.0.0.1", 6667), "own_listener"),
)


class _Book(NamedTuple):
    """When datagrams came from a source, and went to it, with their sizes."""

    came: list[tuple[float, int]]
    sent: list[tuple[float, int]]


def _since(entries: list[tuple[float, int]], begin: float) -> int:
    return sum(size for time, size in entries if time >= begin)


class _Answering(RuleBasedStateMachine):
    """Datagrams come from several sources, and a service answers some, now or later."""

    def __init__(self) -> None:
        super().__init__()
        limits = Limits(
            reply_factor=_FACTOR,
            replies_per_second=_RATE,
            loop_limit=1000,
            trusted=Networks.of("127.0.0.0/8"),
        )
        own = OwnAddresses(lambda address: address == "192.0.2.1")
        own.add("0.0.0.0", 6667)
        self.replies = Replies(limits, own)
        self.now = 0.0
        self.number = 0
        self.books = {peer: _Book([], []) for peer in _PEERS}
        self.networks: dict[str, list[float]] = {}

    def _content(self, size: int) -> bytes:
        """Never the same twice, lest it be taken for a loop."""
        self.number += 1
        return self.number.to_bytes(4, "big") * (size // 4) + bytes(size % 4)

    @rule(peer=st.sampled_from(_PEERS), size=st.sampled_from([0, 72, 1000, 65_507]))
    def come(self, peer: tuple[str, int], size: int) -> None:
        account = self.replies.heard(peer, "192.0.2.1", self.now)
        self.replies.came(account, self._content(size), self.now)
        self.books[peer].came.append((self.now, size + HEADERS))

    @rule(
        peer=st.sampled_from(_PEERS),
        size=st.sampled_from([0, 1, 56, 57, 272, 273, 3056, 65_507]),
        times=st.sampled_from([1, 2, 30]),
    )
    def answer(self, peer: tuple[str, int], size: int, times: int) -> None:
        account, book = self.replies.known(peer), self.books[peer]
        assert (account is None) == (not book.came), "an account of nobody, or none of somebody"
        for _ in range(times if account is not None else 0):
            assert account is not None
            said = self.replies.may_answer(account, self._content(size), self.now)
            if said is None:
                book.sent.append((self.now, size + HEADERS))
                self._check_factor(book)
                self._check_rate(peer)
            elif said == "reply_factor":
                # It may be stricter by one step of the account than the minute would be.
                earned = _FACTOR * _since(book.came, self.now - 54)
                spent = _since(book.sent, self.now - 66) + size + HEADERS
                assert spent > earned, "less than what was earned"
            else:
                assert said == "replies_per_second"
                assert not peer[0].startswith("127."), "who is trusted has no rate"

    def _check_factor(self, book: _Book) -> None:
        begin = self.now - _MINUTE
        assert _since(book.sent, begin) <= _FACTOR * _since(book.came, begin), "more than was earned"

    def _check_rate(self, peer: tuple[str, int]) -> None:
        if peer[0].startswith("127."):
            return
        times = self.networks.setdefault(peer[0].rpartition(".")[0], [])
        times.append(self.now)
        for number, begin in enumerate(times):
            count = len(times) - number
            assert count <= _RATE + (self.now - begin) * _RATE + 1e-6, "one network got too many"

    @rule(which=st.sampled_from(_NEVER), size=st.sampled_from([0, 100]))
    def come_from_where_nobody_is_answered(self, which: tuple[tuple[str, int], str], size: int) -> None:
        peer, reason = which
        account = self.replies.heard(peer, "192.0.2.1", self.now)
        self.replies.came(account, self._content(1000), self.now)
        assert self.replies.may_answer(account, self._content(size), self.now) == reason

    @rule(seconds=st.sampled_from([0.0, 0.4, 0.5, 4.9, 5.0, 30.0, 55.5, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds


class _Forgetting(RuleBasedStateMachine):
    """More sources than are remembered: who was forgotten has nothing, and nobody gets more for it."""

    def __init__(self) -> None:
        super().__init__()
        limits = dataclasses.replace(Limits(), tracked_peers=16, trusted=Networks.of("::/0", "0.0.0.0/0"))
        self.replies = Replies(limits)
        self.now = 0.0
        self.number = 0
        self.books: dict[tuple[str, int], _Book] = {}
        # In the order in which they were last heard.
        self.remembered: list[tuple[str, int]] = []

    @rule(first=st.integers(0, 40), count=st.integers(1, 20), size=st.sampled_from([0, 100]))
    def come(self, first: int, count: int, size: int) -> None:
        for at in range(first, first + count):
            peer = ("198.51.100.7", 2000 + at)
            self.number += 1
            content = self.number.to_bytes(8, "big") + bytes(size)
            self.replies.came(self.replies.heard(peer, "192.0.2.1", self.now), content, self.now)
            self.books.setdefault(peer, _Book([], [])).came.append((self.now, len(content) + HEADERS))
            self.remembered = [*[one for one in self.remembered if one != peer][-15:], peer]

    @rule(at=st.integers(0, 60), size=st.sampled_from([0, 50, 300]), times=st.integers(1, 5))
    def answer(self, at: int, size: int, times: int) -> None:
        peer = ("198.51.100.7", 2000 + at)
        account = self.replies.known(peer)
        assert (account is not None) == (peer in self.remembered)
        for _ in range(times if account is not None else 0):
            self.number += 1
            content = self.number.to_bytes(8, "big") + bytes(size)
            assert account is not None
            if self.replies.may_answer(account, content, self.now) is None:
                self.books[peer].sent.append((self.now, len(content) + HEADERS))
        if peer in self.books:
            book, begin = self.books[peer], self.now - _MINUTE
            assert _since(book.sent, begin) <= 3 * _since(book.came, begin), "more than was earned"

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0, 30.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    def teardown(self) -> None:
        assert len(self.replies) == len(self.remembered) <= 16


TestAnswering = _Answering.TestCase
TestAnswering.settings = examples()

TestForgetting = _Forgetting.TestCase
TestForgetting.settings = examples(0.5)
