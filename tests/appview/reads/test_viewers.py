"""What the caller has to do with what is shown, for one who did the same thing over and over."""

from typing import Final

import pytest

from appview.db import Connection
from appview.reads.following import FOLLOWS, following
from appview.reads.views.viewers import load_ties

ALICE: Final = "did:plc:alice"
BOB: Final = "did:plc:bob"
CAROL: Final = "did:plc:carol"
TRACK: Final = f"at://{ALICE}/fm.plyr.track/1"
LIKE: Final = f"at://{BOB}/fm.plyr.like"
FOLLOW: Final = f"at://{BOB}/app.bsky.graph.follow"
TIMES: Final = 20_000

# Bob likes the track and follows its author, again and again, a thousand times in each second; and once Carol.
_FILL: Final = f"""
    insert into actors (did) values ('{ALICE}'), ('{BOB}'), ('{CAROL}');
    insert into tracks (uri, did, title, artist, gated, sort_at, cid, indexed_at, size)
        values ('{TRACK}', '{ALICE}', 't', 'a', false, now(), '', now(), 99);
    create temp table acts as
        select n, timestamptz '2026-06-01Z' - make_interval(secs => n / 1000) as sort_at
        from generate_series(1, {TIMES}) as n;
    insert into likes (uri, did, subject, sort_at) select '{LIKE}/' || n, '{BOB}', '{TRACK}', sort_at from acts;
    insert into follows (uri, did, subject, sort_at) select '{FOLLOW}/' || n, '{BOB}', '{ALICE}', sort_at from acts;
    insert into follows (uri, did, subject, sort_at) values ('{FOLLOW}/carol', '{BOB}', '{CAROL}', now());
"""
_READ: Final = "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int from pg_stat_xact_user_tables"


@pytest.fixture
async def repeated(connection: Connection) -> Connection:
    """The connection to an index in which Bob did so."""
    await connection.execute(_FILL)
    await connection.execute("vacuum analyze")
    return connection


async def test_the_earliest_of_many_costs_no_more_than_the_only_one(repeated: Connection) -> None:
    for mode in ("force_custom_plan", "force_generic_plan"):
        await repeated.execute(f"set plan_cache_mode = {mode}")
        async with repeated.transaction(isolation="repeatable_read", readonly=True):
            before = await repeated.fetchval(_READ)
            ties = await load_ties(repeated, BOB, [TRACK, f"{TRACK}0"], [ALICE, CAROL, BOB])
            assert await repeated.fetchval(_READ) - before <= 10
        assert ties is not None
        assert ties.likes == {TRACK: f"{LIKE}/{TIMES}"}
        assert ties.follows == {ALICE: f"{FOLLOW}/{TIMES}", CAROL: f"{FOLLOW}/carol"}


async def test_why_a_track_is_in_the_following_feed(repeated: Connection) -> None:
    # The same follow. Whom Bob follows at all is read once, as far as that goes.
    async with repeated.transaction(isolation="repeatable_read", readonly=True):
        before = await repeated.fetchval(_READ)
        (found,) = (await following(repeated, BOB, after=None, limit=10)).tracks
        assert await repeated.fetchval(_READ) - before <= FOLLOWS + 20
    assert (found.uri, found.follow) == (TRACK, f"{FOLLOW}/{TIMES}")


async def test_nobody_has_to_do_with_anything(repeated: Connection) -> None:
    assert await load_ties(repeated, None, [TRACK], [ALICE]) is None
    ties = await load_ties(repeated, CAROL, [TRACK], [ALICE])
    assert ties is not None
    assert (ties.likes, ties.follows) == ({}, {})
