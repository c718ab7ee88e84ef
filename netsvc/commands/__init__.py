"""The ``netsvc`` command: one file per command, and what several of them share. Nothing imports this room."""
