"""The same seed gives the same inputs, and what fails is shown so that it can be tried again."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import pytest

from twisted.logger import Logger

from netsvc.net.clienthello import server_name
from tests.fuzz import configurations, datagrams, handshakes, headers, plays, streams, texts
from tests.fuzz.campaign import BrokenError, literal, run
from tests.fuzz.inputs import Inputs

_log = Logger()


def test_a_seed_gives_the_same_inputs_again() -> None:
    makers = (
        lambda chance: streams.make(chance, "chat"),
        lambda chance: streams.make(chance, "wild"),
        lambda chance: datagrams.make(chance, "receiver"),
        headers.make,
        configurations.make_where,
        configurations.make_file,
        configurations.make_arguments,
        texts.make_lines,
        texts.make_name,
        texts.make_noted,
    )
    for make in makers:
        first, second, third = Inputs("a"), Inputs("a"), Inputs("b")
        made = [make(first) for _ in range(20)]
        assert [make(second) for _ in range(20)] == made
        assert [make(third) for _ in range(20)] != made


def test_an_input_that_fails_is_shown_with_its_seed_and_as_little_as_fails() -> None:
    def make(chance: Inputs) -> tuple[int, ...]:
        return tuple(chance.below(10) for _ in range(20))

    def check(made: tuple[int, ...]) -> None:
        assert made.count(7) < 2, "seven, and seven again"

    def simpler(made: tuple[int, ...]) -> list[tuple[int, ...]]:
        return [made[:at] + made[at + 1 :] for at in range(len(made))]

    with pytest.raises(
        BrokenError, match=r"(?s)target sevens, NETSVC_FUZZ_SEED=5, .*\n\(7, 7\)\n.*and seven again"
    ):
        run("sevens", 100, make, check, simpler, inputs=200, seed=5)


def _fail() -> None:
    try:
        raise ValueError("within")
    except ValueError:
        _log.failure("caught")


def _print_raw() -> None:
    _log.info("from {peer}", peer="\x1b[2J")


def _complain() -> None:
    _log.error("no good")


class _Broken:
    def __del__(self) -> None:
        raise ValueError("in vain")


def _lose() -> None:
    _Broken()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (_fail, "the log got a failure: caught"),
        (_print_raw, "the log got the line"),
        (_complain, "the log got an error: no good"),
        (_lose, "nobody could catch"),
    ],
)
def test_what_the_log_or_nobody_gets_fails_an_input_too(fault: Callable[[], None], words: str) -> None:
    with pytest.raises(BrokenError, match=words):
        run("log", 100, lambda chance: None, lambda made: fault(), inputs=1)


def test_a_failed_input_can_be_pasted() -> None:
    play = plays.Play(
        "echo", {"text": "x" * 99}, {}, "off", "tcp", (("send", 0, b"ab" * 500), ("end", 0, None)), "break"
    )
    shown = literal(play)
    assert len(shown) < 300
    assert eval(shown, {"Play": plays.Play}) == play


def test_recorded_hellos_keep_their_name_in_any_records(serving: ssl.SSLContext) -> None:
    hellos = handshakes.hellos(handshakes.record(serving))
    assert {server_name(hello) for hello in hellos} == {
        "localhost",
        "a-much-longer-name.of-a-host.example",
        None,
    }
    chance = Inputs("records")
    for hello in hellos:
        for _ in range(20):
            again = handshakes.in_records(hello, chance.cut(hello[5:]))
            assert server_name(again) == server_name(hello)
