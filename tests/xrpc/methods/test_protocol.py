from typing import Any, Final

import pytest

from tests.index_writer import BLOB, IndexWriter, ref, rkey
from tests.xrpc.client import Client

ALICE: Final = "did:plc:alice"
BOB: Final = "did:plc:bob"
GET: Final = "com.atproto.repo.getRecord"
LIST: Final = "com.atproto.repo.listRecords"
RESOLVE: Final = "com.atproto.identity.resolveHandle"


def at(uri: str) -> dict[str, str]:
    repo, collection, key = uri.removeprefix("at://").split("/")
    return {"repo": repo, "collection": collection, "rkey": key}


async def test_a_record_as_it_was_written(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE, handle="alice.test")
    fields = {"title": "One", "audioBlob": BLOB, "unknown": {"$bytes": "AAEC"}, "description": None}
    uri = await index.write(ALICE, "fm.plyr.track", rkey(1), **fields)
    (track,) = (await client.ask("feed.getTracks", uris=[uri]))["tracks"]
    answer = await client.ask(GET, **at(uri))
    assert answer == {"uri": uri, "cid": track["cid"], "value": track["record"]}
    assert answer["value"]["unknown"] == {"$bytes": "AAEC"}
    for repo in ("alice.test", "ALICE.Test"):
        assert await client.ask(GET, **{**at(uri), "repo": repo}) == answer
    assert await client.ask(GET, **at(uri), cid=answer["cid"]) == answer

    await index.write(ALICE, "fm.plyr.track", rkey(1), title="Two")
    assert await client.refused(GET, **at(uri), cid=answer["cid"]) == (400, "RecordNotFound")
    assert (await client.ask(GET, **at(uri)))["value"]["title"] == "Two"
    await index.delete(uri)
    assert await client.refused(GET, **at(uri)) == (400, "RecordNotFound")


async def test_what_no_view_shows_is_a_record_all_the_same(client: Client, index: IndexWriter) -> None:
    """A like of something else than a track, and what other applications wrote."""
    like = await index.write(ALICE, "fm.plyr.like", rkey(1), subject=ref(f"at://{BOB}/app.bsky.feed.post/x"))
    follow = await index.write(ALICE, "app.bsky.graph.follow", rkey(1), subject=BOB)
    profile = await index.write(ALICE, "app.bsky.actor.profile", "self", displayName="Alice")
    for uri in (like, follow, profile):
        record = await client.ask(GET, **at(uri))
        assert (await client.ask(LIST, repo=ALICE, collection=at(uri)["collection"]))["records"] == [record]


async def test_what_is_kept_aside_is_not_shown(client: Client, index: IndexWriter) -> None:
    uri = await index.write(ALICE, "fm.plyr.track", rkey(1))
    other = await index.write(ALICE, "fm.plyr.track", rkey(2))
    await index.write(ALICE, "fm.plyr.track", rkey(1), title=7)
    assert (await client.ask("server.explain", uri=uri))["state"] == "rejected"
    assert await client.refused(GET, **at(uri)) == (400, "RecordNotFound")
    records = (await client.ask(LIST, repo=ALICE, collection="fm.plyr.track"))["records"]
    assert [record["uri"] for record in records] == [other]


async def test_records_of_a_collection_by_key(client: Client, index: IndexWriter) -> None:
    uris = await index.write_all((ALICE, "fm.plyr.track", rkey(age), {"title": f"{age}"}) for age in range(5))
    await index.write(ALICE, "fm.plyr.list", rkey(1))
    await index.write(f"{ALICE}0", "fm.plyr.track", rkey(1))
    await index.delete(uris[3])
    there = [*uris[:3], uris[4]]
    parameters: dict[str, Any] = {"repo": ALICE, "collection": "fm.plyr.track"}
    answer = await client.ask(LIST, **parameters)
    assert [record["uri"] for record in answer["records"]] == there
    assert answer == {"records": [await client.ask(GET, **at(uri)) for uri in there]}
    assert (await client.ask(LIST, **parameters, reverse="false")) == answer
    backwards = await client.ask(LIST, **parameters, reverse="true")
    assert backwards["records"] == answer["records"][::-1]
    assert await client.ask(LIST, repo=ALICE, collection="fm.plyr.comment") == {"records": []}

    first = await client.ask(LIST, **parameters, limit=2)
    rest = await client.ask(LIST, **parameters, limit=2, cursor=first["cursor"])
    assert first["records"] + rest["records"] == answer["records"]
    assert "cursor" not in rest
    wrong = await client.refused(LIST, **parameters, cursor=first["cursor"], reverse="true")
    assert wrong == (400, "InvalidRequest")


async def test_the_traces_of_deleted_records_bound_a_page(client: Client, index: IndexWriter) -> None:
    oldest = await index.write(ALICE, "fm.plyr.track", rkey(3_000))
    gone = await index.write_all((ALICE, "fm.plyr.track", rkey(age), {}) for age in range(1_200))
    newest, *gone = gone
    await index.delete_all(gone)
    first = await client.ask(LIST, repo=ALICE, collection="fm.plyr.track")
    assert [record["uri"] for record in first["records"]] == [newest]
    rest = await client.ask(LIST, repo=ALICE, collection="fm.plyr.track", cursor=first["cursor"])
    assert ([record["uri"] for record in rest["records"]], "cursor" in rest) == ([oldest], False)


async def test_large_records_make_small_pages(client: Client, index: IndexWriter) -> None:
    uris = await index.write_all((ALICE, "fm.plyr.track", rkey(age), {"padding": "x" * 900_000}) for age in range(4))
    first = await client.ask(LIST, repo=ALICE, collection="fm.plyr.track")
    rest = await client.ask(LIST, repo=ALICE, collection="fm.plyr.track", cursor=first["cursor"])
    assert [len(page["records"]) for page in (first, rest)] == [2, 2]
    assert [record["uri"] for page in (first, rest) for record in page["records"]] == uris


async def test_nothing_to_be_had(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE)
    post = {"repo": ALICE, "collection": "app.bsky.feed.post", "rkey": "x"}
    for asked in (post, {**post, "repo": "nobody.test"}, {**post, "repo": BOB}, {**post, "collection": "fm.plyr.list"}):
        assert await client.refused(GET, **asked) == (400, "RecordNotFound")
    for asked in (
        {"repo": BOB, "collection": "fm.plyr.track"},
        {"repo": "nobody.test", "collection": "fm.plyr.track"},
        {"repo": ALICE, "collection": "app.bsky.feed.post"},
    ):
        assert await client.refused(LIST, **asked) == (400, "InvalidRequest")
    for asked in ({**post, "rkey": "a b"}, {**post, "collection": "x"}, {**post, "repo": "x"}, {**post, "cid": "x"}):
        assert await client.refused(GET, **asked) == (400, "InvalidRequest")


@pytest.mark.parametrize("status", [None, "deactivated", "takendown", "deleted"])
async def test_a_handle_is_whose_it_is_whatever_became_of_the_account(
    client: Client, index: IndexWriter, status: str | None
) -> None:
    await index.account(ALICE, handle="alice.test")
    await index.set_status(ALICE, active=status is None, status=status)
    for handle in ("alice.test", "Alice.TEST"):
        assert await client.ask(RESOLVE, handle=handle) == {"did": ALICE}


async def test_a_handle_that_does_not_verify_is_nobodys(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE, handle="alice.test")
    await index.account(BOB)
    for handle in ("bob.test", "handle.invalid"):
        assert await client.refused(RESOLVE, handle=handle) == (400, "HandleNotFound")
    await index.account(ALICE)
    assert await client.refused(RESOLVE, handle="alice.test") == (400, "HandleNotFound")
    assert await client.refused(RESOLVE, handle=ALICE) == (400, "InvalidRequest")
