"""Writing to the accounts' own PDSes, by the grants that they gave us: nothing twice, nothing lost, nothing guessed.

    repo = writes.of(did, grant)
    track = await repo.create("fm.plyr.track", record, key=idempotency_key)
    await repo.edit("fm.plyr.list", rkey, lambda record: {**record, "name": "Another"})

A write is journaled before its PDS is asked (`journal`), asked under one key however often (`attempts`), and shown as
soon as the PDS has it (`carrier`); what a crash leaves is settled by looking at the PDS (`settling`).
"""

from prometheus_client import CollectorRegistry

from appview.accounts.grants import Grants
from appview.accounts.oauth import OAuth
from appview.db import Pool
from appview.index.rebuild import Makers
from appview.net.http import HttpClient
from appview.writes.attempts import PATIENT, Patience
from appview.writes.carrier import Carrier, Written
from appview.writes.metrics import WriteMetrics
from appview.writes.records import Rules
from appview.writes.repo import Create, Delete, Desk, Record, Repo, Update
from appview.writes.tids import Tids
from appview.writes.uploads import Uploads
from lexicons.catalog import Catalog

__all__ = ["Create", "Delete", "Record", "Repo", "Update", "Writes", "Written"]


class Writes:
    """The repositories of all who gave us a grant; one a process.

    `pool` must be able to write; `http` asks hosts that strangers name. Only records of `namespace` are written.
    """

    def __init__(  # noqa: PLR0913 - one of each of what it is made of
        self,
        pool: Pool,
        grants: Grants,
        oauth: OAuth,
        http: HttpClient,
        makers: Makers,
        catalog: Catalog,
        *,
        namespace: str,
        registry: CollectorRegistry,
        patience: Patience = PATIENT,
    ) -> None:
        metrics = WriteMetrics(registry)
        self._carrier = Carrier(pool, grants, oauth, http, makers, metrics, patience)
        collections = [nsid for nsid in makers.types if nsid.startswith(f"{namespace}.")]
        self._desk = Desk(self._carrier, Rules(catalog, collections), Tids(), Uploads(metrics))

    def of(self, did: str, grant: int) -> Repo:
        """The repository of `did`, whose `grant` it is."""
        return Repo(self._desk, did, grant)

    async def aclose(self) -> None:
        """Wait for the writes that are under way."""
        await self._carrier.aclose()
