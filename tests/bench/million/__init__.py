"""An index of a million tracks, made up: 10 likes for each track, a comment, and a fifth of a list and of an account.

What is popular is so by Zipf's law: authors, listeners, tracks, words. Every record is real DAG-CBOR under its real
CID, and every row is what the indexer would have written; `python -m appview check` finds nothing. The same size, seed
and end give the same rows. `python -m tests.bench.million` makes one, keeps it in `.cache`, and says where it is.
"""
