"""Which shard a repository belongs to: one, the same here and in SQL."""

import pytest

from appview.db import Connection
from ingester.shard import Shard

DIDS = [f"did:plc:{number:024x}" for number in range(400)] + ["did:web:artist.test", "did:web:localhost%3A2583"]


def test_it_reads_as_it_is_written() -> None:
    assert Shard.parse("2/11") == Shard(2, 11)
    assert str(Shard(2, 11)) == "2/11"


@pytest.mark.parametrize("total", [1, 2, 3, 7, 64])
def test_each_repository_belongs_to_one(total: int) -> None:
    owners = [[shard for shard in range(total) if Shard(shard, total).owns(did)] for did in DIDS]
    assert {len(owner) for owner in owners} == {1}
    shares = [sum(owner == [shard] for owner in owners) for shard in range(total)]
    assert max(shares) < 3 * len(DIDS) / total


async def test_the_database_says_the_same(connection: Connection) -> None:
    rows = await connection.fetch("select did, shard_of(did, 7) as number from unnest($1::text[]) as did", DIDS)
    assert all(Shard(row["number"], 7).owns(row["did"]) for row in rows)
