"""What of an account is in the counts: one rule, in Python for who changes them and in SQL for who counts anew.

What a visible account makes is counted, what a hidden one makes is not; when that turns, the counts follow in steps
(`appview.index.shift`). So each thing that is counted has a place in one order, and those of an account whose counts
are on their way are compared with how far that has come. Places are texts: what is counted, a space, and which of them,
ordered as bytes:

- `follow did:…`: that the account follows another, in however many records;
- `like at://…`: that it likes a track, in however many records;
- `row at://…`: a record of its own by its URI: one more of its type, one more comment, one more list for each subject.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from appview.db import Connection

Stage: TypeAlias = Literal["follow", "like", "row"]
STAGES: Final[tuple[Stage, ...]] = ("follow", "like", "row")
"""What is counted, in the order of the places."""

JOINED: Final = "join actors using (did) left join shifts using (did)"
"""What `is_counted` speaks of, joined to a table with the column `did`."""


class Shift(NamedTuple):
    """How far the counts have come behind an account that was shown (`adds`) or hidden."""

    adds: bool
    place: str

    def counts(self, stage: Stage, key: str) -> bool:
        """Is this counted?"""
        return (f"{stage} {key}" <= self.place) is self.adds


class Counted:
    """What is counted of some accounts, in this transaction."""

    def __init__(self, visible: Iterable[str], shifts: Mapping[str, Shift]) -> None:
        self._visible = frozenset(visible)
        self._shifts = shifts

    def has(self, did: str, stage: Stage, key: str) -> bool:
        """Is `key`, of the kind `stage` and by the account `did`, in the counts?"""
        shift = self._shifts.get(did)
        return did in self._visible if shift is None else shift.counts(stage, key)


async def counted_of(connection: Connection, dids: Iterable[str]) -> Counted:
    """What is counted of these accounts."""
    rows = await connection.fetch(
        """
        select did, visible, adds, place from actors left join shifts using (did)
        where did = any($1::text[]) and (visible or place is not null)
        """,
        list(dids),
    )
    shifts = {row["did"]: Shift(row["adds"], row["place"]) for row in rows if row["place"] is not None}
    return Counted((row["did"] for row in rows if row["visible"]), shifts)


def is_counted(stage: Stage, key: str) -> str:
    """The SQL condition that what the column `key` names is in the counts; in a query with `JOINED`."""
    return f"case when shifts.place is null then visible else ('{stage} ' || {key} <= shifts.place) = shifts.adds end"
