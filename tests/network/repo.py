"""What the owner of a repo does to its records."""

from dataclasses import dataclass

from tests.network.xrpc import Host, Json


@dataclass(frozen=True, slots=True)
class Written:
    """A record that was written, and the repo's rev since; `rev` is None when nothing changed."""

    uri: str
    cid: str
    rev: str | None

    @property
    def rkey(self) -> str:
        return self.uri.rpartition("/")[2]

    @property
    def ref(self) -> Json:
        """It as a com.atproto.repo.strongRef."""
        return {"uri": self.uri, "cid": self.cid}


def create(collection: str, value: Json, rkey: str | None = None) -> Json:
    """A create for `Repo.apply_writes`."""
    return _write("create", collection, rkey) | {"value": value}


def update(collection: str, rkey: str, value: Json) -> Json:
    """An update for `Repo.apply_writes`."""
    return _write("update", collection, rkey) | {"value": value}


def delete(collection: str, rkey: str) -> Json:
    """A delete for `Repo.apply_writes`."""
    return _write("delete", collection, rkey)


def _write(action: str, collection: str, rkey: str | None) -> Json:
    write = {"$type": f"com.atproto.repo.applyWrites#{action}", "collection": collection}
    return write | ({"rkey": rkey} if rkey else {})


class Repo:
    """A repo on a host that lets us write to it with a bearer token."""

    def __init__(self, host: Host, did: str, token: str) -> None:
        self.host = host
        self.did = did
        self.token = token

    @property
    def authorization(self) -> str:
        return f"Bearer {self.token}"

    async def create_record(self, collection: str, record: Json, rkey: str | None = None) -> Written:
        """Write a new record; `$type` is added to it when missing. The host mints the rkey when none is given."""
        return await self._put("com.atproto.repo.createRecord", collection, record, rkey)

    async def put_record(self, collection: str, rkey: str, record: Json) -> Written:
        """Write a record whether or not there is one of that rkey; `$type` is added to it when missing."""
        return await self._put("com.atproto.repo.putRecord", collection, record, rkey)

    async def delete_record(self, collection: str, rkey: str) -> str | None:
        """Delete a record; the rev since, None when there was no such record."""
        key = {"repo": self.did, "collection": collection, "rkey": rkey}
        return _rev(await self.procedure("com.atproto.repo.deleteRecord", key))

    async def apply_writes(self, *writes: Json) -> str | None:
        """Do up to 200 `create`, `update` and `delete` in one commit; the rev since."""
        return _rev(await self.procedure("com.atproto.repo.applyWrites", {"repo": self.did, "writes": list(writes)}))

    async def upload_blob(self, data: bytes, mime: str) -> Json:
        """Store bytes; the blob value to put into a record, with the type that the host takes them to be of."""
        blob: Json = (await self.procedure("com.atproto.repo.uploadBlob", data, mime))["blob"]
        return blob

    async def get_repo(self, since: str | None = None) -> bytes:
        """The repo as a CAR, or its difference to the rev `since`."""
        params = {"did": self.did} | ({"since": since} if since else {})
        return await self.host.query_bytes("com.atproto.sync.getRepo", **params)

    async def query(self, nsid: str, proxy: str | None = None, **params: str | int) -> Json:
        """Ask the host, or by `proxy` the service of that name, for something in the owner's name."""
        return await self.host.query(nsid, self.authorization, proxy, **params)

    async def procedure(
        self, nsid: str, value: Json | bytes | None = None, mime: str | None = None, proxy: str | None = None
    ) -> Json:
        """Have the host, or by `proxy` the service of that name, do something in the owner's name."""
        return await self.host.procedure(nsid, value, self.authorization, proxy, mime)

    async def _put(self, nsid: str, collection: str, record: Json, rkey: str | None) -> Written:
        key = {"repo": self.did, "collection": collection} | ({"rkey": rkey} if rkey else {})
        written = await self.procedure(nsid, key | {"record": {"$type": collection} | record})
        return Written(written["uri"], written["cid"], _rev(written))


def _rev(response: Json) -> str | None:
    commit: Json = response.get("commit") or {}
    return commit.get("rev")
