"""One repository beside what its own PDS has: the account, the head, and every record. Nothing is written.

The index may be written to meanwhile, so a repository is compared at a rev that both have: where the index is older it
is waited for, and where it is newer the repository is asked for again.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final, Literal, NamedTuple

from appview.db import Connection, Pool
from appview.index import check, repos
from appview.index.rebuild import Makers
from appview.index.repos import Chain
from appview.net.errors import Gone
from appview.net.identity import IdentityResolver
from ingester.budget import HostClient
from ingester.copies import Copies, Source
from ingester.differences import HELD, Held, differences
from ingester.effects import is_large
from ingester.export import Export
from ingester.hosts import HostError, NoRepo, NotServed, get_repo_status
from lexicons.cid import CID

DOCUMENT_SECONDS: Final = 30.0
TRIES: Final = 5
PATIENCE_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.25
_PREFETCH: Final = 1_000


class Finding(NamedTuple):
    """Something that is not as the PDS has it, or does not follow from that; and what sets it right, where anything
    does: `check` is `python -m appview check --repair`.
    """

    did: str
    what: str
    mended_by: Literal["fetch", "status", "check"] | None = "fetch"

    def __str__(self) -> str:
        hint = " (python -m appview check --repair)" if self.mended_by == "check" else ""
        return f"{self.did}: {self.what}{hint}"


Findings = AsyncGenerator[Finding, None]


class _Moved(Exception):
    """The index is past the rev of the copy."""


class Comparer:
    """Compares repositories, any number at once. `patience`: the seconds the index may take to get to a PDS's rev."""

    def __init__(
        self,
        pool: Pool,
        http: HostClient,
        identities: IdentityResolver,
        copies: Copies,
        makers: Makers,
        *,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._pool = pool
        self._http = http
        self._identities = identities
        self._copies = copies
        self._makers = makers
        self._patience = patience
        self._clock = asyncio.get_running_loop().time

    async def compare(self, did: str) -> Findings:
        """What differs, as it is found. Raises HostError, IdentityError, RepoError where it cannot be compared."""
        async with self._pool.acquire() as connection:
            active = (await repos.known(connection, [did]))[did].active
        pds, status = await self._account(did)
        if status is not None:
            if active:
                yield Finding(did, f"its account is active here, and {status} at its PDS", "status")
        elif not active:
            yield Finding(did, "its account is not active here, and it is at its PDS", "status")
        else:
            async with aclosing(self._compare_repo(did, pds)) as found:
                async for finding in found:
                    yield finding

    async def _account(self, did: str) -> tuple[str, str | None]:
        """The account's PDS, and why it is not active there; None where it is. Raises HostError, IdentityError."""
        try:
            document = await self._identities.document(did, max_age=DOCUMENT_SECONDS)
        except Gone:
            return "", "deleted"
        if document.pds is None:
            raise HostError(f"{did} names no PDS", temporary=False)
        try:
            said = await get_repo_status(self._http, document.pds, did)
        except NoRepo as error:
            return document.pds, error.status
        except NotServed:
            return document.pds, None  # the repository is asked for all the same
        return document.pds, None if said.active else said.status or "inactive"

    async def _compare_repo(self, did: str, pds: str) -> Findings:
        document = await self._identities.document(did)
        source = Source(self._http, pds, is_pds=True)
        # That a copy is older than what we have is no reason to refuse it here: it is what is to be found out.
        nothing = Chain(did, "in_progress", None, None, None, None, "audit")
        for _ in range(TRIES):
            async with self._pool.acquire() as connection:
                chain = (await repos.known(connection, [did]))[did].chain
            before = chain.rev if chain is not None and chain.rev is not None else ""
            async with self._copies.proven(source, document, nothing) as export, self._pool.acquire() as connection:
                rev = export.commit.rev
                if rev < before:
                    yield Finding(did, f"it is at {before} here, and its PDS gives {rev}, which is older", None)
                    return
                try:
                    await self._reach(connection, did, rev)
                    async with aclosing(self._compare_records(connection, export)) as found:
                        async for finding in found:
                            yield finding
                except _Moved:
                    continue
                return
        raise HostError(f"{did} is written to faster than it can be compared", temporary=True)

    async def _reach(self, connection: Connection, did: str, rev: str) -> None:
        """Wait for a while until the index is at `rev`, or beyond."""
        deadline = self._clock() + self._patience
        while self._clock() < deadline:
            chain = (await repos.known(connection, [did]))[did].chain
            if chain is None or (chain.status == "synchronized" and (chain.rev or "") >= rev):
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _compare_records(self, connection: Connection, export: Export) -> Findings:
        """What differs at the rev of `export`, first in a snapshot of the records. Raises _Moved."""
        did, commit = export.commit.did, export.commit
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            chain = (await repos.known(connection, [did]))[did].chain
            if chain is None:
                async for entry in export.entries(self._makers.types):
                    if self._makers.types[entry.path.partition("/")[0]].signal:
                        yield Finding(did, "it has records of ours, and is not followed here")
                        return
                return
            if chain.status != "synchronized":
                yield Finding(did, f"it is not whole here: {chain.status.replace('_', ' ')}, {chain.reason}")
                return
            if (chain.rev or "") < commit.rev:
                yield Finding(did, f"it is at {chain.rev} here, and at {commit.rev} at its PDS")
                return
            if chain.rev != commit.rev:
                raise _Moved
            if (chain.commit_cid, chain.data) != (export.commit_cid, commit.data):
                yield Finding(did, f"its head at {commit.rev} is another than {CID(export.commit_cid)} here")
            async with aclosing(self._beside(connection, export)) as found:
                async for finding in found:
                    yield finding
        async for derived in check.check_records(connection, self._makers, did=did):
            if not derived.fetch:  # what is in doubt itself was found beside its PDS
                yield Finding(did, str(derived), "check")
        for late in await check.check_revs(connection, did):
            yield Finding(did, str(late), "check")

    async def _beside(self, connection: Connection, export: Export) -> Findings:
        """The records that differ."""
        commit, last = export.commit, Held("", None, is_sound=True)
        did = commit.did

        async def held() -> AsyncIterator[Held]:
            nonlocal last
            start = f"at://{did}/"
            rows = connection.cursor(HELD, start, f"at://{did}0", commit.rev, prefetch=_PREFETCH)
            async for uri, cid, is_sound in rows:
                last = Held(uri[len(start) :], cid, is_sound)
                yield last

        async with aclosing(differences(export.entries(self._makers.types), held())) as found:
            async for path, cid in found:
                uri = f"at://{did}/{path}"
                if cid is None:
                    yield Finding(did, f"{uri} is here, and is not in its repository")
                elif last.path != path:
                    if not await self._is_left_out(connection, export, path, cid):
                        yield Finding(did, f"{uri} is not here")
                elif last.cid is None:
                    yield Finding(did, f"{uri} is deleted here, and is in its repository")
                elif last.cid != cid:
                    yield Finding(did, f"{uri} is {CID(last.cid)} here, and {CID(cid)} in its repository")
                else:
                    yield Finding(did, f"{uri} is kept with bytes that are not those of its CID, or was not proven")

    async def _is_left_out(self, connection: Connection, export: Export, path: str, cid: bytes) -> bool:
        """Whether a record is not here since it is large, and stands under another key as well (`Effects.change`)."""
        block, collection = export.record(cid), path.partition("/")[0]
        if not is_large(block, self._makers.judge.judge_content(collection, block)):
            return False
        did = export.commit.did
        row = await connection.fetchrow(
            "select from records where uri > $1 and uri < $2 and cid = $3 limit 1",
            f"at://{did}/{collection}/",
            f"at://{did}/{collection}0",
            cid,
        )
        return row is not None
