"""All that is held about an account, as lines of JSON, for its owner.

The first line says what it is, the last that it is whole; between them each line says its `kind`. Nothing is held while
whoever reads it is slow, neither a connection nor more than a page: it is the state of things page by page, not of one
instant. What would let somebody act for the account (tokens, keys, cookies) is not part of it: those are kept sealed,
or as digests.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson

from appview.db import Pool
from lexicons.cid import CID
from lexicons.data import DataError, decode, to_json

VERSION: Final = 1
MEDIA_TYPE: Final = "application/jsonl"

PAGE_ROWS: Final = 500
PAGE_BYTES: Final = 1024 * 1024
"""Of records: more than that only where one alone is larger."""

_ABOUT: Final = (
    "What this server holds about the account: its public records as they were indexed, and what is private to it here."
    " Records of others that name the account, such as likes of its tracks, are theirs and not part of it."
)


class _Part(NamedTuple):
    """A table, as its rows go out; `$1` is the DID."""

    kind: str
    sql: str
    tell: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: row


def _record(row: dict[str, Any]) -> dict[str, Any]:
    block = row.pop("value")
    if block is not None:
        row |= {"cid": str(CID(row["cid"])), **_value(block)}
    return row


def _value(block: bytes) -> dict[str, Any]:
    try:
        return {"value": to_json(decode(block))}
    except DataError:
        # Kept aside as it came, since nobody could read it.
        return {"bytes": block}


# In the order in which they go out. Of the ordinary kind there are a few for an account, or a few hundred.
_FEW: Final = (
    _Part(
        "account",
        """
        select handle, pds, active, status, taken_down as "takenDown", identity_at as "identityAt",
            status_at as "statusAt", first_seen_at as "firstSeenAt" from actors where did = $1
        """,
    ),
    _Part("didDocument", 'select document, fetched_at as "fetchedAt" from did_documents where did = $1'),
    _Part(
        "repository",
        """
        select status, rev, reason, status_at as "statusAt", proven_by as "provenBy", proven_at as "provenAt",
            fetched_at as "fetchedAt", audited_at as "auditedAt" from repos where did = $1
        """,
    ),
    _Part("counts", "select tracks, lists, likes, followers from actor_counts where did = $1"),
    _Part("preferences", 'select value, updated_at as "updatedAt" from preferences where did = $1'),
    _Part(
        "grant",
        """
        select id, kind as for, state, reason, issuer, scope, created_at as "since", refreshed_at as "refreshedAt",
            over_at as "overAt" from grants where did = $1 order by id
        """,
    ),
    _Part(
        "session",
        """
        select grant_id as "grant", chosen_at as "chosenAt", signed_in_at as "signedInAt", seen_at as "seenAt"
        from browser_accounts join browsers on browsers.id = browser where did = $1 order by chosen_at
        """,
    ),
    _Part(
        "developerToken",
        """
        select id, name, grant_id as "grant", created_at as "createdAt", expires_at as "expiresAt",
            used_at as "usedAt" from developer_tokens where did = $1 order by id
        """,
    ),
    _Part(
        "likeUnderWay",
        'select subject, rkey, subject_cid as "subjectCid" from coming_likes where did = $1 order by subject',
    ),
    _Part(
        "writeUnproven",
        'select uri, rev, written_at as "writtenAt" from pending where did = $1 order by uri',
    ),
    _Part(
        "erasure",
        """
        select state, records, deleted, reason, requested_at as "requestedAt" from erasures where did = $1
        """,
    ),
    _Part(
        "job",
        """
        select kind as for, due_at as "dueAt", attempts, note, error, created_at as "createdAt"
        from jobs where subject = $1 order by kind
        """,
    ),
)
# Of these there may be any number: `$2` is the last key before the page.
_MANY: Final = (
    _Part(
        "write",
        f"""
        select id as key, method, uris, key as "idempotencyKey", state, rev, error, created_at as "createdAt"
        from write_intents where did = $1 and id > coalesce($2::bigint, 0) order by id limit {PAGE_ROWS}
        """,  # noqa: S608 - our own number
    ),
    _Part(
        "messageHeld",
        """
        select id as key, reason, frame, received_at as "receivedAt"
        from held_frames where did = $1 and id > coalesce($2::bigint, 0) order by id limit 10
        """,
    ),
    _Part(
        "messageRefused",
        """
        select id as key, reason, detail, frame, received_at as "receivedAt"
        from dead_letters where did = $1 and id > coalesce($2::bigint, 0) order by id limit 10
        """,
    ),
    # What is measured are the sizes alone, until it is known which go out.
    _Part(
        "record",
        f"""
        select uri as key, uri, cid, rev, verdict, deviations, value, proven_by as "provenBy", sort_at as "sortAt",
            first_seen_at as "firstSeenAt", indexed_at as "indexedAt"
        from records where uri = any(array(
            select uri from (
                select uri, sum(size) over (order by uri rows between unbounded preceding and 1 preceding) as before
                from (
                    select uri, octet_length(value) as size from records
                    where uri > coalesce($2::text, 'at://' || $1 || '/') and uri < 'at://' || $1 || '0'
                    order by uri limit {PAGE_ROWS}
                ) as few
            ) as measured where coalesce(before, 0) < {PAGE_BYTES}
        )) order by uri
        """,  # noqa: S608 - our own numbers
        _record,
    ),
)


async def stream_export(pool: Pool, did: str, service: str) -> AsyncIterator[bytes]:
    """Lines of JSON about `did`, some together; `service` is our DID. Whoever has no last line has not all of it.

    Raises what the database raises.
    """
    count = 1
    yield _line(
        "export", {"did": did, "version": VERSION, "about": _ABOUT, "service": service, "at": datetime.now(UTC)}
    )
    for part in _FEW:
        rows = await _fetch(pool, part, did)
        count += len(rows)
        if rows:
            yield b"".join(_line(part.kind, part.tell(row)) for row in rows)
    for part in _MANY:
        last: object = None
        while rows := await _fetch(pool, part, did, last):
            last = [row.pop("key") for row in rows][-1]
            count += len(rows)
            yield b"".join(_line(part.kind, part.tell(row)) for row in rows)
    yield _line("end", {"lines": count + 1})


def file_name(did: str, at: datetime) -> str:
    """What a browser is to call it."""
    return f"{did.replace(':', '-')}-{at:%Y-%m-%d}.jsonl"


async def _fetch(pool: Pool, part: _Part, *arguments: object) -> list[dict[str, Any]]:
    return [dict(row) for row in await pool.fetch(part.sql, *arguments)]


def _line(kind: str, told: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"kind": kind, **told}, default=_plain, option=orjson.OPT_APPEND_NEWLINE)


def _plain(value: object) -> object:
    """Bytes as the data model's JSON has them."""
    if isinstance(value, bytes):
        return to_json(value)
    raise TypeError(type(value).__name__)
