"""Pages of lists, and of what is on a list."""

from typing import NamedTuple

from appview.db import Connection
from appview.reads.pages import Moment, Page, newest, within
from appview.reads.sifting import sift
from appview.reads.visibility import visible


class Item(NamedTuple):
    """One place on a list; `cid` is None where the record has none."""

    position: int
    subject: str
    cid: str | None


class Items(NamedTuple):
    """Places in order, and the last of them where more follow."""

    items: list[Item]
    last: tuple[int] | None


async def by_author(
    connection: Connection, did: str, list_type: str | None, *, after: Moment | None, limit: int
) -> Page[Moment]:
    """Which lists did this account make, of this type where one is given?"""
    if list_type is None:
        return await newest(connection, "lists", did, where="did = $3", after=after, limit=limit)
    where = "did = $3 and list_type = $4"
    return await newest(connection, "lists", did, list_type, where=where, after=after, limit=limit)


async def containing(connection: Connection, subject: str, *, after: Moment | None, limit: int) -> Page[Moment]:
    """Which lists hold this record? Each once, newest first. A page may be short and yet not the last."""
    scan = """
        select list as uri, null collate "C" as subject, sort_at from list_items
        where subject = $4 and (sort_at, list) < ($1, $2)
    """
    keep = f"(select true from lists where lists.uri = seen.uri and {visible('lists.did')})"  # noqa: S608 - a condition of our own
    rows, last = await sift(connection, scan, keep, subject, after=after, limit=limit)
    return Page([row["uri"] for row in rows], last)


async def items(connection: Connection, uri: str, *, after: tuple[int] | None, limit: int) -> Items:
    """What is on this list behind the place `after`, be it shown or not? The list itself must be visible."""
    rows = await connection.fetch(
        f"""
        select page.*, octet_length(records.value) as size
        from (
            select position, subject, subject_cid from list_items join lists on lists.uri = list_items.list
            where list = $1 and position > $2::bigint and {visible("lists.did")}
            order by position limit $3
        ) as page left join records on records.uri = page.subject
        order by position
        """,  # noqa: S608 - a condition of our own
        uri,
        *(after or (-1,)),
        limit + 1,
    )
    kept, more = within(rows, limit)
    found = [Item(row["position"], row["subject"], row["subject_cid"]) for row in kept]
    return Items(found, (found[-1].position,) if more else None)
