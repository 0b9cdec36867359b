"""Somebody who signed in here: what they do through us, and what is in their repository then, by their own PDS."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

import httpx

from appview.accounts import developer_tokens
from appview.index import pending
from tests.network.network import Network
from tests.network.pds import User
from tests.network.sign_in import consent
from tests.network.xrpc import Json
from tests.xrpc.client import Client

if TYPE_CHECKING:
    from xrpc.accounts import Accounts

TRACK: Final[Json] = {
    "$type": "fm.plyr.track",
    "title": "Song",
    "artist": "Artist",
    "fileType": "mp3",
    "createdAt": "2026-03-01T12:00:00.000Z",
}


class Bearer(httpx.Auth):
    """Sends a developer token with each request."""

    def __init__(self, text: str) -> None:
        self._text = text

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._text}"
        yield request


class Writer:
    """`client` asks as the account `user` of some PDS; `did` is theirs."""

    def __init__(self, client: Client, user: User) -> None:
        self.client = client
        self.user = user
        self.did = user.did

    async def do(self, method: str, key: str | None = None, **values: Any) -> Any:
        """What a procedure of ours answers."""
        return await self.client.do(method, key, **values)

    async def refused(self, method: str, key: str | None = None, **values: Any) -> str:
        """The name of the error with which it is refused; each of these is a 400."""
        status, name = await self.client.refused_to_do(method, key, **values)
        assert status == 400, name
        return name

    async def publish(self, **fields: Any) -> Json:
        """A new track of theirs; its `uri` and `cid`."""
        written = await self.do(
            "com.atproto.repo.createRecord", repo=self.did, collection="fm.plyr.track", record=TRACK | fields
        )
        return {"uri": written["uri"], "cid": written["cid"]}

    async def there(self, collection: str) -> list[Json]:
        """The records of a collection of ours, as their PDS has them, by key: `uri`, `cid` and `value`."""
        name = f"fm.plyr.{collection}"
        answer = await self.user.query(
            "com.atproto.repo.listRecords", repo=self.did, collection=name, limit=100, reverse="true"
        )
        return list(answer["records"])

    async def record(self, uri: str) -> Json:
        """One record as their PDS has it."""
        _, _, _, collection, rkey = uri.split("/")
        answer = await self.user.query("com.atproto.repo.getRecord", repo=self.did, collection=collection, rkey=rkey)
        return dict(answer["value"])


async def sign_in(server: Client, network: Network, user: User, scope: str | None = None) -> Writer:
    """Have `user` allow us what we ask for, or the `scope` of it, as in a browser, and give them a developer token."""
    accounts: Accounts = server.app.state.accounts
    begun = await accounts.oauth.begin(user.did, scope=scope)
    callback = await consent(network.session, begun.url, user)
    granted = await accounts.oauth.complete(begun.secret, dict(parse_qsl(urlsplit(callback).query)))
    grant = await accounts.grants.save(granted, "token")
    expires_at = datetime.now(UTC) + timedelta(days=1)
    text = await developer_tokens.create(accounts.pool, user.did, grant, "test", expires_at)
    await pending.track(accounts.pool, user.did)
    return Writer(server.signed_in(Bearer(text)), user)
