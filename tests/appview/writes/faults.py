"""`python -m tests.appview.writes.faults`: what comes of a write when its PDS, or the wire to it, fails: a table.

Each fault befalls one write of each kind at a real PDS. After it the call is made again by the same key; the answer,
what the PDS has, what is shown, and what the journal says in the end must go together.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from aiohttp import web

from appview.db import create_pool
from appview.embedded.postgres import postgres
from appview.writes import Create, Written
from appview.writes.errors import WriteError
from lexicons.cid import CID
from tests.appview.writes import proxy
from tests.appview.writes.proxy import Fault
from tests.appview.writes.stand import QUICK, Stand, stand
from tests.database import CARELESS, serving
from tests.network import records
from tests.network.launch import Addresses, start_network
from tests.network.network import Network
from tests.network.repo import Written as Put

KINDS: Final = ("create", "put", "edit", "delete", "apply")
FORMAT: Final = "{:<7} {:<46} {:<20} {:>7} {:>7}  {:<9} {:<22} {:<10}"
HEAD: Final = ("write", "fault", "answer", "sent", "commits", "at PDS", "index", "journal")

Call: TypeAlias = Callable[[], Awaitable[Written]]


class Scenario(NamedTuple):
    """What goes wrong: `faults` befall the first tries, and `reading` all that is read as long as the call lasts."""

    about: str
    faults: Callable[[Stand], Sequence[Fault]]
    reading: Fault | None = None
    is_down: bool = False


class Row(NamedTuple):
    """What came of it."""

    kind: str
    about: str
    answer: str
    sent: int
    commits: int
    is_there: bool
    """At the PDS, before the call was made again."""
    shown: str
    journal: str
    wrong: list[str]

    def line(self) -> str:
        there = "done" if self.is_there else "not done"
        return FORMAT.format(
            self.kind, self.about, self.answer, self.sent, self.commits, there, self.shown, self.journal
        )


async def expired(_request: web.Request, _forward: proxy.Forward) -> web.StreamResponse:
    """The PDS does not take the access token any more."""
    return web.json_response({"error": "invalid_token", "message": '"exp" claim timestamp check failed'}, status=401)


async def gateway(_request: web.Request, forward: proxy.Forward) -> web.StreamResponse:
    """What stands before the PDS does not wait for it."""
    await forward()
    return web.Response(status=504, text="Gateway Timeout")


async def no_gateway(_request: web.Request, _forward: proxy.Forward) -> web.StreamResponse:
    """What stands before the PDS does not reach it."""
    return web.Response(status=502, text="Bad Gateway")


SCENARIOS: Final = (
    Scenario("nothing", lambda here: []),
    Scenario("PDS is down", lambda here: [], is_down=True),
    Scenario("connection breaks before PDS hears, once", lambda here: [proxy.lose_request]),
    Scenario("connection breaks before PDS hears, always", lambda here: [proxy.lose_request] * 3),
    Scenario("reply lost", lambda here: [proxy.lose_reply]),
    Scenario("reply breaks off in the middle", lambda here: [proxy.half_a_reply]),
    Scenario("answers 500 after doing it", lambda here: [proxy.fail_after]),
    Scenario("answers 500 without doing it, once", lambda here: [proxy.fail_before]),
    Scenario("answers 500 without doing it, always", lambda here: [proxy.fail_before] * 3),
    Scenario("does it, answers too late", lambda here: [proxy.slow(QUICK.answer + 0.3)]),
    Scenario("does it long after we hung up", lambda here: [proxy.late(here.wire, QUICK.answer + 0.3)]),
    Scenario("request arrives twice", lambda here: [proxy.twice]),
    Scenario("answers twice on one connection", lambda here: [proxy.two_replies]),
    Scenario("does it, a page comes back", lambda here: [proxy.garbage]),
    Scenario("does it, says another CID", lambda here: [proxy.other_cid]),
    Scenario("asks for a pause (429)", lambda here: [proxy.too_many]),
    Scenario("token not taken any more", lambda here: [expired]),
    Scenario("a gateway gives up, PDS does it", lambda here: [gateway]),
    Scenario("a gateway gives up, always, PDS does nothing", lambda here: [no_gateway] * 3),
    Scenario("PDS cannot be read before", lambda here: [], reading=proxy.fail_before),
    Scenario(
        "reply lost, PDS cannot be read after",
        lambda here: [proxy.deaf_after(here.wire, proxy.lose_reply, proxy.fail_before)],
    ),
    Scenario(
        "request lost, PDS cannot be read after",
        lambda here: [proxy.deaf_after(here.wire, proxy.lose_request, proxy.lose_request)],
    ),
)


async def play(here: Stand, kind: str, scenario: Scenario) -> Row:
    """One fault, from the call to the call made again."""
    put = await here.user.put_record(records.TRACK, here.tids.mint(), records.track("Old"))
    call = _call(here, kind, put, f"{kind}: {scenario.about}")
    here.wire.asked.clear()
    known = len(await here.journal())
    async with here.user.pds.capture() as capture:
        here.wire.faults, here.wire.deaf = list(scenario.faults(here)), scenario.reading
        if scenario.is_down:
            await here.wire.down()
        answer = await _answer(call)
        sent = len(here.wire.asked)
        if scenario.is_down:
            await here.wire.up()
        await asyncio.gather(*here.wire.tasks, return_exceptions=True)
        here.wire.faults, here.wire.deaf = [], None
        wrong, shown = await _agree(here, known)
        is_there = await _is_done(here, kind, put, known)
        await here.lapse()
        await here.settle()
        journal = [*(await here.states())[known:], "nothing"][0]
        if journal not in ("settled", "refused", "abandoned", "nothing"):
            wrong.append(f"it is {journal} for good")
        if isinstance(answer, Written) and not is_there:
            wrong.append("it is said to be done, and is not")
        if is_there and journal != "settled":
            wrong.append(f"it is done, and {journal} in the journal")
        again = await _answer(call)
        if not isinstance(again, Written) or (isinstance(answer, Written) and again.uri != answer.uri):
            wrong.append(f"made again, it is answered with {again}")
        wrong += (await _agree(here, known))[0]
        if not await _is_done(here, kind, put, known):
            wrong.append("made again, it is not done")
        commits = [frame for frame in await capture.frames() if frame.body.get("repo") == here.user.did]
        if len(commits) != 1:
            wrong.append(f"it made {len(commits)} commits")
    name = "done" if isinstance(answer, Written) else type(answer).__name__
    return Row(kind, scenario.about, name, sent, len(commits), is_there, shown, journal, wrong)


async def _answer(call: Call) -> Written | WriteError:
    try:
        return await call()
    except WriteError as error:
        return error


def _call(here: Stand, kind: str, put: Put, key: str) -> Call:
    new = records.track("New")

    async def apply() -> Written:
        return (await here.repo.apply([Create(records.TRACK, new), Create(records.TRACK, new)], key=key))[0]

    calls: dict[str, Call] = {
        "create": lambda: here.repo.create(records.TRACK, new, key=key),
        "put": lambda: here.repo.put(records.TRACK, put.rkey, new, swap=put.cid, key=key),
        "edit": lambda: here.repo.edit(
            records.TRACK, put.rkey, lambda old: old | {"title": old["title"] + "er"}, key=key
        ),
        "delete": lambda: here.repo.delete(records.TRACK, put.rkey, key=key),
        "apply": apply,
    }
    return calls[kind]


async def _is_done(here: Stand, kind: str, put: Put, known: int) -> bool:
    rows = (await here.journal())[known:]
    if not rows:
        return False
    there = [await here.record(uri) for uri in rows[0]["uris"]]
    if kind == "edit":
        return there[0] is not None and there[0]["value"]["title"] == "Older"
    return [record and record["cid"] for record in there] == [cid and str(CID(cid)) for cid in rows[0]["cids"]]


async def _agree(here: Stand, known: int) -> tuple[list[str], str]:
    """What is shown and not in the repository, and how the write is shown that is in the journal behind `known`."""
    wrong, shown = [], await here.shown()
    for uri, cid in shown.items():
        there = await here.record(uri)
        if there is None or CID.parse(there["cid"]).hex() != cid:
            wrong.append(f"{uri} is shown, and is not there")
    for row in (await here.journal())[known:]:
        rows = await here.pool.fetch("select cid from records where uri = any($1::text[])", row["uris"])
        if sorted(map(str, (one["cid"] for one in rows))) == sorted(map(str, row["cids"])):
            return wrong, "shown at once"
    return wrong, "not shown"


async def table(addresses: Addresses, database_url: str) -> list[Row]:
    """Play everything, and print it."""
    rows = []
    print(FORMAT.format(*HEAD), flush=True)
    async with (
        Network.connect(addresses) as network,
        await create_pool(database_url) as pool,
        stand(network, pool) as here,
    ):
        for kind in KINDS:
            for scenario in SCENARIOS:
                rows.append(await play(here, kind, scenario))
                print("\n".join([rows[-1].line(), *rows[-1].wrong]), flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.appview.writes.faults", description=__doc__)
    parser.add_argument("--out", type=Path, help="where the table is written to as well")
    out = parser.parse_args().out
    with (
        start_network() as addresses,
        tempfile.TemporaryDirectory(prefix="plyr-") as folder,
        postgres(Path(folder), CARELESS) as url,
        serving(url) as server,
        server.database() as database_url,
    ):
        rows = asyncio.run(table(addresses, database_url))
    if out is not None:
        out.write_text("\n".join([FORMAT.format(*HEAD), *(row.line() for row in rows)]) + "\n")
    return 1 if any(row.wrong for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
