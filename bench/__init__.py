"""Measurements of netsvc beside peers, in one run; see README.md here."""
