"""What a batch of changes comes to."""

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from appview.db import Connection
from tests.appview.index.filled import change, write
from tests.appview.index.samples import did, record, rkey
from tests.appview.index.tables import contents

ALICE = did(1)
TRACK = f"at://{ALICE}/fm.plyr.track/{rkey(1)}"
LIST = f"at://{ALICE}/fm.plyr.list/{rkey(1)}"
NAMED = record("fm.plyr.list", {"name": "2026", "listType": "album"})
VERSIONS = [
    (TRACK, record("fm.plyr.track", {"title": "one"}), 1),
    (TRACK, record("fm.plyr.track", {"title": "two"}), 2),
    (TRACK, record("fm.plyr.track", {"title": "two again"}), 2),
    (TRACK, None, 3),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
async def test_one_batch_is_as_many(connection: Connection, order: tuple[int, ...]) -> None:
    """Within a batch as from one to the next: the later rev wins, and of one rev the later change."""
    changes = [change(*VERSIONS[n]) for n in order]
    await write(connection, *changes[:3])
    at_once = await _state(connection)
    await connection.execute("truncate records, tracks, actor_counts, totals")
    for one in changes[:3]:
        await write(connection, one)
    assert await _state(connection) == at_once
    revs = [VERSIONS[n][2] for n in order[:3]]
    assert await connection.fetchval("select rev from records") == rkey(1000 - max(revs))


async def test_an_edit_moves_nothing_in_time(connection: Connection) -> None:
    """Of a key that says no time, the record says it, once."""
    feed = f"at://{ALICE}/fm.plyr.feed.generator/cool"
    times = []
    for rev, claimed in enumerate(("2025-05-01T12:00:00Z", "2024-05-01T12:00:00Z", "2026-05-01T12:00:00Z"), 1):
        await write(connection, change(feed, record("fm.plyr.feed.generator", {"createdAt": claimed}), rev=rev))
        times += [await connection.fetchval(f"select sort_at from {table}") for table in ("records", "generators")]
    assert times == [datetime(2025, 5, 1, 12, tzinfo=UTC)] * 6


async def test_what_was_overtaken_leaves_nothing_behind(connection: Connection) -> None:
    """Neither its name, nor that the record was gone then."""
    await write(connection, change(LIST, NAMED, rev=5))
    await write(
        connection, change(LIST, record("fm.plyr.list"), rev=7), change(LIST, None, rev=6), change(LIST, NAMED, rev=6)
    )
    row = await connection.fetchrow("select name, list_type, inherited from lists")
    assert tuple(row or ()) == ("2026", "album", ["name", "listType"])


async def _state(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    kept = await connection.fetch("select uri, rev, cid, verdict from records")
    return {"records": [tuple(row) for row in kept]} | await contents(connection, "tracks", "actor_counts", "totals")
