"""Every query leaves hidden accounts out by itself, also where another has looked before (rule 6)."""

from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from appview.db import Connection
from appview.net.policy import Policy
from appview.reads import feeds, lists, responses
from appview.reads.views.lists import load_lists
from appview.reads.views.media import Media
from appview.reads.views.people import Faces, People, load_accounts, load_people
from appview.reads.views.responses import load_comments, load_likes
from appview.reads.views.tracks import Versions, load_tracks
from tests.index_writer import IndexWriter, ref, rkey

ALICE: Final = "did:plc:alice"
BOB: Final = "did:plc:bob"
SONG: Final = f"at://{BOB}/fm.plyr.track/{rkey(1)}"


def hers(collection: str) -> str:
    return f"at://{ALICE}/fm.plyr.{collection}/{rkey(1)}"


def nobody() -> People:
    return People(Faces(Media(Policy()), most=0))


async def tracks(connection: Connection) -> bool:
    versions = Versions("fm.plyr", Media(Policy()), most=0)
    return bool(await load_tracks(connection, [hers("track")], versions, nobody()))


async def people(connection: Connection) -> bool:
    found = nobody()
    await load_people(connection, found, [ALICE, "did:plc:stranger"])
    assert found.basic("did:plc:stranger") == {"did": "did:plc:stranger", "handle": "handle.invalid"}
    return found.basic(ALICE) is not None


async def pages(page: Awaitable[tuple[list[str], object]], uri: str) -> bool:
    uris, _ = await page
    assert uris in ([uri], [])
    return uris == [uri]


async def items(connection: Connection) -> bool:
    return bool((await lists.items(connection, hers("list"), after=None, limit=1)).items)


async def heads(connection: Connection) -> bool:
    return bool((await load_lists(connection, [hers("list")])).lists)


FOUND: Final[dict[str, Callable[[Connection], Awaitable[object]]]] = {
    "feeds.latest": lambda connection: pages(feeds.latest(connection, after=None, limit=1), hers("track")),
    "feeds.by_author": lambda connection: pages(feeds.by_author(connection, ALICE, after=None, limit=1), hers("track")),
    "lists.by_author": lambda connection: pages(
        lists.by_author(connection, ALICE, None, after=None, limit=1), hers("list")
    ),
    "lists.items": items,
    "responses.is_shown": lambda connection: responses.is_shown(connection, hers("track")),
    "responses.likes": lambda connection: pages(responses.likes(connection, SONG, after=None, limit=1), hers("like")),
    "responses.comments_by_age": lambda connection: pages(
        responses.comments_by_age(connection, SONG, after=None, limit=1), hers("comment")
    ),
    "responses.comments_by_position": lambda connection: pages(
        responses.comments_by_position(connection, SONG, after=None, limit=1), hers("comment")
    ),
    "load_tracks": tracks,
    "load_likes": lambda connection: load_likes(connection, [hers("like")]),
    "load_comments": lambda connection: load_comments(connection, [hers("comment")]),
    "load_lists": heads,
    "load_accounts": lambda connection: load_accounts(connection, nobody(), [ALICE]),
    "load_people": people,
}


@pytest.mark.parametrize("query", FOUND)
async def test_a_query_by_itself(connection: Connection, index: IndexWriter, query: str) -> None:
    await index.write(ALICE, "fm.plyr.track", rkey(1))
    for collection in ("like", "comment"):
        await index.write(ALICE, f"fm.plyr.{collection}", rkey(1), subject=ref(SONG))
    await index.write(ALICE, "fm.plyr.list", rkey(1), items=[{"subject": ref(SONG)}])
    for shown in (True, False, True):
        await index.set_status(ALICE, active=shown)
        assert bool(await FOUND[query](connection)) is shown
