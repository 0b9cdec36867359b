"""The plain inversion of `tests.writer.proof`, made fit for fuzzing: any order of operations, bounded memory."""

from collections.abc import Iterable, Mapping

from tests.writer import proof
from tests.writer.cbor import Link
from tests.writer.mst import height_of
from tests.writer.proof import Op

_REMEMBERED = 10_000


def forget_heights() -> None:
    """Keep the heights that the witness remembers from filling the memory, whose growth is watched."""
    if height_of.cache_info().currsize > _REMEMBERED:
        height_of.cache_clear()


def undone(nodes: Mapping[Link, bytes], root: Link, ops: Iterable[Op]) -> Link:
    """The root of the tree before `ops`, as `proof.invert`, and with its errors.

    What was deleted is put back first: once a created key is gone, no one can tell on which side of it another belongs.
    """
    forget_heights()
    return proof.invert(nodes, root, sorted(ops, key=lambda op: op.prev is None))
