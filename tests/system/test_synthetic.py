"""The made-up network is one: what it answers and sends is verified by our verifier, and read by another's SDK."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.network import records
from tests.network.frames import FrameStream, subscribe, write_frames
from tests.system.relay import Relay
from tests.system.synthetic import Account, Directory, Pds
from tests.writer.repo import Write

SONG = f"{records.TRACK}/3lmusic222222"


@pytest.fixture
async def directory() -> AsyncIterator[Directory]:
    async with Directory() as directory:
        yield directory


@pytest.fixture
async def pdses(directory: Directory) -> AsyncIterator[tuple[Pds, Pds]]:
    async with Pds(directory, "pds1") as one, Pds(directory, "pds2", by_collection=True) as two:
        yield one, two


async def command(*arguments: object) -> list[dict[str, Any]]:
    """The lines that `python -m ingester` prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ingester", *map(str, arguments), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


async def answer(url: str, **params: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(url, params=params) as response:
        return dict(await response.json())


def a_life(account: Account) -> None:
    account.write(Write("create", SONG, records.track("One")))
    account.write(Write("update", SONG, records.track("Two")), Write("create", "fm.plyr.actor.profile/self", {}))
    account.write(Write("delete", SONG))


async def verdicts(directory: Directory, frames: list[bytes], folder: Path) -> list[tuple[str, str, str]]:
    write_frames(folder / "frames", frames)
    rows = await command("verify", folder / "frames", "--plc", directory.url)
    return [(row["type"], row["verdict"], row["reason"]) for row in rows]


async def test_its_stream_verifies(directory: Directory, pdses: tuple[Pds, Pds], tmp_path: Path) -> None:
    a_life(account := pdses[0].create_account("alice"))
    account.set_status("deactivated")
    account.set_status(None)
    found = await verdicts(directory, pdses[0].stream.frames, tmp_path)
    assert [kind for kind, *_ in found] == [
        *("#identity", "#account", "#commit", "#sync"),
        *("#commit", "#commit", "#commit"),
        *("#account", "#account", "#identity", "#sync"),
    ]
    assert {verdict for _, verdict, _ in found} == {"ok"}


async def test_a_migrations_sync_does_not_verify_and_the_next_commit_does(
    directory: Directory, pdses: tuple[Pds, Pds], tmp_path: Path
) -> None:
    one, two = pdses
    a_life(account := one.create_account("eve"))
    before = len(one.stream.frames)
    moved = account.migrate(two)
    moved.write(Write("create", SONG, records.track("At home")))
    found = await verdicts(directory, [*two.stream.frames, *one.stream.frames[before:]], tmp_path)
    assert [(kind, verdict) for kind, verdict, _ in found] == [
        *(("#identity", "ok"), ("#account", "ok"), ("#identity", "ok"), ("#sync", "invalid")),
        *(("#commit", "ok"), ("#account", "ok")),
    ]
    assert (await answer(f"{one.url}/xrpc/com.atproto.sync.getRepo", did=account.did))["error"] == "RepoDeactivated"


async def test_it_answers_what_a_pds_answers(directory: Directory, pdses: tuple[Pds, Pds], tmp_path: Path) -> None:
    pds = pdses[1]
    a_life(account := pds.create_account("carol"))
    pds.create_account("dora")
    sync = f"{pds.url}/xrpc/com.atproto.sync"
    async with aiohttp.ClientSession() as session, session.get(f"{sync}.getRepo?did={account.did}") as response:
        (tmp_path / "repo.car").write_bytes(await response.read())
    (summary,) = await command("verify-car", tmp_path / "repo.car", "--plc", directory.url)
    latest = await answer(f"{sync}.getLatestCommit", did=account.did)
    assert (summary["records"], summary["rev"]) == (1, latest["rev"])

    first = await answer(f"{sync}.listRepos", limit="1")
    second = await answer(f"{sync}.listRepos", limit="1", cursor=first["cursor"])
    assert {repo["did"] for repo in first["repos"] + second["repos"]} == set(pds.accounts)
    assert "cursor" not in second
    having = await answer(f"{sync}.listReposByCollection", collection=records.PROFILE)
    assert having == {"repos": [{"did": account.did}]}
    described = await answer(f"{pds.url}/xrpc/com.atproto.repo.describeRepo", repo=account.did)
    assert described["collections"] == [records.PROFILE]

    account.set_status("deleted")
    assert (await answer(f"{sync}.getRepoStatus", did=account.did))["error"] == "RepoNotFound"
    pds.down = True
    async with aiohttp.ClientSession() as session, session.get(f"{sync}.listRepos") as response:
        assert response.status == 503


async def test_subscribing(pdses: tuple[Pds, Pds]) -> None:
    pds = pdses[0]
    account = pds.create_account("alice")

    async def seqs(stream: FrameStream, count: int) -> list[int]:
        found = [await stream.next() for _ in range(count)]
        return [frame.seq for frame in found if frame]

    async with subscribe(pds.url, cursor=2) as old, subscribe(pds.url) as live:
        assert await seqs(old, 2) == [3, 4]
        account.write(Write("create", SONG, records.track()))
        assert await seqs(old, 1) == await seqs(live, 1) == [5]
    async with subscribe(pds.url, cursor=99) as stream:
        (frame,) = await stream.until_idle(5)
    assert frame.body["error"] == "FutureCursor"


async def test_the_relay_merges_and_renumbers(directory: Directory, pdses: tuple[Pds, Pds], tmp_path: Path) -> None:
    one, two = pdses
    a_life(one.create_account("alice"))
    two.create_account("bob").write(Write("create", SONG, records.track()))
    async with Relay(one.url, two.url) as relay:
        total = len(one.stream.frames) + len(two.stream.frames)
        async with subscribe(relay.url, cursor=0) as stream:
            frames = await stream.until_seq(total)
        assert [frame.seq for frame in frames] == list(range(1, total + 1))
        assert {verdict for _, verdict, _ in await verdicts(directory, [frame.raw for frame in frames], tmp_path)} == {
            "ok"
        }
        sync = f"{relay.url}/xrpc/com.atproto.sync"
        having = await answer(f"{sync}.listReposByCollection", collection=records.TRACK)
        assert {repo["did"] for repo in having["repos"]} == {*one.accounts, *two.accounts}
        for did in (*one.accounts, *two.accounts):
            assert (await answer(f"{sync}.getLatestCommit", did=did))["rev"]


async def test_the_relay_knows_the_collections_of_before(pdses: tuple[Pds, Pds]) -> None:
    one, two = pdses
    a_life(account := one.create_account("alice"))
    async with Relay(one.url, two.url) as relay:
        having = await answer(f"{relay.url}/xrpc/com.atproto.sync.listReposByCollection", collection=records.PROFILE)
    assert having == {"repos": [{"did": account.did}]}
