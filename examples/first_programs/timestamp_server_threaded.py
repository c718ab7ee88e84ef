"""Answers every message with the time and the message; many clients at once, a thread for each."""

import sys
import time
from socketserver import StreamRequestHandler, ThreadingTCPServer

host, port = sys.argv[1:] or ("127.0.0.1", 8009)


class Answer(StreamRequestHandler):
    def handle(self):
        print("...connected from:", self.client_address)
        try:
            while data := self.request.recv(1024):
                self.request.sendall(b"[%s] %s" % (time.ctime().encode(), data))
        except ConnectionError as error:
            print(self.client_address, error)


ThreadingTCPServer.allow_reuse_address = True
ThreadingTCPServer.daemon_threads = True
with ThreadingTCPServer((host, int(port)), Answer) as server:
    print("waiting for connection on", server.server_address)
    server.serve_forever()
