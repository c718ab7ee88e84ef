"""Who is here: the client list behind the ``clients`` service."""
