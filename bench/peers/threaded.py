"""The tutorials' server: socketserver with a thread for each connection."""

from __future__ import annotations

import socket
import socketserver
from typing import Any

from bench.peers.answers import ANSWERS, ClientList
from bench.peers.asked import BACKLOG, Work, tell, work

_CHUNK = 65536


class Server(socketserver.ThreadingTCPServer):
    """Threads that end with the process, and room for those who wait."""

    daemon_threads = True
    request_queue_size = BACKLOG


def serve(asked: Work) -> None:
    """Serve for ever."""
    clients = ClientList(asked.entries)
    make_answer = ANSWERS.get(asked.kind)

    class Answer(socketserver.BaseRequestHandler):
        request: socket.socket

        def handle(self) -> None:
            assert make_answer is not None
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            make = make_answer()
            while data := self.request.recv(_CHUNK):
                if answer := make(data):
                    self.request.sendall(answer)

    class Register(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(clients.registered(self.request.recv(1024), self.client_address))

    kind: Any = Register if asked.kind == "clients" else Answer
    with Server(("127.0.0.1", 0), kind) as server:
        tell(server.socket)
        server.serve_forever()


if __name__ == "__main__":
    serve(work())
