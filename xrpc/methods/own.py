"""What procedures have in common: the caller's own record, what it is about, and the answer once it is written.

They read where is written, not from a copy of the database that may be behind: what it lacks would be made twice.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg

from appview.db import AWAY, Connection
from appview.index.records.fields import is_key
from appview.reads import names
from appview.reads.views import View
from appview.reads.visibility import visible
from appview.writes import Repo, Written
from appview.writes.edits.fields import is_same_deed, timeless
from appview.writes.errors import RecordAlreadyExists
from lexicons.cid import CID
from lexicons.formats import parse_at_uri
from xrpc.availability import is_away
from xrpc.context import Context
from xrpc.errors import InvalidRequest, XrpcError
from xrpc.methods.asking import WAIT_SECONDS

Json: TypeAlias = dict[str, Any]
Load: TypeAlias = Callable[[Connection, list[str], str | None], Awaitable[list[View]]]

log = logging.getLogger(__name__)


@asynccontextmanager
async def primary(ctx: Context) -> AsyncIterator[Connection]:
    """A connection to the database that is written to."""
    async with ctx.required_accounts().pool.acquire(timeout=WAIT_SECONDS) as connection:
        yield connection


async def own_key(ctx: Context, uri: str, collection: str) -> str:
    """The key of the record at `uri`, which must be one of the caller's in our `collection`.

    Raises InvalidRequest, and NotYours.
    """
    known = await _by_did(ctx, [uri])
    parts = parse_at_uri(known[0] if known else uri)
    if parts.authority != ctx.required_viewer():
        raise XrpcError(400, "NotYours", "The record is in somebody else's repository.")
    if parts.collection != f"{ctx.config.namespace}.{collection}" or parts.rkey is None:
        raise InvalidRequest(f"That is not the address of a {ctx.config.namespace}.{collection}.")
    return parts.rkey


async def subject_uris(ctx: Context, uris: Sequence[str], collection: str | None = None) -> list[str]:
    """The addresses of these records by DID, of our `collection` where one is named.

    Raises InvalidRequest, and SubjectNotFound where nobody here has the handle.
    """
    known = await _by_did(ctx, uris)
    if len(known) < len(uris):
        raise _not_found("Nobody here has the handle in the subject's address: give the DID.")
    for uri in known:
        parts = parse_at_uri(uri)
        if parts.rkey is None or not is_key(uri):
            raise InvalidRequest(f"{uri[:400]} is not the address of a record that could be indexed.")
        if collection is not None and parts.collection != f"{ctx.config.namespace}.{collection}":
            raise InvalidRequest(f"{uri[:400]} is not the address of a {ctx.config.namespace}.{collection}.")
    return known


async def references(ctx: Context, subjects: Sequence[Json], collection: str | None = None) -> list[Json]:
    """Strong references to `subjects`, each a `uri` and perhaps a `cid`; without one, in the version that is here.

    Raises InvalidRequest, and SubjectNotFound.
    """
    uris = await subject_uris(ctx, [subject["uri"] for subject in subjects], collection)
    bare = [uri for uri, subject in zip(uris, subjects, strict=True) if "cid" not in subject]
    versions = await _versions(ctx, bare) if bare else {}
    for uri in bare:
        if uri not in versions:
            raise _not_found(f"{uri} is not here, so that its cid must be given.")
    return [
        {"uri": uri, "cid": subject.get("cid") or versions[uri]} for uri, subject in zip(uris, subjects, strict=True)
    ]


async def create_once(ctx: Context, repo: Repo, collection: str, record: Json, rkey: str | None) -> Written:
    """Write a new record; where a call with the same `rkey` made it before, that one is the answer (WR-08).

    Raises WriteError.
    """
    try:
        return await repo.create(collection, record, rkey=rkey, key=ctx.idempotency_key, request=timeless(record))
    except RecordAlreadyExists:
        found = await repo.get(collection, rkey) if rkey is not None else None
        if found is None or not is_same_deed(found[0], record):
            raise
        return Written(f"at://{ctx.required_viewer()}/{collection}/{rkey}", found[1], None)


def told(written: Written) -> Json:
    """`uri`, `cid` and `rev` of what was written, those that there are."""
    found = {"uri": written.uri, "cid": written.cid, "rev": written.rev}
    return {name: value for name, value in found.items() if value is not None}


async def seen(ctx: Context, name: str, load: Load, uri: str) -> Json:
    """What was written as the caller sees it now, under `name`; nothing where it is not shown, or cannot be read."""
    try:
        async with primary(ctx) as connection:
            views = await load(connection, [uri], ctx.viewer)
    except (asyncpg.PostgresError, *AWAY) as error:
        if not is_away(error):
            raise
        # It was written: that it cannot be shown at this moment is no failure of that.
        log.warning("what was written cannot be read: %r", error)
        return {}
    return {name: views[0]} if views else {}


def changes_of(given: Mapping[str, Any], clear: Sequence[str] | None) -> tuple[Json, list[str]]:
    """What is to be set, those of `given` that are not None, and what is to be cleared. Raises InvalidRequest."""
    fields = {name: value for name, value in given.items() if value is not None}
    for name in clear or ():
        if name in fields:
            raise InvalidRequest(f"{name} is to be set and cleared at once.")
    return fields, list(clear or ())


async def _by_did(ctx: Context, uris: Sequence[str]) -> list[str]:
    """These AT-URIs by DID, without those whose handle nobody here has."""
    if all(uri.startswith("at://did:") for uri in uris):
        return list(uris)
    async with primary(ctx) as connection:
        return await names.with_dids(connection, uris)


async def _versions(ctx: Context, uris: list[str]) -> dict[str, str]:
    """The versions of these records that are here, as far as they are shown."""
    async with primary(ctx) as connection:
        rows = await connection.fetch(
            f"""
            select uri, cid from records
            where uri = any($1) and cid is not null and verdict <> 'rejected' and {visible("records.did")}
            """,  # noqa: S608 - a condition of our own
            uris,
        )
    return {row["uri"]: str(CID(row["cid"])) for row in rows}


def _not_found(message: str) -> XrpcError:
    return XrpcError(400, "SubjectNotFound", message)
