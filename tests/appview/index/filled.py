"""An index with something of everything in it, written by the way that all records take."""

from collections.abc import Mapping
from typing import Any

from appview.db import Connection
from appview.index import actors
from appview.index.apply import Change, apply
from appview.index.lock import index_lock
from appview.index.rebuild import Makers
from lexicons.data import CID, encode
from tests.appview.index.samples import DID, MINIMAL, NOW, SUBJECT, did, record, rkey

MAKERS = Makers.of("fm.plyr")
PEOPLE = tuple(did(n) for n in range(3))
HIDDEN = PEOPLE[2]
WHOLE = f"at://{PEOPLE[0]}/fm.plyr.list/{rkey(50)}"
"""A list that has lost its name and type, and keeps both."""
REJECTED = f"at://{PEOPLE[0]}/fm.plyr.track/{rkey(51)}"
TOMBSTONE = f"at://{PEOPLE[0]}/fm.plyr.track/{rkey(52)}"
ELSEWHERE = f"at://{PEOPLE[0]}/fm.plyr.like/{rkey(53)}"
"""A like of what is no track."""


def change(uri: str, value: Mapping[str, Any] | None, rev: int = 1) -> Change:
    _, _, who, collection, key = uri.split("/")
    block = None if value is None else encode(value)
    judgement = None if block is None else MAKERS.judge.judge(collection, key, block)
    return Change(
        uri, who, collection, key, rkey(1000 - rev), None if block is None else CID.of(block), block, judgement, "live"
    )


async def write(connection: Connection, *changes: Change) -> None:
    async with connection.transaction():
        await index_lock(connection)
        await actors.see(connection, {change.did for change in changes})
        await apply(connection, MAKERS.types, changes, NOW)


async def fill(connection: Connection) -> None:
    """Three people, one of them hidden, with two records of each type; odd ones; and one that is gone."""
    changes = []
    for who in PEOPLE:
        for nsid in MINIMAL:
            keys = ["self"] if nsid.endswith("actor.profile") else [rkey(n) for n in range(2)]
            changes += [change(f"at://{who}/{nsid}/{key}", record(nsid)) for key in keys]
    named = {"name": "2026", "listType": "album"}
    await write(connection, *changes, change(WHOLE, record("fm.plyr.list", named)))
    await write(
        connection,
        change(WHOLE, record("fm.plyr.list"), rev=2),
        change(REJECTED, record("fm.plyr.track", {"title": 7})),
        change(TOMBSTONE, record("fm.plyr.track")),
        change(f"at://{PEOPLE[1]}/fm.plyr.track/{rkey(54)}", record("fm.plyr.track", {"createdAt": "", "album": 7})),
        change(ELSEWHERE, record("fm.plyr.like", {"subject": SUBJECT | {"uri": f"at://{DID}/fm.plyr.list/x"}})),
    )
    await write(connection, change(TOMBSTONE, None, rev=2))
    async with connection.transaction():
        await index_lock(connection)
        await actors.set_taken_down(connection, HIDDEN, True)
