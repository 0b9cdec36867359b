"""What a listener chose: a list of objects by type, private to them, kept here alone."""

from typing import Any, Final, TypeAlias

import asyncpg
import orjson

from appview.db import Connection

Preferences: TypeAlias = list[dict[str, Any]]
"""As `server.defs#preferences` has them, as JSON."""

MAX_BYTES: Final = 64 * 1024
"""Of one account's preferences, as JSON."""


class Unstorable(ValueError):
    """Preferences that are not kept; the message is one sentence that says why."""


async def of(connection: Connection, did: str) -> Preferences:
    """What did the account choose? Empty where it never chose."""
    chosen: Preferences | None = await connection.fetchval("select value from preferences where did = $1", did)
    return chosen or []


async def put(connection: Connection, did: str, chosen: Preferences) -> None:
    """Keep this in place of all that the account chose before. Raises Unstorable."""
    size = len(orjson.dumps(chosen))
    if size > MAX_BYTES:
        raise Unstorable(f"The preferences come to {size} bytes of JSON, and {MAX_BYTES} are kept.")
    try:
        await connection.execute(
            """
            insert into preferences (did, value) values ($1, $2)
            on conflict (did) do update set value = excluded.value, updated_at = now()
            """,
            did,
            chosen,
        )
    except asyncpg.UntranslatableCharacterError:
        raise Unstorable("A preference holds a NUL, which cannot be kept.") from None
