"""What those who write through us get, at a real PDS."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Final

import pytest

from appview.unset import UNSET
from appview.writes import Create, Delete, Update
from appview.writes.errors import (
    IdempotencyMismatch,
    InvalidRecord,
    InvalidSwap,
    InvalidWrite,
    RecordAlreadyExists,
    RecordNotFound,
    ScopeMissing,
    SignInAgain,
    WriteError,
)
from lexicons.cid import CID
from lexicons.data import encode, from_json
from tests.appview.writes.proxy import before
from tests.appview.writes.stand import Stand
from tests.network import records

RKEY: Final = "3l2wryxkduc2a"
OTHER_RKEY: Final = "3l2wryxkduc2b"


def cid(record: dict[str, Any]) -> str:
    return str(CID.of(encode(from_json(record))))


async def test_create(here: Stand) -> None:
    written = await here.repo.create(records.TRACK, records.track("One"))
    there = await here.record(written.uri)
    assert there is not None
    assert there["cid"] == written.cid == cid(records.track("One"))
    assert there["value"] == records.track("One")
    assert written.rev == await here.rev()
    assert await here.shown() == {written.uri: CID.parse(written.cid).hex()}
    assert await here.states() == ["written"]
    assert here.wire.asked == ["com.atproto.repo.putRecord"]


async def test_the_type_of_a_record_is_filled_in(here: Stand) -> None:
    bare = {name: value for name, value in records.track().items() if name != "$type"}
    assert (await here.repo.create(records.TRACK, bare)).cid == cid(records.track())


async def test_the_one_key_of_a_profile(here: Stand) -> None:
    written = await here.repo.create(records.PROFILE, records.profile())
    assert written.uri == f"at://{here.user.did}/{records.PROFILE}/self"
    with pytest.raises(RecordAlreadyExists):
        await here.repo.create(records.PROFILE, records.profile("Another bio"))


async def test_the_same_record_under_the_same_key_is_one(here: Stand) -> None:
    first, *others = await asyncio.gather(
        *(here.repo.create(records.TRACK, records.track(), rkey=RKEY) for _ in range(4))
    )
    assert {(first.uri, first.cid)} == {(other.uri, other.cid) for other in others}
    assert len(await here.records(records.TRACK)) == 1
    revs = {written.rev for written in (first, *others)}
    assert revs == {await here.rev()}


async def test_another_record_under_the_same_key_is_none(here: Stand) -> None:
    written = await here.repo.create(records.TRACK, records.track("One"), rkey=RKEY)
    with pytest.raises(RecordAlreadyExists):
        await here.repo.create(records.TRACK, records.track("Two"), rkey=RKEY)
    there = await here.record(written.uri)
    assert there is not None
    assert there["cid"] == written.cid
    assert await here.states() == ["written", "refused"]


@pytest.mark.parametrize(
    ("collection", "rkey", "record", "error"),
    [
        (records.TRACK, None, records.track(title=""), InvalidRecord),
        (records.TRACK, None, records.track() | {"$type": records.LIKE}, InvalidRecord),
        (records.TRACK, None, records.track() | {"duration": 1.5}, InvalidRecord),
        (records.TRACK, None, records.track() | {"more": [{"deep": 2**53}]}, InvalidRecord),
        (records.TRACK, None, records.track() | {"cover": {"$type": "blob", "cid": "x"}}, InvalidRecord),
        (records.TRACK, None, records.track() | {"more": "x" * 1_000_000}, InvalidRecord),
        (records.TRACK, "not-a-tid", records.track(), InvalidRecord),
        (records.TRACK, None, [], InvalidRecord),
        ("app.bsky.feed.post", None, {"text": "", "createdAt": records.CREATED_AT}, InvalidWrite),
        ("app.bsky.graph.follow", None, {}, InvalidWrite),
        ("fm.plyr.nothing", None, {}, InvalidWrite),
    ],
)
async def test_what_is_no_record_of_ours_is_not_sent(
    here: Stand, collection: str, rkey: str | None, record: Any, error: type[WriteError]
) -> None:
    with pytest.raises(error):
        await here.repo.create(collection, record, rkey=rkey)
    assert here.wire.asked == []
    assert await here.journal() == []


async def test_put(here: Stand) -> None:
    first = await here.repo.put(records.TRACK, RKEY, records.track("One"))
    second = await here.repo.put(records.TRACK, RKEY, records.track("Two"), swap=first.cid)
    assert second.rev is not None
    with pytest.raises(InvalidSwap):
        await here.repo.put(records.TRACK, RKEY, records.track("Three"), swap=first.cid)
    with pytest.raises(RecordAlreadyExists):
        await here.repo.put(records.TRACK, RKEY, records.track("Three"), swap=None)
    assert await here.shown() == {second.uri: CID.parse(str(second.cid)).hex()}
    assert await here.states() == ["written", "written", "refused", "refused"]


async def test_what_changes_nothing_has_no_rev(here: Stand) -> None:
    await here.repo.put(records.TRACK, RKEY, records.track())
    again = await here.repo.put(records.TRACK, RKEY, records.track())
    gone = await here.repo.delete(records.TRACK, OTHER_RKEY)
    assert (again.rev, gone.rev) == (None, None)
    assert (again.cid, gone.cid) == (cid(records.track()), None)
    assert await here.states() == ["written", "settled", "settled"]


async def test_delete(here: Stand) -> None:
    written = await here.repo.create(records.TRACK, records.track())
    rkey = written.uri.rpartition("/")[2]
    with pytest.raises(InvalidSwap):
        await here.repo.delete(records.TRACK, rkey, swap=cid(records.track("Another")))
    gone = await here.repo.delete(records.TRACK, rkey, swap=written.cid)
    assert (gone.uri, gone.cid, gone.rev) == (written.uri, None, await here.rev())
    assert await here.record(written.uri) is None
    assert await here.shown() == {}
    with pytest.raises(InvalidWrite):
        await here.repo.delete(records.TRACK, rkey, swap=None)
    with pytest.raises(InvalidWrite):
        await here.repo.delete(records.TRACK, rkey, swap="not a CID")


async def test_apply(here: Stand) -> None:
    old = await here.repo.create(records.TRACK, records.track("Old"))
    rkey = old.uri.rpartition("/")[2]
    await here.repo.put(records.TRACK, RKEY, records.track("One"))
    written = await here.repo.apply(
        [
            Create(records.TRACK, records.track("New")),
            Update(records.TRACK, RKEY, records.track("Two")),
            Delete(records.TRACK, rkey),
        ]
    )
    assert [one.cid for one in written] == [cid(records.track("New")), cid(records.track("Two")), None]
    assert {one.rev for one in written} == {await here.rev()}
    assert {record["value"]["title"] for record in await here.records(records.TRACK)} == {"New", "Two"}
    assert set(await here.shown()) == {written[0].uri, written[1].uri}


async def test_apply_on_top_of_a_commit(here: Stand) -> None:
    latest = await here.user.pds.query("com.atproto.sync.getLatestCommit", did=here.user.did)
    await here.repo.apply([Create(records.TRACK, records.track("One"))], swap_commit=latest["cid"])
    with pytest.raises(InvalidSwap):
        await here.repo.apply([Create(records.TRACK, records.track("Two"))], swap_commit=latest["cid"])
    assert len(await here.records(records.TRACK)) == 1


@pytest.mark.parametrize(
    "writes",
    [
        [],
        [Delete(records.TRACK, RKEY)] * 2,
        [Create(records.TRACK, records.track())] * 201,
        [Delete("app.bsky.feed.post", RKEY)],
        [Delete(records.TRACK, "/")],
    ],
    ids=["none", "the same", "too many", "not ours", "no key"],
)
async def test_what_is_no_commit_of_ours(here: Stand, writes: list[Create | Update | Delete]) -> None:
    with pytest.raises(InvalidWrite):
        await here.repo.apply(writes)
    assert here.wire.asked == []


async def test_get(here: Stand) -> None:
    assert await here.repo.get(records.TRACK, RKEY) is None
    written = await here.repo.put(records.TRACK, RKEY, records.track())
    assert await here.repo.get(records.TRACK, RKEY) == (records.track(), written.cid)


async def test_a_grant_that_does_not_reach_so_far(here: Stand) -> None:
    liking = await here.other("repo:fm.plyr.like", "blob:image/*")
    with pytest.raises(ScopeMissing) as lacking:
        await liking.create(records.TRACK, records.track())
    assert lacking.value.needed == "repo:fm.plyr.track?action=create"
    with pytest.raises(ScopeMissing):
        await liking.delete(records.TRACK, RKEY)
    with pytest.raises(ScopeMissing):
        await liking.apply([Create(records.LIKE, like(here)), Delete(records.TRACK, RKEY)])
    assert here.wire.asked == []
    assert await here.journal() == []


async def test_a_grant_that_may_create_and_no_more(here: Stand) -> None:
    creating = await here.other("repo:fm.plyr.track?action=create")
    written = await creating.create(records.TRACK, records.track("One"), rkey=RKEY)
    assert written.rev == await here.rev()
    again = await creating.create(records.TRACK, records.track("One"), rkey=RKEY)
    assert again.cid == written.cid
    with pytest.raises(RecordAlreadyExists):
        await creating.create(records.TRACK, records.track("Two"), rkey=RKEY)
    with pytest.raises(ScopeMissing):
        await creating.put(records.TRACK, RKEY, records.track("Two"))
    assert set(here.wire.asked) == {"com.atproto.repo.createRecord"}


async def test_a_grant_that_has_ended(here: Stand) -> None:
    await here.grants.end(here.grant, "signed out")
    with pytest.raises(SignInAgain):
        await here.repo.create(records.TRACK, records.track())


async def test_the_same_key_is_the_same_write(here: Stand) -> None:
    first, *others = await asyncio.gather(
        *(here.repo.create(records.TRACK, records.track(createdAt=stamp(i)), key="a key") for i in range(4))
    )
    assert others == [first] * 3
    assert await here.repo.create(records.TRACK, records.track(createdAt=stamp(9)), key="a key") == first
    assert len(await here.records(records.TRACK)) == 1
    assert here.wire.asked == ["com.atproto.repo.putRecord"]


async def test_the_same_key_of_another_account_is_another(here: Stand) -> None:
    other = await here.network.create_account("writer")
    with pytest.raises(SignInAgain):
        await here.writes.of(other.did, 10_000).create(records.TRACK, records.track(), key="a key")
    await here.repo.create(records.TRACK, records.track(), key="a key")


async def test_the_same_key_with_another_request(here: Stand) -> None:
    repo = here.repo
    await repo.create(records.TRACK, records.track("One"), key="a key")
    for other in (
        repo.create(records.TRACK, records.track("Two"), key="a key"),
        repo.create(records.TRACK, records.track("One"), rkey=RKEY, key="a key"),
        repo.create(records.LIKE, like(here), key="a key"),
        repo.put(records.TRACK, RKEY, records.track("One"), key="a key"),
        repo.delete(records.TRACK, RKEY, key="a key"),
        repo.apply([Create(records.TRACK, records.track("One"))], key="a key"),
    ):
        with pytest.raises(IdempotencyMismatch):
            await other
    assert len(await here.records(records.TRACK)) == 1
    for key in ("", "x" * 256, "a\nb"):
        with pytest.raises(InvalidWrite):
            await repo.delete(records.TRACK, RKEY, key=key)


@pytest.mark.parametrize("swap", [UNSET, "given"])
async def test_the_same_key_of_a_put_a_delete_and_a_commit(here: Stand, swap: Any) -> None:
    repo = here.repo
    first = await repo.put(records.TRACK, RKEY, records.track("One"), key="1")
    swap = UNSET if swap is UNSET else first.cid
    second = await repo.put(records.TRACK, RKEY, records.track("Two"), swap=swap, key="2")
    assert await repo.put(records.TRACK, RKEY, records.track("One"), key="1") == first
    assert await repo.put(records.TRACK, RKEY, records.track("Two"), swap=swap, key="2") == second
    many = await repo.apply([Create(records.TRACK, records.track()) for _ in range(3)], key="3")
    assert await repo.apply([Create(records.TRACK, records.track()) for _ in range(3)], key="3") == many
    gone = await repo.delete(records.TRACK, RKEY, key="4")
    await repo.put(records.TRACK, RKEY, records.track("Three"))
    assert await repo.delete(records.TRACK, RKEY, key="4") == gone
    assert {record["value"]["title"] for record in await here.records(records.TRACK)} == {"Song", "Three"}


async def test_what_was_refused_may_be_tried_again_by_the_same_key(here: Stand) -> None:
    first = await here.repo.put(records.TRACK, RKEY, records.track("One"))
    second = await here.repo.put(records.TRACK, RKEY, records.track("Two"))
    with pytest.raises(InvalidSwap):
        await here.repo.put(records.TRACK, RKEY, records.track("Three"), swap=first.cid, key="a key")
    await here.repo.put(records.TRACK, RKEY, records.track("One"), swap=second.cid)
    third = await here.repo.put(records.TRACK, RKEY, records.track("Three"), swap=first.cid, key="a key")
    assert third.cid == cid(records.track("Three"))
    assert await here.states() == ["written"] * 4


async def test_an_edit_of_what_is_not_there(here: Stand) -> None:
    with pytest.raises(RecordNotFound):
        await here.repo.edit(records.TRACK, RKEY, lambda record: record | {"title": "Two"})
    with pytest.raises(InvalidRecord):
        await here.repo.edit(records.PROFILE, "self", lambda record: {"bio": 1}, missing={})
    written = await here.repo.edit(
        records.PROFILE, "self", lambda record: record | {"bio": "Songs"}, missing={"createdAt": records.CREATED_AT}
    )
    assert written.cid == cid(records.profile("Songs"))


async def test_an_edit_that_changes_nothing(here: Stand) -> None:
    written = await here.repo.put(records.TRACK, RKEY, records.track())
    for change in (dict, lambda record: None):
        assert await here.repo.edit(records.TRACK, RKEY, change) == written._replace(rev=None, commit=None)
    assert here.wire.asked == ["com.atproto.repo.putRecord"]


async def test_statements(here: Stand) -> None:
    """A write costs the journal one statement before the PDS is asked, and one after."""
    await here.pool.execute(
        """
        create table statements (verb text);
        create function note() returns trigger language plpgsql as
            'begin insert into statements values (tg_op); return null; end';
        create trigger note after insert or update or delete on write_intents for each statement execute function note()
        """
    )
    await here.repo.create(records.TRACK, records.track())
    verbs = [row["verb"] for row in await here.pool.fetch("select verb from statements")]
    assert verbs == ["INSERT", "UPDATE"]


async def test_nothing_of_the_database_is_held_while_a_pds_is_asked(here: Stand) -> None:
    free: list[bool] = []

    async def count() -> None:
        async with asyncio.timeout(5.0), AsyncExitStack() as stack:
            connections = [
                await stack.enter_async_context(here.pool.acquire()) for _ in range(here.pool.get_max_size())
            ]
            locks = await connections[0].fetchval(
                """
                select count(*) from pg_locks join pg_stat_activity using (pid)
                where datname = current_database() and pid <> pg_backend_pid()
                """
            )
            free.append(locks == 0)

    here.wire.faults = [before(count)] * 2
    written = await here.repo.create(records.TRACK, records.track())
    await here.repo.edit(records.TRACK, written.uri.rpartition("/")[2], lambda record: record | {"title": "Two"})
    assert free == [True, True]


def like(here: Stand) -> dict[str, Any]:
    subject = {"uri": f"at://{here.user.did}/fm.plyr.track/{RKEY}", "cid": cid(records.track())}
    return {"subject": subject, "createdAt": records.CREATED_AT}


def stamp(second: int) -> str:
    return f"2026-03-01T12:00:0{second}.000Z"
