from typing import Any, Final

import pytest

from appview.db import Connection, Pool
from appview.index.pending import OwnWrite, show
from appview.index.rebuild import Makers
from appview.index.records import record_types
from appview.jobs import rows
from appview.reads.explain import MOST, explain
from appview.status import VERSION
from lexicons.data import CID, encode
from tests.index_writer import CREATED_AT, NAMESPACE, NOW, IndexWriter, ref, rkey
from tests.xrpc.client import Client
from tests.xrpc.methods.test_cost import READ

ALICE: Final = "did:plc:alice"
BOB: Final = "did:plc:bob"
STATUS: Final[dict[str, Any]] = {
    "version": VERSION,
    "upstreams": [
        {
            "url": "wss://relay.test",
            "state": "live",
            "since": "2026-06-01T00:00:00+00:00",
            "error": None,
            "last_frame_at": None,
            "last_seq": None,
            "cursor": 1 << 40,
        }
    ],
    "queue": {"frames": 3, "oldest_seconds": 0.0125},
    "catching_up": True,
    "held_frames": 0,
    "jobs": {},
    "tracked": 1,
}


async def test_stats_of_nothing(client: Client) -> None:
    answer = await client.ask("server.getStats")
    assert set(answer["totals"].values()) == {0}
    assert answer["repos"] == {"synchronized": 0, "desynchronized": 0, "inProgress": 0}
    assert answer["ingesters"] == []
    assert "newestTrackAt" not in answer


async def test_stats(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE)
    track = await index.write(ALICE, "fm.plyr.track", rkey(1))
    await index.write(ALICE, "app.bsky.actor.profile", "self")
    for collection in ("like", "comment"):
        await index.write(ALICE, f"fm.plyr.{collection}", rkey(1), subject=ref(track))
    for shard, said in (("0/2", STATUS), ("1/2", {"version": VERSION + 1})):
        await index.connection.execute(
            "insert into shards (shard, status, status_at) values ($1, $2, now())", shard, said
        )
    await index.connection.execute("insert into shards (shard) values ('2/2')")
    answer = await client.ask("server.getStats")
    assert answer["totals"] == {
        **dict.fromkeys(("tracks", "likes", "comments"), 1),
        **dict.fromkeys(("lists", "profiles", "generators", "follows", "plays"), 0),
    }
    assert answer["repos"] == {"synchronized": 1, "desynchronized": 0, "inProgress": 0}
    assert answer["newestTrackAt"] == "2026-05-31T23:59:59.000Z"
    said, newer, silent = answer["ingesters"]
    assert said.pop("statusAt")
    assert said == {
        "shard": "0/2",
        "catchingUp": True,
        "queuedFrames": 3,
        "queuedMs": 12,
        "upstreams": [
            {"url": "wss://relay.test", "state": "live", "since": "2026-06-01T00:00:00+00:00", "cursor": 1 << 40}
        ],
    }
    assert (newer, silent) == ({"shard": "1/2", "upstreams": []}, {"shard": "2/2", "upstreams": []})


async def explained(client: Client, uri: str) -> tuple[str, str, Any]:
    answer = await client.ask("server.explain", uri=uri)
    return answer["state"], answer["explanation"], answer


async def test_a_record_that_is_shown(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE, handle="alice.test")
    uri = await index.write(ALICE, "fm.plyr.track", rkey(1))
    state, sentence, answer = await explained(client, uri)
    assert state == "shown"
    assert "is shown" in sentence
    assert "by a fetch of all of it" in sentence
    assert (answer["record"]["verdict"], answer["record"]["provenBy"]) == ("ok", "live")
    assert answer["repo"]["status"] == "synchronized"
    assert (await client.ask("server.explain", uri=uri.replace(ALICE, "alice.test")))["uri"] == uri


async def test_when_its_pds_was_last_asked(client: Client, index: IndexWriter, connection: Connection) -> None:
    await index.account(ALICE)
    uri = await index.write(ALICE, "fm.plyr.track", rkey(1))
    _, sentence, answer = await explained(client, uri)
    assert "auditedAt" not in answer["repo"]
    assert "Its PDS was last asked" not in sentence
    await connection.execute("update repos set audited_at = '2026-11-22T12:00:00Z'")
    _, sentence, answer = await explained(client, uri)
    assert answer["repo"]["auditedAt"] == "2026-11-22T12:00:00.000Z"
    assert "Its PDS was last asked whether it has the same at 2026-11-22T12:00:00.000Z." in sentence


async def test_a_record_that_is_tolerated(client: Client, index: IndexWriter) -> None:
    uri = await index.write(ALICE, "fm.plyr.track", rkey(1), title="x" * 300)
    state, sentence, answer = await explained(client, uri)
    assert state == "shown"
    assert "title is 300 bytes of UTF-8, more than 256 (shown in full)" in sentence
    (deviation,) = answer["record"]["deviations"]
    assert (deviation["path"], deviation["rule"], deviation["verdict"]) == ("title", "maxLength", "tolerated")


async def test_a_record_that_is_rejected_and_mended(client: Client, index: IndexWriter) -> None:
    uri = await index.write(ALICE, "fm.plyr.track", rkey(1), title=7)
    state, sentence, answer = await explained(client, uri)
    assert state == "rejected"
    assert "title is not a string" in sentence
    assert answer["record"]["verdict"] == "rejected"
    await index.write(ALICE, "fm.plyr.track", rkey(1))
    assert (await explained(client, uri))[0] == "shown"


async def test_a_record_that_is_deleted_or_was_never_there(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE)
    uri = await index.write(ALICE, "fm.plyr.track", rkey(1))
    await index.delete(uri)
    state, sentence, answer = await explained(client, uri)
    assert state == "deleted"
    assert answer["record"]["rev"] in sentence
    assert not {"cid", "verdict", "deviations"} & answer["record"].keys()
    state, sentence, answer = await explained(client, f"at://{ALICE}/fm.plyr.track/{rkey(2)}")
    assert (state, "record" in answer) == ("never-seen", False)
    assert f"here up to revision {answer['repo']['rev']}" in sentence


async def test_what_was_written_through_us_and_not_seen_yet(client: Client, index: IndexWriter, pool: Pool) -> None:
    await index.account(ALICE)
    uri = f"at://{ALICE}/fm.plyr.track/{rkey(1)}"
    value = {"$type": "fm.plyr.track", "title": "t", "artist": "a", "fileType": "mp3", "createdAt": CREATED_AT}
    for rev, block, state in ((rkey(-1), encode(value), "shown"), (rkey(-2), None, "deleted")):
        write = OwnWrite(uri, ALICE, "fm.plyr.track", rkey(1), rev, CID.of(block) if block else None, block)
        await show(pool, Makers.of(NAMESPACE), [write], NOW)
        told, sentence, answer = await explained(client, uri)
        assert told == state
        assert "written through us at 2026-06-01T00:00:00.000Z, and was not yet seen on the firehose." in sentence
        assert answer["record"]["provenBy"] == "write"
        assert answer["record"]["writtenAt"] == "2026-06-01T00:00:00.000Z"
    await index.delete(uri)
    await index.connection.execute("update records set proven_by = 'live'")
    _, sentence, answer = await explained(client, uri)
    assert "through us" not in sentence
    assert "writtenAt" not in answer["record"]


async def test_a_like_of_what_is_no_track(client: Client, index: IndexWriter) -> None:
    uri = await index.write(ALICE, "fm.plyr.like", rkey(1), subject=ref(f"at://{BOB}/app.bsky.feed.post/{rkey(1)}"))
    assert (await explained(client, uri))[0] == "unused"
    uri = await index.write(ALICE, "fm.plyr.like", rkey(1), subject=ref(f"at://{BOB}/fm.plyr.track/{rkey(1)}"))
    assert (await explained(client, uri))[0] == "shown"


async def test_what_is_not_indexed(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE)
    for uri in (f"at://{ALICE}/app.bsky.feed.post/{rkey(1)}", f"at://{ALICE}/fm.plyr.dev.track/{rkey(1)}"):
        assert (await explained(client, uri))[0] == "out-of-scope"
    state, sentence, answer = await explained(client, f"at://{BOB}/app.bsky.graph.follow/{rkey(1)}")
    assert state == "never-seen"
    assert "only of accounts that have some of ours" in sentence
    assert not {"account", "repo"} & answer.keys()


async def test_a_repository_that_is_out_of_step(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE)
    connection = index.connection
    await connection.execute("update repos set status = 'desynchronized', reason = 'a gap', proven_by = null")
    await connection.execute(
        "insert into held_frames (did, frame, reason, received_at) values ($1, '', 'x', now())", ALICE
    )
    await connection.execute(
        "insert into dead_letters (upstream, did, reason, detail, received_at) values ('u', $1, 'x', 'y', now())", ALICE
    )
    await rows.want(connection, "fetch", [ALICE], note="a gap")
    (job,) = await rows.take(connection, "fetch", 1)
    await rows.failed(connection, job, "the PDS did not answer", retry_in=60)
    state, sentence, answer = await explained(client, ALICE)
    assert state == "shown"
    assert "out of step since 2026-06-01T00:00:00.000Z: a gap." in sentence
    assert "the last of 1 attempts failed: the PDS did not answer" in sentence
    assert (answer["repo"]["heldFrames"], answer["repo"]["deadLetters"]) == (1, 1)
    (told,) = answer["repo"]["jobs"]
    assert (told["kind"], told["attempts"], told["note"]) == ("fetch", 1, "a gap")


async def test_an_account(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE)
    await index.account("did:plc:alicf")
    uris = await index.write_all((ALICE, "fm.plyr.track", rkey(age), {}) for age in range(3))
    await index.write(ALICE, "fm.plyr.track", rkey(9), title=7)
    await index.write(ALICE, "fm.plyr.list", rkey(9), items=[{}])
    await index.delete(uris[0])
    for did in (f"{ALICE}x", f"{ALICE}0", "did:plc:alic", "did:plc:alicf"):
        await index.write(did, "fm.plyr.track", rkey(1))
    for asked in (ALICE, f"at://{ALICE}"):
        state, _, answer = await explained(client, asked)
        assert (state, answer["uri"]) == ("shown", ALICE)
        assert answer["collections"] == [
            {"collection": "fm.plyr.list", "ok": 0, "tolerated": 1, "rejected": 0, "deleted": 0, "more": False},
            {"collection": "fm.plyr.track", "ok": 2, "tolerated": 0, "rejected": 1, "deleted": 1, "more": False},
        ]
    state, _, answer = await explained(client, "did:plc:nobody")
    assert (state, answer["collections"]) == ("never-seen", [])
    assert (await explained(client, f"at://nobody.test/fm.plyr.track/{rkey(1)}"))[0] == "never-seen"


async def test_of_an_account_with_more_than_is_counted(
    client: Client, index: IndexWriter, connection: Connection
) -> None:
    await index.account(ALICE)
    await index.write(ALICE, "fm.plyr.track", rkey(1))
    await connection.execute(
        """
        insert into records
            (uri, did, collection, rev, cid, value, verdict, sort_at, first_seen_at, indexed_at, proven_by)
        select 'at://' || $1::text || '/fm.plyr.like/' || n, $1, 'fm.plyr.like', '3lfvhszifvc2c',
            ''::bytea, ''::bytea, 'ok', now(), now(), now(), 'live'
        from generate_series(0, $2::integer) as n
        """,
        ALICE,
        MOST,
    )
    await connection.execute(
        "insert into held_frames (did, frame, reason, received_at)"
        " select $1, '', 'x', now() from generate_series(0, $2::integer)",
        ALICE,
        MOST,
    )
    await connection.execute("vacuum analyze")
    async with connection.transaction():
        before = await connection.fetchval(READ)
        answer = await explain(connection, ALICE, record_types(NAMESPACE))
        assert await connection.fetchval(READ) - before < 2 * MOST + 20
    likes, tracks = answer["collections"]
    assert likes == {
        "collection": "fm.plyr.like",
        "ok": MOST,
        "tolerated": 0,
        "rejected": 0,
        "deleted": 0,
        "more": True,
    }
    assert (tracks["ok"], tracks["more"]) == (1, False)
    assert answer["repo"]["heldFrames"] == MOST
    assert f"wait until it was fetched: {MOST} or more." in answer["explanation"]
    assert await client.ask("server.explain", uri=ALICE) == answer


async def test_of_a_hidden_account_no_content_is_told(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE, handle="alice.test")
    uri = await index.write(ALICE, "fm.plyr.track", rkey(1), title="x" * 300)
    bad = await index.write(ALICE, "fm.plyr.track", rkey(2), title=7)
    await index.set_taken_down(ALICE, True)
    for asked, expected in ((uri, "hidden"), (bad, "rejected"), (ALICE, "hidden")):
        state, sentence, answer = await explained(client, asked)
        assert state == expected
        assert not {"cid", "deviations"} & answer.get("record", {}).keys()
        assert "title" not in sentence
        assert "alice.test" not in str(answer)


@pytest.mark.parametrize(
    "uri", ["https://plyr.fm/track/1", f"at://{ALICE}/fm.plyr.track", "at://did:plc:a/b/c/d", "x:y"]
)
async def test_what_cannot_be_explained(client: Client, uri: str) -> None:
    assert await client.refused("server.explain", uri=uri) == (400, "InvalidRequest")
