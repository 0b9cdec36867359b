"""Commit objects: the fields, and above all the bytes that the signature is over."""

from collections.abc import Iterator

from ingester.repo.commit import parse_commit
from ingester.repo.errors import CommitError
from lexicons.data import decode, encode
from tests.fuzz import history
from tests.fuzz.mutation import CBOR_TOKENS, mutate_cbor
from tests.fuzz.target import Target, require
from tests.writer.cbor import cid_of
from tests.writer.repo import sign_commit


def check(data: bytes) -> bool:
    """Only CommitError; what is signed is the canonical encoding of all fields but the signature, and no other."""
    try:
        commit = parse_commit(data)
    except CommitError:
        return False
    fields = decode(data)
    read = (commit.did, commit.rev, commit.data, commit.prev, commit.sig, 3)
    require(read == tuple(fields[name] for name in ("did", "rev", "data", "prev", "sig", "version")), "a field is off")
    del fields["sig"]
    require(commit.unsigned == encode(fields), "what is signed is not what the commit says")
    return True


def seeds() -> Iterator[bytes]:
    """Genuine commits, with and without a `prev`, with unknown fields, and with the signature's own bytes in them."""
    for account, step in history.steps():
        yield step.event.signed
        if step is account.steps[-1]:
            fields = step.event.unsigned()
            yield sign_commit({**fields, "prev": cid_of(b"")}, account.key)
            yield sign_commit({**fields, "later": [1, {"a": None}]}, account.key)
            yield sign_commit({**fields, "version": 2}, account.key)
            yield sign_commit({**fields, **{f"x{number:02}": number for number in range(20)}}, None)
            yield sign_commit({**fields, "a": b"csigX@" + b"\x11" * 64, "b": b"csigX@" + b"\x11" * 70}, None)


TARGET = Target(check, seeds, mutate_cbor, (*CBOR_TOKENS, b"csigX@", b"dprev\xf6"), max_len=2_048)
