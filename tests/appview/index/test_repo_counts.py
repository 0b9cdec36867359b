"""How many repositories are how far: exact, whoever writes them, and one row is read for each state."""

from collections.abc import Iterable
from datetime import UTC, datetime

from appview.db import Connection
from appview.index import actors, repos
from appview.index.recount import differences
from appview.index.repos import Chain, Status
from tests.appview.index.samples import did


async def save(connection: Connection, people: Iterable[int], status: Status) -> None:
    chains = [Chain(did(n), status, None, None, None, None, "test") for n in people]
    await repos.save(connection, chains, datetime.now(UTC))


async def counts(connection: Connection) -> dict[str, int]:
    assert await differences(connection) == []
    return {row["status"]: row["n"] for row in await connection.fetch("select * from repo_counts where n <> 0")}


async def test_repositories_are_counted_as_they_come_move_and_go(connection: Connection) -> None:
    await save(connection, range(5), "in_progress")
    assert await counts(connection) == {"in_progress": 5}
    # Some are there already, and some of those are where they were.
    await save(connection, range(3, 9), "synchronized")
    await save(connection, range(2, 5), "in_progress")
    assert await counts(connection) == {"in_progress": 5, "synchronized": 4}
    await actors.set_status(connection, did(0), active=False, status="deleted", now=datetime.now(UTC))
    assert await actors.purge(connection, did(0))
    assert await counts(connection) == {"in_progress": 4, "synchronized": 4}
    await connection.execute("update repos set status = 'desynchronized', reason = 'a gap' where did > $1", did(4))
    assert await counts(connection) == {"in_progress": 4, "desynchronized": 4}
    await connection.execute("truncate repos")
    assert await counts(connection) == {}
