"""How much strangers can make us ask, and what becomes of identities that are no more."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from aiohttp import web

from appview.jobs.rows import want
from ingester.engine import Engine
from tests.ingester.test_account import are_of, ask_again, hurry, likes_of, pair, status_of
from tests.ingester.world import SECONDS, World, create, world
from tests.system.synthetic import Account, Pds, Server
from tests.writer.keys import P256, SigningKey
from tests.writer.repo import did_document

GET_STATUS = "com.atproto.sync.getRepoStatus"
FLOOD = 400
"""Messages of a flood."""


def asked(there: World) -> dict[str, int]:
    """How often the PDS and the directory were asked, by method."""
    ours = {name: n for name, n in there.pds.asked.items() if name != "com.atproto.sync.subscribeRepos"}
    return {**ours, "directory": there.directory.asked.total()}


# Commits that prove nothing


async def test_a_signed_commit_that_proves_nothing_is_looked_into_once(database_url: str) -> None:
    """Somebody on the way cut its record out; what the repository has is then asked of its host."""
    async with world(database_url) as there:
        artist, _, _ = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            before = asked(there)
            for number in (5, 6):
                event = artist.repo.commit([create(artist, number)])
                artist.emit(replace(event, records={}).frame())
            await heard_cut(there, made)
            assert await there.value("select count(*) from jobs where kind = 'fetch' and note = 'audit'") == 1
            assert asked(there) == before  # not at once: the whole message may come by another way
            await hurry(there, made)
            await there.settled(made)
            assert await are_of(there, artist, "tracks") == 3
            # And no other one follows for a while.
            artist.emit(replace(artist.repo.commit([create(artist, 7)]), records={}).frame())
            await heard_cut(there, made)
            assert await there.value("select count(*) from jobs where kind = 'fetch'") == 0


async def heard_cut(there: World, made: Engine) -> None:
    """Wait until all is judged that was sent."""
    head = there.pds.stream.head
    await there.until(f"select coalesce((select max(cursor) from upstreams), 0) >= {head}")
    await made.writer.durable()


async def test_forged_commits_cost_no_more_than_a_look_at_the_key(database_url: str) -> None:
    async with world(database_url) as there:
        artist, _, _ = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            before = asked(there)
            event, thief = artist.repo.commit([create(artist, 5)]), SigningKey.from_seed("a thief", P256)
            for number in range(FLOOD):
                forged = replace(event, key=thief, seq=there.pds.host.next_seq(), rev=there.pds.host.tid())
                artist.emit(forged.frame() if number else replace(forged, records={}).frame())
            await heard_cut(there, made)
            assert made.metrics.frames["#commit", "invalid", "bad_signature"] == 1
            assert made.metrics.frames["#commit", "invalid", "unchecked_signature"] == FLOOD - 1
            # The document once, and its log once, in a minute; where that is used up, its host is asked once, later.
            assert asked(there) == {**before, "directory": before["directory"] + 2}
            jobs = await there.connection.fetch(
                "select kind, extract(epoch from due_at - now()) > 30 as is_later from jobs where kind <> 'identity'"
            )
            assert [tuple(job) for job in jobs] == [("status", True)]
            # That was done meanwhile, for another reason: what comes now is not forgotten.
            await there.connection.execute("delete from jobs")
            artist.emit(replace(event, key=thief, seq=there.pds.host.next_seq(), rev=there.pds.host.tid()).frame())
            await heard_cut(there, made)
            assert await there.value("select count(*) from jobs where kind = 'status'") == 1
            # What was true among it is found then.
            await hurry(there, made)
            await there.settled(made)
            assert await are_of(there, artist, "tracks") == 2


# Floods


async def test_a_flood_of_claims_asks_now_and_then(database_url: str) -> None:
    async with world(database_url) as there:
        _, fan, track = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            before = asked(there)
            for number in range(FLOOD):
                fan.emit(fan.repo.account(active=False, status="deleted" if number % 2 else "suspended"))
                fan.emit(fan.repo.identity())
            await heard_cut(there, made)
            await there.until("select count(*) = 0 or bool_and(due_at > now()) from jobs where kind = 'status'")
            assert (
                1
                <= asked(there)["com.atproto.sync.getRepoStatus"] - before.get("com.atproto.sync.getRepoStatus", 0)
                <= 8
            )
            assert asked(there)["directory"] - before["directory"] <= 8
            assert await there.value("select count(*) from jobs where kind = 'identity'") == 2
            await hurry(there, made)
            await there.settled(made)
            assert await status_of(there, fan) == (True, None)
            assert await likes_of(there, track) == 1


async def test_what_was_seen_before_makes_nobody_ask(database_url: str) -> None:
    """Neither who signed an old message, nor one of an account that is away, is worth a question to the directory."""
    async with world(database_url) as there:
        artist, _, _ = pair(there)
        old = artist.write(create(artist, 3))
        artist.write(create(artist, 4))
        async with there.ingesting() as made:
            await there.settled(made)
            made.signers.purge(artist.did)
            before = there.directory.asked.total()
            for _ in range(5):
                artist.emit(replace(old, seq=there.pds.host.next_seq()).frame())
            await heard_cut(there, made)
            assert made.metrics.frames["#commit", "skip", "replayed_rev"] == 5
            assert there.directory.asked.total() == before


async def test_what_is_said_of_an_identity_takes_no_key_away_while_nobody_can_be_asked(database_url: str) -> None:
    async with world(database_url) as there:
        artist, _, _ = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            artist.write(create(artist, 4))
            await heard_cut(there, made)
            there.directory.down = True
            artist.emit(artist.repo.identity())
            artist.write(create(artist, 5))
            await heard_cut(there, made)
            assert await are_of(there, artist, "tracks") == 3
            assert await are_of(there, artist, "held_frames") == 0


# Identities that are no more


async def test_a_tombstone_hides_and_is_final_after_three_days(database_url: str) -> None:
    async with world(database_url) as there:
        _, fan, track = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            now = datetime.now(UTC)
            there.directory.give_up(fan.did, (now - timedelta(hours=71)).isoformat())
            made.signers.purge(fan.did)
            await want(there.connection, "status", [fan.did], note="given_up")
            await hurry(there, made)
            await there.until(f"select status = 'deleted' from actors where did = '{fan.did}'")
            assert await likes_of(there, track) == 0
            assert await are_of(there, fan, "records") == 1
            await there.until(
                "select error like '%had back%' and due_at > now() + interval '5 hours' from jobs where kind = 'status'"
            )
            # It was taken back, and then given up for good.
            there.directory.register(fan.repo)
            made.signers.purge(fan.did)
            await ask_again(there, made, fan)
            assert await status_of(there, fan) == (True, None)
            assert await likes_of(there, track) == 1
            there.directory.give_up(fan.did, (now - timedelta(hours=73)).isoformat())
            made.signers.purge(fan.did)
            await ask_again(there, made, fan)
            assert await status_of(there, fan) == (False, "deleted")
            assert await are_of(there, fan, "records") == await are_of(there, fan, "repos") == 0


async def test_a_directory_that_knows_nothing_hides_nobody(database_url: str) -> None:
    """Asked in the wrong place, or of one that has lost its data, a DID is not registered; a tombstone has a log."""
    async with world(database_url) as there:
        _, fan, track = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            there.directory.forget(fan.did)
            made.signers.purge(fan.did)
            await want(there.connection, "status", [fan.did], note="recheck")
            await hurry(there, made)
            await there.until("select error like '%not registered%' from jobs where kind = 'status'")
            assert await status_of(there, fan) == (True, None)
            assert await likes_of(there, track) == 1


class Website(Server):
    """The host of a did:web, which may have its document."""

    def __init__(self) -> None:
        super().__init__()
        self.document: dict[str, object] | None = None
        self.status = 404
        self.route("/.well-known/did.json", self._document)

    @property
    def did(self) -> str:
        return f"did:web:localhost%3A{self.port}"

    async def _document(self, _: web.Request) -> web.Response:
        return web.Response(status=self.status) if self.document is None else web.json_response(self.document)


def web_account(pds: Pds, site: Website) -> Account:
    account = pds.create_account("web", did=site.did)
    assert account.repo.key is not None
    site.document = did_document(site.did, account.repo.key.multikey, pds.url, account.repo.handle)
    account.write(create(account, 1))
    return account


async def test_a_did_web_that_vanishes_keeps_what_it_has(database_url: str) -> None:
    async with world(database_url) as there, Website() as site:
        account = web_account(there.pds, site)
        async with there.ingesting() as made:
            await there.settled(made)
            assert await are_of(there, account, "tracks") == 1
            document, site.document = site.document, None
            made.signers.purge(account.did)
            account.write(create(account, 2))
            await heard_cut(there, made)
            assert made.metrics.frames["#commit", "skip", "no_signing_key"] == 1
            await want(there.connection, "status", [account.did], note="recheck")
            await hurry(there, made)
            await there.until("select error is not null from jobs where kind = 'status'")
            assert await status_of(there, account) == (True, None)
            site.document = document
            made.signers.purge(account.did)
            account.write(create(account, 3))
            await heard_cut(there, made)
            await hurry(there, made)
            await there.settled(made)
            assert await are_of(there, account, "tracks") == 3


async def test_a_did_web_that_says_it_is_gone_is_hidden_and_kept(database_url: str) -> None:
    async with world(database_url) as there, Website() as site:
        account = web_account(there.pds, site)
        async with there.ingesting() as made:
            await there.settled(made)
            document, site.document, site.status = site.document, None, 410
            made.signers.purge(account.did)
            await ask_again(there, made, account)
            assert await status_of(there, account) == (False, "deleted")
            assert await are_of(there, account, "records") == 1
            site.document = document
            made.signers.purge(account.did)
            await ask_again(there, made, account)
            assert await status_of(there, account) == (True, None)


async def test_what_was_answered_first_is_not_written_last(database_url: str) -> None:
    """There are two kinds of job that ask about an account: an old answer to one must not undo that to the other."""
    async with world(database_url) as there:
        fan = there.pds.create_account("fan")
        fan.write(create(fan, 1))
        async with there.ingesting() as made:
            await there.settled(made)
            asked = there.pds.asked[GET_STATUS]
            answer = there.pds.late[GET_STATUS] = asyncio.Event()
            await want(there.connection, "recheck", [fan.did])
            made.workers["recheck"].wake.set()
            async with asyncio.timeout(SECONDS):
                while there.pds.asked[GET_STATUS] == asked:
                    await asyncio.sleep(0.01)
            fan.set_status("deactivated")
            await there.until("select exists (select from jobs where kind = 'status' and leased)")
            await asyncio.sleep(0.3)
            answer.set()
            await there.settled(made)
        assert not await there.value("select active from actors where did = $1", fan.did)
