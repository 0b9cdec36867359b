"""Accounts that want to be forgotten here: first their records go from their PDSes, then their grants, then the rest.

A PDS is asked what there is, and what it lists is deleted, a page in one commit, until it lists nothing more: so who
was stopped anywhere just asks again. One that wants a pause has it.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson
from yarl import URL

from appview.accounts import erasure
from appview.accounts.erasure import JOB, Erasure
from appview.accounts.oauth.errors import GrantEnded, OAuthError
from appview.db import Connection
from appview.jobs.family import Again, Family, Tools, TryLater
from appview.jobs.rows import Job
from appview.net.errors import NetError
from appview.writes.errors import InvalidWrite, RateLimited, ScopeMissing, SignInAgain, WriteError
from appview.writes.repo import Delete, Repo
from lexicons.formats import is_record_key, parse_at_uri

PAGE: Final = 100
"""Records that are listed and deleted at a time: what `listRecords` gives at most, and half of a commit (WR-04)."""
MAX_PAGE_BYTES: Final = 16 * 1024 * 1024
SLICE_SECONDS: Final = 30.0
"""After which a job begins no further page, and leaves its place to others for a moment."""
LONGEST: Final = timedelta(days=30)
"""For which records are deleted at all: a PDS that lists ever more of them makes them up."""
PATIENCE: Final = timedelta(days=7)
"""For which a PDS may fail, before its records are left where they are and all else is forgotten."""
ECHO_PATIENCE: Final = timedelta(minutes=10)
"""For which the index may take to hear that they are gone."""
TELL_PATIENCE: Final = timedelta(hours=1)
"""For which servers may take to be told that a grant is over, before it is forgotten all the same."""
ECHO_SECONDS: Final = 2.0
TELL_SECONDS: Final = 5.0


class _Unable(Exception):
    """The records cannot be deleted, whatever is tried; the message is the reason, for their owner."""


async def erase(tools: Tools, job: Job) -> None:
    """Go on with what the account asked for, as far as it goes now. Raises TryLater, Again."""
    while True:
        asked = await erasure.erasure_of(tools.pool, job.subject)
        if asked is None or asked.state not in _STEPS:
            return
        await _STEPS[asked.state](tools, asked)


async def want_erasures(connection: Connection) -> None:
    """Want those that are under way."""
    await erasure.want_open(connection)


async def _delete(tools: Tools, asked: Erasure) -> None:
    """Delete what the PDS lists, for a while. Raises TryLater, and Again while there may be more."""
    try:
        pds, repo = await _opened(tools, asked)
        began = time.monotonic()
        before: list[Delete] = []
        while time.monotonic() < began + SLICE_SECONDS:
            listed = await _listed(tools, pds, asked.did)
            if not listed:
                return await erasure.end_deleting(tools.pool, asked, None)
            if listed == before:
                raise TryLater("The PDS still lists what it has deleted.")
            before, written = listed, await repo.apply(listed)
            await erasure.note_deleted(tools.pool, asked, len(listed), written[0].rev)
    except RateLimited as error:
        await erasure.note_reason(tools.pool, asked, error.message)
        raise TryLater(error.message, retry_after=error.retry_after) from error
    except (_Unable, ScopeMissing, InvalidWrite) as error:
        return await erasure.end_deleting(tools.pool, asked, str(error))
    except SignInAgain as error:
        await _change_grant(tools, asked, str(error))
    except (WriteError, OAuthError, NetError, TryLater) as error:
        if asked.reason is not None and datetime.now(UTC) - asked.changed_at > PATIENCE:
            return await erasure.end_deleting(tools.pool, asked, str(error))
        await erasure.note_reason(tools.pool, asked, str(error))
        raise TryLater(str(error)) from error
    raise Again(0.0)


async def _opened(tools: Tools, asked: Erasure) -> tuple[str, Repo]:
    """The account's PDS, and its repository there, by a grant that holds.

    Raises _Unable, TryLater, SignInAgain, OAuthError.
    """
    if tools.grants is None or tools.writes is None or asked.grant is None:
        raise TryLater("This worker has no key by which it could write.")
    if datetime.now(UTC) - asked.requested_at > LONGEST:
        raise _Unable("The PDS did not come to an end of its records.")
    try:
        granted = await tools.grants.fresh(asked.grant)
    except GrantEnded as error:
        raise SignInAgain(str(error)) from error
    return granted.pds, tools.writes.of(asked.did, asked.grant)


async def _change_grant(tools: Tools, asked: Erasure, reason: str) -> None:
    """Go on by another grant, where the account has one: it signed in again."""
    newest = await tools.grants.latest(asked.did) if tools.grants is not None else None
    if newest is None or newest == asked.grant:
        await erasure.end_deleting(tools.pool, asked, reason)
    else:
        await erasure.use_grant(tools.pool, asked, newest)


async def _listed(tools: Tools, pds: str, did: str) -> list[Delete]:
    """Some records of ours that the PDS has; none where it has no more. Raises NetError, _Unable, TryLater."""
    for nsid, kind in tools.makers.types.items():
        if kind.signal and (found := await _page(tools, pds, did, nsid)):
            return found
    return []


async def _page(tools: Tools, pds: str, did: str, collection: str) -> list[Delete]:
    query = {"repo": did, "collection": collection, "limit": str(PAGE)}
    url = URL(pds).with_path("/xrpc/com.atproto.repo.listRecords").with_query(query)
    answer = await tools.http.get(url, max_bytes=MAX_PAGE_BYTES)
    try:
        uris = [parse_at_uri(one["uri"]) for one in orjson.loads(answer.body)["records"]]
    except (KeyError, TypeError, ValueError):
        raise TryLater("The PDS lists records otherwise than it should.") from None
    rkeys = {uri.rkey for uri in uris if uri.rkey is not None and is_record_key(uri.rkey)}
    return [Delete(collection, rkey) for rkey in sorted(rkeys)]


async def _hear(tools: Tools, asked: Erasure) -> None:
    """Wait until the index has heard: after a purge it would take the deletions for somebody new. Raises Again."""
    is_late = datetime.now(UTC) - asked.changed_at > ECHO_PATIENCE
    if not is_late and not await erasure.is_heard(tools.pool, asked):
        raise Again(ECHO_SECONDS)
    await erasure.end_echo(tools.pool, asked)


async def _forget(tools: Tools, asked: Erasure) -> None:
    """Once the servers were told that the grants are over, by jobs, forget them with the rest. Raises Again."""
    is_late = datetime.now(UTC) - asked.changed_at > TELL_PATIENCE
    if not is_late and await erasure.servers_to_tell(tools.pool, asked.did):
        raise Again(TELL_SECONDS)
    await erasure.end_forgetting(tools.pool, asked)


_STEPS: Final[Mapping[str, Callable[[Tools, Erasure], Awaitable[None]]]] = {
    "deleting": _delete,
    "echo": _hear,
    "forgetting": _forget,
}

ERASURE: Final = Family(JOB, "erase_account", erase, want_erasures, 120.0)
