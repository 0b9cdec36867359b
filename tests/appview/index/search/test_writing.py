"""Whatever is written, in whatever order: the tables of the search are what they would be if they were made anew."""

import asyncio
import random
from typing import Any

from appview.db import Connection, connect
from appview.index import actors
from appview.index.apply import apply
from appview.index.lock import index_lock
from appview.index.search.differences import differences, repair
from appview.index.search.documents import identify
from appview.index.search.fill import fill
from tests.appview.index.filled import MAKERS, change, write
from tests.appview.index.samples import SUBJECT, did, record
from tests.appview.index.tables import contents
from tests.index_writer import NOW, IndexWriter, ref, rkey

TABLES = ("search_documents", "search_names", "search_postings", "search_words")
PEOPLE = tuple(f"did:plc:{n:024}" for n in range(4))
TITLES = ("Love", "love me", "Café del Mar", "東京の夜", "Don't", "...", "love love love", "x" * 2000, "🔥")


async def found_by(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    return await contents(connection, *TABLES)


async def test_any_writes_end_as_if_made_anew(connection: Connection, index: IndexWriter) -> None:
    chance = random.Random(7)
    for step in range(120):
        who, key = chance.choice(PEOPLE), rkey(chance.randrange(6))
        uri = f"at://{chance.choice(PEOPLE)}/fm.plyr.track/{rkey(chance.randrange(6))}"
        match chance.randrange(9):
            case 0 | 1:
                names = {name: chance.choice(TITLES) for name in ("title", "artist", "album")}
                await index.write(who, "fm.plyr.track", key, **names)
            case 2:
                await index.write(who, "fm.plyr.list", key, name=chance.choice(TITLES))
            case 3:
                # Its name stays, whoever reorders it so.
                await index.write(who, "fm.plyr.list", key)
            case 4:
                await index.write(who, "app.bsky.actor.profile", "self", displayName=chance.choice(TITLES))
            case 5:
                # A handle has one holder: another one loses it.
                await index.account(who, handle=chance.choice((None, "a.test", "dj-b.example")))
            case 6:
                await index.delete(
                    f"at://{who}/{chance.choice(('fm.plyr.track', 'fm.plyr.list', 'fm.plyr.like'))}/{key}"
                )
            case 7:
                await index.write_all(
                    (fan, "fm.plyr.like", rkey(100 + step), {"subject": ref(uri)})
                    for fan in PEOPLE[: chance.randrange(5)]
                )
            case _:
                await index.set_status(who, active=chance.random() < 0.6)
        if step % 10 == 9:
            assert await differences(connection) == [], step
    kept = await found_by(connection)
    assert all(kept.values())
    await fill(connection)
    assert await found_by(connection) == kept


async def test_likes_and_followers_make_popular(connection: Connection, index: IndexWriter) -> None:
    track = await index.write(PEOPLE[0], "fm.plyr.track", rkey(1), title="Love")
    await index.account(PEOPLE[0], handle="a.test")
    fans = [f"did:plc:fan{n}" for n in range(16)]

    async def levels() -> tuple[int, int]:
        rows = {key: level for key, level in await connection.fetch("select key, level from search_documents")}  # noqa: C416 - mypy knows no pairs in rows
        for table in TABLES[1:3]:
            assert set(rows.values()) == {level for (level,) in await connection.fetch(f"select level from {table}")}
        return rows[track], rows[PEOPLE[0]]

    assert await levels() == (0, 0)
    await index.write_all((fan, "fm.plyr.like", rkey(2), {"subject": ref(track)}) for fan in fans[:2])
    await index.write_all((fan, "app.bsky.graph.follow", rkey(2), {"subject": PEOPLE[0]}) for fan in fans)
    assert await levels() == (1, 2)
    for fan in fans:
        await index.set_status(fan, active=False)
    assert await levels() == (0, 0)
    await index.set_status(fans[0], active=True)
    await index.set_status(fans[1], active=True)
    assert await levels() == (1, 1)
    assert await differences(connection) == []


async def test_a_purge_leaves_nothing_to_be_found(connection: Connection, index: IndexWriter) -> None:
    await index.account(PEOPLE[0], handle="secret.test")
    await index.write(PEOPLE[0], "fm.plyr.track", rkey(1), title="Secret one")
    await index.write(PEOPLE[0], "fm.plyr.list", rkey(1), name="Secret two")
    await index.write(PEOPLE[0], "app.bsky.actor.profile", "self", displayName="Secret three")
    is_over = False
    while not is_over:
        async with connection.transaction():
            await index_lock(connection)
            is_over = await actors.purge(connection, PEOPLE[0], limit=1)
    assert await found_by(connection) == {table: [] for table in TABLES}


async def test_what_is_off_is_found_and_set_right(connection: Connection, index: IndexWriter) -> None:
    await index.account(PEOPLE[0], handle="alice.test")
    track = await index.write(PEOPLE[0], "fm.plyr.track", rkey(1), title="Blue Train")
    await index.write(PEOPLE[0], "fm.plyr.list", rkey(2), name="Blue")
    sound = await found_by(connection)
    damages = (
        "delete from search_documents where kind = 2",
        "delete from search_names where name = 'blue train'",
        "delete from search_postings where word = 'train'",
        "delete from search_words where word = 'blue'",
        "update search_words set n = n + 1 where word = 'alice'",
        "update search_documents set level = 3, words = ' other '",
        "insert into search_documents values (1, 2, 0, 'at://gone', 'did:plc:x', '{old}', ' old ')",
        "insert into search_postings values (2, 0, 'old', 1)",
        "insert into search_names values (2, 4, 'blue train', 77)",
        "insert into search_words values ('old', 1)",
    )
    for damage in damages:
        await connection.execute(damage)
        found = await differences(connection)
        assert found, damage
        await repair(connection, found)
        assert await differences(connection) == [], damage
        assert await found_by(connection) == sound, damage
    assert identify(track) == await connection.fetchval("select search_id($1)", track)


async def test_two_who_name_an_account_at_once(database_url: str, connection: Connection, index: IndexWriter) -> None:
    other = await connect(database_url)
    for place, handle_is_first in enumerate((True, False)):
        name = f"Name {place}"
        handle = actors.set_identity(other, PEOPLE[0], handle=f"handle{place}.test", pds=None, now=NOW)
        profile = index.write(PEOPLE[0], "app.bsky.actor.profile", "self", displayName=name)
        first, second = (handle, profile) if handle_is_first else (profile, handle)
        holder = other if handle_is_first else connection
        async with holder.transaction():
            await first
            waiting = asyncio.create_task(second)
            await asyncio.sleep(0.1)
            # Neither sees what the other one is about to say of it, so one has to wait.
            assert not waiting.done()
        await waiting
        row = await connection.fetchrow("select names from search_documents")
        assert row is not None
        assert row["names"] == [f"handle{place} test", name.lower()]
    assert await differences(connection) == []
    await other.close()


async def test_a_shard_that_makes_a_track_popular_while_another_changes_it(
    database_url: str, connection: Connection
) -> None:
    song = f"at://{did(0)}/fm.plyr.track/{rkey(1)}"
    fans, subject = [did(n) for n in range(1, 11)], {"subject": {**SUBJECT, "uri": song}}
    await actors.see(connection, [did(0), *fans])
    await write(connection, change(song, record("fm.plyr.track", {"title": "One"})))
    shard, other = await connect(database_url), await connect(database_url)

    async def edit() -> None:
        async with other.transaction():
            title = {"title": "Two"}
            await apply(other, MAKERS.types, [change(song, record("fm.plyr.track", title), rev=2)], NOW)

    async with shard.transaction():
        likes = [change(f"at://{fan}/fm.plyr.like/{rkey(2)}", record("fm.plyr.like", subject)) for fan in fans]
        await apply(shard, MAKERS.types, likes, NOW)
        editing = asyncio.create_task(edit())
        await asyncio.sleep(0.2)
        assert not editing.done()
    await editing
    assert await differences(connection) == []
    for one in (shard, other):
        await one.close()
