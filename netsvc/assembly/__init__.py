"""The assembler's own room: it knows every other one, and only `netsvc.tap` knows it."""
