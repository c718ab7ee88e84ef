"""
What netsvc is compared with: the same work with as little as possible between socket and program.

Each file is a server of one kind: `python -m bench.peers.NAME WORK` writes its port on 127.0.0.1 to standard
output and serves until it is killed. What it sends is made in `answers.py`, by the same code for all of them,
so that what differs is how the bytes come and go.
"""
