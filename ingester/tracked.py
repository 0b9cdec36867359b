"""The DIDs that are tracked, a million of them in some fifteen megabytes, where a set of strings takes ten times that.

Of each only 64 bits are kept, a hash under a key that is this process's secret, with PYTHONHASHSEED set too: nobody can
make a DID that is taken for another. By chance, one of the network's fifty million others is taken for one of a million
in three processes of a million. That costs looking at its messages; they are then held against its own state, which it
does not have, and nothing comes of them. One that shares its hash with a DID that is discarded would be out of sight
until it writes in a signal collection or the process starts anew.
"""

import secrets
from struct import Struct
from typing import Final

_BUCKETS: Final = 1 << 16
"""Some sixteen hashes in each with a million, found as eight bytes among bytes."""
_pack: Final = Struct("<q").pack


class Tracked:
    """A set of DIDs that can be asked, added to and taken from, not listed."""

    def __init__(self) -> None:
        self._key = secrets.token_hex(8)
        # Many short strings of bytes, each replaced when it grows: no container of Python's costs less.
        self._buckets = [b""] * _BUCKETS
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, did: object) -> bool:
        if type(did) is not str:
            return False
        # Eight bytes that straddle two hashes may look like a third: a hit by chance as rare as any other.
        digest = hash(self._key + did)
        return _pack(digest) in self._buckets[digest % _BUCKETS]

    def add(self, did: str) -> None:
        """Have `did` in it from now on."""
        place, packed = self._digest(did)
        if packed not in self._buckets[place]:
            self._buckets[place] += packed
            self._count += 1

    def discard(self, did: str) -> None:
        """Have `did` in it no longer."""
        place, packed = self._digest(did)
        hashes = self._buckets[place]
        for start in range(0, len(hashes), len(packed)):
            if hashes.startswith(packed, start):
                self._buckets[place] = hashes[:start] + hashes[start + len(packed) :]
                self._count -= 1
                return

    def _digest(self, did: str) -> tuple[int, bytes]:
        digest = hash(self._key + did)
        return digest % _BUCKETS, _pack(digest)
