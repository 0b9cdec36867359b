"""`/oauth/…`: signing in, the way back from the account's server, and signing out."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlencode

import asyncpg
from starlette.datastructures import Headers
from starlette.responses import Response

from appview.accounts import developer_tokens, overview, requests, sessions
from appview.accounts.developer_tokens import TokenRefused
from appview.accounts.oauth import Granted
from appview.accounts.oauth.errors import OAuthError
from appview.accounts.oauth.scopes import (
    ACTIONS,
    TRANSITION,
    BlobNeed,
    BlobPermission,
    Need,
    RepoNeed,
    RepoPermission,
    permissions,
    tokens,
)
from appview.accounts.requests import Request
from appview.accounts.sessions import Account
from appview.db import AWAY
from appview.index import pending
from xrpc.cookies import session_cookie, set_cookie
from xrpc.http.account import render
from xrpc.http.account.layout import answer, see_other
from xrpc.http.account.people import people_of
from xrpc.http.account.problems import Problem, of_oauth
from xrpc.http.account.servers import tell
from xrpc.http.account.visit import Visit, path_of
from xrpc.limits import Kind
from xrpc.origins import is_asked_by_us, may_be_read_by

Purpose: TypeAlias = Literal["session", "token"]

COOKIE_SECONDS: Final = int(sessions.LONGEST.total_seconds())
MAX_ACCOUNT: Final = 300
MAX_SCOPE: Final = 2_000

_PURPOSES: Final[Mapping[str, Purpose]] = {"session": "session", "token": "token"}
_HOME: Final = "/account"
_REFUSED: Final = "it was given for a developer token that could not be made"


async def login(visit: Visit) -> Response:
    """`GET /oauth/login`: the form; with `handle`, on to the account's server at once.

    `return_to` is a path here to come back to, `scope` what to ask for instead of everything, `need` the scopes that
    were found missing from what the account in use allowed. Where a page of another origin leads here, or any link a
    browser that acts as somebody already, the form is shown all the same: nobody is to find themselves signed in as
    somebody else.
    """
    query = visit.request.query_params
    account, scope = _account(query.get("handle", "")), query.get("scope", "")
    return_to = path_of(query.get("return_to")) or ""
    current = visit.session.current if visit.session is not None else None
    if "need" in query and current is not None and account in ("", current.did):
        account, scope = current.did, await _step_up(visit, current, query["need"])
    is_alone = _is_of_themselves(visit.request.headers)
    if current is not None and account != current.did:
        is_alone = is_alone and is_asked_by_us(visit.request.headers)
    if account and is_alone and visit.request.method == "GET" and TRANSITION not in tokens(scope):
        return await begin(visit, account, "session", return_to=return_to, scope=scope)
    begun = render.Begin(account, return_to, scope, is_led=not is_alone)
    page = render.sign_in(visit.ctx.config, visit.form_token, begun, query.get("note"))
    return visit.bind(answer(visit.ctx.config, page, leads_away=True))


async def log_in(visit: Visit) -> Response:
    """`POST /oauth/login`: on to the account's server."""
    account = _account(visit.form.get("account", ""))
    if not account:
        raise Problem(400, "No account was named", "Give a handle, a DID, or the address of a server.")
    return_to, scope = path_of(visit.form.get("return_to")) or "", visit.form.get("scope", "")
    if TRANSITION in tokens(scope):
        # It is far too much, and asked for only where a server knows nothing better: no link can have it asked for.
        raise Problem(400, "That cannot be asked for", "No page asks for all that an account can do.")
    return await begin(visit, account, "session", return_to=return_to, scope=scope)


async def begin(
    visit: Visit,
    account: str,
    purpose: Purpose,
    *,
    return_to: str = "",
    scope: str = "",
    details: Mapping[str, Any] | None = None,
) -> Response:
    """Send the browser to the account's server, to come back to `callback`. Raises Problem."""
    accounts = visit.accounts
    if len(scope) > MAX_SCOPE:
        raise Problem(400, "That cannot be asked for", "The scope is longer than any of this app.")
    is_theirs = visit.session is not None and any(held.did == account for held in visit.session.accounts)
    await visit.count(Kind.SIGN_IN, account=None if is_theirs else account)
    try:
        begun = await accounts.oauth.begin(account, scope=scope or None)
    except ValueError as error:
        raise Problem(400, "That cannot be asked for", str(error)) from None
    except OAuthError as error:
        raise _again(error, purpose, return_to) from error
    await requests.keep(
        accounts.pool,
        accounts.vault,
        begun,
        browser=visit.binding,
        purpose=purpose,
        return_to=return_to or f"{_HOME}?note=signed-in",
        details=details,
    )
    return visit.bind(see_other(begun.url))


async def callback(visit: Visit) -> Response:
    """`GET /oauth/callback`: the way back from the account's server, for the browser that began, and once (OA-13)."""
    accounts, params = visit.accounts, visit.request.query_params
    request = None
    # Whoever only looks ahead at where a link leads does not go there; and nothing is said twice (RFC 6749, 3.1).
    if visit.request.method == "GET" and len(params.multi_items()) == len(params) and "state" in params:
        request = await requests.take(accounts.pool, accounts.vault, params["state"], visit.binding)
    if request is None:
        advice = (
            "It was completed before, or was begun in another browser or more than ten minutes ago. If you are not "
            "signed in by now, begin anew."
        )
        raise Problem(400, "This sign-in is over", advice, where=_HOME, name="Go on")
    try:
        granted = await accounts.oauth.complete(request.secret, dict(params))
    except OAuthError as error:
        raise _again(error, _PURPOSES[request.purpose], request.return_to) from error
    instead = accounts.oauth.again(granted)
    if instead is not None:
        purpose = _PURPOSES[request.purpose]
        await _give_back(visit, granted, "nothing was granted by it")
        return await begin(
            visit, granted.did, purpose, return_to=request.return_to, scope=instead, details=request.details
        )
    if request.purpose == "token":
        return await _make_token(visit, granted, request)
    return await _sign_in(visit, granted, request)


async def logout(visit: Visit) -> Response:
    """`GET /oauth/logout`: whether to."""
    if visit.session is None:
        return see_other("/oauth/login")
    people = await people_of(visit.ctx, visit.identities, [account.did for account in visit.session.accounts])
    return answer(visit.ctx.config, render.sign_out(visit.ctx.config, visit.form_token, people))


async def log_out(visit: Visit) -> Response:
    """`POST /oauth/logout`: sign `did` out of this browser, or everybody, and end what they allowed us here (OA-58)."""
    if visit.session is None or visit.cookie is None:
        return see_other("/oauth/login")
    did = visit.form.get("did") or None
    grants = await sessions.sign_out(visit.accounts.pool, visit.cookie, did)
    await tell(*(visit.accounts.grants.end(grant, sessions.SIGNED_OUT) for grant in grants))
    return visit.signed_out(did, "signed-out")


async def _sign_in(visit: Visit, granted: Granted, request: Request) -> Response:
    accounts = visit.accounts
    grant = await _save(visit, granted, "session")
    # Before anybody is signed in: whoever is, finds their repository indexed, or about to be.
    await pending.track(accounts.pool, granted.did)
    cookie = await sessions.sign_in(accounts.pool, visit.cookie, granted.did, grant)
    response = see_other(request.return_to)
    set_cookie(visit.ctx.config, response, session_cookie(visit.ctx.config), cookie, seconds=COOKIE_SECONDS)
    return response


async def _make_token(visit: Visit, granted: Granted, request: Request) -> Response:
    """Show the token that was asked for: to a browser that is still signed in as the account that allowed it."""
    accounts, held = visit.accounts, visit.session.accounts if visit.session is not None else ()
    if not any(account.did == granted.did and account.is_live for account in held):
        await _give_back(visit, granted, _REFUSED)
        advice = "The permission was given by an account that is not signed in here. Sign in with it, then try again."
        raise Problem(403, "No token was made", advice)
    (person,) = await people_of(visit.ctx, visit.identities, [granted.did])
    name, expires_at = request.details["name"], datetime.now(UTC) + timedelta(days=request.details["days"])
    grant = await _save(visit, granted, "token")
    try:
        text = await developer_tokens.create(accounts.pool, granted.did, grant, name, expires_at)
    except TokenRefused as error:
        await tell(accounts.grants.end(grant, _REFUSED))
        raise Problem(400, "No token was made", str(error), where="/account#tokens", name="Your tokens") from None
    return answer(visit.ctx.config, render.token_made(visit.ctx.config, text, name, person, expires_at))


def _again(error: OAuthError, purpose: Purpose, return_to: str) -> Problem:
    """What the page of `error` says, with the way to where it all began."""
    problem = of_oauth(error)
    if purpose == "token":
        problem.where, problem.name = "/account#tokens", "Your tokens"
    elif return_to:
        problem.where = f"/oauth/login?{urlencode({'return_to': return_to})}"
    return problem


async def _step_up(visit: Visit, account: Account, need: str) -> str:
    """The scope that grants what is granted, and `need`. Raises a Problem where this app never asks for that."""
    needs = _needs(need[:MAX_SCOPE])
    permission = await overview.permission(visit.accounts.pool, account.did, account.grant)
    scope = visit.accounts.oauth.step_up(permission.scope, needs) if permission is not None and needs else None
    if scope is None:
        raise Problem(400, "That cannot be asked for", "It is nothing that this app does.", where=_HOME, name="Go on")
    return scope


def _needs(scope: str) -> list[Need]:
    """All that `scope` would grant of what this app does: records and files."""
    needs: list[Need] = []
    for permission in permissions(scope):
        if isinstance(permission, RepoPermission):
            needs += [
                RepoNeed(collection, action)
                for collection in permission.collections
                for action in ACTIONS
                if action in permission.actions
            ]
        elif isinstance(permission, BlobPermission):
            needs += [BlobNeed(accept.replace("*", "x")) for accept in permission.accept]
    return needs


async def _give_back(visit: Visit, granted: Granted, reason: str) -> None:
    """Have its server forget what nobody here is to have; kept until it has."""
    await tell(visit.accounts.grants.end(await _save(visit, granted, "session"), reason))


async def _save(visit: Visit, granted: Granted, kind: Purpose) -> int:
    try:
        return await visit.accounts.grants.save(granted, kind)
    except (asyncpg.PostgresError, *AWAY):
        # Nobody would have it, and its server would never be told (OA-54).
        with suppress(OAuthError):
            await visit.accounts.oauth.revoke(granted)
        raise


def _account(text: str) -> str:
    """What was typed, without what a handle is copied along with: an @, at://, marks of direction, spaces."""
    return "".join(filter(str.isprintable, text)).strip().removeprefix("at://").removeprefix("@")[:MAX_ACCOUNT]


def _is_of_themselves(headers: Headers) -> bool:
    """Whether somebody came by themselves, or by a page of ours, and not just a browser that reads ahead."""
    ahead = f"{headers.get('sec-purpose', '')} {headers.get('purpose', '')}"
    return may_be_read_by(headers) and "prefetch" not in ahead
