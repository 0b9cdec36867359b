"""`com.atproto.*`: what any service of the protocol is asked, answered from the index."""

from typing import Any

from appview.index.records import record_types
from appview.reads import names, records
from xrpc import cursors
from xrpc.context import Context
from xrpc.errors import InvalidRequest, XrpcError
from xrpc.methods.asking import cursor_after, reading, snapshot


async def get_record(ctx: Context, *, repo: str, collection: str, rkey: str, cid: str | None = None) -> dict[str, Any]:
    """Answer `com.atproto.repo.getRecord`: of a hidden account nothing is told, not even that it has the record."""
    async with reading(ctx) as connection:
        for did in await names.dids(connection, [repo]):
            record = await records.record(connection, f"at://{did}/{collection}/{rkey}")
            if record is not None and cid in {None, record["cid"]}:
                return record
    raise XrpcError(400, "RecordNotFound", "There is no such record here.")


async def list_records(
    ctx: Context,
    *,
    repo: str,
    collection: str,
    limit: int = 50,
    cursor: str | None = None,
    reverse: bool | None = None,
) -> dict[str, Any]:
    """Answer `com.atproto.repo.listRecords`; what its contract has no error for is an InvalidRequest."""
    kind = "records-by-key" if reverse else "records"
    after = cursors.decode(kind, cursor, str)
    if collection not in record_types(ctx.config.namespace):
        raise InvalidRequest(f"Records of {collection} are not indexed here.")
    async with snapshot(ctx) as connection:
        account = await names.account(connection, repo)
        if account is None or not account.shown:
            raise InvalidRequest("There is no repository of that account here.")
        page = await records.in_collection(
            connection, account.did, collection, after=after, reverse=bool(reverse), limit=limit
        )
        found = await records.records(connection, page.uris)
    return {"records": found, **cursor_after(kind, page.last)}


async def resolve_handle(ctx: Context, *, handle: str) -> dict[str, Any]:
    """Answer `com.atproto.identity.resolveHandle`, of hidden accounts too: whose a handle is is no secret (AC-01)."""
    async with reading(ctx) as connection:
        for did in await names.dids(connection, [handle]):
            return {"did": did}
    raise XrpcError(400, "HandleNotFound", "No account here has that handle.")
