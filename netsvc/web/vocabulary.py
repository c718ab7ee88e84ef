"""
JSON messages of a closed vocabulary: an object whose ``type`` says which other members it has, and no more.

What cannot be read is refused in a few words for the person who wrote the client, before anybody acts on it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Message = dict[str, Any]

_CALLED: Mapping[type, str] = {str: "a string", int: "a number", float: "a number", list: "a list"}


class MessageError(ValueError):
    """A message cannot be taken; the text says why, in a few words for whoever sent it."""


class Words:
    """What may be said."""

    def __init__(self, words: Mapping[str, Mapping[str, type]]) -> None:
        """
        @param words: for each type of message the types of its other members: str, list, or float for any
            number.
        """
        self._words = words

    def read(self, data: bytes, longest: int) -> Message:
        """
        Take a message as it came.

        @param longest: bytes that it may have; the largest that come over WebSocket take a tenth of a second
            to read, which others would wait for.
        @return: the object; its members are there and of their types, its numbers finite.
        @raise MessageError: it is none of the vocabulary.
        """
        if len(data) > longest:
            raise MessageError(f"a message has at most {longest} bytes")
        try:
            message = json.loads(data, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            raise MessageError("expected a JSON object") from None
        if not isinstance(message, dict):
            raise MessageError("expected a JSON object")
        kind = message.get("type")
        members = self._words.get(kind) if isinstance(kind, str) else None
        if members is None:
            raise MessageError(f"expected a type of {', '.join(self._words)}")
        if set(message) - {"type"} != set(members):
            expected = ", ".join(members) or "nothing"
            raise MessageError(f"{kind} has {expected} beside its type")
        for name, wanted in members.items():
            if not _is_of(message[name], wanted):
                raise MessageError(f"expected {name} to be {_CALLED[wanted]}")
        return message


def encode(message: Mapping[str, Any]) -> bytes:
    """A message as it is sent: compact, and any text of it UTF-8."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def is_number(value: object) -> bool:
    """Whether a member of a message is a number; JSON's true is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_of(value: object, wanted: type) -> bool:
    return is_number(value) if wanted is float else isinstance(value, wanted)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
