"""What an answer costs in a large index: statements, and rows looked at. Neither grows with the index."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, cast

import pytest

from appview.db import Connection, Pool
from appview.reads.views import Views
from lexicons.catalog import shipped
from lexicons.data import CID, encode
from tests.index_writer import NAMESPACE
from tests.xrpc.client import config
from xrpc.context import Context
from xrpc.methods import METHODS

ROWS: Final = 20_000
BLOCK: Final = encode({"title": "t", "artist": "a", "text": "x", "items": []})
TRACK: Final = "at://did:plc:0/fm.plyr.track/0"
LIST: Final = "at://did:plc:0/fm.plyr.list/0"

CASES: Final[Mapping[str, list[dict[str, Any]]]] = {
    "actor.getProfile": [{"actor": "did:plc:0"}, {"actor": "h0.test"}],
    "feed.getActorTracks": [{"actor": "did:plc:0"}],
    "feed.getComments": [{"uri": TRACK, "sort": "position"}, {"uri": TRACK, "sort": "newest"}],
    "feed.getFeed": [{"feed": "latest"}],
    "feed.getLikes": [{"uri": TRACK}],
    "feed.getTracks": [{"uris": [TRACK]}, {"uris": [TRACK[:-1] + str(n * 20) for n in range(25)]}],
    "graph.getActorLists": [{"actor": "did:plc:0"}, {"actor": "did:plc:0", "list_type": "album"}],
    "graph.getList": [{"list_": LIST}],
    "server.explain": [{"uri": TRACK}, {"uri": "did:plc:1"}],
    "server.getStats": [{}],
}
"""By the handlers' own names of arguments."""

STATEMENTS: Final = 8
"""At most, for any answer: of the subject, the page, and one for each kind of thing in the views."""
LOOKED_AT: Final = 3_000
"""Rows at most, for an answer with a hundred items: each with its record, author and counts. Any table is larger."""


class One:
    """A pool of the one connection on which a test watches what is asked."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        yield self._connection


@pytest.fixture
async def crowded(connection: Connection) -> Connection:
    """The connection to a large index."""
    await connection.execute(_FILL)
    await connection.execute("vacuum analyze")
    return connection


# The first account made much, the others one thing of each kind; a quarter of them like the first track, and remark
# upon it; and the first list is long.
_FILL: Final = f"""
    insert into actors (did, handle)
        select 'did:plc:' || n, 'h' || n || '.test' from generate_series(0, {ROWS} - 1) as n;
    insert into repos (did, status, reason, status_at) select did, 'synchronized', '', now() from actors;
    insert into bsky_profiles (did, uri, display_name)
        select did, 'at://' || did || '/app.bsky.actor.profile/self', did from actors;
    create temp table made as
        select n, did, 'at://' || did || '/fm.plyr.track/' || n as track,
            now() - make_interval(secs => n * 61 % {ROWS}) as sort_at
        from generate_series(0, {ROWS} - 1) as n,
            lateral (select 'did:plc:' || case when n % 20 = 0 then 0 else n end as did) as author;
    insert into records
        (uri, did, collection, rev, cid, value, verdict, sort_at, first_seen_at, indexed_at, proven_by)
        select replace(track, 'fm.plyr.track', collection), did, collection, '3lfvhszifvc2c',
            '\\x{CID.of(BLOCK).hex()}', '\\x{BLOCK.hex()}', 'ok',
            sort_at, now(), now(), 'live'
        from made, unnest(array['fm.plyr.track', 'fm.plyr.like', 'fm.plyr.comment', 'fm.plyr.list']) as collection;
    insert into tracks (uri, did, title, artist, duration, image_url, gated, sort_at)
        select track, did, 't', 'a', 60, 'https://i.test/' || n, false, sort_at from made;
    insert into likes (uri, did, subject, sort_at)
        select replace(made.track, '.track/', '.like/'), made.did, liked.track, made.sort_at
        from made join made as liked
            on liked.n = case when made.n < {ROWS} / 4 then 0 else made.n * 7 % {ROWS} end;
    insert into comments (uri, did, subject, timestamp_ms, sort_at)
        select replace(uri, '.like/', '.comment/'), did, subject, 1000, sort_at from likes;
    insert into lists (uri, did, name, list_type, item_count, sort_at)
        select replace(track, '.track/', '.list/'), did, 'l', (array['album', 'playlist'])[1 + n % 2], 2, sort_at
        from made;
    insert into list_items (list, position, subject)
        select replace(track, '.track/', '.list/'), position, track from made, generate_series(0, 1) as position;
    insert into list_items (list, position, subject)
        select '{LIST}', 100 + n, track from made where n < 100;
"""


_READ: Final = "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int from pg_stat_xact_user_tables"


async def test_statements_and_rows(crowded: Connection) -> None:
    assert CASES.keys() == METHODS.keys()
    settings = config("postgresql://nowhere/")
    views = Views(NAMESPACE, settings.policy())
    ctx = Context(cast("Pool", One(crowded)), settings, shipped(), views, datetime.now(UTC))
    for mode in ("force_custom_plan", "force_generic_plan"):
        await crowded.execute(f"set plan_cache_mode = {mode}")
        for method, cases in CASES.items():
            for case in cases:
                await check(crowded, ctx, method, case)


async def check(connection: Connection, ctx: Context, method: str, case: Mapping[str, Any]) -> None:
    handler = METHODS[method]
    limits = ({"limit": 1}, {"limit": 100}) if "limit" in inspect.signature(handler).parameters else ({},)
    # The repositories are counted one by one.
    most = LOOKED_AT + ROWS if method == "server.getStats" else LOOKED_AT
    counts = set()
    for limit in limits:
        statements, rows = await observed(connection, handler(ctx, **case, **limit))
        assert 0 < rows <= most, (method, case, limit, rows)
        counts.add(statements)
    assert len(counts) == 1, (method, case, counts)
    assert max(counts) <= STATEMENTS, (method, case, counts)


async def observed(connection: Connection, answering: Awaitable[object]) -> tuple[int, int]:
    """How many statements were run for an answer, and how many rows were looked at."""
    statements: list[str] = []
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        before = await connection.fetchval(_READ)
        with connection.query_logger(lambda logged: statements.append(logged.query)):
            await answering
        rows = await connection.fetchval(_READ) - before
    asked = [sql for sql in statements if not sql.upper().startswith(("SAVEPOINT", "RELEASE"))]
    return len(asked), rows
