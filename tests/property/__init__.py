"""Generated histories against the verifier: what it says must be what the whole tree, built anew, says.

`python -m tests.property --commits 100000`; a share of it runs with the tests.
"""
