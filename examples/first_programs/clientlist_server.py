"""Enters each client under the name that it sends, and answers with the list of all; a thread for each."""

import json
import sys
import threading
from socketserver import StreamRequestHandler, ThreadingTCPServer

host, port = sys.argv[1:] or ("127.0.0.1", 5000)
clients = {}
lock = threading.Lock()


class Register(StreamRequestHandler):
    def handle(self):
        address, port = self.client_address
        try:
            name = self.request.recv(1024).partition(b"\n")[0].decode(errors="replace")
            # Threads share the list: one must not change it while another writes it out.
            with lock:
                clients[name] = {"name": name, "address": address, "port": port}
                text = json.dumps(clients)
            self.request.sendall(text.encode() + b"\n")
        except ConnectionError as error:
            print(self.client_address, error)


ThreadingTCPServer.allow_reuse_address = True
ThreadingTCPServer.daemon_threads = True
with ThreadingTCPServer((host, int(port)), Register) as server:
    print("waiting for clients on", server.server_address)
    server.serve_forever()
