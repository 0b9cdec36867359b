"""Mutants: the rules that do not bend, each bent once, to see that a test breaks.

`python -m tests.mutants` bends them, one after the other, in a copy of the project.
"""
