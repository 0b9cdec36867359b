"""Blobs on their way to a PDS: kept in a temporary file meanwhile, so that they can be sent again (OA-34, WR-14)."""

import hashlib
import re
import tempfile
from collections.abc import AsyncIterator
from typing import IO, Any, Final

import orjson

from appview.accounts.oauth.scopes import BlobNeed
from appview.writes.access import Access, Lost, NotSent
from appview.writes.errors import InvalidWrite, PdsAway, PdsRefused, RateLimited, WriteError
from appview.writes.hosts import Hosts
from appview.writes.metrics import WriteMetrics
from lexicons.cid import CID, RAW

MAX_BLOB: Final = 100 * 1024 * 1024
"""In bytes."""
MAX_KEPT: Final = 20 * MAX_BLOB
"""The same, of all that is under way in one process."""

MOST_AT_ONE_HOST: Final = 16
"""Uploads that one host is being sent in one process."""

_CHUNK: Final = 256 * 1024
_SECONDS: Final = 30.0
_PACE: Final = 100_000
"""Bytes that a PDS takes in a second at the least."""
_BUSY_SECONDS: Final = 10.0

_is_mime = re.compile(r"(?:audio|image)/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}").fullmatch


class TooLarge(InvalidWrite):
    """The blob is larger than is taken."""

    name = "BlobTooLarge"


class InvalidMimeType(InvalidWrite):
    """The blob is neither audio nor an image."""

    name = "InvalidMimeType"


class Uploads:
    """The uploads of a process."""

    def __init__(self, metrics: WriteMetrics) -> None:
        self._metrics = metrics
        self._hosts = Hosts(MOST_AT_ONE_HOST)
        self._kept = 0

    async def upload(self, access: Access, chunks: AsyncIterator[bytes], mime: str, size: int | None) -> dict[str, Any]:
        """The blob object of what `chunks` bring. Raises WriteError, and what `chunks` raises."""
        outcome = "failed"
        try:
            blob = await self._upload(access, chunks, mime, size)
            outcome = "done"
        except WriteError as error:
            outcome = type(error).__name__
            raise
        finally:
            self._metrics.uploads.labels(outcome).inc()
        return blob

    async def _upload(
        self, access: Access, chunks: AsyncIterator[bytes], mime: str, size: int | None
    ) -> dict[str, Any]:
        mime = mime.partition(";")[0].strip().lower()
        if not _is_mime(mime):
            raise InvalidMimeType("Only audio and images are uploaded here.")
        if size is not None and size > MAX_BLOB:
            raise _too_large()
        granted = await access.granted(BlobNeed(mime))
        with tempfile.TemporaryFile() as file:
            length = 0
            try:
                digest = hashlib.sha256()
                async for chunk in chunks:
                    length += len(chunk)
                    self._keep(length, len(chunk))
                    digest.update(chunk)
                    file.write(chunk)
                if size is not None and length != size:
                    raise InvalidWrite("The upload has another length than was announced.")
                cid = CID(bytes((1, RAW, 0x12, 0x20)) + digest.digest())
                with self._hosts.one(granted.pds):
                    return await _sent(access, file, mime, length, cid)
            finally:
                self._kept -= length

    def _keep(self, length: int, more: int) -> None:
        """Count what is kept. Raises where that is more than there is room for."""
        self._kept += more
        if length > MAX_BLOB:
            raise _too_large()
        if self._kept > MAX_KEPT:
            raise RateLimited("Too much is being uploaded through this server now.", _BUSY_SECONDS)


async def _sent(access: Access, file: IO[bytes], mime: str, length: int, cid: CID) -> dict[str, Any]:
    """Send what is kept, and once more where no answer comes: the same bytes are the same blob."""

    async def chunks() -> AsyncIterator[bytes]:
        file.seek(0)
        while chunk := file.read(_CHUNK):
            yield chunk

    if length > _CHUNK:
        # A PDS that wants other tokens, or a nonce, says so before it has read all, and may hang up then.
        await access.ready()

    async def send() -> bytes:
        seconds = _SECONDS + length / _PACE
        return await access.post("com.atproto.repo.uploadBlob", chunks, mime, length=length, seconds=seconds)

    try:
        return _blob(await send(), cid, length)
    except (Lost, NotSent):
        pass
    try:
        return _blob(await send(), cid, length)
    except (Lost, NotSent) as error:
        raise PdsAway(str(error)) from None


def _blob(answer: bytes, cid: CID, length: int) -> dict[str, Any]:
    """The blob of an answer; it must be what was sent, though its type may be another (WR-14)."""
    try:
        blob = orjson.loads(answer)["blob"]
        is_right = blob["$type"] == "blob" and blob["ref"] == {"$link": str(cid)} and blob["size"] == length
        is_right = is_right and isinstance(blob["mimeType"], str)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        is_right = False
    if not is_right:
        raise PdsRefused("The PDS answers with another blob than it was given.")
    return dict(blob)


def _too_large() -> TooLarge:
    return TooLarge(f"A blob of more than {MAX_BLOB // (1024 * 1024)} MiB is not taken.")
