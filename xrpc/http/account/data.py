"""`/account/export` and `/account/delete`: everything that is held about an account, and that it be forgotten."""

from datetime import UTC, datetime

from starlette.responses import Response, StreamingResponse

from appview.accounts import sessions
from appview.accounts.erasure import lacking, request_erasure
from appview.accounts.export import MEDIA_TYPE, file_name, stream_export
from appview.index.records import record_types
from xrpc.http.account import render
from xrpc.http.account.layout import PRIVATE, answer, see_other
from xrpc.http.account.people import people_of
from xrpc.http.account.problems import Problem
from xrpc.http.account.visit import Visit
from xrpc.limits import Kind


async def export(visit: Visit) -> Response:
    """`POST /account/export`: a file of lines of JSON, made as it is read."""
    did = visit.named_live().did
    await visit.count(Kind.EXPORT, did=did)
    lines = stream_export(visit.accounts.pool, did, visit.ctx.config.service_did)
    attached = f'attachment; filename="{file_name(did, datetime.now(UTC))}"'
    return StreamingResponse(lines, headers={**PRIVATE, "Content-Disposition": attached}, media_type=MEDIA_TYPE)


async def ask(visit: Visit) -> Response:
    """`GET /account/delete`: whether to, and how much."""
    if visit.session is None or visit.session.current is None:
        return see_other("/account")
    (person,) = await people_of(visit.ctx, visit.identities, [visit.session.current.did])
    return answer(visit.ctx.config, render.delete(visit.ctx.config, visit.form_token, person))


async def delete(visit: Visit) -> Response:
    """`POST /account/delete`: have the account forgotten, once its handle or DID was typed; with `records`, its own
    records of this app deleted first, for which this browser stays signed in until they are.
    """
    current = visit.named_live()
    (person,) = await people_of(visit.ctx, visit.identities, [current.did])
    typed = visit.form.get("confirmation", "").strip().removeprefix("@").lower()
    if typed not in (current.did.lower(), render.confirmation(person).lower()):
        advice = f"To have it deleted, type {render.confirmation(person)} exactly."
        raise Problem(400, "Nothing was deleted", advice, where="/account/delete", name="Back to the question")
    await visit.count(Kind.EXPORT, did=current.did)
    records = visit.form.get("records") == "1"
    if records:
        await _require_permission(visit, current.grant)
    await request_erasure(visit.accounts.pool, current.did, current.grant, records=records)
    if not records:
        await sessions.sign_out(visit.accounts.pool, visit.cookie or "", current.did)
    return visit.signed_out(current.did, "deleted") if not records else see_other("/account?note=deleting")


async def _require_permission(visit: Visit, grant: int) -> None:
    """Raises Problem where the grant does not reach as far as records of ours: better now than half-way."""
    ours = [nsid for nsid, kind in record_types(visit.ctx.config.namespace).items() if kind.signal]
    needed = await lacking(visit.accounts.pool, grant, ours)
    if needed is not None:
        advice = f"You have not allowed this app {needed}. Allow it first, or leave your records where they are."
        raise Problem(403, "Nothing was deleted", advice, where="/account#permission", name="What this app may do")
