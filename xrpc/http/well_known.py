"""`/.well-known/did.json`, our own DID document (XR-60), and `/robots.txt`."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from xrpc.context import context_of
from xrpc.errors import JSONResponse


async def did_document(request: Request) -> Response:
    """The document by which a PDS finds this service. 404 when our DID is of another method: it stands elsewhere."""
    config = context_of(request).config
    if not config.service_did.startswith("did:web:"):
        raise HTTPException(404)
    service = {"id": "#plyr_appview", "type": "PlyrAppView", "serviceEndpoint": config.public_url}
    return JSONResponse({"@context": ["https://www.w3.org/ns/did/v1"], "id": config.service_did, "service": [service]})


async def robots(_request: Request) -> Response:
    """The page may be indexed; the API, which has no end of cursors, not."""
    return PlainTextResponse("User-agent: *\nDisallow: /xrpc/\n")
