"""The same Protocol on uvloop."""

from __future__ import annotations

import uvloop

from bench.peers.asked import work
from bench.peers.asyncio_protocol import serve

if __name__ == "__main__":
    uvloop.run(serve(work()))
