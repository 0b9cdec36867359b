"""`com.atproto.repo.*`: the caller's own repository at their PDS, as far as its collections are ours.

What the protocol calls these methods, and what they take and answer, is kept to the letter, so that any client of it
can write here. Records are held to their lexicons in any case (WR-02), whatever `validate` says.
"""

from collections.abc import Sequence
from typing import Any, Final

from appview.reads import names
from appview.unset import UNSET, Unset
from appview.writes import Create, Delete, Repo, Update, Written
from appview.writes.errors import InvalidSwap, RecordAlreadyExists
from xrpc.bodies import Body
from xrpc.context import Context
from xrpc.errors import XrpcError
from xrpc.methods.own import primary

_VALID: Final = {"validationStatus": "valid"}
_LEXICON: Final = "com.atproto.repo.applyWrites"


async def create_record(
    ctx: Context,
    *,
    repo: str,
    collection: str,
    record: dict[str, Any],
    rkey: str | None = None,
    validate: bool | None = None,  # noqa: ARG001 - see above
    swap_commit: str | None = None,
) -> dict[str, Any]:
    """Answer `com.atproto.repo.createRecord`."""
    own = await _own(ctx, repo)
    return _told(await own.create(collection, record, rkey=rkey, swap_commit=swap_commit, key=ctx.idempotency_key))


async def put_record(
    ctx: Context,
    *,
    repo: str,
    collection: str,
    rkey: str,
    record: dict[str, Any],
    validate: bool | None = None,  # noqa: ARG001 - see above
    swap_record: str | Unset | None = UNSET,
    swap_commit: str | None = None,
) -> dict[str, Any]:
    """Answer `com.atproto.repo.putRecord`."""
    own = await _own(ctx, repo)
    try:
        written = await own.put(
            collection, rkey, record, swap=swap_record, swap_commit=swap_commit, key=ctx.idempotency_key
        )
    except RecordAlreadyExists as error:
        # The protocol has one name for whatever is there and should not be (WR-05).
        raise InvalidSwap(error.message) from None
    return _told(written)


async def delete_record(
    ctx: Context,
    *,
    repo: str,
    collection: str,
    rkey: str,
    swap_record: str | None = None,
    swap_commit: str | None = None,
) -> dict[str, Any]:
    """Answer `com.atproto.repo.deleteRecord`."""
    own = await _own(ctx, repo)
    swap = UNSET if swap_record is None else swap_record
    return _commit(await own.delete(collection, rkey, swap=swap, swap_commit=swap_commit, key=ctx.idempotency_key))


async def apply_writes(
    ctx: Context,
    *,
    repo: str,
    writes: list[dict[str, Any]],
    validate: bool | None = None,  # noqa: ARG001 - see above
    swap_commit: str | None = None,
) -> dict[str, Any]:
    """Answer `com.atproto.repo.applyWrites`."""
    own = await _own(ctx, repo)
    planned = [_planned(write) for write in writes]
    written = await own.apply(planned, swap_commit=swap_commit, key=ctx.idempotency_key)
    return {**_commit(written[0]), "results": _results(planned, written)}


async def upload_blob(ctx: Context, *, body: Body) -> dict[str, Any]:
    """Answer `com.atproto.repo.uploadBlob`."""
    own = await ctx.repo()
    return {"blob": await own.upload(body.chunks(), body.mime, body.size)}


async def _own(ctx: Context, repo: str) -> Repo:
    """The caller's repository, which is the one that was named. Raises NotYours."""
    own = await ctx.repo()
    if repo != own.did:
        async with primary(ctx) as connection:
            if await names.dids(connection, [repo]) != [own.did]:
                raise XrpcError(400, "NotYours", "That is not the repository of who calls.")
    return own


def _planned(write: dict[str, Any]) -> Create | Update | Delete:
    match write["$type"].rpartition("#")[2]:
        case "create":
            return Create(write["collection"], write["value"], write.get("rkey"))
        case "update":
            return Update(write["collection"], write["rkey"], write["value"])
        case _:
            return Delete(write["collection"], write["rkey"])


def _results(planned: Sequence[Create | Update | Delete], written: Sequence[Written]) -> list[dict[str, Any]]:
    results = []
    for plan, done in zip(planned, written, strict=True):
        kind = {"$type": f"{_LEXICON}#{type(plan).__name__.lower()}Result"}
        results.append(kind if isinstance(plan, Delete) else {**kind, "uri": done.uri, "cid": done.cid, **_VALID})
    return results


def _told(written: Written) -> dict[str, Any]:
    return {"uri": written.uri, "cid": written.cid, **_commit(written), **_VALID}


def _commit(written: Written) -> dict[str, Any]:
    """`commit`, where the PDS made one and told both of its names."""
    if written.rev is None or written.commit is None:
        return {}
    return {"commit": {"cid": written.commit, "rev": written.rev}}
