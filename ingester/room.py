"""The room for messages that are kept until they can be judged: it is everybody's, so nobody may take it all."""

from collections import Counter
from collections.abc import Callable
from typing import Final

MAX_HELD: Final = 1_000
"""Messages kept of one repository while it is fetched; with more, it is fetched again when that is done."""
MAX_HELD_BYTES: Final = 32_000_000
MAX_HELD_BYTES_OF_ALL: Final = 1_000_000_000
MAX_HELD_DIDS: Final = 100_000
"""Repositories of which messages are kept: who invents more of them while the directory is away fills no memory."""
SHARE: Final = 10
"""No PDS takes more than this part of the room that is left: however many of them are hostile, others find some."""
HELD_SECONDS: Final = 3_600.0
"""Who could not be fetched, or looked up, for as long gives back what it has of the room."""
STRANGERS: Final = "strangers"
"""Where those are who are not tracked, and of whom no PDS is known: together they are as one PDS."""


class Room:
    """How much is kept of whom, and since when (`clock`, in seconds)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.held: Counter[str] = Counter()
        """How many messages are kept, by DID."""
        self._clock = clock
        self._bytes: Counter[str] = Counter()
        self._bytes_of_all = 0
        self._at: dict[str, tuple[str, float]] = {}
        """The place of each DID that is in `held`, and since when it is."""
        self._bytes_at: Counter[str] = Counter()
        self._dids_at: Counter[str] = Counter()

    def takes(self, did: str, size: int) -> bool:
        """Whether a message of `size` bytes is not too much for one repository."""
        return self.held[did] < MAX_HELD and self._bytes[did] + size <= MAX_HELD_BYTES

    def has_some(self, did: str, size: int, place: str) -> bool:
        """Whether there is room for it at the `place` of its repository: the origin of a PDS, or `STRANGERS`."""
        place = self._at[did][0] if did in self._at else place
        bytes_left, dids_left = MAX_HELD_BYTES_OF_ALL - self._bytes_of_all, MAX_HELD_DIDS - len(self._at)
        has_place = did in self._at or self._dids_at[place] < dids_left // SHARE
        return has_place and self._bytes_at[place] + size <= bytes_left // SHARE

    def keep(self, did: str, count: int, size: int, place: str) -> None:
        """So many messages of `did`, of `size` bytes together, are kept."""
        if did not in self._at:
            self._at[did] = place, self._clock()
            self._dids_at[place] += 1
        self.held[did] += count
        self._bytes[did] += size
        self._bytes_at[self._at[did][0]] += size
        self._bytes_of_all += size

    def let_go(self, did: str) -> None:
        """Nothing is kept of `did` any more."""
        self.held.pop(did, None)
        if did in self._at:
            (place, _), size = self._at.pop(did), self._bytes.pop(did)
            self._bytes_of_all -= size
            for counter, part in ((self._bytes_at, size), (self._dids_at, 1)):
                counter[place] -= part
                if not counter[place]:
                    del counter[place]

    def is_overdue(self, did: str) -> bool:
        """Whether something has been kept of `did` for too long."""
        return did in self._at and self._clock() - self._at[did][1] > HELD_SECONDS
