"""
What stands between a browser and the daemon in some networks: it carries every byte, but may know no
WebSocket, may cut connections, or may be gone for a time.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self

#: What a box answers that does not know what it is asked for.
_REFUSAL = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Relay:
    """
    Listens on a port of its own and relays to another.

    @ivar site: the URL of the page by this way.
    @ivar websocket: ``passes``; ``refused``: answered with 502; ``cut``: opened, and then cut.
    """

    def __init__(self, port: int) -> None:
        """@param port: the daemon's."""
        self.websocket = "passes"
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.site = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._away = False
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()

    def cut(self) -> None:
        """Cut every connection."""
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def go_away(self) -> None:
        """Cut every connection, and let none be made."""
        self._away = True
        self.cut()

    def come_back(self) -> None:
        """Let connections be made again."""
        self._away = False

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            head = client.recv(65_536)
            upgrade = b"upgrade: websocket" in head.lower()
            if self._away or not head:
                return
            if upgrade and self.websocket == "refused":
                client.sendall(_REFUSAL)
                return
            with socket.create_connection(("127.0.0.1", self._port)) as daemon, suppress(OSError):
                with self._lock:
                    self._open |= {client, daemon}
                daemon.sendall(head)
                back = threading.Thread(
                    target=self._carry,
                    args=(daemon, client, upgrade and self.websocket == "cut"),
                    daemon=True,
                )
                back.start()
                self._carry(client, daemon, once=False)
                back.join()
                with self._lock:
                    self._open -= {client, daemon}

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket, once: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
                if once:
                    break
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
