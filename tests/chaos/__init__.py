"""`python -m tests.chaos`: everything that may go wrong, while a random life goes on; then the oracle compares.

- `harness`: a made-up network with a life on it, our processes beside it, and servers that can be stopped.
- `faulty`: wires that lose frames, PDSes that serve broken exports; `hostile`: an upstream that lies.
- `scenarios`, by what goes wrong: `processes`, `outages`, `losses`, `accounts`, `attacks`.
"""
