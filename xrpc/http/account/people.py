"""Accounts as they are shown to their owners: by the index, and where that knows too little, by their own documents."""

import asyncio
from collections.abc import Sequence
from typing import Final

from appview.net.errors import IdentityError
from appview.net.identity import IdentityResolver
from xrpc.availability import within
from xrpc.context import Context
from xrpc.http.account.render import Person
from xrpc.methods.asking import reading

QUERY_SECONDS: Final = 3.0
LOOKUP_SECONDS: Final = 2.0
_NO_HANDLE: Final = "handle.invalid"


async def people_of(ctx: Context, identities: IdentityResolver, dids: Sequence[str]) -> list[Person]:
    """These accounts, in this order. Raises Unavailable."""
    known = {person.did: person for person in await within(QUERY_SECONDS, _indexed(ctx, dids))}
    people = [known.get(did, Person(did)) for did in dids]
    return list(await asyncio.gather(*(_with_handle(identities, person) for person in people)))


async def _indexed(ctx: Context, dids: Sequence[str]) -> list[Person]:
    async with reading(ctx) as connection:
        views = await ctx.views.basics(connection, dids)
    return [
        Person(
            view["did"],
            view.get("displayName"),
            None if view["handle"] == _NO_HANDLE else view["handle"],
            view.get("avatar"),
        )
        for view in views
    ]


async def _with_handle(identities: IdentityResolver, person: Person) -> Person:
    """`person`, their handle looked up where the index does not know it yet: they have just signed in."""
    if person.handle is not None:
        return person
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            return person._replace(handle=(await identities.resolve(person.did)).handle)
    except (IdentityError, TimeoutError):
        return person
