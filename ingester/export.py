"""A whole repository, as `getRepo` gave it: proven to be complete and signed before anything of it is believed."""

import asyncio
import mmap
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import IO, Final, NamedTuple

from ingester.repo.car import CarIndex, block_at
from ingester.repo.commit import Commit, parse_commit
from ingester.repo.errors import CarError, ProofError
from ingester.repo.mst import walk_tree
from ingester.sync import MAX_RECORD_BYTES
from lexicons.formats import is_record_key

MAX_BLOCKS: Final = 3_000_000
"""More than the repositories that there are have; each takes some 200 bytes of memory while it is taken in."""
_STEP: Final = 1_000
"""Entries of the tree walked between two turns of the event loop."""
_BLOCKS: Final = 2_000
"""Blocks hashed in one turn."""


class Entry(NamedTuple):
    """A record of the collections that were asked for."""

    collection: str
    rkey: str
    cid: bytes

    def uri(self, did: str) -> str:
        """Where it stands in the repository of `did`."""
        return f"at://{did}/{self.collection}/{self.rkey}"


class Export:
    """A mapped CAR. To be used after `index`, which hashes every block."""

    commit_cid: bytes
    commit: Commit

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._places: dict[bytes, int] = {}

    async def index(self) -> None:
        """Find and hash the blocks, with turns of the event loop in between. Raises RepoError."""
        indexing = CarIndex(self._data)
        while not indexing.advance(_BLOCKS):
            if len(indexing.places) > MAX_BLOCKS:
                raise CarError("too_many_blocks", f"an export of more than {MAX_BLOCKS} blocks is not taken in")
            await asyncio.sleep(0)
        self._places, self.commit_cid = indexing.places, indexing.root
        block = self.block(self.commit_cid)
        if block is None:
            raise CarError("missing_commit_block", "the commit is not among the blocks")
        self.commit = parse_commit(block)

    def block(self, cid: bytes) -> bytes | None:
        """The block, None where it is not there."""
        place = self._places.get(cid)
        return None if place is None else block_at(self._data, place)

    def record(self, cid: bytes) -> bytes:
        """The bytes of a record. Raises ProofError."""
        block = self.block(cid)
        if block is None:
            raise ProofError("record_block_missing", "a record is not among the blocks")
        return block

    async def entries(self, collections: Collection[str]) -> list[Entry]:
        """The records of these collections, in the order of the tree, once all of the tree was walked.

        Nothing is answered of a tree with a hole, or whose records are not all there: a CAR that was cut off must never
        look like deletes. Raises RepoError.
        """
        found: list[Entry] = []
        count = 0
        for key, cid in walk_tree(self.commit.data, self.block):
            count += 1
            if not count % _STEP:
                await asyncio.sleep(0)
            collection, _, rkey = key.decode(errors="replace").partition("/")
            if collection not in collections or not is_record_key(rkey):
                continue
            size = self._places.get(cid, -1)
            if size < 0:
                raise ProofError("record_block_missing", "a record is not among the blocks")
            if size & 0xFFFFFF > MAX_RECORD_BYTES:
                raise ProofError("record_too_large", f"a record is longer than {MAX_RECORD_BYTES} bytes")
            found.append(Entry(collection, rkey, cid))
        return found


@contextmanager
def opened(file: IO[bytes]) -> Iterator[Export]:
    """The export in `file`, not indexed yet. Raises CarError."""
    if not os.fstat(file.fileno()).st_size:
        raise CarError("bad_car", "the file is empty")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield Export(data)
