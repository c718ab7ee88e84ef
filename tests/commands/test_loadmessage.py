"""The messages of a load, and the search for them in what comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsvc.commands.loadmessage import (
    LONGEST_PREFIX,
    SHORTEST,
    AnyAnswers,
    Differs,
    EchoAnswers,
    Messages,
    SeveralSuffixAnswers,
    SuffixAnswers,
    answers_in_stream,
    check_answer,
    number_answered,
)


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    """Data cut into pieces of these sizes, and the rest."""
    cut = []
    for size in sizes:
        cut.append(data[:size])
        data = data[size:]
    return [piece for piece in [*cut, data] if piece]


@given(size=st.integers(1, 300), number=st.integers(0, 10**12 - 1))
def test_a_message_has_its_size_and_its_number(size: int, number: int) -> None:
    message = Messages(size).make(number)
    assert len(message) == size
    if size >= SHORTEST:
        assert Messages(size).number_in(message) == number
    assert message.endswith(b"\n") or size == 1
    assert b"\n" not in message[:-1]


@given(
    sizes=st.lists(st.integers(1, 100), max_size=8),
    size=st.integers(SHORTEST, 80),
    prefix=st.binary(max_size=30),
)
def test_answers_are_found_however_they_are_cut(sizes: list[int], size: int, prefix: bytes) -> None:
    make = Messages(size).make
    prefix = prefix.replace(b"0", b"")
    plain = b"".join(make(number) for number in range(6))
    stamped = b"".join(prefix + make(number) for number in range(6))
    for answers, stream in ((EchoAnswers(make), plain), (SeveralSuffixAnswers(make), stamped)):
        assert sum(answers.feed(piece) for piece in pieces(stream, sizes)) == 6
        assert answers.rest() == b""


def test_one_answer_at_a_time_ends_with_the_message_however_short() -> None:
    answers = SuffixAnswers(Messages(1).make)
    assert answers.feed(b"[Thu Sep 15 22:29:12 2016] 0") == 1
    assert answers.feed(b"[Thu Sep 15 22:29:12 2016] ") == 0
    assert answers.feed(b"1") == 1


@pytest.mark.parametrize(
    "wrong",
    [b"x", b"000000000001", b"0000000000000", b"000000000000abd"],
    ids=["other", "another's", "longer", "changed"],
)
def test_what_is_no_echo_is_told(wrong: bytes) -> None:
    make = Messages(16).make
    for sizes in ([], [1] * 12):
        feed = EchoAnswers(make).feed
        with pytest.raises(Differs) as raised:
            sum(map(feed, pieces(wrong, sizes)))
        assert raised.value.expected == make(0)


def test_what_does_not_end_with_the_message_is_told_before_it_fills_the_memory() -> None:
    for depth in (1, 2):
        answers = answers_in_stream("suffix", Messages(13).make, depth)
        assert answers.feed(bytes(LONGEST_PREFIX)) == 0
        assert answers.rest() == bytes(LONGEST_PREFIX)
        with pytest.raises(Differs):
            answers.feed(bytes(14))


def test_a_message_too_far_behind_the_last_is_no_answer() -> None:
    answers = SeveralSuffixAnswers(Messages(13).make)
    with pytest.raises(Differs):
        answers.feed(bytes(LONGEST_PREFIX + 1) + Messages(13).make(0))


def test_anything_is_an_answer_if_anything_is_expected() -> None:
    answers = answers_in_stream("any", Messages(13).make, 1)
    assert isinstance(answers, AnyAnswers)
    assert [answers.feed(b"x"), answers.feed(b"yz"), answers.rest()] == [1, 1, b""]


def test_a_datagram_tells_which_message_it_answers() -> None:
    messages = Messages(20)
    for expect, data in (("echo", messages.make(7)), ("suffix", b"[now] " + messages.make(7))):
        assert number_answered(expect, messages, data) == 7
        check_answer(expect, messages, 7, data)
    for nothing in (b"", b"Got your message!", b"x" * 20):
        with pytest.raises(ValueError):
            number_answered("suffix", messages, nothing)
    for wrong in (messages.make(7)[:-1], messages.make(7)[:-1] + b"?", messages.make(7) + b"!"):
        assert number_answered("echo", messages, wrong) == 7
        with pytest.raises(Differs):
            check_answer("echo", messages, 7, wrong)
