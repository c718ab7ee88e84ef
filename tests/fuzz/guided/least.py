"""The least of an input that fails as it does."""

from __future__ import annotations

from collections.abc import Callable

#: Tries, lest a slow target take for ever.
_TRIES = 2000


def failure_of(target: Callable[[bytes], None], data: bytes) -> type[BaseException] | None:
    """How a target fails on an input; None where it does not."""
    try:
        target(data)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        return type(error)
    return None


def least(target: Callable[[bytes], None], data: bytes) -> bytes:
    """
    An input without what it does not need to fail in the same way: pieces are left out, large ones first.

    @param data: an input that fails; one that does not comes back as it is.
    """
    failure, tries = failure_of(target, data), 0
    if failure is None:
        return data
    size = len(data) // 2
    while size and tries < _TRIES:
        at = 0
        while at < len(data) and tries < _TRIES:
            shorter = data[:at] + data[at + size :]
            tries += 1
            if failure_of(target, shorter) is failure:
                data = shorter
            else:
                at += size
        size //= 2
    return data
