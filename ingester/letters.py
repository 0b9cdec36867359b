"""Dead letters: messages that were refused, kept with their reason until they are judged again, or dropped.

To be judged again, a message is put among those that wait for their repository (`held_frames`), and its letter is gone;
refused again, it is a new letter. What cannot even be read again stays where it is, with the reason it has now.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple

import asyncpg

from appview.db import Connection
from appview.index.records.fields import MAX_DID_BYTES
from appview.jobs import rows as jobs
from ingester.events import AccountEvent, CommitEvent, EventError, IdentityEvent, SyncEvent, parse_event
from ingester.upstream import said
from lexicons.frames import FrameError, decode_frame

UNWRITABLE: Final = "unwritable"
"""The reason of a letter that holds no message but a record, which the database did not take."""
_PAGE: Final = 100
"""Letters retried in one transaction; each may have 64 KiB."""

_COLUMNS: Final = "id, upstream, seq, did, reason, detail, octet_length(frame) as size, received_at"
_WHICH: Final = """
    where ($1::bigint[] is null or id = any($1)) and ($2::text is null or did = $2)
        and ($3::text is null or reason = $3) and ($4::text is null or upstream = $4)
"""

Course = Literal["judged", "fetched", "looked_up", "asked", "ignored", "refused", "too_large"]
"""What retrying a letter comes to: its message waits to be judged; its repository, to be fetched; its identity, to be
looked up; its host, to be asked about the account. Or it says nothing of a repository, is refused again at once, or was
too large to be kept.
"""


class Which(NamedTuple):
    """Which letters: those of which all that is given here is true."""

    ids: Sequence[int] | None = None
    did: str | None = None
    reason: str | None = None
    upstream: str | None = None


class Letter(NamedTuple):
    """A letter without its message; `size` is that of the message in bytes, None where it was too large to keep."""

    id: int
    upstream: str
    seq: int | None
    did: str | None
    reason: str
    detail: str
    size: int | None
    received_at: datetime


class Retried(NamedTuple):
    """What retrying a letter has begun. Of one that is refused again, `reason` and `detail` are those it has now."""

    id: int
    course: Course
    did: str | None = None
    rev: str | None = None
    """Of the message."""
    digest: bytes | None = None
    """SHA-256 of the message, by which it is found again."""
    before: str | None = None
    """The rev at which its repository was then."""
    reason: str = ""
    detail: str = ""


class Verdict(NamedTuple):
    """What became of a letter, as a sentence; `settled` where no more is to be done about it."""

    id: int
    settled: bool
    sentence: str


async def newest(connection: Connection, which: Which, limit: int) -> list[Letter]:
    """The newest `limit` letters."""
    rows = await connection.fetch(
        f"select {_COLUMNS} from dead_letters {_WHICH} order by id desc limit $5",  # noqa: S608 - our own words
        *which,
        limit,
    )
    return [Letter(*row) for row in rows]


async def count(connection: Connection, which: Which) -> int:
    """How many letters there are."""
    number: int = await connection.fetchval(f"select count(*) from dead_letters {_WHICH}", *which)  # noqa: S608 - our own words
    return number


async def message(connection: Connection, letter: int) -> bytes | None:
    """The message of a letter, or the record; None where it was too large to keep."""
    frame: bytes | None = await connection.fetchval("select frame from dead_letters where id = $1", letter)
    return frame


async def drop(connection: Connection, which: Which) -> int:
    """Delete letters for good; returns how many."""
    done = await connection.execute(f"delete from dead_letters {_WHICH}", *which)  # noqa: S608 - our own words
    return int(done.rpartition(" ")[2])


async def last_letter(connection: Connection) -> int:
    """The number of the newest letter; 0 where there is none."""
    last: int = await connection.fetchval("select coalesce(max(id), 0) from dead_letters")
    return last


async def retry(connection: Connection, which: Which, last: int) -> list[Retried]:
    """Have these letters up to `last` judged again, the oldest first; what was begun for each."""
    retried: list[Retried] = []
    after = 0
    while True:
        async with connection.transaction():
            rows = await connection.fetch(
                f"""
                select id, did, reason, frame from dead_letters {_WHICH} and id > $5 and id <= $6
                order by id limit $7 for update
                """,  # noqa: S608 - our own words
                *which,
                after,
                last,
                _PAGE,
            )
            if not rows:
                return retried
            some = [_begun(*row) for row in rows]
            revs = await _revs(connection, [begun.did for begun in some if begun.did is not None])
            some = [_placed(begun, revs) for begun in some]
            await _begin(connection, some, [row["frame"] for row in rows])
        retried += some
        after = rows[-1]["id"]


def _begun(letter: int, did: str | None, reason: str, frame: bytes | None) -> Retried:
    """What retrying a letter comes to, by what is in it."""
    if frame is None:
        return Retried(letter, "too_large", did)
    digest = hashlib.sha256(frame).digest()
    if reason == UNWRITABLE:
        return Retried(letter, "fetched", did, digest=digest)
    try:
        event = parse_event(decode_frame(frame))
    except FrameError as error:
        return Retried(letter, "refused", did, reason="unreadable", detail=said(str(error)))
    except EventError as error:
        return Retried(letter, "refused", did, reason=error.reason, detail=said(str(error)))
    if not isinstance(event, CommitEvent | SyncEvent | IdentityEvent | AccountEvent):
        return Retried(letter, "ignored", did)
    if len(event.did) > MAX_DID_BYTES:
        detail = f"a DID of {len(event.did)} characters is not indexed"
        return Retried(letter, "refused", did, reason="did_too_long", detail=detail)
    if isinstance(event, CommitEvent | SyncEvent):
        return Retried(letter, "judged", event.did, event.rev, digest)
    return Retried(letter, "looked_up" if isinstance(event, IdentityEvent) else "asked", event.did)


def _placed(begun: Retried, revs: Mapping[str, str | None]) -> Retried:
    """The same, beside the repositories that are followed, and where they stand."""
    if begun.course in {"looked_up", "asked"} and begun.did not in revs:
        return begun._replace(course="ignored")
    return begun._replace(before=revs.get(begun.did or ""))


async def _revs(connection: Connection, dids: Sequence[str]) -> dict[str, str | None]:
    """Where those of `dids` stand whose repositories are followed."""
    rows = await connection.fetch("select did, rev from repos where did = any($1)", dids)
    return {row["did"]: row["rev"] for row in rows}


_KINDS: Final = (("judged", "drain"), ("fetched", "fetch"), ("looked_up", "identity"), ("asked", "status"))


async def _begin(connection: Connection, some: Sequence[Retried], frames: Sequence[bytes | None]) -> None:
    """Put the messages where they are judged, and ask for what is to be done."""
    held = [(begun.did, frame) for begun, frame in zip(some, frames, strict=True) if begun.course == "judged"]
    await connection.execute(
        """
        insert into held_frames (did, frame, reason, received_at)
        select did, frame, 'retried', now()
        from unnest($1::text[], $2::bytea[]) with ordinality as held (did, frame, place) order by place
        """,
        [did for did, _ in held],
        [frame for _, frame in held],
    )
    for course, kind in _KINDS:
        dids = [begun.did for begun in some if begun.course == course and begun.did is not None]
        await jobs.want(connection, kind, dids, note="dead_letter")
    refused = [begun for begun in some if begun.course == "refused"]
    await connection.execute(
        """
        update dead_letters set reason = said.reason, detail = said.detail
        from unnest($1::bigint[], $2::text[], $3::text[]) as said (id, reason, detail)
        where dead_letters.id = said.id
        """,
        [begun.id for begun in refused],
        [begun.reason for begun in refused],
        [begun.detail for begun in refused],
    )
    kept = {"refused", "too_large"}
    await connection.execute(
        "delete from dead_letters where id = any($1)", [begun.id for begun in some if begun.course not in kept]
    )


async def verdicts(connection: Connection, retried: Sequence[Retried], last: int) -> list[Verdict]:
    """What became of each, once all that can be done was done; `last` is the newest letter of before that."""
    dids = list({begun.did for begun in retried if begun.did is not None})
    again = {
        (row["did"], row["digest"]): f"{row['reason']}: {row['detail']}, as letter {row['id']}"
        for row in await connection.fetch(
            "select id, did, sha256(frame) as digest, reason, detail from dead_letters"
            " where did = any($1) and id > $2 and frame is not null order by id",
            dids,
            last,
        )
    }
    waiting = {
        (row["did"], row["digest"]): row["error"] or "its turn has not come"
        for row in await connection.fetch(
            "select did, sha256(frame) as digest, error from held_frames"
            " left join jobs on kind = 'drain' and subject = did where did = any($1)",
            dids,
        )
    }
    repos = {
        row["did"]: row
        for row in await connection.fetch(
            """
            select did, repos.status, repos.rev, coalesce(active, true) as active, error
            from repos left join actors using (did) left join jobs on kind = 'fetch' and subject = did
            where did = any($1)
            """,
            dids,
        )
    }
    found: list[Verdict] = []
    for begun in retried:
        key = (begun.did or "", begun.digest or b"")
        if key in again:
            found.append(Verdict(begun.id, settled=False, sentence=f"refused again: {again[key]}"))
        elif key in waiting:
            found.append(Verdict(begun.id, settled=False, sentence=f"waits to be judged: {waiting[key]}"))
        else:
            found.append(Verdict(begun.id, *_verdict(begun, repos.get(begun.did or ""))))
    return found


def _verdict(begun: Retried, repo: asyncpg.Record | None) -> tuple[bool, str]:
    """Whether a letter is settled that was neither refused again nor waits, and what became of it."""
    match begun.course:
        case "too_large":
            return False, f"its message was too large to keep; `resync {begun.did or 'DID'}` fetches its repository"
        case "refused":
            return False, f"refused again: {begun.reason}: {begun.detail}"
        case "ignored":
            return True, "dropped: it says nothing about a repository that is followed"
        case "looked_up" | "asked":
            return True, f"dropped: {begun.did} is looked up instead, as the message asks for"
        case _ if repo is None:
            return True, f"dropped: nothing in it makes {begun.did} one whose repository is followed"
        case _ if not repo["active"]:
            return True, f"dropped: {begun.did} is not active; its repository is fetched should it come back"
        case "judged" if begun.before is not None and begun.rev is not None and begun.rev <= begun.before:
            return True, f"passed over: {begun.did} was at {begun.before} already, and had all of {begun.rev}"
        case _ if repo["status"] != "synchronized":
            return False, f"its repository is fetched: {repo['error'] or 'its turn has not come'}"
        case _:
            return True, f"taken in: {begun.did} is at {repo['rev']}"
