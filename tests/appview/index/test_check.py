"""An index that agrees with itself, and every way in which it may not."""

import pytest

from appview.db import Connection
from appview.index import check, rebuild
from appview.index.lock import index_lock
from appview.index.rebuild import Makers, Orphan
from appview.index.recount import differences
from lexicons.data import encode
from tests.appview.index.filled import ELSEWHERE, MAKERS, PEOPLE, REJECTED, TOMBSTONE, WHOLE, change, fill, write
from tests.appview.index.samples import did, record, rkey
from tests.appview.index.tables import DERIVED, contents

ALICE = PEOPLE[0]
SONG = f"at://{ALICE}/fm.plyr.track/{rkey(0)}"


async def findings(connection: Connection) -> list[str]:
    """All that is found, without the common part of the URIs."""
    found = [finding async for finding in check.check_records(connection, MAKERS, lambda _: None)]
    return [str(finding) for finding in [*found, *await check.check_orphans(connection, MAKERS)]]


async def test_an_index_that_agrees_with_itself(connection: Connection) -> None:
    await fill(connection)
    progress: list[int] = []
    assert [found async for found in check.check_records(connection, MAKERS, progress.append)] == []
    assert await check.check_orphans(connection, MAKERS) == []
    assert await differences(connection) == []
    assert progress == [await connection.fetchval("select count(*) from records")]


COPY = (
    "did, title, artist, album, duration, image_url, gated, sort_at, cid, indexed_at, size"
    " from tracks where uri = '{song}'"
)
PLANTED = [
    ("update tracks set title = 'x' where uri = '{song}'", "{song}: its row in tracks has another title"),
    (
        "update tracks set did = 'x', gated = true, sort_at = 'epoch' where uri = '{song}'",
        "{song}: its row in tracks has another did, gated, sort_at",
    ),
    ("delete from tracks where uri = '{song}'", "{song}: it has no row in tracks"),
    ("delete from profiles where uri = '{profile}'", "{profile}: it has no row in profiles"),
    ("delete from likes where uri = '{like}'", "{like}: it has no row in likes"),
    ("update plays set subject = 'x' where uri = '{play}'", "{play}: its row in plays has another subject"),
    (
        "insert into likes values ('{post}', 'did:x:y', 'x', now())",
        "{post}: it has a row in likes and should have none",
    ),
    ("insert into tracks select '{bad}', " + COPY, "{bad}: there is a row in tracks, and no record that is shown"),
    ("insert into tracks select '{gone}', " + COPY, "{gone}: there is a row in tracks, and no record that is shown"),
    (
        "insert into lists (uri, did, item_count, sort_at) values ('{song}', 'did:x:y', 0, now())",
        "{song}: there is a row in lists, and no record that is shown",
    ),
    (
        "insert into list_items (list, position, subject, sort_at) values ('{nobody}', 0, 'x', now())",
        "{nobody}: there is a row in list_items, and no record that is shown",
    ),
    ("delete from list_items where list = '{list}'", "{list}: its row in lists has another items"),
    ("update list_items set sort_at = 'epoch' where list = '{list}'", "{list}: its row in lists has another items"),
    ("update lists set item_count = 9 where uri = '{list}'", "{list}: its row in lists has another item_count"),
    ("update lists set name = 'x' where uri = '{list}'", "{list}: its row in lists has another inherited"),
    ("update lists set inherited = default where uri = '{bare}'", "{bare}: its row in lists has another inherited"),
    ("update records set verdict = 'tolerated' where uri = '{song}'", "{song}: it is held to be tolerated and is ok"),
    (
        "update records set deviations = '[]' where uri = '{song}'",
        "{song}: what is noted of its deviations is not what they are",
    ),
]
URIS = {
    "song": SONG,
    "profile": f"at://{ALICE}/fm.plyr.actor.profile/self",
    "like": f"at://{ALICE}/fm.plyr.like/{rkey(0)}",
    "list": f"at://{ALICE}/fm.plyr.list/{rkey(0)}",
    "play": f"at://{ALICE}/fm.teal.feed.play/{rkey(0)}",
    "nobody": f"at://{did(9)}/fm.plyr.track/{rkey(9)}",
    "post": ELSEWHERE,
    "bad": REJECTED,
    "gone": TOMBSTONE,
    "bare": WHOLE,
}


@pytest.mark.parametrize(("sql", "expected"), PLANTED, ids=lambda text: text.partition(" where ")[0][:40])
async def test_each_difference_is_found_and_repaired(connection: Connection, sql: str, expected: str) -> None:
    await fill(connection)
    before = await contents(connection)
    await connection.execute(sql.format(**URIS))
    assert await findings(connection) == [expected.format(**URIS)]
    found = [finding async for finding in check.check_records(connection, MAKERS, lambda _: None)]
    await check.repair(connection, MAKERS, found)
    assert await findings(connection) == []
    assert await differences(connection) == []
    after = await contents(connection)
    if "set name = 'x'" in sql:
        # A name that only the row has is one that was inherited, whoever put it there.
        for table in ("lists", "search_documents", "search_names", "search_postings", "search_words"):
            assert after.pop(table) != before.pop(table)
    assert after == before


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("update records set value = 'x' where uri = '{song}'", "its bytes are not those of its CID"),
        ("update records set did = 'x' where uri = '{song}'", "the account or the collection beside it is another"),
    ],
)
async def test_a_record_in_doubt_is_fetched_again(connection: Connection, sql: str, expected: str) -> None:
    await fill(connection)
    await connection.execute(sql.format(**URIS))
    found = [finding async for finding in check.check_records(connection, MAKERS, lambda _: None)]
    assert str(found[0]) == f"{SONG}: {expected}"
    await check.repair(connection, MAKERS, found)
    jobs = await connection.fetch("select kind, subject, note from jobs")
    assert [tuple(job) for job in jobs] == [("fetch", ALICE, "check")]


async def test_an_account_without_a_row(connection: Connection) -> None:
    await write(connection, change(SONG, record("fm.plyr.track")))
    await connection.execute("delete from actors")
    assert await findings(connection) == [f"{SONG}: its account is not among the actors"]
    assert await differences(connection) != []
    await check.repair(connection, MAKERS, [check.Finding(SONG, "")])
    assert await findings(connection) == []
    assert await differences(connection) == []


async def test_what_came_between_the_look_and_the_lock_stays(connection: Connection) -> None:
    await fill(connection)
    before = await contents(connection)
    tables = {"song": "tracks", "like": "likes", "list": "lists", "bare": "lists", "profile": "profiles"}
    stale = [Orphan(table, URIS[name]) for name, table in tables.items()]
    await rebuild.remove(connection, MAKERS, [*stale, Orphan("list_items", URIS["list"])])
    assert await contents(connection) == before


async def test_large_records_come_in_small_pages(connection: Connection) -> None:
    big = record("fm.plyr.track") | {"anything": b"x" * 1_000_000}
    changes = [change(f"at://{ALICE}/fm.plyr.track/{rkey(n)}", big | {"n": n}) for n in range(20)]
    for each in changes:
        await write(connection, each)
    after, sizes = "", []
    while records := await rebuild.page(connection, after):
        sizes.append(len(records))
        after = records[-1].uri
    assert sizes == [17, 3]
    await connection.execute("update records set value = $1", encode(big | {"n": 20}))
    assert len(await findings(connection)) == 20


async def test_rows_of_another_namespace_go(connection: Connection) -> None:
    await fill(connection)
    makers = Makers.of("fm.plyr.stg")
    await rebuild.remove(connection, makers, await rebuild.orphans(connection, makers))
    async with connection.transaction():
        await index_lock(connection)
        await rebuild.rebuild(connection, makers, await rebuild.page(connection, ""))
    assert {table for table, rows in (await contents(connection, *DERIVED)).items() if rows} == {
        "bsky_profiles",
        "follows",
        "plays",
        "actor_counts",
        "totals",
        "search_documents",
        "search_names",
        "search_postings",
        "search_words",
    }
