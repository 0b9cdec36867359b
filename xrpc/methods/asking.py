"""What handlers have in common: the index at one moment, and what a request asks about, or the error that it is not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from appview.db import Connection
from appview.reads import names, responses
from xrpc.context import Context
from xrpc.cursors import Key, encode
from xrpc.errors import XrpcError

WAIT_SECONDS: Final = 1.0
"""For a connection: whoever gets none within it is told to come back."""


@asynccontextmanager
async def reading(ctx: Context) -> AsyncIterator[Connection]:
    """A connection each statement of which sees the index as it then is: for an answer that rests on one of them.

    What follows it in further statements may then be newer, and is shown only where it still may be.
    """
    async with ctx.pool.acquire(timeout=WAIT_SECONDS) as connection:
        yield connection


@asynccontextmanager
async def snapshot(ctx: Context) -> AsyncIterator[Connection]:
    """A connection that sees the index as it is at this moment, whatever is written meanwhile."""
    async with (
        ctx.pool.acquire(timeout=WAIT_SECONDS) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield connection


async def shown_account(connection: Connection, actor: str) -> str:
    """The DID of the account, given by DID or handle, if it is visible.

    Raises NotFound, AccountTakedown or AccountDeactivated (AC-07), and tells nothing else of it.
    """
    account = await names.account(connection, actor)
    if account is None or (account.status == "deleted" and not account.shown):
        raise XrpcError(400, "NotFound", "No such account is indexed here.")
    if account.shown:
        return account.did
    if account.taken_down or account.status in {"takendown", "suspended"}:
        raise XrpcError(400, "AccountTakedown", "The account was taken down or suspended.")
    raise XrpcError(400, "AccountDeactivated", "The account is not active at present.")


async def shown_track(connection: Connection, uri: str) -> str:
    """The address of the track, its account as a DID, if it is shown. Raises NotFound."""
    for known in await names.with_dids(connection, [uri]):
        if await responses.is_shown(connection, known):
            return known
    raise XrpcError(400, "NotFound", "There is no such track here.")


def cursor_after(kind: str, keys: tuple[Key, ...] | None) -> dict[str, str]:
    """The `cursor` of an answer whose last row has these keys; without keys none, since there is no more (XR-20)."""
    return {} if keys is None else {"cursor": encode(kind, *keys)}
