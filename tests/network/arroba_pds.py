"""Arroba, the PDS of Bridgy Fed, beside the same directory: other code, other habits, the same protocol.

Its revs are a counter written as a TID (the year 1970), its commits say `since: null`, a repo's first #commit comes
before its #identity, and a tombstone is an event of a retired type.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from tests.network.launch import child
from tests.network.repo import Repo, delete
from tests.network.setup import ARROBA_PYTHON, HERE
from tests.network.xrpc import Host

TOKEN = "token"


@contextmanager
def start_arroba(plc: str) -> Iterator[str]:
    """Run Arroba beside the directory at `plc` while the block lasts; its URL. See `setup.arroba_installed`."""
    with child([ARROBA_PYTHON, HERE / "arroba_server.py", plc]) as state:
        yield state["url"]


class Arroba(Host):
    """A running Arroba. Its stream can be subscribed to when it has had its first repo."""

    async def create_repo(self, handle: str) -> "ArrobaRepo":
        """Make a DID and an empty repo. DNS knows the handle only when told: `Network.set_handle`."""
        async with self.session.post(f"{self.url}/repos", json={"handle": handle}, raise_for_status=True) as response:
            return ArrobaRepo(self, (await response.json())["did"])


class ArrobaRepo(Repo):
    """A repo on Arroba. It takes records as a PDS does, but no blobs, and tells the rev of batches only."""

    def __init__(self, arroba: Arroba, did: str) -> None:
        super().__init__(arroba, did, TOKEN)

    async def delete_record(self, collection: str, rkey: str) -> str | None:
        """Delete a record by a batch of one: Arroba's own deleteRecord deletes, and answers 400."""
        return await self.apply_writes(delete(collection, rkey))

    async def change(self, change: Literal["deactivate", "activate", "tombstone"]) -> None:
        """Change the repo's status, with the event that goes with it."""
        url = f"{self.host.url}/repos/{self.did}/{change}"
        async with self.host.session.post(url, raise_for_status=True):
            pass
