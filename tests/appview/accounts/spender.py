"""Another process that spends: `python -m tests.appview.accounts.spender REDIS-URL KEY COUNT SECONDS TRIES`."""

import asyncio
import sys

from prometheus_client import CollectorRegistry

from appview.accounts.rates import Charge, Limit, Rates
from appview.accounts.replays import connect_redis


async def main(url: str, key: str, count: str, seconds: str, tries: str) -> None:
    """Print how many of `tries`, all at once, were allowed."""
    redis = connect_redis(url)
    rates = Rates(redis, CollectorRegistry(), patience=5.0)
    charge = Charge(key, Limit(int(count), int(seconds)))
    try:
        spent = await asyncio.gather(*(rates.spend([charge]) for _ in range(int(tries))))
    finally:
        await redis.aclose()
    print(sum(one.allowed for one in spent))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
