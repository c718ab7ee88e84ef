"""`netsvc.net.replies`: what may be answered, kept by accounts alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.internet.task import Clock

from netsvc.net.replies import HEADERS, OwnAddresses, Peer, PeerAddress, Replies
from netsvc.settings import Limits

HERE = "192.0.2.1"
FAR = ("198.51.100.7", 40_000)
NEAR = ("127.0.0.1", 40_000)


def limits(**changes: Any) -> Limits:
    return dataclasses.replace(Limits(), **changes)


class Accounts:
    """Replies with a clock of their own, and short words for what happens to them."""

    def __init__(self, own: OwnAddresses | None = None, **changes: Any) -> None:
        self.clock = Clock()
        self.replies = Replies(limits(**changes), own)

    def came(self, address: PeerAddress, data: bytes = b"ask", local: str = HERE) -> Peer:
        now = self.clock.seconds()
        peer = self.replies.heard(address, local, now)
        self.replies.came(peer, data, now)
        return peer

    def may_answer(self, peer: Peer, data: bytes) -> str | None:
        return self.replies.may_answer(peer, data, self.clock.seconds())

    def asked(self, address: PeerAddress, data: bytes = b"ask", answer: bytes = b"") -> str | None:
        return self.may_answer(self.came(address, data), answer)


def test_three_times_what_came_may_leave_and_no_byte_more() -> None:
    accounts = Accounts()
    peer = accounts.came(NEAR, b"x" * 72)
    assert accounts.may_answer(peer, b"y" * (300 - HEADERS)) is None
    assert accounts.may_answer(peer, b"") == "reply_factor"
    peer = accounts.came(("127.0.0.1", 40_001), b"x" * 72)
    assert accounts.may_answer(peer, b"y" * (301 - HEADERS)) == "reply_factor"


def test_an_empty_datagram_earns_the_headers_of_three() -> None:
    accounts = Accounts()
    peer = accounts.came(NEAR, b"")
    assert [accounts.may_answer(peer, b"") for _ in range(4)] == [None, None, None, "reply_factor"]


def test_what_was_withheld_costs_nothing() -> None:
    accounts = Accounts()
    peer = accounts.came(NEAR, b"")
    assert accounts.may_answer(peer, b"y" * 1000) == "reply_factor"
    assert accounts.may_answer(peer, b"y" * (3 * HEADERS - HEADERS)) is None


def test_after_a_minute_nothing_is_left_of_the_budget() -> None:
    accounts = Accounts()
    peer = accounts.came(NEAR, b"x" * 1000)
    accounts.clock.advance(61)
    assert accounts.may_answer(peer, b"") == "reply_factor"


def test_an_answer_some_seconds_later_is_still_within_the_budget() -> None:
    accounts = Accounts()
    peer = accounts.came(NEAR, b"x" * 1000)
    accounts.clock.advance(50)
    assert accounts.may_answer(peer, b"y" * 2000) is None


def test_a_late_answer_is_held_against_later_questions() -> None:
    accounts = Accounts()
    peer = accounts.came(NEAR, b"x" * 72)
    accounts.clock.advance(54)
    assert accounts.may_answer(peer, b"y" * (300 - HEADERS)) is None
    accounts.clock.advance(10)
    # The question is older than a minute, the answer to it is not.
    accounts.came(NEAR, b"x" * 72)
    assert accounts.may_answer(peer, b"") == "reply_factor"
    accounts.clock.advance(70)
    accounts.came(NEAR, b"x" * 72)
    assert accounts.may_answer(peer, b"") is None


def test_bytes_out_count_for_a_whole_minute() -> None:
    accounts = Accounts()
    peer = accounts.came(NEAR, b"x" * 72)
    accounts.clock.advance(4.5)
    assert accounts.may_answer(peer, b"y" * (300 - HEADERS)) is None
    accounts.clock.advance(59.5)
    accounts.came(NEAR, b"x" * 72)
    assert accounts.may_answer(peer, b"") == "reply_factor"


happenings = st.lists(
    st.tuples(
        st.sampled_from(["came", "answer"]),
        st.integers(0, 2000),
        st.one_of(st.just(0.0), st.floats(0, 7), st.sampled_from([4.999, 5.0, 55.0, 59.999, 60.0, 65.0])),
    ),
    max_size=60,
)


@given(happenings)
@settings(deadline=None, max_examples=200)
def test_over_no_minute_more_leaves_than_three_times_what_came(events: list[tuple[str, int, float]]) -> None:
    accounts = Accounts()
    peer = accounts.replies.heard(NEAR, HERE, accounts.clock.seconds())
    came: list[tuple[float, int]] = []
    sent: list[tuple[float, int]] = []
    for what, length, pause in events:
        accounts.clock.advance(pause)
        now = accounts.clock.seconds()
        if what == "came":
            accounts.came(NEAR, b"x" * length)
            came.append((now, length + HEADERS))
        elif accounts.may_answer(peer, b"y" * length) is None:
            sent.append((now, length + HEADERS))
            earned = sum(size for time, size in came if time > now - 60)
            left = sum(size for time, size in sent if time >= now - 60)
            assert left <= 3 * earned


@given(st.integers(0, 3000), st.integers(0, 10_000))
@settings(deadline=None, max_examples=100)
def test_a_first_answer_within_the_factor_is_never_withheld(question: int, answer: int) -> None:
    accounts = Accounts()
    reason = accounts.asked(NEAR, b"x" * question, b"y" * answer)
    assert (reason is None) == (answer + HEADERS <= 3 * (question + HEADERS))


def test_the_factor_is_a_setting() -> None:
    accounts = Accounts(reply_factor=1.5)
    assert accounts.asked(NEAR, b"x" * 72, b"y" * (150 - HEADERS)) is None
    assert accounts.asked(("127.0.0.1", 2000), b"x" * 72, b"y" * (151 - HEADERS)) == "reply_factor"


@pytest.mark.parametrize("port", [0, 1, 7, 1023])
def test_no_answer_to_ports_of_the_system(port: int) -> None:
    assert Accounts().asked(("127.0.0.1", port)) == "source_port"


def test_answers_begin_at_port_1024() -> None:
    assert Accounts().asked(("127.0.0.1", 1024)) is None


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("ff02::1%eth0", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("", "no_address"),
    ],
)
def test_no_answer_to_what_no_honest_client_is(address: str, reason: str) -> None:
    assert Accounts().asked((address, 40_000)) == reason


def test_a_unix_socket_without_a_name_cannot_be_answered() -> None:
    accounts = Accounts()
    assert accounts.asked("") == "no_address"
    assert accounts.asked("/run/client") is None


def test_a_network_gets_no_more_than_its_rate() -> None:
    accounts = Accounts(replies_per_second=50.0)
    reasons = [accounts.asked((f"198.51.100.{number}", 40_000)) for number in range(100)]
    assert reasons == [None] * 50 + ["replies_per_second"] * 50
    accounts.clock.advance(0.5)
    reasons = [accounts.asked((f"198.51.100.{number}", 40_000)) for number in range(100)]
    assert reasons.count(None) == 25


def test_networks_do_not_share_their_rates() -> None:
    accounts = Accounts(replies_per_second=1.0)
    assert accounts.asked(("198.51.100.1", 40_000)) is None
    assert accounts.asked(("198.51.100.2", 40_000)) == "replies_per_second"
    assert accounts.asked(("198.51.101.1", 40_000)) is None
    assert accounts.asked(("2001:db8:0:1::1", 40_000)) is None
    assert accounts.asked(("2001:db8:0:1:ffff::1", 40_000)) == "replies_per_second"
    assert accounts.asked(("2001:db8:0:2::1", 40_000)) is None


def test_a_rate_below_one_a_second_still_lets_one_through() -> None:
    accounts = Accounts(replies_per_second=0.1)
    assert accounts.asked(FAR) is None
    accounts.clock.advance(9)
    assert accounts.asked(FAR) == "replies_per_second"
    accounts.clock.advance(1.5)
    assert accounts.asked(FAR) is None


def test_trusted_networks_have_no_rate_but_a_budget() -> None:
    accounts = Accounts(replies_per_second=1.0)
    assert all(accounts.asked(NEAR, b"ask %d" % number) is None for number in range(200))
    assert accounts.asked(NEAR, b"x", b"y" * 100_000) == "reply_factor"


def test_a_withheld_answer_takes_nothing_from_the_rate() -> None:
    accounts = Accounts(replies_per_second=1.0)
    assert accounts.asked(FAR, b"x", b"y" * 5000) == "reply_factor"
    assert accounts.asked(FAR) is None


def test_an_own_listener_is_never_answered() -> None:
    own = OwnAddresses()
    accounts = Accounts(own)
    assert accounts.asked(("192.0.2.1", 50_000)) is None
    own.add("192.0.2.1", 50_000)
    assert accounts.asked(("192.0.2.1", 50_000)) == "own_listener"
    assert accounts.asked(("192.0.2.1", 50_001)) is None
    own.discard("192.0.2.1", 50_000)
    assert accounts.asked(("192.0.2.1", 50_000)) is None


def test_the_local_address_that_was_asked_last_decides() -> None:
    own = OwnAddresses()
    own.add("0.0.0.0", 50_000)
    accounts = Accounts(own)
    source = ("192.0.2.9", 50_000)
    assert accounts.may_answer(accounts.came(source, local="192.0.2.1"), b"") is None
    assert accounts.may_answer(accounts.came(source, local="192.0.2.9"), b"") == "own_listener"


def test_own_addresses_understand_wildcards() -> None:
    own = OwnAddresses(local={"192.0.2.5"}.__contains__)
    own.add("0.0.0.0", 5000)
    for address in ("127.0.0.1", "127.0.1.1", HERE, "192.0.2.5"):
        assert own.covers(address, 5000, HERE)
    assert not own.covers("198.51.100.1", 5000, HERE)
    assert not own.covers("127.0.0.1", 5001, HERE)
    assert not own.covers("::1", 5000, HERE)
    own.add("::", 5001)
    assert own.covers("::1", 5001, HERE)
    assert own.covers("127.0.0.1", 5001, HERE)


def test_an_address_is_own_until_its_last_socket_has_gone() -> None:
    own = OwnAddresses()
    own.add("127.0.0.1", 5000)
    own.add("127.0.0.1", 5000)
    own.discard("127.0.0.1", 5000)
    assert own.covers("127.0.0.1", 5000, HERE)
    own.discard("127.0.0.1", 5000)
    assert not own.covers("127.0.0.1", 5000, HERE)
    own.discard("127.0.0.1", 5000)
    own.add("127.0.0.1", 5000)
    assert own.covers("127.0.0.1", 5000, HERE)


def test_a_repeated_content_falls_silent_for_a_second_and_then_goes_on() -> None:
    accounts = Accounts(loop_limit=10)
    reasons = [accounts.asked(NEAR) for _ in range(20)]
    first = reasons.index("loop_limit")
    assert 10 <= first <= 12
    assert set(reasons[first:]) == {"loop_limit"}
    accounts.clock.advance(0.99)
    assert accounts.asked(NEAR) == "loop_limit"
    accounts.clock.advance(0.02)
    assert accounts.asked(NEAR) is None


def test_only_repetitions_within_a_minute_count() -> None:
    accounts = Accounts(loop_limit=10)
    for _ in range(40):
        accounts.clock.advance(10)
        assert accounts.asked(NEAR) is None


def test_contents_that_never_repeat_are_no_loop() -> None:
    accounts = Accounts(loop_limit=10)
    assert all(
        accounts.asked(NEAR, b"question %d" % number, b"answer %d" % number) is None for number in range(5000)
    )


def test_an_echo_of_ever_new_contents_is_no_loop() -> None:
    accounts = Accounts(loop_limit=10)
    for size in (0, 500):
        for number in range(500):
            content = b"the same beginning %d" % number + bytes(size)
            assert accounts.asked(NEAR, content, content) is None


@pytest.mark.parametrize("cycle", [1, 2, 3, 100, 5000])
def test_any_number_of_contents_going_round_is_a_loop(cycle: int) -> None:
    accounts = Accounts(loop_limit=10_000)
    reasons = {accounts.asked(NEAR, b"%d" % (number % cycle)) for number in range(60_000)}
    assert reasons == {None, "loop_limit"}


def test_long_contents_are_told_apart_by_their_ends() -> None:
    accounts = Accounts(loop_limit=10)
    middle = bytes(1000)
    assert all(accounts.asked(NEAR, b"%d" % number + middle) is None for number in range(100))
    assert all(accounts.asked(NEAR, middle + b"%d" % number) is None for number in range(100))
    assert {accounts.asked(NEAR, middle) for _ in range(100)} == {None, "loop_limit"}


def test_two_services_whose_answers_have_the_time_in_them_are_a_loop() -> None:
    accounts = Accounts(loop_limit=10)
    reasons = {
        accounts.asked(NEAR, b"time now: %d" % (2 * number), b"time now: %d" % (2 * number + 1))
        for number in range(100)
    }
    assert reasons == {None, "loop_limit"}


def test_two_echoes_wired_to_each_other_fall_silent() -> None:
    one, other = Accounts(loop_limit=50), Accounts(loop_limit=50)
    hops = 0
    asking, asked = one, other
    while asking.asked(NEAR, b"ping", b"ping") is None:
        hops += 1
        asking, asked = asked, asking
        assert hops < 1000
    # Nothing is under way any more, so nothing can begin again.
    assert hops > 50


def test_the_longest_unheard_peers_are_forgotten_first() -> None:
    accounts = Accounts(tracked_peers=16)
    first = ("127.0.0.1", 2000)
    accounts.came(first)
    for port in range(2001, 2016):
        accounts.came(("127.0.0.1", port))
    accounts.came(first)
    for port in range(3000, 3015):
        accounts.came(("127.0.0.1", port))
    assert len(accounts.replies) == 16
    assert accounts.replies.known(first) is not None
    assert accounts.replies.known(("127.0.0.1", 2001)) is None


def test_the_budgets_of_networks_go_with_their_last_peer() -> None:
    accounts = Accounts(tracked_peers=16)
    for number in range(200):
        accounts.asked((f"198.51.{number}.1", 40_000))
    assert len(accounts.replies._networks) <= 17


def test_forgotten_peers_earn_no_more_than_they_sent() -> None:
    accounts = Accounts(tracked_peers=16)
    came = sent = 0
    for turn in range(200):
        peer = accounts.came(("127.0.0.1", 2000 + turn % 40), b"")
        came += HEADERS
        while accounts.may_answer(peer, b"") is None:
            sent += HEADERS
    assert sent <= 3 * came
