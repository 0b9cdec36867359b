"""What every family of jobs is made of, and how one job is done, whichever it is."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry

from appview.accounts.grants import Grants
from appview.accounts.oauth import OAuth
from appview.accounts.vault import Vault
from appview.config import Config
from appview.db import Connection, Pool, create_pool
from appview.index.documents import PostgresDocuments
from appview.index.rebuild import Makers
from appview.jobs.rows import Job, back_off, done, failed, find, postpone
from appview.net.http import HttpClient
from appview.net.identity import IdentityResolver
from appview.net.lookup import Dns
from appview.net.policy import Policy
from appview.writes import Writes
from lexicons.catalog import shipped

JOB_SECONDS: Final = 60.0
"""For one job, where its family does not say otherwise."""

_log = logging.getLogger(__name__)


class TryLater(Exception):
    """A job could not be done now; the message is the reason. `retry_after` in seconds, if somebody named it."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Again(Exception):
    """A job is done as far as it can be, and is due again in `seconds`: nothing has failed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"It is due again in {seconds:g} s.")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Tools:
    """What jobs work with, open as long as the worker runs."""

    pool: Pool
    identities: IdentityResolver
    makers: Makers
    http: HttpClient
    """For hosts that strangers name."""
    oauth: OAuth | None = None
    """None where no key is given, as for `grants`."""
    grants: Grants | None = None
    writes: Writes | None = None


class Family(NamedTuple):
    """The jobs of one kind."""

    kind: str
    actor: str
    """The name of the actor, which is given the subject alone."""
    work: Callable[[Tools, Job], Awaitable[None]]
    """Does one; may be done again, or twice at a time, with the same outcome. Raises TryLater, Again."""
    recur: Callable[[Connection], Awaitable[None]] | None = None
    """Called every minute, to want what the calendar asks for."""
    seconds: float = JOB_SECONDS
    """For one; less than a lease (appview/jobs/dispatch.py)."""


@asynccontextmanager
async def open_tools(config: Config) -> AsyncIterator[Tools]:
    """The tools that `config`, which names a database, describes. Raises Refused when the directory's URL is none."""
    dns = Dns()
    async with (
        await create_pool(config.database_url or "", lazy=True) as pool,
        HttpClient(config.policy(), lookup=dns.addresses) as http,
        HttpClient(Policy.trusting(config.plc_url), lookup=dns.addresses) as plc_http,
    ):
        identities = IdentityResolver(
            http, dns, plc_url=config.plc_url, plc_http=plc_http, store=PostgresDocuments(pool)
        )
        makers = Makers.of(config.namespace)
        oauth, grants = _grants(config, pool, http, identities)
        writes = _writes(config, pool, http, makers, oauth, grants)
        try:
            yield Tools(pool, identities, makers, http, oauth, grants, writes)
        finally:
            if oauth is not None and grants is not None and writes is not None:
                await writes.aclose()
                await grants.aclose()
                await oauth.aclose()
            await identities.aclose()


def _grants(
    config: Config, pool: Pool, http: HttpClient, identities: IdentityResolver
) -> tuple[OAuth, Grants] | tuple[None, None]:
    if config.secret_key is None:
        return None, None
    oauth = OAuth(config, http, identities)
    return oauth, Grants(pool, Vault([config.secret_key, *config.old_secret_keys]), oauth)


def _writes(
    config: Config, pool: Pool, http: HttpClient, makers: Makers, oauth: OAuth | None, grants: Grants | None
) -> Writes | None:
    if oauth is None or grants is None:
        return None
    catalog, namespace = shipped(config.namespace), config.namespace
    # Nobody asks a worker for metrics.
    registry = CollectorRegistry()
    return Writes(pool, grants, oauth, http, makers, catalog, namespace=namespace, registry=registry)


async def perform(tools: Tools, family: Family, subject: str) -> None:
    """Do the job of `subject`, if anybody still wants it, and keep its row in step."""
    async with tools.pool.acquire() as connection:
        job = await find(connection, family.kind, subject)
    if job is None:
        return  # The message came twice.
    begun = time.monotonic()
    try:
        async with asyncio.timeout(family.seconds):
            await family.work(tools, job)
    except Again as again:
        async with tools.pool.acquire() as connection:
            await postpone(connection, job, due_in=again.seconds)
    except (TryLater, TimeoutError) as error:
        reason = str(error) or f"it was not done within {family.seconds:.0f} s"
        wait = max(back_off(job.attempts), getattr(error, "retry_after", None) or 0.0)
        async with tools.pool.acquire() as connection:
            await failed(connection, job, reason, retry_in=wait)
        _log.warning("%s of %s failed, to be tried again in %.0f s: %s", job.kind, subject, wait, reason)
    else:
        async with tools.pool.acquire() as connection:
            await done(connection, job)
        _log.debug("%s of %s: done in %.2f s", job.kind, subject, time.monotonic() - begun)


async def give_back(tools: Tools, family: Family, subject: str) -> None:
    """Let another worker do the job at once."""
    async with tools.pool.acquire() as connection:
        job = await find(connection, family.kind, subject)
        if job is not None:
            await failed(connection, job, "the worker was stopped", retry_in=0.0)
