"""A copy of what no PDS holds: written as one snapshot, and read back into a database, empty or not.

Lines of JSON: the first says what it is and of which version, then each is a row of a table, and the last tells how
many there are of each and the SHA-256 of all before it. What is sealed stays sealed, and is of use only with the secret
key that it is sealed under; tokens and cookies are the digests that the tables have.

What is in the database goes before what is in the file, since it is as new or newer; of two preferences the later one
counts. What is older than the last time that its account was forgotten is not put back, by what the database and the
file know of that. So a file may be restored again, or into a system that runs; of several, the newest comes first.
"""

import hashlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from appview.accounts.vault import KEY_NAME
from appview.db import Connection
from appview.index import actors
from appview.index.lock import index_lock

VERSION: Final = 1
AT_ONCE: Final = 500
"""Rows in one statement."""

_NAME: Final = "plyr-appview backup"
_TAKEDOWNS: Final = "takedowns"
_DUMPS: Final[Mapping[str, str]] = {
    "forgotten": "select to_jsonb(forgotten)::text from forgotten order by account",
    "grants": "select to_jsonb(grants)::text from grants order by id",
    "browsers": """
        select (to_jsonb(browsers) || jsonb_build_object('accounts', (
            select jsonb_agg(to_jsonb(held) order by did) from browser_accounts as held where browser = browsers.id
        )))::text
        from browsers where exists (select from browser_accounts where browser = browsers.id) order by id
    """,
    "developer_tokens": "select to_jsonb(developer_tokens)::text from developer_tokens order by id",
    "preferences": "select to_jsonb(preferences)::text from preferences order by did",
    "erasures": "select to_jsonb(erasures)::text from erasures order by did",
    _TAKEDOWNS: "select jsonb_build_object('did', did)::text from actors where taken_down order by did",
}
"""What is copied, in the order in which it is restored: what leads to other rows comes behind them."""

_IS_LATER: Final = """
    not exists (
        select from forgotten where account = sha256(convert_to(given.did, 'UTF8')) and at >= given.{since}
    )
"""
"""Of a row that is given: its account was not forgotten since."""


class BadBackup(Exception):
    """A file is no backup, or not a whole one; the message is one sentence."""


class Outcome(NamedTuple):
    """What became of the rows of a table."""

    table: str
    given: int
    restored: int
    left_out: int
    """Not put back: sealed under a key that is not given, at the place of something else, or of an account that was
    forgotten since. The rest was here.
    """


async def dump(connection: Connection, at: datetime) -> AsyncIterator[bytes]:
    """The lines of a backup, as of one instant; `at` is what it says of when that was."""
    checksum, counts = hashlib.sha256(), Counter[str]()
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        last = await connection.fetchval("select coalesce(max(id), 0) from grants")
        line = _line({"backup": _NAME, "version": VERSION, "at": at, "last_grant": last})
        checksum.update(line)
        yield line
        for table, sql in _DUMPS.items():
            async for (row,) in connection.cursor(sql, prefetch=AT_ONCE):
                line = b'{"table":"%b","row":%b}\n' % (table.encode(), row.encode())
                checksum.update(line)
                counts[table] += 1
                yield line
    yield _line({"end": counts, "sha256": checksum.hexdigest()})


class Backup:
    """The file of a backup, found to be whole."""

    def __init__(self, path: Path) -> None:
        """Reads all of it once. Raises BadBackup, OSError."""
        checksum, counts = hashlib.sha256(), Counter[str]()
        self._path: Final = path
        with path.open("rb") as file:
            first = file.readline()
            head = _parsed(first)
            if head.get("backup") != _NAME or not isinstance(head.get("version"), int):
                raise BadBackup(f"{path} is no backup of ours.")
            if head["version"] > VERSION:
                raise BadBackup(
                    f"{path} is of version {head['version']}, and a newer version of this program reads it."
                )
            self.at: Final = str(head["at"])
            self.last_grant: Final = int(head["last_grant"])
            checksum.update(first)
            for line in file:
                said = _parsed(line)
                if "end" in said:
                    break
                checksum.update(line)
                counts[str(said.get("table"))] += 1
            else:
                raise BadBackup(f"{path} is not whole: its last line is missing.")
            if said != {"end": counts, "sha256": checksum.hexdigest()} or file.read(1):
                raise BadBackup(f"{path} was changed after it was written: its checksum is of something else.")
        self.counts: Final[Mapping[str, int]] = counts

    def rows(self, table: str) -> Iterator[list[dict[str, Any]]]:
        """The rows of a table, some at a time."""
        start = b'{"table":"%b",' % table.encode()
        with self._path.open("rb") as file:
            found = (_parsed(line)["row"] for line in file if line.startswith(start))
            while some := list(itertools.islice(found, AT_ONCE)):
                yield some


async def restore(connection: Connection, backup: Backup, keys: Collection[bytes], *, dry_run: bool) -> list[Outcome]:
    """Put back what is not here, all of it or nothing, but for the takedowns, which follow one by one.

    `keys` are the names of the secret keys that are given (`Vault.key_names`). With `dry_run` nothing is changed.
    """
    if not dry_run:
        # Before its number, a grant that is made meanwhile would take the place of one in the file.
        await connection.execute(
            """
            select setval(pg_get_serial_sequence('grants', 'id'), greatest($1, nextval(
                pg_get_serial_sequence('grants', 'id')
            )))
            """,
            backup.last_grant,
        )
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("create temp table restored (grant_id bigint primary key) on commit drop")
        outcomes = [
            await _forgotten(connection, backup),
            await _grants(connection, backup, list(keys)),
            await _browsers(connection, backup),
            await _tokens(connection, backup),
            await _preferences(connection, backup),
            await _erasures(connection, backup),
        ]
    except BaseException:
        await transaction.rollback()
        raise
    await (transaction.rollback() if dry_run else transaction.commit())
    return [*outcomes, await _takedowns(connection, backup, dry_run=dry_run)]


async def _forgotten(connection: Connection, backup: Backup) -> Outcome:
    restored = 0
    for rows in backup.rows("forgotten"):
        restored += await _insert(
            connection,
            "forgotten",
            rows,
            "where true on conflict (account) do update set at = excluded.at where forgotten.at < excluded.at",
        )
    return _outcome(backup, "forgotten", restored, backup.counts.get("forgotten", 0))


async def _grants(connection: Connection, backup: Backup, keys: Sequence[bytes]) -> Outcome:
    restored = 0
    for rows in backup.rows("grants"):
        restored += await _insert(
            connection,
            "grants",
            rows,
            f"""
            where (sealed is null or substring(sealed for {KEY_NAME}) = any($2::bytea[]))
                and {_IS_LATER.format(since="created_at")}
            on conflict do nothing
            """,
            keys,
        )
        # Another may have its number by now: what is sealed is sealed for that number and its account.
        await connection.execute(
            """
            insert into restored
            select held.id from jsonb_populate_recordset(null::grants, $1::text::jsonb) as given
            join grants as held on (held.id, held.did, held.created_at) = (given.id, given.did, given.created_at)
            """,
            _array(rows),
        )
    there = await connection.fetchval("select count(*) from restored")
    return _outcome(backup, "grants", restored, there)


async def _browsers(connection: Connection, backup: Backup) -> Outcome:
    """Browsers have another number afterwards; they are known by their cookies."""
    restored = there = 0
    for rows in backup.rows("browsers"):
        there += await connection.fetchval(
            """
            with given as (
                select * from jsonb_to_recordset($1::text::jsonb)
                    as row (cookie bytea, signed_in_at timestamptz, seen_at timestamptz, accounts jsonb)
            )
            select count(*) from given where exists (
                select from jsonb_to_recordset(accounts) as held (grant_id bigint) join restored using (grant_id)
            )
            """,
            _array(rows),
        )
        restored += await _browsers_of(connection, _array(rows))
    return _outcome(backup, "browsers", restored, there)


async def _browsers_of(connection: Connection, rows: str) -> int:
    given = """
        select row.cookie, row.signed_in_at, row.seen_at, held.did, held.grant_id, held.chosen_at
        from jsonb_to_recordset($1::text::jsonb)
            as row (cookie bytea, signed_in_at timestamptz, seen_at timestamptz, accounts jsonb)
        cross join jsonb_to_recordset(accounts) as held (did text, grant_id bigint, chosen_at timestamptz)
        join restored using (grant_id)
        where not exists (select from browser_accounts as taken where taken.grant_id = held.grant_id)
    """
    made = await connection.execute(
        f"""
        insert into browsers (cookie, signed_in_at, seen_at)
        select distinct cookie, signed_in_at, seen_at from ({given}) as given on conflict do nothing
        """,  # noqa: S608 - a constant
        rows,
    )
    await connection.execute(
        f"""
        insert into browser_accounts (browser, did, grant_id, chosen_at)
        select browsers.id, did, grant_id, chosen_at from ({given}) as given join browsers using (cookie)
        on conflict do nothing
        """,  # noqa: S608 - a constant
        rows,
    )
    return _number(made)


async def _tokens(connection: Connection, backup: Backup) -> Outcome:
    restored = there = 0
    for rows in backup.rows("developer_tokens"):
        there += await connection.fetchval(
            "select count(*) from restored where grant_id = any($1::bigint[])", [row["grant_id"] for row in rows]
        )
        bare = [{name: value for name, value in row.items() if name != "id"} for row in rows]
        restored += await _insert(
            connection,
            "developer_tokens",
            bare,
            "where grant_id in (select grant_id from restored) on conflict do nothing",
        )
    return _outcome(backup, "developer_tokens", restored, there)


async def _preferences(connection: Connection, backup: Backup) -> Outcome:
    is_later = _IS_LATER.format(since="updated_at")
    restored = there = 0
    for rows in backup.rows("preferences"):
        given = "jsonb_populate_recordset(null::preferences, $1::text::jsonb) as given"
        there += await connection.fetchval(
            f"select count(*) from {given} where {is_later}",  # noqa: S608 - a condition of our own
            _array(rows),
        )
        restored += await _insert(
            connection,
            "preferences",
            rows,
            f"""
            where {is_later}
            on conflict (did) do update set value = excluded.value, updated_at = excluded.updated_at
            where preferences.updated_at < excluded.updated_at
            """,
        )
    return _outcome(backup, "preferences", restored, there)


async def _erasures(connection: Connection, backup: Backup) -> Outcome:
    """Not of accounts that are followed here: they have come back since, and want to keep their records."""
    restored = there = 0
    for rows in backup.rows("erasures"):
        there += await connection.fetchval(
            """
            select count(*) from unnest($1::text[]) as given (did) where exists (
                select from erasures where erasures.did = given.did
            ) or not exists (select from repos where repos.did = given.did)
            """,
            [row["did"] for row in rows],
        )
        restored += await _insert(
            connection,
            "erasures",
            rows,
            "where not exists (select from repos where repos.did = given.did) on conflict do nothing",
        )
    return _outcome(backup, "erasures", restored, there)


async def _takedowns(connection: Connection, backup: Backup, *, dry_run: bool) -> Outcome:
    restored = 0
    for rows in backup.rows(_TAKEDOWNS):
        new = await connection.fetch(
            """
            select did from unnest($1::text[]) as given (did)
            where not exists (select from actors where actors.did = given.did and taken_down)
            """,
            [row["did"] for row in rows],
        )
        restored += len(new)
        for row in () if dry_run else new:
            async with connection.transaction():
                await index_lock(connection)
                await actors.set_taken_down(connection, row["did"], taken_down=True)
    return _outcome(backup, _TAKEDOWNS, restored, backup.counts.get(_TAKEDOWNS, 0))


async def _insert(
    connection: Connection, table: str, rows: Sequence[Mapping[str, Any]], condition: str, *more: object
) -> int:
    """Insert `rows`, those of their columns that the table still has; returns how many were."""
    there = await connection.fetch(
        "select quote_ident(column_name) as name from information_schema.columns"
        " where table_schema = 'public' and table_name = $1 and column_name = any($2::text[])",
        table,
        list(rows[0]),
    )
    columns = ", ".join(column["name"] for column in there)
    return _number(
        await connection.execute(
            f"""
            insert into {table} ({columns}) overriding system value
            select {columns} from jsonb_populate_recordset(null::{table}, $1::text::jsonb) as given {condition}
            """,  # noqa: S608 - names of our own
            _array(rows),
            *more,
        )
    )


def _outcome(backup: Backup, table: str, restored: int, there: int) -> Outcome:
    given = backup.counts.get(table, 0)
    return Outcome(table, given, restored, given - there)


def _array(rows: Sequence[Mapping[str, Any]]) -> str:
    return orjson.dumps(rows).decode()


def _number(done: str) -> int:
    """Of `INSERT 0 7`, the 7."""
    return int(done.rpartition(" ")[2])


def _line(said: Mapping[str, Any]) -> bytes:
    return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise BadBackup("The file is no backup of ours, or was cut off: a line of it is no JSON.") from None
    if not isinstance(said, dict):
        raise BadBackup("The file is no backup of ours: a line of it is no object.")
    return said
