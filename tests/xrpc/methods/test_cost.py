"""What an answer costs in a large index: statements, and rows looked at. Neither grows with the index."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, cast

import pytest
from prometheus_client import CollectorRegistry

from appview.db import Connection, Pool
from appview.index.rankings import NAMES, make
from appview.reads.views import Views
from lexicons.catalog import shipped
from lexicons.data import CID, encode
from tests.index_writer import NAMESPACE
from tests.xrpc.client import config
from tests.xrpc.viewer import SERVICE_DID
from xrpc.callers import Caller
from xrpc.context import Context
from xrpc.generators import generators_of
from xrpc.methods import QUERIES
from xrpc.network import network

ROWS: Final = 20_000
BLOCK: Final = encode({"title": "t", "artist": "a", "text": "x", "items": []})
TRACK: Final = "at://did:plc:0/fm.plyr.track/0"
LIST: Final = "at://did:plc:0/fm.plyr.list/0"
FEED: Final = "at://did:plc:0/fm.plyr.feed.generator/0"
SHORT_LIST: Final = "at://did:plc:0/fm.plyr.list/20"

CASES: Final[Mapping[str, list[dict[str, Any]]]] = {
    "actor.getProfile": [{"actor": "did:plc:0"}, {"actor": "h0.test"}],
    "actor.getProfiles": [{"actors": ["did:plc:0"]}, {"actors": [f"h{n}.test" for n in range(25)]}],
    "actor.searchActors": [{"q": "h"}, {"q": "H1.test"}, {"q": "h1x23"}],
    "actor.searchActorsTypeahead": [{"q": "h"}, {"q": "h1"}],
    "com.atproto.identity.resolveHandle": [{"handle": "h0.test"}],
    "com.atproto.repo.getRecord": [{"repo": "h0.test", "collection": "fm.plyr.track", "rkey": "0"}],
    "com.atproto.repo.listRecords": [
        {"repo": "did:plc:0", "collection": "fm.plyr.track", "reverse": reverse} for reverse in (None, True)
    ],
    "feed.describeFeedGenerator": [{}],
    "feed.getActivity": [{}, {"actor": "did:plc:0"}],
    "feed.getActorFeeds": [{"actor": "did:plc:0"}],
    "feed.getActorLikes": [{"actor": "did:plc:0"}],
    "feed.getActorTracks": [{"actor": "did:plc:0"}],
    "feed.getComments": [{"uri": TRACK, "sort": "position"}, {"uri": TRACK, "sort": "newest"}],
    "feed.getFeed": [
        *({"feed": name} for name in ("latest", "trending", "following", "for-you")),
        *({"feed": "top", "window": window} for window in ("day", "week", "month", "all")),
    ],
    "feed.getFeedGenerator": [{"feed": FEED}],
    "feed.getFeedGenerators": [{"feeds": [FEED]}, {"feeds": [FEED[:-1] + str(n * 20) for n in range(25)]}],
    "feed.getFeedSkeleton": [
        {"feed": f"at://{SERVICE_DID}/fm.plyr.feed.generator/{name}"}
        for name in ("latest", "trending", "top-all", "following", "for-you")
    ],
    "feed.getLikes": [{"uri": TRACK}],
    "feed.getSuggestedFeeds": [{}],
    "feed.getTracks": [{"uris": [TRACK]}, {"uris": [TRACK[:-1] + str(n * 20) for n in range(25)]}],
    "feed.searchTracks": [
        *({"q": q} for q in ("t", "tune", "tune artist", "artist tune 1", "rtis", "tuen", "tuen aritst")),
        {"q": "artist", "author": "h1.test"},
    ],
    "graph.getActorLists": [{"actor": "did:plc:0"}, {"actor": "did:plc:0", "list_type": "album"}],
    "graph.getList": [{"list_": LIST}, {"list_": SHORT_LIST, "limit": 50}],
    "graph.getLists": [{"uris": [LIST]}, {"uris": [LIST[:-1] + str(n * 20) for n in range(25)]}],
    "graph.getListsContaining": [{"subject": TRACK}],
    "graph.searchLists": [{"q": "l"}, {"q": "ls 1", "list_type": "album"}],
    "search.searchAll": [{"q": q} for q in ("t", "tune artist", "tuen", "ls", "h1")],
    "server.explain": [{"uri": TRACK}, {"uri": "did:plc:1"}],
    "server.getStats": [{}],
}
"""By the handlers' own names of arguments."""

STATEMENTS: Final = 8
"""At most, for any answer: of the subject, the page, and one for each kind of thing in the views."""
LOOKED_AT: Final = 3_000
"""Rows at most, for an answer with a hundred items: each with its record, author and counts. Any table is larger."""


FREE: Final = frozenset({"feed.describeFeedGenerator"})
"""Answered without the index."""


class One:
    """A pool of the one connection on which a test watches what is asked."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def acquire(self, **_options: object) -> AsyncIterator[Connection]:
        yield self._connection


@pytest.fixture
async def crowded(connection: Connection) -> Connection:
    """The connection to a large index."""
    await connection.execute(_FILL)
    await connection.execute("vacuum analyze")
    for name in NAMES:
        await make(connection, name, datetime.now(UTC))
    return connection


# The first account made much, the others one thing of each kind; a quarter of them like the first track, and remark
# upon it; the first list is long, and a quarter of the lists hold the first track.
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
        from made, unnest(array['track', 'like', 'comment', 'list', 'feed.generator']) as name,
            concat('fm.plyr.', name) as collection;
    insert into tracks (uri, did, title, artist, duration, image_url, gated, sort_at, cid, indexed_at, size)
        select track, did, 't', 'a', 60, 'https://i.test/' || n, false, sort_at,
            '\\x{CID.of(BLOCK).hex()}', now(), {len(BLOCK)}
        from made;
    insert into likes (uri, did, subject, sort_at)
        select replace(made.track, '.track/', '.like/'), made.did, liked.track, made.sort_at
        from made join made as liked
            on liked.n = case when made.n < {ROWS} / 4 then 0 else made.n * 7 % {ROWS} end;
    insert into search_documents (id, kind, level, key, did, names, words)
        select search_id(did), 1, 0, did, did, array['h' || n || ' test'], ' h' || n % 1000 || ' '
        from generate_series(0, {ROWS} - 1) as n, concat('did:plc:', n) as did
        union all
        select search_id(track), 2, n % 6, track, did, array['tune ' || n % 100], ' tune ' || n % 100 || ' artist '
        from made
        union all
        select search_id(list), 3, 0, list, did, array['ls ' || n % 100], ' ls ' || n % 100 || ' '
        from made, replace(track, '.track/', '.list/') as list;
    insert into search_names select kind, level, names[1], id from search_documents;
    insert into search_postings
        select kind, level, word, id from search_documents, string_to_table(trim(words), ' ') as word;
    insert into search_words select word, count(*) from search_postings group by word;
    insert into comments (uri, did, subject, timestamp_ms, sort_at)
        select replace(uri, '.like/', '.comment/'), did, subject, 1000, sort_at from likes;
    insert into follows (uri, did, subject, sort_at)
        select replace(track, 'fm.plyr.track', 'app.bsky.graph.follow'), 'did:plc:0', 'did:plc:' || n, sort_at
        from made where n between 1 and 500;
    insert into generators (uri, did, service, display_name, sort_at)
        select replace(track, '.track/', '.feed.generator/'), did, 'did:web:feeds.test', 'f', sort_at from made;
    insert into lists (uri, did, name, list_type, item_count, sort_at)
        select replace(track, '.track/', '.list/'), did, 'l', (array['album', 'playlist'])[1 + n % 2], 2, sort_at
        from made;
    insert into list_items (list, position, subject, sort_at)
        select replace(track, '.track/', '.list/'), position,
            case when position = 1 and n % 4 = 1 then '{TRACK}' else track end, sort_at
        from made, generate_series(0, 1) as position;
    insert into list_items (list, position, subject, sort_at)
        select '{LIST}', 100 + made.n, made.track, first.sort_at
        from made, made as first where made.n < 100 and first.n = 0;
"""


READ: Final = "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int from pg_stat_xact_user_tables"


async def test_statements_and_rows(crowded: Connection) -> None:
    # One row, by its key, of a table that is not part of the index.
    assert CASES.keys() == QUERIES.keys() - {"server.getPreferences"}
    settings = config("postgresql://nowhere/")
    views = Views(NAMESPACE, settings.policy())
    async with network(settings) as outside:
        generators = generators_of(outside, CollectorRegistry())
        pool = cast("Pool", One(crowded))
        ctx = Context(pool, settings, shipped(), views, datetime.now(UTC), generators=generators)
        for mode in ("force_custom_plan", "force_generic_plan"):
            await crowded.execute(f"set plan_cache_mode = {mode}")
            for method, cases in CASES.items():
                for case in cases:
                    await check(crowded, ctx, method, case)


async def check(connection: Connection, ctx: Context, method: str, case: Mapping[str, Any]) -> None:
    handler = QUERIES[method]
    if str(case.get("feed")).endswith(("following", "for-you")):
        ctx = replace(ctx, caller=Caller("did:plc:0", None))
    pages = "limit" in inspect.signature(handler).parameters and "limit" not in case
    limits = ({"limit": 1}, {"limit": 100}) if pages else ({},)
    # What is read once is in memory for both.
    await handler(ctx, **case, **limits[-1])
    counts = set()
    for limit in limits:
        statements, rows = await observed(connection, handler(ctx, **case, **limit))
        assert method in FREE or 0 < rows <= LOOKED_AT, (method, case, limit, rows)
        counts.add(statements)
    assert len(counts) == 1, (method, case, counts)
    assert max(counts) <= STATEMENTS, (method, case, counts)


async def observed(connection: Connection, answering: Awaitable[object]) -> tuple[int, int]:
    """How many statements were run for an answer, and how many rows were looked at."""
    statements: list[str] = []
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        before = await connection.fetchval(READ)
        with connection.query_logger(lambda logged: statements.append(logged.query)):
            await answering
        rows = await connection.fetchval(READ) - before
    asked = [sql for sql in statements if not sql.upper().startswith(("SAVEPOINT", "RELEASE"))]
    return len(asked), rows
