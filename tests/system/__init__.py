"""The whole system against networks real and made up: what goes in by the firehose comes out of the index and the API.

- `synthetic`: a PLC directory and PDSes in this process, whose repositories are those of `tests/writer`; `relay` merges
  the streams of several hosts and says who has which collection.
- `world`: our processes as children, with a database of their own.
- `oracle`: what the index must hold, found out without a line of our code; and where it differs.
"""
