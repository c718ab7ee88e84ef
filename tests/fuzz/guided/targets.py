"""The targets by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.fuzz.campaign import BrokenError, watching
from tests.fuzz.guided import bridging, connections, messages, parsers, web

Target = Callable[[bytes], None]

#: Each is given bytes and raises where they do what no input may do.
TARGETS: Mapping[str, Target] = {
    "where": parsers.where,
    "settings": parsers.settings,
    "proxy": parsers.proxy,
    "hello": parsers.hello,
    "query": parsers.query,
    "stream": connections.stream,
    "split": connections.split,
    "datagram": connections.datagram,
    "http": web.http,
    "websocket": web.websocket,
    "bridge": bridging.bridge,
    "vocabulary": messages.vocabulary,
}


def attempt(name: str, data: bytes) -> None:
    """
    Give a target an input.

    @raise BrokenError: the log got an error, or a line that no log may get, or an exception came where nobody
        could catch it.
    @raise Exception: whatever the target found.
    """
    with watching() as faults:
        TARGETS[name](data)
    if faults:
        raise BrokenError(" and ".join(faults))
