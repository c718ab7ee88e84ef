"""
Text as manual pages have it: the few requests of man(7) that netsvc's pages need.

What is handed in is plain text; what roff would take for something else in it is escaped here. Every function
but `page` gives lines of source.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator

#: Bytes of a line, which readers of the source expect to be short; an escape is never cut.
_WIDTH = 78


def page(lines: Iterable[str]) -> str:
    """A whole page. A heading begins a paragraph itself, so that another one behind it is left out."""
    kept: list[str] = []
    for line in lines:
        if line != ".PP" or not kept[-1].startswith((".SH", ".SS")):
            kept.append(line)
    return "\n".join(kept) + "\n"


def head(name: str, section: int, date: str, source: str, volume: str) -> Iterator[str]:
    """How a page begins; see man(7), TH."""
    yield f'.TH {name.upper()} {section} {date} "{inline(source)}" "{inline(volume)}"'
    # Options, names of settings and URLs are not to be cut, nor lines to be stretched for them.
    yield ".nh"
    yield ".ad l"


def heading(text: str) -> str:
    """The heading of a section."""
    return f".SH {inline(text)}"


def subheading(text: str) -> str:
    """The heading of a part of a section."""
    return f'.SS "{inline(text)}"'


def prose(text: str) -> Iterator[str]:
    """
    Paragraphs.

    @param text: with an empty line between two of them.
    """
    for paragraph in _paragraphs(text):
        yield ".PP"
        yield from _filled(paragraph)


def entry(term: str, text: str) -> Iterator[str]:
    """
    A term, and set in below it what it means.

    @param term: in bold.
    @param text: one or more paragraphs; it may be empty.
    """
    yield ".TP"
    yield f".B {_guarded(inline(term))}"
    for number, paragraph in enumerate(_paragraphs(text)):
        if number:
            yield ".IP"
        yield from _filled(paragraph)


def listing(lines: Iterable[str]) -> Iterator[str]:
    """Lines that stay as they are, such as a session or a piece of a file."""
    yield ".PP"
    yield ".nf"
    yield ".RS 4"
    yield from (_guarded(inline(line)) for line in lines)
    yield ".RE"
    yield ".fi"


def inline(text: str) -> str:
    """A text of one line with what roff would not take literally escaped."""
    # A bare - is a hyphen, which cannot be pasted into a shell; so are ' ` ^ ~ quotation marks and accents.
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return text.replace("^", "\\(ha").replace("~", "\\(ti").replace('"', "\\(dq")


def _paragraphs(text: str) -> list[str]:
    return [" ".join(one.split()) for one in re.split(r"\n\s*\n", text) if one.strip()]


def _filled(paragraph: str) -> Iterator[str]:
    # Wrapped when it is escaped: what counts is how long the line of source is.
    for line in textwrap.wrap(inline(paragraph), _WIDTH, break_long_words=False, break_on_hyphens=False):
        yield _guarded(line)


def _guarded(line: str) -> str:
    """A line that begins with no request."""
    return "\\&" + line if line.startswith((".", "'")) else line
