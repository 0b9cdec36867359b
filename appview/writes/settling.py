"""What a crash or a lost reply left: settled by looking at the PDS, which needs no grant. Nothing is written there."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from appview.db import Pool
from appview.index import pending
from appview.index.pending import OwnWrite
from appview.index.rebuild import Makers
from appview.jobs.rows import want
from appview.net.errors import CouldNotCheck, IdentityError
from appview.net.http import HttpClient
from appview.net.identity import IdentityResolver
from appview.writes import journal
from appview.writes.journal import Intent
from appview.writes.look import CannotLook, Seen, look
from lexicons.formats import parse_at_uri

AT_ONCE: Final = 50
"""Writes of one account that are settled in a row."""
SECONDS: Final = 20.0
"""For all of them: a PDS that takes its time keeps no worker from the others."""
GIVE_UP: Final = timedelta(days=7)
"""After which a PDS that does not say what it has is not asked any more: a whole fetch tells what it had."""
IDENTITY_AGE: Final = 600.0
"""Seconds: the account may have moved."""

_log = logging.getLogger(__name__)


class NotYet(Exception):
    """Something is left that cannot be settled now; the message is the reason. `retry_after` in seconds, if named."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


async def settle(
    pool: Pool,
    http: HttpClient,
    identities: IdentityResolver,
    makers: Makers,
    did: str,
    *,
    seconds: float = SECONDS,
) -> None:
    """Settle the writes of `did` that nobody is at, as many as AT_ONCE, asking its PDS for `seconds` at the most.

    Raises NotYet, and what is in `AWAY`.
    """
    reasons: list[NotYet] = []
    pds: str | None = None
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    for intent in await journal.take_open(pool, did, "intended", AT_ONCE):
        if reasons:
            # The others wait for the same PDS.
            await _put_off(pool, intent, reasons[0])
            continue
        try:
            async with asyncio.timeout_at(until):
                pds = pds or await _pds(identities, did)
                seen = await _look(http, pds, intent)
        except (NotYet, TimeoutError) as error:
            reasons.append(error if isinstance(error, NotYet) else NotYet("The PDS takes too long."))
            await _put_off(pool, intent, reasons[0])
        else:
            await _settle(pool, intent, seen)
    await journal.bound(pool, did)
    async with pool.acquire() as connection:
        await journal.settle_shown(connection, did)
    for intent in await journal.take_open(pool, did, "written", AT_ONCE):
        await _index(pool, makers, intent)
    if reasons:
        raise reasons[0]


async def _index(pool: Pool, makers: Makers, intent: Intent) -> None:
    """Have the index brought to where the PDS is: by showing what it took, or by fetching the repository."""
    if intent.blocks and intent.rev is not None:
        await pending.show(pool, makers, _own_writes(intent, intent.rev), datetime.now(UTC))
    else:
        await pending.track(pool, intent.did)
        async with pool.acquire() as connection:
            await want(connection, "fetch", [intent.did], note=pending.UNSEEN)
    await journal.settled(pool, intent.id)


async def _look(http: HttpClient, pds: str, intent: Intent) -> Seen:
    """What is there now. Raises NotYet."""
    try:
        return await look(http, pds, intent.did, intent.uris)
    except CannotLook as error:
        raise NotYet(str(error)) from None


async def _settle(pool: Pool, intent: Intent, seen: Seen) -> None:
    """Write down what follows from what is there.

    That it was not done is certain only where nothing was written since, or the very version is there that it was to
    replace; else it may have been done, and then changed again.
    """
    if seen.cids == list(intent.cids):
        _log.info("a write of %s whose answer was lost was done", intent.did)
        await journal.written(pool, intent.id, seen.rev, seen.commit, to_show=False)
    elif seen.cids == [intent.swap] if intent.swap is not None else seen.is_still(intent.base):
        _log.info("a write of %s whose answer was lost is not at its PDS", intent.did)
        await journal.ended(pool, intent.id, "abandoned", "It is not at the PDS.")
    else:
        _log.info("a write of %s whose answer was lost was overtaken", intent.did)
        await journal.ended(pool, intent.id, "unknown", "The repository was changed since.")


async def _pds(identities: IdentityResolver, did: str) -> str:
    """Where the account is now. Raises NotYet."""
    try:
        document = await identities.document(did, max_age=IDENTITY_AGE)
    except CouldNotCheck as error:
        raise NotYet(str(error), retry_after=error.retry_after) from None
    except IdentityError as error:
        raise NotYet(str(error)) from None
    if document.pds is None:
        raise NotYet("The account has no PDS.")
    return document.pds


async def _put_off(pool: Pool, intent: Intent, reason: NotYet) -> None:
    if intent.created_at < datetime.now(UTC) - GIVE_UP:
        await journal.ended(pool, intent.id, "unknown", str(reason))
    else:
        await journal.released(pool, intent.id, str(reason))


def _own_writes(intent: Intent, rev: str) -> list[OwnWrite]:
    # The journal does not say whether that commit is their own, or only one that has them.
    return [
        OwnWrite(uri, intent.did, parts.collection or "", parts.rkey or "", rev, cid, block, is_found=True)
        for uri, cid, block in zip(intent.uris, intent.cids, intent.blocks, strict=True)
        for parts in (parse_at_uri(uri),)
    ]
