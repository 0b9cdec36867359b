"""`/.well-known/did.json`, our own DID document (XR-60), and `/robots.txt`."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from xrpc.context import context_of
from xrpc.errors import JSONResponse

_SERVICES: Final[Mapping[str, str]] = {"#plyr_appview": "PlyrAppView", "#plyr_fg": "PlyrFeedGenerator"}
"""What we are: that which PDSes pass calls on to, and, for our built-in feeds, a feed generator."""


async def did_document(request: Request) -> Response:
    """The document by which a PDS finds this service, and others our key, if we have one (XR-61).

    404 when our DID is of another method: it stands elsewhere.
    """
    ctx = context_of(request)
    did = ctx.config.service_did
    if not did.startswith("did:web:"):
        raise HTTPException(404)
    document: dict[str, Any] = {"@context": ["https://www.w3.org/ns/did/v1"], "id": did}
    if ctx.signer is not None:
        document["@context"].append("https://w3id.org/security/multikey/v1")
        document["verificationMethod"] = [
            {
                "id": f"{did}#atproto",
                "type": "Multikey",
                "controller": did,
                "publicKeyMultibase": ctx.signer.public_key.multikey(),
            }
        ]
    document["service"] = [
        {"id": name, "type": kind, "serviceEndpoint": ctx.config.public_url} for name, kind in _SERVICES.items()
    ]
    return JSONResponse(document)


async def robots(_request: Request) -> Response:
    """The page may be indexed; the API, which has no end of cursors, not, nor what is for one person alone."""
    return PlainTextResponse("User-agent: *\nDisallow: /xrpc/\nDisallow: /account\nDisallow: /oauth/\n")
