"""The verifier against servers that this project did not write: two PDSes, a directory, and Arroba."""

import asyncio
import collections
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

from appview.net.errors import IdentityError
from appview.net.http import HttpClient
from appview.net.identity import IdentityResolver
from appview.net.lookup import Dns
from appview.net.policy import Policy
from ingester.events import CommitEvent, SyncEvent, parse_event
from ingester.firehose import follow
from ingester.sync import Apply, Decision, RepoState, Signer, decide
from lexicons.frames import decode_frame
from tests.network import records
from tests.network.arroba_pds import Arroba
from tests.network.frames import write_frames
from tests.network.network import Network
from tests.network.pds import User
from tests.network.repo import create, delete, update


async def command(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Run `python -m ingester` as a user would: the exit code, and each line of its answer."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ingester", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, error = await process.communicate()
    assert b"Traceback" not in error, error.decode()
    return process.returncode or 0, [json.loads(line) for line in out.splitlines()]


async def a_life(network: Network) -> User:
    """An account that does a bit of everything."""
    user = await network.create_account("life")
    song = await user.create_record(records.TRACK, records.track("One"))
    await user.put_record(records.PROFILE, "self", records.profile())
    await user.put_record(records.TRACK, song.rkey, records.track("Two"))
    for number in range(30):
        liked = await user.create_record(records.LIKE, records.like(song))
        if number % 3 == 0:
            await user.delete_record(records.LIKE, liked.rkey)
    rkeys = [f"3lzzzzzzzz{letters}" for letters in map("".join, itertools.product("234567", repeat=3))][:150]
    await user.apply_writes(*(create(records.TRACK, records.track(rkey), rkey=rkey) for rkey in rkeys))
    await user.apply_writes(*(delete(records.TRACK, rkey) for rkey in rkeys[:70]))
    await user.apply_writes(*(update(records.TRACK, rkey, records.track("again")) for rkey in rkeys[70:90]))
    await user.deactivate()
    await user.activate()
    await user.create_record(records.COMMENT, records.comment(song))
    return user


async def test_what_real_pdses_emit_is_verified_live(network: Network) -> None:
    user = await a_life(network)
    last_seq = await user.pds.last_seq()
    messages: list[bytes] = []
    done = asyncio.Event()

    def take(message: bytes) -> None:
        messages.append(message)
        if decode_frame(message).payload.get("seq", 0) >= last_seq:
            done.set()

    following = asyncio.create_task(follow(user.pds.url, take, cursor=0))
    await asyncio.wait_for(done.wait(), 20)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)

    decisions = await decided(network, messages, user.did)
    counts = collections.Counter((type(decision).__name__, decision.reason) for decision in decisions)
    assert counts["Apply", "first_commit"] == 1
    assert counts["Apply", "in_chain"] == 1 + 1 + 1 + 30 + 10 + 3 + 1
    assert counts["Apply", "unchanged"] == 2  # the #sync of a new account, and that of a reactivated one
    assert sum(counts.values()) == 50
    written = sum(len(decision.records) for decision in decisions if isinstance(decision, Apply))
    assert written == 3 + 30 + 10 + 150 + 70 + 20 + 1


async def decided(network: Network, messages: list[bytes], did: str) -> list[Decision]:
    """The decisions on the commits and syncs of `did`, with keys from the real directory."""
    dns = Dns()
    state: RepoState | None = None
    decisions: list[Decision] = []
    async with HttpClient(Policy.development(), lookup=dns.addresses) as http:
        identities = IdentityResolver(http, dns, plc_url=network.addresses.plc)
        for message in messages:
            event = parse_event(decode_frame(message))
            if not isinstance(event, CommitEvent | SyncEvent) or event.did != did:
                continue
            try:
                signer = Signer((await identities.document(did)).signing_key)
            except IdentityError as error:
                raise AssertionError(f"{did} does not resolve: {error}") from error
            decision = decide(event, state, signer, time.time_ns() // 1_000)
            decisions.append(decision)
            if isinstance(decision, Apply):
                state = RepoState(decision.head.rev, decision.head.data)
    return decisions


async def test_the_commands_verify_what_a_real_pds_recorded(network: Network, tmp_path: Path) -> None:
    user = await a_life(network)
    frames = [frame for frame in await user.pds.replay() if frame.did == user.did]
    write_frames(tmp_path / "frames.bin", [frame.raw for frame in frames])
    code, answers = await command("verify", str(tmp_path / "frames.bin"), "--plc", network.addresses.plc, "--strict")
    assert code == 0
    assert {answer["verdict"] for answer in answers} == {"ok"}
    assert len(answers) == len(frames)

    (tmp_path / "repo.car").write_bytes(await user.get_repo())
    code, (answer,) = await command("verify-car", str(tmp_path / "repo.car"), "--plc", network.addresses.plc)
    assert (code, answer["signature"], answer["did"]) == (0, "ok", user.did)
    assert answer["collections"] == {records.PROFILE: 1, records.COMMENT: 1, records.LIKE: 20, records.TRACK: 81}
    assert answer["rev"] == next(frame.body["rev"] for frame in reversed(frames) if frame.kind == "#commit")


async def test_an_account_that_moved_chains_on_with_its_new_key(network: Network, tmp_path: Path) -> None:
    user = await network.create_account("mover")
    song = await user.create_record(records.TRACK, records.track("One"))
    before = [frame for frame in await user.pds.replay() if frame.did == user.did]
    moved = await user.migrate(network.pds[1])
    await moved.create_record(records.LIKE, records.like(song))
    after = [frame for frame in await moved.pds.replay() if frame.did == user.did]

    write_frames(tmp_path / "frames.bin", [frame.raw for frame in before + after])
    _, answers = await command("verify", str(tmp_path / "frames.bin"), "--plc", network.addresses.plc)
    verdicts = [(answer["type"], answer["verdict"], answer["reason"]) for answer in answers]
    # The new host's #sync cannot verify; what was held before it stays, and the next commit chains to it.
    assert ("#sync", "invalid", "rev_mismatch") in verdicts
    assert verdicts[-1] == ("#commit", "ok", "in_chain")
    assert [verdict for verdict in verdicts if verdict[1] != "ok"] == [("#sync", "invalid", "rev_mismatch")]


async def test_another_implementation_is_verified_too(arroba: Arroba, network: Network, tmp_path: Path) -> None:
    repo = await arroba.create_repo("other.test")
    song = await repo.create_record(records.TRACK, records.track("One"))
    for _ in range(12):
        await repo.create_record(records.LIKE, records.like(song))
    await repo.put_record(records.TRACK, song.rkey, records.track("Two"))
    await repo.delete_record(records.TRACK, song.rkey)
    (tmp_path / "repo.car").write_bytes(await repo.get_repo())
    code, (answer,) = await command("verify-car", str(tmp_path / "repo.car"), "--plc", network.addresses.plc)
    assert (code, answer["signature"], answer["collections"]) == (0, "ok", {records.LIKE: 12})
