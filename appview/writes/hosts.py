"""How much is under way at one host: one that says nothing must not take the places of all others."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from yarl import URL

from appview.writes.errors import PdsAway

MOST: Final = 48
"""Writes, and reads for their sake, that are under way at one host in one process."""


class Hosts:
    """The hosts that are being asked now, `most` times each at once."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()

    @contextmanager
    def one(self, pds: str) -> Iterator[None]:
        """A place at the host of `pds`, whichever its port. Raises PdsAway at once where there is none."""
        host = URL(pds).host or ""
        if self._taken[host] >= self._most:
            raise PdsAway(f"{host} is slower than it is asked: nothing was written. Try again in a while.")
        self._taken[host] += 1
        try:
            yield
        finally:
            self._taken[host] -= 1
            if not self._taken[host]:
                del self._taken[host]
