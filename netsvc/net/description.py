"""
Reads a Twisted endpoint description, for the few whose socket we open ourselves.

Colons separate its parts, an equals sign a part's name from its value, and a backslash takes that meaning
from either, as `twisted.internet.endpoints` documents.
"""

from __future__ import annotations

import re

_PART = re.compile(r"(?:[^:\\]|\\.)+", re.DOTALL)
_NAME = re.compile(r"((?:[^=\\]|\\.)*)=(.*)", re.DOTALL)
_QUOTED = re.compile(r"\\(.)", re.DOTALL)


def arguments_of(description: str, *positional: str) -> dict[str, str]:
    """
    The parts of a description by name.

    @param positional: names for the parts that have none, in their order; the first is the prefix.
    @raise ValueError: there are more parts without a name than that.
    """
    found: dict[str, str] = {}
    names = iter(positional)
    for part in _PART.findall(description):
        match = _NAME.fullmatch(part)
        name, value = match.groups() if match else (next(names, ""), part)
        if not name:
            raise ValueError(f"it has too many parts: {_unquoted(part)!r}")
        found[_unquoted(name)] = _unquoted(value)
    return found


def _unquoted(text: str) -> str:
    return _QUOTED.sub(r"\1", text)
