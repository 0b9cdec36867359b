"""`python -m appview publish-lexicons`, into a repository on a real PDS."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from appview.net.http import HttpClient
from appview.net.lookup import Dns
from appview.net.pds import Account, PdsError
from appview.net.policy import Policy
from lexicons.catalog import NAMESPACE, shipped
from lexicons.publication import COLLECTION, cid, records
from tests.appview.commands.running import Ran, appview
from tests.network.network import Network
from tests.network.pds import User
from tests.network.xrpc import Json

WANTED = records(shipped(), NAMESPACE)


async def publish(user: User, *more: object, **settings: object) -> Ran:
    arguments = ("--pds", user.pds.url, "--identifier", user.handle, *more)
    return await asyncio.to_thread(appview, "publish-lexicons", *arguments, **settings)


async def app_password(user: User, folder: Path) -> Path:
    made = await user.procedure("com.atproto.server.createAppPassword", {"name": "lexicons"})
    file = folder / "password"
    file.write_text(f"{made['password']}\n")
    return file


async def published(user: User) -> dict[str, Json]:
    """The records that are there by their keys, each with its cid."""
    found: dict[str, Json] = {}
    cursor: dict[str, str] = {}
    while True:
        page = await user.pds.query(
            "com.atproto.repo.listRecords", repo=user.did, collection=COLLECTION, limit=100, **cursor
        )
        found |= {one["uri"].rpartition("/")[2]: one for one in page["records"]}
        if "cursor" not in page:
            return found
        cursor = {"cursor": page["cursor"]}


async def test_first_all_then_nothing_then_what_changed(network: Network, tmp_path: Path) -> None:
    user = await network.create_account("lexicons")
    secret = await app_password(user, tmp_path)

    looked = await publish(user, "--dry-run")
    assert (looked.code, looked.error) == (1, "")
    assert f"{len(WANTED)} would be created, 0 would be updated, 0 unchanged" in looked.out
    assert await published(user) == {}

    ran = await publish(user, "--password-file", secret)
    assert (ran.code, ran.error) == (0, "")
    assert [line for line in ran.out.splitlines() if line.startswith("create")] == [
        f"create  {nsid}" for nsid in WANTED
    ]
    assert f"_lexicon.plyr.fm  did={user.did}\n" in ran.out
    assert f"_lexicon.actor.plyr.fm  did={user.did}\n" in ran.out
    assert secret.read_text().strip() not in ran.out
    there = await published(user)
    assert {nsid: record["value"] for nsid, record in there.items()} == WANTED
    assert {nsid: record["cid"] for nsid, record in there.items()} == {nsid: cid(one) for nsid, one in WANTED.items()}

    rev = await head(user)
    for how in (("--dry-run",), ("--password-file", secret)):
        again = await publish(user, *how)
        assert again.code == 0
        assert f"updated, {len(WANTED)} unchanged" in again.out
    assert await head(user) == rev

    changed: Any = {**WANTED["fm.plyr.track"], "defs": {"main": WANTED["fm.plyr.track"]["defs"]["main"]}}
    await user.put_record(COLLECTION, "fm.plyr.track", changed)
    await user.put_record(COLLECTION, "fm.plyr.given.up", {**WANTED["fm.plyr.like"], "id": "fm.plyr.given.up"})
    await user.put_record(COLLECTION, "com.example.mine", {**WANTED["fm.plyr.like"], "id": "com.example.mine"})
    await user.delete_record(COLLECTION, "fm.plyr.like")
    for how, code, said in ((("--dry-run",), 1, " would be"), (("--password-file", secret), 0, "")):
        ran = await publish(user, *how)
        assert (ran.code, ran.error) == (code, "")
        assert ran.out.splitlines()[:4] == [
            "create  fm.plyr.like",
            "update  fm.plyr.track (featuredArtist, supportGate)",
            "orphan  fm.plyr.given.up (none of ours any more, and left alone)",
            f"1{said} created, 1{said} updated, {len(WANTED) - 2} unchanged",
        ]
    there = await published(user)
    assert {nsid: there[nsid]["value"] for nsid in WANTED} == WANTED
    assert {"fm.plyr.given.up", "com.example.mine"} < there.keys()


async def test_anyone_can_look_one_up(network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    user = await network.create_account("lookup", pds=network.pds[1])
    secret = await app_password(user, tmp_path)
    monkeypatch.setenv("LEXICON_PASSWORD", secret.read_text().strip())
    assert (await publish(user, "--password-env", "LEXICON_PASSWORD")).code == 0
    # As LX-31 has it: the group's domain name, the DID's document, its PDS, the record.
    document = await network.did_document(user.did)
    assert document["service"][0]["serviceEndpoint"] == user.pds.url
    for nsid in ("fm.plyr.track", "fm.plyr.actor.profile", "fm.plyr.authFullApp"):
        found = await user.pds.query("com.atproto.repo.getRecord", repo=user.did, collection=COLLECTION, rkey=nsid)
        assert found["value"] == WANTED[nsid]
        assert found["uri"] == f"at://{user.did}/{COLLECTION}/{nsid}"


async def head(user: User) -> str:
    return str((await user.pds.query("com.atproto.sync.getLatestCommit", did=user.did))["rev"])


async def test_what_cannot_be_done(network: Network, tmp_path: Path) -> None:
    user = await network.create_account("refused")
    wrong = tmp_path / "wrong"
    wrong.write_text("not the password")
    refused = await publish(user, "--password-file", wrong)
    assert (refused.code, refused.out) == (2, "")
    assert "createSession is refused: AuthenticationRequired" in refused.error
    assert "not the password" not in refused.error

    assert (await publish(user, "--password-env", "THERE_IS_NONE")).error.endswith("THERE_IS_NONE holds no password\n")
    missing = await publish(user, "--password-file", tmp_path / "none")
    assert (missing.code, missing.error.count("\n")) == (2, 1)
    assert (await publish(user)).code == 2
    nobody = await asyncio.to_thread(
        appview, "publish-lexicons", "--pds", user.pds.url, "--identifier", "nobody.test", "--dry-run"
    )
    assert (nobody.code, nobody.out) == (2, "")
    assert "describeRepo is refused" in nobody.error


async def test_what_changed_under_our_hands_is_not_overwritten(network: Network, tmp_path: Path) -> None:
    user = await network.create_account("swapped")
    like = WANTED["fm.plyr.like"]
    async with HttpClient(Policy.trusting(user.pds.url), lookup=Dns().addresses) as http:
        account = Account(http, user.pds.url, user.did)
        did = await account.sign_in((await app_password(user, tmp_path)).read_text().strip())
        first = await account.put(did, COLLECTION, "fm.plyr.like", like, instead=None)
        for instead in (None, cid({**like, "description": "another"})):
            with pytest.raises(PdsError, match="InvalidSwap") as refused:
                await account.put(did, COLLECTION, "fm.plyr.like", {**like, "description": "x"}, instead=instead)
            assert refused.value.error == "InvalidSwap"
        assert [record.cid async for record in account.records(did, COLLECTION)] == [first]


@pytest.mark.parametrize(
    ("pds", "said"),
    [
        ("http://pds.example", "must be an https:// URL unless it is local"),
        ("https://pds.example/path", "must be the URL of a host alone"),
        ("https://me@pds.example", "must be the URL of a host alone"),
        ("pds.example", "must be the URL of a host alone"),
        ("https://[", "must be the URL of a host alone"),
        ("http://127.0.0.1:1", "cannot be reached"),
    ],
)
def test_a_password_goes_where_nobody_reads_along_or_nowhere(pds: str, said: str) -> None:
    ran = appview("publish-lexicons", "--pds", pds, "--identifier", "a.test", "--password-env", "PATH")
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.error
