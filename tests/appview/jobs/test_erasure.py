"""Accounts that want to be forgotten, at a real PDS: over a wire with faults, and in a process that is killed."""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from appview.accounts.erasure import Erasure, erasure_of, request_erasure
from appview.index.rebuild import Makers
from appview.jobs.erasure import ERASURE, LONGEST, PAGE, PATIENCE
from appview.jobs.family import Tools, perform
from tests.appview.jobs.eraser import tell
from tests.appview.writes.conftest import here
from tests.appview.writes.proxy import Fault, fail_after, fail_before, lose_reply, lose_request, too_many
from tests.appview.writes.stand import NAMESPACE, SECRET, Stand, sign_in
from tests.network import records
from tests.network.repo import create

__all__ = ["here"]

OTHERS = "app.bsky.feed.post"


def tools_of(here: Stand) -> Tools:
    return Tools(here.pool, here.identities, Makers.of(NAMESPACE), here.http, here.oauth, here.grants, here.writes)


async def fill(here: Stand, likes: int = 3) -> None:
    """Records of ours of every kind, so many likes, and one that is none of ours."""
    track = await here.user.create_record(records.TRACK, records.track())
    await here.user.apply_writes(
        create(records.COMMENT, records.comment(track)),
        create(records.LIST, records.playlist(track)),
        create(records.PROFILE, records.profile(), "self"),
        create(OTHERS, {"$type": OTHERS, "text": "Hello", "createdAt": "2026-01-01T00:00:00Z"}),
    )
    for start in range(0, likes, 200):
        await here.user.apply_writes(
            *(create(records.LIKE, records.like(track)) for _ in range(min(200, likes - start)))
        )


async def ours(here: Stand) -> set[str]:
    """The collections in which the PDS has something."""
    described = await here.user.pds.query("com.atproto.repo.describeRepo", repo=here.user.did)
    return set(described["collections"])


async def now(here: Stand) -> Erasure:
    asked = await erasure_of(here.pool, here.user.did)
    assert asked is not None
    return asked


async def work(here: Stand, until: str, rounds: int = 50) -> None:
    """Do the job, as often as it is due, until the erasure has come to a state."""
    for _ in range(rounds):
        if (await now(here)).state == until:
            return
        await perform(tools_of(here), ERASURE, here.user.did)
        await tell(tools_of(here))
        await here.pool.execute("update jobs set due_at = now()")
    raise AssertionError(f"it has not come further than {await now(here)}")


async def hear(here: Stand) -> None:
    """Have the index come to where the repository stands."""
    await here.pool.execute(
        """
        insert into repos (did, status, rev, reason, status_at) values ($1, 'synchronized', $2, 'live', now())
        on conflict (did) do update set rev = excluded.rev
        """,
        here.user.did,
        await here.rev(),
    )


async def test_all_of_ours_goes_from_the_pds_and_nothing_else(here: Stand) -> None:
    await fill(here, likes=PAGE + 30)
    asked = await request_erasure(here.pool, here.user.did, here.grant, records=True)
    await work(here, "echo")
    assert await ours(here) == {OTHERS}
    done = await now(here)
    assert (done.deleted, done.rev, done.reason) == (PAGE + 34, await here.rev(), None)
    assert await here.shown() == {}
    await work(here, "echo", rounds=2)
    await hear(here)
    await work(here, "purging")
    assert await here.pool.fetchval("select count(*) from grants") == 0
    assert await here.pool.fetchval("select count(*) from write_intents") == 0
    assert (await now(here)).requested_at == asked.requested_at
    assert await here.pool.fetchval("select count(*) from jobs where kind = 'erase'") == 1


async def test_who_keeps_their_records_keeps_them(here: Stand) -> None:
    await fill(here)
    before = await here.rev()
    await request_erasure(here.pool, here.user.did, here.grant, records=False)
    await work(here, "purging")
    assert await here.rev() == before
    assert await here.pool.fetchval("select count(*) from grants") == 0
    assert here.wire.asked == []


@pytest.mark.parametrize("fault", [lose_request, lose_reply, fail_after, fail_before])
async def test_whatever_happens_to_a_deletion_it_is_done(here: Stand, fault: Fault) -> None:
    await fill(here)
    here.wire.faults = [fault] * 2
    await request_erasure(here.pool, here.user.did, here.grant, records=True)
    await work(here, "echo")
    assert await ours(here) == {OTHERS}


async def test_a_pds_that_wants_a_pause_has_it(here: Stand) -> None:
    await fill(here)
    await request_erasure(here.pool, here.user.did, here.grant, records=True)
    here.wire.faults = [too_many]
    await perform(tools_of(here), ERASURE, here.user.did)
    assert "Rate Limit" in ((await now(here)).reason or "")
    wait = await here.pool.fetchval("select due_at - now() from jobs where kind = 'erasure'")
    assert timedelta(seconds=15) < wait < timedelta(seconds=18)
    await work(here, "echo")
    assert (await now(here)).reason is None
    assert await ours(here) == {OTHERS}


async def test_while_the_pds_is_away_it_waits_and_at_last_goes_on_without(here: Stand) -> None:
    await fill(here)
    await request_erasure(here.pool, here.user.did, here.grant, records=True)
    await here.user.pds.stop()
    try:
        for _ in range(2):
            await perform(tools_of(here), ERASURE, here.user.did)
            await here.pool.execute("update jobs set due_at = now()")
        waiting = await now(here)
        assert (waiting.state, waiting.deleted) == ("deleting", 0)
        assert waiting.reason
        await here.pool.execute("update erasures set changed_at = changed_at - $1::interval", PATIENCE)
        await perform(tools_of(here), ERASURE, here.user.did)
        given_up = await now(here)
        assert given_up.state in ("echo", "forgetting")
        assert given_up.reason == waiting.reason, "so that its owner knows that they are still there"
    finally:
        await here.user.pds.start()
    assert records.TRACK in await ours(here)


async def test_a_grant_that_has_ended_is_replaced_by_one_that_has_not(here: Stand) -> None:
    await fill(here)
    await request_erasure(here.pool, here.user.did, here.grant, records=True)
    await here.pool.execute("update grants set state = 'ended', sealed = null, reason = 'x', over_at = now()")
    newer = await here.grants.save(await sign_in(here.network, here.oauth, here.user), "session")
    await here.pool.execute("update grants set state = 'live' where id = $1", newer)
    await here.greet(newer)
    await work(here, "echo")
    assert await ours(here) == {OTHERS}


async def test_without_any_grant_it_goes_on_without(here: Stand) -> None:
    await fill(here)
    await request_erasure(here.pool, here.user.did, here.grant, records=True)
    await here.pool.execute("update grants set state = 'ended', sealed = null, reason = 'x', over_at = now()")
    await work(here, "echo")
    assert "x" in ((await now(here)).reason or "")
    assert records.TRACK in await ours(here)


async def test_what_was_not_granted_is_not_deleted_and_said(here: Stand) -> None:
    await fill(here)
    narrow = replace(await here.grants.fresh(here.grant), scope=f"atproto repo:{records.LIKE}")
    grant = await here.grants.save(narrow, "session")
    await request_erasure(here.pool, here.user.did, grant, records=True)
    await work(here, "purging")
    assert {records.LIKE, records.TRACK} < await ours(here)
    assert f"repo:{records.TRACK}?action=delete" in ((await now(here)).reason or "")


async def test_a_pds_that_makes_up_records_is_not_believed_for_ever(here: Stand) -> None:
    await fill(here)
    await request_erasure(here.pool, here.user.did, here.grant, records=True)
    await here.pool.execute("update erasures set requested_at = now() - $1::interval", LONGEST)
    await perform(tools_of(here), ERASURE, here.user.did)
    assert (await now(here)).reason == "The PDS did not come to an end of its records."
    assert here.wire.asked == []


async def test_it_waits_for_the_index_but_not_for_ever(here: Stand) -> None:
    await fill(here)
    await request_erasure(here.pool, here.user.did, here.grant, records=True)
    await work(here, "echo")
    await work(here, "echo", rounds=3)
    await here.pool.execute("update erasures set changed_at = now() - interval '11 minutes'")
    await work(here, "purging")


async def test_a_worker_that_is_killed_again_and_again_comes_to_the_end(here: Stand, database_url: str) -> None:
    """Wherever it is killed: between a deletion and its line here, or between two steps."""
    await fill(here, likes=5 * PAGE)
    await request_erasure(here.pool, here.user.did, here.grant, records=True)
    environment = {
        "PATH": os.environ["PATH"],
        "PLYR_DATABASE_URL": database_url,
        "PLYR_PLC_URL": here.network.addresses.plc,
        "PLYR_SECRET_KEY": SECRET,
        "PLYR_DEV": "1",
    }
    kills = 0
    while (await now(here)).state == "deleting":
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.appview.jobs.eraser", here.user.did, env=environment
        )
        before = (await now(here)).deleted
        while worker.returncode is None and (await now(here)).deleted == before:
            await asyncio.sleep(0.003)
        if kills < 4:
            # A little later each time, so that each time something else is cut off.
            await asyncio.sleep(0.01 * kills)
            if worker.returncode is None:
                worker.send_signal(signal.SIGKILL)
                kills += 1
        await worker.wait()
        # Nobody waits for what the killed one had in hand: its leases run out in their own time.
        await here.pool.execute("update jobs set due_at = now()")
        await here.lapse()
    assert kills >= 2
    await hear(here)
    await work(here, "purging")
    assert await ours(here) == {OTHERS}
    assert await here.pool.fetchval("select count(*) from grants") == 0
