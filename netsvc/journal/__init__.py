"""Where facts are kept: the ring in memory."""
