"""`write_to_own_view_p50_ms` and `_p99_ms`: from a like to its being shown to whoever likes.

Ours is a like by a developer token and the next `getTracks`, which shows it: our processes, a real PDS. The limit is
the write alone, sent to that PDS by a grant of the same account. The peer is who writes there and waits until the
firehose has brought it to us. All three in turn, track by track.
"""

import asyncio
import statistics
import time
from collections.abc import Callable

import aiohttp

from appview.writes.tids import Tids
from tests.bench.measure import Figure
from tests.bench.rig import database
from tests.network.launch import Addresses, start_network
from tests.network.network import Network
from tests.network.oauth_client import OAuthClient
from tests.network.pds import User
from tests.network.records import LIKE, TRACK, like, track
from tests.network.repo import Written
from tests.network.sign_in import consent
from tests.system.pages import visiting
from tests.system.stage import Stage, staged, system_beside
from tests.system.world import System

ROUNDS = 200
PEER_EVERY = 5
WARM_UP = 5
SONGS = 2 * (WARM_UP + ROUNDS) + ROUNDS // PEER_EVERY
_SECONDS = 10
_LOOK_SECONDS = 0.01
"""A client that asks more often is soon told that it is too much."""

_tids = Tids()


def run(say: Callable[[str], None]) -> list[Figure]:
    """Take both figures, in milliseconds; less is better."""
    with start_network(pds_ports=(0,)) as addresses, database() as url, system_beside(addresses, url) as system:
        say(f"{ROUNDS} likes by us, as many at the PDS, and {ROUNDS // PEER_EVERY} seen by the firehose")
        ours, limit, peer = asyncio.run(_measured(system, addresses))
    return [
        _figure("write_to_own_view_p50_ms", 50, ours, limit, peer),
        _figure("write_to_own_view_p99_ms", 99, ours, limit, peer),
    ]


def _figure(name: str, percent: int, ours: list[float], limit: list[float], peer: list[float]) -> Figure:
    value, bare, heard = (statistics.quantiles(times, n=100)[percent - 1] * 1_000 for times in (ours, limit, peer))
    return Figure(name, value, "ms", bare, heard, "PDS, then firehose", value / bare, value / heard)


async def _measured(system: System, addresses: Addresses) -> tuple[list[float], list[float], list[float]]:
    ours, limit, peer = list[float](), list[float](), list[float]()
    async with Network.connect(addresses) as network, staged(system, network) as stage:
        artist, fan = await network.create_account("artist"), await network.create_account("fan")
        songs = iter([await artist.create_record(TRACK, track(f"Song {n}")) for n in range(SONGS)])
        await stage.settle()
        client = await _client(network, fan)
        async with aiohttp.ClientSession(headers=await _credentials(system, fan)) as session:
            app = _App(stage, session)
            for number in range(-WARM_UP, ROUNDS):
                by_us = await app.like(next(songs))
                bare = await _bare(client, next(songs))
                if number < 0:
                    continue
                ours.append(by_us)
                limit.append(bare)
                if number % PEER_EVERY == 0:
                    peer.append(await app.hear_of(client, next(songs)))
    return ours, limit, peer


async def _credentials(system: System, user: User) -> dict[str, str]:
    async with visiting(system.url) as pages:
        await pages.sign_in(user)
        return {"Authorization": f"Bearer {await pages.developer_token(user)}"}


async def _client(network: Network, user: User) -> OAuthClient:
    client = OAuthClient(network.session, user.pds, f"atproto repo:{LIKE}")
    await client.finish(await consent(network.session, await client.authorize_url(), user))
    return client


async def _bare(client: OAuthClient, song: Written) -> float:
    started = time.perf_counter()
    await client.put_record(LIKE, _tids.mint(), like(song))
    return time.perf_counter() - started


class _App:
    """A program with a developer token."""

    def __init__(self, stage: Stage, session: aiohttp.ClientSession) -> None:
        self._url = stage.system.url
        self._session = session

    async def like(self, song: Written) -> float:
        """Like a track by our API, and see it liked: the seconds that took."""
        started = time.perf_counter()
        url = f"{self._url}/xrpc/fm.plyr.feed.likeTrack"
        async with self._session.post(url, json={"subject": song.uri}) as response:
            answer = await response.json()
            assert response.status == 200, answer
        shown = await self._own_like(song)
        assert shown == answer["uri"], (shown, answer)
        return time.perf_counter() - started

    async def hear_of(self, client: OAuthClient, song: Written) -> float:
        """Like a track at the PDS, and ask us until we know: the seconds that took."""
        started = time.perf_counter()
        await client.put_record(LIKE, _tids.mint(), like(song))
        async with asyncio.timeout(_SECONDS):
            while await self._own_like(song) is None:
                await asyncio.sleep(_LOOK_SECONDS)
        return time.perf_counter() - started

    async def _own_like(self, song: Written) -> str | None:
        url = f"{self._url}/xrpc/fm.plyr.feed.getTracks"
        async with self._session.get(url, params={"uris": song.uri}) as response:
            answer = await response.json()
            assert response.status == 200, answer
        found: str | None = answer["tracks"][0]["viewer"].get("like")
        return found
