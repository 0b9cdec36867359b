"""A whole repository, as `getRepo` gave it: proven to be complete and signed before anything of it is believed."""

import asyncio
import mmap
import os
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager
from typing import IO, Final, NamedTuple

from ingester.repo.car import CarIndex
from ingester.repo.commit import Commit, parse_commit
from ingester.repo.errors import CarError, ProofError
from ingester.repo.mst import walk_tree
from ingester.sync import MAX_RECORD_BYTES
from lexicons.formats import is_record_key

MAX_BLOCKS: Final = 3_000_000
"""More than the repositories that there are have; each takes some 16 bytes of memory while it is taken in."""
_STEP: Final = 100
"""Entries of the tree walked between two turns of the event loop."""
_BLOCKS: Final = 2_000
"""Blocks hashed in one turn."""


class Entry(NamedTuple):
    """A record of the collections that were asked for; `path` is collection, slash and record key."""

    path: str
    cid: bytes


class Export:
    """A mapped CAR. To be used after `index`, which hashes every block, and believed after `prove`.

    However large it is, it is held in no part: the file is walked, and walked again, in the order of its tree.
    """

    commit_cid: bytes
    commit: Commit

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._index = CarIndex(data)

    async def index(self) -> None:
        """Find and hash the blocks, with turns of the event loop in between. Raises RepoError."""
        while not self._index.advance(_BLOCKS):
            if len(self._index) > MAX_BLOCKS:
                raise CarError("too_many_blocks", f"an export of more than {MAX_BLOCKS} blocks is not taken in")
            await self._turn()
        self.commit_cid = self._index.root
        block = self._index.block(self.commit_cid)
        if block is None:
            raise CarError("missing_commit_block", "the commit is not among the blocks")
        self.commit = parse_commit(block)

    async def prove(self, collections: Collection[str]) -> None:
        """Walk all of the tree: no node of it is missing, and no record of these collections. Raises RepoError.

        A CAR that was cut off must never look like deletes, so nothing is to be written before this.
        """
        async for _ in self.entries(collections):
            pass

    async def entries(self, collections: Collection[str]) -> AsyncIterator[Entry]:
        """The records of these collections, in the order of their paths as bytes. Raises RepoError on the way."""
        count = 0
        for key, cid in walk_tree(self.commit.data, self._index.block):
            count += 1
            if not count % _STEP:
                await self._turn()
            collection, _, rkey = key.decode(errors="replace").partition("/")
            if collection not in collections or not is_record_key(rkey):
                continue
            size = self._index.size(cid)
            if size < 0:
                raise ProofError("record_block_missing", "a record is not among the blocks")
            if size > MAX_RECORD_BYTES:
                raise ProofError("record_too_large", f"a record is longer than {MAX_RECORD_BYTES} bytes")
            yield Entry(f"{collection}/{rkey}", cid)

    def record(self, cid: bytes) -> bytes:
        """The bytes of a record. Raises ProofError."""
        block = self._index.block(cid)
        if block is None:
            raise ProofError("record_block_missing", "a record is not among the blocks")
        return block

    async def _turn(self) -> None:
        """Let others have theirs, and the pages of the file that were read go: the system's cache still has them."""
        self._data.madvise(mmap.MADV_DONTNEED)
        await asyncio.sleep(0)


@contextmanager
def opened(file: IO[bytes]) -> Iterator[Export]:
    """The export in `file`, not indexed yet. Raises CarError."""
    if not os.fstat(file.fileno()).st_size:
        raise CarError("bad_car", "the file is empty")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield Export(data)
