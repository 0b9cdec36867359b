"""One request to the pages about accounts: whose browser it is, what its form says, and whether the form is ours.

What changes something is a POST that a page of ours sends: by what the browser says of where it comes from
(xrpc/origins.py), and by a token in the form that no other origin can read. Of a browser with a session it is the
session's; before, it hangs on a cookie that lives as long as a sign-in may take, and to which the `state` of the
authorization request is bound too (OA-13): so nobody can be signed in by somebody else's doing.
"""

import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import parse_qsl

import asyncpg
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from appview.accounts import sessions
from appview.accounts.grant_rows import NotToBeHad
from appview.accounts.oauth.errors import OAuthError
from appview.accounts.sessions import Account, Session
from appview.db import AWAY
from appview.net.identity import IdentityResolver
from xrpc.accounts import Accounts
from xrpc.availability import is_away, within
from xrpc.context import Context, context_of
from xrpc.cookies import drop_cookie, name_of, session_cookie, set_cookie
from xrpc.errors import Unavailable, XrpcError
from xrpc.http.account.layout import see_other
from xrpc.http.account.problems import (
    Problem,
    database_away,
    not_ours,
    not_set_up,
    not_to_be_had,
    of_limit,
    of_oauth,
)
from xrpc.http.account.problems import answer as answer_problem
from xrpc.limits import Kind, Limits, Who
from xrpc.origins import is_asked_by_us

QUERY_SECONDS: Final = 3.0
BINDING_SECONDS: Final = 3_600
"""That a sign-in may take, from the form to the way back."""
MAX_FORM: Final = 16_384
LOOPBACK: Final = "127.0.0.1"
"""Where an authorization server leads browsers back to in development: to no other name of this machine (OA-05)."""

_MAX_PATH: Final = 500
_is_path = re.compile(r"/(?!/)[!-\[\]-~]*").fullmatch
_is_local = re.compile(r"localhost((?::[0-9]{1,5})?)", re.IGNORECASE).fullmatch
_is_secret = re.compile(r"[A-Za-z0-9_-]{43}").fullmatch


@dataclass(frozen=True, slots=True, repr=False)
class Visit:
    """One request. It has no `repr`, since it holds cookies."""

    request: Request
    ctx: Context
    accounts: Accounts
    cookie: str | None
    """The session's, as the browser sent it."""
    session: Session | None
    binding: str
    """By which the browser is known before it is signed in; a new one where it had none."""
    form: Mapping[str, str]

    @property
    def form_token(self) -> str:
        """What a form on the page that is answered is to bring back."""
        return self.session.csrf if self.session is not None else _token(self.binding)

    def bind(self, response: Response) -> Response:
        """`response`, with the cookie that binds a sign-in to this browser."""
        name = name_of(self.ctx.config, "plyr-browser")
        set_cookie(self.ctx.config, response, name, self.binding, seconds=BINDING_SECONDS)
        return response

    @property
    def identities(self) -> IdentityResolver:
        """Who knows the handles of accounts that the index does not know yet."""
        resolver: IdentityResolver = self.request.app.state.network.identities
        return resolver

    def signed_out(self, did: str | None, note: str) -> Response:
        """On, after `did`, or with None everybody, was signed out: to who is left, or to the beginning."""
        if did is not None and self.session is not None and any(one.did != did for one in self.session.accounts):
            return see_other(f"/account?note={note}")
        response = see_other(f"/oauth/login?note={note}")
        drop_cookie(self.ctx.config, response, session_cookie(self.ctx.config))
        return response

    async def count(self, kind: Kind, *, did: str | None = None, account: str | None = None) -> None:
        """Count one of `kind` against whoever asks. Raises XrpcError with 429."""
        limits = _limits(self.request)
        who = Who(limits.address(self.request.scope), did=did, account=account)
        (await limits.check(kind, who)).require()

    def named(self) -> Account:
        """The account of this browser that the form is about: another tab may have switched since. Raises a Problem."""
        held = self.session.accounts if self.session is not None else ()
        named = [account for account in held if account.did == self.form.get("did")]
        if not named:
            advice = "It may have been signed out since the page was made. Nothing was done."
            raise Problem(403, "That account is not signed in here", advice, where="/account", name="Your account")
        return named[0]

    def named_live(self) -> Account:
        """The same, where its permission is not over. Raises a Problem."""
        account = self.named()
        if not account.is_live:
            raise Problem(403, "The permission has ended", "Sign in with this account once more to give it anew.")
        return account


Handler: TypeAlias = Callable[[Visit], Awaitable[Response]]


def page(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint by `handler`, every failure of which is a page too."""

    async def answer(request: Request) -> Response:
        try:
            return await _answer(request, handler)
        except Problem as problem:
            return answer_problem(request, problem)
        except OAuthError as error:
            return answer_problem(request, of_oauth(error))
        except NotToBeHad:
            return answer_problem(request, not_to_be_had())
        except XrpcError as error:
            return answer_problem(request, database_away() if isinstance(error, Unavailable) else of_limit(error))
        except (asyncpg.PostgresError, *AWAY) as error:
            if not is_away(error):
                raise
            return answer_problem(request, database_away())

    return answer


async def _answer(request: Request, handler: Handler) -> Response:
    ctx = context_of(request)
    if ctx.accounts is None:
        raise not_set_up()
    local = _is_local(request.headers.get("host", ""))
    if local and ctx.config.public_url.startswith("http://"):
        # Cookies do not follow from the one name to the other.
        query = request.scope["query_string"].decode("latin-1")
        return see_other(f"http://{LOOPBACK}{local[1]}{request.scope['path']}{query and '?'}{query}")
    cookie = _secret(request, session_cookie(ctx.config))
    session = await within(QUERY_SECONDS, sessions.find(ctx.accounts.pool, cookie)) if cookie is not None else None
    await _count(request, session)
    known = _secret(request, name_of(ctx.config, "plyr-browser"))
    form: Mapping[str, str] = {}
    if request.method == "POST":
        form = await _form(request)
        tokens = [_token(known)] if known is not None else []
        tokens += [session.csrf] if session is not None else []
        given = form.get("form", "").encode()
        if not is_asked_by_us(request.headers) or not any(secrets.compare_digest(given, t.encode()) for t in tokens):
            raise not_ours()
    binding = known or secrets.token_urlsafe(32)
    return await handler(Visit(request, ctx, ctx.accounts, cookie, session, binding, form))


async def _count(request: Request, session: Session | None) -> None:
    """Count a page against whoever asks for it. Raises XrpcError with 429."""
    limits, current = _limits(request), session.current if session is not None else None
    address = limits.address(request.scope)
    who = Who(address) if current is None else Who(address, did=current.did, grant=current.grant)
    (await limits.check(Kind.PAGE, who)).require()


def _limits(request: Request) -> Limits:
    limits: Limits = request.app.state.limits
    return limits


def path_of(text: str | None) -> str | None:
    """`text` if it is a path at this origin, with or without a query, and nothing else; None otherwise."""
    if text is None or len(text) > _MAX_PATH or not _is_path(text):
        return None
    return text


async def _form(request: Request) -> Mapping[str, str]:
    """The fields of a form as browsers send it by default. Raises a Problem."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise not_ours()
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM:
                raise Problem(413, "That is too long", "The form holds more than it has room for.", where="/account")
    except ClientDisconnect:
        raise not_ours() from None
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        raise not_ours() from None
    # Postgres has no NUL.
    return {name: value.replace("\0", "") for name, value in fields}


def _secret(request: Request, name: str) -> str | None:
    value = request.cookies.get(name, "")
    return value if _is_secret(value) else None


def _token(binding: str) -> str:
    return hashlib.sha256(f"plyr-appview: form {binding}".encode()).hexdigest()
