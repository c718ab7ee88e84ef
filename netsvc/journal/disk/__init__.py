"""Facts on disk: a database that one thread writes, so that what was acknowledged as recorded stays."""
