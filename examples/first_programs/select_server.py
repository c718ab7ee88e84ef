"""Sends back what comes; many clients at once without threads, with a queue of what each is owed."""

import select
import socket
import sys
from collections import deque

host, port = sys.argv[1:] or ("127.0.0.1", 50000)
END = b""  # what recv() gives at the end of the stream; in a queue it is the place to close
LONGEST = 16


def reads(queue):
    """Whoever does not take its echo is not read from, so that no queue grows for ever."""
    return len(queue) < LONGEST and END not in queue


with socket.create_server((host, int(port))) as server:
    print("waiting for connection on", server.getsockname())
    queues = {}
    while True:
        to_read = [server, *(client for client, queue in queues.items() if reads(queue))]
        to_write = [client for client, queue in queues.items() if queue]
        readable, writable, _ = select.select(to_read, to_write, [])
        if server in readable:
            client, address = server.accept()
            print("new connection from", address)
            client.setblocking(False)
            queues[client] = deque()
        for client in {*readable, *writable} - {server}:
            queue = queues[client]
            try:
                if client in readable:
                    queue.append(client.recv(1024))
                if client in writable:
                    data = queue.popleft()
                    # send() takes what there is room for; the rest is the first of the queue again.
                    if rest := data[client.send(data) :]:
                        queue.appendleft(rest)
            except ConnectionError:
                queue.appendleft(END)
            if queue and queue[0] == END:
                del queues[client]
                client.close()
