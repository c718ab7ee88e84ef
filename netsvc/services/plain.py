"""
Text from peers that other people will see on one line: what may stand in it.

Names and chat lines are shown in terminals, logs and pages that belong to somebody else. Characters that
would do more there than be seen are refused in a name and shown escaped in a text:

- control characters, C0, DEL and C1, ESC among them, which drive terminals; in a text a tab may stay;
- U+2028 and U+2029, at which some readers end a line, as they do at a newline;
- those that turn the direction of writing, with which a line can show other words than it has;
- lone surrogates, which JSON can carry and UTF-8 cannot.
"""

from __future__ import annotations

import re

#: Characters that are not shown: the head of this file says which.
UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSHOWN_IN_TEXT = re.compile(UNSHOWN.pattern.replace(r"\x00-\x1f", r"\x00-\x08\x0a-\x1f"))


class InvalidNameError(ValueError):
    """A peer's name cannot be taken; the text says why, in a few words for that peer."""


def read_name(data: bytes, longest: int) -> str:
    """
    Take a name as it came from a peer.

    @param data: the name, without a line's end.
    @param longest: bytes that it may have.
    @return: the name.
    @raise InvalidNameError: it is not UTF-8, or `check_name` refuses it.
    """
    try:
        name = data.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidNameError("the name is not UTF-8") from None
    return check_name(name, longest)


def check_name(name: str, longest: int) -> str:
    """
    Take a name that is text already.

    @param longest: bytes that it may have as UTF-8.
    @return: the name, unchanged.
    @raise InvalidNameError: it is empty, too long, or has a character that may not be shown.
    """
    if not name:
        raise InvalidNameError("the name is empty")
    if UNSHOWN.search(name):
        raise InvalidNameError("the name has a control character in it")
    if len(name.encode("utf-8")) > longest:
        raise InvalidNameError(f"the name is longer than {longest} bytes")
    return name


def plain_line(text: str) -> str:
    """
    The text with every character that may not be shown as Python escapes it: ``\\x1b``, ``\\n``, ``\\u2028``.

    @return: at most six characters for one; it can be encoded as UTF-8 and stays on one line.
    """
    return _UNSHOWN_IN_TEXT.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
