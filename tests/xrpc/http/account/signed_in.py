"""Somebody who is signed in, without a server to have asked: for what the pages make of it."""

import secrets
from datetime import UTC, datetime, timedelta

from starlette.applications import Starlette

from appview.accounts import sessions
from appview.accounts.grants import Grants
from appview.accounts.oauth import Granted
from appview.accounts.oauth.keys import ProofKey
from appview.db import Pool

SERVER = "https://pds.invalid"
SCOPE = (
    "atproto blob:audio/* blob:image/* repo?collection=fm.plyr.actor.profile&collection=fm.plyr.comment"
    "&collection=fm.plyr.feed.generator&collection=fm.plyr.like&collection=fm.plyr.list&collection=fm.plyr.track"
)


def grants_of(app: Starlette) -> Grants:
    """Where the application keeps grants."""
    grants: Grants = app.state.accounts.grants
    return grants


def granted(did: str, scope: str = SCOPE) -> Granted:
    """A grant that no server knows of."""
    return Granted(
        did=did,
        issuer=SERVER,
        pds=SERVER,
        client_id="http://localhost?",
        key_id=None,
        scope=scope,
        access_token=secrets.token_urlsafe(),
        refresh_token=secrets.token_urlsafe(),
        expires_at=datetime.now(UTC) + timedelta(hours=1),
        dpop_key=ProofKey.generate().to_json(),
    )


async def sign_in(pool: Pool, grants: Grants, did: str, cookie: str | None = None, scope: str = SCOPE) -> str:
    """Sign `did` in with a browser; its cookie from now on."""
    return await sessions.sign_in(pool, cookie, did, await grants.save(granted(did, scope), "session"))
