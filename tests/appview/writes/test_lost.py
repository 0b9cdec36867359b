"""Replies that were lost while somebody else wrote to the same repository: nothing is done twice, nor theirs undone."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import pytest

from appview.writes import Create, Update
from appview.writes.edits.fields import edited
from appview.writes.edits.lists import Place, added, removed
from appview.writes.errors import Overtaken, Unsettled, WriteError
from tests.appview.writes.faults import gateway, no_gateway
from tests.appview.writes.proxy import deaf_after, fail_before, lose_reply, lose_reply_after, lose_request
from tests.appview.writes.stand import Stand
from tests.network import records
from tests.network.xrpc import Json

RKEY: Final = "3l2wryxkduc2a"
OTHER_RKEY: Final = "3l2wryxkduc2b"
LINK: Final = "bafyreib2rxk3rybk3aobmv5cjuql3bm2twh4jo5uxgf5kpqcsgz7soitae"


def ref(name: str) -> Json:
    return {"uri": f"at://did:plc:somebody/fm.plyr.track/{name}", "cid": LINK}


async def there(here: Stand, collection: str = records.TRACK, rkey: str = RKEY) -> Json | None:
    record = await here.record(f"at://{here.user.did}/{collection}/{rkey}")
    return None if record is None else dict(record["value"])


async def items(here: Stand) -> str:
    """The names of what is on the list."""
    value = await there(here, records.LIST)
    assert value is not None
    return "".join(item["subject"]["uri"][-1] for item in value["items"])


def add(name: str) -> Callable[[Json], Json | None]:
    return lambda record: edited(record, {"items": added(record, [ref(name)], duplicates=True)})


def remove(name: str) -> Callable[[Json], Json | None]:
    return lambda record: edited(record, {"items": removed(record, [Place(ref(name)["uri"], 0)])})


@pytest.mark.parametrize(
    ("change", "left"), [(add("b"), "aabc"), (remove("a"), "ac")], ids=["added twice", "removed twice"]
)
@pytest.mark.parametrize("is_read", [True, False])
async def test_an_edit_is_not_made_again_once_it_was_overtaken(
    here: Stand, change: Callable[[Json], Json | None], left: str, is_read: bool
) -> None:
    """The caller, by the same key, after the job has looked at it: whether or not it was known at once."""
    await here.user.put_record(records.LIST, RKEY, records.playlist() | {"items": [{"subject": ref(n)} for n in "aa"]})

    async def other_tab() -> None:
        value = await there(here, records.LIST)
        assert value is not None
        await here.user.put_record(records.LIST, RKEY, value | {"items": [*value["items"], {"subject": ref("c")}]})

    fault = lose_reply_after(other_tab)
    here.wire.faults = [fault if is_read else deaf_after(here.wire, fault, fail_before)]
    edit = partial(here.repo.edit, records.LIST, RKEY, change, key="a key", request=["it"])
    with pytest.raises(Unsettled):
        await edit()
    here.wire.deaf = None
    await here.lapse()
    await here.settle()
    assert await here.states() == ["unknown"]
    for _ in range(2):
        with pytest.raises(Overtaken):
            await edit()
    assert await items(here) == left


async def test_an_edit_that_was_done_is_not_asked_what_it_would_do_now(here: Stand) -> None:
    """By the same key: what is there is what it made, so that there is nothing left of what it was to change."""
    await here.user.put_record(records.LIST, RKEY, records.playlist() | {"items": [{"subject": ref(n)} for n in "ab"]})

    def once(record: Json) -> Json:
        assert len(record["items"]) == 2
        return record | {"items": record["items"][:1]}

    here.wire.faults = [deaf_after(here.wire, lose_reply, fail_before)]
    with pytest.raises(Unsettled):
        await here.repo.edit(records.LIST, RKEY, once, key="a key")
    here.wire.deaf = None
    written = await here.repo.edit(records.LIST, RKEY, once, key="a key")
    assert (written.rev, await items(here)) == (await here.rev(), "a")


async def test_what_was_deleted_meanwhile_is_not_made_again(here: Stand) -> None:
    async def other_tab() -> None:
        (made,) = await here.records(records.TRACK)
        await here.user.delete_record(records.TRACK, made["uri"].rpartition("/")[2])

    here.wire.faults = [lose_reply_after(other_tab)]
    for _ in range(2):
        with pytest.raises(Overtaken):
            await here.repo.create(records.TRACK, records.track(), key="a key")
    await here.lapse()
    await here.settle()
    with pytest.raises(Overtaken):
        await here.repo.create(records.TRACK, records.track(), key="a key")
    assert await here.records(records.TRACK) == []
    # Another call is another record.
    await here.repo.create(records.TRACK, records.track(), key="another key")
    assert len(await here.records(records.TRACK)) == 1


async def put(here: Stand) -> object:
    return await here.repo.put(records.TRACK, RKEY, records.track("Ours"))


async def remove_it(here: Stand) -> object:
    return await here.repo.delete(records.TRACK, RKEY)


async def apply(here: Stand) -> object:
    return await here.repo.apply([Update(records.TRACK, key, records.track("Ours")) for key in (RKEY, OTHER_RKEY)])


@pytest.mark.parametrize("write", [put, remove_it, apply])
async def test_what_somebody_else_wrote_meanwhile_stays(
    here: Stand, write: Callable[[Stand], Awaitable[object]]
) -> None:
    for rkey in (RKEY, OTHER_RKEY):
        await here.user.put_record(records.TRACK, rkey, records.track("Old"))

    async def somebody_else() -> None:
        await here.user.put_record(records.TRACK, RKEY, records.track("Theirs"))

    here.wire.faults = [lose_reply_after(somebody_else)]
    with pytest.raises(Overtaken):
        await write(here)
    assert await there(here) == records.track("Theirs")


async def test_what_comes_between_a_look_and_the_next_try_stays(here: Stand) -> None:
    """Nothing had changed by the time of the look, so it is asked again: on top of that alone."""
    await here.user.put_record(records.TRACK, RKEY, records.track("Old"))

    async def late(_request: Any, forward: Callable[[], Awaitable[Any]]) -> Any:
        await here.user.put_record(records.TRACK, RKEY, records.track("Theirs"))
        return await forward()

    here.wire.faults = [lose_request, late]
    with pytest.raises(Overtaken):
        await here.repo.put(records.TRACK, RKEY, records.track("Ours"))
    assert await there(here) == records.track("Theirs")
    assert len(here.wire.asked) == 2


async def test_a_commit_of_which_a_part_was_overtaken_is_not_shown_as_it_was(here: Stand) -> None:
    uri = f"at://{here.user.did}/{records.TRACK}/{RKEY}"
    await here.repo.put(records.TRACK, RKEY, records.track("Old"))

    async def somebody_else() -> None:
        await here.user.put_record(records.TRACK, RKEY, records.track("Theirs"))

    here.wire.faults = [lose_reply_after(somebody_else)]
    new, _ = await here.repo.apply(
        [Create(records.TRACK, records.track("New")), Update(records.TRACK, RKEY, records.track("Ours"))]
    )
    assert len(await here.records(records.TRACK)) == 2
    assert await here.pool.fetchval("select title from tracks where uri = $1", uri) == "Old"
    await here.lapse()
    await here.settle()
    assert await here.pool.fetchval("select exists (select from jobs where kind = 'fetch' and note = 'unseen_write')")
    assert new.uri not in await here.shown()


@pytest.mark.parametrize("fault", [gateway, no_gateway])
async def test_a_gateway_does_not_know(here: Stand, fault: Any) -> None:
    """It may have passed on what it got no answer to in time: that nothing was written is not said."""
    here.wire.faults = [no_gateway] * 3
    with pytest.raises(Unsettled):
        await here.repo.create(records.TRACK, records.track("One"))
    here.wire.faults = [fault]
    assert (await here.repo.create(records.TRACK, records.track("Two"))).rev == await here.rev()


async def test_a_no_does_not_undo_that_an_earlier_try_may_come_late(here: Stand) -> None:
    here.wire.faults = [lose_request, fail_before, fail_before]
    with pytest.raises(Unsettled):
        await here.repo.create(records.TRACK, records.track())


async def test_two_who_make_the_same_record_at_once_both_have_their_way(here: Stand) -> None:
    def setting(**fields: str) -> Callable[[Json], Json]:
        return lambda record: (record or {"createdAt": records.CREATED_AT}) | fields

    await asyncio.gather(
        *(
            here.repo.edit(records.PROFILE, "self", setting(**fields), missing={})
            for fields in ({"bio": "Songs"}, {"avatar": "https://cdn.example/a.png"})
        )
    )
    value = await there(here, records.PROFILE, "self")
    assert value is not None
    assert (value["bio"], value["avatar"]) == ("Songs", "https://cdn.example/a.png")


async def test_an_edit_that_changed_nothing_keeps_its_key(here: Stand) -> None:
    await here.user.put_record(records.TRACK, RKEY, records.track("Two"))

    def entitle(title: str) -> Callable[[Json], Json | None]:
        return lambda record: edited(record, {"title": title})

    first = await here.repo.edit(records.TRACK, RKEY, entitle("Two"), key="a key", request="Two")
    assert first.rev is None
    with pytest.raises(WriteError, match="another request"):
        await here.repo.edit(records.TRACK, RKEY, entitle("Three"), key="a key", request="Three")
    await here.user.put_record(records.TRACK, RKEY, records.track("Three"))
    assert await here.repo.edit(records.TRACK, RKEY, entitle("Two"), key="a key", request="Two") == first
    assert await there(here) == records.track("Three")
