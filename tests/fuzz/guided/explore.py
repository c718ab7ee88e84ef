"""
Explores one target by libFuzzer, through atheris: what reaches new code is kept and changed again.

    python -m tests.fuzz.guided.explore TARGET LIBFUZZER-ARGUMENT…

It is a process of its own, for libFuzzer ends the one that it runs in, and netsvc is to be imported through
atheris, which has each of its branches counted.
"""

from __future__ import annotations

import sys

import atheris

#: What is counted: netsvc, and what does its reading for it.
_COUNTED = ["netsvc", "twisted.web", "twisted.protocols.basic", "autobahn.websocket", "tomllib"]


def main() -> None:
    """See the top of the file."""
    target, arguments = sys.argv[1], sys.argv[2:]
    with atheris.instrument_imports(include=_COUNTED):
        from tests.fuzz.guided.targets import attempt

    def one(data: bytes) -> None:
        attempt(target, data)

    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
