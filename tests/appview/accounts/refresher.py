"""A process that wants fresh tokens of one grant many times at once: `refresher.py DATABASE TOKEN_URL GRANT TIMES`.

It prints a line when it is ready, waits for one, and prints the access tokens that it got.
"""

import asyncio
import json
import sys

from appview.accounts.grants import Grants
from appview.accounts.vault import Vault
from appview.db import create_pool
from tests.appview.accounts.granting import SECRET, Remote


async def main(database_url: str, token_url: str, grant: int, times: int) -> None:
    async with await create_pool(database_url, size=3) as pool:
        grants = Grants(pool, Vault([SECRET]), Remote(token_url))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        all_granted = await asyncio.gather(*(grants.fresh(grant) for _ in range(times)))
        print(json.dumps([granted.access_token for granted in all_granted]), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
