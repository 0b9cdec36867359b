"""Whom a request means: handles as the index has them, to DIDs. Nothing is looked up elsewhere."""

from collections.abc import Sequence
from typing import NamedTuple

from appview.db import Connection
from appview.reads.visibility import visible
from lexicons.formats import parse_at_uri


class Account(NamedTuple):
    """An account, and whether it is shown; if not, what its host says of it, and whether it was taken down here."""

    did: str
    shown: bool
    status: str | None
    taken_down: bool


async def account(connection: Connection, identifier: str) -> Account | None:
    """Which account is this DID or handle? None when none here is."""
    row = await connection.fetchrow(
        f"""
        select did, {visible("named.did")} as shown, status, taken_down
        from actors as named where {"did" if identifier.startswith("did:") else "handle"} = $1
        """,  # noqa: S608 - a column's name
        identifier if identifier.startswith("did:") else identifier.lower(),
    )
    return None if row is None else Account(*row)


async def with_dids(connection: Connection, uris: Sequence[str]) -> list[str]:
    """These AT-URIs with the DID in place of each handle, in the order given; without those whose handle is unknown."""
    named = {authority.lower() for uri in uris if not (authority := parse_at_uri(uri).authority).startswith("did:")}
    dids: dict[str, str] = {}
    if named:
        rows = await connection.fetch("select handle, did from actors where handle = any($1)", list(named))
        dids = {row["handle"]: row["did"] for row in rows}
    found = []
    for uri in uris:
        authority = parse_at_uri(uri).authority
        did = authority if authority.startswith("did:") else dids.get(authority.lower())
        if did is not None:
            found.append(f"at://{did}{uri.removeprefix(f'at://{authority}')}")
    return found
