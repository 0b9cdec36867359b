"""What a backup holds, and what becomes of it in another database, or in the same."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from appview import db
from appview.accounts import backups, developer_tokens, erasure, preferences, sessions
from appview.accounts.backups import Backup, BadBackup, Outcome, dump, restore
from appview.accounts.grants import Grants
from appview.accounts.vault import Vault
from appview.db import Connection, Pool
from tests.appview.accounts.granting import SECRET, Authority, granted
from tests.appview.accounts.rows import ALICE, BOB
from tests.database import Server
from tests.index_writer import IndexWriter

AT = datetime(2026, 11, 23, 3, tzinfo=UTC)
CAROL = "did:plc:vs3hnzq2daqbszxlysywzy54"

NOT_IN_IT = {
    # The index: from the PDSes, the relays and the records again.
    "actor_counts actors bsky_profiles comments dead_letters did_documents discoveries follows generators held_frames",
    "jobs likes list_items lists pending places plays profiles ranked rankings records repo_counts repos",
    "search_documents search_names search_postings search_words shards shifts subject_counts totals tracks upstreams",
    # Over within minutes, or settled by looking at the PDS; who asks again may do something twice.
    "coming_likes oauth_requests write_intents",
    # How well things go.
    "echoes echo_hosts",
    "schema_migrations",
}
"""Tables that no backup holds, but for `actors.taken_down`."""


class Stand:
    """A server with accounts, and another database to restore into."""

    def __init__(self, pool: Pool, other: Pool, folder: Path) -> None:
        self.pool = pool
        self.other = other
        self.file = folder / "backup"
        self.vault = Vault([SECRET])
        self.authority = Authority()

    def grants(self, pool: Pool) -> Grants:
        return Grants(pool, self.vault, self.authority)

    async def save(self) -> Backup:
        async with self.pool.acquire() as connection:
            self.file.write_bytes(b"".join([line async for line in dump(connection, AT)]))
        return Backup(self.file)

    async def restore(
        self, backup: Backup, *, into: "Pool | None" = None, vault: Vault | None = None, dry_run: bool = False
    ) -> dict[str, tuple[int, int, int]]:
        keys = (vault or self.vault).key_names
        async with (into or self.other).acquire() as connection:
            outcomes: list[Outcome] = await restore(connection, backup, keys, dry_run=dry_run)
        return {table: tuple(numbers) for table, *numbers in outcomes if any(numbers)}  # type: ignore[misc]


@pytest.fixture
async def stand(pool: Pool, database_server: Server, tmp_path: Path) -> AsyncIterator[Stand]:
    # Made by the server's own loop, as this test's is running already.
    name = database_server._name()
    await pool.execute(f"create database {name} template {database_server._template}")
    async with await db.create_pool(database_server.at(name), size=4) as other:
        yield Stand(pool, other, tmp_path)
    await pool.execute(f"drop database {name} with (force)")


async def sign_in(stand: Stand, pool: Pool, did: str = ALICE) -> tuple[str, int]:
    grant = await stand.grants(pool).save(granted(did), "session")
    return await sessions.sign_in(pool, None, did, grant), grant


async def make_token(stand: Stand, pool: Pool, did: str = ALICE) -> str:
    grant = await stand.grants(pool).save(granted(did), "token")
    return await developer_tokens.create(pool, did, grant, "scrobbler", datetime.now(UTC) + timedelta(days=9))


async def fill(stand: Stand) -> tuple[str, str]:
    """Something of everything; a cookie and a token."""
    cookie, _ = await sign_in(stand, stand.pool)
    token = await make_token(stand, stand.pool)
    async with stand.pool.acquire() as connection:
        await preferences.put(connection, ALICE, [{"$type": "x#y", "on": True, "n": 7}])
        await IndexWriter(connection).set_taken_down(BOB, True)
    await erasure.request_erasure(stand.pool, CAROL, 0, records=False)
    return cookie, token


WHOLE = {
    "grants": (2, 2, 0),
    "browsers": (1, 1, 0),
    "developer_tokens": (1, 1, 0),
    "preferences": (1, 1, 0),
    "erasures": (1, 1, 0),
    "takedowns": (1, 1, 0),
}
HERE = {table: (given, 0, 0) for table, (given, _, _) in WHOLE.items()}


async def test_what_is_restored_works(stand: Stand) -> None:
    cookie, token = await fill(stand)
    assert await stand.restore(await stand.save()) == WHOLE
    session = await sessions.find(stand.other, cookie)
    assert session is not None
    assert session.current is not None
    assert session.current.did == ALICE
    found = await developer_tokens.find(stand.other, token)
    assert found is not None
    assert found.did == ALICE
    grants = stand.grants(stand.other)
    assert (await grants.fresh(session.current.grant)).access_token == "access-0"
    renewed = await grants.fresh(session.current.grant, refused="access-0")
    assert renewed.access_token == "access-1"
    await grants.aclose()
    async with stand.other.acquire() as connection:
        assert await preferences.of(connection, ALICE) == [{"$type": "x#y", "on": True, "n": 7}]
    assert await stand.other.fetchval("select visible from actors where did = $1", BOB) is False
    asked = await erasure.erasure_of(stand.other, CAROL)
    assert asked == await erasure.erasure_of(stand.pool, CAROL)
    _, newer = await sign_in(stand, stand.other, BOB)
    assert newer > found.grant, "no number is given twice"


async def test_what_was_restored_may_be_so_again(stand: Stand) -> None:
    await fill(stand)
    backup = await stand.save()
    assert await stand.restore(backup, dry_run=True) == WHOLE
    assert await stand.other.fetchval("select count(*) from grants") == 0
    await stand.restore(backup)
    before = [tuple(row) for row in await stand.other.fetch("select * from grants")]
    assert await stand.restore(backup) == HERE
    assert await stand.restore(backup, into=stand.pool) == HERE
    assert [tuple(row) for row in await stand.other.fetch("select * from grants")] == before


async def test_what_is_newer_here_stays(stand: Stand) -> None:
    cookie, _ = await fill(stand)
    backup = await stand.save()
    session = await sessions.find(stand.pool, cookie)
    assert session is not None
    assert session.current is not None
    await stand.grants(stand.pool).fresh(session.current.grant, refused="access-0")
    async with stand.pool.acquire() as connection:
        await preferences.put(connection, ALICE, [])
    assert await stand.restore(backup, into=stand.pool) == HERE
    assert (await stand.grants(stand.pool).fresh(session.current.grant)).access_token == "access-1"
    async with stand.pool.acquire() as connection:
        assert await preferences.of(connection, ALICE) == []
    await stand.restore(backup)
    await stand.pool.execute("update preferences set value = '[1]', updated_at = now() + interval '1 s'")
    await stand.restore(await stand.save())
    assert await stand.other.fetchval("select value from preferences") == [1], "the later one counts"


async def test_a_grant_at_whose_place_another_is_is_left_out_with_what_hangs_on_it(stand: Stand) -> None:
    cookie, token = await fill(stand)
    backup = await stand.save()
    theirs, _ = await sign_in(stand, stand.other, BOB)
    again, _ = await sign_in(stand, stand.other, ALICE)
    restored = await stand.restore(backup)
    assert restored["grants"] == (2, 0, 2)
    assert restored["browsers"] == restored["developer_tokens"] == (1, 0, 1)
    assert await sessions.find(stand.other, cookie) is None
    assert await developer_tokens.find(stand.other, token) is None
    assert await sessions.find(stand.other, theirs) is not None
    assert await sessions.find(stand.other, again) is not None
    assert await stand.other.fetchval("select count(*) from browsers") == 2


async def test_what_is_sealed_under_another_key_is_left_out(stand: Stand) -> None:
    await fill(stand)
    backup = await stand.save()
    other = Vault(["a secret key of somebody else's, who has the file"])
    restored = await stand.restore(backup, vault=other)
    assert restored["grants"] == (2, 0, 2)
    assert (restored["browsers"], restored["preferences"]) == ((1, 0, 1), (1, 1, 0))
    both = Vault(["the new secret key of this very server, made since", SECRET])
    assert (await stand.restore(backup, vault=both))["grants"] == (2, 2, 0)


async def test_who_came_back_since_is_not_forgotten_again(stand: Stand) -> None:
    await fill(stand)
    backup = await stand.save()
    async with stand.other.acquire() as connection:
        await IndexWriter(connection).account(CAROL)
    assert (await stand.restore(backup))["erasures"] == (1, 0, 1)
    assert await erasure.erasure_of(stand.other, CAROL) is None


async def erase(stand: Stand) -> None:
    """Have Alice forgotten, to the end."""
    await erasure.request_erasure(stand.pool, ALICE, 0, records=False)
    asked = await erasure.erasure_of(stand.pool, ALICE)
    assert asked is not None
    await erasure.end_forgetting(stand.pool, asked)
    async with stand.pool.acquire() as connection:
        await erasure.end_purging(connection, ALICE)


@pytest.mark.parametrize("came_back", [False, True])
async def test_who_was_forgotten_since_is_not_brought_back(stand: Stand, came_back: bool) -> None:
    cookie, token = await fill(stand)
    older = await stand.save()
    await erase(stand)
    again = ""
    if came_back:
        async with stand.pool.acquire() as connection:
            await IndexWriter(connection).account(ALICE)
        again, _ = await sign_in(stand, stand.pool)
        assert await erasure.erasure_of(stand.pool, ALICE) is None
    restored = await stand.restore(older, into=stand.pool)
    assert [restored[table][1:] for table in ("grants", "browsers", "developer_tokens", "preferences")] == [
        (0, 2),
        (0, 1),
        (0, 1),
        (0, 1),
    ]
    assert await sessions.find(stand.pool, cookie) is None
    assert await developer_tokens.find(stand.pool, token) is None
    assert await stand.pool.fetchval("select count(*) from preferences") == 0
    # And elsewhere, by what the newer file knows of it.
    stand.file = stand.file.with_name("newer")
    assert (await stand.restore(await stand.save()))["forgotten"] == (1, 1, 0)
    await stand.restore(older)
    assert await stand.other.fetchval("select count(*) from grants") == came_back
    assert await stand.other.fetchval("select count(*) from preferences") == 0
    if came_back:
        assert await sessions.find(stand.other, again) is not None


async def test_it_is_of_one_instant(stand: Stand) -> None:
    await fill(stand)
    async with stand.pool.acquire() as connection:
        lines = dump(connection, AT)
        said = [await anext(lines)]
        await stand.pool.execute("delete from preferences")
        await make_token(stand, stand.pool)
        said += [line async for line in lines]
    stand.file.write_bytes(b"".join(said))
    assert Backup(stand.file).counts == {table: given for table, (given, _, _) in WHOLE.items()}


async def test_nothing_in_it_lets_anybody_in(stand: Stand) -> None:
    cookie, token = await fill(stand)
    await stand.save()
    text = stand.file.read_text()
    for secret in (cookie, token, "access-0", "refresh-0", "private-key", SECRET):
        assert secret not in text
        assert secret.encode().hex() not in text


async def test_every_table_is_in_it_or_need_not_be(connection: Connection) -> None:
    rows = await connection.fetch("select table_name from information_schema.tables where table_schema = 'public'")
    there = {row["table_name"] for row in rows}
    taken = set(re.findall(r"from (\w+)", " ".join(backups._DUMPS.values()))) - {"actors"}
    left = {name for line in NOT_IN_IT for name in line.split()}
    assert there == taken | left
    assert taken & left == set()


async def test_columns_come_and_go(stand: Stand) -> None:
    await fill(stand)
    await stand.pool.execute("alter table preferences add column gone text default 'x'")
    backup = await stand.save()
    await stand.other.execute("alter table preferences add column added text not null default 'y'")
    assert (await stand.restore(backup))["preferences"] == (1, 1, 0)
    assert await stand.other.fetchval("select added from preferences") == "y"


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda lines: lines[:-1], "is not whole"),
        (lambda lines: lines[:-2], "is not whole"),
        (lambda lines: [*lines[:-2], lines[-1]], "checksum"),
        (lambda lines: [*lines, lines[1]], "checksum"),
        (lambda lines: [lines[0], lines[1].replace(b"alive", b"dead") + b" ", *lines[2:]], "checksum"),
        (lambda lines: [*lines[:2], lines[2].replace(b"1", b"2", 1), *lines[3:]], "checksum"),
        (lambda lines: [*lines[:2], lines[2][:40]], "cut off"),
        (lambda lines: [lines[0].replace(b'"version":1', b'"version":2'), *lines[1:]], "a newer version"),
        (lambda lines: lines[1:], "is no backup of ours"),
        (lambda lines: [b"PGDMP\x00\xff"], "is no backup of ours"),
        (lambda lines: [b"[]"], "is no backup of ours"),
        (lambda lines: [], "is no backup of ours"),
    ],
)
async def test_what_is_not_whole_is_not_restored(stand: Stand, harm: Any, said: str) -> None:
    await fill(stand)
    await stand.save()
    stand.file.write_bytes(
        b"".join(line if line.endswith(b"\n") else line + b"\n" for line in harm(stand.file.read_bytes().splitlines()))
    )
    with pytest.raises(BadBackup, match=said):
        Backup(stand.file)


async def test_a_failure_leaves_nothing_half_restored(stand: Stand) -> None:
    await fill(stand)
    backup = await stand.save()
    await stand.other.execute("alter table preferences add check (did = '')")
    with pytest.raises(asyncpg.CheckViolationError):
        await stand.restore(backup)
    assert await stand.other.fetchval("select count(*) from grants") == 0


def test_the_first_line_says_what_it_is() -> None:
    line = backups._line({"backup": backups._NAME, "version": 1, "at": AT, "last_grant": 0})
    assert orjson.loads(line)["at"] == "2026-11-23T03:00:00+00:00"
