"""Text that is seen and does nothing else: no terminal is driven by it, and no line forged."""

from __future__ import annotations

from netsvc.services.plain import UNSHOWN


def inert(text: str) -> str:
    """The text with each character that would do more than be seen as Python escapes it, as ``\\x1b``."""
    return UNSHOWN.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)
