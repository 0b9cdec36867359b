"""Who calls, and on what ground."""

from typing import NamedTuple


class Caller(NamedTuple):
    """The account on whose behalf a request is made, and how far its repository was indexed just before."""

    did: str
    rev: str | None
    onward: str | None = None
    """The token of the request, where it is for another service, to be passed on to that (xrpc/service_auth.py)."""
    grant: int | None = None
    """What they gave us to write by: that of the session, or of the developer token. None for a token of their PDS."""
