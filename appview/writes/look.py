"""What the account's PDS has now: what anybody may ask of it, so that no grant is needed to settle a write."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson
from yarl import URL

from appview.net.errors import BadStatus, NetError
from appview.net.http import HttpClient
from lexicons.cid import CID
from lexicons.data import DataError, encode, parse_json, to_json
from lexicons.formats import is_tid, parse_at_uri

LOOK_SECONDS: Final = 10.0
"""For one question."""
MAX_RECORD: Final = 2_000_000
"""In bytes, as JSON: a record of the greatest size (`records.MAX_RECORD`), with its bytes as base64 and all escaped."""
MAX_MARKS: Final = 20_000
"""Commas and opening brackets in an answer: each is a value, and these are taken apart while others wait."""

_MAX_COMMIT: Final = 16 * 1024
_AT_ONCE: Final = 4
_MARKS: Final = (b",", b"[", b"{")
_GONE: Final = "Could not locate record:"


class CannotLook(Exception):
    """The PDS does not say what it has. `temporary`: another time it may."""

    def __init__(self, message: str, *, temporary: bool) -> None:
        super().__init__(message)
        self.temporary = temporary


class Found(NamedTuple):
    """A record as the PDS has it: JSON, and its CID, which that JSON was found to have."""

    record: dict[str, Any]
    cid: str


class Seen(NamedTuple):
    """The versions of some records, None where there is none, and the commit that was the newest then.

    `is_steady`: no other came about while the records were read, so they are what that commit has.
    """

    cids: list[CID | None]
    rev: str
    commit: str
    is_steady: bool

    def is_still(self, commit: str | None) -> bool:
        """Whether nothing was written since `commit`, for sure."""
        return self.is_steady and self.commit == commit


async def look(http: HttpClient, pds: str, did: str, uris: Sequence[str]) -> Seen:
    """Which versions of the records `uris` of `did` are there. Raises CannotLook."""
    before = await newest(http, pds, did)
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(uri: str) -> CID | None:
        async with places:
            answer = await _record(http, pds, uri)
        return None if answer is None else _cid(_object(answer))

    tasks = [asyncio.ensure_future(one(uri)) for uri in uris]
    try:
        cids = list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
    after = await newest(http, pds, did)
    return Seen(cids, *after, is_steady=before == after)


async def read(http: HttpClient, pds: str, uri: str) -> Found | None:
    """The record at `uri`, to be changed and written back; None when there is none.

    Raises CannotLook, also where what comes is not to the letter what the repository has: whoever wrote it back would
    lose what was lost on the way here.
    """
    body = await _record(http, pds, uri)
    if body is None:
        return None
    try:
        answer = parse_json(body, max_marks=MAX_MARKS)
    except DataError as error:
        raise CannotLook(f"The PDS answered with what is no data of the protocol: {error}.", temporary=False) from None
    if type(answer) is not dict:
        raise CannotLook("The PDS answered with something other than an object.", temporary=True)
    value, cid = answer.get("value"), _cid(answer)
    if type(value) is not dict or CID.of(encode(value)) != cid:
        raise CannotLook("The PDS cannot show this record as it is in the repository.", temporary=False)
    return Found(to_json(value), str(cid))


async def newest(http: HttpClient, pds: str, did: str, *, seconds: float = LOOK_SECONDS) -> tuple[str, str]:
    """The rev and the CID of the newest commit. Raises CannotLook."""
    try:
        body = await _ask(http, pds, "com.atproto.sync.getLatestCommit", _MAX_COMMIT, seconds, did=did)
    except BadStatus as error:
        raise CannotLook(f"The PDS answered {error.status} when it was asked for the commit.", temporary=True) from None
    answer = _object(body)
    rev = answer.get("rev")
    if type(rev) is not str or not is_tid(rev):
        raise CannotLook("The PDS gave a commit that has no rev.", temporary=True)
    return rev, str(_cid(answer))


async def _record(http: HttpClient, pds: str, uri: str) -> bytes | None:
    """What the PDS answers of the record; None where there is none."""
    parts = parse_at_uri(uri)
    named = {"repo": parts[0], "collection": parts[1] or "", "rkey": parts[2] or ""}
    try:
        return await _ask(http, pds, "com.atproto.repo.getRecord", MAX_RECORD, LOOK_SECONDS, **named)
    except BadStatus as error:
        if _is_missing(error):
            return None
        # Whatever else it says of the account, that it moved or is deactivated, may be otherwise another time.
        raise CannotLook(f"The PDS answered {error.status} when it was asked for the record.", temporary=True) from None


async def _ask(http: HttpClient, pds: str, nsid: str, size: int, seconds: float, **parameters: str) -> bytes:
    """The answer to a query, of at most `size` bytes. Raises BadStatus, and CannotLook where there is none."""
    url = URL(pds).with_path(f"/xrpc/{nsid}").with_query(parameters)
    try:
        return (await http.get(url, max_bytes=size, total=seconds)).body
    except BadStatus:
        raise
    except NetError as error:
        raise CannotLook(f"The PDS gave no answer: {error}.", temporary=True) from None


def _object(body: bytes) -> dict[str, Any]:
    """The outermost values of an answer, of which the inner ones are not looked at. Raises CannotLook."""
    try:
        answer = orjson.loads(body) if sum(map(body.count, _MARKS)) <= MAX_MARKS else None
    except orjson.JSONDecodeError:
        answer = None
    if type(answer) is not dict:
        raise CannotLook("The PDS answered with something other than an object of JSON.", temporary=True)
    return answer


def _is_missing(error: BadStatus) -> bool:
    if error.status not in (400, 404):
        return False
    try:
        said = orjson.loads(error.body)
    except orjson.JSONDecodeError:
        return False
    if type(said) is not dict:
        return False
    return said.get("error") == "RecordNotFound" or str(said.get("message", "")).startswith(_GONE)


def _cid(answer: dict[str, Any]) -> CID:
    try:
        return CID.parse(answer["cid"])
    except (KeyError, AttributeError, TypeError, DataError):
        raise CannotLook("The PDS gave no CID where there is one.", temporary=True) from None
