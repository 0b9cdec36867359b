"""Work that carries no order: rows in Postgres, handed out through Redis to the actors of the worker.

`rows` is for everybody, and needs no broker. `dramatiq appview.jobs` imports this package to find its broker, and makes
it the worker.
"""

import sys
from importlib import import_module

if "dramatiq.cli" in sys.modules:
    import_module("appview.jobs.worker")
