"""
Inputs that code coverage finds: each target is a function of some bytes, which raises where they do what no
input may do.
"""
