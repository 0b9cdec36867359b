"""A worker that does nothing but forget one account: `python -m tests.appview.jobs.eraser DID`, by the environment's
settings. It ends when there is nothing to be done before the ingester has had its turn."""

import asyncio
import sys

from appview.config import Config
from appview.jobs.accounts import REVOCATIONS
from appview.jobs.erasure import ERASURE
from appview.jobs.family import Tools, open_tools, perform


async def main(did: str) -> None:
    async with open_tools(Config.load(dotenv=None)) as tools:
        while await tools.pool.fetchval("select state in ('deleting', 'forgetting') from erasures where did = $1", did):
            await perform(tools, ERASURE, did)
            await tell(tools)


async def tell(tools: Tools) -> None:
    """Do what is left to do about grants that are over."""
    for row in await tools.pool.fetch("select subject from jobs where kind = 'revocation'"):
        await perform(tools, REVOCATIONS, row["subject"])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
