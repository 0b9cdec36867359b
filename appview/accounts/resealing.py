"""From one secret key to the next: what is sealed under former ones is sealed anew, while everything runs."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from appview.accounts.grants import PURPOSE, owner
from appview.accounts.oauth.keys import ClientKeys
from appview.accounts.vault import KEY_NAME, Unopenable, Vault
from appview.db import Connection

AT_ONCE: Final = 200
"""Grants in one statement."""


class Use(NamedTuple):
    """What a secret key is still needed for."""

    sealed: int
    """Grants that are sealed under it."""
    under_way: int
    """Sign-ins that began under it; they are over within ten minutes."""
    client: int
    """Grants that began with the client's key made of it, and must go on with that (OA-21)."""


async def reseal(connection: Connection, vault: Vault, progress: Callable[[int], None]) -> int:
    """Seal every grant under the current key that is sealed under another; returns how many those were.

    What does not open is left as it is, and so is what somebody else changes meanwhile: that is sealed anew already.
    `progress` is told how many have been looked at. One that was stopped may be begun again: what is done is done.
    """
    looked_at, done, last = 0, 0, -1
    while True:
        rows = await connection.fetch(
            """
            select id, did, sealed from grants
            where id > $1 and sealed is not null and substring(sealed for $2) <> $3 order by id limit $4
            """,
            last,
            KEY_NAME,
            vault.key_names[0],
            AT_ONCE,
        )
        if not rows:
            return done
        done += await _reseal(connection, vault, [tuple(row) for row in rows])
        last, looked_at = rows[-1]["id"], looked_at + len(rows)
        progress(looked_at)


async def _reseal(connection: Connection, vault: Vault, rows: Sequence[tuple[int, str, bytes]]) -> int:
    anew: list[tuple[int, bytes, bytes]] = []
    for id_, did, sealed in rows:
        try:
            secret = vault.open(sealed, purpose=PURPOSE, owner=owner(id_, did))
        except Unopenable:
            continue
        anew.append((id_, sealed, vault.seal(secret, purpose=PURPOSE, owner=owner(id_, did))))
    changed = await connection.fetch(
        """
        with former as (
            select grants.id, anew.sealed
            from grants join unnest($1::bigint[], $2::bytea[], $3::bytea[]) as anew (id, former, sealed)
                on grants.id = anew.id and grants.sealed = anew.former
            order by grants.id for update of grants
        )
        update grants set sealed = former.sealed from former where grants.id = former.id
        returning 1
        """,
        [id_ for id_, _, _ in anew],
        [former for _, former, _ in anew],
        [sealed for _, _, sealed in anew],
    )
    return len(changed)


async def uses(connection: Connection, secrets: Sequence[str]) -> tuple[list[Use], Use]:
    """What each of `secrets` is still needed for, in their order, and what is of keys that are none of them."""
    sealed = await _counts(connection, _SEALED, KEY_NAME)
    under_way = await _counts(connection, _UNDER_WAY, KEY_NAME)
    client = await _counts(connection, _CLIENT)
    found = []
    for secret in secrets:
        (name,), (key_id,) = Vault([secret]).key_names, ClientKeys([secret]).ids
        found.append(Use(sealed.pop(name, 0), under_way.pop(name, 0), client.pop(key_id, 0)))
    return found, Use(sum(sealed.values()), sum(under_way.values()), sum(client.values()))


_SEALED: Final = "select substring(sealed for $1), count(*) from grants where sealed is not null group by 1"
_UNDER_WAY: Final = "select substring(sealed for $1), count(*) from oauth_requests where expires_at > now() group by 1"
_CLIENT: Final = "select key_id, count(*) from grants where state in ('new', 'live') and key_id is not null group by 1"


async def _counts(connection: Connection, query: str, *arguments: object) -> dict[object, int]:
    return {row[0]: row[1] for row in await connection.fetch(query, *arguments)}
