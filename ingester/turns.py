"""The counts behind accounts that were hidden, or shown again: one account at a time, some of it at a time."""

import asyncio

from appview.db import Connection
from appview.index import shift
from appview.jobs.rows import Job
from ingester.writer import Writer


class Turns:
    """Moves what such accounts add to the counts."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def shift(self, job: Job) -> None:
        """Move all that the job's DID adds to the counts. Half of the time is others': behind each step is a pause
        that is as long.
        """
        clock = asyncio.get_running_loop().time
        is_over = False

        async def step(connection: Connection, _now: object) -> None:
            nonlocal is_over
            is_over = await shift.step(connection, job.subject)

        while not is_over:
            await self._writer.room()
            began = clock()
            self._writer.act(step)
            await self._writer.durable()
            await asyncio.sleep(clock() - began)
        self._writer.batch.finish(job)
        self._writer.wake()
