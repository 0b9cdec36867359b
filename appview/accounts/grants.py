"""Grants: what accounts allowed us at their PDSes, kept sealed, with tokens that are good when they are handed out.

A refresh token is good once, and using it twice ends the grant (OA-51). So of all processes one asks for new tokens,
under a lease in the row (`grant_rows`); the others look at the row until it has them. Tokens are in the database before
anybody uses them (OA-54). No process remembers any: the row is read each time, by its key, and opening it takes some
microseconds, so there is no memory to be read by others, to grow, or to be of another opinion than the row.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeVar

import asyncpg

from appview.accounts import grant_rows
from appview.accounts.grant_rows import Kind, Row, State
from appview.accounts.oauth import Granted
from appview.accounts.oauth.errors import GrantEnded, OAuthError, ServerAway, ServerRefused
from appview.accounts.vault import Unopenable, Vault
from appview.db import AWAY, Pool

PURPOSE: Final = "grant"
"""What the sealed column of grants is for, as the vault knows it."""
FRESH_SECONDS: Final = 10.0
"""For how long tokens are good at least that are handed out, and for up to `SPREAD_SECONDS` more (OA-52)."""
SPREAD_SECONDS: Final = 30.0
LEASE_SECONDS: Final = 30.0
"""After which a process that said nothing is taken for gone; while it asks, it renews the lease more often."""
PATIENCE_SECONDS: Final = 45.0
"""How long somebody else's refresh is waited for: longer than it takes to find out that they are gone."""
AWAY_SECONDS: Final = 5.0
"""For which a server that could not be asked for new tokens is left alone."""

LOST: Final = "its server did not answer when it was last renewed, and no longer accepts it"
OVER: Final = "it was ended"
SEALED: Final = "it is sealed under a key that is no longer given"
GONE: Final = "there is no such grant"

_POLL_SECONDS: Final = 0.1
# A database that restarts is back by then, and the old tokens are dead anyway.
_STORE_PAUSES: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Server(Protocol):
    """What is asked of the accounts' authorization servers: `OAuth` in production."""

    async def refresh(self, granted: Granted) -> Granted:
        """The same grant with new tokens; the old ones are dead. Raises OAuthError."""

    async def revoke(self, granted: Granted) -> None:
        """Have its server forget the grant. Raises OAuthError."""


class Grants:
    """The grants of everybody; one a process."""

    def __init__(self, pool: Pool, vault: Vault, server: Server, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self._pool = pool
        self._lease_seconds = lease_seconds
        self._vault = vault
        self._server = server
        self._refreshes: dict[int, asyncio.Task[None]] = {}
        self._others: set[asyncio.Task[Any]] = set()

    async def aclose(self) -> None:
        """Wait for what was asked of servers: no answer that has new tokens may be missed."""
        await asyncio.gather(*self._refreshes.values(), *self._others, return_exceptions=True)

    async def save(self, granted: Granted, kind: Kind) -> int:
        """Keep a new grant; returns its id. It is over in a quarter of an hour unless somebody has it by then.

        Who: the browser of `sessions.sign_in`, or the token of `developer_tokens.create`.
        """
        id_ = await grant_rows.number(self._pool)
        await grant_rows.add(
            self._pool,
            id_,
            granted.did,
            kind,
            issuer=granted.issuer,
            scope=granted.scope,
            key_id=granted.key_id,
            sealed=self._seal(id_, granted),
        )
        return id_

    async def fresh(self, grant: int, *, refused: str | None = None) -> Granted:
        """The grant with an access token that is good for ten seconds or more; another than `refused`.

        A server that gives shorter ones is asked once each time. Where it is away, what is left of a token will do.
        Raises GrantEnded, and another OAuthError, mostly ServerAway, after which the grant is what it was.
        """
        margin = FRESH_SECONDS + random.uniform(0.0, SPREAD_SECONDS)  # noqa: S311 - spreads load, guards nothing
        row = await self._read(grant)
        granted = self._open(row)
        before = row.version
        while row.version == before and _is_to_refresh(granted, refused, margin):
            try:
                await self._refresh(row)
            except OAuthError:
                if _is_to_refresh(granted, refused, margin=1.0):
                    raise
                return granted
            row = await self._read(grant)
            granted = self._open(row)
        return granted

    async def scope(self, grant: int) -> str:
        """What was granted (OA-12). Raises GrantEnded."""
        return (await self._read(grant)).scope

    async def latest(self, did: str) -> int | None:
        """The newest grant of an account that somebody has; None when there is none."""
        newest: int | None = await self._pool.fetchval(
            "select id from grants where did = $1 and state = 'live' order by id desc limit 1", did
        )
        return newest

    async def end(self, grant: int, reason: str) -> None:
        """The grant is over at once; then its server is told, and its secrets are forgotten (OA-58).

        Where the server cannot be told now, or whoever calls is stopped, a job goes on with it.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            await grant_rows.condemn(connection, [grant], reason)
        await self._shielded(self.finish(grant))

    async def end_all(self, did: str, reason: str) -> None:
        """Every grant of an account is over, as in `end`."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch("select id from grants where did = $1 and state <> 'ended' order by id", did)
            grants = [row["id"] for row in rows]
            await grant_rows.condemn(connection, grants, reason)
        for grant in grants:
            await self._shielded(self.finish(grant))

    async def finish(self, grant: int, *, is_last: bool = False) -> bool:
        """Tell the server of a grant that is ending, and forget its secrets; True when both is done.

        With `is_last` the secrets are forgotten whatever the server says.
        """
        row = await grant_rows.take(self._pool, grant, ("ending",), None, seconds=self._lease_seconds, is_asking=False)
        if row is None:
            now = await grant_rows.read(self._pool, grant)
            return now is None or now.state != "ending"
        try:
            await self._held(row, self._server.revoke(self._opened(row)))
        except Unopenable as error:
            _log.warning("grant %d cannot be revoked: %s", grant, error)
        except OAuthError as error:
            _log.info("the server of grant %d could not be told that it is over: %s", grant, error)
            if error.temporary and not is_last:
                await grant_rows.give_back(self._pool, row, is_unanswered=row.is_unanswered, away_seconds=0.0)
                return False
        return await grant_rows.bury(self._pool, row, row.reason or OVER)

    async def _read(self, grant: int) -> Row:
        """The grant, which is not over. Raises GrantEnded."""
        row = await grant_rows.read(self._pool, grant)
        if row is None:
            raise _ended(GONE)
        if row.state not in ("new", "live"):
            raise _ended(row.reason or OVER)
        return row

    def _open(self, row: Row) -> Granted:
        """Raises GrantEnded where the key is gone: its account can sign in again, and the row waits for the key."""
        try:
            return self._opened(row)
        except Unopenable as error:
            _log.error("grant %d does not open: %s", row.id, error)
            raise _ended(SEALED) from error

    def _opened(self, row: Row) -> Granted:
        """Raises Unopenable."""
        return Granted.from_secret(self._vault.open(row.sealed or b"", purpose=PURPOSE, owner=owner(row.id, row.did)))

    def _seal(self, id_: int, granted: Granted) -> bytes:
        return self._vault.seal(granted.as_secret(), purpose=PURPOSE, owner=owner(id_, granted.did))

    async def _refresh(self, row: Row) -> None:
        """Have somebody get new tokens in place of those of `row`: this process does so once, whoever waits for it."""
        running = self._refreshes.get(row.id)
        if running is None:
            running = asyncio.create_task(self._refresh_once(row))
            self._refreshes[row.id] = running
            running.add_done_callback(lambda done: self._forget(row.id, done))
        await asyncio.shield(running)

    def _forget(self, grant: int, done: asyncio.Task[None]) -> None:
        del self._refreshes[grant]
        # Whoever asked may be gone, and then nobody else looks at how it came out.
        if not done.cancelled():
            done.exception()

    async def _refresh_once(self, row: Row) -> None:
        """Take the lease and ask, or wait until whoever has it is done; returns when the row is to be read again."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            taken = await grant_rows.take(
                self._pool, row.id, ("new", "live"), row.version, seconds=self._lease_seconds, is_asking=True
            )
            if taken is not None:
                return await self._ask(taken)
            now = await grant_rows.read(self._pool, row.id)
            if now is None or now.version != row.version or now.state not in ("new", "live"):
                return None
            if now.is_away:
                raise ServerAway("the account's server could not be asked a moment ago")
            await asyncio.sleep(random.uniform(0.5, 1.5) * _POLL_SECONDS)  # noqa: S311 - spreads load
        raise ServerAway("the account's server takes too long to renew the grant")

    async def _ask(self, taken: Row) -> None:
        """Get new tokens and store them; the lease is ours. Raises OAuthError, but for GrantEnded, which is noted."""
        try:
            old = self._opened(taken)
            new = await self._held(taken, self._server.refresh(old))
        except GrantEnded as error:
            reason = LOST if taken.is_unanswered else str(error)
            _log.info("grant %d of %s is over: %s", taken.id, taken.did, reason)
            await grant_rows.bury(self._pool, taken, reason)
        except OAuthError as error:
            # A refusal for another reason, which leaves the grant as it was, is an answer at least.
            is_unanswered = taken.is_unanswered or not isinstance(error, ServerRefused)
            await grant_rows.give_back(self._pool, taken, is_unanswered=is_unanswered, away_seconds=AWAY_SECONDS)
            raise
        else:
            await self._store(taken, new)

    async def _held(self, taken: Row, asking: Coroutine[Any, Any, _T]) -> _T:
        """What comes of `asking`, which is never interrupted; the lease is kept as long as it takes."""
        task = self._task(asking)
        while not (await asyncio.wait([task], timeout=self._lease_seconds / 3))[0]:
            with suppress(asyncpg.PostgresError, *AWAY):
                await grant_rows.renew(self._pool, taken, seconds=self._lease_seconds)
        return task.result()

    async def _store(self, taken: Row, new: Granted) -> None:
        """Keep the new tokens, since the old ones are dead, or have them revoked (OA-54)."""
        sealed = self._seal(taken.id, new)
        is_over = True
        try:
            state = await self._stored(taken, new.scope, sealed)
            # By somebody who could not know of these. If others were stored first, a revocation would end those too.
            is_over = state == "ended"
            if state is not None:
                _log.warning("new tokens of grant %d came too late: it has others, or is over", taken.id)
        finally:
            if is_over:
                with suppress(OAuthError):
                    await self._server.revoke(new)

    async def _stored(self, taken: Row, scope: str, sealed: bytes) -> State | None:
        """As `grant_rows.store`, tried again while the database is away, but not for ever."""
        for pause in _STORE_PAUSES:
            try:
                return await grant_rows.store(self._pool, taken, scope=scope, sealed=sealed)
            except AWAY:
                await asyncio.sleep(pause)
        return await grant_rows.store(self._pool, taken, scope=scope, sealed=sealed)

    def _task(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.create_task(work)
        self._others.add(task)
        task.add_done_callback(self._others.discard)
        return task

    def _shielded(self, work: Coroutine[Any, Any, _T]) -> Awaitable[_T]:
        return asyncio.shield(self._task(work))


def owner(grant: int, did: str) -> str:
    """The row of a grant, as the vault knows it."""
    return f"{grant} {did}"


def _ended(reason: str) -> GrantEnded:
    return GrantEnded(f"the grant is over: {reason}")


def _is_to_refresh(granted: Granted, refused: str | None, margin: float) -> bool:
    if granted.access_token == refused:
        return True
    return granted.expires_at is not None and (granted.expires_at - datetime.now(UTC)).total_seconds() < margin
