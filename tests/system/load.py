"""Accounts on the real PDSes of the test network that write all the time."""

import asyncio
import random
from typing import Any

from tests.network import records
from tests.network.network import Network
from tests.network.pds import User
from tests.network.repo import Written, create, delete, update
from tests.system.odd import GHOST
from tests.writer.repo import tid

MOST = 12
"""Records in one commit, at most."""


class Load:
    """Some accounts, which write, edit and delete in batches, and like each other's tracks."""

    def __init__(self, rng: random.Random, users: list[User]) -> None:
        self.users = users
        self.written = 0
        self._rng = rng
        self._records: dict[str, list[tuple[str, str]]] = {user.did: [] for user in users}
        self._songs = [GHOST["uri"]]
        self._made = 0
        self._now = 1_750_000_000_000_000

    @classmethod
    async def of(cls, network: Network, rng: random.Random, accounts: int) -> "Load":
        """A load of `accounts` new accounts, by turns on each PDS."""
        users = [
            await network.create_account("load", pds=network.pds[number % len(network.pds)])
            for number in range(accounts)
        ]
        return cls(rng, users)

    async def run(self) -> None:
        """Write for ever: each account one commit after the other, all of them at once."""
        async with asyncio.TaskGroup() as tasks:
            for user in self.users:
                tasks.create_task(self._write(user))

    async def _write(self, user: User) -> None:
        while True:
            await self.commit(user)
            await asyncio.sleep(self._rng.uniform(0.0, 0.1))

    async def commit(self, user: User) -> None:
        """One commit of a few writes; now and then the account is away for a moment."""
        if self._rng.random() < 0.01:
            await user.deactivate()
            await user.activate()
            return
        mine = self._records[user.did]
        self._rng.shuffle(mine)
        writes = []
        count = self._rng.randint(1, MOST)
        for collection, rkey in mine[: self._rng.randrange(count)]:
            if self._rng.random() < 0.5:
                mine.remove((collection, rkey))
                writes.append(delete(collection, rkey))
            else:
                writes.append(update(collection, rkey, self._record(collection)))
        for _ in range(count - len(writes)):
            collection = self._rng.choice((records.TRACK, records.LIKE, records.LIKE, records.COMMENT, records.LIST))
            rkey = self._tid()
            writes.append(create(collection, self._record(collection), rkey))
            mine.append((collection, rkey))
            if collection == records.TRACK:
                self._songs.append(f"at://{user.did}/{collection}/{rkey}")
        await user.apply_writes(*writes)
        self.written += len(writes)

    def _record(self, collection: str) -> Any:
        """Some record, like no other: of two that are the same, the PDS forgets the one block when one is deleted."""
        self._made += 1
        return self._some_record(collection) | {"createdAt": f"2026-03-01T12:00:00.{self._made:09d}Z"}

    def _some_record(self, collection: str) -> dict[str, Any]:
        songs = [Written(self._rng.choice(self._songs[-20:]), GHOST["cid"], None) for _ in range(3)]
        number = self._rng.randrange(100)
        match collection:
            case records.TRACK:
                return records.track(f"Song {number}")
            case records.LIKE:
                return records.like(songs[0])
            case records.COMMENT:
                return records.comment(songs[0], timestamp_ms=number)
            case _:
                return records.playlist(*songs, name=f"Mix {number}")

    def _tid(self) -> str:
        self._now += 1_000
        return tid(self._now)
