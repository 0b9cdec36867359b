"""Blobs by way of us to a real PDS."""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from aiohttp import web

from appview.accounts.oauth import OAuth
from appview.writes.errors import InvalidWrite, PdsAway, PdsRefused, RateLimited, ScopeMissing
from appview.writes.uploads import MAX_BLOB, MAX_KEPT, InvalidMimeType, TooLarge
from lexicons.cid import CID, RAW
from tests.appview.writes.faults import expired
from tests.appview.writes.proxy import Fault, Forward, lose_reply, lose_request
from tests.appview.writes.stand import Stand, config, sign_in, writes_of
from tests.network import records

MP3: Final = b"ID3\x04\x00\x00\x00\x00\x00\x00" + b"\xff\xfb\x90\x64" * 500_000


async def pieces(data: bytes, size: int = 50_000) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def test_upload(here: Stand) -> None:
    blob = await here.repo.upload(pieces(MP3), "Audio/MPEG; codecs=mp3", len(MP3))
    link = str(CID.of(MP3, RAW))
    assert blob == {"$type": "blob", "ref": {"$link": link}, "mimeType": "audio/mpeg", "size": len(MP3)}
    await here.repo.create(records.TRACK, records.track(audioBlob=blob))
    there = await here.user.pds.query_bytes("com.atproto.sync.getBlob", did=here.user.did, cid=link)
    assert there == MP3
    assert here.counted("plyr_pds_uploads_total", outcome="done") == 1


async def test_a_pds_that_wants_a_nonce_first(here: Stand) -> None:
    """It says so before it has read the blob, and may hang up."""
    grant = await here.grants.save(await sign_in(here.network, here.oauth, here.user), "session")
    direct = writes_of(
        here.pool, here.grants, OAuth(config(here.network.addresses.plc), here.plain, here.identities), here.plain
    )
    blob = await direct.of(here.user.did, grant).upload(pieces(MP3), "audio/mpeg", None)
    assert blob["size"] == len(MP3)


@pytest.mark.parametrize("fault", [expired, lose_request, lose_reply], ids=["token", "request lost", "reply lost"])
async def test_it_is_sent_again(here: Stand, fault: Fault) -> None:
    here.wire.faults = [fault]
    blob = await here.repo.upload(pieces(MP3), "audio/mpeg", None)
    assert blob["ref"] == {"$link": str(CID.of(MP3, RAW))}
    assert len(here.wire.asked) == 2


async def test_a_pds_that_is_away(here: Stand) -> None:
    await here.wire.down()
    with pytest.raises(PdsAway):
        await here.repo.upload(pieces(b"\x00"), "image/png", None)


async def test_a_pds_that_answers_with_another_blob(here: Stand) -> None:
    other = {"blob": {"$type": "blob", "ref": {"$link": str(CID.of(b"", RAW))}, "mimeType": "audio/mpeg", "size": 1}}

    async def fault(_request: web.Request, _forward: Forward) -> web.StreamResponse:
        return web.json_response(other)

    here.wire.faults = [fault]
    with pytest.raises(PdsRefused, match="another blob"):
        await here.repo.upload(pieces(b"\x00"), "image/png", None)


async def test_a_blob_that_is_too_large_for_the_pds(here: Stand) -> None:
    async def fault(_request: web.Request, _forward: Forward) -> web.StreamResponse:
        return web.json_response({"error": "PayloadTooLarge", "message": "request entity too large"}, status=413)

    here.wire.faults = [fault]
    with pytest.raises(PdsRefused, match="request entity too large") as refused:
        await here.repo.upload(pieces(b"\x00"), "audio/wav", None)
    assert (refused.value.name, refused.value.status) == ("PayloadTooLarge", 413)


@pytest.mark.parametrize("mime", ["text/html", "application/octet-stream", "audio/*", "audio", "", "audio/x y"])
async def test_what_is_no_audio_and_no_image(here: Stand, mime: str) -> None:
    with pytest.raises(InvalidMimeType):
        await here.repo.upload(pieces(MP3), mime, None)


async def test_a_type_that_was_not_allowed(here: Stand) -> None:
    repo = await here.other("blob:image/*")
    with pytest.raises(ScopeMissing) as lacking:
        await repo.upload(pieces(MP3), "audio/mpeg", None)
    assert lacking.value.needed == "blob:audio/mpeg"


@pytest.mark.parametrize("size", [len(MP3) - 1, len(MP3) + 1])
async def test_another_length_than_was_announced(here: Stand, size: int) -> None:
    with pytest.raises(InvalidWrite, match="length"):
        await here.repo.upload(pieces(MP3), "audio/mpeg", size)
    assert here.wire.asked == []


async def test_what_is_too_large(here: Stand) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield bytes(4 * 1024 * 1024)

    with pytest.raises(TooLarge):
        await here.repo.upload(endless(), "audio/wav", MAX_BLOB + 1)
    assert read == 0
    with pytest.raises(TooLarge):
        await here.repo.upload(endless(), "audio/wav", None)
    assert read == 26
    assert here.wire.asked == []


async def test_more_than_there_is_room_for(here: Stand) -> None:
    """Nobody fills our disk by many uploads at once; what has ended makes room again."""
    waiting: list[Any] = []

    async def claiming() -> AsyncIterator[bytes]:
        uploads = here.writes._desk.uploads
        uploads._kept += MAX_KEPT
        waiting.append(uploads)
        yield b"\x00"

    with pytest.raises(RateLimited):
        await here.repo.upload(claiming(), "audio/wav", None)
    waiting[0]._kept -= MAX_KEPT
    assert waiting[0]._kept == 0
    assert (await here.repo.upload(pieces(b"\x00"), "audio/wav", None))["size"] == 1


async def test_a_caller_who_breaks_off(here: Stand) -> None:
    class Gone(Exception):
        pass

    async def breaking() -> AsyncIterator[bytes]:
        yield MP3
        raise Gone

    with pytest.raises(Gone):
        await here.repo.upload(breaking(), "audio/mpeg", None)
    assert here.wire.asked == []
