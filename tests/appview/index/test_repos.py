"""The rev that a fetch must bring: it rises, and is met only by a repository that is whole."""

from datetime import UTC, datetime, timedelta

from appview.db import Connection
from appview.index import repos
from appview.index.repos import Audited, Chain, Status

DID = "did:web:artist.test"
REVS = ["3kaaaaaaaaaa2", "3kaaaaaaaaab2", "3kaaaaaaaaac2"]


async def needs(connection: Connection, status: Status, rev: str | None, needed: str | None) -> str | None:
    await repos.save(connection, [Chain(DID, status, rev, None, None, needed, "test")], datetime.now(UTC))
    chain = (await repos.known(connection, [DID]))[DID].chain
    assert chain is not None
    return chain.needs_rev


async def test_what_was_proven_to_exist_is_needed_until_it_is_here(connection: Connection) -> None:
    assert await needs(connection, "in_progress", REVS[0], REVS[1]) == REVS[1]
    assert await needs(connection, "in_progress", REVS[0], None) == REVS[1]
    assert await needs(connection, "in_progress", REVS[0], REVS[0]) == REVS[1]
    assert await needs(connection, "desynchronized", REVS[0], REVS[2]) == REVS[2]
    assert await needs(connection, "synchronized", REVS[2], None) is None


async def test_the_longest_not_audited_comes_first_and_each_once_a_round(connection: Connection) -> None:
    began = datetime(2026, 11, 22, tzinfo=UTC)
    for number in range(8):
        at = None if number in {1, 5} else began - timedelta(days=7 * number % 5 + 1)
        await connection.execute(
            "insert into repos (did, status, reason, status_at, audited_at) values ($1, 'synchronized', '', now(), $2)",
            f"did:web:{number}.test",
            at,
        )
    rows = await connection.fetch("select audited_at, did from repos order by audited_at nulls first, did")
    everything = [Audited(*row) for row in rows]
    counts = []
    for shard in ((0, 1), (0, 2), (1, 2)):
        round_, last = list[Audited](), Audited(None, "")
        while page := await repos.to_audit(connection, shard, last, began, 2):
            round_ += page
            last = page[-1]
            # What is audited meanwhile is not met again.
            await repos.save_audited(connection, [one.did for one in page], began + timedelta(seconds=1))
        counts.append(len(round_))
        assert round_ == [one for one in everything if one in round_]
        await connection.executemany("update repos set audited_at = $1 where did = $2", everything)
    assert counts == [8, 4, 4]
