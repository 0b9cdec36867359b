"""`python -m ingester verify-car`: is this file a whole repository, or the proof of a record, and whose?"""

import argparse
import asyncio
import collections
import mmap
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from appview.commands import CommandError, Commands
from appview.commands.progress import Progress
from ingester.commands.keys import KeySource, add_key_options, key_source
from ingester.repo.car import CarIndex, index_car
from ingester.repo.commit import Commit, parse_commit
from ingester.repo.errors import CarError, CommitError, ProofError, RepoError
from ingester.repo.mst import find_record, load_tree, walk_tree
from ingester.sync import MAX_RECORD_BYTES
from ingester.times import tid_datetime
from lexicons.data import CID, is_record
from lexicons.formats import is_nsid, is_record_key


def register(commands: Commands) -> None:
    """Add the command to `commands`."""
    parser = commands.add_parser(
        "verify-car",
        help="verify a repository export",
        description="Verify a repository export (com.atproto.sync.getRepo): every block's hash, the commit and its "
        "signature, every invariant of the tree, and that no node and no record is missing. Prints one JSON object; "
        "exits with 1 when the file fails, 2 when it cannot be read. Without --dids or --plc the signature is left "
        "unchecked, and the answer says so.",
    )
    parser.add_argument("file", metavar="CAR-FILE", type=Path)
    parser.add_argument(
        "--proof",
        metavar="COLLECTION/RKEY",
        type=_record_path,
        help="the file is no export but the proof (com.atproto.sync.getRecord) that this record is there, or is not",
    )
    add_key_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Verify the file; 0 when it holds, 1 when it does not."""
    try:
        found = asyncio.run(_verify(options))
    except RepoError as error:
        hint = "; --proof verifies the proof of one record" if error.reason == "incomplete_tree" else ""
        print(orjson.dumps({"verdict": "invalid", "reason": error.reason, "detail": f"{error}{hint}"}).decode())
        return 1
    print(orjson.dumps({"verdict": "ok", **found}).decode())
    return 0


async def _verify(options: argparse.Namespace) -> dict[str, Any]:
    async with key_source(options) as keys:
        try:
            with options.file.open("rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise CommandError(f"{options.file} cannot be read: it is not a regular file")
                if not status.st_size:
                    raise CarError("bad_car", "the file is empty")
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    return await _verify_mapped(data, options.proof, keys)
        except OSError as error:
            raise CommandError(f"{options.file} cannot be read: {error.strerror}") from None


async def _verify_mapped(data: mmap.mmap, proof: str | None, keys: KeySource) -> dict[str, Any]:
    progress = Progress(len(data), "bytes hashed")
    index = index_car(data, on_progress=progress.at)
    progress.end()
    block = index.block(index.root)
    if block is None:
        raise CarError("missing_commit_block", "the commit is not among the blocks")
    commit = parse_commit(block)
    found: dict[str, Any] = {
        "did": commit.did,
        "rev": commit.rev,
        "data": str(CID(commit.data)),
        "commit": str(CID(index.root)),
        "signature": await _check_signature(commit, keys),
        "blocks": len(index),
    }
    if proof is None:
        return found | _check_export(index, commit)
    blocks = {cid: block for cid in index.cids() if (block := index.block(cid)) is not None}
    cid = find_record(load_tree(commit.data, blocks), proof.encode())
    if cid is not None and cid not in blocks:
        raise ProofError("record_block_missing", "the record is not among the blocks")
    return found | {"proof": proof, "record": None if cid is None else str(CID(cid))}


async def _check_signature(commit: Commit, keys: KeySource) -> str:
    """`ok`, or `unchecked` where there is no key to be had. Raises CommitError.

    An export carries no time but its rev, which is a clock's at some servers and a bare counter at others: the key of
    that time is tried, which an account that moved still signs with, and the one in force now.
    """
    verdicts = []
    for when in (tid_datetime(commit.rev), datetime.now(UTC)):
        signer = await keys.signer(commit.did, when)
        if signer is not None and signer.key is not None:
            verdicts.append(signer.key.check(commit.unsigned, commit.sig))
    if not verdicts:
        return "unchecked"
    if "ok" not in verdicts:
        raise CommitError(verdicts[-1], "the signature is not one of the repository's key over this commit")
    return "ok"


def _check_export(index: CarIndex, commit: Commit) -> dict[str, Any]:
    """Walk the whole tree and look at every record. Raises RepoError where something is missing or wrong."""
    progress = Progress(len(index), "blocks walked")
    collections_found: collections.Counter[str] = collections.Counter()
    malformed = 0
    # One record may stand under any number of keys; it is looked at once.
    sound: dict[bytes, bool] = {}
    for count, (key, cid) in enumerate(walk_tree(commit.data, index.block)):
        path = key.decode(errors="replace")
        if cid not in sound:
            sound[cid] = _is_sound(index.block(cid), path)
        collections_found[path.partition("/")[0]] += 1
        malformed += not sound[cid]
        progress.at(count)
    progress.end()
    counts = dict(sorted(collections_found.items()))
    # A record that is not canonical is its author's fault and no flaw of the export (RD-66).
    return {"records": collections_found.total(), "collections": counts, "malformed_records": malformed}


def _is_sound(block: bytes | None, path: str) -> bool:
    """Whether the record at `path` is one, in canonical form. Raises ProofError when it is missing or too large."""
    if block is None:
        raise ProofError("record_block_missing", f"the record at {path} is missing")
    if len(block) > MAX_RECORD_BYTES:
        raise ProofError("record_too_large", f"a record of {len(block)} bytes is longer than {MAX_RECORD_BYTES}")
    return is_record(block)


def _record_path(text: str) -> str:
    collection, _, rkey = text.partition("/")
    if not is_nsid(collection) or not is_record_key(rkey):
        raise argparse.ArgumentTypeError(f"{text!r} is no collection and record key")
    return text
