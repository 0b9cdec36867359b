"""Whoever is signed in, for a test: an account whose key is in the index, and its PDS's token with every request.

viewer = await Viewer.of(connection, ALICE)
hers = client.signed_in(viewer)                                     # a Client; answers are personal
answer = await client.get("/xrpc/fm.plyr.feed.getFeed", auth=viewer)  # the same for one request
"""

import time
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any

import httpx

from appview.db import Connection
from appview.keys import Curve
from tests.appview.accounts.tokens import Issuer

SERVICE_DID = "did:web:localhost%3A8080"
"""Ours, where the settings say nothing else."""


class Viewer(httpx.Auth):
    """Signs each request for the method in its path; `claims` are put into the tokens instead of the honest ones."""

    def __init__(self, issuer: Issuer, audience: str = SERVICE_DID, **claims: Any) -> None:
        self.issuer = issuer
        self.did = issuer.did
        self.audience = audience
        self._claims = claims

    @classmethod
    async def of(cls, connection: Connection, did: str, curve: Curve = "k256") -> "Viewer":
        """The account `did`, with a key of its own, whose document is in the index."""
        issuer = Issuer(did, curve)
        await store(connection, issuer)
        return cls(issuer)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        method = request.url.path.rpartition("/")[2]
        token = self.issuer.token(self.audience, method, time.time(), **self._claims)
        request.headers["Authorization"] = f"Bearer {token}"
        yield request


async def store(connection: Connection, issuer: Issuer, *, age: float = 0.0) -> None:
    """Put the document of `issuer`, fetched `age` seconds ago, into the index, as the ingester does."""
    await connection.execute(
        """
        insert into did_documents (did, document, fetched_at) values ($1, $2, $3)
        on conflict (did) do update set document = excluded.document, fetched_at = excluded.fetched_at
        """,
        issuer.did,
        issuer.document(),
        datetime.fromtimestamp(time.time() - age, UTC),
    )
