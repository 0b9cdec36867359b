"""What a request is answered with: the index, the settings, the lexicons, who asks, and when."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from starlette.requests import Request

from appview.config import Config
from appview.db import Pool
from appview.net.generators import Generators
from appview.reads.views import Views
from appview.signer import Signer
from appview.writes import Repo
from lexicons.catalog import Catalog
from xrpc.accounts import Accounts
from xrpc.callers import Caller
from xrpc.errors import Unauthenticated, XrpcError


@dataclass(frozen=True, slots=True)
class Context:
    """All that a handler has beside its arguments. `pool` is for reading only."""

    pool: Pool
    config: Config
    catalog: Catalog
    views: Views
    now: datetime
    caller: Caller | None = None
    """Who calls; None: nobody in particular."""
    generators: Generators = field(kw_only=True)
    """Who answers for the feeds of others."""
    signer: Signer | None = field(kw_only=True, default=None)
    """Our own key; None where there is no secret to make it of."""
    accounts: Accounts | None = field(kw_only=True, default=None)
    """Those who signed in here, and the way to their PDSes; None where there is no secret to keep their tokens by."""
    idempotency_key: str | None = field(kw_only=True, default=None)
    """By which the caller knows this call, however often it is sent."""

    @property
    def viewer(self) -> str | None:
        """The DID of the account on whose behalf is asked."""
        return None if self.caller is None else self.caller.did

    @property
    def onward(self) -> str | None:
        """The caller's token, where it is not for us but for the service that is to be asked (xrpc/service_auth.py)."""
        return None if self.caller is None else self.caller.onward

    def required_viewer(self) -> str:
        """`viewer`, for a method that nobody can answer without. Raises Unauthenticated."""
        if self.caller is None:
            raise Unauthenticated("AuthMissing", "This method wants to know who calls.")
        return self.caller.did

    def required_accounts(self) -> Accounts:
        """`accounts`, for a method that is nothing without. Raises XrpcError with 501."""
        if self.accounts is None:
            raise XrpcError(501, "MethodNotImplemented", "Signing in is not set up on this server.")
        return self.accounts

    async def repo(self) -> Repo:
        """The caller's repository at their PDS, to be written by the grant that they gave us.

        Of somebody who calls by a token of their PDS it is the newest grant that they gave otherwise. Raises
        Unauthenticated where nobody calls, or where there is no grant.
        """
        did, accounts = self.required_viewer(), self.required_accounts()
        grant = self.caller.grant if self.caller is not None else None
        if grant is None:
            grant = await accounts.grants.latest(did)
        if grant is None:
            raise Unauthenticated(
                "AuthRequired",
                f"Sign in at {self.config.public_url}/oauth/login first, or write to your own PDS: "
                "this server may write only by a grant of yours.",
            )
        return accounts.writes.of(did, grant)


def context_of(request: Request, caller: Caller | None = None, *, idempotency_key: str | None = None) -> Context:
    """The context of `request`, made on behalf of `caller`; also for what is not XRPC."""
    state = request.app.state
    return Context(
        state.pool,
        state.config,
        state.catalog,
        state.views,
        datetime.now(UTC),
        caller,
        generators=state.generators,
        signer=state.signer,
        accounts=state.accounts,
        idempotency_key=idempotency_key,
    )
