"""One like for a track: which record that is, while nobody has it yet, and which records are to go when it ends.

A PDS takes any number of likes of one track, each under a key of its own. So before it is asked, the key is written
down here, and whoever likes the same track meanwhile, in whichever process, writes the very same record under it. Once
the index has it, the index tells.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from appview.db import Pool
from appview.reads.times import instant
from appview.writes.errors import Unsettled
from appview.writes.tids import Tids
from lexicons.cid import CID
from lexicons.formats import tid_time_us

HOLD: Final = 60.0
"""Seconds for which a like is its caller's to write: longer than a request may take."""
STALE: Final = 3_600.0
"""Seconds after which one that never came is not tried again under its old key, and so as of its old time."""
PATIENCE: Final = 20.0
"""Seconds for which whoever takes a like back waits for those who are writing it: most of what a call may take."""
AT_ONCE: Final = 100
"""Likes of one track by one account, of which there should be one."""

_POLL_SECONDS: Final = 0.05

_tids = Tids()


class Liked(NamedTuple):
    """A like that the index has. `is_doubtful`: it was asked to go since, which the index may not know yet."""

    uri: str
    cid: str
    is_doubtful: bool


class Coming(NamedTuple):
    """A like that is to be written: its key, and the version of the track that it names."""

    rkey: str
    subject_cid: str

    def record(self, nsid: str, subject: str) -> dict[str, Any]:
        """The record: the same whoever makes it, and whenever; it says of itself the time in its key."""
        made_at = datetime.fromtimestamp(tid_time_us(self.rkey) / 1_000_000, UTC)
        return {
            "$type": nsid,
            "subject": {"uri": subject, "cid": self.subject_cid},
            "createdAt": instant(made_at),
        }


async def there(pool: Pool, did: str, subject: str) -> list[Liked]:
    """By which records does the account like this track, as far as the index knows? The earliest first."""
    rows = await pool.fetch(
        f"""
        select uri, cid, exists (
            select from write_intents, unnest(uris, cids) as gone (uri, cid)
            where write_intents.did = $1 and gone.uri = records.uri and gone.cid is null
                and state in ('intended', 'written', 'settled', 'unknown')
                and (write_intents.rev is null or write_intents.rev > records.rev)
        )
        from likes join records using (uri)
        where likes.did || ' ' || likes.subject = $1 || ' ' || $2 order by likes.sort_at limit {AT_ONCE:d}
        """,  # noqa: S608 - a number
        did,
        subject,
    )
    return [Liked(uri, str(CID(cid)), is_doubtful) for uri, cid, is_doubtful in rows]


async def all_of(pool: Pool, did: str, subject: str) -> list[str]:
    """By which records does the account like this track, as far as the index knows? No more than AT_ONCE of them."""
    rows = await pool.fetch(
        f"select uri from likes where did || ' ' || subject = $1 || ' ' || $2 order by sort_at limit {AT_ONCE:d}",  # noqa: S608 - a number
        did,
        subject,
    )
    return [row["uri"] for row in rows]


@asynccontextmanager
async def coming(pool: Pool, nsid: str, did: str, subject: str, cid: str) -> AsyncIterator[Coming]:
    """The like that is to be written, to be put into the repository within the block.

    It is this one for all who ask, until it is in the index, or called off.
    """
    like = await _take(pool, nsid, did, subject, cid)
    try:
        yield like
    finally:
        await _let_go(pool, nsid, did, subject, like.rkey)


async def call_off(pool: Pool, nsid: str, did: str, subject: str, *, patience: float = PATIENCE) -> str | None:
    """The key of a like that may have been written, and that the index need not know; whoever likes next has another.

    Those who are writing it are waited for, up to `patience` seconds, so that what is deleted after this is not written
    after that. Raises Unsettled where they take longer: it cannot be taken back before it is there.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + patience
    while True:
        row = await pool.fetchrow(
            """
            with there as (
                select rkey, held_until > now() or exists (
                    select from write_intents
                    where write_intents.did = $1 and state = 'intended' and write_intents.held_until > now()
                        and 'at://' || $1 || '/' || $3 || '/' || rkey = any(uris)
                ) as is_held
                from coming_likes where did = $1 and subject = $2 for update
            ),
            gone as (
                delete from coming_likes using there
                where did = $1 and subject = $2 and not there.is_held
                returning coming_likes.rkey
            )
            select rkey, exists (select from gone) as is_gone from there
            """,
            did,
            subject,
            nsid,
        )
        if row is None:
            return None
        if row["is_gone"]:
            rkey: str = row["rkey"]
            return rkey
        if loop.time() >= until:
            raise Unsettled("The like that is to be taken back is still being written: try again in a while.")
        await asyncio.sleep(_POLL_SECONDS)


async def _take(pool: Pool, nsid: str, did: str, subject: str, cid: str) -> Coming:
    """The first who asks decides on the key."""
    await _clear(pool, nsid, did, subject)
    (row,) = await pool.fetch(
        """
        insert into coming_likes (did, subject, rkey, subject_cid, held_until)
        values ($1, $2, $3, $4, now() + make_interval(secs => $5))
        on conflict (did, subject) do update set held_until = excluded.held_until
        returning rkey, subject_cid
        """,
        did,
        subject,
        _tids.mint(),
        cid,
        HOLD,
    )
    return Coming(row["rkey"], row["subject_cid"])


async def _let_go(pool: Pool, nsid: str, did: str, subject: str, rkey: str) -> None:
    await pool.execute(
        "update coming_likes set held_until = now() where did = $1 and subject = $2 and rkey = $3", did, subject, rkey
    )
    await _clear(pool, nsid, did, subject)


async def _clear(pool: Pool, nsid: str, did: str, subject: str) -> None:
    """Let go of a like that nobody is at, and that came, be it gone again since, or did not come for long.

    One of which nobody knows whether it came keeps its key: under another it might be made twice.
    """
    await pool.execute(
        """
        delete from coming_likes
        where did = $1 and subject = $2 and held_until <= now() and (
            exists (select from records where uri = 'at://' || $1 || '/' || $3 || '/' || rkey)
            or (asked_at < now() - make_interval(secs => $4) and not exists (
                select from write_intents
                where write_intents.did = $1 and state = 'intended'
                    and 'at://' || $1 || '/' || $3 || '/' || rkey = any(uris)
            ))
        )
        """,
        did,
        subject,
        nsid,
        STALE,
    )
