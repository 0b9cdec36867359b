"""A purge reaches everything: after it, the whole database is searched for the account, column by column.

Each column is in one of the lists below. What is added must be put into one of them, and written by `spread` unless it
never holds an account.
"""

from typing import Any

import pytest

from appview.db import Connection
from appview.index import actors
from appview.index.lock import index_lock
from appview.jobs.rows import want
from tests.appview.index.filled import change, fill, write
from tests.appview.index.samples import NOW, RECORD_CID, did, record, rkey

WHO, OTHER = did(0), did(1)
TRACK = f"at://{WHO}/fm.plyr.track/{rkey(200)}"

NAMED = {
    "actors.did records.uri records.did records.value",
    "tracks.uri tracks.did lists.uri lists.did list_items.list list_items.subject",
    "likes.uri likes.did likes.subject comments.uri comments.did comments.subject",
    "profiles.uri profiles.did bsky_profiles.uri bsky_profiles.did",
    "follows.uri follows.did follows.subject plays.uri plays.did plays.subject",
    "generators.uri generators.did generators.service subject_counts.subject actor_counts.did",
    "repos.did held_frames.did dead_letters.did jobs.subject did_documents.did shifts.did shifts.place",
    "repos.reason held_frames.frame held_frames.reason",
    "dead_letters.frame dead_letters.reason dead_letters.detail did_documents.document",
    "search_documents.key search_documents.did ranked.uri",
    "preferences.did coming_likes.did coming_likes.subject erasures.did",
    "grants.did browser_accounts.did developer_tokens.did",
    "write_intents.did write_intents.uris pending.did pending.uri",
}
"""Where an account is named."""

SAID = {
    "actors.handle actors.pds records.deviations jobs.error",
    "tracks.title tracks.artist tracks.album tracks.image_url lists.name lists.list_type lists.inherited",
    "profiles.bio profiles.avatar bsky_profiles.display_name bsky_profiles.description bsky_profiles.avatar_cid",
    "generators.display_name preferences.value erasures.reason",
    "grants.reason grants.issuer grants.scope developer_tokens.name",
    "write_intents.key write_intents.error pending.before_value pending.before_deviations pending.before_inherited",
}
"""What it says there, or is said of it."""

MENTIONED = {
    "actors.did",  # that there was such an account, and that it is no more
    "generators.service records.value likes.subject comments.subject list_items.subject follows.subject plays.subject",
    "subject_counts.subject actor_counts.did",
}
"""What remains where others have liked, listed, played or followed it: theirs, and as it stands in their repositories.
Where they have not, the account's own row alone.
"""

NEVER = {
    "actors.status",  # a word of its host's
    "records.collection records.rev records.cid records.verdict records.proven_by",
    "list_items.subject_cid totals.name repo_counts.status tracks.cid rankings.name",
    "repos.status repos.rev repos.data repos.commit_cid repos.needs_rev repos.proven_by",
    "dead_letters.upstream jobs.kind jobs.note",
    "shards.shard shards.status shards.metrics upstreams.shard upstreams.url",
    "discoveries.source discoveries.collection",
    "discoveries.cursor",  # an opaque word of a host's, which may be where its list went on; the next pass replaces it
    "coming_likes.rkey coming_likes.subject_cid erasures.state erasures.rev",
    "forgotten.account",  # when something private was forgotten, by a digest of the DID
    # Sealed, or digests of random bits.
    "oauth_requests.state oauth_requests.browser oauth_requests.sealed browsers.cookie developer_tokens.digest",
    "grants.kind grants.state grants.key_id grants.sealed",
    # Digests of records and of requests, words of ours, and the records' own bytes, in rows that say whose they are.
    "write_intents.method write_intents.cids write_intents.blocks write_intents.swap write_intents.commit_cid",
    "write_intents.request write_intents.state write_intents.rev write_intents.base",
    "pending.rev pending.before_rev pending.before_cid pending.before_verdict pending.before_proven_by",
    "echoes.outcome echo_hosts.pds",  # how well writes come back, by host and not by account
    "places.task places.place",  # how far a command has come; it goes when that is done
    "schema_migrations.name schema_migrations.checksum",
    # Folded into words, in which no address is whole; that they go is tested where they come.
    "search_documents.names search_documents.words search_names.name search_postings.word search_words.word",
}
"""What holds no account, or no more of it than how far somebody has come."""

_SEARCHED = {
    "text": "position($1 in {column}) > 0",
    "bytea": "position(convert_to($1, 'UTF8') in {column}) > 0",
    "jsonb": "position($1 in {column}::text) > 0",
    "ARRAY": "position($1 in {column}::text) > 0",
}
_TELLING_NOTHING = {"bigint", "integer", "smallint", "boolean", "timestamp with time zone", "double precision"}


def listed(*lists: set[str]) -> set[str]:
    return {name for some in lists for line in some for name in line.split()}


async def columns(connection: Connection) -> dict[str, str]:
    """Every column that can hold a text, by table, and its type."""
    rows = await connection.fetch(
        """
        select table_name || '.' || column_name as name, data_type
        from information_schema.columns join information_schema.tables using (table_schema, table_name)
        where table_schema = 'public' and table_type = 'BASE TABLE'
        """
    )
    return {row["name"]: row["data_type"] for row in rows if row["data_type"] not in _TELLING_NOTHING}


async def found(connection: Connection, text: str) -> set[str]:
    """The columns in which a text is found."""
    holding = set()
    for name, kind in (await columns(connection)).items():
        table, _, column = name.partition(".")
        condition = _SEARCHED[kind].format(column=column)
        if await connection.fetchval(f"select exists (select from {table} where {condition})", text):
            holding.add(name)
    return holding


async def publish(connection: Connection, who: str) -> None:
    """Have an account like, say, list, follow and play what is WHO's."""
    subject = {"uri": TRACK, "cid": RECORD_CID}
    about: dict[str, dict[str, Any]] = {
        "fm.plyr.like": {"subject": subject},
        "fm.plyr.comment": {"subject": subject},
        "fm.plyr.list": {"items": [{"subject": subject}]},
        "app.bsky.graph.follow": {"subject": WHO},
        "fm.teal.alpha.feed.play": {"originUrl": TRACK},
        "fm.plyr.feed.generator": {"did": WHO},
    }
    await write(
        connection, *[change(f"at://{who}/{nsid}/{rkey(200)}", record(nsid, said)) for nsid, said in about.items()]
    )


async def spread(connection: Connection) -> None:
    """Write the account into every place that is its own."""
    await fill(connection)
    await write(connection, change(TRACK, record("fm.plyr.track")))
    await publish(connection, WHO)
    await actors.set_identity(connection, WHO, handle=f"{WHO[8:]}.example", pds="https://pds.example", now=NOW)
    await want(connection, "status", [WHO], note="deleted")
    await connection.execute(
        "insert into held_frames (did, frame, reason, received_at) values ($1, $2, $1, $3)", WHO, WHO.encode(), NOW
    )
    await connection.execute(
        "insert into dead_letters (upstream, did, reason, detail, frame, received_at) values ('u', $1, $1, $1, $2, $3)",
        WHO,
        WHO.encode(),
        NOW,
    )
    await connection.execute(
        "insert into repos (did, status, reason, status_at) values ($1, 'desynchronized', $1, $2)", WHO, NOW
    )
    await connection.execute(
        "insert into did_documents (did, document, fetched_at) values ($1, $2, $3)", WHO, {"id": WHO}, NOW
    )
    await connection.execute("insert into rankings (name, at, checked_at, seconds) values ('top-all', $1, $1, 0)", NOW)
    await connection.execute("insert into preferences (did, value) values ($1, '[]')", WHO)
    await connection.execute("insert into coming_likes values ($1, $2, $3, '', $4, $4)", WHO, TRACK, rkey(200), NOW)
    await connection.execute("insert into erasures (did, state, records) values ($1, 'echo', true)", WHO)
    await sign_in(connection)
    await connection.execute(
        """
        insert into write_intents (did, method, uris, cids, blocks, key, request, held_until)
        values ($1, 'put', array[$2], array[null::bytea], '{}', $1, '', $3)
        """,
        WHO,
        TRACK,
        NOW,
    )
    await connection.execute(
        "insert into pending (uri, did, rev, written_at, since) values ($2, $1, '', $3, $3)", WHO, TRACK, NOW
    )
    await connection.execute("insert into ranked select id, 1, $1, 1 from rankings", TRACK)
    # It was hidden, and is shown again, and all of it but what is not there is counted.
    await connection.execute("insert into shifts values ($1, true, 'row at://' || $1 || '0')", WHO)
    for name, kind in (await columns(connection)).items():
        # What a record says in so many words; what it names is written by itself above.
        table, _, column = name.partition(".")
        if name in listed(SAID):
            value = {"text": "$1", "bytea": "convert_to($1, 'UTF8')", "jsonb": "to_jsonb($1)", "ARRAY": "array[$1]"}[
                kind
            ]
            own = "subject" if table == "jobs" else "did"
            await connection.execute(f"update {table} set {column} = {value} where {own} = $1", WHO)


async def sign_in(connection: Connection) -> None:
    """Give the account a browser and a developer token."""
    held, spoken_for = [
        grant
        for (grant,) in await connection.fetch(
            """
            insert into grants (did, kind, state, issuer, scope, reason, over_at)
            select $1, kind, 'ended', '', '', '', $2 from unnest(array['session', 'token']) as kind returning id
            """,
            WHO,
            NOW,
        )
    ]
    browser = await connection.fetchval("insert into browsers (cookie) values ('') returning id")
    await connection.execute("insert into browser_accounts values ($1, $2, $3, $4)", browser, WHO, held, NOW)
    await connection.execute(
        "insert into developer_tokens (digest, did, grant_id, name, expires_at) values ('', $1, $2, '', $3)",
        WHO,
        spoken_for,
        NOW,
    )


async def purge(connection: Connection) -> None:
    await actors.set_status(connection, WHO, active=False, status="deleted", now=NOW)
    is_over = False
    while not is_over:
        async with connection.transaction():
            await index_lock(connection)
            is_over = await actors.purge(connection, WHO, limit=50)


async def test_every_column_is_accounted_for(connection: Connection) -> None:
    everything = set(await columns(connection))
    known = listed(NAMED, SAID, NEVER)
    assert everything - known == set(), "can an account be found there? see the lists above"
    assert known - everything == set()
    assert listed(NAMED, SAID) & listed(NEVER) == set()


async def test_nothing_of_an_account_is_left(connection: Connection) -> None:
    await spread(connection)
    assert await found(connection, WHO) == listed(NAMED, SAID)
    await purge(connection)
    assert await found(connection, WHO) == {"actors.did"}


async def test_what_others_made_of_it_is_theirs(connection: Connection) -> None:
    await spread(connection)
    await publish(connection, OTHER)
    await purge(connection)
    assert await found(connection, WHO) == listed(MENTIONED)


async def test_the_search_finds_what_a_new_table_would_keep(connection: Connection) -> None:
    """That is: this test fails where a table is added, whatever the type of its columns."""
    await connection.execute("create table added (uri text, said jsonb, bytes bytea, names text[])")
    await connection.execute(
        "insert into added values ($1, to_jsonb($1::text), convert_to($1, 'UTF8'), array[$1])", f"at://{WHO}/x/y"
    )
    assert await found(connection, WHO) == {"added.uri", "added.said", "added.bytes", "added.names"}
    with pytest.raises(AssertionError, match="can an account be found there"):
        await test_every_column_is_accounted_for(connection)
