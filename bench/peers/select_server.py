"""The tutorials' other server: one loop around select, with a queue of answers for each connection."""

from __future__ import annotations

import queue
import select
import socket
from collections.abc import Callable

from bench.peers.answers import ANSWERS
from bench.peers.asked import listening, work

_CHUNK = 65536


def serve(make_answer: Callable[[], Callable[[bytes], bytes]]) -> None:
    """Serve for ever."""
    listener = listening()
    listener.setblocking(False)
    inputs = [listener]
    outputs: list[socket.socket] = []
    queues: dict[socket.socket, queue.Queue[bytes]] = {}
    answers: dict[socket.socket, Callable[[bytes], bytes]] = {}

    def forget(sock: socket.socket) -> None:
        inputs.remove(sock)
        if sock in outputs:
            outputs.remove(sock)
        del queues[sock], answers[sock]
        sock.close()

    while True:
        readable, writable, _ = select.select(inputs, outputs, inputs)
        for sock in readable:
            if sock is listener:
                one, _ = listener.accept()
                one.setblocking(False)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                inputs.append(one)
                queues[one] = queue.Queue()
                answers[one] = make_answer()
            elif data := sock.recv(_CHUNK):
                queues[sock].put(answers[sock](data))
                if sock not in outputs:
                    outputs.append(sock)
            else:
                forget(sock)
        for sock in writable:
            if sock not in queues:
                continue
            try:
                answer = queues[sock].get_nowait()
            except queue.Empty:
                outputs.remove(sock)
                continue
            sent = sock.send(answer)
            if sent < len(answer):
                queues[sock].queue.appendleft(answer[sent:])


if __name__ == "__main__":
    serve(ANSWERS[work().kind])
