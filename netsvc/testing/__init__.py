"""
For the tests of others: a daemon that a test starts, waits on and asks. See `netsvc.pytest_plugin`.

Nothing here imports Twisted: the daemon is a process of its own, and the test's has whatever loop it likes.
"""
