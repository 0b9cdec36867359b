"""The pages about accounts: signing in and out, what this app may do, developer tokens, and one's own data.

They are for people: made here, without scripts, in the look of the page at `/`. Every failure is a page too. Nothing of
them is kept by anybody, and nothing on them is done but by a form of ours (visit.py).
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from xrpc.http.account import client, data, home, sign_in
from xrpc.http.account.layout import see_other
from xrpc.http.account.problems import Problem
from xrpc.http.account.visit import Visit, page


async def _nowhere(_visit: Visit) -> Response:
    """Whatever else is below these paths."""
    raise Problem(404, "There is no such page", "The address may be mistyped.", where="/account", name="Your account")


async def _back(_request: Request) -> Response:
    """Where a form is sent to, there is nothing to read: whoever loads it anew wants the page with the form."""
    return see_other("/account")


_FORMS: Final = {
    "/account/switch": home.switch,
    "/account/end": home.end,
    "/account/tokens": home.make_token,
    "/account/tokens/revoke": home.revoke_token,
    "/account/export": data.export,
}

ROUTES: Final[tuple[BaseRoute, ...]] = (
    Route("/oauth/client-metadata.json", client.metadata),
    Route("/oauth/jwks.json", client.jwks),
    Route("/oauth/login", page(sign_in.login), methods=["GET"]),
    Route("/oauth/login", page(sign_in.log_in), methods=["POST"]),
    Route("/oauth/callback", page(sign_in.callback), methods=["GET"]),
    Route("/oauth/logout", page(sign_in.logout), methods=["GET"]),
    Route("/oauth/logout", page(sign_in.log_out), methods=["POST"]),
    Route("/account", page(home.home), methods=["GET"]),
    Route("/account/delete", page(data.ask), methods=["GET"]),
    Route("/account/delete", page(data.delete), methods=["POST"]),
    *(Route(path, page(handler), methods=["POST"]) for path, handler in _FORMS.items()),
    *(Route(path, _back, methods=["GET"]) for path in _FORMS),
    *(Route(f"/{room}/{{rest:path}}", page(_nowhere), methods=["GET"]) for room in ("account", "oauth")),
)
