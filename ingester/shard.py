"""Which ingester a repository belongs to, where several share the work: each DID to one of them, by its hash."""

from hashlib import md5
from typing import NamedTuple, Self


class Shard(NamedTuple):
    """Number `number` (from 0) of `total`; written `number/total`."""

    number: int
    total: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The shard that a setting names, as `appview.config` has checked it."""
        number, _, total = text.partition("/")
        return cls(int(number), int(total))

    def owns(self, did: str) -> bool:
        """Whether `did` belongs to this shard; the same as `shard_of(did, total) = number` in SQL."""
        if self.total == 1:
            return True
        digest = md5(did.encode(), usedforsecurity=False).digest()
        return int.from_bytes(digest[:2]) % self.total == self.number

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"
