"""Who this app is as an OAuth client: the documents that authorization servers read (OA-01, OA-04)."""

from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from xrpc.context import context_of
from xrpc.errors import JSONResponse

# A server may keep them for so long; a new key is not used before it was there (OA-04).
_HEADERS: Final = {"Cache-Control": "public, max-age=60"}


async def metadata(request: Request) -> Response:
    """`/oauth/client-metadata.json`. 404 for a client on loopback, whose `client_id` says all there is."""
    accounts = context_of(request).accounts
    document = accounts.oauth.client_metadata() if accounts is not None else None
    if document is None:
        raise HTTPException(404)
    return JSONResponse(document, headers=_HEADERS)


async def jwks(request: Request) -> Response:
    """`/oauth/jwks.json`: the public halves of the keys by which we prove who we are."""
    accounts = context_of(request).accounts
    if accounts is None:
        raise HTTPException(404)
    return JSONResponse(accounts.oauth.jwks(), headers=_HEADERS)
