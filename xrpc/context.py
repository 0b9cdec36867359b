"""What a request is answered with: the index, the settings, the lexicons, who asks, and when."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from starlette.requests import Request

from appview.config import Config
from appview.db import Pool
from appview.net.generators import Generators
from appview.reads.views import Views
from appview.signer import Signer
from lexicons.catalog import Catalog
from xrpc.errors import Unauthenticated


@dataclass(frozen=True, slots=True)
class Context:
    """All that a handler has beside its arguments. `pool` is for reading only."""

    pool: Pool
    config: Config
    catalog: Catalog
    views: Views
    now: datetime
    viewer: str | None = None
    """The DID of the account on whose behalf is asked."""
    generators: Generators = field(kw_only=True)
    """Who answers for the feeds of others."""
    signer: Signer | None = field(kw_only=True, default=None)
    """Our own key; None where there is no secret to make it of."""
    onward: str | None = field(kw_only=True, default=None)
    """The caller's token, where it is not for us but for the service that is to be asked (xrpc/service_auth.py)."""

    def required_viewer(self) -> str:
        """`viewer`, for a method that nobody can answer without. Raises Unauthenticated."""
        if self.viewer is None:
            raise Unauthenticated("AuthMissing", "This method wants to know who calls.")
        return self.viewer


def context_of(request: Request, viewer: str | None = None, onward: str | None = None) -> Context:
    """The context of `request`, made on behalf of `viewer`, by the token `onward`; also for what is not XRPC."""
    state = request.app.state
    return Context(
        state.pool,
        state.config,
        state.catalog,
        state.views,
        datetime.now(UTC),
        viewer,
        generators=state.generators,
        signer=state.signer,
        onward=onward,
    )
