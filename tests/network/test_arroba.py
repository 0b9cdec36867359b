"""Arroba's habits, which are within the protocol and unlike those of the reference PDS."""

from tests.network import records
from tests.network.arroba_pds import Arroba
from tests.network.evidence import is_signed_by, ops, signed_commit
from tests.network.frames import Frame, subscribe
from tests.network.network import Network

IDLE_SECONDS = 0.5
YEAR_1970 = "2222"  # how a TID that small begins


async def played(arroba: Arroba, cursor: int = 0) -> list[Frame]:
    async with subscribe(arroba.url, cursor) as stream:
        return await stream.until_idle(IDLE_SECONDS)


async def test_records_of_ours_on_another_implementation(network: Network, arroba: Arroba) -> None:
    repo = await arroba.create_repo("bridged.music-test.net")
    song = await repo.create_record(records.TRACK, records.track("One"))
    await repo.put_record(records.TRACK, song.rkey, records.track("Two"))
    await repo.put_record(records.PROFILE, "self", records.profile())
    await repo.delete_record(records.TRACK, song.rkey)
    frames = [frame for frame in await played(arroba) if frame.did == repo.did]

    assert [frame.kind for frame in frames][:4] == ["#commit", "#identity", "#account", "#sync"]
    assert ops(frames, repo.did) == [
        ("create", records.TRACK),
        ("update", records.TRACK),
        ("create", records.PROFILE),
        ("delete", records.TRACK),
    ]
    document = await network.did_document(repo.did)
    assert document["service"][0]["serviceEndpoint"] == arroba.url
    commits = [frame for frame in frames if frame.kind == "#commit"]
    assert all(is_signed_by(signed_commit(commit), document) for commit in commits)
    assert all(commit.body["rev"].startswith(YEAR_1970) for commit in commits)
    assert all(commit.body["since"] is None for commit in commits)
    data = [signed_commit(commit)["data"] for commit in commits]
    assert [commit.body["prevData"] for commit in commits[1:]] == data[:-1]
    assert await repo.get_repo()


async def test_a_status_changes_and_a_tombstone_is_an_event(arroba: Arroba) -> None:
    repo = await arroba.create_repo("gone.music-test.net")
    await repo.change("deactivate")
    await repo.change("activate")
    await repo.change("tombstone")
    frames = [frame for frame in await played(arroba) if frame.did == repo.did][4:]
    assert [(frame.kind, frame.body.get("active")) for frame in frames] == [
        ("#account", False),
        ("#account", True),
        ("#tombstone", None),
    ]
