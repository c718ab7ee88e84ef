"""
How large the answer to a datagram may be.

The net withholds an answer that would amplify a forged request, however it came about. A service whose
answer can be made smaller asks here first, so that its clients get a small answer instead of none.
"""

from __future__ import annotations

#: An IPv4 and a UDP header, which every datagram costs beside its bytes.
HEADERS = 28

#: RFC 9000 section 8: to an address that has not been validated, at most three times what came from it.
FACTOR = 3


def reply_budget(request: int) -> int:
    """
    The most that one datagram may earn as its answer.

    @param request: the length of the datagram received, in bytes.
    @return: the length that the answer may have, in bytes; 56 for an empty request.
    """
    return FACTOR * (request + HEADERS) - HEADERS
