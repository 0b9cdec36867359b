"""All that is held about an account, for its owner: everything of theirs, nothing secret, in little memory."""

import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import orjson

from appview.accounts import export
from appview.accounts.export import PAGE_BYTES, file_name, stream_export
from appview.db import Connection, Pool
from lexicons.data import CID, encode
from tests.appview.accounts.rows import ALICE, add_grant
from tests.appview.index.samples import NOW, rkey
from tests.index_writer import IndexWriter

SERVICE = "did:web:plyr.test"
SECRET = "what nobody must read"

NOT_THEIRS = {
    # Made of the records, and made anew whenever one likes.
    "bsky_profiles comments follows generators likes lists plays profiles search_documents tracks",
    # How far the counting of a large account has come; `actor_counts` is what comes of it.
    "shifts",
}
"""Tables with an account in them that are not told of, and why."""


async def lines(stream: AsyncIterator[bytes]) -> list[dict[str, Any]]:
    return [orjson.loads(line) for chunk in [chunk async for chunk in stream] for line in chunk.splitlines()]


async def exported(pool: Pool, did: str = ALICE) -> list[dict[str, Any]]:
    return await lines(stream_export(pool, did, SERVICE))


async def sign_in(pool: Pool) -> None:
    """A browser and a developer token, with all that is secret of them."""
    session, token = await add_grant(pool), await add_grant(pool, kind="token")
    secret = SECRET.encode()
    await pool.execute("update grants set sealed = $1, state = 'live'", secret)
    await pool.execute("insert into browsers (cookie) values ($1)", secret)
    await pool.execute(
        "insert into browser_accounts select id, $1, $2, now() from browsers",
        ALICE,
        session,
    )
    await pool.execute(
        """
        insert into developer_tokens (digest, did, grant_id, name, expires_at)
        values ($1, $2, $3, 'scrobbler', now() + interval '1 day')
        """,
        secret,
        ALICE,
        token,
    )


async def test_everything_of_an_account_is_told(pool: Pool, connection: Connection) -> None:
    writer = IndexWriter(connection)
    other = "did:plc:44ybard66vv44zksje25o7dz"
    await writer.account(ALICE, handle="alice.test", pds="https://pds.test")
    await writer.account(other)
    track = await writer.write(ALICE, "fm.plyr.track", rkey(1), title="Song", extra={"deep": [1, None]})
    gone = await writer.write(ALICE, "fm.plyr.track", rkey(2))
    await writer.delete(gone)
    odd = await writer.write(ALICE, "fm.plyr.track", rkey(3), title=7)
    await writer.write(other, "fm.plyr.like", rkey(4), subject={"uri": track, "cid": "bafy"})
    await sign_in(pool)
    await pool.execute("insert into preferences (did, value) values ($1, $2)", ALICE, [{"$type": "x", "on": True}])
    await pool.execute(
        """
        insert into write_intents (did, method, uris, cids, blocks, held_until)
        values ($1, 'put', array[$2], array[null::bytea], '{}', now())
        """,
        ALICE,
        track,
    )
    await connection.execute(
        "insert into held_frames (did, frame, reason, received_at) values ($1, $2, 'r', $3)", ALICE, b"\x00\xff", NOW
    )
    told = await exported(pool)
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for line in told:
        by_kind.setdefault(line["kind"], []).append(line)
    assert told[0]["kind"] == "export"
    assert (told[0]["did"], told[0]["service"], told[0]["version"]) == (ALICE, SERVICE, 1)
    assert told[-1] == {"kind": "end", "lines": len(told)}
    assert by_kind["account"][0]["handle"] == "alice.test"
    assert by_kind["repository"][0]["status"] == "synchronized"
    assert by_kind["counts"][0]["tracks"] == 1
    assert by_kind["preferences"][0]["value"] == [{"$type": "x", "on": True}]
    assert [grant["for"] for grant in by_kind["grant"]] == ["session", "token"]
    assert by_kind["grant"][0]["scope"] == "atproto"
    assert by_kind["session"][0]["grant"] == by_kind["grant"][0]["id"]
    assert by_kind["developerToken"][0]["name"] == "scrobbler"
    assert by_kind["write"][0]["uris"] == [track]
    assert by_kind["messageHeld"][0]["frame"] == {"$bytes": "AP8"}
    records = {record["uri"]: record for record in by_kind["record"]}
    assert set(records) == {track, gone, odd}, "and what others made of it is theirs"
    assert records[track]["value"]["extra"] == {"deep": [1, None]}
    assert records[track]["cid"].startswith("bafyrei")
    assert (records[gone]["cid"], "value" in records[gone]) == (None, False)
    assert (records[odd]["verdict"], records[odd]["value"]["title"]) == ("rejected", 7)
    assert SECRET not in str(told)
    assert "sealed" not in str(told)
    assert [line["kind"] for line in await exported(pool, "did:plc:nobody")] == ["export", "end"]


async def test_every_table_with_an_account_in_it_is_told_of_or_is_not_theirs(connection: Connection) -> None:
    rows = await connection.fetch(
        """
        select table_name
        from information_schema.columns join information_schema.tables using (table_schema, table_name)
        where table_schema = 'public' and table_type = 'BASE TABLE' and column_name = 'did'
        """
    )
    there = {row["table_name"] for row in rows}
    told = " ".join(part.sql for part in (*export._FEW, *export._MANY)).replace("\n", " ")
    left_out = {name for line in NOT_THEIRS for name in line.split()}
    assert left_out <= there
    assert {name for name in there if f"from {name} " not in told} == left_out


async def test_many_records_go_out_page_by_page_in_little_memory(pool: Pool, connection: Connection) -> None:
    writer = IndexWriter(connection)
    await writer.account(ALICE)
    await writer.write(ALICE, "fm.plyr.comment", rkey(1), text="x")
    block = encode({"$type": "fm.plyr.comment", "text": "y" * 300})
    await connection.execute(
        """
        insert into records
            (uri, did, collection, rev, cid, value, verdict, sort_at, first_seen_at, indexed_at, proven_by)
        select format('at://%s/fm.plyr.comment/%s', did, lpad(n::text, 13, 'z')), did, collection, rev, $1, $2,
            verdict, sort_at, first_seen_at, indexed_at, proven_by
        from records, generate_series(1, 20000) as n
        """,
        CID.of(block),
        block,
    )
    sizes, count, last = [], 0, b""
    tracemalloc.start()
    async for chunk in stream_export(pool, ALICE, SERVICE):
        sizes.append(len(chunk))
        count += chunk.count(b"\n")
        last = chunk
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert orjson.loads(last) == {"kind": "end", "lines": count}
    assert count > 20_000
    assert sum(sizes) > 10_000_000
    assert peak < 4 * PAGE_BYTES


async def test_large_records_go_out_one_by_one(pool: Pool, connection: Connection) -> None:
    writer = IndexWriter(connection)
    await writer.account(ALICE)
    for number in range(5):
        await writer.write(ALICE, "fm.plyr.comment", rkey(number), text="x" * (number % 2 * PAGE_BYTES + 1))
    chunks = [chunk async for chunk in stream_export(pool, ALICE, SERVICE)]
    assert [chunk.count(b'{"kind":"record"') for chunk in chunks if b'{"kind":"record"' in chunk] == [2, 2, 1]


async def test_no_connection_is_held_while_a_reader_is_slow(pool: Pool, connection: Connection) -> None:
    await IndexWriter(connection).write(ALICE, "fm.plyr.track", rkey(1))
    stream = stream_export(pool, ALICE, SERVICE)
    await anext(stream)
    await anext(stream)
    assert pool.get_size() - pool.get_idle_size() == 0
    await stream.aclose()  # type: ignore[attr-defined]


def test_the_name_of_the_file() -> None:
    assert file_name(ALICE, NOW) == "did-plc-ewvi7nxzyoun6zhxrhs64oiz-2026-11-22.jsonl"
