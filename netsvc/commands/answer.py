"""What the daemon's API answers, read: facts that were found, or why there are none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: A fact as the API has it.
Fact = Mapping[str, Any]


class NoAnswerError(ValueError):
    """It is no answer of the API's."""


@dataclass(frozen=True)
class Found:
    """
    What was found.

    @ivar facts: oldest first.
    @ivar last: the seq up to which facts were looked at; whoever asks again goes on after it.
    @ivar gap: facts after the seq that was asked for have been forgotten before anybody saw them.
    @ivar more: there are facts that have not been looked at yet; whoever asks again need not wait for any.
    """

    facts: list[Fact]
    last: int
    gap: bool
    more: bool = False


def read_found(body: bytes) -> Found:
    """
    Read facts.

    @raise NoAnswerError: there are none in it.
    """
    answer = _object(body)
    facts, last = answer.get("facts"), answer.get("last")
    if not isinstance(facts, list) or not isinstance(last, int) or not all(map(_is_fact, facts)):
        raise NoAnswerError
    return Found(facts, last, bool(answer.get("gap")), bool(answer.get("more")))


def error_in(body: bytes) -> str | None:
    """What an answer says is wrong; None where it says nothing."""
    try:
        error = _object(body).get("error")
    except NoAnswerError:
        return None
    return error if isinstance(error, str) and error else None


def _is_fact(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("seq"), int)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise NoAnswerError from None
    if not isinstance(found, dict):
        raise NoAnswerError
    return found
