"""The test network is what other tests take it for: real servers, with these habits.

When a test here fails after the PDS was updated, its habit has changed, and what we made of it wants a look.
"""

import asyncio

import libipld
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from dns.asyncresolver import Resolver
from dns.resolver import NXDOMAIN

from tests.network import records
from tests.network.evidence import blocks, is_signed_by, kinds, of, ops, signed_commit
from tests.network.frames import subscribe
from tests.network.network import Network
from tests.network.repo import create, delete, update
from tests.network.xrpc import Json, XrpcError

NEW_ACCOUNT = ["#identity", "#account", "#commit", "#sync"]
WAV = b"RIFF" + (36).to_bytes(4, "little") + b"WAVEfmt " + bytes(28)


async def test_accounts_on_both_pdses_come_into_being(network: Network) -> None:
    for pds in network.pds:
        async with pds.capture() as capture:
            user = await network.create_account("alice", pds=pds)
            frames = of(await capture.frames(), user.did)
        assert [frame.kind for frame in frames] == NEW_ACCOUNT
        identity, account, first, sync = frames
        assert identity.body["handle"] == user.handle
        assert account.body["active"] is True
        assert (first.body["ops"], first.body["since"], "prevData" in first.body) == ([], None, False)
        assert list(blocks(sync)) == [first.body["commit"]]

        document = await network.did_document(user.did)
        assert document["alsoKnownAs"] == [f"at://{user.handle}"]
        assert document["service"][0]["serviceEndpoint"] == pds.url
        assert document["verificationMethod"][0]["type"] == "Multikey"
        assert is_signed_by(signed_commit(first), document)


async def test_every_record_type_is_written_changed_and_deleted(network: Network) -> None:
    artist = await network.create_account("artist")
    fan = await network.create_account("fan", pds=network.pds[1])
    async with network.pds[0].capture() as artists, network.pds[1].capture() as fans:
        song = await artist.create_record(records.TRACK, records.track("One"))
        await artist.put_record(records.PROFILE, "self", records.profile())
        newer = await artist.put_record(records.TRACK, song.rkey, records.track("Two"))
        liked = await fan.create_record(records.LIKE, records.like(song))
        await fan.create_record(records.COMMENT, records.comment(newer))
        await fan.create_record(records.LIST, records.playlist(newer), rkey="my-list_1:x~")
        await fan.delete_record(records.LIKE, liked.rkey)
        assert await fan.delete_record(records.LIKE, liked.rkey) is None
        theirs, frames = await artists.frames(), await fans.frames()

    assert ops(theirs, artist.did) == [
        ("create", records.TRACK),
        ("create", records.PROFILE),
        ("update", records.TRACK),
    ]
    assert ops(frames, fan.did) == [
        ("create", records.LIKE),
        ("create", records.COMMENT),
        ("create", records.LIST),
        ("delete", records.LIKE),  # and no event for the second delete of it
    ]
    created, _, updated = (frame.body["ops"][0] for frame in of(theirs, artist.did))
    deleted = of(frames, fan.did)[-1].body["ops"][0]
    assert "prev" not in created
    assert updated["prev"] == created["cid"] != updated["cid"]
    assert deleted["cid"] is None
    assert libipld.encode_cid(deleted["prev"]) == liked.cid


async def test_commits_chain(network: Network) -> None:
    user = await network.create_account()
    async with user.pds.capture() as capture:
        for title in ("One", "Two", "Three"):
            await user.create_record(records.TRACK, records.track(title))
        frames = of(await capture.frames(), user.did)
    commits = [signed_commit(frame) for frame in frames]
    assert [frame.body["rev"] for frame in frames] == [commit["rev"] for commit in commits]
    assert [frame.body["since"] for frame in frames[1:]] == [commit["rev"] for commit in commits[:-1]]
    assert [frame.body["prevData"] for frame in frames[1:]] == [commit["data"] for commit in commits[:-1]]


async def test_a_pds_takes_any_value_for_a_record_of_ours(network: Network) -> None:
    user = await network.create_account()
    await user.create_record(records.TRACK, {"title": 7})
    with pytest.raises(XrpcError, match="400"):
        await user.create_record(records.TRACK, {"title": 7.5})


async def test_a_batch_is_one_commit_of_two_hundred_at_most(network: Network) -> None:
    user = await network.create_account()
    async with user.pds.capture() as capture:
        await user.apply_writes(*(create(records.TRACK, records.track(f"{n}"), f"song-{n}") for n in range(200)))
        changed = records.track("changed")
        await user.apply_writes(update(records.TRACK, "song-0", changed), delete(records.TRACK, "song-1"))
        with pytest.raises(XrpcError, match="400"):
            await user.apply_writes(*(create(records.TRACK, records.track(f"{n}")) for n in range(201)))
        batch, more = of(await capture.frames(), user.did)
    assert len(batch.body["ops"]) == 200
    assert [op["action"] for op in more.body["ops"]] == ["update", "delete"]
    header, found = libipld.decode_car(await user.get_repo())
    assert found[header["roots"][0]]["rev"] == more.body["rev"]
    assert len(await user.get_repo(since=batch.body["rev"])) < len(await user.get_repo())


async def test_a_blob_is_stored_and_named_by_no_commit(network: Network) -> None:
    user = await network.create_account()
    async with user.pds.capture() as capture:
        blob = await user.upload_blob(WAV, "application/octet-stream")
        await user.create_record(records.TRACK, records.track(audioBlob=blob, fileType="wav"))
        (frame,) = of(await capture.frames(), user.did)
    assert blob["mimeType"] == "audio/wav"  # it looks for itself
    assert frame.body["blobs"] == []
    cid = blob["ref"]["$link"]
    assert await user.pds.query_bytes("com.atproto.sync.getBlob", did=user.did, cid=cid) == WAV
    with pytest.raises(XrpcError, match="BlobNotFound"):
        await user.create_record(records.TRACK, records.track(audioBlob=blob | {"ref": {"$link": cid[:-4] + "aaaa"}}))


async def test_deactivation_and_back(network: Network) -> None:
    user = await network.create_account()
    async with user.pds.capture() as capture:
        await user.deactivate()
        with pytest.raises(XrpcError, match="RepoDeactivated"):
            await user.get_repo()
        await user.activate()
        frames = of(await capture.frames(), user.did)
    assert [frame.kind for frame in frames] == ["#account", "#account", "#identity", "#sync"]
    assert (frames[0].body["active"], frames[0].body["status"]) == (False, "deactivated")
    assert frames[1].body["active"] is True


async def test_takedowns_of_an_account_and_of_a_record(network: Network) -> None:
    user = await network.create_account()
    song = await user.create_record(records.TRACK, records.track())
    async with user.pds.capture() as capture:
        await user.pds.take_down(user.did, uri=song.uri, cid=song.cid)
        assert kinds(await capture.frames(), user.did) == []  # a record's is told to nobody
        await user.pds.take_down(user.did)
        with pytest.raises(XrpcError, match="RepoTakendown"):
            await user.get_repo()
        await user.pds.take_down(user.did, undo=True)
        down, up = of(await capture.frames(), user.did)[:2]
    assert (down.body["active"], down.body["status"]) == (False, "takendown")
    assert up.body["active"] is True


async def test_a_handle_of_another_domain(network: Network) -> None:
    user = await network.create_account("carol")
    await network.set_handle("carol.music-test.net", user.did)
    async with user.pds.capture() as capture:
        await user.update_handle("carol.music-test.net")
        (frame,) = of(await capture.frames(), user.did)
    assert (frame.kind, frame.body["handle"]) == ("#identity", "carol.music-test.net")
    assert (await network.did_document(user.did))["alsoKnownAs"] == ["at://carol.music-test.net"]
    with pytest.raises(XrpcError, match="400"):
        await user.update_handle("nobodys.music-test.net")


async def test_names_are_served_by_dns_and_over_http(network: Network) -> None:
    user = await network.create_account("dora")
    address, _, port = network.addresses.dns.partition(":")
    resolver = Resolver(configure=False)
    resolver.nameservers, resolver.port = [address], int(port)

    async def txt(name: str) -> bytes:
        (answer,) = await resolver.resolve(name, "TXT")
        return b"".join(answer.strings)

    await network.set_txt("_lexicon.plyr.test", "did=did:web:long." + "x" * 300)
    assert await txt(f"_atproto.{user.handle}") == f"did={user.did}".encode()
    assert await txt("_lexicon.plyr.test") == b"did=did:web:long." + b"x" * 300
    await network.set_txt("_lexicon.plyr.test", "")
    with pytest.raises(NXDOMAIN):
        await txt("_lexicon.plyr.test")

    for url in (network.addresses.control, user.pds.url):
        request = network.session.get(f"{url}/.well-known/atproto-did", headers={"host": user.handle})
        async with request as response:
            assert await response.text() == user.did


async def test_migration_makes_a_sync_that_cannot_verify_until_the_next_write(network: Network) -> None:
    old, new = network.pds
    user = await network.create_account("eve", pds=old)
    blob = await user.upload_blob(WAV, "audio/wav")
    await user.create_record(records.TRACK, records.track(audioBlob=blob))
    before = await network.did_document(user.did)
    async with old.capture() as left, new.capture() as joined:
        moved = await user.migrate(new)
        away, there = of(await left.frames(), user.did), of(await joined.frames(), user.did)
        written = await moved.create_record(records.TRACK, records.track("at home"))
        (commit,) = of(await joined.frames(), user.did)

    after = await network.did_document(user.did)
    assert after["service"][0]["serviceEndpoint"] == new.url
    assert after["alsoKnownAs"] == [f"at://{moved.handle}"]
    cid = blob["ref"]["$link"]
    assert await new.query_bytes("com.atproto.sync.getBlob", did=user.did, cid=cid) == WAV
    assert (away[-1].kind, away[-1].body["active"]) == ("#account", False)

    assert [frame.kind for frame in there][-4:] == ["#identity", "#account", "#identity", "#sync"]
    assert "handle" not in there[-4].body  # as after any operation that a user submits
    sync = there[-1]
    head = signed_commit(sync)
    assert sync.body["rev"] != head["rev"]
    assert is_signed_by(head, before)
    assert not is_signed_by(head, after)
    assert commit.body["rev"] == written.rev
    assert (commit.body["since"], commit.body["prevData"]) == (head["rev"], head["data"])
    assert is_signed_by(signed_commit(commit), after)


async def test_deletion_purges_the_account_from_the_stream(network: Network) -> None:
    user = await network.create_account()
    pds = user.pds
    cursor = await pds.last_seq()
    async with pds.capture() as capture:
        await user.create_record(records.TRACK, records.track())
        assert kinds(await capture.frames(), user.did) == ["#commit"]
        await user.delete_account()
        assert kinds(await capture.frames(), user.did) == ["#account"]
    (left,) = of(await pds.replay(), user.did)
    assert (left.kind, left.body["active"], left.body["status"]) == ("#account", False, "deleted")
    assert left.seq > cursor + 1  # a hole is left where the rest was
    with pytest.raises(XrpcError, match="RepoNotFound"):
        await pds.query("com.atproto.sync.getRepoStatus", did=user.did)
    assert (await network.did_document(user.did))["id"] == user.did


async def test_identities_hold_what_it_takes_to_check_signatures_later(network: Network) -> None:
    user = await network.create_account()
    found = await network.identities([user.did, user.did])
    assert list(found) == [user.did]
    assert found[user.did]["doc"]["id"] == user.did
    assert found[user.did]["log"][0]["operation"]["verificationMethods"]["atproto"].startswith("did:key:zQ3s")


async def test_a_pds_stops_and_starts_with_its_data(network: Network) -> None:
    pds = network.pds[1]
    user = await network.create_account(pds=pds)
    async with pds.capture() as capture:
        await pds.stop()
        assert await capture.stream.until_idle(5) == []  # the stream was closed
    with pytest.raises(OSError, match="Connect"):
        await pds.query("com.atproto.server.describeServer")
    await network.create_account(pds=network.pds[0])  # the rest goes on
    await pds.start()
    seq = await pds.last_seq()
    async with pds.capture() as capture:
        await user.create_record(records.TRACK, records.track())
        (frame,) = of(await capture.frames(), user.did)
    assert frame.seq == seq + 1


async def test_a_cursor_of_the_future_is_an_error(network: Network) -> None:
    async with subscribe(network.pds[0].url, cursor=10**9) as stream:
        (frame,) = await stream.until_idle(5)
    assert (frame.kind, frame.body["error"]) == ("error", "FutureCursor")


async def test_a_pds_asks_crawlers_at_its_next_commit(network: Network) -> None:
    asked: asyncio.Queue[Json] = asyncio.Queue()

    async def request_crawl(request: web.Request) -> web.Response:
        await asked.put(await request.json())
        return web.Response()

    application = web.Application()
    application.router.add_post("/xrpc/com.atproto.sync.requestCrawl", request_crawl)
    user = await network.create_account()
    async with TestServer(application) as server:
        await network.set_crawlers(str(server.make_url("")))
        await user.create_record(records.TRACK, records.track())
        request = await asyncio.wait_for(asked.get(), 5)
        await network.set_crawlers()
    assert request == {"hostname": "localhost"}  # and no port


async def test_a_pds_proxies_to_a_service_by_its_public_name(network: Network) -> None:
    host = "appview.plyr-test.net"
    seen: list[web.Request] = []

    async def document(request: web.Request) -> web.Response:
        service = {"id": "#plyr_appview", "type": "PlyrAppView", "serviceEndpoint": f"https://{host}"}
        return web.json_response({"id": f"did:web:{host}", "service": [service]})

    async def answer(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({"ok": True})

    application = web.Application()
    application.router.add_get("/.well-known/did.json", document)
    application.router.add_get("/xrpc/fm.plyr.test.whoami", answer)
    user = await network.create_account()
    async with TestServer(application) as server:
        await network.set_host(host, str(server.make_url("")))
        answered = await user.query("fm.plyr.test.whoami", proxy=f"did:web:{host}#plyr_appview", q="x")
        await network.set_host(host, "")
    assert answered == {"ok": True}
    assert seen[0].query["q"] == "x"
    assert seen[0].headers["authorization"].startswith("Bearer eyJ")
