"""A process that makes one write and says what came of it: to be killed in the middle of that."""

import asyncio
import json
import sys

from appview.accounts.grants import Grants
from appview.accounts.oauth import OAuth
from appview.accounts.vault import Vault
from appview.db import create_pool
from appview.net.http import HttpClient
from appview.net.identity import IdentityResolver
from appview.net.lookup import Dns
from appview.net.policy import HostMap, Policy
from tests.appview.writes.stand import SECRET, config, writes_of
from tests.network import records
from tests.network.xrpc import Json


async def main(given: Json) -> None:
    dns = Dns()
    policy = Policy.development(HostMap.parse(f"localhost=127.0.0.1:{given['port']}"))
    async with (
        await create_pool(given["database_url"]) as pool,
        HttpClient(policy, lookup=dns.addresses) as http,
    ):
        oauth = OAuth(config(given["plc"]), http, IdentityResolver(http, dns, plc_url=given["plc"]))
        grants = Grants(pool, Vault([SECRET]), oauth)
        writes = writes_of(pool, grants, oauth, http)
        repo = writes.of(given["did"], given["grant"])
        written = await repo.create(records.TRACK, records.track("New"), key=given["key"])
    print(json.dumps(written))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
