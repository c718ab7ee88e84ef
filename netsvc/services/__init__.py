"""The built-in services: one file each, plain Twisted protocols that know nothing of sockets."""
