"""What a repository and the index have of it not in common: two sequences in the same order, merged."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import NamedTuple

from ingester.export import Entry


class Held(NamedTuple):
    """A record as the index has it: None for the `cid` of a tombstone, and whether its bytes are what its CID says."""

    path: str
    cid: bytes | None
    is_sound: bool


class Difference(NamedTuple):
    """What the record at `path` has to become: the version `cid`, or, with None, gone."""

    path: str
    cid: bytes | None


async def differences(entries: AsyncIterator[Entry], held: AsyncIterator[Held]) -> AsyncGenerator[Difference, None]:
    """What has to change for `held` to become `entries`; in the order of paths as bytes, as both must be.

    Of each side one item is looked at at a time.
    """
    entry = await anext(entries, None)
    async for path, cid, is_sound in held:
        while entry is not None and entry.path < path:
            yield Difference(*entry)
            entry = await anext(entries, None)
        if entry is not None and entry.path == path:
            if entry.cid != cid or not is_sound:
                yield Difference(*entry)
            entry = await anext(entries, None)
        elif cid is not None:
            yield Difference(path, None)
    while entry is not None:
        yield Difference(*entry)
        entry = await anext(entries, None)
