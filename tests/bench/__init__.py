"""The benchmarks: each figure beside the limit that it is held against and a peer that does the same or less.

`python -m tests.bench` runs them, prints a table, and writes `.bench/results.json`.
"""
