"""A whole repository, as `getRepo` gave it: proven to be complete and signed before anything of it is believed."""

import asyncio
import mmap
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import IO, Final, NamedTuple

from ingester.repo.car import block_at, index_car
from ingester.repo.commit import Commit, parse_commit
from ingester.repo.errors import CarError, CommitError, ProofError
from ingester.repo.mst import walk_tree
from ingester.sync import MAX_RECORD_BYTES
from lexicons.formats import is_record_key

_STEP: Final = 1_000
"""Entries of the tree walked between two turns of the event loop."""


class Entry(NamedTuple):
    """A record of the collections that were asked for."""

    collection: str
    rkey: str
    cid: bytes


class Export:
    """A mapped CAR, every block hashed."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        root, self._places = index_car(data)
        self.commit_cid = root
        block = self.block(root)
        if block is None:
            raise CarError("missing_commit_block", "the commit is not among the blocks")
        self.commit: Commit = parse_commit(block)

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
    """The export in `file`. Raises RepoError."""
    if not os.fstat(file.fileno()).st_size:
        raise CarError("bad_car", "the file is empty")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield Export(data)


def check(export: Export, did: str) -> None:
    """Raise CommitError unless the export is of `did`."""
    if export.commit.did != did:
        raise CommitError("did_mismatch", "the export is of another repository")
