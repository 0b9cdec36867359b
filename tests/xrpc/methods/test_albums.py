"""An album is a list and a name on tracks; what plyr.fm and other writers make of the two together."""

from typing import Any, Final

from appview.db import Connection
from appview.net.policy import Policy
from appview.reads.views import Views
from tests.index_writer import NAMESPACE, IndexWriter, ref, rkey
from tests.xrpc.client import Client
from tests.xrpc.methods.test_cost import READ

ALICE: Final = "did:plc:alice"
BOB: Final = "did:plc:bob"


async def track(index: IndexWriter, age: int, album: str | None = "2026", did: str = ALICE, **fields: Any) -> str:
    named = {"album": album} if album is not None else {}
    return await index.write(did, "fm.plyr.track", rkey(age), **named, **fields)


async def album(
    index: IndexWriter,
    age: int,
    tracks: list[str],
    name: str | None = "2026",
    did: str = ALICE,
    kind: str | None = "album",
) -> str:
    said = {"name": name, "listType": kind}
    said = {field: value for field, value in said.items() if value is not None}
    return await index.write(did, "fm.plyr.list", rkey(age), items=[{"subject": ref(uri)} for uri in tracks], **said)


async def album_of(client: Client, uri: str) -> Any:
    (view,) = (await client.ask("feed.getTracks", uris=[uri]))["tracks"]
    return view.get("album")


async def unplaced(client: Client, uri: str, **parameters: Any) -> list[str]:
    answer = await client.ask("graph.getList", list=uri, **parameters)
    assert answer.get("unplaced") != []
    return [view["uri"] for view in answer.get("unplaced", [])]


async def test_a_track_is_on_the_album_that_holds_it(client: Client, index: IndexWriter) -> None:
    on_it, beside = await track(index, 20), await track(index, 21)
    uri = await album(index, 1, [on_it, on_it])
    assert await album_of(client, on_it) == {"name": "2026", "list": uri}
    assert await album_of(client, beside) == {"name": "2026"}
    # What names no album is on none, whatever list holds it.
    single = await track(index, 22, None)
    await album(index, 1, [on_it, single])
    assert await album_of(client, single) is None


async def test_the_album_of_that_name_comes_before_a_newer_one(client: Client, index: IndexWriter) -> None:
    uri = await track(index, 20, "In  Rainbows ")
    named = await album(index, 9, [uri], "in rainbows")
    await album(index, 5, [uri], "Best of")
    nameless = await album(index, 3, [uri], None)
    await album(index, 2, [uri], "In Rainbows", kind="playlist")
    assert await album_of(client, uri) == {"name": "In  Rainbows ", "list": named}
    await track(index, 20, "Kid A")
    assert await album_of(client, uri) == {"name": "Kid A", "list": nameless}
    await index.delete(nameless)
    await track(index, 20, "BEST OF")
    assert await album_of(client, uri) == {"name": "BEST OF", "list": f"at://{ALICE}/fm.plyr.list/{rkey(5)}"}


async def test_the_albums_of_others_are_not_the_tracks_own(client: Client, index: IndexWriter) -> None:
    uri = await track(index, 20)
    await album(index, 1, [uri], did=BOB)
    await album(index, 2, [uri], did=f"{ALICE}0")
    await album(index, 3, [uri], did=ALICE[:-1])
    assert await album_of(client, uri) == {"name": "2026"}


async def test_an_album_that_lost_its_type_by_a_reorder_is_one(client: Client, index: IndexWriter) -> None:
    on_it, beside = await track(index, 20), await track(index, 21)
    uri = await album(index, 1, [on_it])
    await album(index, 1, [on_it], None, kind=None)
    assert await album_of(client, on_it) == {"name": "2026", "list": uri}
    assert await unplaced(client, uri) == [beside]


async def test_what_names_an_album_and_is_on_none(client: Client, index: IndexWriter) -> None:
    """As an upload leaves it that broke off before the list was written, or a client that knows no lists."""
    on_it = await track(index, 20)
    older, newer = await track(index, 31, " 2026"), await track(index, 30)
    await track(index, 40, "2025")
    await track(index, 41, None)
    await track(index, 42, did=BOB)
    uri = await album(index, 1, [on_it])
    answer = await client.ask("graph.getList", list=uri)
    assert answer["unplaced"] == (await client.ask("feed.getTracks", uris=[newer, older]))["tracks"]
    await index.delete(newer)
    await track(index, 31, "2025")
    assert "unplaced" not in await client.ask("graph.getList", list=uri)


async def test_what_another_album_holds_is_missed_on_none(client: Client, index: IndexWriter) -> None:
    """A rename leaves the old name on tracks; and an album of the old name that is made then is not theirs."""
    kept = await track(index, 20, "Old")
    renamed = await album(index, 9, [kept], "New")
    later = await album(index, 1, [], "Old")
    assert await unplaced(client, later) == []
    assert await album_of(client, kept) == {"name": "Old", "list": renamed}
    # A playlist is no album.
    await album(index, 9, [kept], "New", kind="playlist")
    assert await unplaced(client, later) == [kept]


async def test_they_come_with_the_last_page(client: Client, index: IndexWriter) -> None:
    placed = [await track(index, 20 + age) for age in range(3)]
    beside = await track(index, 40)
    uri = await album(index, 1, placed)
    first = await client.ask("graph.getList", list=uri, limit=2)
    assert "unplaced" not in first
    assert await unplaced(client, uri, limit=2, cursor=first["cursor"]) == [beside]
    assert await unplaced(client, uri, limit=3) == [beside]


async def test_only_of_albums_with_a_name(client: Client, index: IndexWriter) -> None:
    await track(index, 20, "")
    await track(index, 21)
    for age, (name, kind) in enumerate(((None, "album"), ("2026", "playlist"), ("2026", None))):
        assert await unplaced(client, await album(index, age, [], name, kind=kind)) == []


async def test_a_hundred_at_most(client: Client, index: IndexWriter) -> None:
    tracks = await index.write_all((ALICE, "fm.plyr.track", rkey(20 + age), {"album": "2026"}) for age in range(120))
    uri = await album(index, 1, tracks[:5])
    assert await unplaced(client, uri) == tracks[5:105]


async def test_playlists_take_no_album_away(client: Client, index: IndexWriter) -> None:
    """However many newer ones there are, and however often the track is on them."""
    uri = await track(index, 200)
    named = await album(index, 190, [uri])
    await album(index, 180, [uri] * 60, "Best of")
    for age in range(60):
        await album(index, age, [uri], kind="playlist")
    await album(index, 100, [uri] * 60, kind="playlist")
    assert await album_of(client, uri) == {"name": "2026", "list": named}
    assert await unplaced(client, await album(index, 195, [])) == []


async def test_what_it_costs_to_be_on_many_lists(index: IndexWriter, connection: Connection) -> None:
    uris = await index.write_all((ALICE, "fm.plyr.track", rkey(200 + n), {"album": "2026"}) for n in range(5))
    named = await album(index, 190, uris)
    for age in range(4):
        await album(index, age, uris * 300, kind="playlist")
        await album(index, 10 + age, uris * 300, "Best of")
    for age in range(20, 90):
        await album(index, age, uris, kind="playlist")
    await connection.execute("vacuum analyze")
    # All of a table of this size is soon read; all of a large one never is.
    await connection.execute("set enable_seqscan = off")
    views = Views(NAMESPACE, Policy())
    await views.tracks(connection, uris)
    for mode in ("force_custom_plan", "force_generic_plan"):
        await connection.execute(f"set plan_cache_mode = {mode}")
        async with connection.transaction():
            before = await connection.fetchval(READ)
            found = await views.tracks(connection, uris)
            assert await connection.fetchval(READ) - before <= 200 + 20 * len(uris)
        assert {view["album"]["list"] for view in found} == {named}


async def test_a_name_that_is_longer_than_a_key(client: Client, index: IndexWriter) -> None:
    long = "An album " * 280
    uri = await track(index, 20, long)
    assert (await album_of(client, uri))["name"] == long
    assert await unplaced(client, await album(index, 1, [], long)) == [uri]
