"""What tracks, lists and accounts are found by: folded names and words, in tables of their own.

`fold` is the one way in which a text becomes comparable, `documents` says what is found by what, `writing` keeps the
tables in the transaction that changes a record, `fill` makes them anew, and `differences` tells where they are off.
"""
