"""Text that is seen and does nothing else: no terminal is driven by it, and no line forged."""

from __future__ import annotations

import re

# Controls C0, DEL and C1, what turns the direction of writing, what ends a line for some, and surrogates.
_ACTIVE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def inert(text: str) -> str:
    """The text with each character that would do more than be seen as Python escapes it, as ``\\x1b``."""
    return _ACTIVE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)
