from typing import Any, Final

import pytest

from tests.index_writer import NOW, IndexWriter, ref, rkey
from tests.xrpc.client import Client

ALICE: Final = "did:plc:alice"
BOB: Final = "did:plc:bob"
CAROL: Final = "did:plc:carol"


async def every_page(client: Client, method: str, field: str, **parameters: Any) -> tuple[list[Any], int]:
    """All entries, and on how many pages."""
    found, pages, cursor = [], 0, None
    while True:
        page = await client.ask(method, **parameters, **({"cursor": cursor} if cursor else {}))
        found += page[field]
        pages += 1
        cursor = page.get("cursor")
        if cursor is None:
            return found, pages


async def test_all_that_is_done_in_one_stream(client: Client, index: IndexWriter) -> None:
    await index.account(BOB, handle="bob.test")
    track = await index.write(ALICE, "fm.plyr.track", rkey(40), title="First")
    listed = await index.write(BOB, "fm.plyr.list", rkey(30), name="Mix", items=[{"subject": ref(track)}])
    liked = await index.write(BOB, "fm.plyr.like", rkey(20), subject=ref(track))
    said = await index.write(BOB, "fm.plyr.comment", rkey(10), subject=ref(track), text="Yes", timestampMs=7)
    # What an edit says of the time does not count.
    await index.write(ALICE, "fm.plyr.track", rkey(40), title="Second", createdAt="2026-05-31T00:00:00Z")
    newest, second, third, last = (await client.ask("feed.getActivity"))["activity"]

    (whole,) = (await client.ask("feed.getTracks", uris=[track]))["tracks"]
    (like,) = (await client.ask("feed.getLikes", uri=track))["likes"]
    (comment,) = (await client.ask("feed.getComments", uri=track))["comments"]
    mix = (await client.ask("graph.getList", list=listed))["list"]
    defs = "fm.plyr.feed.defs"
    assert (comment["uri"], like["uri"], whole["title"]) == (said, liked, "Second")
    assert newest == {
        "$type": f"{defs}#commentActivity",
        "at": "2026-05-31T23:59:50.000Z",
        "comment": comment,
        "track": whole,
    }
    assert second == {"$type": f"{defs}#likeActivity", "at": "2026-05-31T23:59:40.000Z", "like": like, "track": whole}
    assert third == {"$type": f"{defs}#listActivity", "at": "2026-05-31T23:59:30.000Z", "list": mix}
    assert last == {"$type": f"{defs}#trackActivity", "at": "2026-05-31T23:59:20.000Z", "track": whole}

    assert (await client.ask("feed.getActivity", actor="bob.test"))["activity"] == [newest, second, third]
    assert (await client.ask("feed.getActivity", actor=ALICE))["activity"] == [last]


async def test_what_has_no_track_to_stand_beside_is_left_out(client: Client, index: IndexWriter) -> None:
    tracks = await index.write_all((did, "fm.plyr.track", rkey(90), {}) for did in (ALICE, BOB))
    never = f"at://{ALICE}/fm.plyr.track/{rkey(91)}"
    for age, subject in enumerate((*tracks, never)):
        await index.write(CAROL, "fm.plyr.like", rkey(age), subject=ref(subject))
        await index.write(CAROL, "fm.plyr.comment", rkey(10 + age), subject=ref(subject))

    async def subjects(actor: str) -> list[str]:
        return [deed["track"]["uri"] for deed in (await client.ask("feed.getActivity", actor=actor))["activity"]]

    assert await subjects(CAROL) == [*tracks, *tracks]
    await index.set_status(BOB, active=False)
    assert await subjects(CAROL) == [tracks[0], tracks[0]]
    await index.set_status(BOB, active=True)
    await index.delete(tracks[0])
    assert await subjects(CAROL) == [tracks[1], tracks[1]]
    await index.write(ALICE, "fm.plyr.track", rkey(91))
    assert await subjects(CAROL) == [tracks[1], never, tracks[1], never]


async def test_only_the_earliest_of_several_likes_of_a_track_counts(client: Client, index: IndexWriter) -> None:
    one, other = await index.write_all((ALICE, "fm.plyr.track", rkey(age), {}) for age in (90, 91))
    for age, subject in ((5, one), (4, other), (3, one), (2, one)):
        await index.write(BOB, "fm.plyr.like", rkey(age), subject=ref(subject))
    first = f"at://{BOB}/fm.plyr.like/{rkey(5)}"

    async def likes() -> tuple[list[str], list[str]]:
        deeds = (await client.ask("feed.getActivity", actor=BOB))["activity"]
        tracks = (await client.ask("feed.getActorLikes", actor=BOB))["tracks"]
        return [deed["like"]["uri"] for deed in deeds], [track["uri"] for track in tracks]

    assert await likes() == ([f"at://{BOB}/fm.plyr.like/{rkey(4)}", first], [other, one])
    (shown,) = (await client.ask("feed.getLikes", uri=one))["likes"]
    assert shown["uri"] == first
    await index.delete(first)
    assert await likes() == ([f"at://{BOB}/fm.plyr.like/{rkey(age)}" for age in (3, 4)], [one, other])


async def test_likes_of_an_account_are_those_that_can_be_shown(client: Client, index: IndexWriter) -> None:
    tracks = await index.write_all((did, "fm.plyr.track", rkey(90), {"title": did}) for did in (ALICE, CAROL))
    gone = f"at://{ALICE}/fm.plyr.track/{rkey(99)}"
    for age, subject in enumerate((gone, *tracks, f"at://{ALICE}/fm.plyr.list/{rkey(1)}")):
        await index.write(BOB, "fm.plyr.like", rkey(age), subject=ref(subject))
    answer = await client.ask("feed.getActorLikes", actor=BOB)
    assert answer == {"tracks": (await client.ask("feed.getTracks", uris=tracks))["tracks"]}
    await index.set_status(CAROL, active=False)
    assert [track["title"] for track in (await client.ask("feed.getActorLikes", actor=BOB))["tracks"]] == [ALICE]


@pytest.mark.parametrize(("nowhere", "likes_pages", "deeds_pages"), [(900, 1, 1), (1_500, 1, 1), (22_000, 2, 5)])
async def test_what_is_passed_over_ends_a_page_but_not_the_stream(
    client: Client, index: IndexWriter, nowhere: int, likes_pages: int, deeds_pages: int
) -> None:
    """A page is bounded by what is looked at, whatever that is: here, likes of what is not here."""
    track = await index.write(ALICE, "fm.plyr.track", rkey(50_000))
    await index.write(BOB, "fm.plyr.like", rkey(40_000), subject=ref(track))
    await index.connection.execute(
        """
        insert into likes (uri, did, subject, sort_at)
        select 'at://' || $1 || '/fm.plyr.like/' || n, $1, 'at://did:plc:x/fm.plyr.track/' || n,
            $2::timestamptz - make_interval(secs => n)
        from generate_series(1, $3::int) as n
        """,
        BOB,
        NOW,
        nowhere,
    )
    for limit in (1, 100):
        found, pages = await every_page(client, "feed.getActorLikes", "tracks", actor=BOB, limit=limit)
        assert ([view["uri"] for view in found], pages) == ([track], likes_pages)
        deeds, pages = await every_page(client, "feed.getActivity", "activity", actor=BOB, limit=limit)
        assert ([deed["track"]["uri"] for deed in deeds], pages) == ([track], deeds_pages)


async def test_a_page_ends_where_its_records_grow_too_large(client: Client, index: IndexWriter) -> None:
    heavy = {"padding": "x" * 900_000}
    tracks = await index.write_all((ALICE, "fm.plyr.track", rkey(90 + age), heavy) for age in range(6))
    await index.write_all((BOB, "fm.plyr.like", rkey(age), {"subject": ref(track)}) for age, track in enumerate(tracks))
    for method, field in (("feed.getActorLikes", "tracks"), ("feed.getActivity", "activity")):
        found, pages = await every_page(client, method, field, actor=BOB)
        assert [view["track"]["uri"] if "track" in view else view["uri"] for view in found] == tracks
        assert pages == 3


@pytest.mark.parametrize("method", ["feed.getActivity", "feed.getActorLikes"])
async def test_nobody(client: Client, method: str) -> None:
    for actor in (ALICE, "nobody.test"):
        assert await client.refused(method, actor=actor) == (400, "NotFound")
    assert await client.refused(method, actor="nobody") == (400, "InvalidRequest")
