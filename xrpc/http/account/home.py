"""`/account`: who is signed in here, what they allowed this app, and how that ends; and their developer tokens."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.responses import Response

from appview.accounts import developer_tokens, overview, sessions
from appview.accounts.developer_tokens import TokenRefused
from appview.accounts.erasure import erasure_of
from xrpc.availability import within
from xrpc.http.account import render, sign_in
from xrpc.http.account.layout import answer, see_other
from xrpc.http.account.people import people_of
from xrpc.http.account.problems import Problem, database_away
from xrpc.http.account.servers import tell
from xrpc.http.account.visit import QUERY_SECONDS, Visit
from xrpc.http.account.words import in_words
from xrpc.limits import Kind

_ENDED: Final = "its owner ended it"

_is_number = re.compile(r"[0-9]{1,18}").fullmatch


async def home(visit: Visit) -> Response:
    """`GET /account`."""
    if visit.session is None:
        return see_other("/oauth/login?return_to=/account")
    ctx, pool, current = visit.ctx, visit.accounts.pool, visit.session.accounts[0]
    people, permission, tokens, erasure = await asyncio.gather(
        people_of(ctx, visit.identities, [account.did for account in visit.session.accounts]),
        within(QUERY_SECONDS, overview.permission(pool, current.did, current.grant)),
        within(QUERY_SECONDS, developer_tokens.of(pool, current.did)),
        within(QUERY_SECONDS, erasure_of(pool, current.did)),
    )
    content = render.Home(
        people=people,
        live=frozenset(account.did for account in visit.session.accounts if account.is_live),
        permission=permission,
        may=in_words(permission.scope if permission is not None else "", ctx.catalog, ctx.config.namespace),
        tokens=tokens,
        erasure=erasure,
        form_token=visit.form_token,
        note=visit.request.query_params.get("note"),
    )
    return answer(ctx.config, render.home(ctx.config, content), leads_away=True)


async def switch(visit: Visit) -> Response:
    """`POST /account/switch`: act as another account of this browser, `did`; where its permission is over, ask it."""
    account = visit.named()
    if visit.cookie is not None and await sessions.switch(visit.accounts.pool, visit.cookie, account.did):
        return see_other("/account")
    return await sign_in.begin(visit, account.did, "session")


async def end(visit: Visit) -> Response:
    """`POST /account/end`: end what `did` allowed here, or with `everywhere` all that it ever allowed this app."""
    account, grants = visit.named(), visit.accounts.grants
    if visit.form.get("everywhere"):
        await tell(grants.end_all(account.did, _ENDED))
        if not await overview.is_over(visit.accounts.pool, account.did):
            raise database_away()
    over = await sessions.sign_out(visit.accounts.pool, visit.cookie or "", account.did)
    await tell(*(grants.end(grant, _ENDED) for grant in over))
    erasure = await erasure_of(visit.accounts.pool, account.did)
    is_deleting = erasure is not None and erasure.grant is not None
    return visit.signed_out(account.did, "ended-later" if is_deleting else "ended")


async def make_token(visit: Visit) -> Response:
    """`POST /account/tokens`: ask the account's server for a grant of the token's own; then `sign_in.callback`."""
    did, days = visit.named_live().did, visit.form.get("days", "")
    if days not in map(str, render.LIVES):
        raise Problem(400, "No token was made", "Choose how long it is to be good for.", where="/account#tokens")
    try:
        name = developer_tokens.check(visit.form.get("name", ""), datetime.now(UTC) + timedelta(days=int(days)))
    except TokenRefused as error:
        raise Problem(400, "No token was made", str(error), where="/account#tokens", name="Your tokens") from None
    await visit.count(Kind.TOKEN, did=did)
    return await sign_in.begin(visit, did, "token", details={"name": name, "days": int(days)})


async def revoke_token(visit: Visit) -> Response:
    """`POST /account/tokens/revoke`: the token `id` of the account `did` is good no more."""
    did, number = visit.named().did, visit.form.get("id", "")
    grant = await developer_tokens.revoke(visit.accounts.pool, did, int(number)) if _is_number(number) else None
    if grant is None:
        advice = "It may have been revoked before."
        raise Problem(400, "There is no such token", advice, where="/account#tokens", name="Your tokens")
    await tell(visit.accounts.grants.end(grant, developer_tokens.REVOKED))
    return see_other("/account?note=revoked#tokens")
