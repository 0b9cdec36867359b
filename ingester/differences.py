"""What a repository and the index have of it not in common: two sequences in the same order, merged."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final, NamedTuple

from ingester.export import Entry

HELD: Final = """
    select uri, case when is_ahead then before_cid else cid end,
        is_ahead or (proven_by <> 'write' and (cid is null or sha256(value) = substr(cid, 5)))
    from (
        select records.*, before_cid,
            coalesce(proven_by = 'write' and pending.rev > $3, false) as is_ahead
        from records left join pending using (uri)
        where records.uri > $1 and records.uri < $2
    ) as held
    order by uri
"""
"""What is held between two URIs, as the repository can have it at the rev $3, in the columns of `Held`: what was
written through us after that is not in it, and what was there before is (`appview.index.pending`).
"""


class Held(NamedTuple):
    """A record as the index has it: None for the `cid` of a tombstone.

    `is_sound`: its bytes are what its CID says, and it was proven.
    """

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
        elif cid is not None or not is_sound:
            yield Difference(path, None)
    while entry is not None:
        yield Difference(*entry)
        entry = await anext(entries, None)
