"""`python -m appview keygen` and `rotate-keys`: from one secret key to the next, while grants are in use."""

import asyncio

from appview.accounts.grants import Grants
from appview.accounts.oauth import Begun
from appview.accounts.oauth.errors import GrantEnded
from appview.accounts.oauth.keys import ClientKeys
from appview.accounts.requests import keep
from appview.accounts.vault import Vault
from appview.config import Config
from appview.db import Pool, create_pool
from tests.appview.accounts.granting import Authority, granted
from tests.appview.commands.running import appview

OLD, NEW = "the former secret key of 32 letters", "the current secret key of 32 letters"


async def grants_under(url: str, secrets: list[str], count: int) -> list[int]:
    async with await create_pool(url, size=1) as pool:
        return [await grants(pool, secrets).save(granted(), "session") for _ in range(count)]


def grants(pool: Pool, secrets: list[str]) -> Grants:
    return Grants(pool, Vault(secrets), Authority())


async def opens(url: str, secrets: list[str], grant: int) -> bool:
    async with await create_pool(url, size=1) as pool:
        try:
            return (await grants(pool, secrets).fresh(grant)).access_token == "access-0"
        except GrantEnded:
            return False


async def execute(url: str, sql: str, *arguments: object) -> None:
    async with await create_pool(url, size=1) as pool:
        await pool.execute(sql, *arguments)


def test_a_key_is_new_each_time_and_good() -> None:
    one, other = appview("keygen"), appview("keygen")
    assert (one.code, one.error) == (0, "")
    assert one.out != other.out
    assert Config.load({"PLYR_SECRET_KEY": one.out.strip()}, dotenv=None).secret_key == one.out[:-1]


def test_from_one_key_to_the_next(database_url: str) -> None:
    numbers = asyncio.run(grants_under(database_url, [OLD], 450))
    numbers += asyncio.run(grants_under(database_url, [NEW, OLD], 2))
    ran = appview("rotate-keys", DATABASE_URL=database_url, SECRET_KEY=NEW, OLD_SECRET_KEYS=OLD)
    assert (ran.code, ran.error) == (0, "")
    assert OLD not in ran.out
    assert NEW not in ran.out
    assert ran.out.splitlines()[0] == "450 grants were sealed anew; 452 are sealed under PLYR_SECRET_KEY"
    assert ran.out.splitlines()[1] == "key 1 of PLYR_OLD_SECRET_KEYS may be dropped"
    assert all(asyncio.run(opens(database_url, [NEW], number)) for number in (numbers[0], numbers[449], numbers[451]))
    assert not asyncio.run(opens(database_url, [OLD], numbers[0]))
    again = appview("rotate-keys", DATABASE_URL=database_url, SECRET_KEY=NEW, OLD_SECRET_KEYS=OLD)
    assert again.out.startswith("0 grants were sealed anew")


def test_a_former_key_is_needed_as_long_as_its_client_key_is(database_url: str) -> None:
    asyncio.run(grants_under(database_url, [OLD], 1))
    asyncio.run(execute(database_url, "update grants set key_id = $1", ClientKeys([OLD]).ids[0]))
    settings = {"DATABASE_URL": database_url, "SECRET_KEY": NEW, "OLD_SECRET_KEYS": OLD}
    ran = appview("rotate-keys", **settings)
    assert "key 1 of PLYR_OLD_SECRET_KEYS is still needed: 1 grants began with its client's key" in ran.out
    asyncio.run(execute(database_url, "update grants set state = 'ending', reason = 'x', over_at = now()"))
    assert "may be dropped" in appview("rotate-keys", **settings).out


def test_a_former_key_is_needed_as_long_as_a_sign_in_is_under_way(database_url: str) -> None:
    async def begin() -> None:
        async with await create_pool(database_url, size=1) as pool:
            begun = Begun("", "state", {})
            await keep(pool, Vault([OLD]), begun, browser="browser", purpose="session", return_to="/")

    asyncio.run(begin())
    ran = appview("rotate-keys", DATABASE_URL=database_url, SECRET_KEY=NEW, OLD_SECRET_KEYS=OLD)
    assert "is still needed: 1 sign-ins began under it" in ran.out


def test_what_is_sealed_under_a_key_that_is_not_given_is_left_and_said(database_url: str) -> None:
    [number] = asyncio.run(grants_under(database_url, [OLD], 1))
    ran = appview("rotate-keys", DATABASE_URL=database_url, SECRET_KEY=NEW)
    assert ran.code == 1
    assert "1 grants are sealed under none of these keys" in ran.out
    assert asyncio.run(opens(database_url, [OLD], number))


def test_without_a_key_there_is_nothing_to_do_it_with(database_url: str) -> None:
    ran = appview("rotate-keys", DATABASE_URL=database_url)
    assert (ran.code, ran.out) == (2, "")
    assert "PLYR_SECRET_KEY is not set" in ran.error
