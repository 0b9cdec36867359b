"""The commit object at the root of a repository: fields, and the bytes that are signed (RD-30 to RD-34)."""

from typing import Any, NamedTuple, TypeGuard

from ingester.repo.errors import CommitError
from lexicons.data import CID, DAG_CBOR, DataError, decode, encode
from lexicons.drisl import head
from lexicons.formats import is_did, is_tid

VERSION = 3

_KNOWN = {"did", "version", "data", "rev", "prev"}


class Commit(NamedTuple):
    """A version 3 commit. `unsigned` is the canonical encoding of all its fields but `sig`, unknown ones included."""

    did: str
    rev: str
    data: bytes
    """CID of the root of the tree, 36 bytes."""
    prev: bytes | None
    sig: bytes
    unsigned: bytes


def parse_commit(block: bytes) -> Commit:
    """The commit that `block` encodes. Raises CommitError: `bad_commit`, `commit_version`."""
    try:
        fields = decode(block)
    except DataError as error:
        raise CommitError("bad_commit", f"the commit is not canonical: {error}") from None
    if type(fields) is not dict:
        raise CommitError("bad_commit", "the commit is not a map")
    if fields.get("version") != VERSION:
        raise CommitError("commit_version", f"the commit is not of version {VERSION}")
    did, rev, data, sig = fields.get("did"), fields.get("rev"), fields.get("data"), fields.pop("sig", None)
    if type(did) is not str or not is_did(did) or type(rev) is not str or not is_tid(rev):
        raise CommitError("bad_commit", "the commit has no valid did or rev")
    if not is_node_link(data):
        raise CommitError("bad_commit", "the commit has no link to a tree")
    # Absent and null are not the same bytes under the signature (RD-30).
    prev = fields.get("prev", "")
    if prev is not None and not is_node_link(prev):
        raise CommitError("bad_commit", "the commit's prev is missing, or neither null nor a link")
    if type(sig) is not bytes:
        raise CommitError("bad_commit", "the commit has no signature")
    return Commit(did, rev, data, prev, sig, _unsigned(block, fields, sig))


def _unsigned(block: bytes, fields: dict[str, Any], sig: bytes) -> bytes:
    """The canonical encoding of `fields`, which are those of `block` without `sig`."""
    # Cutting the entry out of canonical bytes leaves canonical bytes, and is cheaper than encoding them anew. Only
    # unknown fields could hold what looks like the entry.
    if len(sig) == 64 and fields.keys() == _KNOWN:
        return head(5, len(fields)) + block[1:].replace(b"csigX@" + sig, b"")
    return encode(fields)


def is_node_link(value: Any) -> TypeGuard[CID]:
    """Whether `value` links to a commit or a node: DAG-CBOR, sha-256 (RD-11)."""
    return type(value) is CID and value.is_blessed and value.codec == DAG_CBOR
