"""An account on a PDS as a client of ours sees it: signed in with an app password, to read and write its records."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, NamedTuple

import orjson
from yarl import URL

from appview.net.errors import BadAnswer, BadStatus
from appview.net.http import HttpClient
from lexicons.formats import is_did

MAX_ANSWER: Final = 4 * 1024 * 1024
"""In bytes: a page of a hundred records of ordinary size."""
_PAGE: Final = 100
_MAX_PAGES: Final = 1000


class PdsError(Exception):
    """The PDS says no, or not what its methods say; `error` is the name it gave, if any."""

    def __init__(self, message: str, error: str = "") -> None:
        super().__init__(message)
        self.error = error


class Record(NamedTuple):
    """A record as the PDS has it."""

    rkey: str
    cid: str
    value: Mapping[str, Any]


class Account:
    """The account `identifier`, a handle or a DID, on the PDS at `url`. `http` must be for that origin alone.

    All methods raise NetError when no answer comes, and PdsError when the answer is a no.
    """

    def __init__(self, http: HttpClient, url: str, identifier: str) -> None:
        self._http = http
        self._url = URL(url)
        self._identifier = identifier
        self._token: str | None = None

    async def did(self) -> str:
        """Its DID."""
        answer = await self._query("com.atproto.repo.describeRepo", repo=self._identifier)
        return _did(answer)

    async def sign_in(self, password: str) -> str:
        """Sign in with an app password; the DID."""
        given = {"identifier": self._identifier, "password": password}
        session = await self._procedure("com.atproto.server.createSession", given)
        if not isinstance(session.get("accessJwt"), str):
            raise PdsError("The PDS signs in, but gives no token.")
        self._token = session["accessJwt"]
        return _did(session)

    async def records(self, did: str, collection: str) -> AsyncIterator[Record]:
        """Every record of one collection."""
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            more = {"cursor": cursor} if cursor is not None else {}
            page = await self._query(
                "com.atproto.repo.listRecords", repo=did, collection=collection, limit=str(_PAGE), **more
            )
            try:
                found = [Record(one["uri"].rpartition("/")[2], one["cid"], one["value"]) for one in page["records"]]
            except (KeyError, TypeError, AttributeError):
                raise PdsError("The PDS lists records otherwise than it should.") from None
            for record in found:
                yield record
            cursor = page.get("cursor")
            if not isinstance(cursor, str) or not found:
                return
        raise PdsError("The PDS does not come to an end of its records.")

    async def put(self, did: str, collection: str, rkey: str, value: Mapping[str, Any], *, instead: str | None) -> str:
        """Write one record in place of the version `instead`, or where there is none; the CID of what is there now.

        Raises PdsError `InvalidSwap` when something else is there.
        """
        request = {"repo": did, "collection": collection, "rkey": rkey, "record": value, "swapRecord": instead}
        return str((await self._procedure("com.atproto.repo.putRecord", request)).get("cid"))

    async def _query(self, nsid: str, **parameters: str) -> dict[str, Any]:
        url = self._url.with_path(f"/xrpc/{nsid}").with_query(parameters)
        try:
            return _json((await self._http.get(url, max_bytes=MAX_ANSWER)).body)
        except BadStatus as error:
            raise _refusal(nsid, error) from None

    async def _procedure(self, nsid: str, request: Mapping[str, Any]) -> dict[str, Any]:
        url = self._url.with_path(f"/xrpc/{nsid}")
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            answer = await self._http.post(url, orjson.dumps(request), max_bytes=MAX_ANSWER, headers=headers)
        except BadStatus as error:
            raise _refusal(nsid, error) from None
        return _json(answer.body)


def _did(answer: Mapping[str, Any]) -> str:
    did = answer.get("did")
    if not isinstance(did, str) or not is_did(did):
        raise PdsError("The PDS does not say what DID the account has.")
    return did


def _json(body: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadAnswer("the PDS answers with something other than JSON") from None
    if not isinstance(answer, dict):
        raise BadAnswer("the PDS answers with something other than an object")
    return answer


def _refusal(nsid: str, error: BadStatus) -> PdsError:
    try:
        said = _json(error.body)
    except BadAnswer:
        said = {}
    name, message = str(said.get("error", error.status)), str(said.get("message", ""))
    return PdsError(f"{nsid} is refused: {name}{message and f': {message}'}"[:1000], name)
