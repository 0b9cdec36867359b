"""DRISL, strictly: what is accepted has one encoding only, and libipld reads it alike."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import libipld

from lexicons.data import DataError, check_record, decode, decode_at, encode
from lexicons.drisl import MAX_NESTING
from tests.fuzz import history
from tests.fuzz.mutation import ATOMS, CBOR_TOKENS, mutate_cbor
from tests.fuzz.target import Target, Violation, require
from tests.writer.cbor import encode as write


def check(data: bytes) -> bool:
    """`decode` and `decode_at` raise DataError only; accepted bytes come back from `encode`, and libipld agrees."""
    try:
        _, end = decode_at(data, 0)
        require(end <= len(data), "decode_at says that a value ends behind its bytes")
        value = decode(data)
    except DataError:
        return False
    require(encode(value) == data, "accepted bytes are encoded otherwise")
    require(_depth(value) <= MAX_NESTING, "a value is nested deeper than is allowed")
    try:
        theirs = libipld.decode_dag_cbor(data)
    except ValueError as error:
        raise Violation(f"libipld refuses what decode accepts: {error}") from error
    require(theirs == value, "libipld reads another value")
    with suppress(DataError):
        check_record(value)
    return True


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def seeds() -> Iterator[bytes]:
    """Values at the edges, records, commits, nodes."""
    for atom in ATOMS:
        yield write(atom)
        yield write({"$type": "a", "list": [atom, {"b": atom}]})
    for account in history.histories():
        yield account.steps[-1].event.signed
        yield from account.repo.tree.blocks().values()
        yield from list(account.repo.records.values())[:5]


TARGET = Target(check, seeds, mutate_cbor, CBOR_TOKENS)
