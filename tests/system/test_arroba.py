"""Repositories on Arroba, which is other code with other habits, beside the PDSes: indexed like any other."""

from tests.network import records
from tests.network.arroba_pds import Arroba
from tests.network.launch import Addresses
from tests.network.network import Network
from tests.system.stage import DOMAIN, staged, system_beside


async def test_arrobas_repositories_are_indexed(
    network_addresses: Addresses, network: Network, arroba: Arroba, database_url: str
) -> None:
    handle = f"bridged-{database_url[-4:].strip('_')}.{DOMAIN}"
    repo = await arroba.create_repo(handle)
    await network.set_handle(handle, repo.did)
    old = await repo.create_record(records.TRACK, records.track("Before"))
    with system_beside(network_addresses, database_url, arroba.url) as system:
        async with staged(system, network) as stage:

            async def titles() -> list[str]:
                tracks = (await stage.ask("feed.getActorTracks", actor=repo.did))["tracks"]
                return sorted(track["title"] for track in tracks)

            async def has(*expected: str) -> bool:
                return await titles() == sorted(expected)

            # Its describeRepo knows directories with https alone, so it takes a write to have the repository found.
            song = await repo.create_record(records.TRACK, records.track("One"))
            await system.until(lambda: has("Before", "One"), "what was there is here")
            await stage.until_handle(repo.did, handle)
            await repo.put_record(records.PROFILE, "self", records.profile("Bridged"))
            await repo.put_record(records.TRACK, song.rkey, records.track("Two"))
            await repo.delete_record(records.TRACK, old.rkey)
            await system.until(lambda: has("Two"), "what it does is seen")
            fan = await network.create_account("fan")
            await fan.create_record(records.LIKE, records.like(song))
            await stage.settle()
            assert await stage.likers(song.uri) == [fan.did]
            assert (await stage.ask("actor.getProfile", actor=handle))["bio"] == "Bridged"
            explained = (await stage.ask("server.explain", uri=repo.did))["repo"]
            assert (explained["status"], explained["provenBy"]) == ("synchronized", "live")
            assert await stage.audited() == []  # the two; what other tests left on Arroba is not found
