"""`/api/openapi.json`: the API for tools. It is made once in a process, since nothing in it changes while one runs."""

from collections.abc import Iterable
from typing import Final

import orjson

from appview.config import Config
from lexicons.catalog import Catalog
from xrpc.answers import Answer
from xrpc.http.health import VERSION
from xrpc.openapi import document

_CACHED: Final = {"Cache-Control": "public, max-age=300"}


def openapi(config: Config, catalog: Catalog, nsids: Iterable[str]) -> Answer:
    """The document of an application whose methods are `nsids`: 200, or 304 for whoever has this very one."""
    made = document(
        catalog,
        nsids,
        namespace=config.namespace,
        service=config.service_did,
        url=config.public_url,
        version=VERSION,
    )
    return Answer(orjson.dumps(made), _CACHED)
