"""asyncio, with streams: a coroutine for each connection."""

from __future__ import annotations

import asyncio

from bench.peers.answers import ANSWERS, ClientList
from bench.peers.asked import BACKLOG, Work, listening, tls_context, work

_CHUNK = 65536


async def serve(asked: Work) -> None:
    """Serve for ever."""
    clients = ClientList(asked.entries)
    make_answer = ANSWERS.get(asked.kind)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert make_answer is not None
        make = make_answer()
        while data := await reader.read(_CHUNK):
            writer.write(make(data))
            await writer.drain()
        writer.close()

    async def register(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(clients.registered(await reader.read(1024), writer.get_extra_info("peername")))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(
        register if asked.kind == "clients" else answer,
        sock=listening(),
        backlog=BACKLOG,
        ssl=tls_context(asked.certificate),
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(work()))
