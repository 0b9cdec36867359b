"""What of a stream cannot be read: where the stream stands before it, and whether it is worth a connection."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from appview.net.cache import RateLimit

MAX_MET: Final = 1_000
"""Messages behind one seq that could not be read, remembered so that they are known when they come again."""
DROPS_AT_ONE_PLACE: Final = 2
"""Connections dropped behind one seq: what cannot be read there for the third time is passed over, whatever it is."""
MAX_DROPS: Final = 10
DROPS_SECONDS: Final = 600.0
"""Connections dropped over what came between messages that can be read; after as many in as long, no more are."""


class Poison:
    """Of one upstream, what could not be read behind the seq at which it stands."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._place: tuple[int | None, datetime] | None = None
        self._drops_here = 0
        self._met: dict[bytes, None] = {}
        self._drops = RateLimit(MAX_DROPS, DROPS_SECONDS, clock=clock)

    def since(self, last: int | None) -> datetime:
        """Since when nothing can be read behind `last`, where the stream stands."""
        if self._place is None or self._place[0] != last:
            self._place = last, datetime.now(UTC)
            self._met.clear()
            self._drops_here = 0
        return self._place[1]

    def is_known(self, message: bytes, last: int | None) -> bool:
        """Whether this message came before at this place; from now on it did."""
        self.since(last)
        digest = hashlib.sha256(message).digest()
        is_known = digest in self._met
        self._met[digest] = None
        if len(self._met) > MAX_MET:
            del self._met[next(iter(self._met))]
        return is_known

    def is_worth_a_drop(self, *, has_moved: bool) -> bool:
        """Whether to drop the connection over a message that was not met before (ES-13).

        Where it brought nothing else, so that waits grow, but not a third time: a server may garble each copy anew.
        Where it moves on in between, being dropped for each would stop the stream: that it cannot be trusted is known
        by then.
        """
        if self._drops_here >= DROPS_AT_ONE_PLACE or (has_moved and not self._drops.allow("")):
            return False
        self._drops_here += 1
        return True
