"""Sign-ins under way: what we must still know when the browser comes back from its account's server.

Each is for the browser that began it (OA-13), is good once, and for ten minutes. What is kept is sealed.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from appview.accounts.oauth import Begun
from appview.accounts.vault import Unopenable, Vault, digest
from appview.db import Pool

LIFE: Final = timedelta(minutes=10)
PURPOSE: Final = "oauth request"
"""What the sealed column is for, as the vault knows it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """A sign-in that was begun here, and is ours to complete once."""

    secret: dict[str, object]
    """For `OAuth.complete`."""
    purpose: str
    """What it was begun for, in words of whoever did."""
    return_to: str
    """Where the browser goes afterwards."""
    details: dict[str, Any]
    """What else they wanted to know again, such as the name of a developer token."""


async def keep(
    pool: Pool,
    vault: Vault,
    begun: Begun,
    *,
    browser: str,
    purpose: str,
    return_to: str,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Keep what was begun until `take`. `browser` is 256 random bits that only the browser has, in a cookie."""
    kept = {"secret": begun.secret, "purpose": purpose, "return_to": return_to, "details": dict(details or {})}
    await pool.execute(
        "insert into oauth_requests (state, browser, sealed, expires_at) values ($1, $2, $3, now() + $4::interval)",
        digest(begun.state),
        digest(browser),
        vault.seal(kept, purpose=PURPOSE, owner=_owner(begun.state, browser)),
        LIFE,
    )


async def take(pool: Pool, vault: Vault, state: str, browser: str) -> Request | None:
    """What `browser` began under `state`, which is forgotten; None where there is none, or not any more.

    Forgotten as well when another browser brings the state: who began it must begin anew then, and nobody else can use
    what has come into strange hands.
    """
    row = await pool.fetchrow(
        "delete from oauth_requests where state = $1 returning browser, sealed, expires_at > now() as is_good",
        digest(state),
    )
    if row is None or not row["is_good"] or row["browser"] != digest(browser):
        return None
    try:
        return Request(**vault.open(row["sealed"], purpose=PURPOSE, owner=_owner(state, browser)))
    except Unopenable as error:
        _log.warning("a sign-in has to begin anew: %s", error)
        return None


def _owner(state: str, browser: str) -> str:
    return f"{digest(state).hex()} {digest(browser).hex()}"
