"""One PDS of the test network, as its operator sees it, and the accounts on it."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from tests.network.frames import Frame, FrameStream, subscribe
from tests.network.launch import PdsAddress
from tests.network.repo import Repo
from tests.network.xrpc import Host, Json

PASSWORD = "correct horse"


class ControlError(Exception):
    """The network's control refused what was asked of it."""


class Control:
    """The network's switches, over HTTP."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def put(self, path: str, text: str) -> None:
        """Set what `path` names to `text`; an empty text removes it."""
        async with self._session.put(f"{self._url}/{path}", data=text) as response:
            await _require_ok(response)

    async def post(self, path: str) -> None:
        """Do what `path` names, and return when it is done."""
        async with self._session.post(f"{self._url}/{path}") as response:
            await _require_ok(response)

    async def get(self, path: str) -> Json:
        """The JSON that `path` names."""
        async with self._session.get(f"{self._url}/{path}") as response:
            await _require_ok(response)
            return dict(await response.json())


async def _require_ok(response: aiohttp.ClientResponse) -> None:
    if not response.ok:
        raise ControlError(await response.text())


class Pds(Host):
    """PDS `number` (1, 2, ...) of the network."""

    def __init__(self, control: Control, session: aiohttp.ClientSession, address: PdsAddress, number: int, admin: str):
        super().__init__(session, address.url)
        self.did = address.did
        self.handle_domain = address.handle_domain
        self.number = number
        self._control = control
        self._admin = "Basic " + base64.b64encode(f"admin:{admin}".encode()).decode()

    async def stop(self) -> None:
        """Take it off the network: its port refuses connections, its streams are closed, its data stays."""
        await self._control.post(f"pds/{self.number}/stop")

    async def start(self) -> None:
        """Put it back after `stop`, on the same port."""
        await self._control.post(f"pds/{self.number}/start")

    async def last_seq(self) -> int:
        """The sequence number of its newest event, sent or about to be; 0 before the first."""
        return int((await self._control.get(f"pds/{self.number}"))["seq"])

    @asynccontextmanager
    async def capture(self) -> AsyncIterator["Capture"]:
        """Watch its stream, from the next event on, live."""
        cursor = await self.last_seq()
        async with subscribe(self.url, cursor) as stream:
            yield Capture(self, stream, cursor)

    async def replay(self, cursor: int = 0) -> list[Frame]:
        """What it answers now to a subscriber with that cursor."""
        async with subscribe(self.url, cursor) as stream:
            return await Capture(self, stream, cursor).frames()

    async def create_account(self, handle: str, *, did: str | None = None, invitation: str | None = None) -> "User":
        """Make an account with a repo, or, with `did` and that account's token for us, one to migrate to: inactive."""
        request: Json = {"handle": handle, "email": f"{handle}@mail.test", "password": PASSWORD}
        if did:
            request["did"] = did
        session = await self.procedure(
            "com.atproto.server.createAccount", request, f"Bearer {invitation}" if invitation else None
        )
        return User(self, session["did"], session["handle"], session["accessJwt"])

    async def take_down(self, did: str, *, uri: str | None = None, cid: str | None = None, undo: bool = False) -> None:
        """Take down an account, or with `uri` and `cid` a record, as this PDS's operator; or undo that."""
        subject = {"$type": "com.atproto.admin.defs#repoRef", "did": did}
        if uri:
            subject = {"$type": "com.atproto.repo.strongRef", "uri": uri, "cid": str(cid)}
        takedown = {"applied": not undo} | ({} if undo else {"ref": "test"})
        await self.procedure(
            "com.atproto.admin.updateSubjectStatus", {"subject": subject, "takedown": takedown}, self._admin
        )

    async def mailed_token(self, did: str, purpose: str) -> str:
        """The token that it mailed to an account's owner for `purpose` (`plc_operation`, `delete_account`)."""
        return str((await self._control.get(f"pds/{self.number}/mail/{did}"))[purpose])


class Capture:
    """A PDS's stream as it runs, which knows when it has everything."""

    def __init__(self, pds: Pds, stream: FrameStream, cursor: int) -> None:
        self.stream = stream
        self._pds = pds
        self._seen = cursor

    async def frames(self) -> list[Frame]:
        """Every frame since the last call, up to the newest event that the PDS has written by now: no idle wait.

        A PDS answers a cursor with older frames too, those written before the subscription and polled after it; they
        are left out.
        """
        newest = await self._pds.last_seq()
        if newest <= self._seen:
            return []
        frames = [frame for frame in await self.stream.until_seq(newest) if frame.seq > self._seen]
        self._seen = newest
        return frames


class User(Repo):
    """An account on a PDS, signed in."""

    def __init__(self, pds: Pds, did: str, handle: str, token: str) -> None:
        super().__init__(pds, did, token)
        self.pds = pds
        self.handle = handle

    async def update_handle(self, handle: str) -> None:
        """Take another handle: of the PDS's domain, or one that already names this DID."""
        await self.procedure("com.atproto.identity.updateHandle", {"handle": handle})
        self.handle = handle

    async def deactivate(self) -> None:
        """Have the PDS hide the account until it is activated again."""
        await self.procedure("com.atproto.server.deactivateAccount", {})

    async def activate(self) -> None:
        """Undo `deactivate`; the end of a migration too."""
        await self.procedure("com.atproto.server.activateAccount")

    async def delete_account(self) -> None:
        """Delete the account and all of its records, with the token that the PDS mails for that."""
        await self.procedure("com.atproto.server.requestAccountDelete")
        token = await self.pds.mailed_token(self.did, "delete_account")
        request = {"did": self.did, "password": PASSWORD, "token": token}
        await self.pds.procedure("com.atproto.server.deleteAccount", request)

    async def service_token(self, audience: str, method: str) -> str:
        """A token by which this account calls `method` of the service whose DID is `audience`."""
        granted = await self.query("com.atproto.server.getServiceAuth", aud=audience, lxm=method)
        return str(granted["token"])

    async def migrate(self, to: Pds) -> "User":
        """Move to another PDS: repo, blobs, identity. The account there is active, its handle of that PDS's domain."""
        create_account = "com.atproto.server.createAccount"
        handle = self.handle.partition(".")[0] + to.handle_domain
        token = await self.service_token(to.did, create_account)
        moved = await to.create_account(handle, did=self.did, invitation=token)
        await moved.procedure("com.atproto.repo.importRepo", await self.get_repo(), "application/vnd.ipld.car")
        await self._move_blobs(moved)
        await self._move_identity(moved)
        await moved.activate()
        await self.deactivate()
        return moved

    async def _move_blobs(self, moved: "User") -> None:
        missing = await moved.query("com.atproto.repo.listMissingBlobs")
        for blob in missing["blobs"]:
            data = await self.pds.query_bytes("com.atproto.sync.getBlob", did=self.did, cid=blob["cid"])
            await moved.upload_blob(data, "application/octet-stream")

    async def _move_identity(self, moved: "User") -> None:
        """Have the old PDS, whose key the directory trusts, sign an operation that names the new one's keys."""
        credentials = await moved.query("com.atproto.identity.getRecommendedDidCredentials")
        await self.procedure("com.atproto.identity.requestPlcOperationSignature")
        token = await self.pds.mailed_token(self.did, "plc_operation")
        signed = await self.procedure("com.atproto.identity.signPlcOperation", {"token": token} | credentials)
        await moved.procedure("com.atproto.identity.submitPlcOperation", {"operation": signed["operation"]})
