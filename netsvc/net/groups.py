"""
Which elliptic curve a handshake agrees on: those of Mozilla's "intermediate" profile, and no other.

OpenSSL by itself offers more of them (X448, P-521), and Python's `ssl` before 3.15 can narrow a context down
to a single one. So there is a context for each, and the first record of a client decides which of them serves
it. What cannot be decided so is served with P-256, which every client of TLS 1.3 must know (RFC 8446 section
9.1) and nearly every other does: the choice saves a round trip, but nobody depends on it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from netsvc.net.clienthello import offered_groups

#: OpenSSL's names by the numbers in a ClientHello (RFC 8446 section 4.2.7).
_CURVES = {29: "X25519", 24: "secp384r1"}
_DEFAULT = (23, "prime256v1")


class ServerContext(ssl.SSLContext):
    """
    The context that knows P-256 alone.

    @ivar others: for the other groups, by their numbers, contexts that know one of them alone.
    """

    others: dict[int, ssl.SSLContext]


def for_each_group(make: Callable[[type[ssl.SSLContext]], ssl.SSLContext]) -> ServerContext:
    """
    Make the contexts of one listener.

    @param make: makes one of the class that it is given, with everything but the group.
    """
    context = make(ServerContext)
    assert isinstance(context, ServerContext)
    context.set_ecdh_curve(_DEFAULT[1])
    context.others = {}
    for number, curve in _CURVES.items():
        other = make(ssl.SSLContext)
        try:
            other.set_ecdh_curve(curve)
        except ssl.SSLError:
            # By this function Debian 12's Python 3.11.2 finds no X25519; its clients do with P-256.
            continue
        context.others[number] = other
    return context


def context_for(context: ssl.SSLContext, record: bytes) -> ssl.SSLContext:
    """
    The context with which to serve a client.

    @param context: the listener's.
    @param record: the first that the client sent, whole.
    @return: of the group that the client likes best: one that it has sent its share for comes first.
    """
    if isinstance(context, ServerContext):
        for number in offered_groups(record):
            if number == _DEFAULT[0]:
                break
            if number in context.others:
                return context.others[number]
    return context
