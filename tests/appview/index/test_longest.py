"""The longest of everything that can get in goes into every index: one that is too long would stop the writer."""

import random
import string
from collections.abc import Mapping
from typing import Any, Final

from appview.db import Connection
from appview.index import actors, repos
from appview.index.apply import Change, apply
from appview.index.echoes import Echo, note
from appview.index.lock import index_lock
from appview.index.rebuild import Makers
from appview.index.records.fields import MAX_DID_BYTES, MAX_SUBJECT_BYTES
from appview.index.records.list import MAX_TYPE_BYTES
from appview.index.recount import differences
from appview.jobs.rows import want
from lexicons.catalog import shipped
from lexicons.data import CID, encode
from tests.appview.index.samples import MINIMAL, NOW, SUBJECT, TIME, record, rkey
from tests.appview.index.tables import DERIVED, contents

_CHANCE: Final = random.Random(7)


def noise(length: int) -> str:
    """Text that does not become shorter by being compressed, as an index would."""
    return "".join(_CHANCE.choices(string.ascii_letters + string.digits, k=length))


def label(length: int = 63) -> str:
    return "a" + noise(length - 1)


# The longest namespace, whose longest name is as long as an NSID can be.
_NAMES: Final = [nsid.removeprefix("fm.plyr.") for nsid in shipped("fm.plyr").documents if nsid.startswith("fm.plyr.")]
_ROOM: Final = 317 - len("." + max(_NAMES, key=len))
NAMESPACE: Final = ".".join([*(label() for _ in range(_ROOM // 64)), label(_ROOM % 64)])
MAKERS: Final = Makers.of(NAMESPACE)
AUTHOR: Final = f"did:web:{noise(MAX_DID_BYTES - 8)}"
OTHER: Final = f"did:web:{noise(MAX_DID_BYTES - 8)}"
TRACK_START: Final = f"at://{OTHER}/{NAMESPACE}.track/"
TRACK_URI: Final = TRACK_START + noise(MAX_SUBJECT_BYTES - len(TRACK_START))
_ABOUT: Final = {"subject": SUBJECT | {"uri": TRACK_URI}}
_LONGEST: Final[Mapping[str, Mapping[str, Any]]] = {
    "track": {
        "title": noise(2560),
        "artist": noise(2560),
        "album": noise(2560),
        "imageUrl": f"https://a.test/{noise(8000)}",
        "features": [{"did": OTHER}],
    },
    "like": _ABOUT,
    "comment": _ABOUT | {"text": noise(10_000)},
    "list": {
        "name": noise(2560),
        "listType": noise(MAX_TYPE_BYTES),
        "items": [{"subject": {"uri": TRACK_URI[:-9] + noise(9)}} for _ in range(5000)],
    },
    "actor.profile": {"bio": noise(25_600), "avatar": f"https://a.test/{noise(8000)}"},
    "feed.generator": {"did": OTHER, "displayName": noise(2400)},
    "app.bsky.actor.profile": {"displayName": noise(6400), "description": noise(25_600)},
    "app.bsky.graph.follow": {"subject": OTHER},
    "fm.teal.feed.play": {"originUri": TRACK_URI, "playedTime": TIME},
    "fm.teal.alpha.feed.play": {"originUrl": f"https://a.test/{TRACK_URI}", "playedTime": TIME},
}


def _short(nsid: str) -> str:
    return nsid.removeprefix(f"{NAMESPACE}.")


def change(nsid: str, key: str, fields: Mapping[str, Any] | None = None) -> Change:
    name = _short(nsid)
    sample = nsid if name == nsid else f"fm.plyr.{name}"
    block = encode(record(sample, _LONGEST[name] if fields is None else fields) | {"$type": nsid})
    judgement = MAKERS.judge.judge(nsid, key, block)
    return Change(f"at://{AUTHOR}/{nsid}/{key}", AUTHOR, nsid, key, rkey(1), CID.of(block), block, judgement, "live")


async def test_the_longest_of_everything(connection: Connection) -> None:
    assert len(TRACK_URI) == MAX_SUBJECT_BYTES
    keys = {nsid: rkey(1) for nsid in MAKERS.types}
    keys |= {nsid: "self" for nsid in keys if nsid.endswith(".actor.profile")}
    keys |= {nsid: noise(512) for nsid in keys if nsid.endswith(".generator")}
    shown = [change(nsid, key) for nsid, key in keys.items()]
    assert {one.judgement.verdict for one in shown if one.judgement} <= {"ok", "tolerated"}
    rejected = [change(nsid, noise(512)) for nsid in keys]
    async with connection.transaction():
        await index_lock(connection)
        await actors.see(connection, [AUTHOR, OTHER])
        await apply(connection, MAKERS.types, [*shown, *rejected], NOW)
        await _write_beside(connection)
        await actors.set_taken_down(connection, AUTHOR, True)
        await actors.set_taken_down(connection, AUTHOR, False)
    tables = {table: len(rows) for table, rows in (await contents(connection, *DERIVED)).items()}
    assert tables["list_items"] == 5000
    assert tables["subject_counts"] >= 5000
    for table in ("likes", "comments", "follows", "plays", "generators"):
        assert tables[table] >= 1
    assert await connection.fetchval("select max(length(subject)) from plays") == MAX_SUBJECT_BYTES
    assert await connection.fetchval("select max(length(list_type)) from lists") == MAX_TYPE_BYTES
    assert await differences(connection) == []
    assert len(MINIMAL) == len(keys)
    await _every_index_was_tried(connection)


async def test_what_is_longer_does_not_get_in(connection: Connection) -> None:
    """As long as the protocol's syntax lets it be."""
    long_did = f"did:web:{noise(2040)}"
    uri = f"at://{long_did}/{NAMESPACE}.track/{noise(512)}"
    about = {"subject": SUBJECT | {"uri": uri}}
    longer: Mapping[str, Mapping[str, Any]] = {
        "track": {"features": [{"did": long_did}]},
        "like": about,
        "comment": about,
        "list": {"listType": noise(2560), "items": [about]},
        "feed.generator": {"did": long_did},
        "app.bsky.graph.follow": {"subject": long_did},
        "fm.teal.feed.play": {"originUri": uri},
        "fm.teal.alpha.feed.play": {"originUrl": f"https://a.test/audio/{long_did}/{noise(512)}"},
    }
    changes = [change(nsid, rkey(1), longer[name]) for nsid in MAKERS.types if (name := _short(nsid)) in longer]
    async with connection.transaction():
        await index_lock(connection)
        await actors.see(connection, [AUTHOR])
        await apply(connection, MAKERS.types, changes, NOW)
    verdicts = {
        _short(nsid): verdict for nsid, verdict in await connection.fetch("select collection, verdict from records")
    }
    assert verdicts == {
        "track": "tolerated",
        "like": "rejected",
        "comment": "rejected",
        "list": "tolerated",
        "feed.generator": "rejected",
        "app.bsky.graph.follow": "rejected",
        "fm.teal.feed.play": "ok",
        "fm.teal.alpha.feed.play": "ok",
    }
    rows = await contents(connection, "likes", "comments", "list_items", "generators", "follows", "subject_counts")
    assert not any(rows.values())
    assert await connection.fetchval("select count(*) from lists where list_type is null") == 1
    assert await connection.fetchval("select count(*) from plays where subject is null") == 2


async def _write_beside(connection: Connection) -> None:
    """What is kept of an account beside its records. A DID that is refused may still be the reason of a dead letter."""
    longest_did = f"did:web:{noise(2040)}"
    await actors.set_identity(connection, AUTHOR, handle=f"{noise(248)}.test", pds="https://pds.test", now=NOW)
    chain = repos.Chain(AUTHOR, "in_progress", None, None, None, None, "wanted")
    await repos.save(connection, [chain], NOW)
    await want(connection, "identity", [AUTHOR, longest_did])
    await connection.execute("insert into did_documents (did, document, fetched_at) values ($1, '{}', $2)", AUTHOR, NOW)
    await connection.execute(
        "insert into pending (uri, did, rev, written_at, since) select uri, did, rev, $1, $1 from records", NOW
    )
    await note(connection, [Echo("seen", 0.0, f"https://{noise(9000)}.test")], NOW)
    for who in (AUTHOR, longest_did):
        await connection.execute(
            "insert into held_frames (did, frame, reason, received_at) values ($1, 'x', 'r', $2)", who, NOW
        )
        await connection.execute(
            "insert into dead_letters (upstream, did, reason, detail, received_at) values ('u', $1, 'r', 'd', $2)",
            who,
            NOW,
        )


async def _every_index_was_tried(connection: Connection) -> None:
    """What is in the others comes from the operator or from us; or it is of somebody who signed in, and too much of it
    stops nobody else.
    """
    tables = await connection.fetch(
        """
        select distinct indrelid::regclass::text as name
        from pg_index
        join pg_attribute on attrelid = indrelid and (attnum = any(indkey) or 0 = any(indkey))
        join pg_class on pg_class.oid = indrelid
        where relnamespace = 'public'::regnamespace and atttypid in ('text'::regtype, 'bytea'::regtype)
        """
    )
    ours = {"schema_migrations", "shards", "upstreams", "discoveries", "places", "totals", "repo_counts", "rankings"}
    ours |= {"echoes"}
    ours |= {"oauth_requests", "grants", "browsers", "browser_accounts", "developer_tokens", "preferences"}
    ours |= {"write_intents", "coming_likes", "erasures", "forgotten"}
    for (table,) in tables:
        if table not in ours:
            assert await connection.fetchval(f"select exists (select from {table})"), table
