"""Record keys minted here: TIDs that no two records of this process share, each later than the one before (DM-25)."""

import secrets
import time
from collections.abc import Callable

from lexicons.formats import tid_from_time_us


class Tids:
    """A clock that never stands still nor runs back, under an id of its own. `clock` gives nanoseconds."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._id = secrets.randbelow(1 << 10)
        self._last = 0

    def mint(self) -> str:
        """A TID of now."""
        self._last = max(self._clock() // 1000, self._last + 1)
        return tid_from_time_us(self._last, self._id)
