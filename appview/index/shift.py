"""An account was hidden, or shown again: the counts follow, in steps of bounded size.

That it is hidden takes one row, and readers go by that. What it adds to the counts of others may be a million rows: it
moves in the order of its places (`appview.index.counted`), each step a short transaction that ends with the place it
came to, so that everybody else always knows what is counted. Where it is little, one step does it, in the very
transaction that hides. An account that turns again while its counts are on their way turns them when they have arrived.
"""

from typing import Final, Literal, NamedTuple

from appview.db import Connection
from appview.index.counted import STAGES, Stage
from appview.index.counts import COMMENTS, FOLLOWERS, LIKES, LISTS, Tally
from appview.index.records import record_types
from appview.jobs.rows import want
from lexicons.catalog import NAMESPACE

JOB: Final = "shift"
"""The kind of the jobs that see to the steps."""
AT_ONCE: Final = 2_000
"""Rows that move in the transaction that hides or shows."""
STEP: Final = 500
"""Rows that move in each one that follows."""

_START: Final = f"{STAGES[0]} "
_NEXT: Final[dict[Stage, Stage | None]] = dict(zip(STAGES, (*STAGES[1:], None), strict=True))

# Some rows are read, and then each subject counts once: the rest of the last one's are passed over by the next step.
_SUBJECTS: Final[dict[Stage, str]] = {
    "follow": """
        select subject from follows where did = $1 and subject > $2 order by subject limit $3
    """,
    "like": """
        select subject from likes
        where did || ' ' || subject > $1 || ' ' || $2 and did || ' ' || subject < $1 || '!'
        order by did || ' ' || subject limit $3
    """,
}
_RANGE: Final = " union all ".join(
    f"(select '{kind.name}' as name, uri, {kind.size} as size from {kind.table} where uri > $1 and uri < $2"  # noqa: S608 - our own names
    " order by uri limit $3)"
    for kind in {kind.table: kind for kind in record_types(NAMESPACE).values()}.values()
)
_ROWS: Final = f"""
    select name, count(*) as n, sum(size)::bigint as size, max(uri) as last from (
        select *, sum(size) over (order by uri rows between unbounded preceding and 1 preceding) as before
        from (select * from ({_RANGE}) as theirs order by uri limit $3) as few
    ) as measured
    where coalesce(before, 0) < $3 group by name
"""  # noqa: S608 - our own names
_SAID: Final = """
    select subject, sum(comments)::bigint as comments, sum(lists)::bigint as lists from (
        select subject, 1 as comments, 0 as lists from comments where uri > $1 and uri <= $2
        union all
        select subject, 0, count(distinct list) from lists join list_items on list = uri
        where uri > $1 and uri <= $2 and list > $1 and list <= $2 group by subject
    ) as theirs
    group by subject
"""


class _Moved(NamedTuple):
    """What was moved: its size, and the last of it; None where there is no more of its kind."""

    size: int
    last: str | None


async def turn(connection: Connection, did: str, *, visible: bool, at_once: int) -> None:
    """The account `did` has become visible, or ceased to be, in this transaction: have the counts follow.

    Where there is more of it than `at_once` rows, a job sees to the rest, by `step`.
    """
    await connection.execute(
        "insert into shifts (did, adds, place) values ($1, $2, $3) on conflict do nothing", did, visible, _START
    )
    if not await step(connection, did, limit=at_once):
        await want(connection, JOB, [did])


async def step(connection: Connection, did: str, *, limit: int = STEP) -> bool:
    """Move what the account `did` adds to the counts, about `limit` rows of it (a list counts as all its items).

    Returns whether that was all, also where nothing is to be moved. In a transaction that holds the index's lock.
    """
    row = await connection.fetchrow(
        "select adds, place, visible from shifts join actors using (did) where did = $1", did
    )
    if row is None:
        return True
    adds, place, visible = row
    tally, is_over = Tally(), False
    while limit > 0 and not is_over:
        stage, _, after = place.partition(" ")
        moved = await _move(connection, did, stage, after, limit, 1 if adds else -1, tally)
        limit -= moved.size
        if moved.last is not None:
            place = f"{stage} {moved.last}"
        elif (following := _NEXT[stage]) is not None:
            place = f"{following} "
        elif adds is visible:
            is_over = True
        else:
            # It has turned again meanwhile: all the way back.
            adds, place = visible, _START
    await tally.write(connection)
    if is_over:
        await connection.execute("delete from shifts where did = $1", did)
    else:
        await connection.execute("update shifts set adds = $2, place = $3 where did = $1", did, adds, place)
    return is_over


async def _move(
    connection: Connection, did: str, stage: Stage, after: str, limit: int, sign: Literal[1, -1], tally: Tally
) -> _Moved:
    if stage == "row":
        return await _move_rows(connection, did, after, limit, sign, tally)
    found = [subject for (subject,) in await connection.fetch(_SUBJECTS[stage], did, after, limit)]
    for subject in dict.fromkeys(found):
        if stage == "follow":
            tally.actors[subject][FOLLOWERS] += sign
        else:
            tally.subjects[subject][LIKES] += sign
    return _Moved(len(found), found[-1] if len(found) == limit else None)


async def _move_rows(
    connection: Connection, did: str, after: str, limit: int, sign: Literal[1, -1], tally: Tally
) -> _Moved:
    """Records of all types, in the order of their URIs."""
    after = after or f"at://{did}/"
    found = await connection.fetch(_ROWS, after, f"at://{did}0", limit)
    if not found:
        return _Moved(0, None)
    for row in found:
        tally.totals[row["name"]][0] += sign * row["n"]
    last = max(row["last"] for row in found)
    for subject, comments, lists in await connection.fetch(_SAID, after, last):
        tally.subjects[subject][COMMENTS] += sign * comments
        tally.subjects[subject][LISTS] += sign * lists
    size = sum(row["size"] for row in found)
    return _Moved(size, last if size >= limit else None)
