"""Whom a request means: handles as the index has them, to DIDs. Nothing is looked up elsewhere."""

from collections.abc import Iterable, Sequence
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


async def dids(connection: Connection, identifiers: Sequence[str]) -> list[str]:
    """The DIDs that these DIDs and handles name, in the order given, each once; without handles that are unknown."""
    known = await _by_handle(connection, (name for name in identifiers if not name.startswith("did:")))
    named = (name if name.startswith("did:") else known.get(name.lower()) for name in identifiers)
    return list(dict.fromkeys(did for did in named if did is not None))


async def with_dids(connection: Connection, uris: Sequence[str]) -> list[str]:
    """These AT-URIs with the DID in place of each handle, in the order given; without those whose handle is unknown."""
    authorities = [parse_at_uri(uri).authority for uri in uris]
    known = await _by_handle(connection, (name for name in authorities if not name.startswith("did:")))
    found = []
    for uri, authority in zip(uris, authorities, strict=True):
        did = authority if authority.startswith("did:") else known.get(authority.lower())
        if did is not None:
            found.append(f"at://{did}{uri.removeprefix(f'at://{authority}')}")
    return found


async def _by_handle(connection: Connection, handles: Iterable[str]) -> dict[str, str]:
    """The DIDs of those of these handles that somebody has; in no statement when there are none."""
    asked = {handle.lower() for handle in handles}
    if not asked:
        return {}
    rows = await connection.fetch("select handle, did from actors where handle = any($1)", list(asked))
    return {row["handle"]: row["did"] for row in rows}
