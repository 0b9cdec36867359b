"""What a request is answered with: the index, the settings, the lexicons, who asks, and when."""

from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.requests import Request

from appview.config import Config
from appview.db import Pool
from appview.reads.views import Views
from lexicons.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Context:
    """All that a handler has beside its arguments. `pool` is for reading only."""

    pool: Pool
    config: Config
    catalog: Catalog
    views: Views
    now: datetime
    viewer: str | None = None


def context_of(request: Request) -> Context:
    """The context of `request`, also for what is not XRPC."""
    state = request.app.state
    return Context(state.pool, state.config, state.catalog, state.views, datetime.now(UTC))
