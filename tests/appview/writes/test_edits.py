"""Changing a record that is there: what is not changed stays to the byte, and who comes second loses nothing."""

import asyncio
from typing import Any, Final

import pytest
from aiohttp import web

from appview.writes.errors import InvalidRecord, PdsAway, PdsRefused, Unsettled
from lexicons.cid import CID
from lexicons.data import encode, from_json
from tests.appview.writes.proxy import Forward, before, fail_before, lose_reply, lose_reply_after, lose_request
from tests.appview.writes.stand import Stand
from tests.network import records
from tests.network.xrpc import Json

RKEY: Final = "3l2wryxkduc2a"
LINK: Final = {"$link": "bafyreib2rxk3rybk3aobmv5cjuql3bm2twh4jo5uxgf5kpqcsgz7soitae"}
MP3: Final = b"ID3\x04\x00\x00\x00\x00\x00\x00" + b"\xff\xfb\x90\x64" * 64
STRANGE: Final[Json] = {
    "org.example.more": {"$type": "org.example.more", "link": LINK, "bytes": {"$bytes": "AAEC/+8"}, "none": None},
    "bytesOfNothing": {"$bytes": ""},
    "numbers": [0, -1, 2**53 - 1, 1 - 2**53, True, False],
    "texts": ["", "é", "e\u0301", "👩‍👩‍👧", "\u202egnp.3pm", '\\u0000 " \n\t', "\x7f\x00", "𝄞", "a\ufeff"],
    "empty": [{}, [], [[]], {"a": {}}],
    "odd keys": {"a.b": 1, "é": 2, "$notype": 3, " ": 4, "aa": 5, "b": 6, "0": 7, "__proto__x": 8},
    "links": [LINK, [LINK, {"a": LINK}]],
}


def block(record: Json) -> bytes:
    return encode(from_json(record))


def cid(record: Json) -> str:
    return str(CID.of(block(record)))


async def test_what_is_not_changed_stays_to_the_byte(here: Stand) -> None:
    blob = await here.user.upload_blob(MP3, "audio/mpeg")
    cover = await here.user.upload_blob(b"\x89PNG\r\n\x1a\n" + bytes(64), "image/png")
    original = records.track("One", audioBlob=blob, **STRANGE, mirrors=[{"deep": [blob, cover]}])
    put = await here.user.put_record(records.TRACK, RKEY, original)
    assert put.cid == cid(original)
    edited = await here.repo.edit(records.TRACK, RKEY, lambda record: record | {"title": "Two"})
    there = await here.record(edited.uri)
    assert there is not None
    assert there["cid"] == edited.cid == cid(original | {"title": "Two"})
    assert there["value"] == original | {"title": "Two"}
    assert await here.pool.fetchval("select value from records") == block(original | {"title": "Two"})
    for reference in (blob, cover):
        link = reference["ref"]["$link"]
        assert await here.user.pds.query_bytes("com.atproto.sync.getBlob", did=here.user.did, cid=link)


async def test_a_text_of_which_the_pds_shows_only_a_part(here: Stand) -> None:
    """The reference PDS leaves out a byte order mark at the start of a text, wherever it shows a record."""
    await here.user.put_record(records.TRACK, RKEY, records.track("One", more="\ufeffmarked"))
    with pytest.raises(PdsRefused, match="as it is in the repository"):
        await here.repo.edit(records.TRACK, RKEY, lambda record: record | {"title": "Two"})
    assert here.wire.asked == []


async def test_what_cannot_be_read_to_the_letter_is_not_written_back(here: Stand) -> None:
    """A PDS whose JSON says another thing than its repository, as of integers that its language rounds."""
    await here.user.put_record(records.TRACK, RKEY, records.track(plays=2**53 - 1))

    async def rounded(_request: web.Request, forward: Forward) -> web.StreamResponse:
        answer = await forward()
        assert isinstance(answer.body, bytes)
        return web.Response(body=answer.body.replace(b"9007199254740991", b"9007199254740992"))

    here.wire.deaf = rounded
    with pytest.raises(PdsRefused, match="as it is in the repository"):
        await here.repo.edit(records.TRACK, RKEY, lambda record: record | {"title": "Two"})
    assert here.wire.asked == []


async def test_a_pds_that_does_not_let_itself_be_read(here: Stand) -> None:
    await here.user.put_record(records.TRACK, RKEY, records.track())
    here.wire.deaf = fail_before
    with pytest.raises(PdsAway):
        await here.repo.edit(records.TRACK, RKEY, lambda record: record | {"title": "Two"})
    here.wire.deaf = lose_request
    with pytest.raises(PdsAway):
        await here.repo.edit(records.TRACK, RKEY, lambda record: record | {"title": "Two"})


async def test_edits_at_once_all_survive(here: Stand) -> None:
    await here.user.put_record(records.LIST, RKEY, records.playlist())

    def adding(number: int) -> Any:
        item = {"uri": f"at://{here.user.did}/fm.plyr.track/{RKEY}", "cid": cid({"number": number})}
        return lambda record: record | {"items": [*record["items"], {"subject": item, "number": number}]}

    written = await asyncio.gather(*(here.repo.edit(records.LIST, RKEY, adding(number)) for number in range(6)))
    there = await here.record(written[0].uri)
    assert there is not None
    assert sorted(item["number"] for item in there["value"]["items"]) == list(range(6))
    assert len({one.rev for one in written}) == 6
    assert await here.states() == ["written"] * 6
    shown = await here.shown()
    assert shown == {written[0].uri: CID.parse(there["cid"]).hex()}


async def test_an_edit_that_somebody_else_made_already(here: Stand) -> None:
    """What was read is another by the time that it is to be written, and there is nothing left to change."""
    await here.user.put_record(records.TRACK, RKEY, records.track("One"))

    async def somebody_else() -> None:
        await here.user.put_record(records.TRACK, RKEY, records.track("Two", plays=1))

    here.wire.faults.append(before(somebody_else))
    written = await here.repo.edit(
        records.TRACK, RKEY, lambda record: None if record["title"] == "Two" else record | {"title": "Two"}
    )
    assert (written.cid, written.rev) == (cid(records.track("Two", plays=1)), None)
    assert await here.states() == ["settled"]


async def test_an_edit_that_does_not_fit_any_more(here: Stand) -> None:
    class NoSuchItem(Exception):
        pass

    await here.user.put_record(records.TRACK, RKEY, records.track("One"))

    async def somebody_else() -> None:
        await here.user.put_record(records.TRACK, RKEY, records.track("Two"))

    def change(record: Json) -> Json:
        if record["title"] != "One":
            raise NoSuchItem
        return record | {"title": "Three"}

    here.wire.faults.append(before(somebody_else))
    with pytest.raises(NoSuchItem):
        await here.repo.edit(records.TRACK, RKEY, change)
    assert await here.states() == ["refused"]


async def test_an_edit_whose_answer_was_lost(here: Stand) -> None:
    await here.user.put_record(records.TRACK, RKEY, records.track("1"))
    here.wire.faults = [lose_reply]
    written = await here.repo.edit(records.TRACK, RKEY, lambda record: record | {"title": record["title"] + "2"})
    there = await here.record(written.uri)
    assert there is not None
    assert there["value"]["title"] == "12"
    assert written.rev == await here.rev()


async def test_an_edit_whose_answer_was_lost_and_that_somebody_else_overtook(here: Stand) -> None:
    """Nobody can tell whether it was done, so it is not done again."""
    await here.user.put_record(records.TRACK, RKEY, records.track("1"))

    async def somebody_else() -> None:
        await here.user.put_record(records.TRACK, RKEY, records.track("3"))

    here.wire.faults = [lose_reply_after(somebody_else)]
    with pytest.raises(Unsettled):
        await here.repo.edit(records.TRACK, RKEY, lambda record: record | {"title": record["title"] + "2"}, key="a key")
    with pytest.raises(Unsettled):
        await here.repo.edit(records.TRACK, RKEY, lambda record: record | {"title": record["title"] + "2"}, key="a key")
    there = await here.user.pds.query(
        "com.atproto.repo.getRecord", repo=here.user.did, collection=records.TRACK, rkey=RKEY
    )
    assert there["value"]["title"] == "3"
    assert await here.states() == ["unknown"]


async def test_an_edit_by_the_same_key_is_made_once(here: Stand) -> None:
    await here.user.put_record(records.TRACK, RKEY, records.track("1"))

    async def edit() -> Any:
        return await here.repo.edit(
            records.TRACK, RKEY, lambda record: record | {"title": record["title"] + "2"}, key="a key", request={"a": 1}
        )

    first, *others = await asyncio.gather(*(edit() for _ in range(3)))
    assert others == [first] * 2
    assert await edit() == first
    there = await here.record(first.uri)
    assert there is not None
    assert there["value"]["title"] == "12"


async def test_what_was_tolerated_before_does_not_keep_others_from_being_changed(here: Stand) -> None:
    """The lexicon wants a CID of each item; lists without are there, and their owners want to name them."""
    item = {"subject": {"uri": f"at://{here.user.did}/fm.plyr.track/{RKEY}", "cid": ""}}
    await here.user.put_record(records.LIST, RKEY, records.playlist() | {"items": [item, item]})
    renamed = await here.repo.edit(records.LIST, RKEY, lambda record: record | {"name": "Another"})
    assert renamed.rev is not None
    moved = await here.repo.edit(records.LIST, RKEY, lambda record: record | {"items": record["items"][1:]})
    assert moved.rev is not None
    with pytest.raises(InvalidRecord):
        await here.repo.edit(records.LIST, RKEY, lambda record: record | {"items": [*record["items"], item]})
    with pytest.raises(InvalidRecord):
        await here.repo.put(records.LIST, RKEY, records.playlist() | {"items": [item]})
