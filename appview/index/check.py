"""Does the index agree with itself? Every record against its bytes and its projection, every counter against its rows.

Reading disturbs nobody: each page is one snapshot. Repairs are short transactions that lock the index.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

from appview.db import Connection
from appview.index import actors, recount
from appview.index.lock import index_lock
from appview.index.rebuild import (
    Held,
    Makers,
    incoming,
    orphans,
    page,
    rebuild,
    remove,
    some,
)
from appview.index.records import Incoming, RecordType
from appview.index.search import differences as search
from appview.index.tolerance import Judgement
from appview.jobs.rows import want
from lexicons.data import CID


class Finding(NamedTuple):
    """Something that is not as it should be with a record, or with a row that has none."""

    uri: str
    what: str
    fetch: bool = False
    """Whether the record itself is in doubt, and its repository is to be fetched again."""

    def __str__(self) -> str:
        return f"{self.uri}: {self.what}"


async def check_records(
    connection: Connection, makers: Makers, on_progress: Callable[[int], None] = lambda _: None, *, did: str = ""
) -> AsyncIterator[Finding]:
    """Everything that is not as it should be with a record that is kept (of `did`, where one is named), in the order of
    their URIs.
    """
    after, end, done = (f"at://{did}/", f"at://{did}0", 0) if did else ("", "", 0)
    while True:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            records = await page(connection, after, end)
            findings = await _check_page(connection, makers, records)
        for finding in findings:
            yield finding
        if not records:
            return
        after = records[-1].uri
        done += len(records)
        on_progress(done)


async def check_orphans(connection: Connection, makers: Makers) -> list[Finding]:
    """Every projection row that belongs to no shown record."""
    return [
        Finding(orphan.uri, f"there is a row in {orphan.table}, and no record that is shown")
        for orphan in await orphans(connection, makers)
    ]


async def check_revs(connection: Connection, did: str = "") -> list[Finding]:
    """Every record (of `did`, where one is named) that is said to be later than its repository, which is whole: the
    versions that follow would be taken for older ones. What was written through us, and is on its way, is none.
    """
    rows = await connection.fetch(
        """
        select uri, records.rev, repos.rev as last from records join repos using (did)
        where repos.status = 'synchronized' and records.rev > repos.rev
            and not exists (select from pending where pending.uri = records.uri)
            and ($1 = '' or (uri > 'at://' || $1 || '/' and uri < 'at://' || $1 || '0'))
        order by uri
        """,
        did,
    )
    return [Finding(row["uri"], f"it is of rev {row['rev']}, and its repository at {row['last']}") for row in rows]


async def check_proofs(connection: Connection) -> list[Finding]:
    """Every record that is known by the word of its PDS alone, and that nobody waits for to be proven."""
    rows = await connection.fetch(
        """
        select uri from records
        where proven_by = 'write' and not exists (select from pending where pending.uri = records.uri) order by uri
        """
    )
    return [Finding(row["uri"], "it was written through us, and never proven", fetch=True) for row in rows]


async def repair(connection: Connection, makers: Makers, found: Sequence[Finding]) -> None:
    """Set right what was found: rows from their records, then counters from rows, and what is found in a search; and
    fetch what is in doubt itself.
    """
    uris = list(dict.fromkeys(finding.uri for finding in found))
    for start in range(0, len(uris), 500):
        async with connection.transaction():
            await index_lock(connection)
            await connection.execute(
                """
                update records set rev = repos.rev from repos
                where uri = any($1::text[]) and repos.did = records.did and repos.status = 'synchronized'
                    and records.rev > repos.rev
                    and not exists (select from pending where pending.uri = records.uri)
                """,
                uris[start : start + 500],
            )
            records = await some(connection, uris[start : start + 500])
            await actors.see(connection, [record.did for record in records])
            await rebuild(connection, makers, records)
    await remove(connection, makers, await orphans(connection, makers))
    doubtful = {finding.uri.split("/")[2] for finding in found if finding.fetch}
    async with connection.transaction():
        await index_lock(connection)
        await want(connection, "fetch", doubtful, note="check")
    await recount.repair(connection, await recount.differences(connection))
    await search.repair(connection, await search.differences(connection))


async def _check_page(connection: Connection, makers: Makers, records: Sequence[Held]) -> list[Finding]:
    judged = [(record, makers.judgement(record)) for record in records]
    found = [finding for record, judgement in judged for finding in _check_record(record, judgement)]
    dids = {record.did for record in records}
    known = await connection.fetch("select did from actors where did = any($1::text[])", list(dids))
    strangers = dids - {row["did"] for row in known}
    found += [
        Finding(record.uri, "its account is not among the actors") for record in records if record.did in strangers
    ]
    for nsid, kind in makers.types.items():
        come = [
            shown
            for record, judgement in judged
            if record.collection == nsid and (shown := incoming(record, judgement)) is not None
        ]
        if come:
            found += await _check_projection(connection, kind, come)
    return found


def _check_record(record: Held, judgement: Judgement | None) -> list[Finding]:
    found = []
    if record.uri.split("/")[2:4] != [record.did, record.collection]:
        found.append(Finding(record.uri, "the account or the collection beside it is another", fetch=True))
    if record.value is None or record.cid is None:
        return found
    if record.cid != CID.of(record.value):
        found.append(Finding(record.uri, "its bytes are not those of its CID", fetch=True))
    if judgement is None:
        return found
    if record.verdict != judgement.verdict:
        found.append(Finding(record.uri, f"it is held to be {record.verdict} and is {judgement.verdict}"))
    elif record.deviations != judgement.noted:
        found.append(Finding(record.uri, "what is noted of its deviations is not what they are"))
    return found


async def _check_projection(connection: Connection, kind: RecordType, shown: Sequence[Incoming]) -> list[Finding]:
    stored = await kind.stored(connection, [record.uri for record in shown])
    found = []
    for record in shown:
        row = stored.get(record.uri)
        expected = kind.expected(record, row)
        if row == expected:
            continue
        if row is None:
            what = f"it has no row in {kind.table}"
        elif expected is None:
            what = f"it has a row in {kind.table} and should have none"
        else:
            names = [*kind.column_names, "items"]
            unequal = [name for name, a, b in zip(names, row, expected, strict=False) if a != b]
            what = f"its row in {kind.table} has another {', '.join(unequal)}"
        found.append(Finding(record.uri, what))
    return found
