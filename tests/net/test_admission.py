"""`netsvc.net.admission`: may this peer come in?"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from twisted.internet.task import Clock

from netsvc.net.addresses import network_key
from netsvc.net.admission import Admission, TokenBuckets
from netsvc.settings import Limits, Networks

_LIMITS = Limits(trusted=Networks(), new_per_second=1000.0)


def _admission(limits: Limits = _LIMITS, clock: Clock | None = None) -> Admission:
    return Admission(limits, (clock or Clock()).seconds)


def test_one_seconds_worth_may_be_taken_at_once() -> None:
    buckets = TokenBuckets(3.0, 10, Clock().seconds)
    assert [buckets.take("a") for _ in range(5)] == [True, True, True, False, False]


def test_tokens_come_back_with_time_and_never_more_than_a_seconds_worth() -> None:
    clock = Clock()
    buckets = TokenBuckets(2.0, 10, clock.seconds)
    assert [buckets.take("a") for _ in range(3)] == [True, True, False]
    clock.advance(0.5)
    assert [buckets.take("a") for _ in range(2)] == [True, False]
    clock.advance(1000)
    assert [buckets.take("a") for _ in range(3)] == [True, True, False]


def test_being_refused_costs_nothing() -> None:
    clock = Clock()
    buckets = TokenBuckets(1.0, 10, clock.seconds)
    buckets.take("a")
    for _ in range(8):
        clock.advance(0.125)
        taken = buckets.take("a")
    assert taken


def test_a_rate_below_one_gives_one_at_once() -> None:
    clock = Clock()
    buckets = TokenBuckets(0.01, 10, clock.seconds)
    assert [buckets.take("a"), buckets.take("a")] == [True, False]
    clock.advance(99)
    assert not buckets.take("a")
    clock.advance(1.5)
    assert buckets.take("a")


def test_keys_have_their_rates_apart() -> None:
    buckets = TokenBuckets(1.0, 10, Clock().seconds)
    assert [buckets.take("a"), buckets.take("b"), buckets.take("a")] == [True, True, False]


def test_the_key_unused_for_longest_is_forgotten_first() -> None:
    buckets = TokenBuckets(1.0, 2, Clock().seconds)
    for key in ("a", "b"):
        buckets.take(key)
    assert not buckets.take("a")
    buckets.take("c")
    assert not buckets.take("a")
    assert buckets.take("b")


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 3)), max_size=60), st.floats(0.01, 20))
def test_over_any_time_no_key_gets_more_than_its_rate_and_one_seconds_worth(
    takes: list[tuple[str, float]], rate: float
) -> None:
    clock = Clock()
    buckets = TokenBuckets(rate, 100, clock.seconds)
    taken: Counter[str] = Counter()
    for key, pause in takes:
        clock.advance(pause)
        taken[key] += buckets.take(key)
    for count in taken.values():
        assert count <= max(1.0, rate) + rate * clock.seconds() + 1e-6


def test_sockets_are_limited_in_total_and_a_closed_one_makes_room() -> None:
    admission = _admission(replace(_LIMITS, max_connections=2))
    assert [admission.open_socket() for _ in range(3)] == [None, None, "max_connections"]
    admission.close_socket()
    assert [admission.open_socket(), admission.open_socket()] == [None, "max_connections"]


def test_clients_are_limited_by_address_and_one_who_leaves_makes_room() -> None:
    admission = _admission(replace(_LIMITS, per_address=2))
    assert [admission.enter("192.0.2.1") for _ in range(3)] == [None, None, "per_address"]
    assert admission.enter("192.0.2.2") is None
    admission.leave("192.0.2.1")
    assert [admission.enter("192.0.2.1") for _ in range(2)] == [None, "per_address"]


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:0::1", "2001:db8:0:1::1", False),
        ("fe80::1%1", "fe80::2%1", True),
    ],
)
def test_an_address_is_a_32_or_a_64(one: str, other: str, together: bool) -> None:
    admission = _admission(replace(_LIMITS, per_address=1))
    assert admission.enter(one) is None
    assert admission.enter(other) == ("per_address" if together else None)


def test_new_connections_of_one_address_have_a_rate() -> None:
    clock = Clock()
    admission = _admission(replace(_LIMITS, new_per_second=2.0), clock)
    assert [admission.enter("192.0.2.1") for _ in range(3)] == [None, None, "new_per_second"]
    clock.advance(0.5)
    assert admission.enter("192.0.2.1") is None


def test_who_is_refused_is_not_counted_in() -> None:
    clock = Clock()
    admission = _admission(replace(_LIMITS, new_per_second=1.0, per_address=2), clock)
    assert [admission.enter("192.0.2.1") for _ in range(9)] == [None] + ["new_per_second"] * 8
    clock.advance(1)
    assert admission.enter("192.0.2.1") is None
    clock.advance(1)
    assert admission.enter("192.0.2.1") == "per_address"


def test_denied_networks_stay_out_also_when_they_are_allowed_or_trusted() -> None:
    everyone = Networks.of("0.0.0.0/0", "::/0")
    admission = _admission(Limits(deny=Networks.of("192.0.2.0/24"), allow=everyone, trusted=everyone))
    assert admission.enter("192.0.2.77") == "deny"
    assert admission.enter("::ffff:192.0.2.77") == "deny"
    assert admission.enter("198.51.100.1") is None


def test_with_an_allow_list_nobody_else_comes_in() -> None:
    admission = _admission(replace(_LIMITS, allow=Networks.of("192.0.2.0/24", "2001:db8::/32")))
    assert admission.enter("192.0.2.1") is None
    assert admission.enter("2001:db8::1") is None
    assert admission.enter("198.51.100.1") == "allow"
    assert admission.enter("2001:db9::1") == "allow"


def test_trusted_networks_have_no_limit_per_address() -> None:
    admission = _admission(Limits(per_address=1, new_per_second=1.0))
    assert {admission.enter("127.0.0.1") for _ in range(20)} == {None}
    assert {admission.enter("::1") for _ in range(20)} == {None}
    for _ in range(20):
        admission.leave("127.0.0.1")


def test_a_trusted_client_that_leaves_takes_nobody_elses_place_away() -> None:
    admission = _admission(replace(_LIMITS, per_address=1, trusted=Networks.of("2001:db8::1")))
    assert admission.enter("2001:db8::1") is None
    assert admission.enter("2001:db8::2") is None
    admission.leave("2001:db8::1")
    assert admission.enter("2001:db8::2") == "per_address"


@pytest.mark.parametrize("host", [None, "", "/run/client.sock", "\0abstract"])
def test_a_unix_socket_is_limited_in_total_alone(host: str | None) -> None:
    admission = _admission(replace(_LIMITS, per_address=1, allow=Networks.of("192.0.2.0/24")))
    assert {admission.enter(host) for _ in range(5)} == {None}
    for _ in range(5):
        admission.leave(host)


_HOSTS = (
    "192.0.2.1",
    "192.0.2.2",
    "127.0.0.1",
    "::1",
    "2001:db8::1",
    "2001:db8::2",
    "2001:db8:1::1",
    "",
    None,
)


class _Comings(RuleBasedStateMachine):
    """Clients come and go in any order, beside a plain list of those inside."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = Limits(
            per_address=3, new_per_second=1e9, trusted=Networks.of("127.0.0.0/8", "::1", "2001:db8::1")
        )
        self.admission = _admission(self.limits)
        self.inside: list[str | None] = []

    @rule(host=st.sampled_from(_HOSTS))
    def enter(self, host: str | None) -> None:
        said = self.admission.enter(host)
        if said is None:
            self.inside.append(host)
        else:
            assert said == "per_address"
            assert host
            assert self._counted()[network_key(host, 32, 64)] == self.limits.per_address

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        if self.inside:
            host = data.draw(st.sampled_from(self.inside))
            self.inside.remove(host)
            self.admission.leave(host)

    @invariant()
    def no_network_has_more_than_its_limit(self) -> None:
        assert all(count <= self.limits.per_address for count in self._counted().values())

    def teardown(self) -> None:
        for host in self.inside:
            self.admission.leave(host)
        assert self.admission._inside.per_address == {}

    def _counted(self) -> Counter[object]:
        exempt = ("127.0.0.1", "::1", "2001:db8::1")
        return Counter(network_key(host, 32, 64) for host in self.inside if host and host not in exempt)


TestComings = _Comings.TestCase
