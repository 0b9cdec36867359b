"""From one secret key to the next while grants are in use; the command is in tests/appview/commands."""

import asyncio

from appview.accounts.grants import Grants
from appview.accounts.resealing import reseal
from appview.accounts.vault import Vault
from appview.db import Connection, Pool
from tests.appview.accounts.granting import Authority, granted

OLD, NEW = "the former secret key of 32 letters", "the current secret key of 32 letters"


async def test_tokens_that_come_meanwhile_are_not_lost(pool: Pool, connection: Connection) -> None:
    vault = Vault([NEW, OLD])
    served = [Grants(pool, vault, Authority()) for _ in range(20)]
    numbers = [await Grants(pool, Vault([OLD]), Authority()).save(granted(seconds=-1), "session") for _ in served]
    await asyncio.gather(
        reseal(connection, vault, lambda _: None),
        *(grants.fresh(number) for grants, number in zip(served, numbers, strict=True)),
    )
    await reseal(connection, vault, lambda _: None)
    for number in numbers:
        assert (await Grants(pool, Vault([NEW]), Authority()).fresh(number)).access_token == "access-1"


async def test_what_was_changed_since_it_was_read_is_let_be(pool: Pool, connection: Connection) -> None:
    """A process that still seals under the former key is faster; what it wrote is done the next time."""
    former = Grants(pool, Vault([OLD]), Authority())
    number = await former.save(granted(seconds=-1), "session")
    async with pool.acquire() as other, other.transaction():
        await other.execute("update grants set version = version where id = $1", number)
        resealing = asyncio.create_task(reseal(connection, Vault([NEW, OLD]), lambda _: None))
        await asyncio.sleep(0.2)
        assert not resealing.done()
        newest = Vault([OLD]).seal(granted(name="9").as_secret(), purpose="grant", owner=f"{number} {granted().did}")
        await other.execute("update grants set sealed = $2 where id = $1", number, newest)
    assert await resealing == 0
    assert (await former.fresh(number)).access_token == "access-9"
    assert await reseal(connection, Vault([NEW, OLD]), lambda _: None) == 1


async def test_it_says_how_far_it_is(pool: Pool, connection: Connection) -> None:
    for _ in range(3):
        await Grants(pool, Vault([OLD]), Authority()).save(granted(), "session")
    said: list[int] = []
    assert await reseal(connection, Vault([NEW, OLD]), said.append) == 3
    assert said == [3]
