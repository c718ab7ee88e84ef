"""Restarts under load, while somebody else holds the sockets."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.live import handover
from tests.live.daemon import TWISTD, Daemon
from tests.live.hammering import Client, Connecting, Sending, asking, wait_for_answers

#: Clients of each kind, TCP and UDP.
CLIENTS = 4


def restart_often(directory: Path, times: int) -> list[Client]:
    """
    Start an echo anew, again and again, under clients that ask as fast as they are answered.

    @param directory: the daemon's working directory; an empty one.
    @return: the clients; each has what went wrong for it.
    """
    with (
        socket.create_server(("127.0.0.1", 0), backlog=4096) as listening,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        datagrams.bind(("127.0.0.1", 0))
        sockets = {"echo": [listening, datagrams]}
        program = [*handover.command(sockets), TWISTD, "-n", "--pidfile=", "netsvc", "--inherited"]

        def start() -> Daemon:
            return Daemon(directory, program=program, pass_fds=handover.descriptors(sockets))

        daemon = start()
        clients: list[Client] = [Connecting(listening.getsockname()) for _ in range(CLIENTS)]
        clients += [Sending(datagrams.getsockname()) for _ in range(CLIENTS)]
        try:
            with asking(clients):
                for _ in range(times):
                    daemon.stop()
                    daemon = start()
                    wait_for_answers(clients)
        finally:
            daemon.stop()
    return clients
