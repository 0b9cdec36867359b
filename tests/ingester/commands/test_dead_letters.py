"""`dead-letters`: what was refused is shown, and judged again when that is asked for."""

import asyncio
from datetime import UTC, datetime

import orjson
import pytest

from appview.db import create_pool
from ingester import letters
from ingester.commands import dead_letters
from ingester.letters import Which
from lexicons.data import encode
from lexicons.frames import encode_error, encode_frame
from tests.ingester.commands.running import Ran, called
from tests.ingester.world import SECONDS, World, config, create, track, world
from tests.system.synthetic import Account

Capture = pytest.CaptureFixture[str]
UPSTREAM = "wss://relay.test"
ALL = Which()


async def bury(
    there: World,
    frame: bytes | None,
    did: str | None = None,
    *,
    reason: str = "bad_signature",
    detail: str = "it is not signed",
    upstream: str = UPSTREAM,
) -> int:
    number: int = await there.value(
        "insert into dead_letters (upstream, seq, did, reason, detail, frame, received_at)"
        " values ($1, 7, $2, $3, $4, $5, $6) returning id",
        upstream,
        did,
        reason,
        detail,
        frame,
        datetime(2026, 11, 22, tzinfo=UTC),
    )
    return number


async def an_artist(there: World, name: str = "artist") -> Account:
    """One with a track, followed."""
    artist = there.pds.create_account(name)
    await there.from_the_start()
    artist.write(create(artist, 1))
    async with there.ingesting() as made:
        await there.settled(made)
    return artist


async def retried(there: World, *ids: int, **which: str) -> int:
    settings = config(there.directory, there.pds)
    async with await create_pool(there.url, size=3) as pool:
        work = dead_letters._retry(settings, there.url, pool, Which(ids or None, **which))
        return await asyncio.wait_for(work, SECONDS)


async def listed(there: World, *, which: Which = ALL, limit: int = 50, as_json: bool = False) -> int:
    async with await create_pool(there.url, size=1) as pool:
        return await dead_letters._list(pool, which, limit, as_json)


async def shown(there: World, number: int) -> int:
    async with await create_pool(there.url, size=1) as pool:
        return await dead_letters._show(pool, number, raw=False)


async def test_they_are_listed_the_newest_first(database_url: str, capsys: Capture) -> None:
    async with world(database_url) as there:
        await bury(there, b"", "did:web:one.test", detail="its \x1b[31m red")
        await bury(there, None, "did:web:two.test", reason="bad_rev")
        await bury(there, b"", None, reason="unreadable", upstream="wss://other.test")
        assert await listed(there) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == ["3", "2", "1"]
        told = "its \N{REPLACEMENT CHARACTER}[31m red"
        assert lines[2] == f"1  2026-11-22T00:00:00+00:00  bad_signature  did:web:one.test  {UPSTREAM} 7  {told}"
        for which, found in (
            (Which(did="did:web:two.test"), [2]),
            (Which(reason="unreadable"), [3]),
            (Which(upstream=UPSTREAM), [2, 1]),
            (Which([1, 3]), [3, 1]),
        ):
            await listed(there, which=which, as_json=True)
            assert [orjson.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == found
        await listed(there, limit=2)
        assert "the newest 2 of 3" in capsys.readouterr().err


async def test_one_is_shown_with_what_is_in_it(database_url: str, capsys: Capture) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        commit = await bury(there, artist.write(create(artist, 1)).frame(), artist.did)
        record = await bury(there, encode(track("Odd")), artist.did, reason="unwritable")
        large = await bury(there, None, artist.did)
        noise = await bury(there, b"\xff\x00", None, reason="unreadable")
        assert await shown(there, commit) == 0
        out = capsys.readouterr().out
        message = orjson.loads(out[out.index("{") :])
        assert message["payload"]["repo"] == artist.did
        assert track("Song 1") in message["payload"]["blocks"]["blocks"].values()
        assert await shown(there, record) == 0
        assert '"title": "Odd"' in capsys.readouterr().out
        assert await shown(there, large) == 0
        assert "too large to keep" in capsys.readouterr().out
        assert await shown(there, noise) == 0
        assert "cannot be read" in capsys.readouterr().out
        assert await shown(there, 99) == 1


async def test_its_bytes_are_written_as_they_came(
    database_url: str, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    async with world(database_url) as there, await create_pool(there.url, size=1) as pool:
        number = await bury(there, b"\xff\x00\n")
        assert await dead_letters._show(pool, number, raw=True) == 0
        assert capsysbinary.readouterr().out == b"\xff\x00\n"


async def test_what_is_sound_by_now_is_taken_in(database_url: str, capsys: Capture) -> None:
    async with world(database_url) as there:
        artist = await an_artist(there)
        event = artist.repo.commit([create(artist, 2)])
        number = await bury(there, event.frame(), artist.did)
        assert await retried(there, number) == 0
        assert capsys.readouterr().out == f"{number} taken in: {artist.did} is at {event.rev}\n"
        assert len(await there.uris()) == 2
        assert not await there.value("select count(*) from dead_letters")
        assert not await there.value("select count(*) from held_frames")


async def test_what_is_refused_again_is_a_letter_again(database_url: str, capsys: Capture) -> None:
    async with world(database_url) as there:
        artist = await an_artist(there)
        forged = bytearray(artist.repo.commit([create(artist, 2)]).frame())
        forged[-200] ^= 1
        number = await bury(there, bytes(forged), artist.did, reason="an_old_reason")
        async with there.ingesting() as made:
            assert await retried(there, reason="an_old_reason") == 1
            out = capsys.readouterr().out
            assert out.startswith(f"{number} refused again: ")
            row = await there.connection.fetchrow("select id, reason, frame from dead_letters")
            assert row is not None
            assert (row["id"] > number, row["frame"]) == (True, bytes(forged))
            assert f"{row['reason']}: " in out
            assert f"letter {row['id']}" in out
            assert row["reason"] != "an_old_reason"
            # Its repository goes on.
            await there.followed(made)
            artist.repo.commit([create(artist, 3)])
            artist.write(create(artist, 4))
            await there.settled(made)
            assert len(await there.uris()) == 4


async def test_what_its_repository_has_moved_past_is_said_to_be(database_url: str, capsys: Capture) -> None:
    async with world(database_url) as there:
        artist = await an_artist(there)
        async with there.ingesting() as made:
            await there.followed(made)
            old = artist.write(create(artist, 2))
            new = artist.write(create(artist, 3))
            await there.settled(made)
            number = await bury(there, old.frame(), artist.did)
            assert await retried(there, number) == 0
        assert capsys.readouterr().out == (
            f"{number} passed over: {artist.did} was at {new.rev} already, and had all of {old.rev}\n"
        )


async def test_what_cannot_be_judged_is_said_at_once(database_url: str, capsys: Capture) -> None:
    async with world(database_url) as there:
        artist = await an_artist(there)
        large = await bury(there, None, artist.did)
        noise = await bury(there, b"\xff", None, reason="an_old_reason")
        short = await bury(there, encode_frame("#sync", {"seq": 1}), None, reason="an_old_reason")
        error = await bury(there, encode_error("FutureCursor"))
        word = await bury(there, artist.repo.account(), artist.did)
        assert await retried(there) == 1
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith(f"{large} its message was too large to keep; `resync {artist.did}`")
        assert lines[1].startswith(f"{noise} refused again: unreadable: ")
        assert lines[2].startswith(f"{short} refused again: bad_envelope: ")
        assert lines[3].startswith(f"{error} dropped: ")
        assert lines[4] == f"{word} dropped: {artist.did} is looked up instead, as the message asks for"
        rows = await there.connection.fetch("select id, reason from dead_letters order by id")
        assert list(map(tuple, rows)) == [(large, "bad_signature"), (noise, "unreadable"), (short, "bad_envelope")]
        assert await there.value("select note from jobs where kind = 'status'") == "dead_letter"


async def test_a_record_that_could_not_be_written_is_fetched(database_url: str, capsys: Capture) -> None:
    async with world(database_url) as there:
        artist = await an_artist(there)
        await there.connection.execute("delete from records")
        number = await bury(there, encode(track()), artist.did, reason="unwritable", upstream="index")
        assert await retried(there, did=artist.did) == 0
        assert capsys.readouterr().out.startswith(f"{number} taken in: ")
        assert len(await there.uris()) == 1


async def test_one_that_is_retried_while_its_repository_is_fetched_follows_the_fetch(
    database_url: str, capsys: Capture
) -> None:
    async with world(database_url) as there:
        artist = await an_artist(there)
        async with there.ingesting() as made:
            await there.followed(made)
            there.pds.gate = asyncio.Event()
            await there.connection.execute("insert into jobs (kind, subject) values ('fetch', $1)", artist.did)
            await there.until("select status = 'in_progress' from repos")
            await asyncio.sleep(0.2)
            event = artist.repo.commit([create(artist, 2)])
            await bury(there, event.frame(), artist.did)
            retrying = asyncio.create_task(retried(there, did=artist.did))
            await there.until("select exists (select from held_frames)")
            await asyncio.sleep(0.2)
            there.pds.gate.set()
            assert await retrying == 0
            assert "taken in" in capsys.readouterr().out
            await there.settled(made)
        assert len(await there.uris()) == 2
        assert not await there.value("select count(*) from held_frames")


async def test_one_that_waits_for_its_identity_waits_in_the_index(database_url: str, capsys: Capture) -> None:
    async with world(database_url) as there:
        artist, other = await an_artist(there), there.pds.create_account("other")
        number = await bury(there, artist.repo.commit([create(artist, 2)]).frame(), artist.did)
        there.directory.refuses.add(artist.did)
        await there.connection.execute("delete from did_documents")
        async with there.ingesting() as made:
            assert await retried(there, number) == 1
            assert f"{number} waits to be judged: the identity" in capsys.readouterr().out
            # Nobody else is held up by it.
            other.write(create(other, 1))
            await there.until(f"select exists (select from repos where did = '{other.did}')")
            there.directory.refuses.clear()
            await there.connection.execute("update jobs set due_at = now() where kind = 'drain'")
            await there.settled(made)
        assert len(await there.uris()) == 3


async def test_they_are_dropped(database_url: str, capsys: Capture) -> None:
    async with world(database_url) as there, await create_pool(there.url, size=1) as pool:
        for _ in range(3):
            await bury(there, b"")
        assert await dead_letters._drop(pool, Which([1, 99])) == 1
        assert "1 of these are no dead letters" in capsys.readouterr().err
        assert await dead_letters._drop(pool, Which()) == 0
        assert capsys.readouterr().out == "2 dropped\n"
        assert await letters.count(there.connection, Which()) == 0
        assert await dead_letters._drop(pool, Which()) == 1


def test_as_a_user_calls_it(
    database_url: str, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLYR_DATABASE_URL", database_url)
    assert called(capsysbinary, "dead-letters") == Ran(0, b"", "no dead letters\n")
    assert called(capsysbinary, "dead-letters", "list", "--reason", "bad_signature").code == 0
    ran = called(capsysbinary, "dead-letters", "show", "1", "--raw")
    assert (ran.code, ran.out) == (1, b"")
    for arguments in (("retry",), ("drop",), ("drop", "1", "--all")):
        ran = called(capsysbinary, "dead-letters", *arguments)
        assert ran.code == 2
        assert "name dead letters by their ID" in ran.error
