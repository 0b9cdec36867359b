"""What is asked of a PDS in one request, what will be there then, and what follows from what is there. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import orjson

from appview.accounts.oauth.scopes import Action, RepoNeed
from appview.unset import UNSET, Unset
from lexicons.cid import CID
from lexicons.data import to_json
from lexicons.formats import is_cid, is_tid

Method: TypeAlias = Literal["create", "put", "delete", "apply"]
Finding: TypeAlias = Literal["done", "again", "exists", "overtaken"]

_STAMP: Final = "createdAt"


class Version(NamedTuple):
    """A record as it will be: its value in the data model, the bytes of that, and their CID."""

    value: dict[str, Any]
    block: bytes
    cid: CID


@dataclass(frozen=True, slots=True)
class Write:
    """One record that is to be there, or with no version not to be there any more."""

    action: Action
    uri: str
    collection: str
    rkey: str
    version: Version | None
    minted: bool = False
    """Whether the key was made here, so that nobody else has a record under it."""

    @property
    def cid(self) -> CID | None:
        """Of what will be there."""
        return self.version.cid if self.version else None


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to the PDS of `did`.

    `swap` is the version that the one record is to replace: None for none at all, UNSET for whichever is there.
    `swap_commit` is the same of the whole repository.
    """

    did: str
    method: Method
    writes: tuple[Write, ...]
    swap: CID | Unset | None = UNSET
    swap_commit: str | None = None
    base: str | None = None
    """The CID of the commit that was the newest before this was first sent; None where that is not known."""
    by_put: bool = True
    """Whether a new record is put where none is, or else created, for whoever may do no more than that."""

    @property
    def nsid(self) -> str:
        """The method of the PDS."""
        if self.method == "create":
            return "com.atproto.repo.putRecord" if self.by_put else "com.atproto.repo.createRecord"
        return {
            "put": "com.atproto.repo.putRecord",
            "delete": "com.atproto.repo.deleteRecord",
            "apply": "com.atproto.repo.applyWrites",
        }[self.method]

    @property
    def needs(self) -> list[RepoNeed]:
        """What the grant must allow (OA-45)."""
        actions: tuple[Action, ...] = ("create", "update")
        if self.method == "put":
            return [RepoNeed(write.collection, action) for write in self.writes for action in actions]
        return [RepoNeed(write.collection, write.action) for write in self.writes]

    @property
    def guarded_by(self) -> CID | None:
        """The one version that may be replaced, where one was named."""
        return None if isinstance(self.swap, Unset) else self.swap

    @property
    def replaces_another(self) -> bool:
        """Whether what was there before was another than what will be, so that something must change."""
        return not isinstance(self.swap, Unset)

    def body(self, *, again: bool = False) -> dict[str, Any]:
        """The input of the method (WR-01), as JSON.

        What is asked `again`, after a reply was lost, is to be done on top of what was there before alone, so that
        nothing is undone that was done since.
        """
        request: dict[str, Any] = {"repo": self.did}
        on_top_of = self.swap_commit or (self.base if again and self.guarded_by is None else None)
        if on_top_of is not None:
            request["swapCommit"] = on_top_of
        if self.method == "apply":
            return request | {"writes": [_of_many(write) for write in self.writes]}
        (write,) = self.writes
        request |= {"collection": write.collection, "rkey": write.rkey}
        if write.version is not None:
            request["record"] = to_json(write.version.value)
        if self.by_put and not isinstance(self.swap, Unset):
            request["swapRecord"] = None if self.swap is None else str(self.swap)
        return request

    def commit(self, said: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """The rev and the CID of the commit that the PDS answers with; None where nothing had to change (WR-06).

        Raises ValueError where the answer is not that of this request.
        """
        results = said.get("results") if self.method == "apply" else [said]
        if self.method != "delete" and (type(results) is not list or len(results) != len(self.writes)):
            raise ValueError("The PDS answers with other results than those of what it was asked.")
        for write, result in zip(self.writes, results or (), strict=True):
            if write.version is not None and (result.get("uri"), result.get("cid")) != (write.uri, str(write.cid)):
                raise ValueError("The PDS answers with another record than it was given.")
        commit = said.get("commit")
        if commit is None:
            return None, None
        rev, cid = commit.get("rev"), commit.get("cid")
        if type(rev) is not str or not is_tid(rev) or type(cid) is not str or not is_cid(cid):
            raise ValueError("The PDS answers with a commit that is none.")
        return rev, cid

    def finding(self, seen: Sequence[CID | None], *, is_unchanged: bool) -> Finding:
        """What follows from the versions that are there now, after a request whose answer was lost.

        `is_unchanged`: the repository is as it was before the request. `overtaken`: it is not, so that whether ours was
        there in between nobody can tell.
        """
        wanted = [write.cid for write in self.writes]
        if list(seen) == wanted:
            return "done"
        if self.method == "apply":
            return self._of_commit(seen, is_unchanged=is_unchanged)
        (found,) = seen
        if self.guarded_by is not None:
            return "again" if found == self.guarded_by else "overtaken"
        if not is_unchanged:
            return "overtaken"
        return "exists" if self.swap is None and found is not None else "again"

    def _of_commit(self, seen: Sequence[CID | None], *, is_unchanged: bool) -> Finding:
        created = [
            (write, cid) for write, cid in zip(self.writes, seen, strict=True) if write.action == "create" and cid
        ]
        # A commit is all or nothing: where one record is that only this request can have made, it was done.
        if any(write.minted and cid == write.cid for write, cid in created):
            return "done"
        if not is_unchanged:
            return "overtaken"
        return "exists" if created else "again"


def request_digest(method: str, where: Sequence[str], records: Sequence[Mapping[str, Any] | None]) -> bytes:
    """SHA-256 of what a caller asked under an idempotency key.

    The time that a record says it was made at is no part of it: who tries again often stamps it anew.
    """
    bare = [record and {name: value for name, value in record.items() if name != _STAMP} for record in records]
    said = orjson.dumps([method, list(where), to_json(bare)], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(said).digest()


def _of_many(write: Write) -> dict[str, Any]:
    one = {
        "$type": f"com.atproto.repo.applyWrites#{write.action}",
        "collection": write.collection,
        "rkey": write.rkey,
    }
    return one if write.version is None else one | {"value": to_json(write.version.value)}
